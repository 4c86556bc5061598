"""A full disk in a box: all state on a small tmpfs, filled to the last byte (or inode) while mail comes in, then freed.

Run inside a mount namespace: `unshare -m python -m tests.crash.full FOLDER bytes|inodes [NAME=VALUE ...]`; as an
ordinary user `unshare -rm`. Exit status 0 if every reply was 250 or 4xx, IMAP said NO, and nothing accepted is lost.
"""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.crash.ledger import Found, Ledger, drain, ids_in, message
from tests.crash.nursery import Sprig, nursery
from tests.lab import DOMAIN

USERS = ["ana", "luis"]
SIZE_MB, INODES = 64, 4000
MORE = """[smtp]
message_size = 1000000
{free}
[queue]
retry_first = 1
retry_longest = 2
"""


class Filler:
    """Takes everything that is left, and gives it back."""

    def __init__(self, folder: Path, what: str) -> None:
        self._folder, self._what = folder / "ballast", what
        self._folder.mkdir()

    def fill(self) -> None:
        with contextlib.suppress(OSError):
            for number in range(1 << 20):
                with (self._folder / f"{time.monotonic_ns()}-{number}").open("wb", buffering=0) as out:
                    while self._what == "bytes" and out.write(b"\0" * 65536):
                        pass

    def free(self) -> None:
        for path in self._folder.iterdir():
            path.unlink()


def append(lab: Sprig, number: int) -> str:
    """What IMAP says to an APPEND: OK or NO."""
    rng = random.Random(number)
    client = lab.imap(USERS[0])
    try:
        return client.append("INBOX", "", "", message(f"append-{number}", USERS[0], rng, 30_000))[0]
    finally:
        with contextlib.suppress(Exception):
            client.logout()


def storm(lab: Sprig, ledger: Ledger, filler: Filler) -> dict[str, object]:
    """Mail comes in; the disk fills; it is freed. What was seen."""
    seen: dict[str, object] = {}
    ledger.start()
    time.sleep(0.7)
    seen["before"] = len(ledger.accepted)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:  # what delivery frees is taken at once
        filler.fill()
        time.sleep(0.05)
    seen["soft"] = len(ledger.soft)
    seen["append"] = append(lab, 1)
    filler.free()
    full = len(ledger.accepted)
    end = time.monotonic() + 15
    while len(ledger.accepted) < full + 20 and time.monotonic() < end:
        time.sleep(0.05)
    seen["after"] = len(ledger.accepted) - full
    seen["append after"] = append(lab, 2)
    ledger.stop()
    return seen


def sound(folder: Path) -> list[str]:
    """Every database, as SQLite sees it."""
    wrong = []
    for path in [*folder.rglob("*.db"), *folder.rglob("estafeta.index")]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            wrong.append(f"{path}: {found}")
    return wrong


def verdict(lab: Sprig, ledger: Ledger, found: Found, seen: dict[str, object]) -> list[str]:
    """What is wrong; empty if nothing."""
    wrong = sound(Path(str(lab.data)))
    if not seen["soft"]:
        wrong.append("the disk was never full: the test shows nothing")
    if not seen["after"]:
        wrong.append("no mail is accepted after room was made")
    if seen["append"] != "NO" or seen["append after"] != "OK":
        wrong.append(f"IMAP said {seen['append']} to an APPEND on the full disk and {seen['append after']} afterwards")
    if ledger.refused:
        wrong.append(f"permanent replies to our own trouble: {ledger.refused[:3]}")
    if found.broken:
        wrong.append(f"broken: {found.broken[:3]}")
    lost = ledger.accepted - found.ids.keys() - ids_in(lab.spool / "quarantine")
    if lost:
        wrong.append(f"{len(lost)} accepted and lost")
    if twice := [one for one, count in found.ids.items() if count > 1]:
        wrong.append(f"{len(twice)} delivered twice")
    return wrong


def main(folder: Path, what: str, free: str, environ: dict[str, str]) -> int:
    disk = folder / "disk"
    disk.mkdir(parents=True)
    inodes = INODES if what == "inodes" else 100_000
    options = f"size={SIZE_MB}m,nr_inodes={inodes},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
    try:
        with nursery(environ) as home:
            lab = Sprig(folder / "lab", data=disk / "data", more=MORE.format(free=free), nursery=home)
            lab.add_user(*USERS)
            filler = Filler(disk, what)
            ledger = Ledger(lab.ports["smtp"], [f"{user}@{DOMAIN}" for user in USERS], seed=os.getpid(), pause=0.01)
            try:
                lab.start()
                seen = storm(lab, ledger, filler)
                found = drain(lab, [lab.maildir(user) for user in USERS], 40)
                assert lab.stop() == 0
            finally:
                ledger.stop()
                lab.kill()
            wrong = verdict(lab, ledger, found, seen)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    print(f"{what}: accepted {len(ledger.accepted)} soft {len(ledger.soft)} {seen}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    pairs = dict(pair.split("=", 1) for pair in sys.argv[4:])
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3].replace("=", " = "), pairs))
