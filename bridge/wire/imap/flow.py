"""The conversation of one IMAP connection: bytes in, events and bytes out, and nothing decided.

The machine is in one of four modes. COMMAND: input is framed and parsed, one `Command` at a time (a message literal may
wait for `decide` here). AUTH: the next line is a SASL response, decoded and handed over as `AuthLine`. IDLE: the next
line should be DONE. CLOSED: after a fatal fault or LOGOUT; input is dropped. AUTH and IDLE are entered by the shell
(`challenge`, `idle`) and left by their event, so nobody can get stuck in them.

Promises: for any input, no exception escapes from `next_event`; a command that can't be parsed, isn't allowed in the
state, or broke a limit has been answered when `Bad` comes out; no literal byte is ever run as a command.
Fails by: `Bad` and `Fatal` events.
RFC: 3501 and 9051 (sections 2.2, 6.2, 7.5), 4959 (SASL-IR), 7888 (literals), 2177 (IDLE).
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from bridge.wire.imap import encode, grammar
from bridge.wire.imap.args.append import Announcer, MessageLiteral
from bridge.wire.imap.args.auth import SASL_LINE, unbase64
from bridge.wire.imap.fragment import (
    LATER,
    POST_AUTH,
    PRE_AUTH,
    Decision,
    Fragmenter,
    Frame,
    Limits,
    Literal,
    Need,
    Poisoned,
    Refuse,
    Sink,
)
from bridge.wire.imap.grammar import Args
from bridge.wire.imap.states import COMMANDS, Spec, State
from bridge.wire.imap.tokens import TAG, BadCommand, Scanner

IDLE_LINE: Final = 1024  # bytes of the line that ends IDLE
GO_AHEAD: Final = b"+ OK\r\n"
IDLING: Final = b"+ idling\r\n"

OnMessage = Callable[[MessageLiteral], Decision]


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is well-formed and allowed in the current state."""

    tag: bytes
    name: str
    args: Args
    spec: Spec


@dataclass(frozen=True, slots=True)
class Bad:
    """A command that was refused; the answer is in the output."""

    tag: bytes
    text: str


@dataclass(frozen=True, slots=True)
class AuthLine:
    """A SASL response; None where the client cancelled or sent nonsense."""

    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """The end of IDLE; not `ok` where the line wasn't DONE."""

    ok: bool


@dataclass(frozen=True, slots=True)
class LiteralWaiting:
    """`on_message` said LATER; nothing happens before `decide`."""

    message: MessageLiteral


@dataclass(frozen=True, slots=True)
class Fatal:
    """The connection must end; BYE is in the output."""

    text: str


Event = Command | Bad | AuthLine | Done | LiteralWaiting | Fatal


class _Mode(Enum):
    COMMAND = 1
    AUTH = 2
    IDLE = 3
    CLOSED = 4


class Flow:
    """One connection; see the README of this package for how to drive it."""

    __slots__ = (
        "_announcer", "_bad", "_fragmenter", "_mode", "_on_message", "_output", "_post_auth", "_pre_auth", "_waiting",
        "state", "utf8",
    )  # fmt: skip

    def __init__(
        self, *, pre_auth: Limits = PRE_AUTH, post_auth: Limits = POST_AUTH, on_message: OnMessage | None = None
    ) -> None:
        self.state = State.NOT_AUTHENTICATED
        self.utf8 = False
        self._pre_auth = pre_auth
        self._post_auth = post_auth
        self._on_message = on_message
        self._fragmenter = Fragmenter(pre_auth, self._literal)
        self._announcer: Announcer | None = None
        self._waiting: MessageLiteral | None = None
        self._output: list[bytes] = []
        self._mode = _Mode.COMMAND
        self._bad = 0  # refused commands in a row

    # -- bytes -------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """What the peer sent."""
        if self._mode is not _Mode.CLOSED:
            self._fragmenter.feed(data)

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet used."""
        return self._fragmenter.buffered

    def send(self, data: bytes) -> None:
        """Ready bytes for the peer."""
        self._output.append(data)

    def take_output(self) -> bytes:
        """What must be written now."""
        if not self._output:
            return b""
        out = b"".join(self._output)
        self._output.clear()
        return out

    # -- what the shell says -----------------------------------------------------------------------------------

    def greet(self, capabilities: bytes, text: bytes, *, preauth: bool = False) -> None:
        """The first line."""
        word = b"PREAUTH" if preauth else b"OK"
        self.send(encode.status(word, text, b"CAPABILITY " + capabilities if capabilities else b""))
        if preauth:
            self.authenticated()

    def authenticated(self) -> None:
        """Somebody logged in."""
        self.state = State.AUTHENTICATED
        self._fragmenter.limits = self._post_auth
        if self._on_message is not None:
            self._announcer = Announcer()

    def selected(self) -> None:
        """A mailbox is open."""
        self.state = State.SELECTED

    def unselected(self) -> None:
        """No mailbox is open any more."""
        self.state = State.AUTHENTICATED

    def unauthenticated(self) -> None:
        """Back to the beginning, without a new connection (RFC 8437)."""
        self.state = State.NOT_AUTHENTICATED
        self.utf8 = False
        self._fragmenter.limits = self._pre_auth
        self._announcer = None

    def logout(self) -> None:
        """The conversation is over; what the peer still sends is dropped."""
        self.state = State.LOGOUT
        self._close()

    def challenge(self, data: bytes) -> None:
        """Ask for a SASL response."""
        self._mode = _Mode.AUTH
        self.send(b"+ " + binascii.b2a_base64(data, newline=False) + b"\r\n")

    def idle(self) -> None:
        """Let the client wait; until `Done`, untagged responses may be sent at any time."""
        self._mode = _Mode.IDLE
        self.send(IDLING)

    def decide(self, decision: Sink | Refuse | None) -> None:
        """The answer to `LiteralWaiting`; call `next_event` then."""
        self._waiting = None
        self._fragmenter.decide(decision)

    def begin_tls(self) -> bool:
        """Forget what came in clear; False where there was anything behind STARTTLS (an injection: hang up)."""
        return not self._fragmenter.take_input()

    def take_input(self) -> bytes:
        """What came behind the last command (compressed, after COMPRESS)."""
        return self._fragmenter.take_input()

    def abandon(self) -> None:
        """The connection is lost."""
        self._close()

    def _close(self) -> None:
        self._mode = _Mode.CLOSED
        self._fragmenter.abandon()
        self._fragmenter.take_input()

    # -- what the peer says ------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next thing that happened; None: more input, or a decision, is needed."""
        if self._mode is _Mode.AUTH:
            return self._auth_line()
        if self._mode is _Mode.IDLE:
            return self._idle_line()
        while self._mode is _Mode.COMMAND:
            result = self._fragmenter.next()
            if result is None:
                return None
            if isinstance(result, tuple):
                return self._command(result)
            if isinstance(result, Poisoned):
                return self._poisoned(result)
            if result is Need.DECISION:
                message, self._waiting = self._waiting, None
                return None if message is None else LiteralWaiting(message)
            self.send(GO_AHEAD)
        return None

    def _command(self, frame: Frame) -> Event:
        scan = Scanner(frame, self.utf8, self._fragmenter.limits.depth)
        tag = b"*"
        try:
            tag = scan.tag()
            name = grammar.name(scan)
            spec = COMMANDS.get(name)
            if spec is None:
                raise BadCommand("Unknown command")
            if self.state not in spec.states:
                raise BadCommand(self._wrong_state(spec))
            args = grammar.arguments(scan, name)
        except BadCommand as refusal:
            for piece in frame:
                if isinstance(piece, Literal) and piece.sink is not None:
                    piece.sink.abandon()
            return self._refuse(tag, refusal.status, refusal.text, refusal.code)
        self._bad = 0
        return Command(tag, name, args, spec)

    def _wrong_state(self, spec: Spec) -> str:
        if self.state is State.NOT_AUTHENTICATED:
            return "Log in first"
        return "Already logged in" if State.NOT_AUTHENTICATED in spec.states else "Select a mailbox first"

    def _poisoned(self, poisoned: Poisoned) -> Event:
        reason = poisoned.reason
        if poisoned.fatal:
            return self._fatal(reason.text, reason.code)
        match = TAG.match(poisoned.start)
        known = match is not None and poisoned.start[match.end() : match.end() + 1] == b" "
        return self._refuse(match[0] if match and known else b"*", reason.status, reason.text, reason.code)

    def _refuse(self, tag: bytes, status: str, text: str, code: str) -> Event:
        self.send(encode.tagged(tag, status.encode("ascii"), text.encode(), code.encode()))
        self._bad += 1
        if self._bad >= self._fragmenter.limits.bad:
            return self._fatal("Too many bad commands", "")
        return Bad(tag, text)

    def _fatal(self, text: str, code: str) -> Fatal:
        self.send(encode.status(b"BYE", text.encode(), code.encode()))
        self._close()
        return Fatal(text)

    def _auth_line(self) -> AuthLine | None:
        line = self._fragmenter.raw_line(SASL_LINE)
        if line is None:
            return None
        self._mode = _Mode.COMMAND
        return AuthLine(unbase64(line) if isinstance(line, bytes) else None)

    def _idle_line(self) -> Done | None:
        line = self._fragmenter.raw_line(IDLE_LINE)
        if line is None:
            return None
        self._mode = _Mode.COMMAND
        return Done(isinstance(line, bytes) and line.upper() == b"DONE")

    def _literal(self, frame: Frame, size: int, sync: bool, binary: bool) -> Decision:
        if self._announcer is None or self._on_message is None:
            return None
        try:
            message = self._announcer.announce(frame, self.utf8, size, sync, binary)
            if message is None:
                return None
            spec = COMMANDS[message.command]
            if self.state not in spec.states:
                raise BadCommand(self._wrong_state(spec))
        except BadCommand as refusal:
            return Refuse(refusal.text, refusal.code, refusal.status)
        decision = self._on_message(message)
        if decision is LATER:
            self._waiting = message
        return decision
