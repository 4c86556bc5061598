"""Who is in which network."""

import pytest

from bridge.model.network import Networks, address

NEAR = Networks.of(("127.0.0.0/8", "192.0.2.0/24", "::1/128", "fe80::/10", "2001:db8:1::/48"))


@pytest.mark.parametrize("client", ["127.3.2.1", "192.0.2.7", "::ffff:192.0.2.7", "::1", "fe80::1%eth0"])
def test_inside(client: str) -> None:
    assert client in NEAR
    assert address(client) in NEAR


@pytest.mark.parametrize("client", ["192.0.3.7", "::ffff:192.0.3.7", "2001:db8:2::1", "", "/run/socket", "192.0.2.7.8"])
def test_outside(client: str) -> None:
    assert client not in NEAR


def test_no_networks() -> None:
    assert "127.0.0.1" not in Networks.of(())
