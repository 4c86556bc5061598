"""Names and order of volumes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listmgr.archive import volumes

THURSDAY = 1045699324  # 2003-02-20 00:02:04 UTC


@pytest.mark.parametrize(
    ("frequency", "name"),
    [
        ("year", "2003"),
        ("quarter", "2003q1"),
        ("month", "2003-February"),
        ("week", "Week-of-Mon-20030217"),
        ("day", "20030220"),
    ],
)
def test_names_are_those_of_pipermail(frequency: str, name: str) -> None:
    assert volumes.name(THURSDAY, frequency) == name


@given(st.integers(0, 4_000_000_000), st.sampled_from(["year", "quarter", "month", "week", "day"]))
def test_a_date_lies_in_its_volume(epoch: int, frequency: str) -> None:
    name = volumes.name(epoch, frequency)
    begin = volumes.start(name)
    assert begin.day <= epoch // 86400 < begin.day + {1: 1, 7: 7, 30: 31, 90: 92, 365: 366}[begin.width]
    assert volumes.label(name, "en")
    assert volumes.label(name, "es")


def test_newest_first() -> None:
    names = ["2003-February", "2002-December", "2003", "2003-October"]
    assert volumes.newest_first(names) == ["2003-October", "2003-February", "2003", "2002-December"]


@pytest.mark.parametrize("bad", ["", "..", "2003-Febrero", "attachments", "2003-February/", "20030"])
def test_other_names_are_none(bad: str) -> None:
    with pytest.raises(ValueError):
        volumes.start(bad)
    with pytest.raises(ValueError):
        volumes.label(bad, "en")


def test_labels() -> None:
    assert volumes.label("2003-February", "es") == "Febrero 2003"
    assert volumes.label("Week-of-Mon-20030217", "es") == "Semana del lunes 17 de febrero de 2003"
    assert volumes.label("2003q1", "en") == "First quarter 2003"
