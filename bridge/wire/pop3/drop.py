"""The maildrop as one session sees it: numbers, sizes, unique ids, and what is marked as deleted.

Promises: numbers stay what they were at login; marks are wishes of this session and touch nothing (I53: only QUIT
deletes); listings leave out what is marked. Fails by: NoSuchMessage, a PeerError that says which.
RFC 1939 5.
"""
from collections.abc import Sequence

from bridge.model.errors import PeerError


class NoSuchMessage(PeerError):
    """The number names nothing, or something that is marked as deleted."""


class Drop:
    """Messages 1 to n by size and unique id (ASCII)."""

    __slots__ = ("_list", "_uidl", "count", "deleted", "octets", "sizes", "uidls")

    def __init__(self, sizes: Sequence[int], uidls: Sequence[str]) -> None:
        self.sizes, self.uidls = sizes, uidls
        self.deleted: set[int] = set()
        self.count, self.octets = len(sizes), sum(sizes)
        self._list = self._uidl = b""

    def look_up(self, text: bytes) -> int:
        """The message number that `text` is."""
        if not text.isdigit() or len(text) > 10:
            raise NoSuchMessage("not a message number")
        number = int(text)
        if not 0 < number <= len(self.sizes):
            raise NoSuchMessage("no such message")
        if number in self.deleted:
            raise NoSuchMessage("message is deleted")
        return number

    def delete(self, number: int) -> None:
        self.deleted.add(number)
        self.count -= 1
        self.octets -= self.sizes[number - 1]

    def reset(self) -> None:
        self.deleted.clear()
        self.count, self.octets = len(self.sizes), sum(self.sizes)

    def listing(self) -> bytes:
        """LIST: the lines, without the final dot."""
        if self.deleted:
            return b"".join([b"%d %d\r\n" % (n, size) for n, size in enumerate(self.sizes, 1) if n not in self.deleted])
        if not self._list:
            self._list = b"".join([b"%d %d\r\n" % pair for pair in enumerate(self.sizes, 1)])
        return self._list

    def unique_ids(self) -> bytes:
        """UIDL: the lines, without the final dot."""
        if self.deleted:
            text = "".join([f"{n} {uidl}\r\n" for n, uidl in enumerate(self.uidls, 1) if n not in self.deleted])
            return text.encode()
        if not self._uidl:
            self._uidl = "".join([f"{number} {uidl}\r\n" for number, uidl in enumerate(self.uidls, 1)]).encode()
        return self._uidl
