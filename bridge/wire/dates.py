"""Dates of mail: read RFC 5322 and what people send instead, write RFC 5322, IMAP and mbox forms.

Promise: no clock in here, whole seconds, plain arithmetic; `parse` answers None for what can't be a date (sec-M16), so
that the caller falls back on the time of arrival, and never raises.  RFC 5322 3.3 and 4.3, RFC 9051 date-time.
"""

from __future__ import annotations

import re

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MAX_DATE = 200  # bytes looked at
MIN_YEAR, MAX_YEAR = 1900, 9999

MONTH = {name.lower().encode(): number for number, name in enumerate(MONTHS, 1)}
_LENGTH = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ZONES = {
    b"ut": 0, b"gmt": 0, b"utc": 0, b"z": 0, b"edt": -240, b"est": -300, b"cdt": -300, b"cst": -360,
    b"mdt": -360, b"mst": -420, b"pdt": -420, b"pst": -480, b"cet": 60, b"cest": 120, b"met": 60, b"bst": 60,
}  # fmt: skip

_FAST = re.compile(
    rb"\s*(?:[A-Za-z]{3},?\s+)?(\d{1,2})\s+([A-Za-z]{3})\s+(\d{4})"
    rb"\s+(\d{2}):(\d{2})(?::(\d{2}))?\s+([+-])(\d{2})(\d{2})(?!\d)"
)
_ISO = re.compile(
    rb"\s*(\d{4})-(\d{2})-(\d{2})[Tt ]+(\d{2}):(\d{2})(?::(\d{2}))?(?:[.,]\d+)?\s*(?:([+-])(\d{2}):?(\d{2}))?"
)
_TIME = re.compile(rb"(?<![\d:])(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?![\d:])(?:\s*([AaPp])\.?[Mm]\b)?")
_DAY_MONTH = re.compile(rb"(?<!\d)(\d{1,2})[\s,.-]*([A-Za-z]{3})[a-z]*[\s,.-]*(\d{2,4})(?![\d:])")
_MONTH_DAY = re.compile(rb"(?:^|[\s,])([A-Za-z]{3})[a-z]*\.?\s+(\d{1,2})(?![\d:])")
_YEAR = re.compile(rb"(?<![\d:+-])(\d{4})(?![\d:])")
_OFFSET = re.compile(rb"([+-])(\d{2}):?(\d{2})(?!\d)")
_SIGNED = re.compile(rb"[+-]\d")
_COMMENT = re.compile(rb"\([^()]*\)")
_LETTERS = re.compile(rb"[A-Za-z]+")


def parse(value: bytes | str) -> tuple[int, int] | None:
    """(seconds since 1970 UTC, offset of the writer's zone in minutes), or None where it is no date."""
    if isinstance(value, str):
        value = value.encode("ascii", "replace")
    value = value[:MAX_DATE]
    found = _FAST.match(value)
    if not found:
        return _parse_loose(value)
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = found.groups()
    return _moment(
        int(year), MONTH.get(month.lower(), 0), int(day), int(hour), int(minute), int(second or 0),
        _offset(sign, zone_hours, zone_minutes),
    )  # fmt: skip


def rfc5322(epoch: int, offset: int = 0) -> str:
    """`Mon, 02 Jan 2006 15:04:05 +0100`."""
    year, month, day, hour, minute, second, weekday = _parts(epoch, offset)
    time = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{DAYS[weekday]}, {day:02d} {MONTHS[month - 1]} {year:04d} {time} {_zone(offset)}"


def internaldate(epoch: int, offset: int = 0) -> str:
    """`02-Jan-2006 15:04:05 +0100`, without quotes."""
    year, month, day, hour, minute, second, _ = _parts(epoch, offset)
    return f"{day:02d}-{MONTHS[month - 1]}-{year:04d} {hour:02d}:{minute:02d}:{second:02d} {_zone(offset)}"


def from_line(epoch: int, offset: int = 0) -> str:
    """`Mon Jan  2 15:04:05 2006`, the date of an mbox From_ line."""
    year, month, day, hour, minute, second, weekday = _parts(epoch, offset)
    return f"{DAYS[weekday]} {MONTHS[month - 1]} {day:2d} {hour:02d}:{minute:02d}:{second:02d} {year:04d}"


def civil(epoch: int, offset: int = 0) -> tuple[int, int, int]:
    """(year, month, day) where the writer was: what SEARCH SENTON compares."""
    return _parts(epoch, offset)[:3]


def days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _parse_loose(value: bytes) -> tuple[int, int] | None:
    """Obsolete and foreign forms: asctime, RFC 850, ISO 8601, two-digit years, named zones, comments, AM and PM."""
    while True:  # at most as often as there are levels of comments in MAX_DATE bytes
        value, changed = _COMMENT.subn(b" ", value)
        if not changed:
            break
    iso = _ISO.match(value)
    if iso:
        year, month, day, hour, minute, second, sign, zone_hours, zone_minutes = iso.groups()
        offset = _offset(sign, zone_hours, zone_minutes) if sign else 0
        return _moment(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), offset)
    date = _loose_date(value)
    time = _TIME.search(value)
    if date is None or time is None:
        return None
    hour_text, minute_text, second_text, half = time.groups()
    hours = int(hour_text)
    if half:
        hours = hours % 12 + (12 if half in b"pP" else 0)
    return _moment(*date, hours, int(minute_text), int(second_text or 0), _loose_zone(value, time.end()))


def _loose_date(value: bytes) -> tuple[int, int, int] | None:
    for found in _DAY_MONTH.finditer(value):
        month = MONTH.get(found[2].lower())
        if month:
            year = int(found[3])
            if len(found[3]) < 4:  # RFC 5322 4.3
                year += 2000 if year < 50 and len(found[3]) == 2 else 1900
            return year, month, int(found[1])
    for found in _MONTH_DAY.finditer(value):
        month = MONTH.get(found[1].lower())
        years = _YEAR.search(value, found.end())
        if month and years:
            return int(years[1]), month, int(found[2])
    return None


def _loose_zone(value: bytes, after_time: int) -> int | None:
    found = _OFFSET.search(value, after_time)
    if found:
        return _offset(found[1], found[2], found[3])
    if _SIGNED.search(value, after_time):  # a number that is no offset: the whole date is not to be trusted
        return None
    for word in _LETTERS.findall(value, after_time):
        zone = _ZONES.get(word.lower())
        if zone is not None:
            return zone
    return 0


def _offset(sign: bytes, hours: bytes, minutes: bytes) -> int | None:
    if int(hours) >= 24 or int(minutes) >= 60:
        return None
    offset = int(hours) * 60 + int(minutes)
    return -offset if sign == b"-" else offset


def _moment(
    year: int, month: int, day: int, hour: int, minute: int, second: int, offset: int | None
) -> tuple[int, int] | None:
    if offset is None or not 1 <= month <= 12 or not 1 <= day <= _LENGTH[month] or not MIN_YEAR <= year <= MAX_YEAR:
        return None
    if month == 2 and day == 29 and (year % 4 or (not year % 100 and year % 400)):
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return days(year, month, day) * 86400 + hour * 3600 + (minute - offset) * 60 + second, offset


def _parts(epoch: int, offset: int) -> tuple[int, int, int, int, int, int, int]:
    """Year, month, day, hour, minute, second, weekday (Monday is 0); years are held between 0 and 9999."""
    local = max(-62167219200, min(epoch + offset * 60, 253402300799))
    day_number, second = divmod(local, 86400)
    shifted = day_number + 719468
    era, of_era = divmod(shifted, 146097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * of_year + 2) // 153
    day = of_year - (153 * month_index + 2) // 5 + 1
    month = month_index + 3 if month_index < 10 else month_index - 9
    year = year_of_era + era * 400 + (month <= 2)
    return year, month, day, second // 3600, second // 60 % 60, second % 60, (day_number + 3) % 7


def _zone(offset: int) -> str:
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(min(abs(offset), 1439), 60)
    return f"{sign}{hours:02d}{minutes:02d}"
