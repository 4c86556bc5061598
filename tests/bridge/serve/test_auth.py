"""The password door: limits before hashes, caches, journal (sec-A01 to sec-A04, sec-A10, sec-A18)."""
import asyncio
import json
import threading

import pytest

from bridge.config.login import Login
from bridge.model.clock import Clock
from bridge.model.errors import StoreError
from bridge.serve.auth import Authenticator, Busy, TooMany
from bridge.serve.guesses import Bound, Guesses
from bridge.watch.trace import Journal

FAST = Login(delay=0)


class World:
    """A clock that stands still, accounts in a dictionary, a count of hashes and the lines of the journal."""

    def __init__(self, settings=FAST):
        self.time, self.hashes, self.lines, self.generation = 1000.0, 0, [], 1
        self.passwords = {"ana": "secreto", "eva": "otro"}
        clock = Clock(now=lambda: self.time, monotonic=lambda: self.time)
        journal = Journal(self.lines.append, clock=clock)
        self.auth = Authenticator(
            self.verify, lambda: self.generation, settings=settings, journal=journal, clock=clock
        )

    def verify(self, login, password, protocol, ip):
        self.hashes += 1
        return login if self.passwords.get(login) == password else None

    async def guess(self, count, ip="192.0.2.1", login="ana"):
        """How many of `count` wrong guesses were looked at."""
        seen = 0
        for number in range(count):
            try:
                assert await self.auth.check(login, f"wrong{self.time}{ip}{number}", "imap", ip) is None
                seen += 1
            except TooMany:
                pass
        return seen


def test_sec_A01_two_hundred_guesses_cost_ten_hashes():
    async def run():
        world = World()
        assert await world.guess(200) == 10
        assert world.hashes == 10
        world.time += 6
        assert await world.guess(200) == 1
        for _ in range(100):
            world.time += 60
            await world.guess(20)
        assert world.hashes < 60  # 50 a day, and what leaks away in the meantime

    asyncio.run(run())


def test_sec_A01_parallel_guesses_do_not_slip_through():
    async def run():
        world = World()
        answers = await asyncio.gather(
            *(world.auth.check("ana", f"w{number}", "pop3", "192.0.2.1") for number in range(30)),
            return_exceptions=True)
        assert world.hashes <= 10
        assert sum(isinstance(answer, TooMany) for answer in answers) >= 20

    asyncio.run(run())


def test_sec_A01_networks_count_as_a_whole():
    async def run():
        world = World(Login(delay=0, account_per_day=10_000))
        seen = sum([await world.guess(5, f"192.0.2.{last}") for last in range(100)])
        assert seen == 30
        six = sum([await world.guess(5, f"2001:db8:0:1::{last:x}") for last in range(1, 100)])
        assert six == 10  # one /64 is one machine
        assert await world.guess(5, "2001:db8:1:2::1") == 5
        assert await world.guess(50, "::ffff:192.0.2.7") == 0  # the same network in other clothes

    asyncio.run(run())


def test_sec_A02_an_account_under_attack_is_slow_for_strangers_only():
    async def run():
        world = World()
        assert await world.auth.check("ana", "secreto", "imap", "198.51.100.1") == "ana"
        seen = 0
        for number in range(1000):
            seen += await world.guess(1, f"10.{number % 250}.{number // 250}.1")
        assert seen == 30 + 2
        world.generation += 1
        assert await world.auth.check("ana", "secreto", "imap", "198.51.100.1") == "ana"
        with pytest.raises(TooMany):
            await world.auth.check("ana", "secreto", "imap", "203.0.113.9")
        world.time += 31
        assert await world.auth.check("ana", "secreto", "imap", "203.0.113.9") == "ana"

    asyncio.run(run())


def test_neighbours_behind_one_address_are_not_locked_out():
    async def run():
        world = World()
        assert await world.auth.check("eva", "otro", "pop3", "192.0.2.1") == "eva"
        assert await world.guess(200, login="ana") == 10
        assert await world.auth.check("eva", "otro", "pop3", "192.0.2.1") == "eva"
        assert await world.guess(200, login="eva") == 10, "the pair has a limit of its own"

    asyncio.run(run())


def test_sec_A04_success_is_cheap_until_the_accounts_change():
    async def run():
        world = World()
        for _ in range(500):
            assert await world.auth.check("ana", "secreto", "pop3", "192.0.2.1") == "ana"
        assert world.hashes == 1
        await world.auth.check("ana", "secreto", "imap", "192.0.2.1")
        assert world.hashes == 2, "an app password may be good for one protocol only"
        world.passwords["ana"] = "nuevo"
        world.generation += 1
        assert await world.auth.check("ana", "secreto", "pop3", "192.0.2.1") is None
        assert await world.auth.check("ana", "nuevo", "pop3", "192.0.2.1") == "ana"
        world.time += 4000
        before = world.hashes
        assert await world.auth.check("ana", "nuevo", "pop3", "192.0.2.1") == "ana"
        assert world.hashes == before + 1

    asyncio.run(run())


def test_a_device_with_an_old_password_counts_once():
    async def run():
        world = World()
        for _ in range(100):
            assert await world.auth.check("ana", "old", "imap", "192.0.2.1") is None
        assert world.hashes == 1
        assert await world.auth.check("ana", "secreto", "imap", "192.0.2.1") == "ana"

    asyncio.run(run())


def test_sec_A04_the_queue_is_short_and_the_loop_free():
    async def run():
        gate = threading.Event()

        def verify(login, password, protocol, ip):
            gate.wait(20)
            return login

        auth = Authenticator(verify, lambda: 1, settings=FAST)
        tasks = [asyncio.create_task(auth.check(f"u{n}", "p", "smtp", f"10.{n % 250}.{n // 250}.9"))
                 for n in range(500)]
        await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(answer, Busy) for answer in answers) == 500 - 32 - 2
        assert sum(isinstance(answer, str) for answer in answers) == 34
        auth.close()

    asyncio.run(run())


def test_a_broken_store_is_nobodys_guess():
    async def run():
        world = World()

        def broken(*_):
            raise StoreError("database is locked")

        world.auth._verify = broken
        for _ in range(50):
            with pytest.raises(StoreError):
                await world.auth.check("ana", "secreto", "imap", "192.0.2.1")
        world.auth._verify = world.verify
        assert await world.auth.check("ana", "secreto", "imap", "192.0.2.1") == "ana"

    asyncio.run(run())


def test_sec_A18_the_journal_names_the_address_and_never_the_password():
    async def run():
        world = World()
        await world.guess(200)
        await world.auth.check("eva", "otro", "imap", "198.51.100.1")
        text = b"".join(world.lines)
        assert b"wrong" not in text
        assert b"otro" not in text
        events = [json.loads(line) for line in world.lines]
        assert [event["e"] for event in events] == ["login_failed"] * 10 + ["login_throttled"]
        assert {event["ip"] for event in events} == {"192.0.2.1"}

    asyncio.run(run())


def test_exempt_networks_and_odd_input():
    async def run():
        world = World(Login(delay=0, exempt=("127.0.0.0/8",)))
        assert await world.guess(25, "127.0.0.1") == 25
        before = world.hashes
        assert await world.auth.check("", "x", "imap", "127.0.0.1") is None
        assert await world.auth.check("x", "y" * 600, "imap", "127.0.0.1") is None
        assert world.hashes == before
        assert await world.auth.check("\udcff", "x", "imap", "") is None

    asyncio.run(run())


def test_buckets_leak_and_the_table_has_a_fixed_size():
    now = [0.0]
    table = Guesses(16, monotonic=lambda: now[0])
    bound = Bound(2, 3)
    table.add("a", bound)
    table.add("a", bound)
    assert table.full("a", bound)
    now[0] = 31
    assert not table.full("a", bound)
    table.add("a", bound)
    now[0] = 120
    assert table.full("a", bound), "three a day"
    for number in range(1000):
        table.add(f"k{number}", bound)
    assert not table.full("a", bound), "the quiet one made room"
