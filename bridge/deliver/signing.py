"""DKIM signatures on mail that leaves for other servers, made while it leaves.

Promises: only mail of ours is signed: handed in by somebody who logged in or runs a program here, made here (lists,
bounces), or from a trusted network; never what a stranger sent and we pass on. The key is that of the author's domain,
else that of the envelope sender's. Each message is read and hashed once, in a thread, however many transactions it has.
Nothing is written to the spool: a key that is changed signs what is still in the queue.
Fails by: what reading the spool raises; no key means no signature. RFC 6376; sec-O13, sec-O14.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from bridge.model.address import split
from bridge.model.clock import SYSTEM, Clock
from bridge.model.envelope import Envelope
from bridge.model.network import Networks
from bridge.store.spool import Spooled
from bridge.trust.canonical import RelaxedBody
from bridge.trust.key import Key
from bridge.trust.sign import author_domain, signatures
from bridge.wire import headers

_FROM_OUTSIDE = frozenset({"smtp", "lmtp", "fetch"})
_KEEP = 256             # signatures that are remembered for the next transaction of the same message


class Bodies(Protocol):
    """Where messages are: the spool."""

    def chunks(self, spooled: Spooled) -> Iterable[bytes]: ...


class Keys(Protocol):
    """The keys of our domains."""

    def some(self) -> bool:
        """Whether there is any; asked for each message."""

    def signing(self, domain: str) -> Sequence[Key]: ...


class Signer:
    """`signature` for each transaction. One event loop uses this."""

    def __init__(
        self, bodies: Bodies, keys: Keys, *, trusted: Iterable[str], days: int, clock: Clock = SYSTEM
    ) -> None:
        self._bodies, self._keys, self._clock, self._lifetime = bodies, keys, clock, days * 86400
        self._trusted = Networks.of(trusted)
        self._made: OrderedDict[str, asyncio.Task[bytes]] = OrderedDict()

    async def signature(self, spooled: Spooled) -> bytes:
        """Header fields to send before the message; empty: it is not ours, or there is no key."""
        envelope = spooled.envelope
        if not self._keys.some() or not self.ours(envelope):
            return b""
        known = self._made.get(envelope.id)
        if known is None or (known.done() and known.exception() is not None):
            known = self._made[envelope.id] = asyncio.ensure_future(asyncio.to_thread(self._sign, spooled))
            while len(self._made) > _KEEP:
                self._made.popitem(last=False)
        return await asyncio.shield(known)

    def ours(self, envelope: Envelope) -> bool:
        """May we put our name under it?"""
        origin = envelope.origin
        if origin.login or origin.door not in _FROM_OUTSIDE:
            return True
        if origin.door == "fetch":
            return False
        return origin.client in self._trusted if origin.client else origin.door == "lmtp"

    def _sign(self, spooled: Spooled) -> bytes:
        """In a thread."""
        pieces = iter(self._bodies.chunks(spooled))
        header, rest = _header(pieces)
        signing = self._keys.signing
        keys = signing(author_domain(header)) or signing(split(spooled.envelope.sender)[1])
        if not keys:
            return b""
        body = RelaxedBody()
        for piece in chain((rest,), pieces):
            body.feed(piece)
        return signatures(header, body.digest(), keys, int(self._clock.now()), self._lifetime)


def _header(pieces: Iterator[bytes]) -> tuple[bytes, bytes]:
    """The header block with its blank line, and what of the body came with it."""
    data = b""
    for piece in pieces:
        data += piece
        end = headers.body_start(data)
        if end < len(data) or len(data) > headers.MAX_BLOCK:
            return data[:end], data[end:]
    return data, b""
