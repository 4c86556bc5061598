"""P31, sec-X12: a backup under load has every accepted message, says when it is damaged, and can be put back."""
import os
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from bridge.model.errors import DiskFull, StoreError
from bridge.store import backup, failpoints
from bridge.store.backup import BackupError, Source
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint

POINT = Failpoint("testbackup.commit", "tests of backups")


@pytest.fixture
def data(tmp_path):
    """A small installation, with names that a careless copy would leave out or break at."""
    root = tmp_path / "data"
    for name, content in {
        "instance.json": "{}", "lock": "1", "run/hint.sock": "", "spool/GENERATION": "7", "spool/q/1f/MSG1": "one\n",
        "spool/tmp/half": "half", "db/copies/core-v1.db": "old", "db/core.lock": "",
        "mail/example.org/run/Maildir/cur/1.a:2,S": "seen", "mail/example.org/run/Maildir/new/2.b": "new",
        "mail/example.org/run/Maildir/tmp/3.c": "half", "mail/example.org/copies/Maildir/cur/4.d,S=4:2,": "four",
        "mail/example.org/copies/Maildir/.tmp/cur/5.e\nf\\g": "five", "mail/example.org/x/Maildir/cur/6\udcff": "six",
        "mail/example.org/x/Maildir/cur/7.lock": "not a lock", "archives/public/students/2026-May.txt": "From x",
        "lists/held/1": "held",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "mail" / "link").symlink_to("/etc")
    with closing(sqlite3.connect(root / "db/core.db", isolation_level=None)) as core:
        core.execute("PRAGMA journal_mode=WAL")
        core.execute("CREATE TABLE t (x)")
        core.execute("INSERT INTO t VALUES (1)")
    (root / "mail/example.org/x/Maildir/estafeta.index").write_bytes(b"SQLite format 3\0 and damaged")
    return root


def parts_of(data):
    return backup.sources(data, spool=data / "spool", databases=data / "db", mail=data / "mail")


def tree(root):
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, found in os.walk(root) for name in found
    }


LEFT_OUT = {
    "lock", "run/hint.sock", "spool/tmp/half", "db/copies/core-v1.db", "db/core.lock", "db/core.db-wal",
    "db/core.db-shm",
    "mail/example.org/run/Maildir/tmp/3.c", "mail/example.org/x/Maildir/estafeta.index",
}


def test_everything_that_matters_is_copied(data, tmp_path):
    target = tmp_path / "backup"
    seen = []
    report = backup.backup(parts_of(data), target, "1.0", progress=lambda name, count, size: seen.append((name, count)))
    assert tree(target) - {"MANIFEST.json", "SHA256SUMS"} == tree(data) - LEFT_OUT
    assert report.files == len(seen) == len(tree(data) - LEFT_OUT)
    assert report.sources[:3] == ["spool", "db", "mail"]
    assert target.stat().st_mode & 0o077 == 0
    assert not [name for name in tree(target) if (target / name).stat().st_mode & 0o077]
    assert backup.verify(target) == []


def test_mail_that_is_read_meanwhile_is_copied_once(data, tmp_path):
    """P31: a reader moves it from new to cur, and it is not two messages after a restore."""
    maildir = data / "mail/example.org/run/Maildir"

    def read(name, count, size):
        if (tmp_path / "backup.part/mail/example.org/run/Maildir/new/2.b").exists() and (maildir / "new/2.b").exists():
            os.rename(maildir / "new/2.b", maildir / "cur/2.b:2,S")

    backup.backup(parts_of(data), tmp_path / "backup", "1.0", progress=read)
    assert (maildir / "cur/2.b:2,S").exists()
    assert [name for name in tree(tmp_path / "backup") if "/2.b" in name] == ["mail/example.org/run/Maildir/new/2.b"]


def test_sums_are_those_of_sha256sum(data, tmp_path):
    if not shutil.which("sha256sum"):
        pytest.skip("needs sha256sum (coreutils)")
    backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    command = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
    assert subprocess.run(command, cwd=tmp_path / "backup", timeout=30, check=False).returncode == 0


def test_put_back_elsewhere(data, tmp_path):
    target, there = tmp_path / "backup", tmp_path / "elsewhere"
    backup.backup(parts_of(data), target, "1.0")
    places = backup.places(target, there, spool=there / "queue", databases=there / "db", mail=there / "mail")
    assert backup.restore(target, places) == len(tree(data) - LEFT_OUT)
    assert (there / "queue/q/1f/MSG1").read_text() == "one\n"
    assert (there / "mail/example.org/run/Maildir/cur/1.a:2,S").read_text() == "seen"
    before = (data / "mail/example.org/run/Maildir/new/2.b").stat()
    assert (there / "mail/example.org/run/Maildir/new/2.b").stat().st_mtime_ns == before.st_mtime_ns
    with closing(sqlite3.connect(there / "db/core.db")) as core:
        assert core.execute("SELECT x FROM t").fetchall() == [(1,)]
    with pytest.raises(BackupError, match="not empty"):
        backup.restore(target, places)


def test_damage_is_found_and_never_put_back(data, tmp_path):
    target = tmp_path / "backup"
    backup.backup(parts_of(data), target, "1.0")
    (target / "spool/q/1f/MSG1").write_text("two\n")
    (target / "lists/held/1").unlink()
    problems = backup.verify(target)
    assert sorted(problem.partition(":")[0] for problem in problems) == ["lists/held/1", "spool/q/1f/MSG1"]
    with pytest.raises(BackupError, match="must not be used"):
        backup.restore(target, [Source(name, tmp_path / "new" / name) for name in ("spool", "db", "mail")])
    assert not (tmp_path / "new").exists()
    (target / "MANIFEST.json").unlink()
    assert "not a whole backup" in backup.verify(target)[0]


def test_unfinished_backup_has_no_name(data, tmp_path):
    failpoints.arm("backup.copy=ENOSPC@3")
    with pytest.raises(DiskFull):
        backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    failpoints.arm("")
    assert not (tmp_path / "backup").exists()
    with pytest.raises(BackupError, match="did not finish"):
        backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    shutil.rmtree(tmp_path / "backup.part")
    backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    with pytest.raises(BackupError, match="exists already"):
        backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    with pytest.raises(BackupError, match="lies inside"):
        backup.backup(parts_of(data), data / "mail" / "backup", "1.0")


def test_a_damaged_core_database_stops_the_backup(data, tmp_path):
    (data / "db/core.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(StoreError, match="unfinished"):
        backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    assert not (tmp_path / "backup").exists()


def test_nothing_that_was_accepted_is_missing_under_load(data, tmp_path):
    """P31: while messages go from the spool to folders, are read, moved and renamed, each that was there before the
    backup is in it."""
    spool, mail = data / "spool/q/20", data / "mail/example.org/run/Maildir"
    for folder in (spool, mail / ".Trash/cur", mail / ".Aaa/cur"):
        folder.mkdir(parents=True)
    for i in range(300):
        (spool / f"m{i}").write_text(f"{i}")
    core = Database(f"sqlite:///{data}/db/core.db", point=POINT)
    stop = threading.Event()

    def live():
        for i in range(300):
            if stop.is_set():
                return
            os.link(spool / f"m{i}", mail / f"new/m{i}")
            os.unlink(spool / f"m{i}")
            if i >= 10:
                os.rename(mail / f"new/m{i - 10}", mail / f"cur/m{i - 10}:2,")
            if i >= 20:
                os.rename(mail / f"cur/m{i - 20}:2,", mail / f"cur/m{i - 20}:2,S")
            if i >= 30:
                os.rename(mail / f"cur/m{i - 30}:2,S", mail / (".Trash" if i % 2 else ".Aaa") / f"cur/m{i - 30}:2,S")
            core.write(lambda connection: connection.exec_driver_sql("INSERT INTO t VALUES (2)").close())

    thread = threading.Thread(target=live)
    thread.start()
    backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    stop.set()
    thread.join()
    core.close()
    assert backup.verify(tmp_path / "backup") == []
    names = {os.path.basename(name).partition(":")[0] for name in tree(tmp_path / "backup")}
    assert {f"m{i}" for i in range(300)} <= names
