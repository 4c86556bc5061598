"""Volumes of an archive: which one a date belongs to, how it is called in URLs and in a language, in which order they
stand.

Promises: pure; names are those of pipermail (`2003-February`, English whatever the language of the pages), and a date
always gives the same one. Dates are UTC. Fails by: ValueError for what is no volume name.
"""

import re
from dataclasses import dataclass

from bridge.wire.dates import civil, days

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
MESES = (
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
)
_DAY = 86400
_STAMP = r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_NAME = re.compile(
    rf"(?P<week>Week-of-Mon-(?P<monday>{_STAMP}))|(?P<day>{_STAMP})|(?P<year>\d{{4}})"
    rf"(?:q(?P<quarter>[1-4])|-(?P<month>{'|'.join(MONTHS)}))?"
)


def name(epoch: int, frequency: str) -> str:
    """The volume of a moment. `frequency`: year quarter month week day."""
    year, month, day = civil(epoch)
    if frequency == "year":
        return f"{year:04d}"
    if frequency == "quarter":
        return f"{year:04d}q{(month + 2) // 3}"
    if frequency == "day":
        return f"{year:04d}{month:02d}{day:02d}"
    if frequency == "week":
        number = epoch // _DAY
        year, month, day = civil((number - (number + 3) % 7) * _DAY)
        return f"Week-of-Mon-{year:04d}{month:02d}{day:02d}"
    return f"{year:04d}-{MONTHS[month - 1]}"


@dataclass(frozen=True, slots=True)
class Start:
    """The first day of a volume (days since 1970), and its length class, so that volumes can be put in order."""

    day: int
    width: int


def start(volume: str) -> Start:
    """When a volume begins."""
    found = _NAME.fullmatch(volume)
    if not found:
        raise ValueError(f"not a volume: {volume[:40]!r}")
    stamp = found["monday"] or found["day"]
    if stamp:
        day = days(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:]))
        return Start(day, 1 if found["day"] else 7)
    year = int(found["year"])
    if found["quarter"]:
        return Start(days(year, int(found["quarter"]) * 3 - 2, 1), 90)
    if found["month"]:
        return Start(days(year, MONTHS.index(found["month"]) + 1, 1), 30)
    return Start(days(year, 1, 1), 365)


def newest_first(volumes: list[str]) -> list[str]:
    """The order of the table of volumes."""
    return sorted(volumes, key=lambda one: (start(one).day, start(one).width), reverse=True)


def label(volume: str, language: str) -> str:
    """A volume's name for people (A27)."""
    found = _NAME.fullmatch(volume)
    if not found:
        raise ValueError(f"not a volume: {volume[:40]!r}")
    spanish = language == "es"
    stamp = found["monday"] or found["day"]
    if stamp:
        day = _day(stamp, spanish)
        if found["day"]:
            return day
        return f"Semana del lunes {day}" if spanish else f"The week of Monday {day}"
    if found["quarter"]:
        ordinal = ("First", "Second", "Third", "Fourth")[int(found["quarter"]) - 1]
        return f"{found['quarter']}.º trimestre de {found['year']}" if spanish else f"{ordinal} quarter {found['year']}"
    if found["month"]:
        return (
            f"{MESES[MONTHS.index(found['month'])].capitalize()} {found['year']}"
            if spanish
            else f"{found['month']} {found['year']}"
        )
    return found["year"]


def _day(stamp: str, spanish: bool) -> str:
    year, month, day = stamp[:4], int(stamp[4:6]), int(stamp[6:])
    return f"{day} de {MESES[month - 1]} de {year}" if spanish else f"{day} {MONTHS[month - 1]} {year}"
