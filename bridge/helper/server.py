"""The root helper's loop: accept, look at who asks, read one request, fork.

Promises: only the users named in `peers` are heard (SO_PEERCRED), each for its own verbs; a request is one datagram,
read whole or refused, with exactly the open files that its verb has. Root does nothing with a request but fork: what
the child does as root is to look the user up, to become that user, or to ask PAM. Children at once, seconds to speak,
seconds for a delivery and wrong passwords per user are limited, so that a caller gone bad can't guess or wear the
machine down.
Fails by: an answer with `trouble`, or silence where the caller may not ask.
"""
import gc
import logging
import os
import selectors
import signal
import socket
import stat
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bridge import rights
from bridge.config.schema import Settings
from bridge.deliver.arguments import Unfit
from bridge.helper import mail, people, program, proof, session
from bridge.model.errors import ConfigError, DiskFull, PeerError, StoreError
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.store.spool import Damaged
from bridge.wire import helper as wire

CHILDREN = 100          # at once, but for sessions
SESSIONS = 1000
EACH = 25               # of one user, and as many sessions
CALLERS = 64            # connections that have not asked yet
SPEAK_SECONDS = 5.0
DELIVER_SECONDS = 50
CHECK_SECONDS = 30
WRONG, WRONG_SECONDS = 60, 3600.0       # passwords of one user
ALL_VERBS = frozenset(wire.VERBS)
SMTP_VERBS = frozenset(("hello", "check"))
_SECRET_BYTES = 32
_PEER = struct.Struct("3i")
_WRONG = 3              # exit status of a child

_SECRET = Failpoint("helper.secret", "the secret behind the tickets of logins")

log = logging.getLogger("estafeta.helper")


@dataclass(slots=True)
class _Child:
    verb: str
    user: str
    until: float        # when it is killed


@dataclass(slots=True)
class _Caller:
    uid: int
    since: float


@dataclass(slots=True)
class Server:
    """`peers`: verbs by user number."""

    settings: Settings
    listening: socket.socket
    peers: Mapping[int, frozenset[str]]
    again: Callable[[], Settings] | None = None     # the settings, read anew after HUP
    life: int = -1                                  # ends with whoever started us, where it isn't -1
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _callers: dict[socket.socket, _Caller] = field(default_factory=dict)
    _children: dict[int, _Child] = field(default_factory=dict)
    _wrong: dict[str, list[float]] = field(default_factory=dict)
    _hup: bool = False

    def run(self) -> None:
        """As long as `life` goes on."""
        signal.signal(signal.SIGHUP, self._hang_up)
        self.listening.setblocking(False)
        gc.collect()
        gc.freeze()         # shared with the children
        self._selector.register(self.listening, selectors.EVENT_READ)
        if self.life >= 0:
            self._selector.register(self.life, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(1.0):
                if not isinstance(key.fileobj, socket.socket):
                    return
                if key.fileobj is self.listening:
                    self._accept()
                else:
                    self._hear(key.fileobj)
            self._reap()
            self._hang_up_on_silence()
            if self._hup:
                self._reload()

    def _hang_up(self, number: int, frame: object) -> None:
        self._hup = True

    def _reload(self) -> None:
        self._hup = False
        try:
            self.settings = self.again() if self.again is not None else self.settings
            log.info("settings read again")
        except ConfigError as error:
            log.error("reload refused, everything stays as it is:\n%s", error)

    # -- callers

    def _accept(self) -> None:
        try:
            one, _ = self.listening.accept()
        except OSError as error:
            log.warning("cannot accept: %s", error)
            return
        _, uid, _ = _PEER.unpack(one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid not in self.peers or len(self._callers) >= CALLERS:
            log.warning("user %d may not ask", uid) if uid not in self.peers else log.warning("too many callers")
            one.close()
            return
        one.setblocking(False)
        self._callers[one] = _Caller(uid, time.monotonic())
        self._selector.register(one, selectors.EVENT_READ)

    def _forget(self, one: socket.socket) -> None:
        self._selector.unregister(one)
        self._callers.pop(one, None)

    def _hang_up_on_silence(self) -> None:
        now = time.monotonic()
        for one in [one for one, caller in self._callers.items() if now - caller.since > SPEAK_SECONDS]:
            self._forget(one)
            one.close()

    def _hear(self, one: socket.socket) -> None:
        """The request. Whatever it is, this caller is done with afterwards."""
        uid = self._callers[one].uid
        self._forget(one)
        descriptors: list[int] = []
        try:
            data, descriptors, flags, _ = socket.recv_fds(one, wire.LONGEST + 1, 4, socket.MSG_CMSG_CLOEXEC)
            if not data:
                return
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise PeerError("the request is too long")
            verb, request = wire.decode(data)
            if verb not in self.peers[uid]:
                raise PeerError(f"user {uid} may not ask for {verb}")
            if len(descriptors) != wire.FILES.get(verb, 0):
                raise PeerError(f"{verb} with {len(descriptors)} open files")
            self._begin(one, verb, request, descriptors)
        except PeerError as error:
            log.warning("refused: %s", error)
            _tell(one, trouble="refused", text=str(error))
        except OSError as error:
            log.warning("a caller was lost: %s", error)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            one.close()

    # -- children

    def _begin(self, one: socket.socket, verb: str, request: wire.Request, descriptors: Sequence[int]) -> None:
        if verb == "hello":
            _tell(one)
            return
        alike = [child for child in self._children.values() if (child.verb == "session") == (verb == "session")]
        user = str(request.get("user", ""))
        if len(alike) >= (SESSIONS if verb == "session" else CHILDREN) or (
            user and sum(child.user == user for child in alike) >= EACH
        ):
            _tell(one, trouble="busy", text="too much at once, try again later")
            return
        if verb == "check" and self._guessed(user):
            _tell(one, trouble="busy", text=f"too many wrong passwords of {user}, try again later")
            return
        pid = os.fork()
        if pid:
            self._children[pid] = _Child(verb, user, time.monotonic() + self._seconds(verb))
            return
        status = 1
        try:
            secret = self.secret if verb in ("check", "session") else b""
            self._become_child({one.fileno(), *descriptors})
            status = _Work(self.settings, secret, one, verb, request, descriptors).do()
        except BaseException:
            log.exception("%s", verb)
        finally:
            logging.shutdown()
            os._exit(status)

    def _seconds(self, verb: str) -> float:
        """How long a child may take; a user may have stopped it, so its own alarm isn't enough."""
        if verb == "session":
            return float("inf")
        if verb in ("command", "alias"):
            return self.settings.delivery.program_seconds + 10.0
        return DELIVER_SECONDS + 10.0

    def _become_child(self, keep: set[int]) -> None:
        """Nothing of the loop's stays open but what this request needs, and no signal of the loop's is caught."""
        self.secret = b""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in keep:
                with suppress(OSError):
                    os.close(int(name))

    def _reap(self) -> None:
        now = time.monotonic()
        for pid, child in self._children.items():
            if now > child.until:
                child.until = now + 1
                os.kill(pid, signal.SIGKILL)
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            ended = self._children.pop(pid, None)
            if ended is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            if code == _WRONG:
                self._wrong.setdefault(ended.user, []).append(time.monotonic())
            elif code:
                log.error("%s for %s ended with %d", ended.verb, ended.user or "an alias", code)

    def _guessed(self, user: str) -> bool:
        """Were there too many wrong passwords lately? What is older is forgotten."""
        begin = time.monotonic() - WRONG_SECONDS
        for name in list(self._wrong):
            self._wrong[name] = [one for one in self._wrong[name] if one > begin]
            if not self._wrong[name]:
                del self._wrong[name]
        return len(self._wrong.get(user, ())) >= WRONG


@dataclass(slots=True)
class _Work:
    """One request, in its own process. Begins as root."""

    settings: Settings
    secret: bytes
    one: socket.socket
    verb: str
    request: wire.Request
    descriptors: Sequence[int]

    @property
    def descriptor(self) -> int:
        return self.descriptors[0]

    def do(self) -> int:
        """The exit status."""
        self.one.setblocking(True)
        try:
            return self._do()
        except DiskFull as error:
            _tell(self.one, trouble="disk", text=f"no room: {error}")
        except Damaged as error:
            _tell(self.one, trouble="spool", text=str(error))
        except Unfit as error:
            _tell(self.one, unfit=str(error))
        except (people.Nobody, StoreError, proof.Unproven) as error:
            _tell(self.one, trouble="store", text=str(error))
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            _tell(self.one, trouble="mailbox", text=f"{error.strerror or error}{where}")
        else:
            return 0
        return 0

    def _do(self) -> int:
        request, settings = self.request, self.settings
        if self.verb == "alias":
            _tell(self.one, **program.alias_program(request, self.descriptor, settings, self.one.fileno()))
            return 0
        if self.verb == "check":
            return self._check()
        person = people.find(request["user"], settings)
        if self.verb == "deliver":
            signal.alarm(DELIVER_SECONDS)
            _tell(self.one, where=mail.deliver(person, request, self.descriptor, settings))
        elif self.verb == "command":
            caller = self.one.fileno()
            _tell(self.one, **program.mailbox_command(person, request, self.descriptor, settings, caller))
        elif self.verb == "session":
            self._session(person)
        return 0

    def _check(self) -> int:
        """PAM is asked about users who get mail alone, so never about root."""
        signal.alarm(CHECK_SECONDS)
        request = self.request
        try:
            person = people.find(request["user"], self.settings)
        except people.Nobody:
            person = None
        password = request["password"]
        if person is None or not password or not proof.proven(person.name, password, request["ip"]):
            _tell(self.one, wrong=True)
            return _WRONG
        _tell(self.one, ticket=proof.ticket(self.secret, person.name, request["protocol"]))
        return 0

    def _session(self, person: people.Person) -> None:
        """Only for somebody whose password was right a moment ago."""
        request = self.request
        if request["protocol"] not in wire.READING:
            raise StoreError("there are no sessions of this protocol")
        if not proof.good(request["ticket"], self.secret, person.name, request["protocol"]):
            raise StoreError("the login is too old, or there was none")
        if not all(stat.S_ISSOCK(os.fstat(one).st_mode) for one in self.descriptors):
            raise StoreError("a session needs sockets")
        _tell(self.one)
        self.one.close()
        self.secret = b""
        session.serve(person, request["protocol"], self.descriptors, self.settings)


def _tell(one: socket.socket, **fields: object) -> None:
    """The answer; nobody waits where the caller is gone."""
    with suppress(OSError):
        one.send(wire.answer(**fields))


# --- starting


def run(settings: Settings, load: Callable[[], Settings], life: int = -1) -> None:
    """Take the socket and serve. ConfigError where that can't be."""
    if os.getuid() != 0:
        raise ConfigError(["the helper for system users needs root's rights: start it as root"])
    who = rights.rights_of(settings)
    peers = {0: ALL_VERBS}
    if who.smtp is not None:
        peers[who.smtp.uid] = SMTP_VERBS
    if who.user is not None:
        peers[who.user.uid] = ALL_VERBS
    if who.user is None:
        log.warning("server.user is empty: only processes of root's are heard")
    listening = bind(Path(settings.accounts.helper), who.user.gid if who.user is not None else 0)
    rights.confine()
    os.umask(0o077)
    os.chdir("/")
    log.info("helper for system users listens on %s", settings.accounts.helper)
    Server(settings, listening, peers, load, life, secret_beside(Path(settings.accounts.helper))).run()


def bind(path: Path, group: int) -> socket.socket:
    """The socket, for that group, in a folder that nobody else can write to. ConfigError."""
    old = os.umask(0o022)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not people.roots_alone(path.parent):
            raise ConfigError([f"accounts.helper: others than root can write to {path.parent}, or above it"])
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other, suppress(OSError):
            other.connect(str(path))
            raise ConfigError([f"accounts.helper: another helper listens on {path}"])
        path.unlink(missing_ok=True)
        os.umask(0o177)
        listening.bind(str(path))
        os.chown(path, 0, group)
        os.chmod(path, 0o660)
        listening.listen(128)
    except OSError as error:
        raise ConfigError([f"accounts.helper: {path}: {error.strerror or error}"]) from error
    finally:
        os.umask(old)
    return listening


def secret_beside(path: Path) -> bytes:
    """What tickets are signed with: root's alone, beside the socket, so that a helper that starts again knows those of
    the one before. ConfigError."""
    place = path.with_name(f"{path.name}.secret")
    try:
        if people.roots_alone(place) and len(found := place.read_bytes()) == _SECRET_BYTES:
            return found
        fresh = os.urandom(_SECRET_BYTES)
        files.replace(place, fresh, _SECRET)
    except (OSError, StoreError) as error:
        raise ConfigError([f"accounts.helper: {place} can't be written: {error}"]) from error
    return fresh
