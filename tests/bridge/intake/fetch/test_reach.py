"""Which servers an account of the page may connect to (sec-W16, F55)."""

import socket

import pytest

from bridge.intake.fetch import probe, reach
from bridge.intake.fetch.reach import PUBLIC, Forbidden, dial, public
from tests.bridge.intake.fetch.fakes import FakePop3

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1", "198.18.0.1", "192.0.2.1", "2001:db8::1",
    "localhost", "", "240.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_open_internet(address: str) -> None:
    """sec-W16: private, loopback, link-local, and those in the clothes of IPv6."""
    assert not public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::"])
def test_what_is(address: str) -> None:
    assert public(address)


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[tuple[str, int]]:
    """A name service that answers that; what is connected to."""
    asked: list[tuple[str, int]] = []

    def connect(where: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(where)
        if len(asked) < len(addresses):
            raise OSError("nobody there")
        return socket.socket()

    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", (one, 143)) for one in addresses])
    monkeypatch.setattr(socket, "create_connection", connect)
    return asked


def test_a_public_server_is_dialled_by_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """sec-W16: no second look-up that could say something else; the next address where one is silent."""
    asked = answering(monkeypatch, "8.8.8.8", "2606:4700::1111")
    dial("imap.example.org", 993, 1, (PUBLIC,)).close()
    assert asked == [("8.8.8.8", 993), ("2606:4700::1111", 993)]


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("::1", "8.8.8.8")])
def test_a_name_with_a_private_address_is_not_dialled(monkeypatch: pytest.MonkeyPatch, addresses: tuple[str]) -> None:
    asked = answering(monkeypatch, *addresses)
    with pytest.raises(Forbidden):
        dial("imap.example.org", 143, 1, (PUBLIC,))
    assert asked == []


@pytest.mark.parametrize("port", [22, 25, 80, 6379, 0])
def test_only_mail_ports(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    asked = answering(monkeypatch, "8.8.8.8")
    with pytest.raises(Forbidden):
        dial("imap.example.org", port, 1, (PUBLIC,))
    assert asked == []


def test_what_the_administrator_names_is_reached() -> None:
    """`fetch.page_hosts`: a name, or a name and a port."""
    with FakePop3() as there:
        for allowed in ("127.0.0.1", f"127.0.0.1:{there.port}"):
            dial("127.0.0.1", there.port, 5, (PUBLIC, allowed)).close()
        dial("127.0.0.1", there.port, 5).close()  # an account of the settings reaches what it says
        for other in ("127.0.0.1:1", "localhost", "127.0.0.2"):
            with pytest.raises(Forbidden):
                dial("127.0.0.1", there.port, 5, (PUBLIC, other))


def test_the_probe_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """F55: nothing is asked of a private server, unless it is named; then its named port, too."""
    monkeypatch.setattr(probe, "PORTS", (("imap", 143, ""),))
    with FakePop3() as there:
        with pytest.raises(Forbidden):
            probe.probe("127.0.0.1", (PUBLIC,))
        found = probe.probe("127.0.0.1", (PUBLIC, f"127.0.0.1:{there.port}"))
        assert [(one.protocol, one.port) for one in found] == [("pop3", there.port)]
    assert {110, 143, 993, 995} == reach.PORTS
