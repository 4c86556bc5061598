"""The one contract of everything that delivers: jobs in, an outcome per recipient out.

Promises: a transport answers for the recipients that it was given, by `Target.id`, and for nobody else; a recipient
that it says nothing about, or that was under way when it raised, is `Deferred`. A transport may be asked the same
thing again (a crash, a lost answer): it makes that harmless where it can, by a name derived from message and recipient.
Fails: a transport may raise anything; the mover turns that into `Deferred` for the whole batch and tells the log.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bridge.model.outcome import Outcome
from bridge.route.resolver import Kind
from bridge.store.spool import Spooled


@dataclass(frozen=True, slots=True)
class Target:
    """One recipient of one message, as the queue knows it.

    `address` is the final address, `original` the one that the message came for; `target` is `Route.target`; `sender`
    the envelope sender to use for this recipient (an owner-alias may have replaced that of the envelope).
    """

    id: int
    address: str
    original: str
    target: str
    sender: str


@dataclass(frozen=True, slots=True)
class Job:
    """One message and those of its recipients that go the same way.

    `again`: an earlier attempt may have succeeded without our knowing (a crash between delivery and record), so a
    transport that can find out looks harder.
    """

    spooled: Spooled
    kind: Kind
    nexthop: str
    targets: tuple[Target, ...]
    again: bool = False


class Transport(Protocol):
    """Takes jobs in batches, so that syncs and connections can be shared."""

    async def deliver(self, jobs: Sequence[Job]) -> Mapping[int, Outcome]: ...


@runtime_checkable
class Remembering(Protocol):
    """A transport that spares a destination for a moment after it could not be reached."""

    def hurry(self) -> None:
        """Somebody wants everything tried now: forget that."""
