"""Connections are taken while there are descriptors (P07, sec-R05). The real processes: tests/crash."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from bridge import accept
from bridge.accept import Acceptor
from bridge.watch import tcp

Body = Callable[[socket.socket], Coroutine[None, None, None]]


def run(body: Body) -> None:
    """In the loop that the product has, on a port of its own."""

    async def limited() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await asyncio.wait_for(body(listening), 20)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


def call(listening: socket.socket) -> socket.socket:
    return socket.create_connection(listening.getsockname(), 10)


async def heard(one: socket.socket) -> bytes:
    one.setblocking(False)
    return await asyncio.get_running_loop().sock_recv(one, 100)


def test_the_last_descriptors_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes then is told so and let go; when somebody has left there is room again."""

    async def body(listening: socket.socket) -> None:
        taken: list[socket.socket] = []
        free = os.dup(0)
        os.close(free)
        monkeypatch.setattr(accept, "ceiling", lambda: free + 6)     # each connection costs two: both ends are ours
        monkeypatch.setattr(accept, "PAUSE", 0.02)
        acceptor = Acceptor(listening, lambda one, address: taken.append(one), refusal=lambda: b"421 full\r\n")
        callers = [call(listening) for _ in range(3)]
        while len(taken) < 2:
            await asyncio.sleep(0.01)
        late = call(listening)
        assert await heard(late) == b"421 full\r\n"
        assert await heard(late) == b""
        for one in (*callers, *taken, late):
            one.close()
        taken.clear()
        again = call(listening)
        while not taken:
            await asyncio.sleep(0.01)
        assert not taken[0].getblocking()
        acceptor.close()
        acceptor.close()
        again.close()
        taken[0].close()

    run(body)


def test_when_the_kernel_can_not_nobody_is_lost_and_nothing_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE by others' doing: the connection waits in the kernel, and is taken when it can be."""

    async def body(listening: socket.socket) -> None:
        taken: list[socket.socket] = []
        monkeypatch.setattr(accept, "EXHAUSTED", 0.2)
        acceptor = Acceptor(listening, lambda one, address: taken.append(one))
        turns = 0
        real = acceptor._ready

        def counted() -> None:
            nonlocal turns
            turns += 1
            real()

        acceptor._ready = counted       # type: ignore[method-assign]
        asyncio.get_running_loop().add_reader(listening, counted)
        caller = call(listening)
        free = os.dup(0)
        os.close(free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            await asyncio.sleep(0.5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not taken
        assert 1 <= turns <= 5
        while not taken:
            await asyncio.sleep(0.01)
        acceptor.close()
        caller.close()
        taken[0].close()

    run(body)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_any_want_of_the_machine_is_waited_out(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Poor:
        def accept(self) -> None:
            raise OSError(number, os.strerror(number))

    async def body(listening: socket.socket) -> None:
        acceptor = Acceptor(listening, lambda one, address: None)
        acceptor._listening = Poor()        # type: ignore[assignment]
        monkeypatch.setattr(acceptor, "_pause", paused.append)
        acceptor._ready()
        acceptor._listening = listening
        acceptor.close()

    paused: list[float] = []
    run(body)
    assert paused == [accept.EXHAUSTED]


@pytest.mark.parametrize(("limit", "kept"), [(128, 16), (64, 16), (1024, 128), (65_536, 8192)])
def test_how_many_are_kept(limit: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (limit, limit))
    assert accept.ceiling() == limit - kept


def test_peers_are_watched_over() -> None:
    """P27: what the listening socket has, accepted ones have, too; a peer that is gone is found within 35 minutes."""

    async def body(listening: socket.socket) -> None:
        taken: list[socket.socket] = []
        acceptor = Acceptor(listening, lambda one, address: taken.append(one))
        caller = call(listening)
        while not taken:
            await asyncio.sleep(0.01)
        one = taken[0]
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        questions = [
            one.getsockopt(socket.IPPROTO_TCP, what) for what in (socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        unanswered = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        assert idle + max(questions[0] * questions[1], unanswered) <= 35 * 60
        assert unanswered == tcp.UNANSWERED
        acceptor.close()
        caller.close()
        one.close()

    run(body)
