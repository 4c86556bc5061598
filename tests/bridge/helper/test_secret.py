"""Tickets, and the secret that they are signed with (sec-A10)."""

import os
import stat
from pathlib import Path

import pytest

from bridge.helper.proof import TICKET_SECONDS, good, ticket
from bridge.helper.server import secret_beside
from bridge.model.errors import ConfigError
from bridge.store.failpoints import arm

SECRET = bytes(32)


def test_a_ticket_is_for_one_user_one_protocol_and_a_while() -> None:
    given = ticket(SECRET, "ana", "imap", 100.0)
    assert good(given, SECRET, "ana", "imap", 100.0 + TICKET_SECONDS - 1)
    assert not good(given, SECRET, "ana", "imap", 100.0 + TICKET_SECONDS)
    assert not good(given, SECRET, "luis", "imap", 100.0)
    assert not good(given, SECRET, "ana", "pop3", 100.0)
    assert not good(given, bytes(31) + b"x", "ana", "imap", 100.0)


@pytest.mark.parametrize("given", ["", ".", "1", "1.", "9" * 30 + ".x", "-1.x", "٣.x", "1.\u00e9", "1e9.x"])
def test_what_is_no_ticket_opens_nothing(given: str) -> None:
    assert not good(given, SECRET, "ana", "imap", 0.0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root's files are believed")
def test_the_secret_outlives_a_restart(tmp_path: Path) -> None:
    """And one that others could have written is replaced."""
    first = secret_beside(tmp_path / "socket")
    place = tmp_path / "socket.secret"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert secret_beside(tmp_path / "socket") == first
    place.chmod(0o666)
    second = secret_beside(tmp_path / "socket")
    assert second != first
    place.write_bytes(b"short")
    assert len(secret_beside(tmp_path / "socket")) == 32


def test_a_secret_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    arm("helper.secret=EIO@1")
    try:
        with pytest.raises(ConfigError, match="can't be written"):
            secret_beside(tmp_path / "socket")
    finally:
        arm("")
    assert len(secret_beside(tmp_path / "socket")) == 32
