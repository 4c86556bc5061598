"""What a connection is about: who logged in, what was enabled, which mailbox is open and what the client knows of it.

Commands work on a `Client`; the session drives it. A `Box` is the selected mailbox: the store's handle, the client's
numbered view, and the modseq up to which the view has learned; numbers in a command are turned into UIDs by it alone,
so a command can only ever touch messages that this client was told of (sec-I06).
"""
import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from bridge.serve.imap.shared import Shared
from bridge.serve.imap.trouble import Answer, Refusal
from bridge.serve.listener import Link
from bridge.serve.relay import Relay
from bridge.store.mail import SYSTEM_FLAGS, Changes, Folder, Selected
from bridge.store.mailbox import AccountStore
from bridge.wire.imap import encode
from bridge.wire.imap.flow import Flow
from bridge.wire.imap.seqset import STAR, SequenceSet
from bridge.wire.imap.view import Dialect, View
from bridge.wire.sasl import Exchange

T = TypeVar("T")
Result = Answer | Coroutine[Any, Any, Answer] | None    # of a command's handler: see `session`
Slices = list[tuple[int, int]]  # places in the view, from 0, the second one excluded


class Box:
    """The selected mailbox of one client."""

    __slots__ = ("_texts", "_told", "folder", "keywords", "looked", "read_only", "recent", "renamed", "since",
                 "store", "uidnext", "view")

    def __init__(self, store: AccountStore, selected: Selected, read_only: bool, now: float) -> None:
        self.store, self.folder, self.read_only = store, selected.folder, read_only
        uids = selected.uids
        self.view = View(uids, uids[bisect_left(uids, selected.recent) :])
        self.since, self.uidnext, self.recent = selected.highestmodseq, selected.uidnext, selected.recent
        self.keywords = selected.keywords
        self.looked = now           # when the store last looked for what other programs did
        self.renamed = False        # there are keywords that the client wasn't told of
        self._texts: dict[int, bytes] = {}
        self._told: dict[int, int] = {}     # UID -> modseq of flags that the client set itself

    # -- news

    def learn(self, changes: Changes | None) -> None:
        """Others did this; it is told when it may be."""
        if changes is None:
            return
        self.name_keywords(changes.keywords)
        view = self.view
        if changes.vanished:
            view.expunged(changes.vanished)
        if changes.appended:
            view.appended(changes.appended, recent=not self.read_only)
        for uid, flags, modseq in changes.flags:
            if self._told.get(uid) != modseq:
                view.flags(uid, self.flag_text(flags), modseq)
        self._told = {}
        self.since, self.uidnext = changes.highestmodseq, changes.uidnext

    def name_keywords(self, keywords: tuple[str, ...]) -> None:
        """The keywords of the folder are these now."""
        if keywords != self.keywords:
            self.keywords, self.renamed = keywords, True
            self._texts.clear()

    def own(self, modseq: int, changed: Iterable[tuple[int, int, int]] = ()) -> None:
        """This client changed something itself, and knows it; what others did in between is not skipped."""
        if modseq == self.since + 1:
            self.since = modseq
        elif modseq > self.since:
            self._told.update((uid, one) for uid, _, one in changed)

    def flag_text(self, flags: int) -> bytes:
        """Flags as FETCH tells them, without \\Recent."""
        text = self._texts.get(flags)
        if text is None:
            text = self._texts[flags] = self.store.flag_text(self.folder, flags)
        return text

    def flag_lines(self) -> bytes:
        """FLAGS and PERMANENTFLAGS."""
        self.renamed = False
        names = (*SYSTEM_FLAGS, *self.keywords)
        if self.read_only:
            return encode.flags_line(names) + encode.permanent_flags((), False)
        return encode.flags_line(names) + encode.permanent_flags(names, True)

    def tell(self, expunge: bool, dialect: Dialect) -> bytes:
        """What may be told now."""
        lines = self.view.flush(expunge, dialect)
        return self.flag_lines() + lines if self.renamed else lines

    # -- numbers

    def places(self, messages: SequenceSet, uid: bool, saved: Sequence[int]) -> Slices:
        """Where the messages that a command names are in the view."""
        uids = self.view.uids
        if messages.saved:
            return runs(number - 1 for number in map(self.view.number, saved) if number)
        if uid:
            return messages.slices(uids)
        count = len(uids)
        if any(count < high < STAR for _, high in messages.ranges[-2:]):
            raise Refusal("There are not so many messages", "", "BAD")
        return [(low - 1, high) for low, high in messages.numbers(count)]

    def ranges(self, places: Slices) -> list[tuple[int, int]]:
        """The UIDs of these places, as the store wants them."""
        uids = self.view.uids
        return [(uids[start], uids[stop - 1]) for start, stop in places]

    def numbers(self, uids: Sequence[int]) -> Sequence[int]:
        """The numbers of ascending UIDs that come from the view, 0 for unknown ones; cheap where they are in a row."""
        if not uids:
            return ()
        known = self.view.uids
        start = bisect_left(known, uids[0])
        if known[start : start + len(uids)] == array("I", uids):
            return range(start + 1, start + 1 + len(uids))
        number = self.view.number
        return [number(uid) for uid in uids]


def window(numbers: Sequence[int], first: int, last: int) -> Sequence[int]:
    """What PARTIAL leaves of a result: from the first on, or from the last on where both are negative (RFC 9394)."""
    low, high = min(abs(first), abs(last)), max(abs(first), abs(last))
    if first > 0:
        return numbers[low - 1 : high]
    return numbers[max(0, len(numbers) - high) : max(0, len(numbers) - low + 1)]


def runs(places: Iterable[int]) -> Slices:
    """Ascending places of a view as slices."""
    out: Slices = []
    for at in places:
        if out and out[-1][1] == at:
            out[-1] = (out[-1][0], at + 1)
        else:
            out.append((at, at + 1))
    return out


class Client:
    """One connection as the commands see it."""

    __slots__ = ("account", "box", "coming", "enabled", "exchange", "failures", "flow", "ident", "link", "relay",
                 "saved", "service", "store", "user")

    def __init__(self, link: Link, service: Shared, flow: Flow) -> None:
        self.link, self.service, self.flow = link, service, flow
        self.account: Any = None
        self.store: AccountStore | None = None
        self.relay: Relay | None = None         # the session goes on in another process
        self.user = ""
        self.ident = ""
        self.box: Box | None = None
        self.enabled: set[str] = set()
        self.saved: list[int] = []              # UIDs: $ (SEARCHRES)
        self.exchange: Exchange | None = None   # AUTHENTICATE under way
        self.failures = 0                       # wrong passwords so far
        self.coming = (0, 0)                    # bytes in memory and files of an APPEND that comes in

    # -- state

    @property
    def mail(self) -> AccountStore:
        """The store of who logged in."""
        if self.store is None:
            raise Refusal("Log in first")
        return self.store

    @property
    def selected(self) -> Box:
        """The open mailbox."""
        if self.box is None:
            raise Refusal("Select a mailbox first", "", "BAD")
        return self.box

    @property
    def writable(self) -> Box:
        """The open mailbox, where it may be changed."""
        if self.selected.read_only:
            raise Refusal("The mailbox is open for reading only", "NOPERM")
        return self.selected

    @property
    def utf8(self) -> bool:
        """Whether names and strings go out in UTF-8."""
        return self.flow.utf8

    @property
    def rev2(self) -> bool:
        """Whether the client enabled IMAP4rev2."""
        return "IMAP4REV2" in self.enabled

    def dialect(self, uid: bool) -> Dialect:
        """How this client wants to be told; `uid`: it asked by UID."""
        return _DIALECTS["QRESYNC" in self.enabled, "CONDSTORE" in self.enabled, uid, not self.rev2]

    def log_in(self, account: Any) -> None:
        """This is who it is; the mailboxes are ours to open."""
        self.store = self.service.open(account)
        self.account, self.user = account, account.address
        self.flow.authenticated()

    def unselect(self) -> None:
        """No mailbox is open any more."""
        self.box = None
        self.saved = []
        self.flow.unselected()

    def send(self, data: bytes) -> None:
        """Ready lines for the client; they go out with the answer."""
        self.flow.send(data)

    # -- work in threads

    async def thread(self, call: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run something long."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.service.threads, partial(call, *args, **named))

    async def commit(self, call: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run something long that is finished even if the client vanishes meanwhile."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self.service.threads, partial(call, *args, **named)))

    async def stream(self, chunks: Generator[bytes, None, None]) -> None:
        """Write what a generator yields, run in a thread, as fast as the client reads; it is closed in any case."""
        self.link.write(self.flow.take_output())
        threads, link = self.service.threads, self.link
        while True:
            work = threads.submit(next, chunks, None)
            try:
                chunk = await asyncio.wrap_future(work)
            except asyncio.CancelledError:
                work.add_done_callback(lambda _: chunks.close())
                raise
            if chunk is None:
                return
            link.write(chunk)
            try:
                await link.drain()
            except BaseException:
                threads.submit(chunks.close)
                raise


_DIALECTS = {
    (vanished, modseq, uid, recent): Dialect(vanished, modseq, uid, recent=recent)
    for vanished in (False, True) for modseq in (False, True) for uid in (False, True) for recent in (False, True)
}


def completed(name: str) -> Answer:
    """The usual end."""
    return Answer(b"%b completed" % name.encode("ascii"))


def same_folder(one: Folder, other: Folder) -> bool:
    """Whether two handles mean the same mailbox, renamed or not."""
    return (one.id, one.uidvalidity) == (other.id, other.uidvalidity)
