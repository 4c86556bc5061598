"""Searches by regular expressions in linear time (L31, sec-M15): compared with Python's own where those are safe."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listmgr.pattern import BadPattern, Pattern

SEEN = ["", "a", "b", "ab", "ba", "aab", "abab", "ana@example.org", "Ana.B-7@x.es", "[x]", "a.b", "ñ", "aaaa"]
PATTERNS = [
    "a", "^a", "b$", "^$", "a.b", "a\\.b", "[ab]{2}", "[^a]", "(ab)+$", "^(a|ba)b?$", "\\d", "\\W", "x|^b", "a{2,3}",
    "a{2,}", "a{0,1}b", "^a{0}b", "(a*)*b", "(?:a|ab)(?:b|)$", "[a-c.]+@", "[]a]", "a+?b", "ANA@", "^[\\w.]+@[^@]+$",
    "(^a|b$)", "a{,2}$", "(a|b)*abb?", "((a))", "$", "^", "a||b",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_means_what_it_means_elsewhere(pattern: str) -> None:
    """L31."""
    usual, mine = re.compile(pattern.replace("{,2}", "{0,2}"), re.I), Pattern(pattern)
    for text in SEEN:
        assert mine.found(text) is (usual.search(text) is not None), (pattern, text)


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\w", "^", "$"])
_PATTERN = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner), st.builds("({}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}"])),
    ),
    max_leaves=6,
)  # fmt: skip


@given(_PATTERN.filter(lambda text: len(text) < 60), st.text("abc1", max_size=6))
def test_random_patterns(pattern: str, text: str) -> None:
    try:
        mine = Pattern(pattern)
    except BadPattern:
        return  # more states than we allow
    assert mine.found(text) is (re.search(pattern, text) is not None)


@given(st.text(max_size=110))
def test_any_text_is_a_pattern_or_told_off(pattern: str) -> None:
    """Only BadPattern may escape."""
    try:
        Pattern(pattern).found("ana@example.org")
    except BadPattern:
        return


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "a?" * 25 + "a" * 25, ".*.*.*.*.*x", "(a*)*(a*)*b"]
)
def test_catastrophic_patterns_are_quick(pattern: str) -> None:
    """sec-M15: exponential or cubic elsewhere; the test would not end."""
    one = Pattern(pattern)
    for _ in range(20):
        one.found("a" * 320 + "!")


@pytest.mark.parametrize(
    "pattern",
    ["+", "(a", "a)", "[a", "\\", "\\b", "a{3,1}", "[z-a]", "x" * 101, "(" * 30 + "a" + ")" * 30, "((a{99}){99}){99}"],
)
def test_mistakes_are_told(pattern: str) -> None:
    """In both languages."""
    with pytest.raises(BadPattern) as told:
        Pattern(pattern)
    assert all(told.value.words)


def test_a_star_at_the_beginning_is_anything() -> None:
    assert Pattern("*@example.org").found("eve@example.org")
    assert not Pattern("*@example.org").found("eve@example.net")
