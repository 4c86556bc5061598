"""The one table of failure policy: what kind of trouble, where, means what for the recipients.

Every transport asks here, so that the same trouble has the same consequence whoever meets it. Three questions are
answered at once: temporary or final (only a plain fact about the recipient or the message is final; our own faults, the
network's and the name service's never are: P12, P28), whom it concerns (`scope`), and whether to slow down.
Never fails: what the table doesn't know is temporary.
RFC 5321 4.2.1, 4.5.4; RFC 3463; RFC 7505.
"""
import errno
from dataclasses import dataclass
from enum import Enum

from bridge.model.errors import DiskFull, StoreError
from bridge.model.outcome import Deferred, Failed
from bridge.model.reply import Reply


class Trouble(Enum):
    """What went wrong, when no other server said it."""

    DISK_FULL = "no room on our disk"
    STORE = "our disk or database failed"
    MAILBOX = "the mailbox can't be written: wrong owner, a link, no permission"
    PROGRAM = "the program can't be run or didn't end well"
    NO_MAILBOX = "the account has gone since the address was looked up"
    BUG = "an error of our own"
    NO_TRANSPORT = "nobody here delivers this kind of address"
    SILENT = "a transport said nothing about the recipient"
    STOPPING = "the service is stopping"
    SPOOL = "the spool file is damaged or can't be read"
    NAME_SERVICE = "SERVFAIL, time-out, truncation, loop or a lame answer: nothing was learned"
    NO_DOMAIN = "NXDOMAIN: the domain doesn't exist"
    NO_ADDRESS = "the domain exists and has neither mail exchanger nor address"
    NULL_MX = "the domain says that it takes no mail"
    TO_ITSELF = "the best mail exchanger is this machine"
    FORBIDDEN_HOST = "the mail exchanger has an address where we don't send"
    CONNECT = "no connection"
    TLS = "the agreed protection of the connection can't be had"
    LOST = "the connection broke"
    LOST_AFTER_DOT = "the connection broke after the message was sent, before its answer"
    TIMEOUT = "the other side was silent for too long"
    PEER = "the other side broke the protocol"
    NO_SMTPUTF8 = "the address needs SMTPUTF8 and the next host doesn't have it"
    TOO_BIG = "larger than the next host takes"
    LOOP = "the message goes round in circles"
    EXPIRED = "not delivered within its time"


class Stage(Enum):
    """Which command of the dialogue a reply answered."""

    GREETING = "greeting"
    HELLO = "hello"
    TLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class Throttle(Enum):
    """Whom to spare for a while."""

    NONE = "none"
    HOST = "host"      # this destination: fewer connections, later
    NODE = "node"      # this machine: everything that needs the same disk


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a transport reports for the recipients concerned, and whom the scheduler spares."""

    outcome: Deferred | Failed
    throttle: Throttle = Throttle.NONE


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: the reply that we make up (final if its code is 5xx), whom it concerns, whom to spare."""

    code: int
    enhanced: str
    scope: str
    throttle: Throttle = Throttle.NONE


RULES: dict[Trouble, Rule] = {
    Trouble.DISK_FULL: Rule(452, "4.3.1", "node", Throttle.NODE),
    Trouble.STORE: Rule(451, "4.3.0", "node", Throttle.NODE),
    Trouble.MAILBOX: Rule(451, "4.2.0", "recipient"),
    Trouble.PROGRAM: Rule(451, "4.3.0", "recipient"),
    Trouble.NO_MAILBOX: Rule(450, "4.2.1", "recipient"),
    Trouble.BUG: Rule(451, "4.3.0", "message"),
    Trouble.NO_TRANSPORT: Rule(451, "4.3.5", "recipient"),
    Trouble.SILENT: Rule(451, "4.3.0", "recipient"),
    Trouble.STOPPING: Rule(451, "4.3.2", "node"),
    Trouble.SPOOL: Rule(451, "4.3.0", "message"),
    Trouble.NAME_SERVICE: Rule(451, "4.4.3", "host"),
    Trouble.NO_DOMAIN: Rule(550, "5.1.2", "host"),
    Trouble.NO_ADDRESS: Rule(450, "4.4.4", "host"),
    Trouble.NULL_MX: Rule(556, "5.1.10", "host"),
    Trouble.TO_ITSELF: Rule(554, "5.4.6", "host"),
    Trouble.FORBIDDEN_HOST: Rule(550, "5.4.4", "host"),
    Trouble.CONNECT: Rule(451, "4.4.1", "host", Throttle.HOST),
    Trouble.TLS: Rule(451, "4.7.5", "host", Throttle.HOST),
    Trouble.LOST: Rule(451, "4.4.2", "host", Throttle.HOST),
    Trouble.LOST_AFTER_DOT: Rule(451, "4.4.2", "message", Throttle.HOST),
    Trouble.TIMEOUT: Rule(451, "4.4.2", "host", Throttle.HOST),
    Trouble.PEER: Rule(451, "4.5.0", "host", Throttle.HOST),
    Trouble.NO_SMTPUTF8: Rule(553, "5.6.7", "recipient"),
    Trouble.TOO_BIG: Rule(552, "5.3.4", "message"),
    Trouble.LOOP: Rule(554, "5.4.6", "message"),
    Trouble.EXPIRED: Rule(550, "5.4.7", "recipient"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a stage's temporary (`soft`) or permanent (`hard`) reply concerns; is a permanent one believed?"""

    scope: str
    final: bool
    soft: Throttle
    hard: Throttle


# A host that refuses to talk at all (greeting, hello, TLS, login) has said nothing about the recipient: never final.
REPLIES: dict[Stage, Answer] = {
    Stage.GREETING: Answer("host", False, Throttle.HOST, Throttle.HOST),
    Stage.HELLO: Answer("host", False, Throttle.HOST, Throttle.HOST),
    Stage.TLS: Answer("host", False, Throttle.HOST, Throttle.HOST),
    Stage.AUTH: Answer("host", False, Throttle.HOST, Throttle.HOST),
    Stage.MAIL: Answer("message", True, Throttle.NONE, Throttle.NONE),
    Stage.RCPT: Answer("recipient", True, Throttle.NONE, Throttle.NONE),
    Stage.DATA: Answer("message", True, Throttle.NONE, Throttle.NONE),
    Stage.DOT: Answer("message", True, Throttle.NONE, Throttle.NONE),
}

# Exit statuses of programs (sysexits.h), as Postfix reads them, but for what says that this machine or who administers
# it is to blame (71 to 74, 78, and the 126 and 127 of a program that could not be started): that is never final here.
EXITS: dict[int, tuple[str, str]] = {
    64: ("5.3.0", "command line usage error"),
    65: ("5.6.0", "data format error"),
    66: ("5.3.0", "cannot open input"),
    67: ("5.1.1", "user unknown"),
    68: ("5.1.2", "host name unknown"),
    69: ("5.2.1", "service unavailable"),
    70: ("5.3.0", "internal software error"),
    71: ("4.3.0", "system resource problem"),
    72: ("4.3.0", "critical OS file missing"),
    73: ("4.2.0", "can't create user output file"),
    74: ("4.3.0", "input/output error"),
    75: ("4.3.0", "temporary failure"),
    76: ("5.5.0", "remote error in protocol"),
    77: ("5.7.0", "permission denied"),
    78: ("4.3.5", "local configuration error"),
    126: ("4.3.0", "could not be started"),
    127: ("4.3.0", "not found"),
}

_SETUP = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
)


def judge(trouble: Trouble, text: str = "", where: str = "") -> Verdict:
    """The verdict on trouble that we noticed ourselves. `text` replaces the table's words."""
    rule = RULES[trouble]
    reply = Reply(rule.code, rule.enhanced, (text or trouble.value)[:500])
    if reply.permanent:
        return Verdict(Failed(reply, where), rule.throttle)
    return Verdict(Deferred(reply, rule.scope, where), rule.throttle)


def judge_reply(stage: Stage, reply: Reply, where: str = "") -> Verdict:
    """The verdict on what the other side answered. A positive or intermediate reply here is out of place: temporary."""
    answer = REPLIES[stage]
    if reply.code == 421:                      # RFC 5321 3.8: the service is closing, whatever was asked
        return Verdict(Deferred(reply, "host", where), Throttle.HOST)
    if reply.permanent and answer.final and not _too_many(stage, reply):
        return Verdict(Failed(reply, where), answer.hard)
    throttle = answer.hard if reply.permanent else answer.soft
    return Verdict(Deferred(reply, answer.scope, where), throttle)


def judge_exit(status: int, output: str, where: str = "") -> Verdict:
    """The verdict on a program that ended with `status` (not 0; negative: by a signal) and said `output`."""
    enhanced, words = EXITS.get(status, ("5.3.0", f"exit status {status}"))
    if status < 0:
        enhanced, words = "4.3.0", f"ended by signal {-status}"
    text = f"{words}: {output}" if output else words
    final = enhanced.startswith("5")
    reply = Reply(550 if final else 451, enhanced, text[:500])
    return Verdict(Failed(reply, where) if final else Deferred(reply, "recipient", where))


def judge_error(error: BaseException, where: str = "") -> Verdict:
    """The verdict on an exception from our own disk or code: always temporary."""
    if isinstance(error, DiskFull):
        return judge(Trouble.DISK_FULL, where=where)
    if isinstance(error, OSError):
        trouble = Trouble.MAILBOX if error.errno in _SETUP else Trouble.STORE
        return judge(trouble, f"{trouble.value}: {error.strerror or 'unknown error'}", where)
    return judge(Trouble.STORE if isinstance(error, StoreError) else Trouble.BUG, where=where)


def _too_many(stage: Stage, reply: Reply) -> bool:
    """RFC 5321 4.5.3.1.10: some servers say 552 where they mean 452, too many recipients."""
    return stage is Stage.RCPT and reply.code == 552 and not reply.enhanced.startswith("5.2")
