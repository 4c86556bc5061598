"""Offsets, sizes, section numbers and limits of the MIME scanner: I35, sec-M01, M02, M04, M05."""

import email
import email.policy
import mmap
import tempfile
import time
from email.message import EmailMessage, Message

import pytest
from broken_mail import BROKEN, multipart, nested
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import headers, lines, mime
from bridge.wire.mime import Kind, Part, Structure

TREE = (
    b'Subject: top\nContent-Type: multipart/mixed; boundary="o"\n\npreamble\n'
    b"--o\n\none\n"
    b'--o\nContent-Type: multipart/alternative; boundary="i"\n\n--i\n\ntwo.one\n'
    b"--i\nContent-Type: text/html\n\n<p>\n--i--\n"
    b"--o\nContent-Type: message/rfc822\n\nSubject: inner\n\ninner text\n"
    b'--o\nContent-Type: message/rfc822\n\nSubject: deep\nContent-Type: multipart/mixed; boundary="m"\n\n'
    b"--m\nX: y\n\nfour.one\n--m\nContent-Type: message/rfc822\n\nSubject: last\n\nlast text\n--m--\n"
    b"--o--\nepilogue\n"
)


def cut(data: bytes, section: str) -> bytes | None:
    found = mime.section_slice(mime.scan(data), section)
    return None if found is None else data[found[0] : found[1]]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("1", b"one"),
        ("1.MIME", b"\n"),
        ("2.1", b"two.one"),
        ("2.2", b"<p>"),
        ("2.2.MIME", b"Content-Type: text/html\n\n"),
        ("3", b"Subject: inner\n\ninner text"),
        ("3.HEADER", b"Subject: inner\n\n"),
        ("3.header", b"Subject: inner\n\n"),
        ("3.TEXT", b"inner text"),
        ("3.1", b"inner text"),
        ("3.MIME", b"Content-Type: message/rfc822\n\n"),
        ("4.1", b"four.one"),
        ("4.1.MIME", b"X: y\n\n"),
        ("4.2.HEADER", b"Subject: last\n\n"),
        ("4.2.1", b"last text"),
        ("4.2.TEXT", b"last text"),
        ("", TREE),
        ("HEADER", TREE[: TREE.index(b"preamble")]),
        ("TEXT", TREE[TREE.index(b"preamble") :]),
        ("5", None),
        ("0", None),
        ("1.1", None),
        ("1.HEADER", None),
        ("2.TEXT", None),
        ("3.2", None),
        ("3.1.1", None),
        ("4.2.2", None),
        ("MIME", None),
        ("1.", None),
        (".1", None),
        ("1.FOO", None),
        ("1..2", None),
        ("-1", None),
        ("99999", None),
        ("999999999999", None),
    ],
)
def test_sections(section: str, expected: bytes | None) -> None:
    """RFC 9051 6.4.5.1"""
    assert cut(TREE, section) == expected
    crlf = cut(TREE.replace(b"\n", b"\r\n"), section)
    assert crlf == (None if expected is None else expected.replace(b"\n", b"\r\n"))


def test_a_message_without_parts_is_part_one() -> None:
    data = b"Subject: x\n\nbody\n"
    assert cut(data, "1") == cut(data, "TEXT") == b"body\n"
    assert cut(data, "1.MIME") == cut(data, "HEADER") == b"Subject: x\n\n"
    assert cut(data, "2") is cut(data, "1.1") is cut(data, "1.TEXT") is None


def test_a_message_that_is_a_message() -> None:
    data = b"Content-Type: message/rfc822\n\nSubject: in\n\ntext\n"
    assert cut(data, "1") == b"Subject: in\n\ntext\n"
    assert cut(data, "1.HEADER") == b"Subject: in\n\n"
    assert cut(data, "1.1") == b"text\n"
    assert [part.section for part in mime.scan(data).parts] == ["1", "1.1"]


def test_part_numbers_are_written_on_the_parts() -> None:
    told = [(part.section, part.kind) for part in mime.scan(TREE).parts]
    assert told == [
        ("", Kind.MULTIPART),
        ("1", Kind.LEAF),
        ("2", Kind.MULTIPART),
        ("2.1", Kind.LEAF),
        ("2.2", Kind.LEAF),
        ("3", Kind.MESSAGE),
        ("3.1", Kind.LEAF),
        ("4", Kind.MESSAGE),
        ("4", Kind.MULTIPART),
        ("4.1", Kind.LEAF),
        ("4.2", Kind.MESSAGE),
        ("4.2.1", Kind.LEAF),
    ]
    structure = mime.scan(TREE)
    for part in mime.leaves(structure):
        assert mime.section_slice(structure, part.section) == (part.body_start, part.body_end)


def check(data: bytes) -> Structure:
    """Invariants of any structure: parts nest, wire sizes are those of the converted slices."""
    structure = mime.scan(data)
    assert structure.octets == len(lines.to_wire(data))
    for part in structure.parts:
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(data)
        body = data[part.body_start : part.body_end]
        assert part.octets == len(lines.to_wire(body))
        assert part.lines == body.count(b"\n")
        assert part.header_octets == len(lines.to_wire(data[part.header_start : part.body_start]))
        assert (part.kind is Kind.LEAF) == (not part.children)
        last = part.body_start
        for child in part.children:
            assert last <= child.header_start
            assert child.body_end <= part.body_end
            last = child.body_end
    return structure


@pytest.mark.parametrize("name", BROKEN)
def test_broken_mail_is_measured_right(name: str) -> None:
    check(BROKEN[name]())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(b"--b", b"--", b"\n", b"\r\n", b"\r", b"x", b"--bb\n", b"\n--b--", b"\n--b\n", b"\n\n", b" "),
                *(multipart(b"bb"), b"message/rfc822", b"Content-Type: "),
            ]
        ),
        max_size=25,
    ).map(b"".join)
)
def test_any_body_is_measured_right(body: bytes) -> None:
    check(multipart(b"b") + body)


LEAF = st.tuples(
    st.sampled_from(["plain", "html"]),
    st.lists(st.sampled_from(["uno", "", "línea dos", "--", "-- ", "--x", "From x", "." * 90]), max_size=5),
)
TREES = st.recursive(LEAF, lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=8)


def build(tree: object) -> EmailMessage:
    message = EmailMessage()
    if isinstance(tree, tuple):
        message.set_content("\n".join(tree[1]) + "\n", subtype=tree[0])
        return message
    assert isinstance(tree, list)
    message.make_mixed()
    for number, branch in enumerate(tree):
        child = build(branch)
        if number == 2:
            child["Subject"] = "embedded"
            message.add_attachment(child)
        else:
            message.attach(child)
    return message


def flatten(message: Message) -> list[tuple[str, bytes | None]]:
    """(type, raw payload of leaves) in order, by the standard library."""
    out: list[tuple[str, bytes | None]] = []
    payload = message.get_payload()
    if isinstance(payload, list):
        out.append((message.get_content_type(), None))
        for child in payload:
            out.extend(flatten(child))
    else:
        assert isinstance(payload, str)
        out.append((message.get_content_type(), payload.encode("utf-8", "surrogateescape")))
    return out


@settings(max_examples=80, deadline=None)
@given(TREES, st.sampled_from(["\n", "\r\n"]))
def test_sane_mail_is_cut_where_the_standard_library_cuts(tree: object, eol: str) -> None:
    message = build(tree)
    message["From"] = "ann@example.org"
    data = message.as_bytes(policy=email.policy.default.clone(linesep=eol))
    structure = check(data)
    assert not structure.truncated
    ours = [
        (
            f"{part.type.decode()}/{part.subtype.decode()}",
            data[part.body_start : part.body_end] if part.kind is Kind.LEAF else None,
        )
        for part in structure.parts
    ]
    theirs = flatten(email.message_from_bytes(data, policy=email.policy.compat32))
    assert ours == theirs


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"Content-Disposition: attachment; filename=a.txt", "a.txt"),
        (b"Content-Type: text/plain; name=b.txt", "b.txt"),
        (b"Content-Type: text/plain; name=b.txt\nContent-Disposition: attachment; filename=a.txt", "a.txt"),
        (b"Content-Disposition: attachment; filename*=utf-8''a%C3%B1o.txt", "año.txt"),
        (b"Content-Disposition: attachment; filename=x; filename*=utf-8''y", "y"),
        (b'Content-Disposition: attachment; filename="=?utf-8?q?a=C3=B1o?="', "año"),
        (b"Content-Disposition: attachment; filename*=bz2''%F1", "ñ"),
        (b"Content-Disposition: attachment; filename*=%C3%B1", "ñ"),
        (b"Content-Disposition: attachment; filename*=utf-8''a%0D%0Ab%00c", "a b c"),
        (b"Content-Disposition: attachment", None),
        (b"X: y", None),
    ],
)
def test_file_names(head: bytes, name: str | None) -> None:
    assert mime.scan(head + b"\n\nx").root.filename == name


def test_limits() -> None:
    """sec-M01, M02: opaque beyond the limits, and said so."""
    deep = check(nested(60))
    assert deep.truncated
    assert deep.parts[-1].opaque
    assert len(deep.parts) == mime.MAX_DEPTH + 1
    wide = check(multipart(b"b") + b"--b\n\nx\n" * 6000)
    assert wide.truncated
    assert len(wide.parts) == mime.MAX_PARTS
    heads = check(multipart(b"b") + (b"--b\nX: " + b"y" * 3000 + b"\n\nz\n") * 1000)
    assert heads.truncated
    assert heads.parts[-1].opaque
    assert not heads.parts[1].opaque
    false = check(multipart(b"b") + b"--b\n\n" + b"--bx\n" * (mime.FALSE_DELIMITERS + 10) + b"--b\n\ny\n--b--\n")
    assert false.truncated


def files(data: bytes) -> mmap.mmap:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def plain(part: Part) -> tuple[object, ...]:
    return (
        part.section,
        part.header_start,
        part.body_start,
        part.body_end,
        part.octets,
        part.lines,
        part.header_octets,
    )


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_mapped_files_and_views_are_scanned_like_bytes(eol: bytes) -> None:
    big = multipart(b"b") + b"--b\n\n" + b"a line of a big attachment\n" * 30_000 + b"\n--b\n\nx\n--b--\n"
    for data in (
        TREE.replace(b"\n", eol),
        big.replace(b"\n", eol),
        b"A: b" + eol * 2 + b"c" * mime.COUNT_WINDOW + eol * 3,
    ):
        expected = [plain(part) for part in mime.scan(data).parts]
        with files(data) as mapped:
            assert [plain(part) for part in mime.scan(mapped).parts] == expected
            view = memoryview(mapped)
            assert [plain(part) for part in mime.scan(view).parts] == expected
            view.release()
        assert [plain(part) for part in mime.scan(memoryview(data)).parts] == expected
        assert [plain(part) for part in mime.scan(bytearray(data)).parts] == expected
        assert [plain(part) for part in mime.scan(memoryview(b"zz" + data)[2:]).parts] == expected


@pytest.mark.parametrize(
    "body",
    [
        b"--b\n\n" + b"--bx\n" * 2_000_000,
        b"--b\n\n" + b"\n--" * 4_000_000,
        b"\n" * 10_000_000,
        b"--b\n" + b"Content-Type: message/rfc822\n" * 300_000,
        b"--b" + b" " * 10_000_000 + b"x",
        b"--b\n\n" + (b"\n--b" + b" " * 1000 + b"x") * 10_000,
    ],
    ids=["false delimiters", "dashes", "line ends", "headers", "blanks", "blanks often"],
)
def test_big_hostile_bodies(body: bytes) -> None:
    """sec-M05"""
    data = multipart(b"b") + body
    start = time.process_time()
    mime.scan(data)
    assert time.process_time() - start < 3


def test_nested_boundaries_do_not_multiply_the_work() -> None:
    """Each level would search the whole rest: the budget for searching ends that."""
    data = nested(50) + b"0123456789" * 1_000_000
    start = time.process_time()
    mime.scan(data)
    assert time.process_time() - start < 3


def test_header_of_the_message_is_at_hand() -> None:
    structure = mime.scan(TREE)
    assert structure.header == headers.block(TREE)
    assert [name for _, name, _ in structure.header_fields] == [b"subject", b"content-type"]
