"""Tokens of forms, and how many forms a network may send (sec-L01, sec-W05)."""

import os

import pytest

from listmgr.forms import NETWORKS, OLDEST, Forms, Rate, network


@pytest.fixture
def clock() -> list[float]:
    return [1_700_000_000.0]


@pytest.fixture
def forms(clock: list[float]) -> Forms:
    return Forms(b"secret" * 4, lambda: clock[0], os.urandom, 5)


def test_a_token_is_good_for_its_purpose_network_and_time(forms: Forms, clock: list[float]) -> None:
    token = forms.issue("list:a", "192.0.2.7")
    assert not forms.accepts(token, "list:a", "192.0.2.7")  # a robot
    clock[0] += 6
    assert forms.accepts(token, "list:a", "192.0.2.99")
    assert not forms.accepts(token, "list:b", "192.0.2.7")
    assert not forms.accepts(token, "list:a", "198.51.100.7")
    clock[0] += OLDEST
    assert not forms.accepts(token, "list:a", "192.0.2.7")


@pytest.mark.parametrize("bad", ["", "x", "..", "1.2.3", "9" * 50 + ".a.b", "-1.a.b", "١.a.b", "1.a.ñ", "\0.\0.\0"])
def test_inventions(forms: Forms, clock: list[float], bad: str) -> None:
    assert not forms.accepts(bad, "list:a", "192.0.2.7")


def test_another_server_makes_other_tokens(forms: Forms, clock: list[float]) -> None:
    """sec-L12."""
    other = Forms(b"another secret, as long", lambda: clock[0], os.urandom)
    token = other.issue("list:a", "192.0.2.7")
    assert other.accepts(token, "list:a", "192.0.2.7")
    clock[0] += 6
    assert not forms.accepts(token, "list:a", "192.0.2.7")


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8::7", "2001:db8::/64"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_networks(client: str, expected: str) -> None:
    assert network(client) == expected


def test_rate(clock: list[float]) -> None:
    rate = Rate(3, lambda: clock[0])
    assert [rate.allows(f"192.0.2.{n}") for n in range(5)] == [True, True, True, False, False]
    assert rate.allows("198.51.100.1")
    clock[0] += 3601
    assert rate.allows("192.0.2.1")
    for number in range(NETWORKS + 10):
        rate.allows(f"2001:db8:{number >> 16:x}:{number & 65535:x}::1")
    assert len(rate._seen) == NETWORKS
