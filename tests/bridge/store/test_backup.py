"""P31, sec-X12: a backup under load has every accepted message, says when it is damaged, and can be put back."""
import os
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from bridge.config.store import Store
from bridge.model.account import Account
from bridge.model.errors import DiskFull, StoreError
from bridge.store import backup, failpoints
from bridge.store.backup import BackupError, Source
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.mailbox import Mailstore
from bridge.store.notify import Hints

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
    mail, archives = data / "mail", data / "archives"
    return backup.sources(data, spool=data / "spool", databases=data / "db", mail=mail, archives=archives)


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
    assert report.sources[:4] == ["spool", "db", "archives", "mail"]
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
    places = backup.places(
        target, there, spool=there / "queue", databases=there / "db", mail=there / "mail", archives=there / "archives"
    )
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


def test_what_mail_leaves_is_copied_before_what_it_goes_to(data, tmp_path):
    """P31, P36: or a message that moves meanwhile is in neither copy."""
    for name in ("db/queue.db", "db/mail.db", "db/archive.db", "archives/incoming/students/1", "archives/public/mbox"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("x")
    (data / "mail/example.org/x/Maildir/estafeta.index").write_bytes(b"")
    backup.backup(parts_of(data), tmp_path / "backup", "1.0")
    order = [name for _, name in backup._listed(tmp_path / "backup")]
    assert len(order) == len(set(order))
    for first, second in (
        ("spool/q/1f/MSG1", "db/queue.db"), ("db/queue.db", "db/mail.db"), ("db/queue.db", "db/core.db"),
        ("db/queue.db", "archives/incoming/students/1"), ("archives/incoming/students/1", "db/archive.db"),
        ("db/archive.db", "archives/public/mbox"), ("db/queue.db", "mail/example.org/run/Maildir/new/2.b"),
        ("mail/example.org/x/Maildir/cur/7.lock", "mail/example.org/x/Maildir/estafeta.index"),
    ):
        assert order.index(first) < order.index(second), (first, second)


def test_a_file_that_grows_meanwhile_is_copied_whole(tmp_path, monkeypatch):
    """P31: an mbox is never copied up to the middle of a message that was just being written."""
    source, turns, real = tmp_path / "mbox", 0, os.pread
    source.write_bytes(b"From a\n\none\n\n")

    def growing(descriptor, size, at):
        nonlocal turns
        data = real(descriptor, size, at)
        turns += 1
        if not at and turns < 5:
            with source.open("ab") as out:
                out.write(b"From b\n\ntwo")
            os.utime(source, ns=(turns, turns))
            with source.open("ab") as out:
                out.write(b"\n\n")
        return data

    monkeypatch.setattr(os, "pread", growing)
    digest, size = backup._copy_file(source, tmp_path / "copy")
    monkeypatch.undo()
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (digest, size) == (backup._digest(source), source.stat().st_size)


def test_a_restored_mailbox_gives_out_new_uids(tmp_path):
    """P17: what a client saw after the backup must not come to mean something else."""
    mail = tmp_path / "mail/Maildir"
    store = Mailstore(Store(), hints=Hints())
    account = Account(1, "juan@example.org", "juan@example.org", mail.parent, mail)
    box = store.open(account)
    put(box, b"one")
    before = box.select("INBOX")
    backup.backup([Source("mail", tmp_path / "mail")], tmp_path / "backup", "1.0")
    put(box, b"two")
    put(box, b"three")
    after = box.select("INBOX")
    store.close()
    shutil.rmtree(tmp_path / "mail")
    backup.restore(tmp_path / "backup", [Source("mail", tmp_path / "mail")])
    store = Mailstore(Store(), hints=Hints())
    box = store.open(account)
    restored = box.select("INBOX")
    assert list(restored.uids) == list(before.uids) == [1]
    assert restored.folder.uidvalidity == after.folder.uidvalidity
    assert restored.uidnext >= after.uidnext + backup.JUMP - 2
    assert restored.highestmodseq > after.highestmodseq
    folder = box.folder("INBOX")
    changes = box.changes(folder, after.highestmodseq, after.uidnext)
    assert changes is None or [uid for uid, _, _ in changes.flags] == [1]
    put(box, b"other")
    assert list(box.select("INBOX").uids) == [1, restored.uidnext]
    store.close()


def put(box, text):
    draft = box.draft()
    draft.write(b"Subject: " + text + b"\r\n\r\n")
    draft.end()
    box.append("INBOX", [(draft, (), None)])


def test_a_folder_without_mail_is_there_again(tmp_path):
    """P31: a backup has files only, but an empty folder is a folder."""
    mail = tmp_path / "mail/Maildir"
    account = Account(1, "juan@example.org", "juan@example.org", mail.parent, mail)
    store = Mailstore(Store(), hints=Hints())
    box = store.open(account)
    put(box, b"one")
    box.create("Vacía")
    box.create("Trabajo/2026")
    before = [one.name for one in box.folders()]
    store.close()
    backup.backup([Source("mail", tmp_path / "mail")], tmp_path / "backup", "1.0")
    shutil.rmtree(tmp_path / "mail")
    backup.restore(tmp_path / "backup", [Source("mail", tmp_path / "mail")])
    store = Mailstore(Store(), hints=Hints())
    box = store.open(account)
    assert [one.name for one in box.folders()] == before
    assert list(box.select("Vacía").uids) == []
    store.close()
