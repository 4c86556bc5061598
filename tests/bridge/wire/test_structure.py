"""ENVELOPE, BODYSTRUCTURE and the description of a message: I35, I20, sec-I14, sec-M01 to M05."""

import time

import pytest
from broken_mail import BROKEN, NotImap, check_body, check_envelope, multipart, nested, parse_list
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import headers, lines, mime, structure

PLAIN = (
    b'From: =?utf-8?q?Jos=C3=A9?= <jose@example.org>\nTo: "Smith, Bob" <bob@example.org>\n'
    b"Subject: Re: [devel] hola\nDate: Mon, 02 Jan 2023 10:00:00 +0100\nMessage-ID: <1@example.org>\n\nUno\ndos\n"
)


def check(data: bytes) -> structure.Description:
    told = structure.describe(data)
    check_envelope(parse_list(told.envelope))
    leaves = check_body(parse_list(told.bodystructure), extended=True)
    assert leaves == check_body(parse_list(told.body), extended=False)
    assert told.wire_size == len(lines.to_wire(data))
    assert told.header_octets == len(lines.to_wire(data[: told.header_end]))
    assert len(told.preview) <= structure.MAX_PREVIEW
    for text in (told.subject, told.preview, told.message_id, told.from_folded, *told.references):
        assert not any(mark in text for mark in "\r\n\0")
    return told


def test_a_plain_message_is_described() -> None:
    told = check(PLAIN)
    assert told.body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2)'
    assert told.bodystructure == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2 NIL NIL NIL NIL)'
    assert told.envelope == (
        b'("Mon, 02 Jan 2023 10:00:00 +0100" "Re: [devel] hola" (("=?utf-8?q?Jos=C3=A9?=" NIL "jose" "example.org")) '
        b'(("=?utf-8?q?Jos=C3=A9?=" NIL "jose" "example.org")) (("=?utf-8?q?Jos=C3=A9?=" NIL "jose" "example.org")) '
        b'(("Smith, Bob" NIL "bob" "example.org")) NIL NIL NIL "<1@example.org>")'
    )
    assert (told.disk_size, told.wire_size) == (len(PLAIN), len(PLAIN.replace(b"\n", b"\r\n")))
    assert told.headers == PLAIN[: told.header_end - 1].replace(b"\n", b"\r\n")
    assert told.headers_complete
    assert (told.base_subject, told.is_reply, told.preview) == ("hola", True, "Uno dos")
    assert told.from_folded == "jose <jose@example.org>"
    assert (told.sent, told.sent_offset, told.message_id) == (1672650000, 60, "<1@example.org>")
    assert (told.sort_from, told.display_from, told.display_to) == ("jose", "jose", "smith, bob")


def test_the_same_mail_with_crlf_on_disk_gives_the_same_wire_bytes() -> None:
    for make in BROKEN.values():
        data = make()
        if b"\r" in data:
            continue
        lf, crlf = check(data), check(data.replace(b"\n", b"\r\n"))
        assert (lf.envelope, lf.bodystructure, lf.body) == (crlf.envelope, crlf.bodystructure, crlf.body)
        assert (lf.headers, lf.wire_size, lf.preview) == (crlf.headers, crlf.wire_size, crlf.preview)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_mail_gives_valid_lists(name: str) -> None:
    """I35, sec-I14: our own strict reader takes what we send for any message."""
    check(BROKEN[name]())


PIECES = st.sampled_from(
    [
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r",
        b"\0",
        b'"',
        b"\\",
        b"(",
        b")",
        b"<",
        b">",
        b"@",
        b",",
        b";",
        b":",
        b"{3}",
        b"=?utf-8?q?=0D=0A?=",
        b"=?utf-8?b?DQo=?=",
        b"\xff",
        "ñ".encode(),
        b"Content-Type: ",
        b"From: ",
        b"To: ",
        b"multipart/mixed; boundary=b\n\n",
        b"message/rfc822\n\n",
        b'text/plain; name="',
        b"--b\n",
        b"\n--b--\n",
        b"Content-Disposition: attachment; filename*0*=",
        b"Content-Language: a, b\n",
        b"Subject: ",
        b"Date: ",
        b"a*1=b;",
        b"NIL",
        b"x" * 1001,
        b" ",
        b"\t",
        b"References: <a@b> <c@d>",
        b"Content-ID: ",
        b"Content-MD5: ",
    ]
)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30).map(b"".join))
def test_any_bytes_give_valid_lists(data: bytes) -> None:
    """sec-I14: property over bytes and fragments that mean something."""
    check(data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=50))
def test_any_string_reads_back(value: bytes) -> None:
    assert parse_list(structure.quoted(value)) == value.replace(b"\0", b"")


@pytest.mark.parametrize(
    "bad", [b"", b"(", b"(a)", b'("a)', b'("a""b")', b"(NIL  NIL)", b"{3}\r\nab", b'"\xff"', b"(1 )"]
)
def test_the_reader_of_these_tests_is_strict(bad: bytes) -> None:
    with pytest.raises(NotImap):
        parse_list(bad)


def test_groups_and_missing_parts_in_envelopes() -> None:
    told = check(
        b"From: Team: a@example.org, B <b@example.org>;\nTo: undisclosed-recipients:;\n"
        b"Cc: root, Name <>, <@x.example:r@example.org>\nSender:\n\n"
    )
    _, _, from_, sender, reply_to, to, cc, bcc, _, _ = parse_list(told.envelope)  # type: ignore[misc]
    assert from_ == sender == reply_to
    assert from_ == [
        [None, None, b"Team", None],
        [None, None, b"a", b"example.org"],
        [b"B", None, b"b", b"example.org"],
        [None] * 4,
    ]
    assert to == [[None, None, b"undisclosed-recipients", None], [None] * 4]
    assert cc == [
        [None, None, b"root", b""],
        [b"Name", None, b"", b""],
        [None, b"@x.example", b"r", b"example.org"],
    ]
    assert bcc is None


def test_repeated_to_headers_are_one_list() -> None:
    told = check(b"To: a@example.org\nX: y\nTo: b@example.org,\n c@example.org\nSubject: one\nSubject: two\n\n")
    tree = parse_list(told.envelope)
    assert [one[2] for one in tree[5]] == [b"a", b"b", b"c"]  # type: ignore[index]
    assert tree[1] == b"one"  # type: ignore[index]


def test_extension_data() -> None:
    data = (
        b"Content-Type: text/plain; charset=utf-8; format=flowed\nContent-ID: <i@example.org>\nContent-Description: d\n"
        b"Content-MD5: abc==\nContent-Disposition: INLINE; filename*0=one; filename*1=two\n"
        b"Content-Language: es, en\nContent-Location: http://example.org/\n\nx"
    )
    assert parse_list(check(data).bodystructure) == [
        b"text",
        b"plain",
        [b"charset", b"utf-8", b"format", b"flowed"],
        b"<i@example.org>",
        b"d",
        b"7bit",
        1,
        0,
        b"abc==",
        [b"inline", [b"filename", b"onetwo"]],
        [b"es", b"en"],
        b"http://example.org/",
    ]


def test_header_fields_come_from_the_cache() -> None:
    told = structure.describe(
        b"Received: x\nTO: a@example.org,\n b@example.org\nX-Odd: 1\nSubject: s\nto: c@example.org\n\n"
    )
    answer = structure.header_fields(told.headers, [b"To", b"Subject"])
    assert answer == b"TO: a@example.org,\r\n b@example.org\r\nSubject: s\r\nto: c@example.org\r\n\r\n"
    assert structure.header_fields(told.headers, [b"From"]) == b"\r\n"
    assert structure.covered([b"TO", b"Subject"])
    assert not structure.covered([b"To", b"Received"])


def test_headers_beyond_a_limit_are_not_cached() -> None:
    """sec-M03"""
    for data in (b"Subject: s\n" * 1500 + b"\n", b"To: " + b"a@example.org,\n " * 5000 + b"\n\n"):
        told = check(data)
        assert (told.headers, told.headers_complete) == (b"", False)


@pytest.mark.parametrize(
    ("subject", "base", "reply"),
    [
        ("hola", "hola", False),
        ("Re: hola", "hola", True),
        ("re[2]: hola", "hola", True),
        ("RE : FW: Fwd: x", "x", True),
        ("[lista] hola", "hola", False),
        ("Re: [lista] Re: hola", "hola", True),
        ("[lista]", "[lista]", False),
        ("hola (fwd)", "hola", True),
        ("hola (fwd) (FWD)", "hola", True),
        ("[Fwd: hola]", "hola", True),
        ("[fwd: re: [x] hola (fwd)]", "hola", True),
        ("  a   b  ", "a b", False),
        ("", "", False),
        ("Re:", "", True),
        ("Regarding: x", "regarding: x", False),
        ("[a] [b]", "[b]", False),
        ("Re: Árbol", "arbol", True),
        ("[a][b] Re: x", "x", True),
        ("[fwd:]", "", True),
    ],
)
def test_base_subject(subject: str, base: str, reply: bool) -> None:
    """I16, RFC 5256 2.1."""
    assert structure.base_subject(subject) == (base, reply)


def test_ids_are_bounded_and_last_references_win() -> None:
    """sec-M17, sec-M18"""
    many = b" ".join(b"<%d@example.org>" % n for n in range(100_000))
    told = check(
        b"Message-ID: ../../etc/passwd\nIn-Reply-To: your mail of <7@example.org>\nReferences: "
        + many[:200_000]
        + b"\n\n"
    )
    assert told.message_id == "../../etc/passwd"
    assert told.in_reply_to == "<7@example.org>"
    assert len(told.references) == 50
    assert told.references == tuple(one.decode() for one in many[:200_000].split() if one.endswith(b">"))[-50:]
    assert len(check(b"Message-ID: <" + b"x" * 10_000 + b">\n\n").message_id) == structure.MAX_ID


def test_previews() -> None:
    """I20, RFC 8970."""
    html = b"Content-Type: text/html\n\n<html><style>p{}</style><p>Uno &amp; <b>dos</b></p><script>x()</script></html>"
    assert check(html).preview == "Uno & dos"
    assert check(b"\n> quoted\n>> more\nanswer\n").preview == "answer"
    assert check(b"\n> only quoted\n").preview == "> only quoted"
    both = multipart(b"b", b"alternative") + b"--b\nContent-Type: text/html\n\n<p>h</p>\n--b\n\nplain\n--b--\n"
    assert check(both).preview == "plain"
    base64 = b"Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=utf-8\n\n" + b"w7E=" * 500
    assert check(base64).preview.startswith("ñ")
    assert check(b"Content-Type: application/pdf\n\n%PDF").preview == ""
    long_head = b"Content-Type: text/html\n\n<style>" + b"x{}\n" * 1000 + b"</style><p>after</p>"
    assert check(long_head).preview == "after"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Content-Type: text/plain", False),
        (b"Content-Type: application/pdf", True),
        (b"Content-Type: image/png", True),
        (b"Content-Type: text/plain\nContent-Disposition: attachment", True),
        (b"Content-Type: image/png\nContent-ID: <x>", False),
        (b"Content-Type: application/pgp-signature", False),
        (b"Content-Type: message/delivery-status", False),
        (b"Content-Type: application/pdf\nContent-Disposition: inline", True),
    ],
)
def test_attachments(head: bytes, expected: bool) -> None:
    assert check(multipart(b"b") + b"--b\n\ntext\n--b\n" + head + b"\n\nx\n--b--\n").has_attachment is expected


BOMBS = {
    "10,000 levels": lambda: nested(10_000),
    "10,000 messages in messages": lambda: b"Content-Type: message/rfc822\n\n" * 10_000,
    "500,000 parts": lambda: multipart(b"b") + b"--b\n\nx\n" * 500_000,
    "200,000 headers": lambda: b"X: y\n" * 200_000 + b"\nbody\n",
    "semicolons": lambda: b"Content-Type: text/plain" + b";" * 200_000 + b"\n\n",
    "open quotes": lambda: b"Content-Type: text/plain" + b';a="' * 50_000 + b"\n\n",
    "comments in type": lambda: b"Content-Type: text/plain" + b"(" * 200_000 + b"\n\n",
    "continuations": lambda: b"Content-Type: text/plain" + b"".join(b"; a*%d=x" % n for n in range(20_000)) + b"\n\n",
    "50,000 addresses": lambda: b"To: " + b"a@b, " * 50_000 + b"\n\n",
    "angles": lambda: b"To: " + b"<" * 200_000 + b"\n\n",
    "parentheses": lambda: b"To: " + b"(" * 200_000 + b"\n\n",
    "closed parentheses": lambda: b"To: " + b"()" * 100_000 + b"\n\n",
    "quotes": lambda: b"To: " + b'"' * 200_001 + b"\n\n",
    "quotes and backslashes": lambda: b"To: " + b'"\\' * 100_000 + b"\n\n",
    "blanks": lambda: b"To: a" + b" " * 200_000 + b"b\n\n",
    "groups": lambda: b"To: " + b"a:" * 100_000 + b"\n\n",
    "at signs": lambda: b"To: " + b"a@" * 100_000 + b"\n\n",
    "routes": lambda: b"To: <" + b"@a," * 60_000 + b"\n\n",
    "dots": lambda: b"To: " + b"a." * 100_000 + b"\n\n",
    "encoded words": lambda: b"Subject: " + b"=?utf-8?q?a?= " * 15_000 + b"\n\n",
    "open encoded words": lambda: b"Subject: " + b"=?" * 100_000 + b"\n\n",
    "half encoded words": lambda: b"Subject: " + b"=?a?q?" * 40_000 + b"\n\n",
    "replies": lambda: b"Subject: " + b"Re: " * 60_000 + b"\n\n",
    "brackets": lambda: b"Subject: " + b"[" * 200_000 + b"\n\n",
    "folds": lambda: b"Subject: " + b"\n " * 100_000 + b"\n\n",
    "carriage returns": lambda: b"Subject: " + b"\r" * 200_000 + b"\n\n",
    "date blanks": lambda: b"Date: " + b" " * 100_000 + b"x\n\n",
    "references": lambda: b"References: " + b"<" * 200_000 + b"\n\n",
    "long type": lambda: b"Content-Type: " + b"a" * 200_000 + b"/b\n\n",
    "messages with bad addresses": lambda: (
        multipart(b"b", b"digest") + (b"--b\n\nTo: " + b"a@(" * 3000 + b"\nCc: " + b"a@" * 5000 + b"\n\nx\n") * 100
    ),
    "open styles": lambda: b"Content-Type: text/html\n\n" + b"<style" * 500_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_stay_small(name: str) -> None:
    """sec-M01 to M05: seconds are ten times and more what the slowest takes; BODYSTRUCTURE stays valid."""
    data = BOMBS[name]()
    start = time.process_time()
    told = structure.describe(data)
    assert time.process_time() - start < 2
    check_envelope(parse_list(told.envelope))
    check_body(parse_list(told.bodystructure), extended=True)


def test_limits_are_reported() -> None:
    for name in ("10,000 levels", "10,000 messages in messages", "500,000 parts", "200,000 headers"):
        assert structure.describe(BOMBS[name]()).truncated, name
    assert not structure.describe(PLAIN).truncated
    told = structure.describe(BOMBS["500,000 parts"]())
    assert check_body(parse_list(told.body), extended=False) == mime.MAX_PARTS - 1
    tree, depth = parse_list(structure.describe(nested(200)).body), 0
    while isinstance(tree, list) and isinstance(tree[0], list):
        tree, depth = tree[0], depth + 1
    assert depth == mime.MAX_DEPTH
    assert len(parse_list(structure.describe(BOMBS["50,000 addresses"]()).envelope)[5]) == 1000  # type: ignore[index]


def test_envelope_of_a_block_alone() -> None:
    assert structure.envelope(headers.block(PLAIN)) == structure.describe(PLAIN).envelope
