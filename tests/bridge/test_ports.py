"""Listening sockets: shared, refused with words, unix."""

import socket
import stat
from pathlib import Path

import pytest

from bridge import ports
from bridge.model.errors import ConfigError
from tests.lab import free_ports


def test_a_busy_port_is_explained_and_nothing_stays_open() -> None:
    first, second = free_ports(2)
    with socket.socket() as other:
        other.bind(("127.0.0.1", second))
        other.listen()
        with pytest.raises(ConfigError, match=rf"listen.pop3: 127.0.0.1 port {second}: .*choose another port"):
            ports.bind([("imap", "127.0.0.1", first), ("pop3", "127.0.0.1", second)], share=False)
    found = ports.bind([("imap", "127.0.0.1", first)], share=False)     # it was given back
    ports.close(found)


def test_processes_may_share_a_port_and_connections_wait_for_them() -> None:
    (port,) = free_ports(1)
    one = ports.bind([("imap", "127.0.0.1", port)], share=True)
    two = ports.bind([("imap", "127.0.0.1", port)], share=True)
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    ports.close(one)
    ports.close(two)


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(ConfigError, match=r"listen.addresses: 192\.0\.2\.7 is no address of this machine"):
        ports.bind([("smtp", "192.0.2.7", free_ports(1)[0])], share=False)


def test_unix_sockets_are_private_and_replace_dead_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    ports.unix_socket(path).close()
    again = ports.unix_socket(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.close()
    with pytest.raises(ConfigError, match=r"set paths\.run to a shorter one"):
        ports.unix_socket(tmp_path / ("x" * 120))
