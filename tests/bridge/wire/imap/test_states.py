"""The two tables."""

import pytest

from bridge.wire.imap.states import CAPABILITIES, COMMANDS, State, capabilities

BASIC = {"IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE", "IDLE", "NAMESPACE", "MOVE", "APPENDLIMIT"}


def test_what_tells_numbers_holds_expunges() -> None:
    """RFC 3501 section 7.4.1: no EXPUNGE while FETCH, STORE or SEARCH is answered; the UID forms are free."""
    holding = {name for name, spec in COMMANDS.items() if spec.holds}
    assert holding == {"FETCH", "STORE", "SEARCH", "SORT", "THREAD"}
    assert all(COMMANDS[name].numbers for name in holding)
    assert not any(spec.numbers or spec.holds for name, spec in COMMANDS.items() if name.startswith("UID "))


def test_only_what_is_harmless_goes_before_login() -> None:
    before = {name for name, spec in COMMANDS.items() if State.NOT_AUTHENTICATED in spec.states}
    assert before == {"CAPABILITY", "ID", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN"}
    assert not any(COMMANDS[name].changes for name in before)
    assert not any(State.LOGOUT in spec.states for spec in COMMANDS.values())


def test_capabilities_before_login() -> None:
    """I01, sec-I02: no login in clear; STARTTLS and AUTH follow from the connection."""
    clear = capabilities(State.NOT_AUTHENTICATED, BASIC, tls=False, starttls=True).split()
    assert b"STARTTLS" in clear
    assert b"LOGINDISABLED" in clear
    assert not any(name.startswith(b"AUTH=") for name in clear)
    assert b"NAMESPACE" not in clear
    secure = capabilities(State.NOT_AUTHENTICATED, BASIC, tls=True, starttls=True, mechanisms=("PLAIN", "LOGIN"))
    assert secure == b"IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN"
    allowed = capabilities(State.NOT_AUTHENTICATED, BASIC, tls=False, plaintext=True)
    assert b"AUTH=PLAIN" in allowed
    assert b"LOGINDISABLED" not in allowed


def test_capabilities_after_login() -> None:
    """I39: what is not offered is not announced."""
    names = capabilities(State.SELECTED, BASIC - {"IDLE"}, tls=True, append_limit=1000).split()
    assert names == [
        b"IMAP4rev1",
        b"SASL-IR",
        b"LITERAL+",
        b"ID",
        b"ENABLE",
        b"NAMESPACE",
        b"MOVE",
        b"APPENDLIMIT=1000",
    ]


@pytest.mark.parametrize("row", CAPABILITIES, ids=lambda row: row.name)
def test_rows(row: object) -> None:
    assert sum(other == row for other in CAPABILITIES) == 1
