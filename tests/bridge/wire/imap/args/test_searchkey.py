"""The search key in all its forms, and what refuses it."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap.args import searchkey
from bridge.wire.imap.args.search import Search
from bridge.wire.imap.args.searchkey import (
    Age,
    All,
    And,
    Day,
    EmailId,
    Flag,
    Fuzzy,
    Header,
    Key,
    ModSeq,
    Not,
    Numbers,
    Or,
    SaveDateSupported,
    Size,
    Text,
    ThreadId,
    Uids,
)
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.grammar import arguments, name
from bridge.wire.imap.seqset import parse
from bridge.wire.imap.tokens import BadCommand, Scanner


def read(line: bytes) -> object:
    scan = Scanner((b" " + line,))
    return arguments(scan, name(scan))


def key(raw: bytes) -> Key:
    found = read(b"SEARCH " + raw)
    assert isinstance(found, Search)
    return found.key


DAY = date(1994, 2, 1)
EXAMPLES: dict[bytes, Key] = {
    b"ALL": All(),
    b"ANSWERED": Flag("\\Answered", True),
    b"BCC x": Header("BCC", "x"),
    b"BEFORE 1-Feb-1994": Day("INTERNAL", "<", DAY),
    b'BODY "two words"': Text("two words", True),
    b"CC x": Header("CC", "x"),
    b"DELETED": Flag("\\Deleted", True),
    b"DRAFT": Flag("\\Draft", True),
    b"FLAGGED": Flag("\\Flagged", True),
    b"FROM x": Header("FROM", "x"),
    b'HEADER Message-Id ""': Header("MESSAGE-ID", ""),
    b"KEYWORD $Junk": Flag("$Junk", True),
    b"LARGER 1000": Size(True, 1000),
    b"NEW": And((Flag("\\Recent", True), Flag("\\Seen", False))),
    b"NOT SEEN": Not(Flag("\\Seen", True)),
    b"OLD": Flag("\\Recent", False),
    b'ON "1-feb-1994"': Day("INTERNAL", "=", DAY),
    b"OR SEEN FROM x": Or(Flag("\\Seen", True), Header("FROM", "x")),
    b"RECENT": Flag("\\Recent", True),
    b"SEEN": Flag("\\Seen", True),
    b"SENTBEFORE 01-Feb-1994": Day("SENT", "<", DAY),
    b"SENTON 1-Feb-1994": Day("SENT", "=", DAY),
    b"SENTSINCE 1-Feb-1994": Day("SENT", ">=", DAY),
    b"SINCE 1-Feb-1994": Day("INTERNAL", ">=", DAY),
    b"SMALLER 10": Size(False, 10),
    b"SUBJECT x": Header("SUBJECT", "x"),
    b"TEXT x": Text("x", False),
    b"TO x": Header("TO", "x"),
    b"UID 1:5,7": Uids(parse(b"1:5,7")),
    b"UNANSWERED": Flag("\\Answered", False),
    b"UNDELETED": Flag("\\Deleted", False),
    b"UNDRAFT": Flag("\\Draft", False),
    b"UNFLAGGED": Flag("\\Flagged", False),
    b"UNKEYWORD a": Flag("a", False),
    b"UNSEEN": Flag("\\Seen", False),
    b"1:*": Numbers(parse(b"1:*")),
    b"$": Numbers(parse(b"$")),
    b"*": Numbers(parse(b"*")),
    b"OLDER 100": Age(True, 100),
    b"YOUNGER 100": Age(False, 100),
    b"MODSEQ 620162338": ModSeq(620162338),
    b'MODSEQ "/flags/\\\\draft" all 620162338': ModSeq(620162338),
    b"EMAILID M6d99ac3275bb4e": EmailId("M6d99ac3275bb4e"),
    b"THREADID T64b478a75b7ea9": ThreadId("T64b478a75b7ea9"),
    b"SAVEDBEFORE 1-Feb-1994": Day("SAVED", "<", DAY),
    b"SAVEDON 1-Feb-1994": Day("SAVED", "=", DAY),
    b"SAVEDSINCE 1-Feb-1994": Day("SAVED", ">=", DAY),
    b"SAVEDATESUPPORTED": SaveDateSupported(),
    b"FUZZY SUBJECT x": Fuzzy(Header("SUBJECT", "x")),
}


@pytest.mark.parametrize("raw", EXAMPLES)
def test_every_key(raw: bytes) -> None:
    """I36, I14, I13, I20, I22, I30."""
    assert key(raw) == EXAMPLES[raw]
    assert key(b"(" + raw + b")") == EXAMPLES[raw]
    assert key(b"NOT " + raw.lower()) == Not(key(raw.lower()))


def test_examples_of_the_rfc() -> None:
    assert key(b'FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"') == And(
        (Flag("\\Flagged", True), Day("INTERNAL", ">=", DAY), Not(Header("FROM", "Smith")))
    )
    nested = key(b"OR (1:2 (SEEN)) OR NOT (DRAFT) (NEW OLD) ")
    assert nested == Or(
        And((Numbers(parse(b"1:2")), Flag("\\Seen", True))),
        Or(Not(Flag("\\Draft", True)), And((EXAMPLES[b"NEW"], EXAMPLES[b"OLD"]))),
    )


def test_charsets() -> None:
    """I36: UTF-8, ISO-8859-1, and clients that name none."""

    def with_literal(head: bytes, raw: bytes) -> object:
        scan = Scanner((b" SEARCH " + head, Literal(len(raw), True, False, raw), b""))
        return arguments(scan, name(scan))

    wanted = Text("cañón", False)
    assert with_literal(b"CHARSET UTF-8 TEXT ", "cañón".encode()) == Search(False, wanted, "UTF-8")
    assert with_literal(b"CHARSET iso-8859-1 TEXT ", "cañón".encode("latin-1")) == Search(False, wanted, "ISO-8859-1")
    assert with_literal(b"TEXT ", "cañón".encode()) == Search(False, wanted)
    assert with_literal(b"TEXT ", "cañón".encode("latin-1")) == Search(False, wanted)
    with pytest.raises(BadCommand) as refusal:
        with_literal(b"CHARSET X-UNKNOWN TEXT ", b"x")
    assert refusal.value.status == "NO"
    assert refusal.value.code.startswith("BADCHARSET (")
    with pytest.raises(BadCommand):
        with_literal(b"CHARSET US-ASCII TEXT ", b"\xf1")


@pytest.mark.parametrize("name", searchkey.CHARSETS)
def test_charsets_have_codecs(name: str) -> None:
    assert b"a".decode(searchkey.CHARSETS[name]) == "a"


@pytest.mark.parametrize(
    "line",
    [
        b"SEARCH",
        b"SEARCH ",
        b"SEARCH ()",
        b"SEARCH (SEEN",
        b"SEARCH SEEN)",
        b"SEARCH NOT",
        b"SEARCH NOT ",
        b"SEARCH OR SEEN",
        b"SEARCH (OR SEEN)",
        b"SEARCH (NOT)",
        b"SEARCH FOO",
        b"SEARCH SINCE 31-Feb-1994",
        b"SEARCH SINCE 1-Foo-1994",
        b"SEARCH SINCE 1/2/94",
        b"SEARCH LARGER x",
        b"SEARCH HEADER a:b c",
        b"SEARCH SEEN  SEEN",
        b"SEARCH OLDER 0",
        b"SEARCH " + b"(" * 40 + b"SEEN" + b")" * 40,
        b"SEARCH " + b"NOT " * 40 + b"SEEN",
        b"SEARCH " + b"OR SEEN " * 40 + b"SEEN",
        b"SEARCH " + b"SEEN " * 1001 + b"SEEN",
        b"SEARCH " + b"(" * 60_000,
    ],
)
def test_refuses(line: bytes) -> None:
    """sec-I01, sec-I05: depth and number of keys are limited."""
    with pytest.raises(BadCommand):
        read(line)


TREES = st.recursive(
    st.sampled_from([raw for raw in EXAMPLES if raw != b"NEW"]),
    lambda inner: st.one_of(
        inner.map(lambda raw: b"NOT " + raw),
        st.tuples(inner, inner).map(lambda two: b"OR " + two[0] + b" " + two[1]),
        st.lists(inner, min_size=2, max_size=4).map(lambda some: b"(" + b" ".join(some) + b")"),
    ),
    max_leaves=12,
)


def written(found: Key) -> bytes:
    """The key in wire form again."""
    if isinstance(found, Not):
        return b"NOT " + written(found.key)
    if isinstance(found, Or):
        return b"OR " + written(found.left) + b" " + written(found.right)
    if isinstance(found, And):
        return b"(" + b" ".join(map(written, found.keys)) + b")"
    return next(raw for raw, example in EXAMPLES.items() if example == found)


@given(TREES)
def test_written_and_read_again_is_the_same(raw: bytes) -> None:
    found = key(raw)
    assert key(written(found)) == found
