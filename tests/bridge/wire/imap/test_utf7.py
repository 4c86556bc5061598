"""Modified UTF-7: both ways, and only one spelling of each name (I37, sec-I04)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap import utf7

NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("INBOX", b"INBOX"),
        ("Borradores/Año", b"Borradores/A&APE-o"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 5.1.3
        ("Tom & Jerry", b"Tom &- Jerry"),
        ("á&é", b"&AOE-&-&AOk-"),
        ("😀", b"&2D3eAA-"),
        ("", b""),
    ],
)
def test_examples(name: str, raw: bytes) -> None:
    assert utf7.encode(name) == raw
    assert utf7.decode(raw) == name


@given(NAMES)
def test_round_trip(name: str) -> None:
    raw = utf7.encode(name)
    assert raw.isascii()
    assert utf7.decode(raw) == name


@given(st.binary(max_size=30) | st.text("&-,+/AaOE1 ", max_size=20).map(str.encode))
def test_what_decodes_is_what_would_be_encoded(raw: bytes) -> None:
    try:
        name = utf7.decode(raw)
    except ValueError:
        return
    assert utf7.encode(name) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"&",
        b"a&b",
        b"&AOE",
        b"&AOE-&AOk-",  # two parts that should be one
        b"&AGE-",  # "a" needs no shift
        b"&AOF-",  # surplus bits
        b"&2D0-",  # half of a surrogate pair
        b"&A-",
        b"&AOE/-",
        b"\xc3\xa1",
        b"a\x00b",
        b"a\r\nb",
        b"&AAA-x&",
    ],
)
def test_refuses(raw: bytes) -> None:
    with pytest.raises(ValueError):
        utf7.decode(raw)


def test_dot_dot_slash_can_not_hide_in_a_shifted_part() -> None:
    """sec-I04: `../` in base64 is refused, as printable ASCII must not be shifted."""
    with pytest.raises(ValueError):
        utf7.decode(b"&AC4ALgAv-")
