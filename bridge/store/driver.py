"""The seam between the mailbox code and what keeps the messages, where that is not a Maildir: an mbox, a database.

A driver puts, reads, removes, and lists what is there, so that other programs' doings are found; UIDs, flags and all
that clients ask live in the account's index, whatever the driver. A message has a name that stays with it (`stem`) and
an `info` (":2,FS") that says which flags the store itself has noted. A folder is a `Place`: the directories of a
Maildir (messages are files: links and renames need no copy) or a driver's `Shelf`.
Each folder has its directory below the account's Maildir all the same: for the uidlist and the names of keywords.
"""
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.store.copies import Copy
from bridge.store.maildir import Dirs
from bridge.store.spool import Spooled

if TYPE_CHECKING:
    from bridge.store.home import Home

Found = tuple[str, str | None]      # (stem, info) of a message; info None: it is in a Maildir's new


@dataclass(frozen=True, slots=True)
class Item:
    """A message to be put: an open file with LF line ends, its date, the info that it gets."""

    descriptor: int
    date: float
    info: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A message that was put. `wire`: its size with CRLF, which may be another than before."""

    stem: str
    info: str
    wire: int


class Shelf(Protocol):
    """The messages of one folder, opened. Changes are made under the account's lock.

    Fails by FileNotFoundError for a message that isn't where the index thinks, OSError and StoreError for trouble.
    """

    @property
    def folder(self) -> int: ...

    @property
    def identity(self) -> tuple[int, int]: ...

    def times(self) -> tuple[int, int]:
        """Two numbers that change when something happened."""

    def listing(self) -> set[str]:
        """stem + info of all messages."""

    def inspect(self, added: Sequence[Found]) -> list[tuple[int, str, str | None]]:
        """(date, stem, info) of these messages, in the order in which they came."""

    def open(self, name: str, info: str | None) -> int:
        """A descriptor of the message alone, with LF line ends."""

    def read(self, name: str, info: str | None) -> bytes:
        """The message with LF line ends."""

    def put(self, items: Sequence[Item]) -> list[Placed]:
        """All of them or none, durable."""

    def remove(self, doomed: Sequence[Found]) -> None:
        """Durably; what isn't there is passed over."""

    def note(self, infos: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Note flags, (stem, info), with the messages; those that are noted now."""


Place = Dirs | Shelf


class Driver(Protocol):
    """How one account's messages are kept."""

    def shelf(self, home: "Home", name: str, dirs: Dirs) -> AbstractContextManager[Place]:
        """The folder, opened."""

    def names(self, home: "Home") -> Sequence[str]:
        """Folders that have mail, maybe without a directory yet."""

    def renamed(self, home: "Home", names: Mapping[str, str]) -> None:
        """Folders are about to get other names: old -> new."""

    def removed(self, home: "Home", name: str) -> None:
        """A folder has gone."""

    def deliver(self, home: "Home", spooled: Spooled, copy: Copy, *, again: bool) -> str:
        """One recipient's copy into INBOX, durable; where it is now. `again`: it may be there already."""
