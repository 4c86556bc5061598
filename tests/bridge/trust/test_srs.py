"""S68, sec-O15: bounces of forwarded mail find back, and nobody else finds a way through us."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.trust import srs

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_790_000_000.0
DAY = 86400.0


@pytest.mark.parametrize("sender", ["ana@far.example", "a=b+c@far.example", '"a b"@far.example', "peña@far.example"])
def test_there_and_back(sender):
    made = srs.forward(sender, "example.org", KEY, NOW)
    assert made.startswith("SRS0=")
    assert made.endswith("@example.org")
    assert srs.looks_like(made)
    assert srs.reverse(made, KEY, NOW + 20 * DAY) == sender
    assert srs.reverse(made.lower(), KEY, NOW) == sender
    assert srs.reverse(made, KEY, NOW + 30 * DAY) is None
    assert srs.reverse(made, OTHER, NOW) is None


def test_a_second_forwarder_keeps_it_short():
    first = srs.forward("ana@far.example", "one.example", OTHER, NOW)
    second = srs.forward(first, "example.org", KEY, NOW)
    assert second.startswith("SRS1=")
    assert srs.reverse(second, KEY, NOW + 99 * DAY) == first
    third = srs.forward(second, "three.example", OTHER, NOW)
    assert "=one.example==" in third
    assert srs.reverse(third, OTHER, NOW) == first


@pytest.mark.parametrize("old", ["far.example", "ana", "SRS0="])
def test_no_other_address_by_the_same_hash(old):
    made = srs.forward("ana@far.example", "example.org", KEY, NOW)
    assert srs.reverse(made.replace(old, "x"), KEY, NOW) is None


@pytest.mark.parametrize("sender", ["", "ana", "a" * 300 + "@far.example", "ana@far=example", "srs1=x@far.example"])
def test_what_stays_as_it_is(sender):
    assert srs.forward(sender, "example.org", KEY, NOW) is None


@given(st.text(max_size=60))
def test_any_text(text):
    assert srs.reverse(f"SRS0={text}@example.org", KEY, NOW) is None
    assert srs.reverse(f"SRS1={text}@example.org", KEY, NOW) is None
    made = srs.forward(f"{text}@far.example", "example.org", KEY, NOW)
    assert made is None or srs.reverse(made, KEY, NOW) is not None
