"""Commands for the queue, through the socket and on the rows alone (S75, S76, S84 to S87)."""
import asyncio
import json
import os
import stat
from contextlib import asynccontextmanager, suppress

import pytest

from bridge.model.outcome import Deferred, Delivered
from bridge.model.reply import Reply
from bridge.queue.ask import ask
from bridge.queue.control import BadRequest, Control, answer
from bridge.route.resolver import Kind, Route

LATER = Reply(451, "4.2.0", "later")


@asynccontextmanager
async def served(world):
    """A mover whose remote mail is all deferred, and a function that asks it."""
    path = world.root / "run/queue.sock"
    world.remote.answer = lambda job, target: Deferred(LATER, where="mx.far.example")
    async with world.running() as mover:
        await world.until(lambda: mover.adopter)
        control = Control(mover, path)
        await control.start()

        async def tell(verb, **more):
            found = await asyncio.to_thread(lambda: ask(path, {"do": verb, **more}, seconds=10))
            return found[:-1], found[-1]

        try:
            yield mover, tell
        finally:
            await control.close()
    assert not path.exists()


async def waiting(world, number):
    def tried():
        rows = world.rows()
        return len(rows) == number and all(row.code and row.state == 0 for row in rows)

    await world.until(tried)


def test_list_show_and_counters(world):
    one = world.put("a@far.example", "b@other.example", sender="ann@here.example")

    async def go():
        async with served(world) as (_, tell):
            await waiting(world, 2)
            (found,), last = await tell("list")
            assert last == {"ok": True, "count": 1}
            assert (found["id"], found["sender"], found["size"]) == (one, "ann@here.example", found["size"])
            first = found["recipients"][0]
            assert (first["address"], first["state"], first["reply"]) == ("a@far.example", "waiting", "451 4.2.0 later")
            assert first["where"] == "mx.far.example"
            (shown,), _ = await tell("show", ids=[one])
            assert shown["envelope"]["sender"] == "ann@here.example"
            assert "Subject: hi" in shown["text"]
            assert shown["whole"] is True
            _, counted = await tell("counters")
            assert (counted["messages"], counted["waiting"], counted["halted"]) == (1, 2, [])

    asyncio.run(go())


@pytest.mark.parametrize(
    ("choose", "number"),
    [
        ({"sender": "ANN@here.example"}, 1), ({"sender": "<>"}, 1), ({"recipient": "c@FAR.example"}, 1),
        ({"domain": "far.example"}, 2), ({"before": 1.0}, 0), ({"held": True}, 0), ({}, 3), ({"limit": 2}, 2),
        ({"domain": "%"}, 0),
    ],
)
def test_selection(world, choose, number):
    world.put("a@far.example", sender="ann@here.example")
    world.put("b@other.example", sender="")
    world.put("c@far.example", sender="x@y.example")

    async def go():
        async with served(world) as (_, tell):
            await waiting(world, 3)
            found, last = await tell("list", **choose)
            assert len(found) == last["count"] == number

    asyncio.run(go())


def test_flush_hold_release(world):
    one = world.put("a@far.example")
    two = world.put("b@far.example")

    async def go():
        async with served(world) as (_, tell):
            await waiting(world, 2)
            assert (await tell("hold", ids=[one]))[1]["ids"] == [one]
            world.remote.answer = lambda job, target: Delivered("mx")
            assert (await tell("flush", all=True))[1]["count"] == 2
            await world.until(lambda: world.left() == [one])
            await asyncio.sleep(0.1)
            assert world.remote.addresses.count("a@far.example") == 1
            assert [found["id"] for found in (await tell("list", held=True))[0]] == [one]
            await tell("release", ids=[one])
            await world.until(lambda: not world.left())
            assert two not in world.left()

    asyncio.run(go())


def test_delete(world):
    one = world.put("a@far.example")

    async def go():
        async with served(world) as (mover, tell):
            await waiting(world, 1)
            assert (await tell("delete", ids=[one]))[1] == {"ok": True, "count": 1, "ids": [one]}
            assert world.left() == []
            assert one not in mover.known
            assert (await tell("delete", ids=[one]))[1]["count"] == 0

    asyncio.run(go())
    assert world.journal.of("queue-delete") == [(one, {})]


def test_delete_without_a_mover(world):
    """The rows alone will do: the spool file goes at the next start."""
    one = world.put("a@far.example")

    async def go():
        async with served(world):
            await waiting(world, 1)

    asyncio.run(go())
    queue = world.queue()
    assert list(answer(queue, world.spool, {"do": "delete", "ids": [one]}, 0.0))[-1]["count"] == 1
    queue.close()
    assert world.left() == [one]

    async def again():
        async with world.running() as mover:
            await world.drained(mover)

    asyncio.run(again())
    assert len(world.remote.jobs) == 1


def test_requeue_looks_up_anew(world):
    world.put("a@far.example")

    async def go():
        async with served(world) as (mover, tell):
            await waiting(world, 1)
            mover.parts.resolve = lambda address, sender: (Route(Kind.MAILBOX, "u1@here.example", "u1@here.example"),)
            await tell("requeue", domain="far.example")
            await world.drained(mover)

    asyncio.run(go())
    assert len(world.inbox("u1@here.example")) == 1


def test_return_to_sender(world):
    told = []

    class Reports:
        def run(self, queue, now):
            told.append([row.reply for row in world.rows() if row.state == 3])
            return []

    world.reports = Reports()
    world.put("a@far.example")

    async def go():
        async with served(world) as (_, tell):
            await waiting(world, 1)
            await tell("return", all=True)
            await world.until(lambda: ["Returned by the administrator"] in told)

    asyncio.run(go())


def test_halt_and_resume(world):
    """S87: halted classes and destinations stay so over a restart."""
    async def go():
        async with served(world) as (mover, tell):
            assert (await tell("halt", names=["outgoing", "Slow.example"]))[1]["halted"] == ["outgoing", "slow.example"]
            world.put("a@far.example")
            world.put("u1@here.example")
            await world.until(lambda: world.inbox("u1@here.example"))
            assert world.remote.jobs == []
            assert mover.window.is_halted(("remote", "far.example"))

    async def later():
        async with served(world) as (mover, tell):
            assert mover.window.halted == {"outgoing", "slow.example"}
            world.remote.answer = lambda job, target: Delivered("mx")
            assert (await tell("resume"))[1]["halted"] == []
            await world.drained(mover)

    asyncio.run(go())
    asyncio.run(later())


@pytest.mark.parametrize(
    "request_",
    [{}, {"do": "explode"}, {"do": "delete"}, {"do": "flush", "ids": []}, {"do": "show", "ids": ["nonsense"]},
     {"do": "show"}, {"do": "list", "ids": "x"}, {"do": "list", "before": "soon"}, {"do": "list", "limit": "few"}],
)
def test_bad_requests(world, request_):
    """A verb that changes something never means everything by accident."""
    queue = world.queue()
    queue.start("b", 0.0)
    with pytest.raises(BadRequest):
        list(answer(queue, world.spool, request_, 0.0))
    queue.close()


def test_socket_is_ours_alone(world):
    """sec-X09: 0600; rubbish and endless lines do no harm."""
    async def go():
        async with served(world) as (_, tell):
            path = world.root / "run/queue.sock"
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            for rubbish in (b"\xff\n", b"[]\n", b"{\n"):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(rubbish)
                assert json.loads(await reader.readline())["ok"] is False
                writer.close()
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"x" * (3 << 20))
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert (await tell("counters"))[1]["ok"] is True

    asyncio.run(go())
