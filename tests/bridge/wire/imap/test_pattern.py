"""LIST patterns against regular expressions, and patterns made to explode (sec-I05)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap.pattern import Pattern


def naive(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "%": "[^/]*"}.get(char, re.escape(char)) for char in pattern), re.DOTALL)


@given(st.text("ab/%*", max_size=8), st.text("ab/", max_size=10))
def test_same_as_a_regular_expression(pattern: str, name: str) -> None:
    assert Pattern(pattern).matches(name) == bool(naive(pattern).fullmatch(name))


@pytest.mark.parametrize("pattern", ["%*" * 500, "*a" * 500, "%a" * 300 + "*b" * 200, "*" * 1000 + "x"])
def test_no_pattern_explodes(pattern: str) -> None:
    for name in ("a" * 1000, "a/" * 499 + "a"):
        assert Pattern(pattern).matches(name) == (pattern in ("%*" * 500, "*a" * 500))


def test_examples() -> None:
    assert Pattern("%").matches("foo")
    assert not Pattern("%").matches("foo/bar")
    assert Pattern("*").matches("foo/bar")
    assert Pattern("%", reference="foo/").matches("foo/bar")
    assert Pattern("").matches("")
    assert Pattern("%", separator=".").matches("a/b")


def test_inbox_in_any_case() -> None:
    assert Pattern("inbox").matches("INBOX")
    assert Pattern("In%").matches("INBOX")
    assert not Pattern("sent").matches("SENT")
