"""A collector that is killed again and again: the process that `test_crash` starts.

It forks a child that polls until nothing is left, kills it at a random moment or lets a failpoint do it, and at last
lets one finish. Forked from a process without threads, so that hundreds of kills take seconds.

    python -m tests.bridge.intake.fetch.crashing '{"folder": ..., "kind": "imap", "port": ..., "kills": 20, "seed": 1}'
"""

import json
import os
import random
import signal
import sys
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.folder import FolderPoll
from bridge.intake.fetch.taking import Taken
from bridge.store import failpoints
from bridge.store.ledger import Known, Ledger, Place
from tests.bridge.intake.fetch.conftest import Collector
from tests.bridge.intake.fetch.fakes import PASSWORD, USER

POINTS = ("spool.create", "spool.write", "spool.fdatasync", "spool.rename", "spool.fsync", "test.ledger")


def account_of(told: dict[str, Any]) -> FetchAccount:
    return FetchAccount(
        name="remote", protocol=told["kind"], host="127.0.0.1", port=told["port"], tls="none", user=USER,
        password=PASSWORD, to="ana@example.org", timeout=10, keep=False,
    )  # fmt: skip


def work(told: dict[str, Any]) -> None:
    """Poll until a poll finds nothing and goes well."""
    collector = Collector(Path(told["folder"]))
    for _ in range(100):
        result = collector.poll(account_of(told))
        if not result.new and not result.removed and not result.error:
            break
    collector.close()


def mutate(which: str) -> None:
    """The bugs that the test must see."""
    if which == "ledger":  # deleted there before the ledger knows

        def forgets(self: Ledger, place: Place, entries: object, now: float) -> "Future[None]":
            done: Future[None] = Future()
            done.set_result(None)
            return done

        class Everything(dict[str, Known]):
            def get(self, uid: str, default: Any = None) -> Any:
                return self[uid]

            def __missing__(self, uid: str) -> Known:
                return Known("committed", 0, 0, 0, "")

        Ledger.note_soon = forgets  # type: ignore[method-assign]
        states = Ledger.states
        tidy = FolderPoll._tidy

        def tidies(self: FolderPoll) -> None:
            Ledger.states = lambda *_: Everything()  # type: ignore[assignment,method-assign]
            try:
                tidy(self)
            finally:
                Ledger.states = states  # type: ignore[method-assign]

        FolderPoll._tidy = tidies  # type: ignore[method-assign]
    elif which == "spool":  # noted before the message is safe
        settle = FolderPoll._settle

        class Hasty(deque[Taken]):
            def popleft(self) -> Taken:
                taken = super().popleft()
                done: Future[Any] = Future()
                done.set_result(_Pretended(taken))
                return Taken(taken.remote, done, taken.head, taken.sha256)

        def hasty(self: FolderPoll, count: int) -> None:
            self._waiting = Hasty(self._waiting)
            settle(self, count)

        FolderPoll._settle = hasty  # type: ignore[method-assign]


class _Pretended:
    """What a commit would have answered."""

    def __init__(self, taken: Taken) -> None:
        self.size = taken.remote.size
        self.envelope = type("E", (), {"id": ""})


def run(told: dict[str, Any]) -> None:
    rng = random.Random(told["seed"])
    mutate(told.get("mutant", ""))
    for number in range(told["kills"] + 1):
        last = number == told["kills"]
        child = os.fork()
        if not child:
            if not last and number % 2:
                point = told.get("point") or rng.choice(POINTS)
                nth = rng.randint(1, 6 if point == "test.ledger" else 40)
                failpoints.arm(f"{point}{rng.choice(['', '+'])}=kill@{nth}")
            work(told)
            os._exit(0)
        if not last:
            rng.random()  # the child used one of its own copy
            time.sleep(rng.uniform(0.01, 0.35) if number % 2 == 0 else 0.8)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
