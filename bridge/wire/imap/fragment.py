"""Cuts the client's stream into whole commands: lines and literals, before any grammar.

Promises: every byte belongs to exactly one command; a command that is too long or refused is read to its end and
reported once as `Poisoned`, and no byte of its literals is ever taken for a command. Input is searched once however
slowly it drips. Big literals go to a `Sink` while they arrive; what is kept in memory is bounded by `Limits`.
Fails by: `Poisoned`; with `fatal` where the peer announced more than we are willing to throw away.
Not here: what the bytes mean (`tokens`), what is answered (`flow`).
RFC: 3501 section 4.3, 9051 section 4.3, 7888 (LITERAL+, LITERAL-), 3516 (literal8).

A line ends in CRLF; a bare LF is taken too, for people who type by hand. The end of a line decides whether the command
goes on: `{n}` asks for a go-ahead, `{n+}` doesn't, `~{n}` may hold NUL. That reading needs no grammar, so it is the
same for good and for bad commands; this is what keeps a refused literal from being executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

_TAIL: Final = 64  # bytes of an overlong line kept to see whether it ends in a literal
_DIGITS: Final = 18  # a literal size with more digits is as good as infinite
_INFINITE: Final = 10**_DIGITS
_ANNOUNCED = re.compile(rb"\{([0-9]+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may cost; every loop fed by the peer ends at one of these."""

    line: int  # bytes of all lines of a command together
    literal: int  # one literal kept in memory
    literals: int  # all literals of a command that are kept in memory
    count: int  # number of literals of a command
    discard: int  # bytes of a refused command that are read before hanging up
    nonsync: int | None  # largest {n+}: 4096 is LITERAL-, None is LITERAL+
    depth: int  # nesting of parentheses
    bad: int  # refused commands in a row before BYE


PRE_AUTH: Final = Limits(
    line=8192, literal=4096, literals=16_384, count=8, discard=65_536, nonsync=4096, depth=1, bad=10
)
POST_AUTH: Final = Limits(
    line=65_536, literal=65_536, literals=262_144, count=1024, discard=128 << 20, nonsync=None, depth=32, bad=50
)


class Sink(Protocol):
    """Where a big literal goes while it arrives."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take these bytes now; the memory is reused afterwards."""

    def end(self) -> object:
        """All announced bytes were written."""

    def abandon(self) -> object:
        """The command was refused or the connection lost."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The answer to a literal that isn't wanted."""

    text: str
    code: str = ""
    status: str = "NO"


class Later(Enum):
    """The decision about a literal will be given to `decide`."""

    LATER = "later"


LATER: Final = Later.LATER
Decision = Sink | Refuse | Later | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal of a command: its bytes, or the sink that got them."""

    size: int
    sync: bool
    binary: bool
    data: bytes | None = None
    sink: Sink | None = field(default=None, compare=False)


Piece = bytes | Literal
Frame = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A command that was read to its end and refused; `start` is its first bytes, for the tag."""

    start: bytes
    reason: Refuse
    fatal: bool = False


class Need(Enum):
    """What must happen before the next command can come."""

    GO_AHEAD = "answer + to the literal"
    DECISION = "call decide"


TOO_LONG: Final = Refuse("Command line too long", "LIMIT", "BAD")
LITERAL_TOO_BIG: Final = Refuse("Literal too big", "TOOBIG", "BAD")
TOO_MANY: Final = Refuse("Too many literals", "LIMIT", "BAD")

_START: Final = 128  # bytes of the first line that a `Poisoned` shows


def keep_in_memory(frame: Frame, size: int, sync: bool, binary: bool) -> Decision:
    """The simplest `on_literal`: everything into memory, within the limits."""
    return None


class Fragmenter:
    """The framing of one connection: `feed` bytes, ask `next` for what is whole."""

    __slots__ = (
        "_binary", "_buffer", "_count", "_decision", "_discarded", "_kept", "_left", "_line", "_on_literal", "_pieces",
        "_poison", "_reading", "_scanned", "_sink", "_size", "_skipping", "_start", "_sync", "_waiting", "limits",
    )  # fmt: skip

    def __init__(
        self, limits: Limits = PRE_AUTH, on_literal: Callable[[Frame, int, bool, bool], Decision] = keep_in_memory
    ) -> None:
        self.limits = limits
        self._on_literal = on_literal
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer known to hold no LF
        self._skipping = False  # inside a raw line that is too long
        self._reset()

    def _reset(self) -> None:
        self._pieces: list[Piece] = []
        self._start = b""
        self._line = 0  # bytes of the lines so far
        self._kept = 0  # bytes of the literals in memory
        self._count = 0
        self._discarded = 0
        self._poison: Refuse | None = None
        self._reading = False  # inside a literal
        self._waiting = False  # for decide()
        self._decision: Decision = LATER
        self._size = 0
        self._left = 0
        self._sync = self._binary = False
        self._sink: Sink | None = None

    # -- bytes in ----------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Add what the peer sent."""
        self._buffer += data

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not yet used."""
        return len(self._buffer)

    @property
    def idle(self) -> bool:
        """True between two commands."""
        return not self._pieces and not self._waiting and self._poison is None

    def take_input(self) -> bytes:
        """What was fed and not used; the buffer is empty afterwards."""
        rest = bytes(self._buffer)
        self._buffer = bytearray()
        self._scanned = 0
        return rest

    def abandon(self) -> None:
        """Connection lost: tell the sinks, forget the command."""
        self._abandon_sinks()
        self._reset()

    # -- commands out ------------------------------------------------------------------------------------------

    def next(self) -> Frame | Poisoned | Need | None:
        """The next whole command, or what is missing; None: more input."""
        while True:
            if self._waiting:
                if self._decision is LATER:
                    return Need.DECISION
                self._waiting = False
                outcome = self._decided(self._decision)
                if outcome is not None:
                    return outcome
                continue
            if self._reading:
                if not self._read_literal():
                    return None
                continue
            buffer = self._buffer
            end = buffer.find(b"\n", self._scanned)
            if end < 0:
                return self._incomplete_line()
            stop = end - 1 if end and buffer[end - 1] == 13 else end
            if not self._pieces and self._poison is None and end < self.limits.line and buffer[stop - 1] != 125:
                line = bytes(buffer[:stop])  # the common case: a command of one line
                del buffer[: end + 1]
                self._scanned = 0
                return (line,)
            line = bytes(buffer[:stop])
            del buffer[: end + 1]
            self._scanned = 0
            result = self._take_line(line, end + 1)
            if result is not None:
                return result

    def _incomplete_line(self) -> Poisoned | None:
        buffer = self._buffer
        self._scanned = len(buffer)
        if self._poison is None:
            if self._line + len(buffer) <= self.limits.line:
                return None
            self._start = self._start or bytes(buffer[: min(_START, self.limits.line)])
            self._set_poison(TOO_LONG)
        surplus = len(buffer) - _TAIL
        if surplus > 0:
            del buffer[:surplus]
            self._scanned = len(buffer)
            return self._discard(surplus)
        return None

    def _take_line(self, line: bytes, length: int) -> Frame | Poisoned | Need | None:
        if not self._start:
            self._start = line[: min(_START, self.limits.line)]
        self._line += length
        if self._poison is None and self._line > self.limits.line:
            self._set_poison(TOO_LONG)
        if self._poison is not None:
            fatal = self._discard(length)
            if fatal is not None:
                return fatal
        announced = _ANNOUNCED.fullmatch(line, line.rfind(b"{")) if line.endswith(b"}") else None
        if announced is None:
            return self._finish(line)
        digits, plus = announced.groups()
        size = int(digits) if len(digits) <= _DIGITS else _INFINITE
        start = announced.start()
        binary = line[start - 1 : start] == b"~"
        return self._announce(line[: start - 1] if binary else line[:start], size, not plus, binary)

    def _finish(self, line: bytes) -> Frame | Poisoned:
        if self._poison is not None:
            return self._poisoned()
        self._pieces.append(line)
        frame = tuple(self._pieces)
        self._reset()
        return frame

    # -- literals ----------------------------------------------------------------------------------------------

    def _announce(self, line: bytes, size: int, sync: bool, binary: bool) -> Poisoned | Need | None:
        self._size, self._left, self._sync, self._binary, self._sink = size, size, sync, binary, None
        if self._poison is None:
            self._pieces.append(line)
            self._count += 1
            limit = self.limits.nonsync
            if self._count > self.limits.count:
                self._set_poison(TOO_MANY)
            elif size >= _INFINITE or (not sync and limit is not None and size > limit):
                self._set_poison(LITERAL_TOO_BIG)
            else:
                return self._decided(self._on_literal(tuple(self._pieces), size, sync, binary))
        return self._refused_literal()

    def decide(self, decision: Decision) -> None:
        """The answer to `Need.DECISION`; `next` goes on from there."""
        self._decision = decision

    def _decided(self, decision: Decision) -> Poisoned | Need | None:
        if decision is LATER:
            self._waiting, self._decision = True, LATER
            return Need.DECISION
        if isinstance(decision, Refuse):
            self._set_poison(decision)
            return self._refused_literal()
        if decision is None:
            limits = self.limits
            if self._size > limits.literal or self._kept + self._size > limits.literals:
                self._set_poison(LITERAL_TOO_BIG)
                return self._refused_literal()
            self._kept += self._size
        else:
            assert not isinstance(decision, Later)
            self._sink = decision
        self._reading = True
        return Need.GO_AHEAD if self._sync else None

    def _refused_literal(self) -> Poisoned | None:
        """A synchronising literal won't be sent after our answer; the other kind is on its way."""
        if self._sync:
            return self._poisoned()
        fatal = self._discard(self._size)
        self._reading = fatal is None
        return fatal

    def _read_literal(self) -> bool:
        """Take what there is of the current literal; True when it is whole."""
        buffer, left = self._buffer, self._left
        if self._poison is None and self._sink is None:
            if len(buffer) < left:
                return False
            self._pieces.append(Literal(self._size, self._sync, self._binary, bytes(buffer[:left])))
            del buffer[:left]
            self._reading = False
            return True
        there = min(left, len(buffer))
        if there:
            if self._sink is not None:
                with memoryview(buffer) as view, view[:there] as part:
                    self._sink.write(part)
            del buffer[:there]
            self._left = left = left - there
        if left:
            return False
        self._reading = False
        if self._sink is not None:
            self._sink.end()
            self._pieces.append(Literal(self._size, self._sync, self._binary, None, self._sink))
            self._sink = None
        return True

    # -- poison ------------------------------------------------------------------------------------------------

    def _set_poison(self, reason: Refuse) -> None:
        self._abandon_sinks()
        self._pieces.clear()
        self._poison = reason

    def _abandon_sinks(self) -> None:
        sinks = [piece.sink for piece in self._pieces if isinstance(piece, Literal)]
        sinks.append(self._sink)
        self._sink = None
        for sink in sinks:
            if sink is not None:
                sink.abandon()

    def _discard(self, count: int) -> Poisoned | None:
        self._discarded += count
        return self._poisoned(fatal=True) if self._discarded > self.limits.discard else None

    def _poisoned(self, fatal: bool = False) -> Poisoned:
        assert self._poison is not None
        result = Poisoned(self._start, self._poison, fatal)
        self._reset()
        return result

    # -- lines that are not commands (AUTHENTICATE, IDLE) ------------------------------------------------------

    def raw_line(self, limit: int) -> bytes | Refuse | None:
        """The next line without its end, `TOO_LONG` once it is over, None: more input."""
        buffer = self._buffer
        end = buffer.find(b"\n", self._scanned)
        if end < 0:
            if len(buffer) > limit:
                self._skipping = True
                buffer.clear()
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._scanned = 0
        if self._skipping or end > limit:
            self._skipping = False
            return TOO_LONG
        return line[:-1] if line.endswith(b"\r") else line
