"""The fetch ledger: rows once, states that move, memory of content, accounts' health (D-6, F82)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.ledger import Entry, Ledger, Place, account_state, seen

POINT = Failpoint("test.ledger.rows", "commit in these tests")
HERE, THERE = Place("a", "INBOX", "1"), Place("a", "INBOX", "2")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    database = Database(f"sqlite:///{tmp_path}/core.db", point=POINT)

    def tables(connection: Any) -> None:
        for table in (seen, account_state):
            table.create(connection)

    database.write_now(tables)
    yield Ledger(database)
    database.close()


def test_noting_twice_is_noting_once(ledger: Ledger) -> None:
    for state in ("committed", "delete_sent"):
        ledger.note(HERE, [Entry(str(n), state, n, "h", "s", "q") for n in range(700)], 10.0)
    states = ledger.states(HERE)
    assert len(states) == 700
    assert {one.state for one in states.values()} == {"delete_sent"}
    assert not ledger.states(THERE)
    assert ledger.note_soon(THERE, [Entry("1", "committed")], 1.0).result() is None
    assert list(ledger.states(THERE)) == ["1"]


def test_failures_are_counted_and_a_suspicion_only_once(ledger: Ledger) -> None:
    assert [ledger.fail(HERE, "1", 1.0, most=1) for _ in range(3)] == [1, 1, 1]
    assert [ledger.fail(HERE, "1", 1.0) for _ in range(3)] == [2, 3, 3]
    assert ledger.states(HERE)["1"].tries == 3
    ledger.note(HERE, [Entry("1", "poison")], 2.0)
    ledger.note(HERE, [Entry("2", "committed")], 2.0)
    assert ledger.retry("a") == 1
    assert list(ledger.states(HERE)) == ["2"]


def test_moving_keeps_the_time_of_collecting(ledger: Ledger) -> None:
    ledger.note(HERE, [Entry(str(n), "committed") for n in range(1200)], 5.0)
    ledger.moved(HERE, [str(n) for n in range(1100)], "gone")
    states = ledger.states(HERE)
    assert sum(one.state == "gone" for one in states.values()) == 1100
    assert {one.at for one in states.values()} == {5.0}
    ledger.moved(HERE, [], "gone")


def test_content_is_remembered_across_uidvalidities(ledger: Ledger) -> None:
    ledger.note(HERE, [Entry("1", "committed", 100, "head", "sum"), Entry("2", "failed", 100, "x", "y")], 50.0)
    assert [one.uid for one in ledger.same_size(THERE, [100, 5], 10.0)] == ["1"]
    assert not ledger.same_size(THERE, [100], 60.0)
    assert not ledger.same_size(Place("a", "Other", "2"), [100], 10.0)
    assert ledger.moved_house(THERE, 10.0)
    assert not ledger.moved_house(HERE, 10.0)
    assert ledger.has_content(THERE, "head", "sum", 10.0)
    assert not ledger.has_content(HERE, "head", "sum", 10.0)
    assert not ledger.has_content(THERE, "head", "other", 10.0)


def test_what_is_gone_is_forgotten_in_time(ledger: Ledger) -> None:
    ledger.note(HERE, [Entry("1", "gone"), Entry("2", "committed")], 5.0)
    ledger.note(HERE, [Entry("3", "gone")], 50.0)
    ledger.prune(HERE, 20.0)
    assert sorted(ledger.states(HERE)) == ["2", "3"]


def test_how_accounts_stand(ledger: Ledger) -> None:
    assert ledger.polled("a", 1.0, 5, "") == (0, 1.0)
    assert ledger.polled("a", 2.0, 0, "down") == (1, 1.0)
    assert ledger.polled("a", 3.0, 2, "d" * 5000) == (2, 1.0)
    (row,) = ledger.accounts()
    assert (row.last_poll, row.last_good, row.messages, row.failures, len(row.error)) == (3.0, 1.0, 7, 2, 1000)
    assert ledger.polled("a", 4.0, 0, "") == (0, 4.0)
