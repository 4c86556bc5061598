"""What may happen when: the table of commands, and the table of capabilities.

A session is NOT_AUTHENTICATED, AUTHENTICATED, SELECTED or in LOGOUT; each command names the states it is allowed in.
Four flags say what a command does to the client's numbering of messages, so that no command has to remember it:
`numbers`, its arguments or answers are sequence numbers; `holds`, no EXPUNGE may be told from its arrival to its tagged
answer, as the client would count wrongly (FETCH, STORE, SEARCH and their kin by number: RFC 3501 section 7.4.1; the UID
forms are free of it); `changes`, it writes to mailboxes or to their list; `syncs`, its tagged answer is preceded by
what others did to the selected mailbox. So before a tagged answer the shell does, for `syncs`, `view.flush(expunge=not
spec.holds)`. Two commands of a pipeline might overlap where neither `changes` and neither has `numbers` while the other
tells expunges; we run one after the other, which is always right.

RFC: 3501 and 9051 section 3; the extensions are named with each capability.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class State(Enum):
    """Where a session is."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_BEFORE = frozenset((State.NOT_AUTHENTICATED,))
_AFTER = frozenset((State.AUTHENTICATED, State.SELECTED))
_SELECTED = frozenset((State.SELECTED,))
_ANY = _BEFORE | _AFTER


@dataclass(frozen=True, slots=True)
class Spec:
    """A row of the table."""

    name: str
    states: frozenset[State]
    numbers: bool = False
    holds: bool = False
    changes: bool = False
    syncs: bool = False


def _rows() -> Iterable[Spec]:
    for name in ("CAPABILITY", "ID"):
        yield Spec(name, _ANY)
    yield Spec("NOOP", _ANY, syncs=True)
    yield Spec("LOGOUT", _ANY)
    for name in ("STARTTLS", "AUTHENTICATE", "LOGIN"):
        yield Spec(name, _BEFORE)
    for name in ("ENABLE", "SELECT", "EXAMINE", "COMPRESS", "UNAUTHENTICATE"):
        yield Spec(name, _AFTER)
    for name in ("LIST", "LSUB", "NAMESPACE", "STATUS", "IDLE", "NOTIFY", "ESEARCH", "GETJMAPACCESS"):
        yield Spec(name, _AFTER, syncs=True)
    for name in ("GETQUOTA", "GETQUOTAROOT", "GETACL", "LISTRIGHTS", "MYRIGHTS", "GETMETADATA"):
        yield Spec(name, _AFTER, syncs=True)
    for name in ("CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "APPEND"):
        yield Spec(name, _AFTER, changes=True, syncs=True)
    for name in ("SETQUOTA", "SETACL", "DELETEACL", "SETMETADATA"):
        yield Spec(name, _AFTER, changes=True, syncs=True)
    for name in ("CHECK", "CANCELUPDATE"):
        yield Spec(name, _SELECTED, syncs=True)
    yield Spec("CLOSE", _SELECTED, changes=True)
    yield Spec("UNSELECT", _SELECTED)
    yield Spec("EXPUNGE", _SELECTED, changes=True, syncs=True)
    yield Spec("UID EXPUNGE", _SELECTED, changes=True, syncs=True)
    for name in ("FETCH", "SEARCH", "SORT", "THREAD"):  # FETCH sets \Seen, but that can wait for nobody
        yield Spec(name, _SELECTED, numbers=True, holds=True, changes=name == "FETCH", syncs=True)
        yield Spec("UID " + name, _SELECTED, changes=name == "FETCH", syncs=True)
    yield Spec("STORE", _SELECTED, numbers=True, holds=True, changes=True, syncs=True)
    yield Spec("UID STORE", _SELECTED, changes=True, syncs=True)
    for name in ("COPY", "MOVE", "REPLACE"):
        yield Spec(name, _SELECTED, numbers=True, changes=True, syncs=True)
        yield Spec("UID " + name, _SELECTED, changes=True, syncs=True)


COMMANDS: Final[dict[str, Spec]] = {spec.name: spec for spec in _rows()}


@dataclass(frozen=True, slots=True)
class Capability:
    """A row of the table of capabilities; `states` is where it is announced."""

    name: str
    rfc: int
    states: frozenset[State]


def _capability_rows() -> Iterable[Capability]:
    everywhere = (
        ("IMAP4rev1", 3501), ("IMAP4rev2", 9051), ("SASL-IR", 4959), ("LITERAL+", 7888), ("LITERAL-", 7888),
        ("ID", 2971), ("ENABLE", 5161), ("IDLE", 2177),
    )  # fmt: skip
    for name, rfc in everywhere:
        yield Capability(name, rfc, _ANY)
    for name, rfc in (("STARTTLS", 3501), ("LOGINDISABLED", 3501)):
        yield Capability(name, rfc, _BEFORE)
    later = (
        ("NAMESPACE", 2342), ("UIDPLUS", 4315), ("CHILDREN", 3348), ("MOVE", 6851), ("UNSELECT", 3691),
        ("SPECIAL-USE", 6154), ("CREATE-SPECIAL-USE", 6154), ("LIST-EXTENDED", 5258), ("LIST-STATUS", 5819),
        ("LIST-MYRIGHTS", 8440), ("LIST-METADATA", 9590), ("CONDSTORE", 7162), ("QRESYNC", 7162), ("ESEARCH", 4731),
        ("SEARCHRES", 5182), ("WITHIN", 5032), ("QUOTA", 9208), ("QUOTA=RES-STORAGE", 9208),
        ("QUOTA=RES-MESSAGE", 9208), ("QUOTASET", 9208), ("SORT", 5256), ("SORT=DISPLAY", 5957), ("ESORT", 5267),
        ("CONTEXT=SEARCH", 5267), ("CONTEXT=SORT", 5267), ("THREAD=REFERENCES", 5256),
        ("THREAD=ORDEREDSUBJECT", 5256), ("MULTIAPPEND", 3502), ("APPENDLIMIT", 7889), ("BINARY", 3516),
        ("UTF8=ACCEPT", 6855), ("STATUS=SIZE", 8438), ("SAVEDATE", 8514), ("PREVIEW", 8970), ("OBJECTID", 8474),
        ("ACL", 4314), ("RIGHTS=texk", 4314), ("METADATA", 5464), ("METADATA-SERVER", 5464), ("NOTIFY", 5465),
        ("COMPRESS=DEFLATE", 4978), ("REPLACE", 8508), ("INPROGRESS", 9585), ("MULTISEARCH", 7377),
        ("UIDONLY", 9586), ("PARTIAL", 9394), ("CATENATE", 4469), ("URL-PARTIAL", 5550),
        ("SEARCH=FUZZY", 6203), ("UNAUTHENTICATE", 8437), ("JMAPACCESS", 9698),
    )  # fmt: skip
    for name, rfc in later:
        yield Capability(name, rfc, _AFTER)


CAPABILITIES: Final[tuple[Capability, ...]] = tuple(_capability_rows())


def capabilities(
    state: State,
    offered: Collection[str],
    *,
    tls: bool,
    starttls: bool = False,
    plaintext: bool = False,
    mechanisms: Iterable[str] = ("PLAIN",),
    append_limit: int | None = None,
) -> bytes:
    """The capabilities to announce now, without the word CAPABILITY.

    `offered` are the names that the server implements (minus what is switched off for this account); `tls` says
    whether the connection is encrypted, `starttls` whether it can become so, `plaintext` whether passwords are
    taken without. STARTTLS, LOGINDISABLED and AUTH= follow from these (RFC 3501 section 6.2, RFC 8314).
    """
    names: list[str] = []
    for row in CAPABILITIES:
        if state not in row.states:
            continue
        if row.name == "STARTTLS":
            wanted = starttls and not tls
        elif row.name == "LOGINDISABLED":
            wanted = not (tls or plaintext)
        else:
            wanted = row.name in offered
        if wanted:
            limited = row.name == "APPENDLIMIT" and append_limit is not None
            names.append(f"APPENDLIMIT={append_limit}" if limited else row.name)
    if state is State.NOT_AUTHENTICATED and (tls or plaintext):
        names += ["AUTH=" + mechanism for mechanism in mechanisms]
    return " ".join(names).encode("ascii")
