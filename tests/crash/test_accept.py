"""crash-accept: kill -9 of everything at random moments under load; nothing accepted is lost, nothing is doubled.

P01, P02, P08, sec-Q01. Short form 20 kills, long form 200 (`make crash`). The seed is printed.
"""

import random
import time
from pathlib import Path

import pytest

from tests.crash.ledger import Ledger, read_mailboxes
from tests.lab import DOMAIN, Lab

USERS = ["ana", "luis", "eva"]


def drain(lab: Lab, ledger: Ledger, seconds: float = 60.0) -> None:
    """Wait until the mailboxes hold all that was accepted, and nothing new arrives."""
    end, before = time.monotonic() + seconds, -1
    while time.monotonic() < end:
        found = read_mailboxes(lab.maildir(user) for user in USERS)
        if ledger.accepted <= found.ids.keys() and len(found.ids) == before:
            return
        before = len(found.ids)
        time.sleep(0.3)


@pytest.mark.service
def test_kill_9_under_load_loses_and_doubles_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills = 200 if request.config.getoption("--long") else 20
    seed = int(time.time())
    print("seed", seed)
    rng = random.Random(seed)
    lab = Lab(tmp_path)
    lab.add_user(*USERS)
    ledger = Ledger(lab.ports["smtp"], [f"{user}@{DOMAIN}" for user in USERS], seed=seed)
    try:
        for _ in range(kills):
            lab.start()
            ledger.start()
            time.sleep(rng.uniform(0.05, 1.5))
            lab.kill()
            ledger.stop()
        lab.start()
        drain(lab, ledger)
        assert lab.stop() == 0
    finally:
        lab.kill()
    found = read_mailboxes(lab.maildir(user) for user in USERS)
    assert len(ledger.accepted) > 20 * kills, "hardly any load; the test shows nothing"
    assert not found.broken
    assert not ledger.accepted - found.ids.keys(), "accepted and lost"
    assert not [ident for ident, count in found.ids.items() if count > 1], "delivered twice"
    assert not ledger.refused, "our own trouble must be temporary (P12)"
