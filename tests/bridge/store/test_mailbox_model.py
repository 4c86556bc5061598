"""A mailbox against a naive model, while another program works in the same Maildir; crashes; two processes."""
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.config.store import Store
from bridge.model.errors import StoreError
from bridge.store import failpoints
from bridge.store.mail import EVERYTHING, Column, MailError
from bridge.store.mailbox import AccountStore, Mailstore


@dataclass(frozen=True)
class Person:
    maildir: Path
    address: str = "ana@example.org"


def opened(path: Path) -> AccountStore:
    return Mailstore(Store(), background=False).open(Person(path))


def content(number: int) -> bytes:
    return b"Subject: number %d\n\n%d\n" % (number, number)


def append(box: AccountStore, number: int, folder: str = "INBOX") -> int:
    draft = box.draft()
    draft.write(content(number).replace(b"\n", b"\r\n"))
    return box.append(folder, [(draft, (), None)]).target[0]


class World:
    """The mailbox, what must be in it, and what every UID ever was."""

    def __init__(self, path: Path) -> None:
        self.path = path / "Maildir"
        self.box = opened(self.path)
        self.number = 0
        self.there: dict[str, dict[int, set[str]]] = {"INBOX": {}, "F": {}}     # folder -> number -> flags
        self.ever: dict[tuple[int, int], int] = {}                               # (uidvalidity, uid) -> number
        self.next: dict[int, int] = {}
        self.box.create("F")

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def directory(self, folder: str) -> Path:
        return self.path if folder == "INBOX" else self.path / ".F"

    def uids(self, folder: str) -> dict[int, int]:
        """number -> UID as the mailbox says, checking what was said before."""
        view = self.box.select(folder)
        found = {}
        for chunk in self.box.bodies(view.folder, EVERYTHING):
            for uid, whole in chunk:
                assert isinstance(whole, bytes)
                number = int(whole.rpartition(b"\r\n\r\n")[2])
                assert number not in found
                found[number] = uid
                key = view.folder.uidvalidity, uid
                assert self.ever.setdefault(key, number) == number, "a UID means another message now (P17)"
        assert view.uidnext >= self.next.get(view.folder.uidvalidity, 1)
        self.next[view.folder.uidvalidity] = view.uidnext
        assert sorted(found.values()) == list(view.uids)
        return found

    def check(self) -> None:
        for folder, expected in self.there.items():
            found = self.uids(folder)
            assert found.keys() == expected.keys()
            view = self.box.select(folder)
            flags = {row[0]: self.box.flag_text(view.folder, row[1])
                     for chunk in self.box.fetch(view.folder, EVERYTHING, (Column.FLAGS,)) for row in chunk}
            for number, uid in found.items():
                names = set(flags[uid].strip(b"()").decode().split())
                assert names == expected[number], (number, uid)

    def file_of(self, folder: str, number: int) -> Path | None:
        for sub in ("new", "cur"):
            for file in (self.directory(folder) / sub).iterdir():
                if file.read_bytes() == content(number):
                    return file
        return None

    # what we do

    def append(self, folder, pick):
        number = self.next_number()
        append(self.box, number, folder)
        self.there[folder][number] = set()

    def flag(self, folder, pick):
        known = self.uids(folder)
        number = pick(known)
        if number:
            handle = self.box.folder(folder)
            name = random.choice(["\\Seen", "\\Flagged", "$Eins", "$Zwei"])
            mode = random.choice("+-")
            self.box.store_flags(handle, ((known[number], known[number]),), mode, [name])
            (self.there[folder][number].add if mode == "+" else self.there[folder][number].discard)(name)

    def expunge(self, folder, pick):
        known = self.uids(folder)
        number = pick(known)
        if number:
            self.box.expunge(self.box.folder(folder), ((known[number], known[number]),), marked=False)
            del self.there[folder][number]

    def move(self, folder, pick):
        known = self.uids(folder)
        number = pick(known)
        if number:
            other = "F" if folder == "INBOX" else "INBOX"
            self.box.move(self.box.folder(folder), ((known[number], known[number]),), other)
            self.there[other][number] = self.there[folder].pop(number)

    def tidy(self, folder, pick):
        self.box.tidy(folder)

    def forget(self, folder, pick):
        """The index goes; flags are in the names after tidy."""
        for name in self.there:
            self.box.tidy(name)
        self.box.close()
        for file in self.path.glob("estafeta.index*"):
            file.unlink()

    def reopen(self, folder, pick):
        self.box.close()
        self.box = opened(self.path)

    # what another program does

    def deliver(self, folder, pick):
        number = self.next_number()
        temporary = self.directory(folder) / "tmp" / f"x{number}"
        temporary.write_bytes(content(number))
        os.rename(temporary, self.directory(folder) / "new" / f"{1_700_000_000 + number}.x{number}.host")
        self.there[folder][number] = set()

    def their_flag(self, folder, pick):
        number = pick(self.there[folder])
        file = number and self.file_of(folder, number)
        if file:
            stem, _, letters = file.name.partition(":2,")
            if "T" not in letters:
                os.rename(file, self.directory(folder) / "cur" / f"{stem}:2,{''.join(sorted(letters + 'T'))}")
                self.there[folder][number].add("\\Deleted")

    def their_removal(self, folder, pick):
        number = pick(self.there[folder])
        file = number and self.file_of(folder, number)
        if file:
            file.unlink()
            del self.there[folder][number]


DEEDS = ["append", "append", "flag", "flag", "expunge", "move", "tidy", "forget", "reopen", "deliver", "deliver",
         "their_flag", "their_removal"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.booleans(), st.integers(0, 99)), min_size=5, max_size=30))
def test_model(tmp_path_factory, deeds):
    """P17, P18, D-11: nothing lost, nothing back from the dead, UIDs for ever."""
    path = tmp_path_factory.mktemp("world")
    world = World(path)
    try:
        for deed, other, at in deeds:
            def pick(numbers, at=at):
                return sorted(numbers)[at % len(numbers)] if numbers else 0
            getattr(world, deed)("F" if other else "INBOX", pick)
            world.check()
    finally:
        world.box.close()
        shutil.rmtree(path, ignore_errors=True)


# ---- two processes

def _writer(path: str, start: int, count: int) -> None:
    box = opened(Path(path))
    for number in range(start, start + count):
        append(box, number)
        view = box.select("INBOX")
        box.store_flags(view.folder, EVERYTHING, "+", [f"$by{start}"])
        if number % 7 == 0:
            uid = view.uids[0] if start == 1000 else view.uids[-1]      # never the same one as the other process
            box.expunge(view.folder, ((uid, uid),), marked=False)
        if number % 5 == 0:
            box.tidy("INBOX")
    box.close()
    os._exit(0)


def test_two_processes_write_the_same_mailbox(tmp_path):
    """I34: each sees the other, UIDs ascend and are never given twice."""
    path = tmp_path / "Maildir"
    box = opened(path)
    view = box.select("INBOX")
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_writer, args=(str(path), start, 21)) for start in (1000, 2000)]
    for worker in workers:
        worker.start()
    seen: dict[int, int] = {}
    modseq, uidnext = view.highestmodseq, view.uidnext
    while any(worker.is_alive() for worker in workers):
        box.refresh(view.folder)
        news = box.changes(view.folder, modseq, uidnext)
        if news is None:
            time.sleep(0.002)
            continue
        assert all(uid >= uidnext for uid in news.appended)
        modseq, uidnext = news.highestmodseq, news.uidnext
        for chunk in box.bodies(view.folder, EVERYTHING):
            for uid, whole in chunk:
                number = int(bytes(whole).rpartition(b"\r\n\r\n")[2])
                assert seen.setdefault(uid, number) == number
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert box.status("INBOX").messages == 42 - 6
    box.close()


# ---- crashes

def _work(path: Path, number: int, say) -> None:
    """Everything that writes, for ever."""
    box = opened(path)
    while True:
        number += 1
        uid = append(box, number)
        say("append", uid, number)
        view = box.select("INBOX")
        box.store_flags(view.folder, ((uid, uid),), "+", ["\\Seen"])
        if number % 3 == 0:
            say("copy", box.copy(view.folder, ((uid, uid),), "F").target[0], number)
        if number % 4 == 0:
            gone = view.uids[0]
            box.expunge(view.folder, ((gone, gone),), marked=False)
            say("expunge", gone, 0)
        if number % 5 == 0 and len(view.uids) > 3:
            moved = box.move(view.folder, ((view.uids[1], view.uids[1]),), "F")
            say("move", view.uids[1], moved.target[0])
        if number % 6 == 0:
            box.tidy("INBOX")
            box.tidy("F")
            box.create(f"G{number}")


def _child(path: Path, start: int, plan: str = "") -> tuple[list[list[str]], int]:
    """Run the worker until it dies, by its failpoint or killed after a moment; what it said, how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            failpoints.arm(plan)
            _work(path, start, lambda *words: os.write(writing, (" ".join(map(str, words)) + "\n").encode()))
        finally:
            os._exit(1)
    os.close(writing)
    if not plan:
        time.sleep(random.uniform(0.02, 0.25))
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as source:
        said = [line.split() for line in source.read().splitlines()]
    return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _verify(path: Path, ledger: dict[tuple[int, int], str], said: list[list[str]]) -> None:
    """No UID ever changes its content, what was promised is there, what was expunged is not."""
    box = opened(path)
    views = {name: box.select(name) for name in ("INBOX", "F")}
    found: dict[str, dict[int, int]] = {}
    for name, view in views.items():
        found[name] = {}
        for chunk in box.bodies(view.folder, EVERYTHING):
            for uid, whole in chunk:
                mark = hashlib.sha256(bytes(whole)).hexdigest()
                assert ledger.setdefault((view.folder.uidvalidity, uid), mark) == mark
                found[name][uid] = int(bytes(whole).rpartition(b"\r\n\r\n")[2])
    everywhere = set(found["INBOX"].values()) | set(found["F"].values())
    expunged = {int(uid) for deed, uid, _ in said if deed == "expunge"}
    moved = {int(uid) for deed, uid, _ in said if deed == "move"}
    missing = [uid for deed, uid, number in said if deed == "append" and int(uid) not in expunged | moved
               and found["INBOX"].get(int(uid)) != int(number) and int(number) not in everywhere]
    assert len(missing) <= 1, "an appended message is lost; one may be: its expunge was under way"
    for deed, uid, number in said:
        if deed == "copy":
            assert int(number) in found["F"].values()
        if deed == "move":
            assert int(number) in found["F"]
            assert int(uid) not in found["INBOX"]
    assert not expunged & found["INBOX"].keys(), "expunged mail came back (P19)"
    box.close()


def test_killed_at_any_moment(tmp_path):
    """P17, P19 in small: kill -9 again and again; a ledger of (UIDVALIDITY, UID) is kept for ever."""
    path = tmp_path / "Maildir"
    box = opened(path)
    box.create("F")
    box.close()
    ledger: dict[tuple[int, int], str] = {}
    for round_ in range(6):
        said, _ = _child(path, round_ * 1000)
        _verify(path, ledger, said)


OURS = ("index", "append", "copy", "move", "expunge", "uidlist", "flags", "reconcile")
POINTS = [name for name in failpoints.registered() if name.partition(".")[0] in OURS]


@pytest.mark.parametrize("name", [point for point in POINTS if point not in (
    "index.open", "flags.show", "reconcile.keywords", "reconcile.move", "append.write")])
def test_killed_at_each_failpoint(tmp_path, name):
    """P17, P19: before or after each write."""
    path = tmp_path / "Maildir"
    box = opened(path)
    box.create("F")
    box.close()
    ledger: dict[tuple[int, int], str] = {}
    for side in ("", "+"):
        plan = f"{name}{side}=kill@2"
        said, status = _child(path, 1000 if side else 0, plan)
        assert status == -signal.SIGKILL
        _verify(path, ledger, said)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_errors_at_each_failpoint_are_temporary_and_change_nothing(tmp_path, error):
    """P12: each place fails once; the mailbox is as before or as after, and works on."""
    box = opened(tmp_path / "Maildir")
    box.create("F")
    for number in range(8):
        append(box, number)
    view = box.select("INBOX")
    for name in failpoints.registered():
        if name.partition(".")[0] not in OURS:
            continue
        before = box.status("INBOX").messages, box.status("F").messages
        failpoints.arm(f"{name}={error}@1")
        try:
            for deed in (
                lambda: append(box, 99, "F"), lambda: box.copy(view.folder, EVERYTHING, "F"),
                lambda: box.store_flags(view.folder, EVERYTHING, "+", ["\\Seen", "$New"]), lambda: box.tidy("INBOX"),
            ):
                try:
                    deed()
                except (StoreError, MailError):
                    assert box.status("INBOX").messages == before[0]
        finally:
            failpoints.arm("")
        assert len({uid for chunk in box.bodies(view.folder, EVERYTHING) for uid, _ in chunk}) == 8
        assert box.status("F").messages >= before[1]
        box.store_flags(view.folder, EVERYTHING, "-", ["\\Seen"])
        other = box.folder("F")
        box.expunge(other, marked=False)
        box.tidy("F")
        box.tidy("INBOX")
        assert box.status("F").messages == 0
    box.close()
