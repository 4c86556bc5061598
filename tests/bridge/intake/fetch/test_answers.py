"""FETCH answers as rows: every order of items, and nothing but BadAnswer for the rest (sec-F06)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.intake.fetch.answers import BadAnswer, Row, rows

CASES: list[tuple[list[bytes | tuple[bytes, bytes]], list[Row]]] = [
    ([b"1 (UID 5 RFC822.SIZE 300)"], [Row(5, 300, None)]),
    ([b"1 (RFC822.SIZE 0 UID 5)"], [Row(5, 0, None)]),
    ([(b"1 (UID 5 BODY[] {3}", b"abc"), b")"], [Row(5, None, b"abc", 3)]),
    ([(b"1 (BODY[] {3}", b"abc"), b" UID 5)"], [Row(5, None, b"abc", 3)]),
    ([(b"1 (uid 5 body[]<0> {3}", b"abc"), b" FLAGS (\\Seen))"], [Row(5, None, b"abc", 3)]),
    ([(b"1 (UID 5 BODY[HEADER] {3}", b"a: "), b")"], [Row(5, None, b"a: ", 3)]),
    ([(b"1 (UID 5 BODY[] {900}", b"abc"), b")"], [Row(5, None, b"abc", 900)]),
    ([b'1 (UID 5 BODY[] "a\\"b")'], [Row(5, None, b'a"b', 3)]),
    ([b"1 (UID 5 BODY[] NIL)"], [Row(5, None, None)]),
    ([b"1 (FLAGS (\\Seen))", b"2 (UID 6 FLAGS ())"], [Row(0, None, None), Row(6, None, None)]),
    ([b'1 (UID 5 BODY[] " UID 9 ")'], [Row(5, None, b" UID 9 ", 7)]),
    ([(b"1 (UID 5 X {4}", b"junk"), (b" BODY[] {3}", b"abc"), b")"], [Row(5, None, b"abc", 3)]),
]


@pytest.mark.parametrize(("pieces", "wanted"), CASES)
def test_rows(pieces: list[bytes | tuple[bytes, bytes]], wanted: list[Row]) -> None:
    assert list(rows(pieces)) == wanted


@pytest.mark.parametrize(
    "pieces", [[b"1 (UID 1 UID 2)"], [b"(" * 70_000], [(b"1 (UID 5 BODY[] {3}", b"abc")], [b"1 (" + b"x" * 70_000]]
)
def test_nonsense(pieces: list[bytes | tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadAnswer):
        list(rows(pieces))


WORDS = st.sampled_from(
    [b"UID 5 ", b"BODY[] ", b'"', b"\\", b"{3}", b"(", b")", b" ", b"NIL", b"RFC822.SIZE 9 ", b"<0>", b"\xff", b"1"]
)
TEXT = st.lists(WORDS, max_size=20).map(b"".join)


@given(st.lists(st.one_of(TEXT, st.tuples(TEXT, st.binary(max_size=5))), max_size=5))
def test_only_bad_answer_escapes(pieces: list[bytes | tuple[bytes, bytes]]) -> None:
    try:
        list(rows(pieces))
    except BadAnswer:
        pass


def test_long_quoted_text_is_linear() -> None:
    list(rows([b'1 (UID 5 BODY[] "' + b'\\"' * 30_000 + b'")']))
    list(rows([b'1 (UID 5 BODY[] "' + b"\\a" * 30_000 + b'")']))
    list(rows([b'"' * 60_000]))
