"""Binds the ports, drops rights, starts the roles' processes, watches them, passes sockets down.

Promises: sockets are bound once and held here, so that a worker's death or a reload refuses no connection; a process
that ends is started again, with growing waits when it keeps ending; a stop lets sessions finish for `stop_seconds`;
after HUP with a good configuration new processes take over and the old ones finish their sessions, after HUP with a
bad one everything stays as it is. Children die with their supervisor. No process that talks to the network or parses
mail keeps uid 0 when started as root (P23, sec-X01).
Fails by: refusing to start, with a text that says what to do: a port in use, root without a user to become.
Not here: what a role does (`bridge.roles`); this module opens no database and starts no thread, so that fork is safe.
"""

import ctypes
import gc
import grp
import json
import logging
import os
import pwd
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.schema import Settings
from bridge.model.errors import ConfigError

log = logging.getLogger("estafeta.supervisor")

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
BACKOFF_FIRST, BACKOFF_LAST = 0.2, 10.0
STEADY_SECONDS = 30.0  # a process that lived this long starts again at once

Port = tuple[str, str, int]  # service, address, port


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A kind of process. `run(settings, sockets, number)` is called in the child and returns when it is done;
    `services` name the ports whose sockets it gets; `overlap`: a new one may start before the old one has ended;
    `own_socket`: it gets a unix socket of its own, `<run>/<name>-<number>.sock`, under its name."""

    name: str
    run: Callable[[Settings, "Sockets", int], None]
    count: Callable[[Settings], int]
    services: tuple[str, ...] = ()
    overlap: bool = False
    own_socket: bool = False
    user: Callable[[Settings], str] = lambda settings: settings.server.user
    nice: int = 0


Sockets = Mapping[str, Sequence[socket.socket]]


@dataclass(slots=True)
class _Child:
    role: RoleSpec
    number: int
    pid: int
    started: float
    generation: int
    draining: bool = False


@dataclass(slots=True)
class _Slot:
    """One place for a process of a role; the sockets are its own and outlive the process."""

    role: RoleSpec
    number: int
    sockets: dict[str, list[socket.socket]]
    wait: float = BACKOFF_FIRST
    due: float = 0.0


def bind(ports: Sequence[Port], share: bool) -> dict[str, list[socket.socket]]:
    """Listening sockets by service. Raises ConfigError that names the port and who may hold it."""
    found: dict[str, list[socket.socket]] = {}
    for service, address, port in ports:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            one = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            log.warning("no %s here: %s port %d left out", family.name, address, port)
            continue
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            one.bind((address, port))
            one.listen(1024)
        except OSError as error:
            one.close()
            raise ConfigError([_bind_hint(service, address, port, error)]) from error
        one.setblocking(False)
        found.setdefault(service, []).append(one)
    return found


def unix_socket(path: Path) -> socket.socket:
    """A listening unix socket, only for our own user."""
    path.unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        one.bind(str(path))
    except OSError as error:
        raise ConfigError([f"{path}: {error}; if the path is too long, set paths.run to a shorter one"]) from error
    finally:
        os.umask(mask)
    one.listen(64)
    one.setblocking(False)
    return one


def _bind_hint(service: str, address: str, port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return (
            f"listen.{service}: port {port} needs root or CAP_NET_BIND_SERVICE; start as root with server.user set, "
            "use the systemd unit, or choose a port above 1023"
        )
    return (
        f"listen.{service}: {address} port {port}: {error.strerror}; another program listens there "
        f"(see `ss -ltnp sport = :{port}`): stop it or choose another port"
    )


def user_of(name: str) -> tuple[int, int, list[int]]:
    """(uid, gid, groups) of "name" or "uid:gid". Raises ConfigError."""
    uid, _, gid = name.partition(":")
    if uid.isdigit():
        return int(uid), int(gid or uid), []
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(
            [f"server.user: there is no user {name!r}; create it (`useradd --system {name}`) or name another"]
        ) from None
    return entry.pw_uid, entry.pw_gid, [g.gr_gid for g in grp.getgrall() if name in g.gr_mem]


def drop_rights(name: str) -> None:
    """Become `name` for good: groups, gid, uid, no new privileges, no core dumps of secrets (sec-X01, sec-X03)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() == 0 and name:
        uid, gid, groups = user_of(name)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@dataclass(slots=True)
class Supervisor:
    """`run()` returns the exit status when everything has ended."""

    settings: Settings
    roles: Sequence[RoleSpec]
    ports: Callable[[Settings], Sequence[Port]]
    reload: Callable[[], Settings]
    ready: Callable[[], None] = lambda: None
    _slots: list[_Slot] = field(default_factory=list)
    _children: dict[int, _Child] = field(default_factory=dict)
    _generation: int = 0
    _stopping: float = 0.0
    _wake: tuple[int, int] = (-1, -1)
    _signals: list[int] = field(default_factory=list)

    def run(self) -> int:
        self._slots = self._make_slots(self.settings)
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()
        self._fill()
        self._write_status()
        self.ready()
        while self._children or not self._stopping:
            self._wait()
            self._handle_signals()
            self._reap()
            if self._stopping:
                self._enforce_stop()
            else:
                self._fill()
            self._write_status()
        return 0

    def _make_slots(self, settings: Settings) -> list[_Slot]:
        ports = list(self.ports(settings))
        slots = []
        for role in self.roles:
            mine = [port for port in ports if port[0] in role.services]
            count = role.count(settings)
            for number in range(count):
                sockets = bind(mine, share=count > 1)
                if role.own_socket:
                    sockets[role.name] = [unix_socket(Path(settings.paths.run) / f"{role.name}-{number}.sock")]
                slots.append(_Slot(role, number, sockets))
        return slots

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _wait(self) -> None:
        now = time.monotonic()
        due = [slot.due - now for slot in self._slots if slot.due > now]
        timeout = min([*due, 1.0 if self._stopping else 5.0])
        ready, _, _ = select.select([self._wake[0]], [], [], max(timeout, 0.01))
        if ready:
            try:
                os.read(self._wake[0], 4096)
            except BlockingIOError:
                pass

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                self._reload()
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _stop(self) -> None:
        """First time: ask everybody to finish. Second time: at once."""
        again = bool(self._stopping)
        self._stopping = self._stopping or time.monotonic()
        log.info("stopping%s", " at once" if again else "")
        for slot in self._slots:
            _close(slot.sockets)
        for pid in self._children:
            _signal(pid, signal.SIGKILL if again else signal.SIGTERM)

    def _enforce_stop(self) -> None:
        if time.monotonic() - self._stopping > self.settings.server.stop_seconds + 5:
            for pid in self._children:
                _signal(pid, signal.SIGKILL)

    def _reload(self) -> None:
        try:
            settings = self.reload()
            wanted = {port[:3] for port in self.ports(settings)}
        except ConfigError as error:
            log.error("reload refused, everything stays as it is:\n%s", error)
            return
        current = {port[:3] for port in self.ports(self.settings)}
        if wanted != current or self._counts(settings) != self._counts(self.settings):
            log.warning("ports and numbers of processes change at the next restart only")
        self.settings, self._generation = settings, self._generation + 1
        log.info("reloaded; generation %d", self._generation)
        for child in self._children.values():
            child.draining = True
            _signal(child.pid, signal.SIGTERM)

    def _counts(self, settings: Settings) -> list[int]:
        return [role.count(settings) for role in self.roles]

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
            slot = self._slot(child)
            steady = time.monotonic() - child.started > STEADY_SECONDS
            slot.wait = BACKOFF_FIRST if steady else min(slot.wait * 2, BACKOFF_LAST)
            slot.due = 0.0 if steady else time.monotonic() + slot.wait
            log.error("%s %d (pid %d) ended with %d; starting it again", child.role.name, child.number, pid, code)

    def _slot(self, child: _Child) -> _Slot:
        return next(slot for slot in self._slots if slot.role is child.role and slot.number == child.number)

    def _fill(self) -> None:
        """Start what is missing."""
        now = time.monotonic()
        for slot in self._slots:
            mine = [c for c in self._children.values() if c.role is slot.role and c.number == slot.number]
            current = [c for c in mine if not c.draining]
            if current or slot.due > now or (mine and not slot.role.overlap):
                continue
            self._start(slot)

    def _start(self, slot: _Slot) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._children[pid] = _Child(slot.role, slot.number, pid, time.monotonic(), self._generation)
            return
        status = 1
        try:
            self._become_child(slot, parent)
            slot.role.run(self.settings, slot.sockets, slot.number)
            status = 0
        except BaseException:
            log.exception("%s %d failed", slot.role.name, slot.number)
        finally:
            logging.shutdown()
            os._exit(status)

    def _become_child(self, slot: _Slot, parent: int) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in self._wake:
            os.close(descriptor)
        for other in self._slots:
            if other is not slot:
                _close(other.sockets)
        if slot.role.nice:
            os.nice(slot.role.nice)
        drop_rights(slot.role.user(self.settings))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    def _write_status(self) -> None:
        """run/processes.json: who runs, for `estafeta status`. A hint: written without sync."""
        rows = [
            {"role": c.role.name, "number": c.number, "pid": c.pid, "draining": c.draining}
            for c in self._children.values()
        ]
        path = Path(self.settings.paths.run) / "processes.json"
        text = json.dumps({"supervisor": os.getpid(), "generation": self._generation, "processes": rows})
        try:
            path.write_text(text)
        except OSError:
            log.warning("cannot write %s", path)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _close(sockets: Mapping[str, Sequence[socket.socket]]) -> None:
    for group in sockets.values():
        for one in group:
            one.close()
