"""Header blocks: reading, editing, making: sec-M03, sec-M06, sec-L10, 0.11 of the measured facts."""

import email
import email.policy
import time
from email.header import decode_header, make_header

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import headers

BLOCK = b"Received: a\n b\nFrom: x@example.org\nno colon here\nX-Y : 1\nSubject: s\n\tt\nfrom: y@example.org\n\n"


def test_fields_are_found_where_they_are() -> None:
    data = BLOCK + b"Body: no\n"
    found = list(headers.fields(data))
    assert [(one.name, one.value) for one in found] == [
        (b"Received", b" a\n b"),
        (b"From", b" x@example.org"),
        (b"X-Y", b" 1"),
        (b"Subject", b" s\n\tt"),
        (b"from", b" y@example.org"),
    ]
    assert data[found[0].start : found[0].end] == b"Received: a\n b\n"
    assert data[found[-1].start : found[-1].end] == b"from: y@example.org\n"
    assert headers.body_start(data) == len(BLOCK)
    assert headers.first(data, b"FROM") == b" x@example.org"
    assert headers.every(data, b"from") == [b" x@example.org", b" y@example.org"]
    assert headers.first(data, b"To") is None


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"\r\n", 2),
        (b"a: b", 4),
        (b"a: b\n", 5),
        (b"a: b\n\n", 6),
        (b"a: b\r\n\r\nx", 8),
        (b"a: b\n\r\nx", 7),
        (b"a: b\r\n\nx", 7),
        (b"\nx\n\n", 1),
        (b"a: b\n \n\nx", 8),
        (b"\rx", 2),
    ],
)
def test_end_of_the_header(data: bytes, at: int) -> None:
    assert headers.body_start(data) == at
    assert headers.body_start(b"zz" + data, 2) == at + 2


def test_reading_is_bounded_and_editing_is_not() -> None:
    """sec-M03: no field hides from an edit behind the limits of reading."""
    many = b"X: y\n" * 200_000 + b"Evil: 1\n\n"
    start = time.process_time()
    assert len(list(headers.fields(many))) == headers.MAX_FIELDS
    assert len(headers.triples(many)) == headers.MAX_FIELDS
    assert headers.remove(many, b"evil") == b"X: y\n" * 200_000 + b"\n"
    assert time.process_time() - start < 3


def test_crlf_values_end_before_the_cr() -> None:
    (one,) = headers.fields(b"A: b\r\n c\r\n\r\n")
    assert one.value == b" b\r\n c"
    assert (one.start, one.end) == (0, 10)
    assert headers.unfold(one.value) == b"b c"


def test_select() -> None:
    assert headers.select(BLOCK, [b"from"]) == b"From: x@example.org\nfrom: y@example.org\n"
    assert headers.select(BLOCK, [b"from", b"received"], exclude=True) == b"X-Y : 1\nSubject: s\n\tt\n"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b" =?utf-8?q?Jos=C3=A9?=", "José"),
        (b"=?utf-8?b?w7E=?= =?utf-8?b?w7E=?=", "ññ"),
        (b"=?utf-8?b?ww==?=\n =?utf-8?b?sQ==?=", "ñ"),
        (b"=?iso-8859-1?q?=F1?= =?utf-8?q?=C3=B1?= x", "ññ x"),
        (b"a =?utf-8?q?b_c?= d", "a b c d"),
        (b"=?bz2?q?=F1?=", "ñ"),
        (b"=?utf-7?q?+AGE-?=", "+AGE-"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?open", "=?utf-8?q?open"),
        (b"=?utf-8?q?=0D=0ABcc:_evil=40x?=", " Bcc: evil@x"),
        (b"=?utf-8?b?!!!?=", ""),
        (b"=?utf-8?b?w7E?=", "ñ"),
        (b"\xc3\xb1", "ñ"),
        (b"\xf1", "ñ"),
        (b"a\n b\r\n\tc", "a b c"),
        (b"a\rb\0c", "a b c"),
        (b"=?utf-8*es?q?=C3=B1?=", "ñ"),
        (b"=?utf-8?q?sp ace?=", "sp ace"),
        (b"x=?utf-8?q?y?=z", "xyz"),
        (b"\xe2\x80\xa8", " "),
    ],
)
def test_values_as_text(raw: bytes, text: str) -> None:
    assert headers.decode(raw).lstrip() == text.lstrip()


EVIL = [
    "x =?utf-8?q?=0D=0ABcc:_evil=40x?= y",
    "x\r\nBcc: evil@x",
    "x\nBcc: evil@x",
    "x\rBcc: evil@x",
    "x\r\n\r\nbody",
    "\0",
    "a\0b",
    "x\x85Bcc: y",
    "x\u2028Bcc: y",
    "x\u2029y",
    "\x0bBcc: y",
    "\x0cBcc: y",
    "x\x1cBcc: y",
    "\ud800",
    "\n",
    "\r\n",
    "ñ\r\nBcc: evil@x",
    "a" * 5000,
    "é" * 500,
    "a b " * 500,
    " leading",
    "trailing ",
    "",
    "=?",
    "日本語" * 50,
    "x\r\n y",
    "\x7f",
    "\x1b[31m",
]


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_generated_fields_are_one_field(text: str, eol: bytes) -> None:
    """sec-M06, sec-L10: counted again after it was made, by us and by another reader."""
    raw = headers.field("Subject", text, eol) + b"X-End: 1" + eol + eol
    assert [one.name for one in headers.fields(raw)] == [b"Subject", b"X-End"]
    assert headers.body_start(raw) == len(raw)
    for line in raw.split(eol)[:-3]:
        assert len(line) <= 76
        assert line.isascii()
        assert all(32 <= byte < 127 for byte in line)
    assert list(email.message_from_bytes(raw).keys()) == ["Subject", "X-End"]
    modern = email.message_from_bytes(raw, policy=email.policy.default)
    assert list(modern.keys()) == ["Subject", "X-End"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.integers(0, 40))
def test_any_text_is_safe_and_reads_back(text: str, indent: int) -> None:
    raw = headers.safe_value(text, indent)
    assert b"\r" not in raw
    assert b"\0" not in raw
    assert raw.isascii()
    assert all(line.startswith(b" ") for line in raw.split(b"\n")[1:])
    assert all(line.strip() for line in raw.split(b"\n")[1:])
    expected = headers.clean(text).strip()
    assert headers.decode(raw).split() == expected.split()
    if raw.startswith(b"=?"):
        assert str(make_header(decode_header(raw.decode()))).split() == expected.split()


@given(st.text(min_size=1, max_size=120))
def test_encoded_words_are_short_and_whole(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    words = headers.encoded_words(text)
    assert all(len(word) <= 75 for word in words)
    assert headers.decode(b" ".join(words)) == headers.clean(text)


def test_editing_keeps_the_rest() -> None:
    assert headers.remove(BLOCK, b"FROM") == BLOCK.replace(b"From: x@example.org\n", b"").replace(
        b"from: y@example.org\n", b""
    )
    assert headers.remove(BLOCK, b"received", b"x-y") == BLOCK.replace(b"Received: a\n b\n", b"").replace(
        b"X-Y : 1\n", b""
    )
    assert headers.remove(BLOCK) == BLOCK == headers.remove(BLOCK, b"To", b"X")
    assert headers.prepend(BLOCK, "X-New", "ñ") == b"X-New: =?utf-8?q?=C3=B1?=\n" + BLOCK
    assert headers.prepend(b"A: b\r\n\r\n", "X", "y") == b"X: y\r\nA: b\r\n\r\n"
    assert headers.replace(BLOCK, "From", "z") == BLOCK.replace(b"From: x@example.org", b"From: z").replace(
        b"from: y@example.org\n", b""
    )
    assert headers.replace(BLOCK, "To", "z") == b"To: z\n" + BLOCK
    assert headers.remove(b"A: b\nEvil: x", b"evil") == b"A: b\n"


@given(
    st.lists(
        st.sampled_from([b"A: b\n", b"Evil: x\n", b" cont\n", b"\xff\n", b"evil : y\r\n", b"EVIL:\n", b":\n", b"\r"]),
        max_size=10,
    )
)
def test_removed_is_gone_and_nothing_else(pieces: list[bytes]) -> None:
    block = b"".join(pieces)
    after = headers.remove(block, b"Evil")
    assert not headers.every(after, b"evil")
    assert [one.value for one in headers.fields(after) if one.name != b"Evil"] == [
        one.value for one in headers.fields(block) if one.name.lower() != b"evil"
    ]


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "ñ", "a\r\nb", "x" * 201])
def test_field_names_of_our_own_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="field name"):
        headers.field(name, "x")


def test_token_fields_fold_between_tokens() -> None:
    raw = headers.token_field("References", [b"<%d@example.org>" % n for n in range(30)] + [b"<a\r\nb\0>"])
    assert all(len(line) <= 76 for line in raw.split(b"\n"))
    assert raw.count(b"@example.org>") == 30
    assert b"<a b >" in raw
    assert [one.name for one in headers.fields(raw)] == [b"References"]
