"""Dates of mail: sec-M16, I35; checked against the standard library where that is right."""

import calendar
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire import dates

MOMENT = 1136210645  # 2006-01-02 14:04:05 UTC


@pytest.mark.parametrize(
    ("text", "epoch", "offset"),
    [
        ("Mon, 02 Jan 2006 15:04:05 +0100", MOMENT, 60),
        ("Mon, 2 Jan 2006 15:04:05 +0100 (CET)", MOMENT, 60),
        ("2 Jan 2006 14:04:05 GMT", MOMENT, 0),
        ("02 Jan 06 09:04:05 EST", MOMENT, -300),
        ("Mon,2 Jan 2006 14:04:05 +0000", MOMENT, 0),
        ("Mon, 2 Jan 2006 14:04 -0000", MOMENT - 5, 0),
        ("Mon (a (b)) , 2 Jan 2006 14:04:05 Z", MOMENT, 0),
        ("Mon Jan  2 14:04:05 2006", MOMENT, 0),
        ("Mon Jan  2 15:04:05 CET 2006", MOMENT, 60),
        ("Mon Jan  2 15:04:05 +0100 2006", MOMENT, 60),
        ("Monday, 02-Jan-06 14:04:05 GMT", MOMENT, 0),
        ("2006-01-02T14:04:05Z", MOMENT, 0),
        ("2006-01-02 15:04:05.123 +01:00", MOMENT, 60),
        ("2 January 2006 2:04:05 PM +0000", MOMENT, 0),
        ("Mon, 02 Jan 2006 15:04:05 +0100\r\n", MOMENT, 60),
        ("Mon,\t02 Jan\n 2006 15:04:05\n +0100", MOMENT, 60),
        ("2 Jan 106 14:04:05 +0000", MOMENT, 0),
        ("31 Dec 2016 23:59:60 +0000", 1483228800, 0),
        ("29 Feb 2000 00:00:00 +0000", 951782400, 0),
        ("1 Jan 1960 00:00:00 +0000", -315619200, 0),
        ("2 Jan 2006 14:04:05 XYZ", MOMENT, 0),
        ("2 jan 2006 14:04:05 gmt", MOMENT, 0),
    ],
)
def test_dates_that_people_send(text: str, epoch: int, offset: int) -> None:
    assert dates.parse(text) == dates.parse(text.encode()) == (epoch, offset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1 Jan 99999 00:00:00 +0000",
        "1 Jan 2006 00:00:00 +999999999",
        "1 Jan 2006 00:00:00 +9999",
        "1 Jan 2006 25:00:00 +0000",
        "31 Feb 2006 00:00:00 +0000",
        "29 Feb 2100 00:00:00 +0000",
        "0 Jan 2006 00:00:00 +0000",
        "1 Foo 2006 00:00:00 +0000",
        "1 Jan 2006",
        "12:00:00",
        "1 Jan 1800 00:00:00 +0000",
        "2006-13-01 00:00:00",
        "\0\xff",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    """sec-M16: the caller takes the time of arrival."""
    assert dates.parse(text) is None


EPOCHS = st.integers(calendar.timegm((1900, 1, 2, 0, 0, 0)), calendar.timegm((9999, 12, 30, 0, 0, 0)))
OFFSETS = st.integers(-14 * 60, 14 * 60)


@given(EPOCHS, OFFSETS)
def test_what_we_write_we_read(epoch: int, offset: int) -> None:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=epoch)
    local = moment.astimezone(timezone(timedelta(minutes=offset)))
    text = dates.rfc5322(epoch, offset)
    assert text == format_datetime(local)
    assert dates.parse(text) == (epoch, offset)
    internal = dates.internaldate(epoch, offset)
    assert internal == local.strftime(f"%d-%b-{local.year:04d} %H:%M:%S %z")
    assert dates.parse(internal) == (epoch, offset)
    assert dates.civil(epoch, offset) == (local.year, local.month, local.day)
    plain = dates.from_line(epoch)
    assert plain == moment.strftime("%a %b ") + f"{moment.day:2d} " + moment.strftime(f"%H:%M:%S {moment.year:04d}")
    assert dates.parse(plain) == (epoch, 0)


def test_writers_hold_any_number() -> None:
    for epoch in (-(10**18), 10**18):
        for write in (dates.rfc5322, dates.internaldate, dates.from_line):
            assert write(epoch, 10**6)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    b"1",
                    b"99",
                    b"2006",
                    b" ",
                    b":",
                    b"Jan",
                    b"Mon, ",
                    b"+0100",
                    b"(",
                    b")",
                    b"-",
                    b"GMT",
                    b"12:00",
                    b"PM",
                    b"T",
                    b"\0",
                ]
            ),
            max_size=14,
        ).map(b"".join),
    )
)
def test_parse_never_raises(raw: bytes) -> None:
    told = dates.parse(raw)
    assert told is None or abs(told[1]) < 1440


def test_floods() -> None:
    start = time.process_time()
    for piece in (b"(", b"()", b" ", b"1", b"Jan ", b"1 Jan ", b":", b"+0", b"a"):
        dates.parse(piece * 200_000)
    assert time.process_time() - start < 1
