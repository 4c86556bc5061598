"""crash-accept: kill -9 of everything, or of one process, at random moments under load; nothing accepted is lost,
nothing is doubled, nothing unfinished is seen.

P01, P02, P08, sec-Q01. Short form 20 kills of everything and 20 of one process, long form 200. The seed is printed.
"""

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.ledger import Found, Ledger, Reader, drain, ids_in, read_mailboxes
from tests.crash.nursery import Sprig, nursery
from tests.lab import DOMAIN, Lab, mutant

USERS = ["ana", "luis", "eva"]
SLOW = "queuedb.commit=sleep20,delivery.fdatasync=sleep5"  # a slow disk: what lies between two steps lasts longer
pytestmark = pytest.mark.service


def crash_loop(
    lab: Lab, kills: int, seed: int, *, longest: float = 0.7, plans: Sequence[str] = ("", SLOW)
) -> tuple[Ledger, Found]:
    rng = random.Random(seed)
    lab.add_user(*USERS)
    ledger = Ledger(lab.ports["smtp"], [f"{user}@{DOMAIN}" for user in USERS], seed=seed)
    boxes = [lab.maildir(user) for user in USERS]
    reader = Reader(boxes)
    reader.start()
    try:
        for number in range(kills):
            if isinstance(lab, Sprig):
                lab.plan = plans[number % len(plans)]
            lab.start()
            ledger.start()
            time.sleep(rng.uniform(0.05, longest))
            kill_one(lab, rng)
            time.sleep(rng.uniform(0.05, longest))
            lab.kill()
            ledger.stop()
        if isinstance(lab, Sprig):
            lab.plan = ""
        lab.start()
        drain(lab, ())
        assert lab.stop() == 0
    finally:
        ledger.stop()
        lab.kill()
        reader.end()
    found = read_mailboxes(boxes)
    found.broken += reader.found.broken
    return ledger, found


def kill_one(lab: Lab, rng: random.Random) -> None:
    """One process that mail passes through; the supervisor starts another."""
    pids = [pid for role in ("smtp", "mover", "worker") for pid in lab.pids(role)]
    os.kill(rng.choice(pids), signal.SIGKILL)


def lost(lab: Lab, ledger: Ledger, found: Found) -> set[str]:
    return ledger.accepted - found.ids.keys() - ids_in(lab.spool / "quarantine")


def test_kill_9_under_load_loses_and_doubles_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills = 200 if request.config.getoption("--long") else 20
    seed = int(time.time())
    print("seed", seed)
    with nursery() as home:
        lab = Sprig(tmp_path, nursery=home)
        ledger, found = crash_loop(lab, kills, seed)
    aside = ids_in(lab.spool / "quarantine")
    print(f"accepted {len(ledger.accepted)} of {len(ledger.tried)}, quarantined {len(aside)}")
    assert len(ledger.accepted) > 20 * kills, "hardly any load; the test shows nothing"
    assert not found.broken, "P02"
    assert not lost(lab, ledger, found), "accepted and lost (P01)"
    assert not [ident for ident, count in found.ids.items() if count > 1], "delivered twice (P08)"
    assert not aside, "kills from outside look like poison (P14)"
    assert not ledger.refused, "our own trouble must be temporary (P12)"


@pytest.mark.parametrize("name", ["yes-before-the-disk", "names-by-chance", "delivery-in-place"])
def test_the_mutants_are_caught(name: str, tmp_path: Path) -> None:
    with nursery(mutant(name)) as home:
        lab = Sprig(tmp_path / "mutant", nursery=home)
        ledger, found = crash_loop(lab, 4, int(time.time()), longest=0.5, plans=(SLOW,))
    red = {
        "yes-before-the-disk": bool(lost(lab, ledger, found)),
        "names-by-chance": any(count > 1 for count in found.ids.values()),
        "delivery-in-place": bool(found.broken),
    }
    print(name, red, len(lost(lab, ledger, found)), len(ledger.accepted), found.broken[:3])
    assert red[name]


def test_start_forks_what_the_command_runs(tmp_path: Path) -> None:
    """The nursery of the other tests is a short cut; once the way that everybody takes: `python -m bridge run`."""
    lab = Lab(tmp_path)
    ledger, found = crash_loop(lab, 2, int(time.time()))
    assert ledger.accepted
    assert not lost(lab, ledger, found)
    assert not found.broken

