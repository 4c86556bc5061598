"""How queue rows are shown, and a look at a queue.db that nobody serves: the listing of `mailq` without a mover.

Promises: `listing` gives what `bridge.store.queueview.listing` gives for every message, from one snapshot, and changes
nothing; it needs no SQLAlchemy, so that a command that cron calls is not slower than the disk.
Fails by: sqlite3.Error for a file that is no queue of ours; StoreError is left to those who serve it.
"""

import sqlite3
from contextlib import closing
from typing import Any, NamedTuple

OPEN, DONE, QUARANTINED, MISSING, DELETED = 0, 1, 2, 3, 4     # message.state
PENDING, LEASED, HELD, FAILED = 0, 1, 2, 3                    # recipient.state
WORDS = {PENDING: "waiting", LEASED: "active", HELD: "held", FAILED: "failed"}
MOST = 10_000           # messages of one listing
BUSY_SECONDS = 5.0

_MESSAGES = "SELECT id, sender, size, received_at, door, priority FROM message WHERE state = 0 ORDER BY id LIMIT ?"
_RECIPIENTS = (
    "SELECT message, address, original, kind, nexthop, state, attempts, next_try, code, enhanced, reply, place "
    "FROM recipient WHERE message IN (SELECT id FROM message WHERE state = 0 ORDER BY id LIMIT ?) ORDER BY id"
)


class _Message(NamedTuple):
    id: str
    sender: str
    size: int
    received_at: float
    door: str
    priority: int


class _Recipient(NamedTuple):
    message: str
    address: str
    original: str
    kind: str
    nexthop: str
    state: int
    attempts: int
    next_try: float
    code: int
    enhanced: str
    reply: str
    place: str


def listing(path: str) -> list[dict[str, Any]]:
    """Messages that are still in the queue, oldest first, each with the recipients it still has."""
    where = f"file:{_quoted(path)}?mode=rw"
    with closing(sqlite3.connect(where, BUSY_SECONDS, uri=True, isolation_level=None)) as rows:
        for pragma in ("query_only=ON", "wal_autocheckpoint=0", "mmap_size=0", "trusted_schema=OFF"):
            rows.execute(f"PRAGMA {pragma}")
        rows.execute("BEGIN")
        found = {one.id: shown_message(one) for one in map(_Message._make, rows.execute(_MESSAGES, (MOST,)))}
        for one in map(_Recipient._make, rows.execute(_RECIPIENTS, (MOST,))):
            found[one.message]["recipients"].append(shown_recipient(one))
        rows.execute("ROLLBACK")
    return list(found.values())


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def shown_message(row: Any) -> dict[str, Any]:
    """A message row as the listing shows it."""
    return {
        "id": row.id,
        "sender": row.sender,
        "size": row.size,
        "received_at": row.received_at,
        "door": row.door,
        "bulk": bool(row.priority),
        "recipients": [],
    }


def shown_recipient(row: Any) -> dict[str, Any]:
    """A recipient row as the listing shows it."""
    return {
        "address": row.address,
        "original": row.original,
        "kind": row.kind or "unrouted",
        "nexthop": row.nexthop,
        "state": WORDS[row.state],
        "attempts": row.attempts,
        "next_try": row.next_try,
        "reply": " ".join(filter(None, (str(row.code) if row.code else "", row.enhanced, row.reply))),
        "where": row.place,
    }
