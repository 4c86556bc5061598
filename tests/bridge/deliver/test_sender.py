"""Jobs to sender processes and outcomes back, also when one of the two dies (P08, P12)."""
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.deliver.base import Job, Target
from bridge.deliver.sender import (
    SenderServer,
    SenderTransport,
    decode_job,
    decode_outcomes,
    encode_job,
    encode_outcomes,
)
from bridge.model.envelope import Envelope, Origin
from bridge.model.outcome import Deferred, Delivered, Failed
from bridge.model.reply import Reply
from bridge.route.resolver import Kind
from bridge.store.spool import Spooled

numbers = iter(range(1, 1 << 30))


def job(*addresses, nexthop="example.net", path=""):
    envelope = Envelope("0" * 16, "0" * 16, "ana@example.org", (), Origin("smtp"), 0.0, body="8BITMIME", smtputf8=True)
    targets = tuple(Target(next(numbers), one, one, nexthop, "ana@example.org") for one in addresses)
    return Job(Spooled(envelope, path, 7, 99), Kind.REMOTE, nexthop, targets, again=True)


class Easy:
    """Delivers what says so, fails what says so, waits where it is told to."""

    def __init__(self):
        self.jobs, self.gate, self.cancelled = [], asyncio.Event(), 0

    async def deliver(self, jobs, settled):
        found = {}
        for one in jobs:
            self.jobs.append(one)
            for target in one.targets:
                if target.address.startswith("slow"):
                    try:
                        await self.gate.wait()
                    except asyncio.CancelledError:
                        self.cancelled += 1
                        raise
                if target.address.startswith("bug"):
                    raise RuntimeError("made up")
                reply = Reply(550, "5.1.1", "no") if target.address.startswith("no") else Reply(250, "2.0.0", "Ok ñ")
                outcome = Failed(reply, "mx") if reply.permanent else Delivered("mx", reply)
                found[target.id] = outcome
                if not target.address.startswith("mute"):
                    settled({target.id: outcome})
        return found


def listen(path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def run(test):
    asyncio.run(asyncio.wait_for(test(), 30))


def addresses(path):
    return [str(path)]


def test_jobs_there_and_outcomes_back(tmp_path):
    async def test():
        easy = Easy()
        server = SenderServer(easy)
        await server.start(listen(tmp_path / "s"))
        mover = SenderTransport(addresses(tmp_path / "s"))
        one, two = job("a@x", "no@x"), job("b@x")
        settled = []
        outcomes = await mover.deliver([one, two], settled.append)
        assert [outcomes[target.id].reply.code for target in (*one.targets, *two.targets)] == [250, 550, 250]
        assert len(settled) == 3
        assert easy.jobs[0].targets == one.targets
        assert (easy.jobs[0].spooled.start, easy.jobs[0].spooled.size, easy.jobs[0].again) == (7, 99, True)
        assert easy.jobs[0].spooled.envelope.smtputf8
        mover.close()
        await server.stop(1)

    run(test)


def test_what_the_sender_does_not_say_is_deferred(tmp_path):
    async def test():
        server = SenderServer(Easy())
        await server.start(listen(tmp_path / "s"))
        mover = SenderTransport(addresses(tmp_path / "s"))
        outcomes = await mover.deliver([job("mute@x"), job("bug@x")])
        assert all(isinstance(outcome, Deferred) for outcome in outcomes.values())
        mover.close()
        await server.stop(1)

    run(test)


def test_no_sender_at_all_and_one_that_comes_later(tmp_path):
    async def test():
        mover = SenderTransport(addresses(tmp_path / "s"))
        outcome, = (await mover.deliver([job("a@x")])).values()
        assert (outcome.scope, outcome.reply.temporary) == ("node", True)
        server = SenderServer(Easy())
        await server.start(listen(tmp_path / "s"))
        outcome, = (await mover.deliver([job("a@x")])).values()
        assert isinstance(outcome, Delivered)
        mover.close()
        await server.stop(1)

    run(test)


def test_hurry_comes_before_the_jobs_that_follow(tmp_path):
    """S76: `sendmail -q` means an attempt, not what is remembered of the last one."""

    class Remembers(Easy):
        hurried = 0

        def hurry(self):
            self.hurried += 1

        async def deliver(self, jobs, settled):
            outcome = Delivered("mx", Reply(250, "2.0.0", f"after {self.hurried}"))
            settled({target.id: outcome for one in jobs for target in one.targets})
            return {}

    async def test():
        server = SenderServer(Remembers())
        await server.start(listen(tmp_path / "s"))
        mover = SenderTransport(addresses(tmp_path / "s"))
        mover.hurry()  # nobody is there yet
        outcome, = (await mover.deliver([job("a@x")])).values()
        assert outcome.reply.text == "after 0"
        mover.hurry()
        outcome, = (await mover.deliver([job("a@x")])).values()
        assert outcome.reply.text == "after 1"
        mover.close()
        await server.stop(1)

    run(test)


def test_one_sender_per_next_hop(tmp_path):
    async def test():
        senders = [Easy(), Easy()]
        servers = [SenderServer(easy) for easy in senders]
        for number, server in enumerate(servers):
            await server.start(listen(tmp_path / str(number)))
        mover = SenderTransport([str(tmp_path / "0"), str(tmp_path / "1")])
        await mover.deliver([job("a@x", nexthop=f"d{n % 10}.example.net") for n in range(50)])
        there = [{one.nexthop for one in easy.jobs} for easy in senders]
        assert not there[0] & there[1]
        assert all(there)
        mover.close()
        for server in servers:
            await server.stop(1)

    run(test)


def test_a_job_that_is_given_up_and_a_mover_that_dies_stop_the_work(tmp_path):
    async def test():
        easy = Easy()
        server = SenderServer(easy)
        await server.start(listen(tmp_path / "s"))
        mover = SenderTransport(addresses(tmp_path / "s"))
        task = asyncio.create_task(mover.deliver([job("slow@x")]))
        while not easy.jobs:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while not easy.cancelled:
            await asyncio.sleep(0.01)
        task = asyncio.create_task(mover.deliver([job("slow@x")]))
        while len(easy.jobs) < 2:
            await asyncio.sleep(0.01)
        mover.close()
        while easy.cancelled < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop(1)

    run(test)


PROGRAM = """
    import asyncio, socket, sys
    from bridge.deliver.sender import SenderServer
    from bridge.model.outcome import Delivered

    class Half:
        async def deliver(self, jobs, settled):
            for target in jobs[0].targets:
                if target.address.startswith("slow"):
                    await asyncio.sleep(3600)
                settled({target.id: Delivered("mx")})
            return {}

    async def main():
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(sys.argv[1])
        listening.listen()
        await SenderServer(Half()).start(listening)
        print("ready", flush=True)
        await asyncio.sleep(3600)

    asyncio.run(main())
"""


def test_P08_a_sender_that_is_killed_leaves_nothing_lost(tmp_path):
    """What it had reported counts; the rest is deferred, so that the queue tries again."""
    path = str(tmp_path / "s")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), path], stdout=subprocess.PIPE, cwd=os.getcwd())

    async def test():
        mover = SenderTransport([path])
        jobs = [job("a@x", "slow@x", "b@x"), job("c@x")]
        told = []
        task = asyncio.create_task(mover.deliver(jobs, told.append))
        while len(told) < 2:
            await asyncio.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        outcomes = await task
        kinds = [type(outcomes[target.id]) for one in jobs for target in one.targets]
        assert kinds == [Delivered, Deferred, Deferred, Delivered]
        mover.close()

    try:
        assert process.stdout.readline() == b"ready\n"
        run(test)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


texts = st.text(max_size=20)
replies = st.builds(Reply, st.integers(200, 599), texts, texts)


outcomes = st.one_of(
    st.builds(Delivered, texts, replies), st.builds(Failed, replies, texts), st.builds(Deferred, replies, texts, texts))


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 1 << 60), outcomes))
def test_outcomes_survive_the_line(found):
    assert decode_outcomes(encode_outcomes(found)) == found


def test_jobs_survive_the_line():
    one = job("ñ@x", "b@x", path="/spool/q/00/X")
    number, two = decode_job(json.loads(encode_job(5, one)))
    assert number == 5
    assert two.targets == one.targets
    assert str(two.spooled.path) == "/spool/q/00/X"
    with pytest.raises(KeyError):
        decode_job({"job": 1})
    assert two.kind is Kind.REMOTE
