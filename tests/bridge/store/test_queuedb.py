"""Rows of the queue: adopted once, leased by one, recorded in groups, made again when the file is lost."""
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from bridge.model.errors import StoreError
from bridge.store import failpoints, queuetables
from bridge.store.queuedb import QueueDb
from bridge.store.queuetables import (
    DONE,
    FAILED,
    FINISHED,
    HELD,
    LEASED,
    OPEN,
    PENDING,
    QUARANTINED,
    Change,
    New,
    Row,
    recipient,
)

NOW = 1_700_000_000.0


@pytest.fixture
def queue(tmp_path):
    made = open_queue(tmp_path)
    made.start("boot", NOW)
    yield made
    made.close()
    failpoints.arm("")


def open_queue(tmp_path):
    (tmp_path / "spool").mkdir(exist_ok=True)
    return QueueDb(f"sqlite:///{tmp_path}/queue.db", tmp_path / "spool/GENERATION")


def row(number, message="M1", *, nexthop="", state=PENDING, next_try=NOW, priority=0, kind="remote", attempts=0):
    address = f"u{number}@example.org"
    values = (number, message, address, address, "", "", kind, address, nexthop, "s@example.org")
    return Row(*values, state, next_try, attempts, priority, NOW + 432000)


def new(message="M1", *rows, key=None, priority=0):
    return New(message, key, "s@example.org", 100, NOW, "smtp", priority, NOW + 14400, tuple(rows))


def states(queue):
    with queue.database.read() as connection:
        return {one.id: one.state for one in connection.execute(recipient.select())}


def test_adopted_once(queue):
    """D-1: by id, by key in the table, by key within a group."""
    assert queue.adopt([new("M1", row(1))], "boot", 0).result() == {}
    assert queue.adopt([new("M1", row(2))], "boot", 0).result() == {"M1": OPEN}
    assert queue.adopt([new("M2", row(3, "M2"), key="dsn:1:1")], "boot", 0).result() == {}
    again = queue.adopt([new("M3", row(4, "M3"), key="dsn:1:1"), new("M4", key="k"), new("M5", key="k")], "boot", 0)
    assert again.result() == {"M3": DONE, "M5": DONE}
    assert set(states(queue)) == {1, 3}
    assert queue.known(["M1", "M3", "M9"]) == {"M1": OPEN}


def test_fast_tombstones(queue):
    queue.finish_new(["M1", "M2"], NOW).result()
    assert queue.known(["M1", "M2"]) == {"M1": DONE, "M2": DONE}
    assert queue.adopt([new("M1", row(1))], "boot", 0).result() == {"M1": DONE}
    assert states(queue) == {}


def test_lease_and_record(queue):
    """D-4: taken once; each recipient's progress is its own; the message is done with its last one."""
    queue.adopt([new("M1", row(1), row(2), row(3)), new("M2", row(4, "M2", state=LEASED))], "boot", NOW).result()
    assert queue.lease([1, 2, 3, 99], "boot", NOW).result() == {1, 2, 3}
    assert queue.lease([1, 2], "boot", NOW).result() == set()
    changes = [
        Change(1, "M1", FINISHED),
        Change(2, "M1", PENDING, NOW + 300, 451, "4.0.0", "later", "mx"),
        Change(3, "M1", FAILED, 0.0, 550, "5.1.1", "no", "mx"),
        Change(4, "M2", FINISHED),
    ]
    assert queue.record(changes, NOW).result() == ["M2"]
    assert states(queue) == {2: PENDING, 3: FAILED}
    assert queue.due("remote", "", NOW, 10) == []
    (left,) = queue.due("remote", "", NOW + 300, 10)
    assert (left.attempts, left.reply, left.place) == (1, "later", "mx")
    assert queue.next_due() == NOW + 300
    assert queue.record([Change(2, "M1", FINISHED), Change(3, "M1", FINISHED)], NOW).result() == ["M1"]
    assert queue.next_due() is None


def test_result_of_a_lost_lease_changes_nothing(queue):
    """A recipient that was held or requeued meanwhile keeps that state."""
    queue.adopt([new("M1", row(1, state=HELD))], "boot", NOW).result()
    queue.record([Change(1, "M1", PENDING, NOW)], NOW).result()
    assert states(queue) == {1: HELD}


def test_due_is_in_piles_and_personal_first(queue):
    rows = [row(n, nexthop=f"h{n % 2}", priority=n % 3 > 0, next_try=NOW - n) for n in range(1, 10)]
    queue.adopt([new("M1", *rows, row(20, next_try=NOW + 1))], "boot", NOW).result()
    assert sorted(queue.waiting(NOW)) == [("remote", "h0", 4), ("remote", "h1", 5)]
    assert [one.id for one in queue.due("remote", "h1", NOW, 4)] == [9, 3, 7, 5]


def test_leases_of_another_boot_are_void(queue, tmp_path):
    queue.adopt([new("M1", row(1, state=LEASED), row(2, state=HELD))], "boot", NOW + 999).result()
    queue.close()
    second = open_queue(tmp_path)
    found = second.start("other", NOW)
    assert (found.rebuilt, found.open, found.last_recipient) == (False, {"M1"}, 2)
    assert states(second) == {1: PENDING, 2: HELD}
    assert second.due("remote", "", NOW, 5)[0].attempts == 1
    second.close()


def test_rerouted(queue):
    queue.adopt([new("M1", row(1, kind=""))], "boot", NOW).result()
    assert queue.reroute(queue.due("", "", NOW, 5), [row(2), row(3)], NOW).result() == []
    assert set(states(queue)) == {2, 3}
    assert queue.reroute(queue.due("remote", "", NOW, 5), [], NOW).result() == ["M1"]


def test_released_untried(queue):
    queue.adopt([new("M1", row(1, state=LEASED), row(2, state=HELD))], "boot", NOW).result()
    queue.release([1, 2]).result()
    assert states(queue) == {1: PENDING, 2: HELD}
    assert queue.due("remote", "", NOW, 5)[0].attempts == 0


def test_deaths_and_closing(queue):
    assert queue.count_deaths(["M1", "M2"], 10).result() == {"M1": 10, "M2": 10}
    assert queue.count_deaths(["M1"], 1).result() == {"M1": 11, "M2": 10}
    queue.forget_deaths(["M2"]).result()
    queue.adopt([new("M1", row(1))], "boot", NOW).result()
    queue.close_as(["M1", "M7"], QUARANTINED, NOW).result()
    assert states(queue) == {}
    assert queue.known(["M1", "M7"]) == {"M1": QUARANTINED, "M7": QUARANTINED}
    assert queue.count_deaths([], 1).result() == {}


def test_clock_shift_and_clamp(queue):
    """D-9: relative times survive a jump; nobody waits longer than the longest wait."""
    queue.adopt([new("M1", row(1, next_try=NOW + 100), row(2, next_try=NOW + 10**9))], "boot", NOW).result()
    queue.shift(10**6, NOW + 10**6, 14400).result()
    with queue.database.read() as connection:
        rows = connection.execute(recipient.select()).all()
    assert {one.id: one.next_try for one in rows} == {1: NOW + 10**6 + 100, 2: NOW + 10**6 + 14400}
    assert {one.expires_at for one in rows} == {NOW + 10**6 + 432000}


def test_sweep_keeps_what_is_open_or_young(queue):
    queue.adopt([new("A1", row(1, "A1"))], "boot", NOW).result()
    queue.finish_new(["A2", "B1"], NOW).result()
    assert queue.sweep("B").result() == 1
    assert queue.known(["A1", "A2", "B1"]) == {"A1": OPEN, "B1": DONE}


def test_missing_database_is_begun_anew(queue, tmp_path):
    queue.adopt([new("M1", row(1))], "boot", NOW).result()
    assert not queue.replaced()
    assert not queue.broken()
    (tmp_path / "queue.db").unlink()
    assert queue.replaced()
    assert queue.broken()
    queue.close()
    second = open_queue(tmp_path)
    assert second.start("b", NOW).rebuilt
    second.close()
    third = open_queue(tmp_path)
    assert not third.start("c", NOW).rebuilt
    third.close()


@pytest.mark.parametrize("harm", ["garbage", "page", "short"])
def test_damaged_database_is_set_aside(queue, tmp_path, harm):
    """sec-Q05: moved to .corrupt-TS, never deleted, begun anew."""
    queue.adopt([new(f"M{n}", row(n, f"M{n}")) for n in range(300)], "boot", NOW).result()
    queue.close()
    path = tmp_path / "queue.db"
    data = bytearray(path.read_bytes())
    if harm == "garbage":
        data[:] = b"x" * len(data)
    elif harm == "page":
        data[4096:] = os.urandom(len(data) - 4096)
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    second = open_queue(tmp_path)
    found = second.start("b", NOW)
    assert found.rebuilt
    assert found.open == frozenset()
    assert (tmp_path / f"queue.db.corrupt-{int(NOW)}").exists()
    second.adopt([new("M1", row(1))], "b", NOW).result()
    second.close()


@contextmanager
def no_descriptors():
    """As when this process has used up all that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_the_database_is_not_taken_for_damaged(queue, tmp_path):
    """P07: it would be made anew, and what was sent in part be sent again (D-7 window 4)."""
    queue.adopt([new("M1", row(1))], "boot", NOW).result()
    queue.close()
    second = open_queue(tmp_path)
    with no_descriptors(), pytest.raises(StoreError):
        second.start("b", NOW)
    second.close()
    third = open_queue(tmp_path)
    found = third.start("b", NOW)
    assert not found.rebuilt
    assert found.open == frozenset({"M1"})
    third.database._driver._spare.clear()
    with no_descriptors():
        assert not third.broken()
    assert third.known(["M1"]) == {"M1": OPEN}
    third.close()
    assert list(tmp_path.glob("queue.db.corrupt*")) == []


@pytest.mark.parametrize("note", [None, "99", "rubbish"])
def test_generation_tells_an_old_database(queue, tmp_path, note):
    """sec-Q06: a database that was put back from a copy is older than the spool remembers."""
    queue.close()
    path = Path(tmp_path / "spool/GENERATION")
    assert path.read_text() == "1"
    path.unlink() if note is None else path.write_text(note)
    second = open_queue(tmp_path)
    assert second.start("b", NOW).rebuilt
    assert path.read_text() == ("100" if note == "99" else "2")
    second.close()


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EMFILE", "EIO"])
def test_failed_commit_stores_nothing(queue, error):
    failpoints.arm(f"queuedb.commit={error}@1")
    with pytest.raises(StoreError):
        queue.adopt([new("M1", row(1))], "boot", NOW).result()
    failpoints.arm("")
    assert queue.known(["M1"]) == {}
    assert queue.adopt([new("M1", row(1))], "boot", NOW).result() == {}


def test_every_hot_statement_is_one_of_postgresql_too():
    """O19: without a server; the dialect refuses another's forms when it compiles."""
    hot = [value for value in vars(queuetables).values() if isinstance(value, queuetables.Hot)]
    assert len(hot) == 5
    for one in hot:
        assert str(one._statement.compile(dialect=postgresql.dialect()))
