"""The POP3 dialogue of one connection, without the connection.

A session is in AUTHORIZATION (who is it?), in TRANSACTION (the maildrop is open) or CLOSED. The table below names for
each command the states in which it is known, how many arguments it takes and its handler. What the machine can answer
by itself it appends to `out`; what needs the outside world comes from `next()` as an event, and the machine waits for
its answer: Login -> `open` or `refuse`; StartTls -> `secured`; Retrieve -> the caller appends `+OK`, the stuffed
message and the final dot to `out`, or calls `fail`; Quit -> `leave`. While an event is unanswered `next` must not be
called; bytes may be fed and wait.

Promises: answers come in the order of the commands, also pipelined (RFC 2449 6.6); a line is at most 255 bytes (a SASL
response 12,288), a longer one is read to its end and refused; after some wrong commands or logins the session ends;
bytes that came behind STLS in the clear end it at once (sec-I03); APOP, PASS and AUTH are refused where they would
put a password on an open line (I51). Nothing that a peer sends raises anything but PeerError, and that not out of here.
RFC 1939, 2449 (CAPA, RESP-CODES), 2595 (STLS), 3206 (AUTH-RESP-CODE), 5034 (AUTH), 1734.
"""
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from bridge.model.errors import PeerError
from bridge.wire.pop3.drop import Drop, NoSuchMessage
from bridge.wire.sasl import LINE_LIMIT as SASL_LIMIT
from bridge.wire.sasl import MECHANISMS, Exchange

LINE_LIMIT = 255
ERRORS = 20          # wrong commands of a session
GUESSES = 3          # wrong logins of a session


_MECHANISMS = tuple(name.encode() for name in MECHANISMS)


class State(Enum):
    AUTHORIZATION = "authorization"
    TRANSACTION = "transaction"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody wants to open a maildrop. `method`: USER or SASL; or APOP, whose secret is a digest."""

    user: str
    secret: str
    method: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send `reply`, then begin TLS."""

    reply: bytes = b"+OK begin TLS\r\n"


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Send a message: all of it, or with `lines` >= 0 the header and so many lines of the body."""

    number: int
    lines: int = -1


@dataclass(frozen=True, slots=True)
class Quit:
    """The session ends well: remove what is marked, then `leave`. `retrieved`: what was read and is to stay."""

    deleted: tuple[int, ...]
    retrieved: tuple[int, ...]


Event = Login | StartTls | Retrieve | Quit


@dataclass(frozen=True, slots=True)
class Rules:
    """What this connection may do. `plain`: passwords may cross the line as it is now; `stls`: TLS can be had;
    `challenge`: the `<...@host>` of the greeting, "" where nobody has an APOP secret."""

    plain: bool
    stls: bool
    challenge: str = ""


class Machine:
    """Feed bytes, take events from `next()` and bytes from `out`."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = State.AUTHORIZATION
        self.drop = Drop((), ())
        self.out: list[bytes] = []
        self._buffer, self._position = b"", 0
        self._skipping = False                # in the rest of a line that was too long
        self._user = ""
        self._continue: Callable[[bytes], Event | None] | None = None
        self._errors = self._guesses = 0
        self._retrieved: set[int] = set()

    def greet(self) -> None:
        challenge = f" {self.rules.challenge}" if self.rules.challenge else ""
        self._say(f"+OK POP3 ready{challenge}")

    def feed(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def next(self) -> Event | None:
        """Work through the lines that are here, until one needs the outside or none is left."""
        while self.state is not State.CLOSED:
            line = self._line()
            if line is None:
                return None
            event = self._obey(line) if self._continue is None else self._continue(line)
            if event is not None:
                return event
        self._buffer, self._position = b"", 0
        return None

    def take_input(self) -> bytes:
        """What came behind the last command, for whoever goes on with the session."""
        rest, self._buffer, self._position = self._buffer[self._position :], b"", 0
        return rest

    # --- answers from the outside ---

    def open(self, drop: Drop) -> None:
        """The login was good."""
        self.state, self.drop = State.TRANSACTION, drop
        self._say(f"+OK {drop.count} messages ({drop.octets} octets)")

    def refuse(self, text: str = "[AUTH] wrong user name or password", *, final: bool = False) -> None:
        """The login was not good, or can't be looked at now. `final`: and nothing else will be heard either."""
        self._user = ""
        self._guesses += 1
        self.fail(text)
        if final or self._guesses >= GUESSES:
            self.state = State.CLOSED

    def fail(self, text: str) -> None:
        """The command can't be done."""
        self._say(f"-ERR {text}")

    def secured(self, rules: Rules) -> None:
        """TLS is on: everything before it is forgotten."""
        self.rules = rules
        self._buffer, self._position, self._skipping = b"", 0, False
        self._user, self._continue = "", None

    def leave(self, text: str = "+OK bye") -> None:
        """The session is over."""
        self._say(text)
        self.state = State.CLOSED

    # --- lines ---

    def _line(self) -> bytes | None:
        buffer, start = self._buffer, self._position
        limit = LINE_LIMIT if self._continue is None else SASL_LIMIT
        end = buffer.find(b"\n", start)
        while end >= 0:
            self._position = end + 1
            if not self._skipping and end - start <= self._longest(buffer, start, limit):
                return buffer[start : end - 1] if buffer[end - 1 : end] == b"\r" and end > start else buffer[start:end]
            self._skipping, self._continue = False, None
            self._wrong("line is too long")
            if self.state is State.CLOSED:
                return None
            start, limit = end + 1, LINE_LIMIT
            end = buffer.find(b"\n", start)
        if self._skipping or len(buffer) - start > SASL_LIMIT:
            self._skipping = True
            self._buffer, self._position = b"", 0
        return None

    @staticmethod
    def _longest(buffer: bytes, start: int, limit: int) -> int:
        return SASL_LIMIT if buffer[start : start + 5].upper() == b"AUTH " else limit

    def _obey(self, line: bytes) -> Event | None:
        verb, _, rest = line.partition(b" ")
        command = COMMANDS.get(verb) or COMMANDS.get(verb.upper())
        if command is None:
            self._wrong("unknown command")
        elif self.state not in command.states:
            self._wrong("not now")
        elif command.least > (count := len(rest.split()) if command.most >= 0 else 1) or count > command.most >= 0:
            self._wrong("wrong number of arguments")
        else:
            try:
                return command.handler(self, rest)
            except NoSuchMessage as error:
                self.fail(str(error))  # not counted as wrong: clients ask for numbers that have gone
        return None

    def _say(self, text: str) -> None:
        self.out.append(text.encode("ascii", "replace") + b"\r\n")

    def _wrong(self, text: str) -> None:
        self._errors += 1
        self.fail(text)
        if self._errors >= ERRORS:
            self.state = State.CLOSED

    def _lines(self, head: str, lines: bytes) -> None:
        self.out.append(head.encode() + b"\r\n" + lines + b".\r\n")

    # --- who is it? ---

    def _on_user(self, rest: bytes) -> None:
        if self._plain():
            self._user = _text(rest.strip())
            self._say("+OK password please")

    def _on_pass(self, rest: bytes) -> Event | None:
        if not self._plain():
            return None
        if not self._user:
            self._wrong("USER first")
            return None
        return Login(self._user, _text(rest), "USER")

    def _on_apop(self, rest: bytes) -> Event | None:
        if not self.rules.challenge:
            self._wrong("APOP is not offered")
            return None
        user, digest = rest.split()
        return Login(_text(user), _text(digest).lower(), "APOP")

    def _on_auth(self, rest: bytes) -> Event | None:
        words = rest.split()
        if not words:
            self._lines("+OK", b"".join(name + b"\r\n" for name in _MECHANISMS) if self.rules.plain else b"")
        elif words[0].upper() not in _MECHANISMS:
            self._wrong("[AUTH] unknown mechanism")
        elif self._plain():
            return self._sasl(Exchange(words[0].decode().upper()), words[1] if len(words) == 2 else None)
        return None

    def _on_stls(self, rest: bytes) -> Event | None:
        if not self.rules.stls:
            self._wrong("TLS is not available, or is on already")
            return None
        if self._position < len(self._buffer):
            self.leave("-ERR nothing may follow STLS before TLS has begun")
            return None
        return StartTls()

    def _plain(self) -> bool:
        if not self.rules.plain:
            self._wrong("[AUTH] no passwords without TLS, say STLS first")
        return self.rules.plain

    def _sasl(self, exchange: Exchange, response: bytes | None) -> Event | None:
        """A step of AUTH: more to ask, or somebody to log in."""
        self._continue = None
        if response == b"*":
            self.fail("cancelled")
            return None
        try:
            found = exchange.step(response)
        except PeerError as error:
            self.refuse(f"[AUTH] {error}")
            return None
        if isinstance(found, bytes):
            self._continue = partial(self._sasl, exchange)
            self.out.append(b"+ " + found + b"\r\n")
            return None
        if found.identity:
            self.refuse("[AUTH] nobody may act as somebody else")
            return None
        return Login(found.login, found.password, "SASL")

    # --- the maildrop ---

    def _on_stat(self, rest: bytes) -> None:
        self._say(f"+OK {self.drop.count} {self.drop.octets}")

    def _on_list(self, rest: bytes) -> None:
        drop = self.drop
        if rest.strip():
            number = drop.look_up(rest.strip())
            self._say(f"+OK {number} {drop.sizes[number - 1]}")
        else:
            self._lines(f"+OK {drop.count} messages ({drop.octets} octets)", drop.listing())

    def _on_uidl(self, rest: bytes) -> None:
        drop = self.drop
        if rest.strip():
            number = drop.look_up(rest.strip())
            self._say(f"+OK {number} {drop.uidls[number - 1]}")
        else:
            self._lines("+OK", drop.unique_ids())

    def _on_retr(self, rest: bytes) -> Event | None:
        number = self.drop.look_up(rest.strip())
        self._retrieved.add(number)
        return Retrieve(number)

    def _on_top(self, rest: bytes) -> Event | None:
        number, lines = rest.split()
        if not lines.isdigit() or len(lines) > 10:
            self._wrong("not a number of lines")
            return None
        return Retrieve(self.drop.look_up(number), int(lines))

    def _on_dele(self, rest: bytes) -> None:
        self.drop.delete(self.drop.look_up(rest.strip()))
        self._say("+OK marked for deletion")

    def _on_rset(self, rest: bytes) -> None:
        self.drop.reset()
        self._say(f"+OK {self.drop.count} messages ({self.drop.octets} octets)")

    # --- always ---

    def _on_noop(self, rest: bytes) -> None:
        self._say("+OK")

    def _on_capa(self, rest: bytes) -> None:
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "IMPLEMENTATION Estafeta"]
        if self.state is State.AUTHORIZATION:
            if self.rules.plain:
                lines += ["USER", "SASL " + " ".join(MECHANISMS)]
            if self.rules.stls:
                lines.append("STLS")
        self._lines("+OK", "".join(line + "\r\n" for line in lines).encode())

    def _on_quit(self, rest: bytes) -> Event | None:
        if self.state is State.TRANSACTION:
            deleted = self.drop.deleted
            return Quit(tuple(sorted(deleted)), tuple(sorted(self._retrieved - deleted)))
        self.leave()
        return None


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: where it is known, how many arguments it has (`most` -1: the rest of the line is one)."""

    handler: Callable[[Machine, bytes], Event | None]
    states: frozenset[State]
    least: int = 0
    most: int = 0


_FIRST = frozenset({State.AUTHORIZATION})
_THEN = frozenset({State.TRANSACTION})
COMMANDS: dict[bytes, Command] = {
    b"USER": Command(Machine._on_user, _FIRST, 1, 1),
    b"PASS": Command(Machine._on_pass, _FIRST, 1, -1),
    b"APOP": Command(Machine._on_apop, _FIRST, 2, 2),
    b"AUTH": Command(Machine._on_auth, _FIRST, 0, 2),
    b"STLS": Command(Machine._on_stls, _FIRST),
    b"STAT": Command(Machine._on_stat, _THEN),
    b"LIST": Command(Machine._on_list, _THEN, 0, 1),
    b"UIDL": Command(Machine._on_uidl, _THEN, 0, 1),
    b"RETR": Command(Machine._on_retr, _THEN, 1, 1),
    b"TOP": Command(Machine._on_top, _THEN, 2, 2),
    b"DELE": Command(Machine._on_dele, _THEN, 1, 1),
    b"RSET": Command(Machine._on_rset, _THEN),
    b"NOOP": Command(Machine._on_noop, _THEN),
    b"CAPA": Command(Machine._on_capa, _FIRST | _THEN),
    b"QUIT": Command(Machine._on_quit, _FIRST | _THEN),
}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")  # what is not UTF-8 matches nobody
