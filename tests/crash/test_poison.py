"""A message that kills whoever touches it: three deaths, then it is set aside with a reason, and the others flow
(P14, sec-R12)."""

import random
import time
from pathlib import Path

import pytest

from tests.crash.ledger import Found, drain, ids_in, message
from tests.crash.nursery import Sprig, nursery
from tests.lab import DOMAIN, mutant

pytestmark = pytest.mark.service
POISON = "poison@client.example.org"


def run(lab: Sprig, seconds: float) -> Found:
    """Twenty good messages, the poison in their midst."""
    lab.add_user("ana")
    rng = random.Random(1)
    try:
        lab.start()
        for number in range(21):
            sender, ident = (POISON, "poison") if number == 10 else ("a@client.example.org", f"good-{number}")
            with lab.smtp() as client:
                client.sendmail(sender, [f"ana@{DOMAIN}"], message(ident, f"ana@{DOMAIN}", rng, 500))
        found = drain(lab, [lab.maildir("ana")], seconds)
        if "mutant" not in lab.folder.parts:
            started = time.monotonic()
            with lab.smtp() as client:
                client.sendmail("b@client.example.org", [f"ana@{DOMAIN}"], message("next", f"ana@{DOMAIN}", rng, 500))
            lab.wait_mails("ana", 21, 10)
            print(f"the next message took {time.monotonic() - started:.2f} s")
    finally:
        lab.kill()
    return found


def test_poison_is_set_aside_and_the_others_flow(tmp_path: Path) -> None:
    with nursery(mutant("poison")) as home:
        lab = Sprig(tmp_path, nursery=home)
        found = run(lab, 30)
    assert sorted(found.ids.values()) == [1] * 20
    assert ids_in(lab.spool / "quarantine") == {"poison"}
    reasons = [path.read_text() for path in (lab.spool / "quarantine").glob("*.txt")]
    assert len(reasons) == 1
    assert "3 times" in reasons[0]


def test_the_mutant_that_blames_nobody_is_caught(tmp_path: Path) -> None:
    with nursery(mutant("poison,nobody-blamed")) as home:
        lab = Sprig(tmp_path / "mutant", nursery=home)
        run(lab, 5)
    assert ids_in(lab.spool / "quarantine") != {"poison"}
