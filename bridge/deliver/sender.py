"""Outbound SMTP in processes of its own: jobs over a unix socket, outcomes back.

One JSON object per line. Towards the sender `{"job": n, ...}` (the spool file, the next hop, the recipients) and
`{"cancel": n}`, `{"hurry": true}`; back `{"job": n, "outcomes": [[id, kind, code, enhanced, text, where, scope], ...],
"done": false}` for each transaction as it ends; `done` is true with the last outcome, or in a line without outcomes
where some are not known. Bodies never cross: the sender reads the spool file.

Promises: a next hop always goes to the same sender, so that connections are shared and limits hold; a sender that dies
leaves what it was doing Deferred (what it had reported stays reported), and the next job finds its successor; a mover
that dies takes its jobs with it, so that the next one repeats as little as can be (P08).
Fails by: Deferred with scope "node" where no sender is there.
"""
import asyncio
import itertools
import json
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

from bridge.deliver.base import Job, Remembering, Target
from bridge.deliver.smtp import Settled
from bridge.deliver.trouble import Trouble, judge, judge_error
from bridge.model.envelope import Envelope, Origin
from bridge.model.outcome import Deferred, Delivered, Expanded, Failed, Outcome
from bridge.model.reply import Reply
from bridge.route.resolver import Kind
from bridge.store.spool import Spooled

LINE_LIMIT = 16 * 1024 * 1024      # a job with ten thousand recipients
_log = logging.getLogger(__name__)


class Telling(Protocol):
    """A transport that tells outcomes as they come: `SmtpTransport`."""

    async def deliver(self, jobs: Sequence[Job], settled: Settled = ...) -> Mapping[int, Outcome]: ...


class SenderTransport:
    """The mover's end, a transport. `paths`: the sockets of the senders."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._lines = [_Line(path) for path in paths]

    async def deliver(self, jobs: Sequence[Job], settled: Settled = lambda outcomes: None) -> Mapping[int, Outcome]:
        outcomes: dict[int, Outcome] = {}

        def tell(found: Mapping[int, Outcome]) -> None:
            outcomes.update(found)
            settled(found)

        async def one(job: Job) -> None:
            line = self._lines[crc32(job.nexthop.encode()) % len(self._lines)]
            trouble = await line.run(job, tell)
            rest = [target.id for target in job.targets if target.id not in outcomes]
            if rest:
                reply = judge(Trouble.STOPPING, trouble or "the sender said nothing").outcome
                tell(dict.fromkeys(rest, reply))

        if len(jobs) == 1:
            await one(jobs[0])
        else:
            await asyncio.gather(*map(one, jobs))
        return outcomes

    def hurry(self) -> None:
        """Before the jobs that follow: they go over the same line."""
        for line in self._lines:
            line.hurry()

    def close(self) -> None:
        for line in self._lines:
            line.close()


_Running = dict[int, tuple[asyncio.Future[str], Settled]]


class _Line:
    """The connection to one sender, made when it is needed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._running: _Running = {}        # of the present connection
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)

    async def run(self, job: Job, tell: Settled) -> str:
        """Hand the job over and wait for its end. What went wrong, or ""."""
        try:
            writer, running = await self._open()
        except OSError as error:
            return f"no sender process: {error.strerror or error}"
        number = next(self._numbers)
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running[number] = ended, tell
        try:
            writer.write(encode_job(number, job))
            await writer.drain()
            return await ended
        except OSError as error:
            return f"the sender process is gone: {error.strerror or error}"
        except asyncio.CancelledError:
            writer.write(_line({"cancel": number}))
            raise
        finally:
            running.pop(number, None)

    def hurry(self) -> None:
        """Where there is no connection, there is nothing to forget."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(_line({"hurry": True}))

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _open(self) -> tuple[asyncio.StreamWriter, _Running]:
        async with self._opening:
            if self._writer is None or self._writer.is_closing():
                reader, self._writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
                self._running = {}
                reading = self._read(reader, self._writer, self._running)
                self._reading = asyncio.get_running_loop().create_task(reading)
            return self._writer, self._running

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, running: _Running
    ) -> None:
        try:
            while line := await reader.readline():
                _take(running, json.loads(line))
        except (OSError, ValueError) as error:
            _log.warning("sender %s: %s", self._path, error)
        finally:
            writer.close()
            for ended, _ in running.values():
                if not ended.done():
                    ended.set_result("the sender process ended while the message was under way")


def _take(running: _Running, said: dict[str, Any]) -> None:
    """What the sender says of one job."""
    waiting = running.get(said["job"])
    if waiting is None:
        return
    ended, tell = waiting
    if "outcomes" in said:
        tell(decode_outcomes(said["outcomes"]))
    if said["done"] and not ended.done():
        ended.set_result("")


class SenderServer:
    """The sender's end: what comes over the socket goes to `transport`."""

    def __init__(self, transport: Telling) -> None:
        self._transport = transport
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket) -> None:
        """Begin to take jobs from a unix socket that is bound already."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LINE_LIMIT)

    async def stop(self, grace: float = 20.0) -> None:
        """Take no more; let what is under way end; break off what takes longer."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: dict[int, asyncio.Task[None]] = {}
        try:
            while line := await reader.readline():
                said = json.loads(line)
                if "cancel" in said:
                    task = running.get(said["cancel"])
                    if task is not None:
                        task.cancel()
                    continue
                if "hurry" in said:
                    if isinstance(self._transport, Remembering):
                        self._transport.hurry()
                    continue
                number, job = decode_job(said)
                task = asyncio.get_running_loop().create_task(self._deliver(number, job, writer))
                running[number] = task
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(lambda _, number=number: running.pop(number, None))  # type: ignore[misc]
        except (OSError, ValueError, KeyError) as error:
            _log.warning("the mover's line broke: %s", error)
        except asyncio.CancelledError:
            pass  # the loop is ending
        finally:
            for task in running.values():
                task.cancel()
            writer.close()

    async def _deliver(self, number: int, job: Job, writer: asyncio.StreamWriter) -> None:
        left = {target.id for target in job.targets}

        def tell(found: Mapping[int, Outcome]) -> None:
            left.difference_update(found)
            writer.write(_line({"job": number, "outcomes": encode_outcomes(found), "done": not left}))

        try:
            await self._transport.deliver([job], tell)
        except Exception as error:
            _log.exception("message %s to %s", job.spooled.envelope.id, job.nexthop)
            tell({target.id: judge_error(error, job.nexthop).outcome for target in job.targets})
        if left:
            writer.write(_line({"job": number, "done": True}))
        with suppress(OSError):
            await writer.drain()


# --- lines ---


def encode_job(number: int, job: Job) -> bytes:
    envelope = job.spooled.envelope
    return _line({
        "job": number, "message": envelope.id, "sender": envelope.sender, "body": envelope.body,
        "utf8": envelope.smtputf8, "path": str(job.spooled.path), "start": job.spooled.start, "size": job.spooled.size,
        "nexthop": job.nexthop, "again": job.again,
        "origin": [envelope.origin.door, envelope.origin.client, envelope.origin.login],
        "targets": [[one.id, one.address, one.original, one.target, one.sender] for one in job.targets],
    })


def decode_job(said: dict[str, Any]) -> tuple[int, Job]:
    """What a sender needs of a job; its envelope has no more than that."""
    door, client, login = said["origin"]
    envelope = Envelope(
        said["message"], said["message"], said["sender"], (), Origin(door, client, login=login), 0.0,
        body=said["body"], smtputf8=said["utf8"])
    spooled = Spooled(envelope, Path(said["path"]), said["start"], said["size"])
    targets = tuple(Target(*one) for one in said["targets"])
    return said["job"], Job(spooled, Kind.REMOTE, said["nexthop"], targets, said["again"])


def encode_outcomes(found: Mapping[int, Outcome]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for number, outcome in found.items():
        if isinstance(outcome, Expanded):
            raise ValueError("a remote host expands nothing")
        kind = type(outcome).__name__.lower()
        scope = outcome.scope if isinstance(outcome, Deferred) else ""
        reply = outcome.reply
        rows.append([number, kind, reply.code, reply.enhanced, reply.text, outcome.where, scope])
    return rows


def decode_outcomes(rows: list[list[Any]]) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    for number, kind, code, enhanced, text, where, scope in rows:
        reply = Reply(code, enhanced, text)
        if kind == "delivered":
            found[number] = Delivered(where, reply)
        elif kind == "failed":
            found[number] = Failed(reply, where)
        else:
            found[number] = Deferred(reply, scope, where)
    return found


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"
