"""Arguments of the commands that extensions add: quota, access lists, annotations, NOTIFY, searches in many mailboxes.

Fails by: `BadCommand`.
RFC: 9208 (QUOTA), 4314 (ACL), 5464 (METADATA), 5465 (NOTIFY), 7377 (MULTISEARCH), 5267 (CONTEXT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.wire.imap.args.mailbox import entries, entry
from bridge.wire.imap.args.message import Item, fetch_items
from bridge.wire.imap.args.search import return_options
from bridge.wire.imap.args.searchkey import Key, search_key
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.tokens import NUMBER63, BadCommand, Scanner

MAILBOXES: Final = 500  # mailboxes named in one command
EVENT_GROUPS: Final = 50
ENTRIES: Final = 100
RIGHTS: Final = frozenset("lrswipkxteacd")

EVENTS: Final = {
    name.upper(): name
    for name in (
        "MessageNew", "MessageExpunge", "FlagChange", "AnnotationChange", "MailboxName", "SubscriptionChange",
        "MailboxMetadataChange", "ServerMetadataChange",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GetQuota:
    """GETQUOTA."""

    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    """GETQUOTAROOT."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """SETQUOTA; limits are (resource, limit)."""

    root: str
    limits: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SetAcl:
    """SETACL; `mode` is "", "+" or "-"."""

    mailbox: str
    identifier: str
    mode: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    """DELETEACL."""

    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl:
    """GETACL."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights:
    """LISTRIGHTS."""

    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights:
    """MYRIGHTS."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """GETMETADATA; mailbox "" is the server, depth is "0", "1" or "infinity"."""

    mailbox: str
    entries: tuple[str, ...]
    max_size: int | None = None
    depth: str = "0"


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """SETMETADATA; a value of None removes the entry."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class EventGroup:
    """For these mailboxes, these events; no events: NONE. `items` is what MessageNew should fetch."""

    scope: str  # SELECTED SELECTED-DELAYED INBOXES PERSONAL SUBSCRIBED SUBTREE SUBTREE-ONE MAILBOXES
    mailboxes: tuple[str, ...]
    events: tuple[str, ...]
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """NOTIFY; `groups` is None for NOTIFY NONE."""

    status: bool
    groups: tuple[EventGroup, ...] | None


@dataclass(frozen=True, slots=True)
class Esearch:
    """ESEARCH: a search in several mailboxes; `sources` is empty for the selected one."""

    sources: tuple[tuple[str, tuple[str, ...]], ...]
    key: Key
    charset: str
    returns: frozenset[str]
    partial: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class CancelUpdate:
    """CANCELUPDATE: the tags of the searches that shall not be updated any more."""

    tags: tuple[bytes, ...]


def cancel_update(scan: Scanner) -> CancelUpdate:
    """CANCELUPDATE."""
    scan.space()
    tags = [scan.string()]
    while scan.accept(b" "):
        if len(tags) >= ENTRIES:
            raise BadCommand("Too many tags", "LIMIT")
        tags.append(scan.string())
    return CancelUpdate(tuple(tags))


def get_quota(scan: Scanner) -> GetQuota:
    """GETQUOTA."""
    scan.space()
    return GetQuota(scan.text())


def get_quota_root(scan: Scanner) -> GetQuotaRoot:
    """GETQUOTAROOT."""
    scan.space()
    return GetQuotaRoot(scan.mailbox())


def set_quota(scan: Scanner) -> SetQuota:
    """SETQUOTA."""
    scan.space()
    root = scan.text()
    scan.space()
    scan.expect(b"(")
    limits: list[tuple[str, int]] = []
    if scan.accept(b")"):
        return SetQuota(root, ())
    while True:
        resource = scan.keyword()
        scan.space()
        limits.append((resource, scan.number(0, NUMBER63)))
        if not scan.more(len(limits), 16):
            return SetQuota(root, tuple(limits))


def set_acl(scan: Scanner) -> SetAcl:
    """SETACL."""
    mailbox, identifier = _who(scan)
    scan.space()
    raw = scan.text()
    mode = raw[:1] if raw[:1] in ("+", "-") else ""
    rights = raw[len(mode) :]
    if not RIGHTS.issuperset(rights):
        raise BadCommand("Unknown right")
    return SetAcl(mailbox, identifier, mode, rights)


def _who(scan: Scanner) -> tuple[str, str]:
    scan.space()
    mailbox = scan.mailbox()
    scan.space()
    return mailbox, scan.text()


def delete_acl(scan: Scanner) -> DeleteAcl:
    """DELETEACL."""
    return DeleteAcl(*_who(scan))


def get_acl(scan: Scanner) -> GetAcl:
    """GETACL."""
    scan.space()
    return GetAcl(scan.mailbox())


def list_rights(scan: Scanner) -> ListRights:
    """LISTRIGHTS."""
    return ListRights(*_who(scan))


def my_rights(scan: Scanner) -> MyRights:
    """MYRIGHTS."""
    scan.space()
    return MyRights(scan.mailbox())


def get_metadata(scan: Scanner) -> GetMetadata:
    """GETMETADATA; options before the mailbox, or behind it as some clients write."""
    scan.space()
    size, depth = None, "0"
    if scan.peek() == 40:
        size, depth = _metadata_options(scan)
        scan.space()
    mailbox = scan.mailbox()
    scan.space()
    return GetMetadata(mailbox, entries(scan), size, depth)


def _metadata_options(scan: Scanner) -> tuple[int | None, str]:
    scan.expect(b"(")
    size, depth = None, "0"
    count = 1
    while True:
        option = scan.keyword()
        scan.space()
        if option == "MAXSIZE":
            size = scan.number()
        elif option == "DEPTH":
            depth = scan.keyword().lower()
        else:
            raise BadCommand("Unknown option of GETMETADATA")
        if depth not in ("0", "1", "infinity"):
            raise BadCommand("Depth is 0, 1 or infinity")
        if not scan.more(count, 4):
            return size, depth
        count += 1


def set_metadata(scan: Scanner) -> SetMetadata:
    """SETMETADATA."""
    scan.space()
    mailbox = scan.mailbox()
    scan.space()
    scan.expect(b"(")
    values: list[tuple[str, bytes | None]] = []
    while True:
        name = entry(scan)
        scan.space()
        values.append((name, _value(scan)))
        if not scan.more(len(values), ENTRIES):
            return SetMetadata(mailbox, tuple(values))


def _value(scan: Scanner) -> bytes | None:
    if scan.at_literal:
        literal: Literal = scan.literal()
        if literal.data is None:
            raise BadCommand("Value too long")
        return literal.data
    return scan.nstring()


def notify(scan: Scanner) -> Notify:
    """NOTIFY."""
    scan.space()
    word = scan.keyword()
    if word == "NONE":
        return Notify(False, None)
    if word != "SET":
        raise BadCommand("SET or NONE expected")
    scan.space()
    status = scan.accept(b"STATUS ")
    groups = [_group(scan)]
    while scan.accept(b" "):
        if len(groups) >= EVENT_GROUPS:
            raise BadCommand("Too many event groups", "LIMIT")
        groups.append(_group(scan))
    return Notify(status, tuple(groups))


def _group(scan: Scanner) -> EventGroup:
    scan.expect(b"(")
    scope = scan.keyword()
    names = _scope(scan, scope)
    scan.space()
    if scan.peek_keyword() == "NONE":
        scan.keyword()
        scan.expect(b")")
        return EventGroup(scope, names, ())
    scan.expect(b"(")
    events: list[str] = []
    items: tuple[Item, ...] = ()
    while True:
        event = EVENTS.get(scan.keyword())
        if event is None:
            raise BadCommand("Unknown event", "BADEVENT (MessageNew MessageExpunge FlagChange)", "NO")
        events.append(event)
        if event == "MessageNew" and scan.accept(b" ("):
            scan.pos -= 1
            items = fetch_items(scan)
        if not scan.more(len(events), 16):
            break
    scan.expect(b")")
    return EventGroup(scope, names, tuple(events), items)


def _scope(scan: Scanner, scope: str) -> tuple[str, ...]:
    if scope in ("SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED"):
        return ()
    if scope not in ("SUBTREE", "SUBTREE-ONE", "MAILBOXES"):
        raise BadCommand("Unknown mailbox filter")
    scan.space()
    if not scan.accept(b"("):
        return (scan.mailbox(),)
    names = [scan.mailbox()]
    while scan.more(len(names), MAILBOXES):
        names.append(scan.mailbox())
    return tuple(names)


def esearch(scan: Scanner) -> Esearch:
    """ESEARCH."""
    scan.space()
    sources: tuple[tuple[str, tuple[str, ...]], ...] = ()
    returns, partial, charset = frozenset(("ALL",)), None, ""
    if scan.peek_keyword() == "IN":
        scan.keyword()
        scan.space()
        sources = _sources(scan)
        scan.space()
    if scan.peek_keyword() == "RETURN":
        returns, partial = return_options(scan)
        scan.space()
    if scan.peek_keyword() == "CHARSET":
        scan.keyword()
        scan.space()
        charset = scan.astring().decode("ascii", "replace").upper()
        scan.space()
    return Esearch(sources, search_key(scan, charset), charset, returns, partial)


def _sources(scan: Scanner) -> tuple[tuple[str, tuple[str, ...]], ...]:
    scan.expect(b"(")
    found: list[tuple[str, tuple[str, ...]]] = []
    while True:
        scope = scan.keyword()
        found.append((scope, _scope(scan, scope)))
        if not scan.more(len(found), EVENT_GROUPS):
            return tuple(found)
