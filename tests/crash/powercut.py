"""A power cut in a box: spool, databases and mail on loop ext4 images of their own, everything stopped, the images
copied, the copies mounted, the server started on them (P04, sec-Q02, SECURITY 0.18).

Run as root inside a mount namespace of its own: `unshare -m python -m tests.crash.powercut FOLDER CUTS`.
Exit status 0 and "lost 0" if every message that got its 250 is there after each cut.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.crash.ledger import Ledger, drain, ids_in, read_mailboxes
from tests.crash.nursery import Nursery, Sprig, nursery
from tests.lab import DOMAIN

USERS = ["ana", "luis"]
DISKS = ("spool", "db", "mail")  # images of their own, so that no foreign sync hides a missing one
SIZE_MB = 192


def sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def mount(image: Path, where: Path) -> None:
    where.mkdir(parents=True, exist_ok=True)
    sh("mount", "-o", "loop,commit=300", str(image), str(where))


def unmount(where: Path) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        sh("umount", "-l", str(where))


def make_disks(folder: Path) -> None:
    for name in DISKS:
        image = folder / f"{name}.img"
        with image.open("wb") as out:
            out.truncate(SIZE_MB << 20)
        sh("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(image))


def _paths(disks: Path) -> dict[str, str]:
    """Folder settings: the three kinds of state on disks of their own."""
    return {"spool": f"{disks}/spool/s", "databases": f"{disks}/db/d", "mail": f"{disks}/mail/m"}


@dataclass
class Cut:
    """What one cut showed."""

    accepted: int
    lost: int
    doubled: int
    broken: int


def cut(folder: Path, number: int, rng: random.Random, before: Nursery, after: Nursery, plan: str) -> Cut:
    """One cut: `before` forks the appliance that is cut off, `after` the one that finds what is left."""
    folder.mkdir(parents=True)
    make_disks(folder)
    disks = folder / "disks"
    for name in DISKS:
        mount(folder / f"{name}.img", disks / name)
    lab = Sprig(folder / "lab", paths=_paths(disks), nursery=before, plan=plan)
    try:
        accepted = _load(lab, folder, number, rng)
    finally:
        lab.kill()
        for name in DISKS:
            unmount(disks / name)
    for name in DISKS:
        mount(folder / f"{name}.after", disks / name)
    again = Sprig(folder / "lab", paths=_paths(disks), ports=lab.ports, nursery=after)
    boxes = [again.maildir(user) for user in USERS]
    try:
        again.start()
        drain(again, boxes, 30)
        again.kill()
        found = read_mailboxes(boxes)
        aside = ids_in(again.spool / "quarantine")
    finally:
        again.kill()
        for name in DISKS:
            unmount(disks / name)
        shutil.rmtree(folder, ignore_errors=True)
    doubled = sum(count > 1 for count in found.ids.values())
    return Cut(len(accepted), len(accepted - found.ids.keys() - aside), doubled, len(found.broken))


def _load(lab: Sprig, folder: Path, number: int, rng: random.Random) -> set[str]:
    """Mail comes in, then everything stops at once and the disks are what they are. What got its 250 until then."""
    lab.add_user(*USERS)
    os.sync()
    ledger = Ledger(lab.ports["smtp"], [f"{user}@{DOMAIN}" for user in USERS], seed=number, largest=20_000)
    try:
        lab.start()
        ledger.start()
        end = time.monotonic() + 20
        while len(ledger.accepted) < 20 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.2, 1.2))
        assert lab.process is not None
        os.killpg(lab.process.pid, signal.SIGSTOP)
        time.sleep(0.02)
        accepted = set(ledger.accepted)
        for name in DISKS:
            sh("cp", "--sparse=always", str(folder / f"{name}.img"), str(folder / f"{name}.after"))
    finally:
        lab.kill()
        ledger.stop()
    return accepted


def main(folder: Path, cuts: int, environ: dict[str, str]) -> int:
    seed = int(time.time())
    print("seed", seed)
    rng = random.Random(seed)
    plan = environ.pop("ESTAFETA_FP", "")
    with nursery(environ) as before, nursery() as after:
        done = [cut(folder / f"cut{number}", number, rng, before, after, plan) for number in range(cuts)]
    accepted, lost = sum(one.accepted for one in done), sum(one.lost for one in done)
    doubled, broken = sum(one.doubled for one in done), sum(one.broken for one in done)
    print(f"cuts {cuts} accepted {accepted} lost {lost} doubled {doubled} broken {broken}")
    return 1 if lost or broken or not accepted else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), dict(pair.split("=", 1) for pair in sys.argv[3:])))
