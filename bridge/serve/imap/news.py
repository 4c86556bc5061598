"""News for clients in IDLE: hints from whoever changed a mailbox, one look per mailbox, then all its sessions.

Promises: a hint costs nothing where nobody waits; where somebody does, the mailbox is looked at once, in a thread, and
each of its sessions gets the same changes; hints that come meanwhile lead to one more look. With every hint lost, and
for what other programs put into a mailbox, a look every `poll` seconds finds it. Mailboxes are told apart by account
and name together (sec-I06).
Fails by: nothing; a mailbox that can't be read just now is looked at again at the next poll.
"""
import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol

from bridge.model.errors import StoreError
from bridge.serve.relay import Relay
from bridge.store.mail import Changes, Folder, FolderGone, NoSuchFolder
from bridge.store.mailbox import AccountStore
from bridge.store.notify import Listener

_log = logging.getLogger(__name__)


class Idler(Protocol):
    """A session that waits."""

    def known(self) -> tuple[int, int]:
        """(modseq, uidnext) up to which it knows its mailbox."""

    def news(self, changes: Changes | None) -> None:
        """This happened since."""

    def lost(self) -> None:
        """The mailbox is gone."""

    def still_here(self, now: float) -> None:
        """Once per poll: keep the line alive if it is time."""


@dataclass(slots=True, eq=False)
class _Watch:
    """One mailbox that sessions wait on."""

    store: AccountStore
    folder: Folder
    idlers: set[Idler] = field(default_factory=set)
    again: bool = False
    task: asyncio.Task[None] | None = None


class News:
    """Who waits for which mailbox of this process."""

    def __init__(self, listener: Listener, threads: Executor, poll: float) -> None:
        self._listener, self._threads, self._every = listener, threads, poll
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._silent: set[Idler] = set()    # in IDLE without a mailbox
        self._away: dict[str, set[Relay]] = {}      # sessions in other processes, by account
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to hear; inside the loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._listener.fileno(), self._hear)
            self._timer = self._loop.call_later(self._every, self._poll)

    def close(self) -> None:
        """Hear no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._loop = None
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches.values():
            if watch.task is not None:
                watch.task.cancel()
        self._watches.clear()
        self._listener.close()

    def wait(self, idler: Idler, store: AccountStore | None = None, folder: Folder | None = None) -> None:
        """From now on `idler` gets the news of this mailbox, beginning with what it doesn't know yet."""
        if store is None or folder is None:
            self._silent.add(idler)
            return
        key = store.address, folder.name
        watch = self._watches.get(key)
        if watch is None or watch.folder != folder:
            for left in list(watch.idlers) if watch else ():
                left.lost()     # they wait for a mailbox of this name that isn't there any more
            watch = self._watches[key] = _Watch(store, folder)
        watch.idlers.add(idler)
        self._trigger(watch)

    def leave(self, idler: Idler, store: AccountStore | None = None, folder: Folder | None = None) -> None:
        """No more."""
        self._silent.discard(idler)
        if store is None or folder is None:
            return
        key = store.address, folder.name
        watch = self._watches.get(key)
        if watch is not None:
            watch.idlers.discard(idler)
            if not watch.idlers:
                del self._watches[key]

    def pass_on(self, address: str, relay: Relay) -> None:
        """Hints about this account's mailboxes go to that session, too."""
        self._away.setdefault(address, set()).add(relay)

    def forget(self, address: str, relay: Relay) -> None:
        """The session is over."""
        left = self._away.get(address, set())
        left.discard(relay)
        if not left:
            self._away.pop(address, None)

    # -- hearing

    def _hear(self) -> None:
        for hint in set(self._listener.receive()):
            address, _, name = hint.partition("\n")
            for relay in self._away.get(address, ()):
                relay.hint(hint)
            watch = self._watches.get((address, name))
            if watch is not None:
                self._trigger(watch)
            elif not name:
                for key, one in list(self._watches.items()):
                    if key[0] == address:
                        self._trigger(one)

    def _poll(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(self._every, self._poll)
        now = self._loop.time()
        for watch in list(self._watches.values()):
            self._trigger(watch)
            for idler in list(watch.idlers):
                idler.still_here(now)
        for idler in list(self._silent):
            idler.still_here(now)

    # -- looking

    def _trigger(self, watch: _Watch) -> None:
        if watch.task is not None:
            watch.again = True
        elif self._loop is not None:
            watch.task = self._loop.create_task(self._look(watch))

    async def _look(self, watch: _Watch) -> None:
        loop = asyncio.get_running_loop()
        try:
            while watch.idlers:
                watch.again = False
                await loop.run_in_executor(self._threads, watch.store.refresh, watch.folder)
                _tell(watch)
                if not watch.again:
                    return
        except (FolderGone, NoSuchFolder):
            for idler in list(watch.idlers):
                idler.lost()
        except StoreError as error:
            _log.warning("%s, %s: %s", watch.store.address, watch.folder.name, error)
        except Exception:
            _log.exception("%s, %s: no news", watch.store.address, watch.folder.name)
        finally:
            watch.task = None


def _tell(watch: _Watch) -> None:
    """Each waiting session what it doesn't know; sessions that know the same share one question."""
    asked: dict[tuple[int, int], Changes | None] = {}
    for idler in list(watch.idlers):
        known = idler.known()
        if known not in asked:
            asked[known] = watch.store.changes(watch.folder, *known)
        idler.news(asked[known])
