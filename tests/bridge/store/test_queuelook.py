"""The listing that needs no SQLAlchemy says what the other one says."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.store import queuelook, queueview
from bridge.store.queuedb import QueueDb
from bridge.store.queuetables import Change, New, Row


@pytest.fixture
def queue(tmp_path: Path):
    made = QueueDb(f"sqlite:///{tmp_path}/queue.db", tmp_path / "GENERATION")
    made.start("boot", 100.0)
    yield made
    made.close()


def row(number: int, message: str, **more: object) -> Row:
    values = {
        "id": number, "message": message, "address": f"a{number}@example.org", "original": "ana@example.org",
        "orcpt": "", "notify": "", "kind": "remote", "target": "", "nexthop": "example.org", "sender": "", "state": 0,
        "next_try": 200.0, "attempts": 0, "priority": 0, "expires_at": 900.0,
    }  # fmt: skip
    return Row(**{**values, **more})  # type: ignore[arg-type]


def test_both_listings_are_one(queue: QueueDb, tmp_path: Path) -> None:
    """S75: states, replies, what nobody has routed, and nothing of what is finished."""
    rows = (row(1, "A"), row(2, "A", kind="", nexthop=""), row(3, "A", state=2), row(4, "A", code=450, enhanced="4.2.1",
            reply="later", place="mx.example.org", attempts=3))  # fmt: skip
    queue.adopt([
        New("B", None, "x@example.org", 7, 101.0, "smtp", 1, None, (row(5, "B"),)),
        New("A", "key", "", 2048, 100.5, "list", 0, 300.0, rows),
        New("C", None, "x@example.org", 7, 102.0, "smtp", 0, None, (row(6, "C"),)),
    ], "boot", 0.0).result()  # fmt: skip
    queue.record([Change(6, "C", -1)], 103.0).result()
    (tmp_path / "a ?#%41").symlink_to(tmp_path)
    path = str(tmp_path / "a ?#%41" / "queue.db")
    expected = queueview.listing(queue, queueview.Selection())
    assert [one["id"] for one in expected] == ["A", "B"]
    assert queuelook.listing(path) == json.loads(json.dumps(expected))


def test_what_is_no_queue_is_said_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no database at all, but long enough to be looked at as one" * 40)
    with pytest.raises(sqlite3.Error):
        queuelook.listing(str(tmp_path / "x"))
    with pytest.raises(sqlite3.Error):
        queuelook.listing(str(tmp_path / "not there"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x"]


def test_it_loads_little() -> None:
    code = "import sys, bridge.store.queuelook; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "asyncio", "dataclasses"} & set(told)
