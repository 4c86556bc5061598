"""Puts pages on the sockets that this process was given: uvicorn's HTTP, with an acceptor of ours in front.

Promises: connections are taken only while descriptors are left (P07); who has not asked for anything after
`PATIENCE` seconds is cut off (P26); at the end, requests under way have `grace` seconds.
Fails by: what uvicorn fails by at its start.
"""
import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from bridge.accept import Acceptor

PATIENCE = 30.0
CONNECTIONS = 200
CROWDED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def serve(
    application: ASGIApp, sockets: Iterable[socket.socket], told: Callable[[], Awaitable[None]], grace: int
) -> None:
    """Until `told()` returns."""
    config = uvicorn.Config(
        application, log_config=None, access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=grace, limit_concurrency=CONNECTIONS, h11_max_incomplete_event_size=65536,
        http="h11", ws="none",
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server._serve(sockets=[]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0)
    visitors = _Visitors(server)
    acceptors = [Acceptor(one, visitors.take, refusal=lambda: CROWDED) for one in sockets]
    await told()
    for acceptor in acceptors:
        acceptor.close()
    server.should_exit = True
    await serving


class _Visitors:
    """Hands connections to uvicorn, as its own server does."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()

    def take(self, accepted: socket.socket, address: Any) -> None:
        task = self._loop.create_task(self._connect(accepted))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        with suppress(OSError):     # it has gone again
            transport, protocol = await self._loop.connect_accepted_socket(self._protocol, accepted)
            self._loop.call_later(PATIENCE, _asked, transport, protocol)

    def _protocol(self) -> asyncio.Protocol:
        config = self._server.config
        made: asyncio.Protocol = config.http_protocol_class(    # type: ignore[call-arg]
            config=config, server_state=self._server.server_state, app_state=self._server.lifespan.state,
        )  # fmt: skip
        return made


def _asked(transport: asyncio.BaseTransport, protocol: Any) -> None:
    """Whoever has asked for something has a `cycle`, and uvicorn's own time limits."""
    if protocol.cycle is None and not transport.is_closing():
        transport.abort()   # type: ignore[attr-defined]
