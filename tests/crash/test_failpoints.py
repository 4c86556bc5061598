"""Every failpoint that there is, on the running service under a mixed load: with `kill`, and with a failing disk.

P12: replies are temporary (4xx, NO); P01, P08: after a restart nothing accepted is lost and nothing is doubled.
The points come from the code (`registered()`), so a new one is walked from its first day; one that the load does not
reach must be named below, with the test that covers it.
"""

import importlib
import pkgutil
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

import bridge
import listmgr
from bridge.store.failpoints import registered
from tests.crash.mixed import Mixed
from tests.crash.nursery import Sprig, nursery
from tests.lab import mutant

pytestmark = pytest.mark.service

ELSEWHERE = {  # what no running service comes by, and who walks it
    "backup.": "tests/bridge/store/test_backup.py",
    "dkim.": "tests/bridge/store/test_dkimkeys.py",
    "drop.": "tests/bridge/store/test_dropfolder.py",
    "fetch.quarantine": "tests/bridge/intake/fetch",
    "fetchmail": "tests/bridge/cli/test_fetchmail.py",
    "mail.commit": "tests/contract/test_maildb.py",  # off here; walked there as testmail.commit, the same code
    "helper.": "tests/bridge/helper/test_secret.py",  # the helper runs beside, with users of its own
    "listmgr.unhold": "tests/listmgr/test_holding.py",
    "mbox.": "tests/bridge/store/test_mboxfile.py",
    "mboxjournal.": "tests/bridge/store",
    "migrate.": "tests/bridge/store/test_migrate.py",
    "queuedb.aside": "tests/crash/test_rebuild.py",  # a database made anew may send twice (D-7 window 4)
}


def points() -> list[str]:
    """All names, after importing everything."""
    for package in (bridge, listmgr):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    return [name for name in registered() if not name.startswith(("test", "queuedb.aside"))]


def unknown(left: Iterable[str]) -> list[str]:
    """Points that neither the load reached nor anybody else walks."""
    return [name for name in sorted(left) if not any(name.startswith(known) for known in ELSEWHERE)]


def test_who_walks_the_others_exists() -> None:
    root = Path(__file__).resolve().parents[2]
    assert [where for where in ELSEWHERE.values() if not (root / where).exists()] == []


def kill_walk(load: Mixed, names: list[str], rng: random.Random, seconds: float) -> list[str]:
    """Die at each of these points once, in the order in which the load finds them; those never reached."""
    lab, left = load.lab, set(names)
    load.begin()
    while left:
        lab.plan = ",".join(f"{name}=kill@{rng.choice((1, 1, 2, 5))}" for name in sorted(left))
        before = len(lab.acted())
        load.odd.before(left)
        lab.start(wait=False)
        assert lab.process is not None
        end = time.monotonic() + (3 * seconds if unknown(left) else seconds)
        while lab.process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        lab.kill()
        now = {one.partition("=")[0] for one in lab.acted()[before:]}
        if not now:
            break
        left -= now
    load.end()
    return sorted(left)


def trouble_walk(load: Mixed, plans: list[str], names: list[str], seconds: float) -> set[str]:
    """The service under each of these plans for a while, and under one of its own for each of `names` that did not
    come up; the points that acted."""
    load.begin()
    for plan in plans:
        _live(load, plan, seconds)
    for name in unknown(set(names) - acted(load.lab)):
        _live(load, f"{name}=EIO@1", 2 * seconds)
    load.end()
    return acted(load.lab)


def _live(load: Mixed, plan: str, seconds: float) -> None:
    """One life; of a plan with one point it ends when that has acted."""
    lab, before, end = load.lab, len(load.lab.acted()), time.monotonic() + seconds
    lab.plan = plan
    load.odd.before({item.partition("=")[0] for item in plan.split(",")})
    lab.start(wait=False)
    while time.monotonic() < end and ("," in plan or len(lab.acted()) == before):
        time.sleep(0.02)
    time.sleep(0.2)
    lab.kill()


def acted(lab: Sprig) -> set[str]:
    return {one.partition("=")[0] for one in lab.acted()}


def plans_of(names: list[str]) -> list[str]:
    """Batches. The databases by chance, because a mover that can't start reaches nothing else; what only a start does
    comes later, each by itself; the spool apart, because after EIO it takes nothing for a minute."""
    first = ["certificate.write", "instance.write", "queuedb.generation"]
    spool = [name for name in names if name.startswith("spool.")]
    often = ["queuedb.commit", "index.commit", "index.open"]
    rest = [name for name in names if name not in (*spool, *often, *first, "core.commit", "archive.commit")]
    batches = [(rest, "EIO", "1"), (rest, "ENOSPC", "2"), (spool, "ENOSPC", "1"), (spool, "EIO", "3")]
    batches += [(often, "EIO", "p0.1"), (often, "ENOSPC", "p0.1"), (["core.commit", "archive.commit"], "EIO", "p0.5")]
    return [",".join(f"{name}={action}@{when}" for name in some) for some, action, when in batches]


def test_death_at_every_point(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seed = int(time.time())
    print("seed", seed)
    rng, names = random.Random(seed), points()
    long = request.config.getoption("--long")
    with nursery() as home, Mixed(tmp_path, home, single=True, seed=seed) as load:
        walk = [name + after for name in names for after in (("", "+") if long else (rng.choice(("", "+")),))]
        left = kill_walk(load, walk, rng, 15 if long else 4)
        print(f"died at {len(walk) - len(left)} points; not reached: {left}")
        print(f"smtp {len(load.smtp.accepted)} imap {len(load.imap.kept)} expunged {len(load.imap.gone)}")
        wrong = load.wrong()
        print("\n".join(wrong))
        assert not wrong
    assert unknown(left) == []


def test_a_failing_disk_at_every_point(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seed = int(time.time())
    names = points()
    with nursery() as home, Mixed(tmp_path, home, single=False, seed=seed) as load:
        found = trouble_walk(load, plans_of(names), names, 15 if request.config.getoption("--long") else 4)
        print(f"acted {len(found)}; not reached: {sorted(set(names) - found)}")
        print(f"smtp {len(load.smtp.accepted)} soft {len(load.smtp.soft)} imap {len(load.imap.kept)}")
        wrong = load.wrong()
        print("\n".join(wrong))
        assert not wrong
    assert unknown(set(names) - found) == []


@pytest.mark.parametrize("name", ["our-fault-is-final"])
def test_the_mutants_are_caught(name: str, tmp_path: Path) -> None:
    with nursery(mutant(name)) as home, Mixed(tmp_path / "mutant", home, single=False, seed=1) as load:
        trouble_walk(load, plans_of(points())[2:3], [], 4)
        assert any("permanent" in one for one in load.wrong())
