"""A post to a list of a thousand members elsewhere, kill -9 in between: everybody gets it, and what is sent twice
stays within the window of the transactions that were open (P08, P13, D-7, D-8)."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.crash.ledger import message
from tests.crash.nursery import Nursery, Sprig, nursery
from tests.crash.people import make_list
from tests.lab import mutant
from tests.sink import Sink

pytestmark = pytest.mark.service
CHUNK, CONNECTIONS = 10, 2
WINDOW = CHUNK * CONNECTIONS  # recipients of the transactions that a kill may find open


def post_and_kill(lab: Sprig, sink: Sink, members: list[str], kills: int, rng: random.Random) -> None:
    """One post. The first kill comes when the members' message is in the spool and the post is not yet done."""
    to = make_list(lab, "todos", members)
    lab.plan = "core.commit=kill@1"
    try:
        lab.start()
        with lab.smtp() as client:
            client.sendmail("load@client.example.org", [to], message("post", to, rng, 3000))
        lab.wait_acted("core.commit=kill")
        lab.kill()
        lab.plan = ""
        for _ in range(kills - 1):
            lab.start()
            time.sleep(rng.uniform(0.05, 0.4))
            _kill(lab, rng)
        lab.start()
        _settle(lab, sink, len(members))
        assert lab.stop() == 0
    finally:
        lab.kill()


def _kill(lab: Sprig, rng: random.Random) -> None:
    """Everything, or only a sender before; then everything. The mover alone: thrice would be poison (P14)."""
    role = rng.choice(("", "sender"))
    if role:
        os.kill(lab.pids(role)[0], signal.SIGKILL)
        time.sleep(rng.uniform(0.0, 0.2))
    lab.kill()


def _settle(lab: Sprig, sink: Sink, members: int) -> None:
    """Until everybody has it and no more comes, or nothing has come for a while."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < (2.0 if len(sink.copies) >= members else 15.0):
        if sum(sink.copies.values()) != before:
            before, since = sum(sink.copies.values()), time.monotonic()
        time.sleep(0.1)


def run(folder: Path, home: Nursery, kills: int, count: int) -> tuple[Sink, list[str]]:
    seed = int(time.time())
    print("seed", seed)
    members = [f"m{number:05d}@sink.example.net" for number in range(count)]
    with Sink(delay=0.03) as sink:
        queue = f"[queue]\nper_destination = {CONNECTIONS}\nper_destination_most = {CONNECTIONS}\nchunk = {CHUNK}\n"
        queue += "retry_first = 1\nretry_longest = 2\n"
        more = f'{queue}[mail.transports]\n"sink.example.net" = "127.0.0.1:{sink.port}"\n'
        post_and_kill(Sprig(folder, more=more, nursery=home), sink, members, kills, random.Random(seed))
    return sink, members


def test_every_member_gets_a_post_through_ten_kills(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    long = request.config.getoption("--long")
    kills, count = (100, 10_000) if long else (10, 1000)
    with nursery() as home:
        sink, members = run(tmp_path, home, kills, count)
    reached, total = {to for _, to in sink.copies}, sum(sink.copies.values())
    print(f"members {len(members)} reached {len(reached)} copies {total} kills {kills} window {WINDOW}")
    assert reached == set(members)
    assert total <= len(members) + kills * WINDOW


def test_the_mutant_without_keys_sends_everything_twice(tmp_path: Path) -> None:
    with nursery(mutant("keys-by-chance")) as home:
        sink, members = run(tmp_path / "mutant", home, 1, 300)
    total = sum(sink.copies.values())
    print(f"members {len(members)} copies {total}")
    assert total > len(members) + WINDOW
