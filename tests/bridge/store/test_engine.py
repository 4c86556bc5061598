"""D-3, 0.16, 0.17, sec-Q05 to sec-Q08, sec-Q18: the engine on SQLite and, where given, PostgreSQL."""
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa

from bridge.model.errors import DiskFull, StoreError
from bridge.store import failpoints, groupcommit
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.flock import FileLock

POINT = Failpoint("testengine.commit", "the engine's tests")
META = sa.MetaData()
ITEM = sa.Table(
    "testengine_item",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "postgresql":
        url = os.environ.get("ESTAFETA_TEST_POSTGRESQL", "")
        if not url:
            pytest.skip("needs a PostgreSQL server: set ESTAFETA_TEST_POSTGRESQL to its URL (CI does)")
        made = Database(url, point=POINT)
    else:
        made = Database(f"sqlite:///{tmp_path}/db/t.db", point=POINT, lock=tmp_path / "t.lock")
        (tmp_path / "db").mkdir()
    made.write_now(META.drop_all)
    made.write_now(META.create_all)
    yield made
    if not made.sqlite:
        made.write_now(META.drop_all)
    made.close()


@pytest.fixture
def lite(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/t.db", point=POINT, lock=tmp_path / "t.lock")
    made.write_now(META.create_all)
    yield made
    made.close()


def add(name):
    return lambda connection: len(connection.execute(ITEM.insert(), {"name": name}).inserted_primary_key)


@contextmanager
def held(database):
    """Inside, the writer is busy with a unit of its own: what is written waits and becomes one group."""
    begun, gate = threading.Event(), threading.Event()
    future = database.write(lambda connection: (begun.set(), gate.wait(10))[1])
    assert begun.wait(10)
    yield
    gate.set()
    assert future.result()


def names(database):
    with database.read() as connection:
        return [row.name for row in connection.execute(sa.select(ITEM.c.name).order_by(ITEM.c.id))]


def test_write_then_read(database):
    assert database.write(add("a")).result() == 1
    assert names(database) == ["a"]


def test_a_unit_that_raises_fails_alone(database):
    """A group is one commit, but each unit has its own savepoint."""
    with held(database):
        futures = [database.write(add(name)) for name in ("a", "b", "a", "c")]
    assert [futures[i].result() for i in (0, 1, 3)] == [1, 1, 1]
    with pytest.raises(sa.exc.IntegrityError):
        futures[2].result()
    assert names(database) == ["a", "b", "c"]


def test_what_waits_goes_into_one_commit(lite):
    with held(lite):
        futures = [lite.write(add(f"n{n}")) for n in range(40)]
        before = lite.version()
    assert [future.result() for future in futures] == [1] * 40
    assert lite.version() - before <= 2     # the one that held, then the forty


def test_future_resolves_after_the_commit(database):
    done = []
    future = database.write(add("a"))
    future.add_done_callback(lambda f: done.append(f.exception()))
    future.result()
    other = Database(database.url, point=POINT)
    assert names(other) == ["a"]
    other.close()


def test_cancelled_before_its_turn_does_not_run(lite):
    with held(lite):
        future = lite.write(add("never"))
        assert future.cancel()
    lite.write_now(add("a"))
    assert names(lite) == ["a"]


@pytest.mark.parametrize(("plan", "error"), [("ENOSPC", DiskFull), ("EIO", StoreError)])
def test_commit_that_fails_stores_nothing_and_tells_each(lite, plan, error):
    """P12: DiskFull or StoreError, nothing half done, and the next write works."""
    with held(lite):
        failpoints.arm(f"testengine.commit={plan}@2")
        futures = [lite.write(add(name)) for name in "ab"]
    for future in futures:
        with pytest.raises(error):
            future.result()
    assert futures[0].exception() is not futures[1].exception()
    lite.write_now(add("c"))
    assert names(lite) == ["c"]


def test_really_full(lite):
    """SQLITE_FULL, which makes SQLite roll the whole transaction back by itself."""

    def fill(connection):
        connection.exec_driver_sql("PRAGMA max_page_count=8")
        for i in range(1000):
            connection.execute(ITEM.insert(), {"name": f"{i:0>2000}"})

    with pytest.raises(DiskFull):
        lite.write_now(fill)
    assert names(lite) == []


def test_locked_by_another_program_is_temporary(lite, monkeypatch):
    """sec-Q08: somebody holds a write transaction without our flock."""
    monkeypatch.setattr("bridge.store.sqlite.BUSY_SECONDS", 0.1)
    impatient = Database(lite.url, point=POINT)
    other = sqlite3.connect(lite.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError):
        impatient.write_now(add("a"))
    other.execute("ROLLBACK")
    other.close()
    impatient.write_now(add("b"))
    impatient.close()
    assert names(lite) == ["b"]


def test_wrong_sql_is_not_called_trouble_of_the_disk(database):
    with pytest.raises(sa.exc.DBAPIError):
        database.write_now(lambda connection: connection.exec_driver_sql("SELECT * FORM nowhere"))
    with pytest.raises(sa.exc.DBAPIError), database.read() as connection:
        connection.exec_driver_sql("SELECT * FORM nowhere")
    database.write_now(add("a"))
    assert names(database) == ["a"]


def test_a_file_without_our_tables_is_a_store_error(lite):
    """sec-Q05: somebody has put another file in the place of this one; found by deleting queue.db under load."""
    with pytest.raises(StoreError, match="no such table"), lite.read() as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")


def test_corrupt_file_is_a_store_error(tmp_path):
    """sec-Q05"""
    (tmp_path / "bad.db").write_bytes(b"not a database" * 1000)
    bad = Database(f"sqlite:///{tmp_path}/bad.db", point=POINT)
    with pytest.raises(StoreError), bad.read() as connection:
        connection.exec_driver_sql("SELECT 1 FROM sqlite_master")
    with pytest.raises(StoreError):
        bad.write_now(add("a"))
    bad.close()


def test_check_finds_a_broken_page(lite):
    """sec-Q05"""
    assert lite.check() == []
    lite.write_now(lambda c: [add(f"{i:0>100}")(c) for i in range(500)])
    lite.close()
    with open(lite.path, "r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096))
    again = Database(lite.url, point=POINT)
    try:
        assert again.check()
    except StoreError:
        pass        # so broken that it can't even be looked through: said as well
    again.close()


def test_pragmas_on_every_connection(lite):
    """sec-Q07: rules that keep clear of the WAL-reset race."""
    wanted = {"foreign_keys": 1, "wal_autocheckpoint": 0, "mmap_size": 0, "journal_mode": "wal", "busy_timeout": 5000}

    def ask(connection):
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in [*wanted, "synchronous"]}

    assert lite.write_now(ask) == wanted | {"synchronous": 2}
    with lite.read() as connection:
        found = ask(connection)
        del found["synchronous"]
        assert found == wanted
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1


def test_readers_cannot_write(database):
    with pytest.raises((StoreError, sa.exc.DBAPIError)), database.read() as connection:
        connection.execute(ITEM.insert(), {"name": "x"})
    assert names(database) == []


def test_read_is_one_snapshot(database):
    database.write_now(add("a"))
    count = sa.select(sa.func.count()).select_from(ITEM)
    with database.read() as connection:
        assert connection.execute(count).scalar() == 1
        database.write_now(add("b"))
        assert connection.execute(count).scalar() == 1
        with database.read() as inner:
            assert inner.execute(count).scalar() == 2
    assert len(names(database)) == 2


def test_readers_in_many_threads(lite):
    lite.write_now(lambda c: [add(f"n{i}")(c) for i in range(50)])
    wrong = []

    def work():
        for _ in range(50):
            if len(names(lite)) < 50:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for i in range(20):
        lite.write_now(add(f"more{i}"))
    for thread in threads:
        thread.join()
    assert not wrong


def test_version_changes_with_each_commit(lite):
    first = lite.version()
    assert lite.version() == first
    lite.write_now(add("a"))
    second = lite.version()
    assert second != first
    other = Database(lite.url, point=POINT)
    other.write_now(add("b"))
    assert lite.version() != second
    other.close()


def test_nothing_is_open_before_first_use(tmp_path):
    """sec-Q18"""
    before = set(os.listdir("/proc/self/fd"))
    made = Database(f"sqlite:///{tmp_path}/t.db", point=POINT, lock=tmp_path / "t.lock")
    assert set(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == []
    made.close()


def test_forked_child_starts_anew(lite):
    """sec-Q18: parent and child both write after a fork; neither uses the other's connection."""
    lite.write_now(add("before"))
    names(lite)
    child = os.fork()
    if child == 0:
        try:
            lite.write_now(add("child"))
            os._exit(0 if "child" in names(lite) else 1)
        except BaseException:
            os._exit(2)
    lite.write_now(add("parent"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(names(lite)) == ["before", "child", "parent"]
    assert lite.check() == []


def test_new_files_are_ours_alone(lite):
    for path in lite.path.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_wal_is_folded_in_when_idle_and_at_close(tmp_path, monkeypatch):
    monkeypatch.setattr(groupcommit, "CHECKPOINT_IDLE", 0.05)
    made = Database(f"sqlite:///{tmp_path}/t.db", point=POINT, lock=tmp_path / "t.lock")
    made.write_now(META.create_all)
    made.write_now(add("a"))
    end = time.monotonic() + 10
    while made.wal_size() and time.monotonic() < end:
        time.sleep(0.01)
    assert made.wal_size() == 0
    made.write_now(add("b"))
    made.close()
    assert not (tmp_path / "t.db-wal").exists()
    with pytest.raises(StoreError):
        made.write(add("c"))


def test_wal_stays_bounded_under_load(tmp_path, monkeypatch):
    """sec-Q08: the writer checkpoints between its commits."""
    monkeypatch.setattr("bridge.store.sqlite.COMMITS", 20)
    made = Database(f"sqlite:///{tmp_path}/t.db", point=POINT, synchronous="OFF")
    made.write_now(META.create_all)
    for i in range(400):
        made.write_now(add(f"{i:0>500}"))
    assert made.wal_size() < 3 << 20
    made.close()


def test_thread_ends_when_idle_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(groupcommit, "CHECKPOINT_IDLE", 0.01)
    monkeypatch.setattr(groupcommit, "THREAD_IDLE", 0.01)
    made = Database(f"sqlite:///{tmp_path}/t.db", point=Failpoint("testengine.idle", "a thread that ends"))
    made.write_now(META.create_all)
    for i in range(5):
        made.write_now(add(str(i)))
        end = time.monotonic() + 10
        while any(t.name == "writer testengine.idle" for t in threading.enumerate()) and time.monotonic() < end:
            time.sleep(0.005)
    assert len(names(made)) == 5
    made.close()


def test_write_now_inside_a_unit_is_refused(lite):
    with pytest.raises(RuntimeError):
        lite.write_now(lambda connection: lite.write_now(add("a")))


def test_copy_is_whole_and_does_not_replace(lite, tmp_path):
    lite.write_now(add("a"))
    lite.copy_to(tmp_path / "copies" / "c.db")
    with closing(sqlite3.connect(tmp_path / "copies" / "c.db")) as copy:
        assert copy.execute("SELECT name FROM testengine_item").fetchall() == [("a",)]
    assert (tmp_path / "copies" / "c.db").stat().st_mode & 0o077 == 0
    with pytest.raises(StoreError) as caught:
        lite.copy_to(tmp_path / "copies" / "c.db")
    assert os.strerror(errno.EEXIST) in str(caught.value)


WRITER = """
import sys
import sqlalchemy as sa
from pathlib import Path
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
path, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
database = Database(f"sqlite:///{path}", point=Failpoint("loop.commit", "test"), lock=path.with_suffix(".lock"))
step = sa.text("INSERT INTO testengine_item (name) VALUES (:name)")
for n in range(count):
    name = f"{who}-{n}"
    database.write_now(lambda connection: connection.execute(step, {"name": name}))
    print(name, flush=True)
database.close()
"""


def test_two_processes_write_under_the_flock(lite):
    """Both get on, nothing is lost, the file is sound."""
    run = [sys.executable, "-c", WRITER, str(lite.path)]
    both = [subprocess.Popen([*run, who, "60"], stdout=subprocess.DEVNULL) for who in "ab"]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sorted(names(lite)) == sorted(f"{who}-{n}" for who in "ab" for n in range(60))
    assert lite.check() == []


def test_killed_writers_lose_nothing_that_was_said(lite):
    """P01 for rows: SIGKILL at any moment; each line that came out is stored, and the file is sound."""
    said = []
    for turn in range(5):
        command = [sys.executable, "-c", WRITER, str(lite.path), f"t{turn}", "100000"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        said += [process.stdout.readline().decode().strip() for _ in range(20 + 7 * turn)]
        process.send_signal(signal.SIGKILL)
        said += [line for line in process.stdout.read().decode().split("\n")[:-1] if line]
        process.stdout.close()
        process.wait(10)
        assert set(said) <= set(names(lite))
        assert lite.check() == []
    lite.write_now(add("free"))     # the flock died with its holder


def test_flock_patience(tmp_path):
    with FileLock(tmp_path / "l"), pytest.raises(StoreError):
        FileLock(tmp_path / "l", patience=0.05).acquire()
    with FileLock(tmp_path / "l", patience=0.05):
        pass


def test_future_type(lite):
    assert isinstance(lite.write(add("a")), Future)
