"""What the mailbox store hands to IMAP, POP3 and the indexer: values, columns, errors.

Promises: everything frozen; flags are one integer (system flags in the low bits, keywords of the folder above them);
what has a wire form comes as the bytes of that form. Fails by: `MailError` for what the user asked wrongly (a NO with a
response code), `StoreError` for our own trouble.
RFC: 9051, 3501, 7162 (CONDSTORE, QRESYNC), 8474 (OBJECTID), 8514 (SAVEDATE), 8970 (PREVIEW), 6154 (SPECIAL-USE).
"""
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16
SYSTEM_FLAGS: Final = {
    "\\Seen": SEEN, "\\Answered": ANSWERED, "\\Flagged": FLAGGED, "\\Deleted": DELETED, "\\Draft": DRAFT,
}
SYSTEM_MASK: Final = 31
KEYWORD_SHIFT: Final = 6     # keyword number k of a folder is bit KEYWORD_SHIFT + k
KEYWORD_LIMIT: Final = 56    # keywords of one folder: they share a signed 64-bit integer with the flags (sec-I18)
KEYWORD_LENGTH: Final = 50   # sec-I18

Ranges = Sequence[tuple[int, int]]   # UIDs, ascending and disjoint, both ends included
EVERYTHING: Final[Ranges] = ((1, (1 << 32) - 1),)


class MailError(Exception):
    """The user asked for what can't be. `code` is an IMAP response code or ""; the text is fit for the user."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class NoSuchFolder(MailError):
    """NONEXISTENT (TRYCREATE where the command has a target)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such mailbox: {name}", "NONEXISTENT")


class FolderGone(MailError):
    """The selected folder was deleted, or its UIDVALIDITY is another now: the session must unselect (BYE or CLOSED)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Mailbox is gone: {name}", "UNAVAILABLE")


class MessageGone(MailError):
    """The message was expunged, or its file was removed by another program."""

    def __init__(self, uid: int) -> None:
        super().__init__(f"Message {uid} is gone", "EXPUNGEISSUED")


class Column(Enum):
    """What `fetch` can give of a message; the comment says in which form."""

    FLAGS = "flags"                  # int: see `flag_text`
    MODSEQ = "modseq"                # int
    SIZE = "size"                    # int: RFC822.SIZE, bytes with CRLF
    INTERNALDATE = "internaldate"    # bytes: b'"22-Nov-2026 07:50:19 +0000"'
    SAVEDATE = "savedate"            # bytes: the same form
    EMAILID = "emailid"              # bytes: b"(M0123456789abcdef)"
    THREADID = "threadid"            # bytes: b"(T0123456789abcdef)"
    ENVELOPE = "envelope"            # bytes: b"(...)"
    BODY = "body"                    # bytes: b"(...)", not extensible
    BODYSTRUCTURE = "bodystructure"  # bytes: b"(...)", extensible
    HEADER = "header"                # bytes: the whole header block with CRLF and its empty line, no literal prefix
    PREVIEW = "preview"              # bytes: nstring


@dataclass(frozen=True, slots=True)
class Fields:
    """A column: HEADER.FIELDS (or .NOT) as a ready literal, b"{12}\\r\\nTo: a@b\\r\\n\\r\\n"."""

    names: tuple[bytes, ...]
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A handle, which everything about messages wants. It becomes stale (`FolderGone`) with its uidvalidity."""

    id: int
    name: str                # "INBOX", "Archive/2026": hierarchy separator is always "/"
    uidvalidity: int

    @property
    def mailboxid(self) -> str:
        """OBJECTID; survives RENAME."""
        return f"F{self.uidvalidity:08x}{self.id:x}"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of LIST. A name that has only children or a subscription is not `selectable`."""

    name: str
    selectable: bool
    children: bool
    subscribed: bool
    use: str = ""            # SPECIAL-USE: "\\Sent" ... or ""


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS, all items."""

    messages: int
    recent: int
    uidnext: int
    uidvalidity: int
    unseen: int
    deleted: int
    size: int
    highestmodseq: int
    mailboxid: str


@dataclass(frozen=True, slots=True)
class Selected:
    """SELECT or EXAMINE. `uids` is the caller's own: its numbered view of the folder."""

    folder: Folder
    uids: "array[int]"       # typecode "I", ascending
    uidnext: int
    highestmodseq: int
    recent: int              # messages from this UID on are \\Recent for this session
    unseen: int              # UID of the first message without \\Seen, 0: none
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a modseq: first tell `vanished`, then `appended`, then `flags`."""

    highestmodseq: int
    uidnext: int
    appended: tuple[int, ...]                  # UIDs, ascending
    flags: tuple[tuple[int, int, int], ...]    # (uid, flags, modseq), without those appended
    vanished: tuple[int, ...]                  # UIDs, ascending
    keywords: tuple[str, ...]                  # of the folder now


@dataclass(frozen=True, slots=True)
class Stored:
    """STORE. `changed` are the messages as they are now (also those that had the flags already)."""

    changed: tuple[tuple[int, int, int], ...]  # (uid, flags, modseq)
    modified: tuple[int, ...]                  # UIDs that failed UNCHANGEDSINCE
    highestmodseq: int
    touched: int = 0                           # how many are not as they were


@dataclass(frozen=True, slots=True)
class Copied:
    """COPY, MOVE and APPEND: pairs by position. APPEND has no `source`. For COPYUID and APPENDUID."""

    uidvalidity: int
    source: tuple[int, ...]
    target: tuple[int, ...]
    highestmodseq: int       # of the source folder (MOVE) or the target (APPEND)


@dataclass(frozen=True, slots=True)
class Expunged:
    """EXPUNGE and UID EXPUNGE."""

    uids: tuple[int, ...]
    highestmodseq: int


@dataclass(frozen=True, slots=True)
class Drop:
    """One message of a POP3 maildrop, in UID order. `size` is what RETR sends, without dot-stuffing."""

    uid: int
    size: int
    uidl: str
