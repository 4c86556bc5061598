"""The scanner: one thing of the grammar at a time."""

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire import dates
from bridge.wire.imap import encode
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.tokens import Awaiting, BadCommand, Scanner


def scan(line: bytes, depth: int = 32) -> Scanner:
    return Scanner((line,), False, depth)


@given(st.binary(max_size=60).filter(lambda raw: not set(raw) & {0, 10, 13}))
def test_quoted_strings_round_trip(raw: bytes) -> None:
    one = scan(encode.quoted(raw) + b" x")
    assert one.string() == raw
    assert one.peek() == 32


@given(st.binary(max_size=60).filter(lambda raw: 0 not in raw))
def test_what_we_write_as_a_string_can_be_read(raw: bytes) -> None:
    written = encode.astring(raw)
    if written.startswith(b"{"):
        _, _, body = written.partition(b"\r\n")
        one = Scanner((b"", Literal(len(body), True, False, body), b""))
    else:
        one = scan(written)
    assert one.astring() == raw
    assert one.at_end


@pytest.mark.parametrize(
    "line", [b'"', b'"a', b'"a\\"', b'"a\\b"', b'"a\rb"', b'"a\0b"', b"", b"(", b"\\", b"%", b'a"']
)
def test_bad_strings(line: bytes) -> None:
    one = scan(line)
    with pytest.raises(BadCommand):
        (one.astring(), one.end())


def test_nstring() -> None:
    assert scan(b"nil").nstring() is None
    assert scan(b'"NIL"').nstring() == b"NIL"
    with pytest.raises(BadCommand):
        scan(b"nile").nstring()


def test_a_literal_with_nul_is_no_string() -> None:
    for literal in (Literal(1, True, False, b"\0"), Literal(1, True, True, b"a")):
        with pytest.raises(BadCommand):
            Scanner((b"", literal, b"")).astring()


def test_a_literal_that_is_not_here_yet() -> None:
    with pytest.raises(Awaiting):
        Scanner((b"", Literal(5, True, False), b"")).string()


def test_tags() -> None:
    assert scan(b"a.1-[x] NOOP").tag() == b"a.1-[x]"
    for line in (b"", b" NOOP", b"+ NOOP", b"* NOOP", b"(a NOOP", b"\xf1 NOOP"):
        with pytest.raises(BadCommand):
            scan(line).tag()


def test_numbers() -> None:
    assert scan(b"4294967295").number() == 4294967295
    for line in (b"", b"-1", b"4294967296", b"9" * 30, b"x"):
        one = scan(line)
        with pytest.raises(BadCommand):
            (one.number(), one.end())


def test_dates() -> None:
    assert scan(b"1-Feb-1994").date() == date(1994, 2, 1)
    assert scan(b'"01-feb-1994"').date() == date(1994, 2, 1)
    when = datetime(1996, 7, 17, 2, 44, 25, tzinfo=timezone(-timedelta(hours=7)))
    assert scan(b'"17-Jul-1996 02:44:25 -0700"').date_time() == when
    assert scan(b'"7-Jul-1996 02:44:25 +0000"').date_time() == scan(b'" 7-jul-1996 02:44:25 -0000"').date_time()
    for line in (b'"117-Jul-1996 02:44:25 -0700"', b'"17-Jul-1996 24:44:25 -0700"', b'"17-Jul-0000 02:44:25 +0000"'):
        with pytest.raises(BadCommand):
            scan(line).date_time()


@given(st.integers(0, 4 * 10**9), st.integers(-14 * 60, 14 * 60))
def test_internal_dates_round_trip(seconds: int, zone: int) -> None:
    when = scan(f'"{dates.internaldate(seconds, zone)}"'.encode()).date_time()
    assert when.timestamp() == seconds
    assert when.utcoffset() == timedelta(minutes=zone)


def test_flags() -> None:
    """I38: keywords as they are, system flags in one case; sec-I18: limits."""
    assert scan(b"(\\SEEN $Junk a \\seen \\Recent)").flags() == ("\\Seen", "$Junk", "a")
    assert scan(b"()").flags() == ()
    for line in (b"(a  b)", b"( )", b"(\\)", b"(\\Foo)", b'("a")', b"((a))", b"(" + b"k" * 51 + b")", b"(a\xf1)"):
        with pytest.raises(BadCommand):
            scan(line).flags()
    with pytest.raises(BadCommand):
        scan(b"(" + b" ".join(b"k%d" % n for n in range(101)) + b")").flags()


def test_the_end_forgives_spaces_only() -> None:
    scan(b"  ").end()
    for line in (b" x", b"x", b"\r"):
        with pytest.raises(BadCommand):
            scan(line).end()


def test_lists_are_limited() -> None:
    one = scan(b"(" + b" ".join([b"a"] * 2000) + b")")
    with pytest.raises(BadCommand):
        one.keywords()
    for line in (b"()", b"(a", b"(a ", b"(a b", b"a", b"(a(b))"):
        with pytest.raises(BadCommand):
            scan(line).keywords()
