"""DATA from 354 to its reply: bytes from the channel through the decoder into the door, then the commit.

Promises: memory for one chunk, whatever the size; what is refused on the way is read to its end (up to as much again
as a message may have), so that the rest of a message is never read as commands; a positive reply only after the
commit; a commit goes on when the connection is gone (SECURITY 0.2), a message without its final dot leaves nothing.
Fails by: Gone and Expired from the channel, Refused where the connection must end; every other trouble is a reply.
"""
import logging
from typing import TYPE_CHECKING

from bridge.intake import replies
from bridge.intake.authenticate import Inspection
from bridge.intake.channel import Channel, Expired, Gone
from bridge.intake.session import Transaction, Visit, recipients
from bridge.intake.submission import header_fix
from bridge.model.envelope import Envelope
from bridge.model.errors import DiskFull, Refused, StoreError
from bridge.model.reply import Reply
from bridge.queue.enter import NO_ROOM, TOO_BIG, Entry
from bridge.wire.dots import Decoder

if TYPE_CHECKING:
    from bridge.intake.listener import SmtpServer

_log = logging.getLogger(__name__)


class Transfer:
    """One message. `normalize`: lines may end in any way, from our own networks."""

    __slots__ = ("_channel", "_inspection", "_normalize", "_server", "_visit")

    def __init__(self, server: "SmtpServer", channel: Channel, visit: Visit, *, normalize: bool) -> None:
        self._server, self._channel, self._visit, self._normalize = server, channel, visit, normalize
        self._inspection: Inspection | None = None

    def begin(self, transaction: Transaction) -> Entry:
        """The envelope, and the way through the door for it."""
        door = self._server.door
        queue_id = door.ids.new()
        envelope = Envelope(
            id=queue_id,
            key=queue_id,
            sender=transaction.sender,
            recipients=recipients(transaction.recipients),
            origin=self._visit.origin,
            received_at=door.clock.now(),
            body="8BITMIME" if transaction.body == "8BITMIME" else "",
            smtputf8=transaction.smtputf8,
        )
        inspector = self._server.inspector
        self._inspection = inspector.begin(self._visit, transaction) if inspector is not None else None
        fix = header_fix(self._visit, self._server.tables, self._server.hostname)
        return door.open(envelope, fix=fix, look=self._inspection)

    async def run(self, entry: Entry) -> Reply:
        """Everything after 354; the reply to give."""
        try:
            return await self._run(entry)
        finally:
            if self._inspection is not None:
                self._inspection.close()

    async def _run(self, entry: Entry) -> Reply:
        try:
            refusal = await self._receive(entry)
        except (Gone, Expired, Refused):
            entry.abort()
            raise
        except Exception as error:
            entry.abort()
            _log.exception("smtp session of %s", self._visit.client)
            raise Refused(replies.BROKEN_OFF) from error
        if refusal is None:
            return await self._commit(entry)
        entry.abort()
        return refusal

    async def _receive(self, entry: Entry) -> Reply | None:
        """Read to the final dot; None if the door took every byte, else the refusal."""
        channel, server = self._channel, self._server
        decoder = Decoder(normalize=self._normalize)
        refusal: Reply | None = None
        large = False
        channel.begin_body()
        try:
            while True:
                body, finished, rest = decoder.feed(await channel.data())
                if refusal is None and body:
                    refusal = await self._feed(entry, body)
                    if entry.large and not large:
                        large, refusal = True, server.begin_large() or refusal
                if finished:
                    channel.put_back(rest)
                    break
                if decoder.size > 2 * server.settings.message_size:
                    raise Refused(refusal or TOO_BIG)
        finally:
            channel.end_body()
            if large:
                server.end_large()
        if (decoder.broken and not self._normalize) or decoder.endless:
            return replies.BROKEN
        return refusal

    async def _feed(self, entry: Entry, body: bytes) -> Reply | None:
        try:
            if entry.large:
                await self._server.loop.run_in_executor(self._server.threads, entry.feed, body)
            else:
                entry.feed(body)
        except Exception as error:
            return self._answer(error)
        return None

    async def _commit(self, entry: Entry) -> Reply:
        """The only place that says yes to a message."""
        self._channel.busy = True
        try:
            if self._inspection is not None:
                entry.finish()
                trust, refusal = await self._inspection.verdict()
                if refusal is not None:
                    raise Refused(refusal)
                entry.note(trust)
            await self._server.landing.wait(entry.commit())
        except Exception as error:
            entry.abort()
            return self._answer(error)
        finally:
            self._channel.busy = False
        visit = self._visit
        visit.messages += 1
        visit.errors = visit.junk = 0
        return Reply(250, "2.0.0", f"OK queued as {entry.id}")

    def _answer(self, error: Exception) -> Reply:
        """P12: what is not the message's fault is temporary."""
        if isinstance(error, Refused):
            return error.reply
        if isinstance(error, StoreError):
            _log.error("smtp: %s", error)
            return NO_ROOM if isinstance(error, DiskFull) else replies.OURS
        _log.error("smtp session of %s", self._visit.client, exc_info=error)
        return replies.OURS
