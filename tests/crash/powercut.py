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
from pathlib import Path

from tests.crash.ledger import Ledger, read_mailboxes
from tests.lab import DOMAIN, Lab

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


def cut(folder: Path, number: int, rng: random.Random, environ: dict[str, str]) -> tuple[int, int, int, list[str]]:
    """One cut. (accepted, lost, doubled, broken bodies)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_disks(folder)
    disks = folder / "disks"
    for name in DISKS:
        mount(folder / f"{name}.img", disks / name)
    lab = Lab(folder / "lab", paths=_paths(disks), environ=environ)
    lab.add_user(*USERS)
    os.sync()
    lab.start()
    ledger = Ledger(lab.ports["smtp"], [f"{user}@{DOMAIN}" for user in USERS], seed=number, largest=20_000)
    ledger.start()
    time.sleep(rng.uniform(0.4, 1.6))
    assert lab.process is not None
    os.killpg(lab.process.pid, signal.SIGSTOP)
    time.sleep(0.02)
    accepted = set(ledger.accepted)
    for name in DISKS:
        sh("cp", "--sparse=always", str(folder / f"{name}.img"), str(folder / f"{name}.after"))
    lab.kill()
    ledger.stop()
    for name in DISKS:
        unmount(disks / name)
    for name in DISKS:
        mount(folder / f"{name}.after", disks / name)
    again = Lab(folder / "lab", paths=_paths(disks), ports=lab.ports)
    again.start()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = read_mailboxes(again.maildir(user) for user in USERS)
        if accepted <= found.ids.keys():
            break
        time.sleep(0.2)
    time.sleep(0.3)
    again.kill()
    found = read_mailboxes(again.maildir(user) for user in USERS)
    for name in DISKS:
        unmount(disks / name)
    doubled = sum(count > 1 for count in found.ids.values())
    return len(accepted), len(accepted - found.ids.keys()), doubled, found.broken


def main(folder: Path, cuts: int, environ: dict[str, str]) -> int:
    seed = int(time.time())
    print("seed", seed)
    rng = random.Random(seed)
    total = lost = doubled = broken = 0
    for number in range(cuts):
        one = cut(folder / "cut", number, rng, environ)
        total, lost, doubled, broken = total + one[0], lost + one[1], doubled + one[2], broken + len(one[3])
    print(f"cuts {cuts} accepted {total} lost {lost} doubled {doubled} broken {broken}")
    return 1 if lost or broken or not total else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), dict(pair.split("=", 1) for pair in sys.argv[3:])))
