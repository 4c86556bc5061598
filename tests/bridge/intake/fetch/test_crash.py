"""P20: the collector is killed at random moments and at every step of its way to the disk; keep is off.

Every message is in the spool at least once, whole; what is there twice has the same key, by which the queue drops it;
nothing was removed on the server that the ledger didn't have as committed at that moment. Two mutants show that this
test can fail. Short form some seconds, long form with --long. The seed is printed.
"""

import json
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from bridge.store.spool import Spool
from tests.bridge.intake.fetch.fakes import FakeImap, FakePop3, Session, mail

ROOT = Path(__file__).resolve().parents[4]


class Guard:
    """Refills the server at each connection; looks into the ledger whenever the server is about to remove something."""

    def __init__(self, server: FakeImap | FakePop3, folder: Path, total: int) -> None:
        self.server, self.folder, self.total = server, folder, total
        self.given: dict[str, bytes] = {}
        self.uncommitted: set[str] = set()
        self.removed = 0
        server.arrived = self.refill
        if isinstance(server, FakeImap):
            self._expunge = server._expunge
            server._expunge = self.expunge  # type: ignore[method-assign]
        else:
            self._end = server.end
            server.end = self.end  # type: ignore[method-assign]

    def refill(self) -> None:
        with self.server.lock:
            while len(self.server.messages) < 150 and len(self.given) < self.total:
                number = len(self.given) + 1
                text = mail(number, 200 + 37 * number % 9000)
                if isinstance(self.server, FakeImap):
                    self.server.add(number, text)
                    self.given[str(number)] = text
                else:
                    self.server.messages[f"u{number}"] = text
                    self.given[f"u{number}"] = text

    def _check(self, uids: set[str]) -> None:
        database = sqlite3.connect(f"file:{self.folder}/core.db?mode=ro", uri=True)
        rows = database.execute("SELECT uid FROM fetch_seen WHERE state IN ('committed', 'delete_sent', 'gone')")
        self.uncommitted |= uids - {row[0] for row in rows}
        database.close()
        self.removed += len(uids)

    def expunge(self, uids: list[int]) -> None:
        self._check({str(uid) for uid in uids})
        self._expunge(uids)

    def end(self, session: Session, gone: set[str]) -> None:
        self._check(gone)
        self._end(session, gone)


class Outcome:
    def __init__(self, guard: Guard) -> None:
        spool = Spool(guard.folder / "spool")
        self.by_key: dict[str, list[bytes]] = defaultdict(list)
        for ident in spool.scan():
            spooled = spool.verify(spool.path(ident))
            self.by_key[spooled.envelope.key].append(b"".join(spool.chunks(spooled)))
        spool.close()
        validity = guard.server.uidvalidity if isinstance(guard.server, FakeImap) else 0
        self.lost = {
            uid for uid, text in guard.given.items()
            if not any(one.endswith(text) for one in self.by_key.get(f"fetch:remote:INBOX:{validity}:{uid}", []))
        }  # fmt: skip
        self.left = len(guard.server.messages)
        self.uncommitted, self.removed = guard.uncommitted, guard.removed


def ordeal(kind: str, folder: Path, *, kills: int, total: int, seed: int, **more: Any) -> Outcome:
    with (FakeImap() if kind == "imap" else FakePop3()) as server:
        guard = Guard(server, folder, total)
        told = {"folder": str(folder), "kind": kind, "port": server.port, "kills": kills, "seed": seed, **more}
        done = subprocess.run(
            [sys.executable, "-m", "tests.bridge.intake.fetch.crashing", json.dumps(told)],
            cwd=ROOT, timeout=600, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Outcome(guard)


@pytest.mark.parametrize("kind", ["imap", "pop3"])
def test_p20_killed_again_and_again(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    long = request.config.getoption("--long")
    seed = int(time.time())
    print("seed", seed)
    found = ordeal(kind, tmp_path, kills=100 if long else 10, total=6000 if long else 600, seed=seed)
    assert not found.lost
    assert not found.uncommitted, "removed on the server without a committed row"
    assert found.left == 0
    assert found.removed >= (6000 if long else 600)
    for key, copies in found.by_key.items():
        bodies = {text.partition(b"Return-Path")[2] for text in copies}
        assert len(bodies) == 1, f"{key}: two different messages under one key"


def test_p20_mutant_deletes_before_the_ledger_knows(tmp_path: Path) -> None:
    """The oracle sees a collector that deletes without a committed row."""
    found = ordeal("imap", tmp_path, kills=0, total=30, seed=1, mutant="ledger")
    assert found.uncommitted


def test_p20_mutant_trusts_the_disk_too_early(tmp_path: Path) -> None:
    """The oracle sees a collector that notes and deletes what isn't durable yet."""

    def loses(seed: int) -> bool:
        """Whether a kill hits the moment between the note and the disk is chance."""
        folder = tmp_path / str(seed)
        folder.mkdir()
        mutant = ordeal("pop3", folder, kills=8, total=400, seed=seed, mutant="spool", point="spool.fdatasync")
        return bool(mutant.lost)

    assert any(loses(seed) for seed in range(3, 9))
