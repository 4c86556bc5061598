"""Binds the ports, starts the roles' processes, watches them, passes sockets down.

Promises: sockets are bound once and held here, so that a worker's death or a reload refuses no connection; a process
that ends is started again, with growing waits when it keeps ending; one whose event loop has not moved for
`HUNG_SECONDS` is killed. A stop lets running commands and messages finish for `stop_seconds`, a second one doesn't
wait. After HUP with a good configuration new processes take over and the old ones go on until their last session has
ended; after HUP with a bad one everything stays as it is. Children die with their supervisor, and the data folder is
free then. Started as root, no process but this one keeps uid 0 (P23, sec-X01); this one talks to nobody.
Fails by: refusing to start, with a text that says what to do.
Not here: what a role does (`bridge.roles`); this module opens no database and starts no thread, so that fork is safe.
"""

import codecs
import gc
import json
import logging
import mmap
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge import ports, rights
from bridge.config.schema import Settings
from bridge.model.errors import ConfigError, StoreError
from bridge.ports import Port, Sockets
from bridge.rights import Rights, User

log = logging.getLogger("estafeta.supervisor")

BACKOFF_FIRST, BACKOFF_LAST = 0.2, 10.0
STEADY_SECONDS = 30.0       # a process that lived this long starts again at once
HUNG_SECONDS = 60.0         # without a sign of life
BEAT_SECONDS = 5.0          # between two signs of life, and between two looks
GENERATIONS = 4             # processes of one place that may finish their sessions; older ones are told to stop
DRAIN = signal.SIGUSR2      # to a child: take no new sessions, end when the last has ended
_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, DRAIN)
_BEAT = struct.Struct("=d")
_PLACES = 512               # processes that can be watched at once


@dataclass(frozen=True, slots=True)
class Post:
    """What a child starts with. `early`: what `RoleSpec.early` made; `beat` is to be called every `BEAT_SECONDS`;
    `family` is the same for all children of one supervisor, and no other's."""

    settings: Settings
    sockets: Sockets
    number: int
    early: Any
    beat: Callable[[], None]
    family: bytes


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A kind of process. `run(post)` is called in the child and returns when it is done; `services` name the ports
    whose sockets it gets; `overlap`: a new one may start before the old one has ended, which gets DRAIN, not TERM;
    `own_socket`: it gets a unix socket of its own, `<run>/<name>-<number>.sock`, under its name; `early` is called
    before rights are dropped, for what only root can read; `user` picks as whom it runs."""

    name: str
    run: Callable[[Post], None]
    count: Callable[[Settings], int]
    services: tuple[str, ...] = ()
    overlap: bool = False
    own_socket: bool = False
    early: Callable[[Settings], Any] = lambda settings: None
    user: Callable[[Rights], User | None] = lambda who: who.user
    nice: int = 0


@dataclass(slots=True)
class _Child:
    role: RoleSpec
    number: int
    pid: int
    started: float
    generation: int
    place: int              # of its sign of life
    told: float = 0.0       # when it was told to drain or to stop, 0: it was not
    draining: bool = False


@dataclass(slots=True)
class _Slot:
    """One place for a process of a role; the sockets are its own and outlive the process."""

    role: RoleSpec
    number: int
    sockets: dict[str, list[socket.socket]]
    wait: float = BACKOFF_FIRST
    due: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """`bind()`, then `run()`, which returns the exit status when everything has ended."""

    settings: Settings
    roles: Sequence[RoleSpec]
    ports: Callable[[Settings], Sequence[Port]]
    reload: Callable[[], Settings]
    ready: Callable[[], None] = lambda: None
    rights: Rights = field(default_factory=Rights)
    _slots: list[_Slot] = field(default_factory=list)
    _children: dict[int, _Child] = field(default_factory=dict)
    _family: bytes = field(default_factory=lambda: os.urandom(16))
    _generation: int = 0
    _stopping: float = 0.0
    _looked: float = 0.0
    _wake: tuple[int, int] = (-1, -1)
    _signals: list[int] = field(default_factory=list)
    _beats: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _PLACES * _BEAT.size))
    _status: int = -1
    _told: str = ""

    def bind(self) -> None:
        """Take the ports. ConfigError where one can't be had."""
        wanted = list(self.ports(self.settings))
        ports.close(ports.bind(wanted, share=False))    # with SO_REUSEPORT another server of ours would go unnoticed
        for role in self.roles:
            mine = [port for port in wanted if port[0] in role.services]
            count = role.count(self.settings)
            for number in range(count):
                self._slots.append(_Slot(role, number, ports.bind(mine, share=count > 1)))

    def run(self) -> int:
        """Start everybody and watch over them. The folders must be there."""
        run = Path(self.settings.paths.run)
        with rights.acting_as(self.rights.user):
            for slot in self._slots:
                if slot.role.own_socket:
                    name = f"{slot.role.name}-{slot.number}.sock"
                    slot.sockets[slot.role.name] = [ports.unix_socket(run / name)]
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._status = os.open(run / "processes.json", flags, 0o640)
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for name in ("ascii", "latin-1", "idna"):
            codecs.lookup(name)     # loaded at first use, from files that a process with less rights may not reach
        gc.collect()
        gc.freeze()
        self._fill()
        self._tell_status()
        self.ready()
        while self._children or not self._stopping:
            self._wait()
            self._handle_signals()
            self._reap()
            self._watch()
            if not self._stopping:
                self._fill()
            self._tell_status()
        return 0

    # --- signals

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _wait(self) -> None:
        now = time.monotonic()
        due = [slot.due - now for slot in self._slots if slot.due > now]
        timeout = min([*due, 1.0 if self._stopping else BEAT_SECONDS])
        ready, _, _ = select.select([self._wake[0]], [], [], max(timeout, 0.01))
        if ready:
            try:
                os.read(self._wake[0], 4096)
            except BlockingIOError:
                pass

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP and not self._stopping:
                self._reload()
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _stop(self) -> None:
        """First time: ask everybody to finish. Second time: at once."""
        again = bool(self._stopping)
        self._stopping = self._stopping or time.monotonic()
        log.info("stopping%s", " at once" if again else "")
        for slot in self._slots:
            ports.close(slot.sockets)
        for child in self._children.values():
            self._tell(child, signal.SIGKILL if again else signal.SIGTERM)

    def _reload(self) -> None:
        try:
            settings = self.reload()
            if {port[:3] for port in self.ports(settings)} != {port[:3] for port in self.ports(self.settings)}:
                log.warning("listen: ports change at the next restart only")
            if self._counts(settings) != self._counts(self.settings):
                log.warning("server: numbers of processes change at the next restart only")
        except ConfigError as error:
            log.error("reload refused, everything stays as it is:\n%s", error)
            return
        self.settings, self._generation = settings, self._generation + 1
        log.info("reloaded; generation %d", self._generation)
        for child in list(self._children.values()):
            if not child.draining:
                child.draining = True
                self._tell(child, DRAIN if child.role.overlap else signal.SIGTERM)
        for slot in self._slots:
            slot.wait, slot.due = BACKOFF_FIRST, 0.0
            finishing = [child for child in self._of(slot) if child.role.overlap]
            for child in finishing[:-GENERATIONS]:      # oldest first
                self._tell(child, signal.SIGTERM)

    def _counts(self, settings: Settings) -> list[int]:
        return [role.count(settings) for role in self.roles]

    def _tell(self, child: _Child, number: int) -> None:
        child.told = child.told or time.monotonic()
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            pass

    # --- children

    def _of(self, slot: _Slot) -> list[_Child]:
        return [one for one in self._children.values() if one.role is slot.role and one.number == slot.number]

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is None or self._stopping or child.draining:
                continue
            code = os.waitstatus_to_exitcode(status)
            slot = next(one for one in self._slots if one.role is child.role and one.number == child.number)
            steady = time.monotonic() - child.started > STEADY_SECONDS
            slot.wait = BACKOFF_FIRST if steady else min(slot.wait * 2, BACKOFF_LAST)
            slot.due = 0.0 if steady else time.monotonic() + slot.wait
            log.error(
                "%s %d (pid %d) %s; it is started again%s",
                child.role.name, child.number, pid, f"was killed by {signal.Signals(-code).name}" if code < 0
                else f"ended with status {code}", "" if steady else f" in {slot.wait:.1f} s",
            )  # fmt: skip

    def _watch(self) -> None:
        """Who gives no sign of life, or was told to go and is still there, is killed."""
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        patience = self.settings.server.stop_seconds + 5
        for child in self._children.values():
            if gap > BEAT_SECONDS * 3:      # we were stopped ourselves: they may have been, too
                self._beat(child.place)
            draining = child.draining and child.role.overlap and not self._stopping
            if child.told and not draining and now - max(child.told, self._stopping) > patience:
                log.error("%s %d (pid %d) does not end; killed", child.role.name, child.number, child.pid)
                self._tell(child, signal.SIGKILL)
            elif now - _BEAT.unpack_from(self._beats, child.place * _BEAT.size)[0] > HUNG_SECONDS:
                log.error("%s %d (pid %d) hangs; killed", child.role.name, child.number, child.pid)
                self._beat(child.place)
                self._tell(child, signal.SIGKILL)

    def _beat(self, place: int) -> None:
        """A sign of life; the memory is shared with the children."""
        _BEAT.pack_into(self._beats, place * _BEAT.size, time.monotonic())

    def _fill(self) -> None:
        """Start what is missing."""
        now = time.monotonic()
        for slot in self._slots:
            mine = self._of(slot)
            current = [child for child in mine if not child.draining]
            if current or slot.due > now or (mine and not slot.role.overlap):
                continue
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        parent = os.getpid()
        place = min(set(range(_PLACES)) - {child.place for child in self._children.values()})
        self._beat(place)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)   # the child must not take ours for its own
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            now = time.monotonic()
            self._children[pid] = _Child(slot.role, slot.number, pid, now, self._generation, place)
            return
        status = 1
        try:
            early = self._become_child(slot, parent)
            beat = lambda: self._beat(place)  # noqa: E731
            slot.role.run(Post(self.settings, slot.sockets, slot.number, early, beat, self._family))
            status = 0
        except ConfigError as error:
            log.error("%s %d: %s", slot.role.name, slot.number, error)
        except BaseException as error:
            trouble = _disk_trouble(error)
            if trouble is None:
                log.exception("%s %d failed", slot.role.name, slot.number)
            else:
                log.error("%s %d can't go on: %s", slot.role.name, slot.number, trouble)
        finally:
            logging.shutdown()
            os._exit(status)

    def _become_child(self, slot: _Slot, parent: int) -> Any:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD, DRAIN):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        for descriptor in (*self._wake, self._status):
            os.close(descriptor)
        for other in self._slots:
            if other is not slot:
                ports.close(other.sockets)
        if slot.role.nice:
            with suppress(OSError):     # a sandbox may forbid it; the work is the same
                os.nice(slot.role.nice)
        early = slot.role.early(self.settings)
        rights.become(slot.role.user(self.rights), self.rights.umask)
        rights.confine()
        rights.die_with(parent, signal.SIGKILL)
        return early

    # --- status

    def _tell_status(self) -> None:
        """run/processes.json: who runs, for `estafeta status`. A hint: written without sync, when it changes."""
        rows = [
            {"role": c.role.name, "number": c.number, "pid": c.pid, "draining": c.draining}
            for c in self._children.values()
        ]
        text = json.dumps({"supervisor": os.getpid(), "generation": self._generation, "processes": rows})
        if text == self._told:
            return
        longest, self._told = os.fstat(self._status).st_size, text
        try:
            os.pwrite(self._status, text.encode().ljust(longest), 0)    # at once: a reader never finds it empty
        except OSError as error:
            log.warning("processes.json can't be written: %s", error)


def _disk_trouble(error: BaseException) -> BaseException | None:
    """What the disk or a database said, if that and nothing else ended a process; None: a mistake of ours."""
    if isinstance(error, BaseExceptionGroup):
        found = [_disk_trouble(one) for one in error.exceptions]
        return found[0] if found and None not in found else None
    return error if isinstance(error, StoreError | OSError) else None
