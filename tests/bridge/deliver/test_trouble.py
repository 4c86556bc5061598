"""The table of failure policy, written a second time by hand: kind of trouble, stage and code -> what becomes of it."""
import errno
import os

import pytest

from bridge.deliver.trouble import (
    EXITS,
    REPLIES,
    RULES,
    Stage,
    Throttle,
    Trouble,
    judge,
    judge_error,
    judge_exit,
    judge_reply,
)
from bridge.model.errors import DiskFull, StoreError
from bridge.model.outcome import Deferred, Failed
from bridge.model.reply import Reply, parse

TABLE = {
    # trouble: (final, status, scope, whom to spare)
    "DISK_FULL": (False, "4.3.1", "node", "node"),
    "STORE": (False, "4.3.0", "node", "node"),
    "MAILBOX": (False, "4.2.0", "recipient", "none"),
    "PROGRAM": (False, "4.3.0", "recipient", "none"),
    "NO_MAILBOX": (False, "4.2.1", "recipient", "none"),
    "BUG": (False, "4.3.0", "message", "none"),
    "NO_TRANSPORT": (False, "4.3.5", "recipient", "none"),
    "SILENT": (False, "4.3.0", "recipient", "none"),
    "STOPPING": (False, "4.3.2", "node", "none"),
    "SPOOL": (False, "4.3.0", "message", "none"),
    "NAME_SERVICE": (False, "4.4.3", "host", "none"),
    "NO_DOMAIN": (True, "5.1.2", "", "none"),
    "NO_ADDRESS": (False, "4.4.4", "host", "none"),
    "NULL_MX": (True, "5.1.10", "", "none"),
    "TO_ITSELF": (True, "5.4.6", "", "none"),
    "FORBIDDEN_HOST": (True, "5.4.4", "", "none"),
    "CONNECT": (False, "4.4.1", "host", "host"),
    "TLS": (False, "4.7.5", "host", "host"),
    "LOST": (False, "4.4.2", "host", "host"),
    "LOST_AFTER_DOT": (False, "4.4.2", "message", "host"),
    "TIMEOUT": (False, "4.4.2", "host", "host"),
    "PEER": (False, "4.5.0", "host", "host"),
    "NO_SMTPUTF8": (True, "5.6.7", "", "none"),
    "TOO_BIG": (True, "5.3.4", "", "none"),
    "LOOP": (True, "5.4.6", "", "none"),
    "EXPIRED": (True, "5.4.7", "", "none"),
}


def test_table_is_complete():
    assert {one.name for one in Trouble} == set(TABLE) == {one.name for one in RULES}
    assert set(Stage) == set(REPLIES)


@pytest.mark.parametrize(("name", "row"), TABLE.items())
def test_trouble(name, row):
    """P12, P28: our faults and the name service's never bounce; NXDOMAIN and null MX do."""
    final, status, scope, throttle = row
    verdict = judge(Trouble[name], where="here")
    assert isinstance(verdict.outcome, Failed if final else Deferred)
    assert verdict.outcome.reply.status == status
    assert verdict.outcome.reply.permanent is final
    assert verdict.outcome.where == "here"
    assert verdict.throttle is Throttle(throttle)
    if isinstance(verdict.outcome, Deferred):
        assert verdict.outcome.scope == scope


SAID = [
    ("GREETING", "554 5.7.1 go away", "deferred", "host", "host"),
    ("GREETING", "450 4.3.2 busy", "deferred", "host", "host"),
    ("HELLO", "550 5.7.1 bad name", "deferred", "host", "host"),
    ("TLS", "501 5.5.4 no", "deferred", "host", "host"),
    ("AUTH", "535 5.7.8 wrong password", "deferred", "host", "host"),
    ("MAIL", "452 4.3.1 full", "deferred", "message", "none"),
    ("MAIL", "550 5.7.1 sender refused", "failed", "", "none"),
    ("RCPT", "450 4.2.1 greylisted", "deferred", "recipient", "none"),
    ("RCPT", "550 5.1.1 no such user", "failed", "", "none"),
    ("RCPT", "552 too many recipients", "deferred", "recipient", "none"),
    ("RCPT", "552 5.2.2 mailbox full", "failed", "", "none"),
    ("DATA", "451 4.3.0 later", "deferred", "message", "none"),
    ("DATA", "554 5.5.1 no valid recipients", "failed", "", "none"),
    ("DOT", "451 4.7.1 later", "deferred", "message", "none"),
    ("DOT", "554 5.7.1 looks like spam", "failed", "", "none"),
    ("DOT", "421 4.3.2 shutting down", "deferred", "host", "host"),
    ("RCPT", "421 4.7.0 too fast", "deferred", "host", "host"),
    ("RCPT", "garbage", "deferred", "recipient", "none"),
    ("DOT", "299 2.0.0 what?", "deferred", "message", "none"),
]


@pytest.mark.parametrize(("stage", "line", "fate", "scope", "throttle"), SAID)
def test_reply(stage, line, fate, scope, throttle):
    verdict = judge_reply(Stage[stage], parse(line), "mx.example.org")
    assert isinstance(verdict.outcome, Failed if fate == "failed" else Deferred)
    assert verdict.throttle is Throttle(throttle)
    if isinstance(verdict.outcome, Deferred):
        assert verdict.outcome.scope == scope


ENDS = {
    1: "5.3.0", 2: "5.3.0", 64: "5.3.0", 65: "5.6.0", 66: "5.3.0", 67: "5.1.1", 68: "5.1.2", 69: "5.2.1", 70: "5.3.0",
    71: "4.3.0", 72: "4.3.0", 73: "4.2.0", 74: "4.3.0", 75: "4.3.0", 76: "5.5.0", 77: "5.7.0", 78: "4.3.5", 99: "5.3.0",
    126: "4.3.0", 127: "4.3.0", -9: "4.3.0", -15: "4.3.0",
}


@pytest.mark.parametrize(("status", "enhanced"), ENDS.items())
def test_exit_statuses(status, enhanced):
    """S56: sysexits; what says that this machine is to blame is temporary."""
    outcome = judge_exit(status, "it said so", "/bin/x").outcome
    assert outcome.reply.status == enhanced
    assert isinstance(outcome, Failed if enhanced[0] == "5" else Deferred)
    assert outcome.reply.text.endswith(": it said so")
    assert outcome.where == "/bin/x"
    assert set(EXITS) <= set(ENDS)


def test_errors_are_never_final():
    """P12: whatever escapes from our own disk or code is temporary."""
    def fate(error):
        outcome = judge_error(error).outcome
        assert isinstance(outcome, Deferred)
        return outcome.reply.status, outcome.scope

    assert fate(DiskFull("full")) == ("4.3.1", "node")
    assert fate(StoreError("locked")) == ("4.3.0", "node")
    assert fate(ValueError("bug")) == ("4.3.0", "message")
    for number in errno.errorcode:
        status, scope = fate(OSError(number, os.strerror(number)))
        assert (status, scope) in {("4.3.0", "node"), ("4.2.0", "recipient")}


def test_text_is_bounded():
    """sec-O05: what goes into a record is short."""
    assert len(judge(Trouble.PEER, "x" * 5000).outcome.reply.text) == 500
    assert judge(Trouble.PEER, "said rubbish").outcome.reply == Reply(451, "4.5.0", "said rubbish")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EDQUOT, errno.ENOSPC, errno.EIO])
def test_want_of_our_own_machine_is_temporary(number: int) -> None:
    """P07, P12: no descriptors, no quota: the whole node slows down, and nobody gets his mail back."""
    verdict = judge_error(OSError(number, os.strerror(number)))
    assert isinstance(verdict.outcome, Deferred)
    assert verdict.throttle is Throttle.NODE
