"""What ordinary users of this machine may ask of the queue: to see and to hurry what they sent themselves (S75, S76).

One socket in the drop folder, the one place that everybody can reach. Who asks is what the kernel says (SO_PEERCRED).
Promises: an answer has messages whose sender is the asker's address and no others; the only verbs are list and flush.
Fails by: an answer that says no; a client that is slow or talks nonsense is let go.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.model.errors import StoreError
from bridge.queue import control
from bridge.queue.worker import Mover

_LONGEST = 64 * 1024
_PATIENCE = 10.0
_AT_ONCE = 8
_log = logging.getLogger(__name__)


class OwnMail:
    """Serves the socket at `path`. `address_of(uid)`: what a user sends as."""

    def __init__(self, mover: Mover, path: Path, address_of: Callable[[int], str]) -> None:
        self._mover, self._path, self._address_of = mover, path, address_of
        self._server: asyncio.Server | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LONGEST)
        os.chmod(self._path, 0o666)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._room:
                line = await asyncio.wait_for(reader.readline(), _PATIENCE)
                for one in await self._answers(line, _uid(writer.get_extra_info("socket"))):
                    writer.write(json.dumps(one).encode() + b"\n")
                    await asyncio.wait_for(writer.drain(), _PATIENCE)
        except (TimeoutError, ValueError, ConnectionError):
            pass    # too long, too slow or gone: nothing to say to it
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answers(self, line: bytes, uid: int) -> list[control.Answer]:
        mover = self._mover
        try:
            request: Any = json.loads(line)
            if not isinstance(request, dict) or request.get("do") not in ("list", "flush"):
                raise control.BadRequest("only root and the server's user may do that")
            mine = {"do": request["do"], "sender": self._address_of(uid), "ids": request.get("ids")}
            now, queue, spool = mover.clock.now(), mover.queue, mover.parts.spool
            found = await asyncio.to_thread(lambda: list(control.answer(queue, spool, mine, now)))
        except (control.BadRequest, ValueError, RecursionError) as error:
            return [{"ok": False, "error": str(error)}]
        except StoreError as error:
            _log.error("own mail: %s", error)
            return [{"ok": False, "error": str(error)}]
        if request["do"] == "flush":
            mover.wake()
        return found


def _uid(peer: socket.socket) -> int:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
