"""queue.db is deleted, overwritten or robbed of its log while mail flows and while nobody runs: everything accepted is
delivered all the same, here never twice, elsewhere twice at worst (sec-Q05, sec-Q06, D-1, D-7 window 4)."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.ledger import Ledger, drain, ids_in
from tests.crash.nursery import Nursery, Sprig, nursery
from tests.lab import DOMAIN, mutant
from tests.sink import Sink

pytestmark = pytest.mark.service
USERS = ["ana", "luis"]
FAR = "far@sink.example.net"
MORE = """[queue]
retry_first = 1
retry_longest = 2
scan_seconds = 1
[mail.transports]
"sink.example.net" = "127.0.0.1:{port}"
"""


def delete(database: Path, rng: random.Random) -> None:
    for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
        (database.parent / name).unlink(missing_ok=True)


def delete_log(database: Path, rng: random.Random) -> None:
    (database.parent / "queue.db-wal").unlink(missing_ok=True)


def overwrite(database: Path, rng: random.Random) -> None:
    """Half of the pages, the first one among them."""
    pages = max(database.stat().st_size // 4096, 1)
    with database.open("r+b", buffering=0) as out:
        for page in {0, *rng.sample(range(pages), pages // 2)}:
            os.pwrite(out.fileno(), rng.randbytes(4096), page * 4096)


def wreck(database: Path, rng: random.Random) -> None:
    overwrite(database, rng)
    delete_log(database, rng)


def cut_short(database: Path, rng: random.Random) -> None:
    os.truncate(database, max(database.stat().st_size // 2, 512))


Damage = Callable[[Path, random.Random], None]
Outcome = tuple[Ledger, set[str], list[str]]


def suffer(lab: Sprig, sink: Sink, damages: list[tuple[Damage, bool]], patience: float) -> Outcome:
    """Each damage under load, running or between kill and start. The ledger, ids that came nowhere, local doubles."""
    seed = int(time.time())
    print("seed", seed)
    rng = random.Random(seed)
    lab.add_user(*USERS)
    ledger = Ledger(lab.ports["smtp"], [*(f"{user}@{DOMAIN}" for user in USERS), FAR], threads=4, seed=seed)
    database = Path(str(lab.data)) / "db" / "queue.db"
    boxes = [lab.maildir(user) for user in USERS]
    try:
        lab.start()
        for damage, running in damages:
            ledger.start()
            time.sleep(0.6)
            if running:
                damage(database, rng)
                time.sleep(1.0)
            ledger.stop()
            if not running:
                lab.kill()
                damage(database, rng)
                lab.start()
        found = drain(lab, boxes, patience)
    finally:
        ledger.stop()
        lab.kill()
    assert not found.broken
    missing = ledger.accepted - found.ids.keys() - {one for one, _ in sink.copies} - ids_in(lab.spool / "quarantine")
    return ledger, missing, [one for one, count in found.ids.items() if count > 1]


def run(folder: Path, home: Nursery, damages: list[tuple[Damage, bool]], patience: float = 25) -> Outcome:
    with Sink(refuse_first=5) as sink:
        lab = Sprig(folder, more=MORE.format(port=sink.port), nursery=home)
        return suffer(lab, sink, damages, patience)


def test_the_queue_is_made_again_from_the_spool(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    each = (delete, delete_log, overwrite, wreck, cut_short)
    damages = [(damage, running) for damage in each for running in (True, False)]
    with nursery() as home:
        ledger, missing, doubled = run(
            tmp_path, home, damages * (5 if request.config.getoption("--long") else 1)
        )
    print(f"accepted {len(ledger.accepted)} in {len(damages)} damages; missing {len(missing)} doubled {len(doubled)}")
    assert len(ledger.accepted) > 100
    assert not missing
    assert not doubled
    assert not ledger.refused


@pytest.mark.parametrize("plan", ["queuedb.aside=kill@1", "queuedb.aside+=kill@1", "queuedb.aside=EIO@1"])
def test_trouble_while_a_damaged_queue_is_set_aside(plan: str, tmp_path: Path) -> None:
    """P12 for the one failpoint that the walk leaves out."""
    with nursery() as home, Sink(refuse_first=5) as sink:
        lab = Sprig(tmp_path, more=MORE.format(port=sink.port), nursery=home)
        lab.add_user(*USERS)
        ledger = Ledger(lab.ports["smtp"], [f"{USERS[0]}@{DOMAIN}", FAR], threads=2)
        database = Path(str(lab.data)) / "db" / "queue.db"
        try:
            lab.start()
            ledger.start()
            time.sleep(0.5)
            lab.kill()
            wreck(database, random.Random(1))
            lab.plan = plan
            lab.start()
            lab.wait_acted(plan.partition("@")[0])
            lab.kill()
            ledger.stop()
            lab.plan = ""
            lab.start()
            found = drain(lab, [lab.maildir(USERS[0])], 25)
        finally:
            ledger.stop()
            lab.kill()
        assert not ledger.accepted - found.ids.keys() - {one for one, _ in sink.copies}
        assert not ledger.refused


def test_the_mutant_that_trusts_the_database_is_caught(tmp_path: Path) -> None:
    with nursery(mutant("never-rebuilt")) as home:
        _, missing, _ = run(tmp_path / "mutant", home, [(wreck, False)], patience=5)
    assert missing
