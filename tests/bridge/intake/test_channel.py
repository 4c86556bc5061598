"""The bytes of one connection without a connection, and futures landing on the loop."""
import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from bridge.intake.channel import AHEAD, FLOOD, Channel, Expired, Flood, Gone, LineTooLong
from bridge.intake.listener import Landing


class Wire:
    """A transport that writes down what is done to it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.did: list[str] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.did.append(name)


def scene(play: Callable[[Channel, Wire], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    async def run() -> None:
        wire = Wire()
        await play(Channel(asyncio.get_running_loop(), wire, 30), wire)  # type: ignore[arg-type]

    def test() -> None:
        asyncio.run(run())

    test.__name__ = play.__name__
    return test


@scene
async def test_lines_at_every_cut(channel: Channel, wire: Wire) -> None:
    for byte in b"one\r\ntwo\nthree\r\n":
        channel.feed(bytes([byte]))
    assert [await channel.line(20) for _ in range(3)] == [b"one\r\n", b"two\n", b"three\r\n"]
    assert not channel.pending


@scene
async def test_a_long_line_is_read_to_its_end(channel: Channel, wire: Wire) -> None:
    reading = asyncio.ensure_future(channel.line(10))
    for _ in range(5):
        await asyncio.sleep(0)
        channel.feed(b"x" * 8)
    channel.feed(b"\r\nnext\r\n")
    with pytest.raises(LineTooLong):
        await reading
    assert await channel.line(10) == b"next\r\n"
    channel.feed(b"y" * 9 + b"\r\n")
    with pytest.raises(LineTooLong):
        await channel.line(10)


@scene
async def test_a_line_without_end(channel: Channel, wire: Wire) -> None:
    reading = asyncio.ensure_future(channel.line(10))
    for _ in range(FLOOD // 65536 + 1):
        await asyncio.sleep(0)
        channel.feed(b"x" * 65536)
    with pytest.raises(Flood):
        await reading


@scene
async def test_who_is_not_read_is_stopped(channel: Channel, wire: Wire) -> None:
    channel.feed(b"x" * AHEAD)
    assert wire.did == []
    channel.feed(b"x")
    assert wire.did == ["pause_reading"]
    assert len(await channel.data()) == AHEAD + 1
    assert wire.did == ["pause_reading", "resume_reading"]


@scene
async def test_replies_leave_together_before_we_wait(channel: Channel, wire: Wire) -> None:
    channel.write(b"250 a\r\n")
    channel.write(b"250 b\r\n")
    assert wire.sent == []
    reading = asyncio.ensure_future(channel.line(10))
    await asyncio.sleep(0)
    assert wire.sent == [b"250 a\r\n250 b\r\n"]
    channel.ended()
    with pytest.raises(Gone):
        await reading


@scene
async def test_what_was_sent_before_the_end_is_read(channel: Channel, wire: Wire) -> None:
    channel.feed(b"QUIT\r\n")
    channel.ended()
    assert await channel.first() == ord("Q")
    assert await channel.line(10) == b"QUIT\r\n"
    channel.put_back(b"rest")
    assert await channel.data() == b"rest"
    with pytest.raises(Gone):
        await channel.data()


@scene
async def test_deadlines(channel: Channel, wire: Wire) -> None:
    now = asyncio.get_running_loop().time()
    assert not channel.overdue(now + 1e6, 500, 60)
    reading = asyncio.ensure_future(channel.data())
    await asyncio.sleep(0)
    assert not channel.overdue(now + 20, 500, 60)
    assert channel.overdue(now + 40, 500, 60)
    channel.begin_body()
    channel.feed(b"x" * 10_000)
    await reading
    assert not channel.overdue(now + 15, 500, 10)
    assert channel.overdue(now + 25, 500, 10)
    channel.end_body()
    assert not channel.overdue(now + 25, 500, 10)
    reading = asyncio.ensure_future(channel.data())
    await asyncio.sleep(0)
    channel.expire()
    with pytest.raises(Expired):
        await reading


@scene
async def test_a_peer_that_does_not_read(channel: Channel, wire: Wire) -> None:
    channel.block()
    flushing = asyncio.ensure_future(channel.flush())
    await asyncio.sleep(0)
    assert not flushing.done()
    channel.unblock()
    await flushing
    channel.block()
    channel.write(b"421\r\n")
    channel.close()
    assert wire.did == ["abort"]


@scene
async def test_landing_brings_every_future_home(channel: Channel, wire: Wire) -> None:
    landing = Landing(asyncio.get_running_loop())
    futures: list[Future[int]] = [Future() for _ in range(500)]
    waiting = [asyncio.ensure_future(landing.wait(future)) for future in futures]
    gone = waiting.pop(0)
    await asyncio.sleep(0)
    gone.cancel()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda future: future.set_result(1), futures[:-1]))
        futures[-1].set_exception(OSError("disk"))
    done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert [type(one) for one in done[-2:]] == [type(None), OSError]
