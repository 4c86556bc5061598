"""Arguments of the commands about mailboxes: open, make, name, list, ask for status.

Fails by: `BadCommand`.
RFC: 3501 and 9051 section 6.3; 7162 (CONDSTORE, QRESYNC), 6154 (CREATE USE), 5258 (LIST-EXTENDED), 5819
(LIST-STATUS), 8440 (LIST-MYRIGHTS), 9590 (LIST-METADATA), 8438 (STATUS=SIZE), 8474 (MAILBOXID).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.wire.imap.seqset import SequenceSet
from bridge.wire.imap.tokens import MAILBOX_LENGTH, NUMBER63, BadCommand, Scanner, mailbox_name

PATTERNS: Final = 100  # patterns of one LIST

SELECTION: Final = frozenset(("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"))
RETURNS: Final = frozenset(("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "MYRIGHTS"))
STATUS_ITEMS: Final = frozenset(
    (
        "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "SIZE", "DELETED",
        "DELETED-STORAGE", "MAILBOXID", "APPENDLIMIT",
    )
)  # fmt: skip
SPECIAL_USES: Final = {
    use.upper(): use
    for use in ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
}


@dataclass(frozen=True, slots=True)
class Qresync:
    """What a returning client knows of the mailbox; `match` is (sequence numbers, their UIDs)."""

    uidvalidity: int
    modseq: int
    known: SequenceSet | None
    match: tuple[SequenceSet, SequenceSet] | None


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT and EXAMINE."""

    mailbox: str
    read_only: bool
    condstore: bool = False
    qresync: Qresync | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE; a separator at the end of the name is still there."""

    mailbox: str
    use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """UNSUBSCRIBE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class List:
    """LIST; `extended` where the client used any syntax of LIST-EXTENDED."""

    reference: str
    patterns: tuple[str, ...]
    select: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub:
    """LSUB."""

    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS."""

    mailbox: str
    items: tuple[str, ...]


def select(scan: Scanner) -> Select:
    """SELECT."""
    return _select(scan, False)


def examine(scan: Scanner) -> Select:
    """EXAMINE."""
    return _select(scan, True)


def _select(scan: Scanner, read_only: bool) -> Select:
    scan.space()
    mailbox = scan.mailbox()
    if not scan.accept(b" "):
        return Select(mailbox, read_only)
    condstore, qresync = False, None
    scan.expect(b"(")
    count = 1
    while True:
        word = scan.keyword()
        if word == "CONDSTORE":
            condstore = True
        elif word == "QRESYNC" and qresync is None:
            scan.space()
            qresync = _qresync(scan)
        else:
            raise BadCommand("Unknown parameter of SELECT")
        if not scan.more(count, 8):
            return Select(mailbox, read_only, condstore, qresync)
        count += 1


def _qresync(scan: Scanner) -> Qresync:
    scan.expect(b"(")
    uidvalidity = scan.number(1)
    scan.space()
    modseq = scan.number(0, NUMBER63)
    known: SequenceSet | None = None
    match: tuple[SequenceSet, SequenceSet] | None = None
    if scan.more(2):
        if scan.peek() != 40:
            known = _plain_set(scan)
        if known is None or scan.more(3):
            match = _sequence_match(scan)
            scan.expect(b")")
    return Qresync(uidvalidity, modseq, known, match)


def _sequence_match(scan: Scanner) -> tuple[SequenceSet, SequenceSet]:
    scan.expect(b"(")
    numbers = _plain_set(scan)
    scan.space()
    uids = _plain_set(scan)
    scan.expect(b")")
    return numbers, uids


def _plain_set(scan: Scanner) -> SequenceSet:
    found = scan.sequence_set()
    if found.saved or found.has_star:
        raise BadCommand("Neither * nor $ is allowed here")
    return found


def create(scan: Scanner) -> Create:
    """CREATE, with USE."""
    scan.space()
    mailbox = scan.mailbox()
    if not scan.accept(b" "):
        return Create(mailbox)
    scan.expect(b"(")
    if scan.keyword() != "USE":
        raise BadCommand("Unknown parameter of CREATE")
    scan.space()
    scan.expect(b"(")
    use: list[str] = []
    if not scan.accept(b")"):
        use.append(_special_use(scan))
        while scan.more(len(use), 16):
            use.append(_special_use(scan))
    scan.expect(b")")
    return Create(mailbox, tuple(dict.fromkeys(use)))


def _special_use(scan: Scanner) -> str:
    scan.expect(b"\\")
    known = SPECIAL_USES.get("\\" + scan.keyword())
    if known is None:
        raise BadCommand("Unknown special use", "USEATTR", "NO")
    return known


def delete(scan: Scanner) -> Delete:
    """DELETE."""
    scan.space()
    return Delete(scan.mailbox())


def rename(scan: Scanner) -> Rename:
    """RENAME."""
    scan.space()
    source = scan.mailbox()
    scan.space()
    return Rename(source, scan.mailbox())


def subscribe(scan: Scanner) -> Subscribe:
    """SUBSCRIBE."""
    scan.space()
    return Subscribe(scan.mailbox())


def unsubscribe(scan: Scanner) -> Unsubscribe:
    """UNSUBSCRIBE."""
    scan.space()
    return Unsubscribe(scan.mailbox())


def lsub(scan: Scanner) -> Lsub:
    """LSUB."""
    scan.space()
    reference = scan.mailbox()
    scan.space()
    return Lsub(reference, mailbox_name(scan.pattern(), scan.utf8))


def status(scan: Scanner) -> Status:
    """STATUS."""
    scan.space()
    mailbox = scan.mailbox()
    scan.space()
    return Status(mailbox, status_items(scan))


def status_items(scan: Scanner) -> tuple[str, ...]:
    """The parenthesised items of STATUS, without doubles."""
    items = tuple(dict.fromkeys(scan.keywords(32)))
    if not STATUS_ITEMS.issuperset(items):
        raise BadCommand("Unknown STATUS item")
    return items


def list_mailboxes(scan: Scanner) -> List:
    """LIST, in the form of RFC 3501 and in the extended one."""
    scan.space()
    chosen: frozenset[str] = frozenset()
    extended = False
    if scan.peek() == 40:
        chosen = _selection(scan)
        extended = True
        scan.space()
    reference = scan.mailbox()
    scan.space()
    if scan.peek() == 40:
        extended = True
        patterns = _patterns(scan)
    else:
        patterns = (mailbox_name(scan.pattern(), scan.utf8),)
    if not scan.accept(b" "):
        return List(reference, patterns, chosen, extended=extended)
    if scan.keyword() != "RETURN":
        raise BadCommand("RETURN expected")
    scan.space()
    returns, items, metadata = _returns(scan)
    return List(reference, patterns, chosen, returns, items, metadata, True)


def _selection(scan: Scanner) -> frozenset[str]:
    if scan.accept(b"()"):
        return frozenset()
    chosen = frozenset(scan.keywords(16))
    if not chosen <= SELECTION:
        raise BadCommand("Unknown selection option of LIST")
    if "RECURSIVEMATCH" in chosen and chosen <= {"RECURSIVEMATCH", "REMOTE"}:
        raise BadCommand("RECURSIVEMATCH needs another selection option")
    return chosen


def _patterns(scan: Scanner) -> tuple[str, ...]:
    scan.expect(b"(")
    patterns = [mailbox_name(scan.pattern(), scan.utf8)]
    while scan.more(len(patterns), PATTERNS):
        patterns.append(mailbox_name(scan.pattern(), scan.utf8))
    return tuple(patterns)


def _returns(scan: Scanner) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    scan.expect(b"(")
    options: set[str] = set()
    items: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    if scan.accept(b")"):
        return frozenset(), items, metadata
    count = 1
    while True:
        option = scan.keyword()
        if option == "STATUS":
            scan.space()
            items = status_items(scan)
        elif option == "METADATA":
            scan.space()
            metadata = entries(scan)
        elif option not in RETURNS:
            raise BadCommand("Unknown return option of LIST")
        options.add(option)
        if not scan.more(count, 16):
            return frozenset(options), items, metadata
        count += 1


def entries(scan: Scanner) -> tuple[str, ...]:
    """Names of annotations: one, or a list."""
    if not scan.accept(b"("):
        return (entry(scan),)
    found = [entry(scan)]
    while scan.more(len(found), 100):
        found.append(entry(scan))
    return tuple(found)


def entry(scan: Scanner) -> str:
    """The name of an annotation; they begin with /private/ or /shared/ and ignore case."""
    raw = scan.astring()
    if len(raw) > MAILBOX_LENGTH or not raw.isascii() or b"*" in raw or b"%" in raw or b"//" in raw:
        raise BadCommand("Bad annotation name")
    name = raw.decode("ascii").lower()
    if not name.startswith(("/private/", "/shared/")) or name.endswith("/") or not name.isprintable():
        raise BadCommand("Bad annotation name")
    return name
