"""kill -9 during APPEND, COPY, MOVE, EXPUNGE and delivery: no UID ever stands for another message, none comes back,
UIDVALIDITY stays and UIDNEXT never goes down, and what was answered with a UID is there under it (P17, P19; with the
index thrown away now and then, P18). Short form 6 kills, long form 100. The seed is printed."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.crash.ledger import Ledger, drain
from tests.crash.nursery import Sprig, nursery
from tests.crash.uids import Book, Changer, Observer
from tests.lab import DOMAIN, mutant

USER = "eva"
SLOW = "index.commit=sleep5,append.show=sleep3,move.rename=sleep2,expunge.unlink=sleep3,uidlist.append=sleep2"
pytestmark = pytest.mark.service


def storm(lab: Sprig, kills: int, seed: int) -> Book:
    """`kills` lives under load, each ended at some moment; with each third the index goes, too."""
    rng, book = random.Random(seed), Book()
    lab.add_user(USER)
    ledger = Ledger(lab.ports["smtp"], [f"{USER}@{DOMAIN}"], threads=2, seed=seed, largest=4000, pause=0.02)
    observer = Observer(lab, USER, book)
    clients = [observer, *(Changer(lab, USER, book, number) for number in range(3))]
    try:
        lab.start()
        for client in clients:
            client.start()
        for number in range(kills):
            ledger.start()
            time.sleep(rng.uniform(0.3, 0.9))
            if number % 2 and not lab.single:
                os.kill(rng.choice(lab.pids("imap") + lab.pids("mover")), signal.SIGKILL)
                time.sleep(rng.uniform(0.05, 0.4))
            lab.kill()
            ledger.stop()
            if number % 3 == 2:
                for path in lab.maildir(USER).glob("estafeta.index*"):
                    path.unlink()
            lab.plan = SLOW if number % 3 == 1 else ""
            lab.start()
        time.sleep(0.3)
        for client in clients:
            client.end()
        drain(lab, [], 30)
        observer.look_once()
        if not book.wrong:
            print(lab.command("verify"))
        assert lab.stop() == 0
    finally:
        for client in clients:
            client.end()
        ledger.stop()
        lab.kill()
    print(f"seed {seed}: {book.looks} looks, {len(book.content)} messages, {len(book.gone)} expunged")
    return book


def test_a_uid_is_for_ever(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with nursery() as home:
        book = storm(Sprig(tmp_path, nursery=home), 100 if request.config.getoption("--long") else 6, int(time.time()))
    assert len(book.content) > 50, "hardly any load; the test shows nothing"
    assert len(book.gone) > 10
    assert not book.wrong
    assert len(book.given - book.handled) > 10
    assert not book.lost(), "said to be there under a UID, and not there"


@pytest.mark.parametrize(("name", "said"), [("uidnext-forgotten", ""), ("no-uidlist", "UIDVALIDITY was")])
def test_the_mutants_are_caught(name: str, said: str, tmp_path: Path) -> None:
    with nursery(mutant(name)) as home:
        book = storm(Sprig(tmp_path / "mutant", nursery=home, single=True), 3, 1)
    print(book.wrong[:5])
    assert any(said in one for one in book.wrong)
