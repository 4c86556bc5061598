"""The mover: every message ends where it belongs, once, whatever happens in between."""
import asyncio
import os
import random
from contextlib import suppress

from bridge.model.outcome import Deferred, Delivered, Expanded, Failed
from bridge.model.reply import Reply
from bridge.route.resolver import Kind, Route
from bridge.store import failpoints
from bridge.store.queuetables import DONE, FAILED, MISSING, PENDING, QUARANTINED, death

LATER = Reply(451, "4.2.0", "later")


def rows(world):
    return world.rows()


def state(world, *ids):
    queue = world.queue()
    found = queue.known(ids)
    queue.close()
    return found


def run(world, until, **changes):
    """A mover until `until(mover)` is true."""

    async def go():
        async with world.running(**changes) as mover:
            await world.until(lambda: world.task.done() or until(mover))

    asyncio.run(go())


def drained(world):
    return lambda mover: not world.left() and not mover.hand.held()


def test_local_mail(world):
    """Delivered first, one tombstone, spool empty, told to the journal."""
    one = world.put("u1@here.example", "u2@here.example")
    two = world.put("u1@here.example")
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == 2
    assert len(world.inbox("u2@here.example")) == 1
    assert state(world, one, two) == {one: DONE, two: DONE}
    assert rows(world) == []
    told = world.journal.of("delivered")
    assert sorted((name, fields["to"]) for name, fields in told) == sorted(
        [(one, "u1@here.example"), (one, "u2@here.example"), (two, "u1@here.example")]
    )
    assert told[0][1]["where"].endswith("/Maildir")


def test_what_is_delivered_at_a_stop_gets_its_tombstone(world):
    """Tombstones wait for each other; a stop waits for none. The next start has nothing to look at again."""
    one = world.put("u1@here.example")
    run(world, lambda mover: mover.owed)
    assert len(world.inbox("u1@here.example")) == 1
    assert state(world, one) == {one: DONE}
    assert not world.left()


def test_delivered_and_killed_before_the_tombstone_is_one_message(world):
    """P02, P08: what a dead process owed is found in the mailbox by its name."""
    one = world.put("u1@here.example", "u2@here.example")

    async def die():
        mover = world.mover()
        task = asyncio.create_task(mover.run())
        await world.until(lambda: mover.owed)
        mover.owed.clear()              # as if it had never come to that
        mover.stop()
        await task

    asyncio.run(die())
    assert state(world, one) == {}
    assert world.left()
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == len(world.inbox("u2@here.example")) == 1
    assert state(world, one) == {one: DONE}


def test_without_the_fast_path_it_is_the_same(world):
    world.direct = False
    world.put("u1@here.example")
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == 1


def test_every_kind_of_end(world):
    lists = world.transports[Kind.LIST] = world.fake(lambda job, target: Expanded(("list:l:1",), "list"))
    one = world.put("both@here.example", "x@far.example", "list@here.example", "none@here.example", "y@other.example")
    run(world, drained(world))
    assert sorted(world.remote.addresses) == ["x@far.example", "y@other.example"]
    assert lists.addresses == ["list@here.example"]
    assert len(world.inbox("u1@here.example")) == 1
    assert world.journal.of("expanded")[0][1]["children"] == "list:l:1"
    assert {job.nexthop for job in world.remote.jobs} == {"far.example", "other.example"}
    assert state(world, one) == {one: DONE}


def test_discard_alone(world):
    one = world.put("none@here.example")
    run(world, drained(world))
    assert state(world, one) == {one: DONE}
    assert world.journal.of("discarded")[0][0] == one


def test_progress_is_per_recipient(world):
    """P13, sec-O10: who was reached is not tried again; who says nothing is deferred."""
    fate = {"a": Delivered("mx"), "b": Deferred(LATER), "c": Failed(Reply(550, "5.1.1", "no")), "d": None}
    world.remote.answer = lambda job, target: fate[target.address[0]]
    one = world.put(*(f"{name}@far.example" for name in fate))
    run(world, lambda mover: len(rows(world)) == 3 and all(row.state != 1 for row in rows(world)))
    left = {row.address[0]: row for row in rows(world)}
    assert {name: row.state for name, row in left.items()} == {"b": PENDING, "c": FAILED, "d": PENDING}
    assert (left["b"].reply, left["b"].attempts) == ("later", 2)  # found by a scan: it may have been tried before
    assert 590 < left["b"].next_try - world.clock.now() < 610
    assert left["d"].enhanced == "4.3.0"
    assert world.left() == [one]
    world.remote.answer = lambda job, target: Delivered("mx")
    world.jump = 1500
    run(world, lambda mover: len(rows(world)) == 1)
    assert sorted(world.remote.addresses) == sorted(f"{name}@far.example" for name in "abcdbd")


def test_refused_and_deferred_lookups(world):
    world.put("bad@here.example", "defer@here.example")
    run(world, lambda mover: len(rows(world)) == 2)
    found = {row.original: row for row in rows(world)}
    assert (found["bad@here.example"].state, found["bad@here.example"].reply) == (FAILED, "No such user")
    assert (found["defer@here.example"].state, found["defer@here.example"].kind) == (PENDING, "")
    world.resolve = lambda address, sender: (Route(Kind.MAILBOX, "u1@here.example", "u1@here.example"),)
    world.jump = 1500
    run(world, lambda mover: len(rows(world)) == 1)
    assert len(world.inbox("u1@here.example")) == 1


def test_lookup_that_breaks_is_asked_again(world):
    """P12: a bug of ours never refuses a recipient."""
    def broken(address, sender):
        raise ValueError("bug")

    world.resolve = broken
    world.put("u1@here.example")
    run(world, lambda mover: len(rows(world)) == 1)
    assert rows(world)[0].state == PENDING


def test_transport_that_raises_or_is_missing(world):
    def broken(job, target):
        raise RuntimeError("bug")

    world.remote.answer = broken
    world.put("a@far.example", "list@here.example")
    run(world, lambda mover: len(rows(world)) == 2 and all(row.code for row in rows(world)))
    assert {row.enhanced for row in rows(world)} == {"4.3.0", "4.3.5"}
    assert {row.state for row in rows(world)} == {PENDING}


def test_second_file_of_a_key_is_dropped(world):
    """D-1: two spool files of one key are one message."""
    first, second = world.put("a@far.example", key="fetch:1"), world.put("a@far.example", key="fetch:1")
    run(world, drained(world))
    assert world.remote.addresses == ["a@far.example"]
    third = world.put("a@far.example", key="fetch:1")
    run(world, drained(world))
    assert world.remote.addresses == ["a@far.example"]
    assert {one for one, _ in world.journal.of("dropped")} == {second, third} or {first, third}


def test_message_with_a_key_that_nobody_gets_is_finished(world):
    """D-1: thrown away for all its recipients: no open message stays behind, and its key is remembered."""
    first = world.put("none@here.example", key="drop:1")
    run(world, drained(world))
    second = world.put("none@here.example", key="drop:1")
    run(world, drained(world))
    assert state(world, first) == {first: DONE}
    assert [one for one, _ in world.journal.of("dropped")] == [second]


def test_damaged_spool_file_is_set_aside(world):
    """sec-Q09: into quarantine with its reason; the next message flows."""
    bad, good = world.put("u1@here.example"), world.put("u1@here.example")
    os.truncate(world.spool.path(bad), world.spool.path(bad).stat().st_size - 80)
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == 1
    assert (world.root / "spool/quarantine" / bad).exists()
    assert "END" in (world.root / "spool/quarantine" / f"{bad}.txt").read_text()
    assert state(world, bad, good) == {bad: QUARANTINED, good: DONE}


def test_row_without_file_is_closed_with_an_alarm(world):
    world.remote.answer = lambda job, target: Deferred(LATER)
    one = world.put("a@far.example")
    run(world, lambda mover: bool(rows(world)) and rows(world)[0].attempts > 1)
    world.spool.remove(one)
    run(world, lambda mover: not rows(world))
    assert state(world, one) == {one: MISSING}
    assert world.journal.of("missing") == [(one, {})]


def test_finished_file_that_came_back_is_removed(world):
    """D-2: a power cut may undo an unlink; the tombstone knows."""
    one = world.put("u1@here.example")
    data = world.spool.path(one).read_bytes()
    run(world, drained(world))
    world.spool.path(one).write_bytes(data)
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == 1
    assert len(world.journal.of("delivered")) == 1


def test_removal_that_fails_is_repeated(world):
    world.put("u1@here.example")
    failpoints.arm("spool.unlink=EIO@1")
    run(world, drained(world))
    assert len(world.journal.of("delivered")) == 1


def test_hints_are_taken(world):
    """A hint is faster than a scan; here there is no scan at all."""
    class Box:
        def __init__(self):
            self.near, self.far = os.pipe()

        def fileno(self):
            return self.near

        def receive(self):
            return [os.read(self.near, 999).decode()]

    box = Box()

    async def go():
        async with world.running(hints=box) as mover:
            mover._care.scan = lambda: None
            await asyncio.sleep(0.1)
            one, two = world.put("u1@here.example"), world.put("u1@here.example")
            os.write(box.far, f"{one} {two} nonsense {one}".encode())
            await world.drained(mover)

    asyncio.run(go())
    assert len(world.inbox("u1@here.example")) == 2


def test_slow_destination_stops_nobody(world):
    """sec-O08: one tar pit holds its own window only; at most `per_destination` at once."""
    async def deliver(jobs, real=world.remote.deliver):
        if jobs[0].nexthop == "tar.example":
            held.append(jobs)
            await asyncio.sleep(3600)
        return await real(jobs)

    held = []
    world.remote.deliver = deliver
    for number in range(30):
        world.put(f"u{number}@tar.example")
    for number in range(30):
        world.put(f"u@good{number}.example")
    run(world, lambda mover: len(world.remote.addresses) == 30)
    assert len(held) == world.settings.per_destination
    assert len(rows(world)) == 30


def test_destination_in_trouble_rests(world):
    """sec-Q13: after a failure of the host its other mail waits, and one transaction asks first."""
    world.remote.answer = lambda job, target: Deferred(Reply(451, "4.4.1", "no connection"), "host")
    for number in range(20):
        world.put(f"u{number}@far.example")

    async def go():
        async with world.running() as mover:
            await world.until(lambda: bool(world.remote.jobs))
            await asyncio.sleep(0.4)
            tried = len(world.remote.jobs)
            assert tried <= world.settings.per_destination
            world.remote.answer = lambda job, target: Delivered("mx")
            world.offset = 60
            mover.wake()
            await world.until(lambda: len(rows(world)) == tried)

    asyncio.run(go())


def test_personal_mail_before_bulk(world):
    world.transports[Kind.REMOTE] = world.fake(delay=0.01)
    one = {"per_destination": 1, "per_destination_most": 1, "chunk": 1}
    world.settings = type(world.settings)(scan_seconds=0.2, batch=100, **one)
    world.put(*(f"l{number}@far.example" for number in range(20)), priority=1)
    world.put("ann@far.example")
    run(world, drained(world))
    order = world.transports[Kind.REMOTE].addresses
    assert order.index("ann@far.example") < 10


def test_many_recipients_go_in_chunks(world):
    one = world.put(*(f"u{number}@far.example" for number in range(120)))
    run(world, drained(world))
    assert sorted(len(job.targets) for job in world.remote.jobs) == [20, 50, 50]
    assert len(world.journal.of("delivered")) == 120
    assert state(world, one) == {one: DONE}


def test_disk_full_defers_and_recovers(world):
    """D07: nothing is lost or doubled when the mailbox disk is full for a while."""
    world.put("u1@here.example", "u2@here.example")
    failpoints.arm("delivery.write=ENOSPC")
    run(world, lambda mover: len(rows(world)) == 2)
    assert {row.enhanced for row in rows(world)} == {"4.3.1"}
    assert world.inbox("u1@here.example") == []
    failpoints.arm("")
    world.jump = 1500
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == len(world.inbox("u2@here.example")) == 1


def test_database_trouble_loses_nothing(world):
    """sec-Q03, sec-Q04: commits that fail are tried again; delivery is still once."""
    for error in ("ENOSPC@1", "EIO@2", "EIO@3", "ENOSPC@4"):
        world.put("u1@here.example")
        world.put("u1@here.example", "a@far.example")
        failpoints.arm(f"queuedb.commit={error}")
        with suppress(Exception):   # trouble at the start ends the mover; its supervisor starts another
            run(world, drained(world))
        failpoints.arm("")
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == 8
    assert sorted(world.remote.addresses) == ["a@far.example"] * 4


def test_database_removed_under_load(world):
    """sec-Q05: all is delivered, local mail once."""
    world.remote.delay = 0.01
    for number in range(60):
        world.put(f"u{number % 5}@here.example", *([f"r{number}@far.example"] if number % 2 else []))

    async def go():
        async with world.running() as mover:
            await world.until(lambda: len(world.remote.jobs) > 3)
            (world.root / "queue.db").unlink()
            for number in range(20):
                world.put(f"u{number % 5}@here.example")
            await world.drained(mover, 20)

    asyncio.run(go())
    assert [len(world.inbox(f"u{number}@here.example")) for number in range(5)] == [16] * 5
    assert set(world.remote.addresses) == {f"r{number}@far.example" for number in range(1, 60, 2)}


def test_list_post_killed_at_random(world):
    """P13, small: 300 members, the process dies 8 times; everybody gets it, few get it twice."""
    world.settings = type(world.settings)(scan_seconds=0.2, chunk=20)
    world.put(*(f"m{number}@far{number % 3}.example" for number in range(300)), priority=1)
    log = world.root / "sink"
    rng = random.Random(7)
    deaths = 0
    for _ in range(8):
        child = os.fork()
        if child == 0:
            child_delivers(world, log, rng.randint(1, 6))
        deaths += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        rng.random()
    child = os.fork()
    if child == 0:
        child_delivers(world, log, 0)
    assert os.waitpid(child, 0)[1] == 0
    got = log.read_text().split()
    assert len(set(got)) == 300
    assert deaths > 3
    assert len(got) <= 300 + deaths * 3 * 5 * 20


def child_delivers(world, log, deadly):
    """In a child process: deliver until done, or until the `deadly`-th transaction kills it."""
    async def deliver(jobs):
        with log.open("a") as sink:
            sink.write("".join(target.address + "\n" for job in jobs for target in job.targets))
        seen.append(jobs)
        if len(seen) == deadly:
            os.kill(os.getpid(), 9)
        await asyncio.sleep(0.005)
        return {target.id: Delivered("mx") for job in jobs for target in job.targets}

    seen = []
    world.remote.deliver = deliver
    world.settings = type(world.settings)(scan_seconds=0.2, chunk=20, poison=99)
    try:
        run(world, drained(world))
    finally:
        os._exit(0)


def test_poison_is_set_aside(world):
    """P14: a message that kills the process three times goes to quarantine; the others are delivered."""
    world.resolve = resolve_deadly
    poison = world.put("deadly@here.example")
    for number in range(10):
        world.put(f"u{number % 2}@here.example")
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                run(world, drained(world))
            finally:
                os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    run(world, drained(world))
    assert (world.root / "spool/quarantine" / poison).exists()
    assert "died 3 times" in (world.root / "spool/quarantine" / f"{poison}.txt").read_text()
    assert len(world.inbox("u0@here.example")) == len(world.inbox("u1@here.example")) == 5
    queue = world.queue()
    with queue.database.read() as connection:
        assert connection.execute(death.select()).all() == []
    queue.close()


def test_killed_together_is_no_poison(world):
    """P13 beside P14: where the supervisor died too, a message was only there; thirty times in a row are poison."""
    world.resolve = resolve_deadly
    poison = world.put("deadly@here.example")
    for number in range(30):
        assert not (world.root / "spool/quarantine" / poison).exists()
        world.family = bytes([number + 1])
        child = os.fork()
        if child == 0:
            try:
                run(world, drained(world))
            finally:
                os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    world.family = b""
    run(world, drained(world))
    assert (world.root / "spool/quarantine" / poison).exists()


def test_survivors_are_blamed_no_longer(world):
    plain, world.resolve = world.resolve, resolve_deadly
    world.put("deadly@here.example")
    child = os.fork()
    if child == 0:
        run(world, drained(world))
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    world.resolve, world.family = plain, b"another"
    run(world, drained(world))
    queue = world.queue()
    with queue.database.read() as connection:
        assert connection.execute(death.select()).all() == []
    queue.close()


def resolve_deadly(address, sender):
    if address.startswith("deadly"):
        os.kill(os.getpid(), 9)
    return (Route(Kind.MAILBOX, address, address),)


def test_killed_at_every_failpoint(world):
    """P08, sec-Q01: killed at each point of delivery and record, restarted: each local copy is there exactly once."""
    import bridge.store.queuedb
    assert bridge.store.queuedb
    points = [name for name in failpoints.registered() if name.startswith(("delivery.", "queuedb.", "spool.unlink"))]
    expected = 0
    for point in sorted(points):
        for sign, hit in (("", 1), ("+", 1), ("", 3), ("+", 3)):
            world.put("u1@here.example")
            world.put("u1@here.example", "u2@here.example", key=f"list:{point}{sign}{hit}")
            expected += 1
            child = os.fork()
            if child == 0:
                failpoints.arm(f"{point}{sign}=kill@{hit}")
                world.settings = type(world.settings)(scan_seconds=0.2, poison=10**6)
                try:
                    run(world, drained(world))
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
    world.settings = type(world.settings)(scan_seconds=0.2, poison=10**6)
    run(world, drained(world))
    assert len(world.inbox("u1@here.example")) == 2 * expected
    assert len(world.inbox("u2@here.example")) == expected


def test_clock_jumps(world):
    """P29: +10 days, -10 days, +40 years: nothing is returned, nobody waits longer than the longest wait."""
    world.remote.answer = lambda job, target: Deferred(LATER)
    world.put(*(f"u{number}@far.example" for number in range(200)))

    async def go():
        async with world.running() as mover:
            await world.until(lambda: len(rows(world)) == 200 and all(row.code for row in rows(world)))
            for jump in (10 * 86400, -10 * 86400, 40 * 365 * 86400):
                before = {row.id: row.next_try - world.clock.now() for row in rows(world)}
                world.jump += jump
                await world.until(lambda: abs(mover.watch.now() - world.clock.now()) < 1)
                await asyncio.sleep(0.3)
                now = world.clock.now()
                for row in rows(world):
                    assert row.state == PENDING
                    assert abs(row.next_try - now - before[row.id]) < 20
                    assert 0 < row.expires_at - now <= 5 * 86400 + 1

    asyncio.run(go())
    assert world.journal.of("failed") == []
    assert len(world.remote.jobs) == 4


def test_expiry(world):
    """D-9: only when old, tried often enough, and no jump was seen."""
    world.settings = type(world.settings)(scan_seconds=0.2, expire_attempts=3)
    world.remote.answer = lambda job, target: Deferred(LATER)
    world.put("old@far.example", received=world.clock.now() - 6 * 86400)
    world.put("young@far.example")
    run(world, lambda mover: len(rows(world)) == 2 and all(row.attempts == 2 for row in rows(world)))
    assert {row.state for row in rows(world)} == {PENDING}
    world.jump = 1500
    run(world, lambda mover: all(row.attempts == 3 for row in rows(world)))
    found = {row.address: row for row in rows(world)}
    assert found["young@far.example"].state == PENDING
    assert (found["old@far.example"].state, found["old@far.example"].enhanced) == (FAILED, "5.4.7")
    assert "later" in found["old@far.example"].reply


def test_halted_classes(world):
    """S87: what is halted waits; the rest goes on."""
    queue = world.queue()
    queue.start("x", world.clock.now())
    queue.close()

    async def go():
        async with world.running() as mover:
            await world.until(lambda: mover.adopter)
            mover.window.halted = {"local", "slow.example"}
            world.put("u1@here.example")
            world.put("a@slow.example", "b@far.example")
            await world.until(lambda: world.remote.addresses == ["b@far.example"] and len(rows(world)) == 2)
            mover.window.halted = set()
            mover.wake()
            await world.drained(mover)

    asyncio.run(go())
    assert len(world.inbox("u1@here.example")) == 1
