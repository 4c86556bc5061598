"""Who is told what, when mail fails or is late: the rules around `bridge.queue.dsn`.

Rules: the null sender is never answered (P11), the postmaster hears instead; a report that fails goes to the
postmaster, and one to the postmaster that fails, to quarantine. Mail that was fetched or comes from a list never
answers anybody elsewhere (sec-F15). Who sent without login from outside and lives elsewhere may be forged: such reports
are limited per hour, the rest goes to the postmaster (sec-S21). NOTIFY and RET of RFC 3461 are honoured.
Promises: a report is a message like any other, through the door, with a key made from its cause, so that it is written
once; recipients are only let go after it is safe. Blocks: runs in a thread of the mover.
Fails by: leaving everything as it is for the next run, when the door refuses or the disk is in trouble.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from bridge.config.queue import Queue
from bridge.model.clock import Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import Refused, StoreError
from bridge.queue import dsn
from bridge.queue.plan import Resolve, look_up
from bridge.route.resolver import Kind
from bridge.store import queuereports
from bridge.store.queuedb import QueueDb
from bridge.store.queuereports import Numbered
from bridge.store.queuetables import MISSING, QUARANTINED
from bridge.store.spool import SMALL, Damaged, Spool, Spooled
from bridge.watch.trace import Journal
from bridge.wire import headers

_FULL_LIMIT = 1_000_000         # bytes of an original that is returned whole
_HOUR = 3600.0
_TRUSTED = ("submission", "lmtp", "sendmail", "web", "fetch", "list", "dsn")
_HEADER = 256 * 1024
_log = logging.getLogger(__name__)


class Entrance(Protocol):
    """What is used of `bridge.queue.enter.Door`."""

    @property
    def ids(self) -> Ids: ...
    def accept(self, envelope: Envelope, message: Iterable[bytes]) -> Spooled: ...


class Reporter:
    """Looks for what is to be told and tells it. `is_local(address)`: does that address mean something here?"""

    def __init__(
        self,
        *,
        door: Entrance,
        spool: Spool,
        composer: dsn.Composer,
        is_local: Callable[[str], bool],
        settings: Queue,
        journal: Journal,
    ) -> None:
        self._door, self._spool, self._composer = door, spool, composer
        self._is_local, self._settings, self._journal = is_local, settings, journal
        self._postmaster = composer.house.postmaster
        self._foreign: deque[float] = deque()       # when reports went to strangers, this hour

    def run(self, queue: QueueDb, now: float) -> list[str]:
        """Tell all that is due. The messages that have no recipient left."""
        self._warn(queue, now)
        done: list[Numbered] = []
        for group in queuereports.failures(queue):
            try:
                if self._fail(queue, group, now):
                    done.append(group)
            except (StoreError, Refused) as error:
                _log.warning("report on %s must wait: %s", group.message, error)
                break
        return queuereports.reported(queue, done, now) if done else []

    def _fail(self, queue: QueueDb, group: Numbered, now: float) -> bool:
        """One failure report. False if the message has been set aside instead."""
        spooled = self._open(queue, group.message, now)
        if spooled is None:
            return False
        envelope = spooled.envelope
        if envelope.origin.door == "dsn" and envelope.origin.client == "double":
            self._set_aside(queue, envelope.id, "the notice to the postmaster failed: " + group.rows[0].reply, now)
            return False
        if envelope.forged and not self._is_local(envelope.sender):
            self._set_aside(queue, envelope.id, "undeliverable, and its sender is forged: nobody is told", now)
            return False
        why = self._why_not(envelope, now)
        if not why:
            rows = dsn.told(group.rows, "FAILURE")
            report = dsn.Report("failed", str(group.report), envelope, rows, envelope.sender, now)
        else:
            rows = group.rows
            report = dsn.Report("double", str(group.report), envelope, rows, self._postmaster, now, why=why)
        if rows:
            self._send(report, spooled, now)
        else:
            self._journal.record("unreported", envelope.id, reason="the sender asked not to be told")
        return True

    def _warn(self, queue: QueueDb, now: float) -> None:
        """Delay warnings. One that can't be written is passed over: the message itself goes on."""
        late = queuereports.late(queue, now)
        for queue_id, rows in late.items():
            waiting = dsn.told(rows, "DELAY")
            try:
                spooled = self._spool.open(queue_id) if waiting else None
                if spooled is not None and not self._why_not(spooled.envelope, now):
                    until = max(row.expires_at for row in waiting)
                    to = spooled.envelope.sender
                    report = dsn.Report("delayed", "delay", spooled.envelope, waiting, to, now, until)
                    self._send(report, spooled, now)
            except (OSError, StoreError, Refused, Damaged) as error:
                _log.warning("delay warning for %s: %s", queue_id, error)
        if late:
            queuereports.warned(queue, list(late))

    def _why_not(self, envelope: Envelope, now: float) -> str:
        """Why the sender can't be told; "" if it can."""
        sender, origin = envelope.sender, envelope.origin
        if not sender:
            return "it has the null sender"
        if self._is_local(sender):
            return ""
        if envelope.forged:
            return "SPF or DMARC says that its sender is forged"
        if origin.door in ("fetch", "list"):
            return "it was fetched or sent by a list, and its sender is elsewhere"
        if origin.login or origin.door in _TRUSTED or origin.client.startswith(("127.", "::1")):
            return ""
        while self._foreign and self._foreign[0] < now - _HOUR:
            self._foreign.popleft()
        if len(self._foreign) >= self._settings.foreign_reports:
            return "too many reports have gone to strangers this hour, whose addresses may be forged"
        self._foreign.append(now)
        return ""

    def _send(self, report: dsn.Report, spooled: Spooled, now: float) -> None:
        parent = report.envelope
        header = headers.block(self._spool.read(spooled, _HEADER))
        full = report.kind == "failed" and dsn.choose_full(
            parent, spooled.size, full=self._settings.full_bounces, limit=_FULL_LIMIT
        )
        original: Iterator[bytes] | None = self._spool.chunks(spooled, size=SMALL) if full else None
        double = report.kind == "double"
        envelope = Envelope(
            id=self._door.ids.new(),
            key=f"dsn:{parent.id}:{report.number}",
            sender="",
            recipients=(Recipient(report.to),),
            origin=Origin("dsn", client="double" if double else "", protocol="dsn"),
            received_at=now,
            parent=parent.id,
            body="8BITMIME",
        )
        child = self._door.accept(envelope, self._composer.compose(report, header, original))
        self._journal.record(
            "bounced" if report.kind != "delayed" else "warned",
            parent.id,
            to=report.to,
            child=child.envelope.id,
            recipients=len(report.rows),
            reason=report.why,
        )

    def _open(self, queue: QueueDb, queue_id: str, now: float) -> Spooled | None:
        try:
            return self._spool.open(queue_id)
        except FileNotFoundError:
            _log.error("message %s failed and its spool file is gone: nobody can be told", queue_id)
            queue.close_as([queue_id], MISSING, now).result()
            self._journal.record("missing", queue_id)
        except Damaged as error:
            self._set_aside(queue, queue_id, str(error), now)
        return None

    def _set_aside(self, queue: QueueDb, queue_id: str, reason: str, now: float) -> None:
        _log.error("message %s goes to quarantine: %s", queue_id, reason)
        self._spool.quarantine(queue_id, reason)
        queue.close_as([queue_id], QUARANTINED, now).result()
        self._journal.record("quarantined", queue_id, reason=reason)


def is_here(resolve: Resolve) -> Callable[[str], bool]:
    """`is_local` from the lookup that the queue uses: an address is ours if no way of it leads elsewhere."""
    return lambda address: all(route.kind is not Kind.REMOTE for route in look_up(resolve, address, ""))
