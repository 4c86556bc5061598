"""The queue's control socket: one JSON request a line, answers as JSON lines, the last one says how it went.

Request: {"do": VERB, ...}. Verbs: list, show, counters, flush, hold, release, requeue, return, delete, halt, resume.
Messages are chosen by "ids", "sender", "recipient", "domain", "before", "held"; a verb that changes something needs at
least one of these, or "all": true; halt and resume take "names". Answer: data, then {"ok": true, ...} or {"ok": false,
"error": text}. Promises: only root and the service's own user are listened to (sec-X09), the socket is 0600; a request
is at most 1 MB; a client that says nothing for a minute is let go. `answer` does the same while no mover runs.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bridge.model.errors import StoreError
from bridge.queue.worker import Mover
from bridge.store import queueview
from bridge.store.queuedb import QueueDb
from bridge.store.queuelook import MOST
from bridge.store.queueview import Selection
from bridge.store.spool import Damaged, Spool

LONGEST = 1 << 20
IDLE = 60.0
_SHOWN = 256 * 1024     # bytes of a message that `show` gives
_SELECT = ("ids", "sender", "recipient", "domain", "before", "held")
_CHANGES = frozenset({"flush", "hold", "release", "requeue", "return", "delete"})
_DUE = frozenset({"flush", "release", "requeue", "return", "resume"})
_log = logging.getLogger(__name__)

Request = dict[str, Any]
Answer = dict[str, Any]


class BadRequest(Exception):
    """The request makes no sense; the text says why."""


def answer(queue: QueueDb, spool: Spool, request: Request, now: float) -> Iterator[Answer]:
    """Do what is asked on the rows. Blocks. Raises BadRequest, StoreError."""
    verb = request.get("do")
    if verb == "list":
        found = queueview.listing(queue, _selection(request))
        yield from found
        yield {"ok": True, "count": len(found)}
    elif verb == "show":
        yield from _show(queue, spool, request)
    elif verb == "counters":
        yield {"ok": True, **queueview.counters(queue)}
    elif verb in ("halt", "resume"):
        names = _words(request, "names")
        halted = queueview.halt(queue, names, now) if verb == "halt" else queueview.resume(queue, names)
        yield {"ok": True, "halted": halted}
    elif verb in _CHANGES:
        chosen = _selection(request)
        if not any(request.get(name) not in (None, "", [], 0, False) for name in _SELECT) and not request.get("all"):
            raise BadRequest("say which messages, or all")
        ids = _change(queue, str(verb), chosen, now)
        yield {"ok": True, "count": len(ids), "ids": ids}
    else:
        raise BadRequest(f"unknown: {str(verb)[:40]!r}")


def _change(queue: QueueDb, verb: str, chosen: Selection, now: float) -> list[str]:
    if verb == "hold":
        return queueview.hold(queue, chosen)
    verbs: dict[str, Callable[[QueueDb, Selection, float], list[str]]] = {
        "flush": queueview.flush,
        "release": queueview.release,
        "requeue": queueview.requeue,
        "return": queueview.give_back,
        "delete": queueview.delete,
    }
    return verbs[verb](queue, chosen, now)


def _show(queue: QueueDb, spool: Spool, request: Request) -> Iterator[Answer]:
    """One message: its rows, its envelope, its beginning."""
    ids = _words(request, "ids")
    if len(ids) != 1:
        raise BadRequest("say which one message")
    found = queueview.listing(queue, Selection(ids=(ids[0],)))
    try:
        spooled = spool.open(ids[0])
        text = spool.read(spooled, _SHOWN).decode("utf-8", "replace")
    except (FileNotFoundError, ValueError, Damaged) as error:
        raise BadRequest(f"no such message: {error}") from error
    envelope = json.loads(spooled.envelope.to_json())
    yield {"message": found[0] if found else None, "envelope": envelope, "text": text, "whole": spooled.size <= _SHOWN}
    yield {"ok": True, "count": 1}


def _words(request: Request, name: str) -> list[str]:
    found = request.get(name) or []
    if not isinstance(found, list):
        raise BadRequest(f"{name} must be a list")
    return [str(one) for one in found]


def _selection(request: Request) -> Selection:
    try:
        sender = request.get("sender")
        return Selection(
            ids=tuple(_words(request, "ids")),
            sender=None if sender is None else "" if sender == "<>" else str(sender),
            recipient=str(request.get("recipient") or ""),
            domain=str(request.get("domain") or ""),
            before=float(request.get("before") or 0),
            held=bool(request.get("held")),
            limit=min(int(request.get("limit") or MOST), MOST),
        )
    except (TypeError, ValueError) as error:
        raise BadRequest(f"bad selection: {error}") from error


class Control:
    """Serves the socket at `path` for a running mover."""

    def __init__(self, mover: Mover, path: Path) -> None:
        self._mover, self._path = mover, path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LONGEST)
        finally:
            os.umask(before)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _may(writer.get_extra_info("socket")):
                while line := await asyncio.wait_for(reader.readline(), IDLE):
                    for one in await self._do(line):
                        writer.write(json.dumps(one).encode() + b"\n")
                        await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass    # too long, too slow or gone: nothing to say to it
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _do(self, line: bytes) -> Iterable[Answer]:
        mover = self._mover
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise BadRequest("a request is a JSON object")
            now, queue = mover.clock.now(), mover.queue
            answers = await asyncio.to_thread(lambda: list(answer(queue, mover.parts.spool, request, now)))
        except (BadRequest, ValueError) as error:
            return [{"ok": False, "error": str(error)}]
        except StoreError as error:
            _log.error("control: %s", error)
            return [{"ok": False, "error": str(error)}]
        except Exception:
            _log.exception("control")
            return [{"ok": False, "error": "a mistake of ours; the log has it"}]
        await self._tell(request, answers[-1])
        return answers

    async def _tell(self, request: Request, result: Answer) -> None:
        """What the mover has to know."""
        mover, verb = self._mover, request["do"]
        if verb in ("halt", "resume"):
            mover.window.halted = set(result["halted"])
        if verb == "delete":
            await mover.dropped(result["ids"])
        if verb == "return":
            mover.sending.failures = True
        if verb in _DUE:
            mover.wake()
        if verb in _CHANGES:
            for queue_id in result["ids"]:
                mover.parts.journal.record(f"queue-{verb}", queue_id)


def _may(peer: socket.socket) -> bool:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())
