"""How a role is told to stop, and what becomes of what it was waiting for."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from bridge.roles import Stop


def run(body: Coroutine[Any, Any, None]) -> list[str]:
    """What the loop complained of, also about futures that nobody looked at."""
    complaints: list[str] = []

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context.get("message"))))
        await body
        gc.collect()
        await asyncio.sleep(0)
        gc.collect()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watched())
    return complaints


async def forever() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    return


async def broken() -> None:
    raise OSError("a drain that failed")


def test_who_is_told_to_stop_while_sessions_last_leaves_no_loose_end() -> None:
    """P34: `_GatheringFuture exception was never retrieved` was said at each stop."""

    async def body() -> None:
        stop = Stop()
        waiting = asyncio.ensure_future(stop.sessions(forever, forever))
        await asyncio.sleep(0)
        stop.drain.set()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        stop.set()
        await asyncio.wait_for(waiting, 5)

    assert run(body()) == []


def test_who_is_told_to_stop_at_once_leaves_no_loose_end() -> None:
    async def body() -> None:
        stop = Stop()
        stop.set()
        await asyncio.wait_for(stop.sessions(forever, at_once), 5)

    assert run(body()) == []


def test_the_last_session_ends_the_wait() -> None:
    async def body() -> None:
        stop = Stop()
        stop.drain.set()
        await asyncio.wait_for(stop.sessions(at_once, at_once), 5)

    assert run(body()) == []


def test_what_goes_wrong_is_not_swallowed() -> None:
    """P34"""

    async def body() -> None:
        stop = Stop()
        stop.drain.set()
        with pytest.raises(OSError, match="a drain that failed"):
            await asyncio.wait_for(stop.sessions(forever, broken), 5)

    assert run(body()) == []
