"""The SQLite file of an account: locks, loss, damage."""
import os
import threading

import pytest

from bridge.model.errors import StoreError
from bridge.store import failpoints
from bridge.store.index import Index


@pytest.fixture
def index(tmp_path):
    one = Index(tmp_path)
    yield one
    one.close()


def bump(index: Index) -> None:
    with index.write() as db:
        db.execute("UPDATE meta SET value=value+1 WHERE key='content'")


def value(index: Index) -> int:
    with index.read() as db:
        return db.execute("SELECT value FROM meta WHERE key='content'").fetchone()[0]


def test_pragmas_of_every_connection(index):
    """sec-Q07: WAL, no automatic checkpoint, no mmap, readers can't write."""
    bump(index)
    with index.read() as reader, index.write() as writer:
        for db in (reader, writer):
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
            assert db.execute("PRAGMA mmap_size").fetchone() in ((0,), None)
        assert reader.execute("PRAGMA query_only").fetchone() == (1,)


def test_two_writers_take_turns(tmp_path):
    """sec-Q07: also between processes, by the flock."""
    indexes = [Index(tmp_path) for _ in range(3)]
    def work(index):
        for _ in range(50):
            bump(index)
    threads = [threading.Thread(target=work, args=(index,)) for index in indexes for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(indexes[0]) == 300
    for index in indexes:
        index.close()


def test_a_failed_transaction_leaves_nothing(index):
    bump(index)
    with pytest.raises(ZeroDivisionError), index.write() as db:     # noqa: PT012
        db.execute("UPDATE meta SET value=77")
        raise ZeroDivisionError
    assert value(index) == 1
    failpoints.arm("index.commit=EIO@1")
    try:
        with pytest.raises(StoreError):
            bump(index)
    finally:
        failpoints.arm("")
    assert value(index) == 1


def test_the_file_may_go_at_any_time(index, tmp_path):
    bump(index)
    generation = index.generation
    (tmp_path / "estafeta.index").unlink()      # its -wal stays behind: SQLite would play it into a new file
    assert value(index) == 0
    assert index.generation == generation + 1
    bump(index)
    assert value(index) == 1


def test_a_damaged_file_is_moved_aside(index, tmp_path):
    """sec-Q05"""
    for _ in range(5):
        bump(index)
    index.close()
    path = tmp_path / "estafeta.index"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with pytest.raises(StoreError):
        value(index)
    assert value(index) == 0
    assert list(tmp_path.glob("estafeta.index.corrupt-*"))
    index.close()
    path.write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    assert value(index) == 0


def test_checkpoint_empties_the_wal(index, tmp_path):
    """sec-Q08"""
    bump(index)
    assert (tmp_path / "estafeta.index-wal").stat().st_size
    index.checkpoint()
    assert (tmp_path / "estafeta.index-wal").stat().st_size == 0
    assert value(index) == 1
