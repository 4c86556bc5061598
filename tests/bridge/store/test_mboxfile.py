"""Appending to an mbox: what is written, who waits for whom, and that nothing is left of what went wrong."""
import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull, StoreError
from bridge.store import failpoints
from bridge.store.copies import Copy
from bridge.store.mboxfile import Busy, Rules, Unsafe, append, quoted
from bridge.store.spool import Spool

TEXT = (
    b"Received: from a\r\nReturn-Path: <x@y>\r\nSubject: hi\r\n\r\n"
    b"From me\r\n>From you\r\n>>From us\r\n From\r\n.\r\n"
)
POINTS = sorted(name for name in failpoints.registered() if name.startswith("mbox."))
RULES = Rules(patience=0.3, owners=(os.geteuid(),))
NOW = 1700000000.0


@pytest.fixture
def spooled(tmp_path):
    return spooled_in(tmp_path, TEXT)


def spooled_in(tmp_path, text):
    spool = Spool(tmp_path / "spool", threads=1)
    one = "0000000000000000"
    envelope = Envelope(one, one, "ann@example.org", (Recipient("bob@example.org"),), Origin("smtp"), NOW)
    draft = spool.begin(envelope)
    draft.write(text)
    found = spool.commit(draft).result()
    spool.close()
    return found


@pytest.fixture
def box(tmp_path):
    folder = tmp_path / "mail"
    folder.mkdir()
    return folder / "box"


def copy(sender="ann@example.org"):
    return Copy(1, "", "bob@example.org", "robert@example.org", sender)


def put(box, spooled, rules=RULES, sender="ann@example.org"):
    append(box, box.parent, spooled, copy(sender), NOW, rules)


def entries(box):
    return re.findall(rb"^From \S+ .*\n", box.read_bytes(), re.M)


def clean(box):
    """Neither locks nor drafts are left."""
    return [path.name for path in box.parent.iterdir()] in ([box.name], [])


def test_written_form(box, spooled):
    """S55, D01, D05: separator with date, our fields, LF, mboxrd quoting, an empty line at the end; 0600."""
    put(box, spooled)
    date = rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d 2023\n"
    top = b"Return-Path: <ann@example.org>\nX-Original-To: robert@example.org\nDelivered-To: bob@example.org\n"
    body = b"Received: from a\nSubject: hi\n\n>From me\n>>From you\n>>>From us\n From\n.\n\n"
    assert re.fullmatch(rb"From ann@example.org " + date + re.escape(top + body), box.read_bytes())
    assert box.stat().st_mode & 0o777 == 0o600
    assert clean(box)


def test_mboxo_quotes_only_plain_from(box, spooled):
    """D01: the option for old readers."""
    put(box, spooled, Rules(quoting="mboxo", owners=(os.geteuid(),)))
    assert b"\n>From me\n>From you\n>>From us\n" in box.read_bytes()


@pytest.mark.parametrize(
    ("before", "gap"), [(b"", b""), (b"x\n\n", b""), (b"x\n", b"\n"), (b"x", b"\n\n"), (b"\n", b"\n")]
)
def test_entries_are_kept_apart(box, spooled, before, gap):
    box.write_bytes(before)
    put(box, spooled)
    assert box.read_bytes().startswith(before + gap + b"From ann@")


@pytest.mark.parametrize("sender", ["", '"a b"@example.org', "a\nFrom x@y"])
def test_separator_stays_one_line_of_three_parts(box, spooled, sender):
    """sec-D11: a sender can't make a second separator."""
    put(box, spooled, sender=sender)
    assert len(entries(box)) == 1
    assert re.match(rb"From \S+ \w{3} ", box.read_bytes())
    assert (b"From MAILER-DAEMON " in box.read_bytes()) is (sender == "")


@given(st.lists(st.sampled_from([b"From ", b">", b"\n", b"x", b">From a\n", b"Fro", b"m y"]), max_size=12), st.data())
@settings(max_examples=200, deadline=None)
def test_quoting_does_not_depend_on_the_cuts_and_can_be_undone(parts, data):
    """sec-D11: mboxrd round trip, for every way to cut the message into chunks."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    written = b"".join(quoted(chunks, "mboxrd"))
    assert not re.search(rb"^From ", written, re.M)
    assert re.sub(rb"^>(>*From )", rb"\1", written, flags=re.M) == whole


def test_long_lines_are_not_collected(box):
    """A line without end passes chunk by chunk, and what follows it is quoted again."""
    chunks = [b"x" * 40_000] * 5 + [b"From in the middle\nFrom ", b"start\n"]
    seen = list(quoted(iter(chunks), "mboxrd"))
    assert max(map(len, seen)) < 150_000
    assert b"".join(seen).endswith(b"xFrom in the middle\n>From start\n")


@pytest.mark.parametrize("point", [one for one in POINTS if one not in ("mbox.unlock", "mbox.truncate")])
@pytest.mark.parametrize("action", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("when", ["", "+"])
def test_trouble_leaves_the_file_as_it_was(box, spooled, point, action, when):
    """P16: on any error the length returns to the old value and the locks are gone."""
    old = b"From x@y Mon Jan  1 00:00:00 2024\n\nold\n\n"
    if point not in ("mbox.create", "mbox.fsync"):
        box.write_bytes(old)
    failpoints.arm(f"{point}{when}={action}@1")
    with pytest.raises(DiskFull if action == "ENOSPC" else OSError):
        put(box, spooled)
    failpoints.arm("")
    assert not box.exists() or box.read_bytes() in (old, b"")
    put(box, spooled)
    assert len(entries(box)) == (2 if box.read_bytes().startswith(old) else 1)


def test_a_part_that_can_not_be_cut_off_keeps_the_lock(box, spooled):
    """P16: where even the way back fails, nobody is let in before the part is gone."""
    box.write_bytes(b"")
    failpoints.arm("mbox.write=EIO@2,mbox.truncate=EIO@1")
    with pytest.raises(StoreError):
        put(box, spooled)
    failpoints.arm("")
    assert box.stat().st_size == 0 or Path(f"{box}.lock").exists()
    with pytest.raises(Busy):
        put(box, spooled)
    put(box, spooled, Rules(patience=1, stale=-1, owners=(os.geteuid(),)))
    assert len(entries(box)) == 1


@pytest.mark.parametrize("point", ["mbox.write+=kill", "mbox.fdatasync=kill", "mbox.unlock=kill", "mbox.note=kill"])
def test_what_a_killed_process_left_is_taken_away(box, tmp_path, point):
    """P16, S55: after kill -9 anywhere in the append the next one finds lock and length: one entry in the end."""
    box.write_bytes(b"From x@y Mon Jan  1 00:00:00 2024\n\nold\n\n")
    spooled = spooled_in(tmp_path, TEXT + b"long\r\n" * 40_000)
    pid = os.fork()
    if not pid:
        failpoints.arm(point)
        put(box, spooled)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert Path(f"{box}.lock").exists()
    put(box, spooled, Rules(patience=5, owners=(os.geteuid(),)))
    assert len(entries(box)) == 2
    assert box.read_bytes().count(b"long\n") == 40_000
    assert not Path(f"{box}.lock").exists()


def test_mail_of_others_after_a_crash_stays(box, spooled):
    """The part is only cut off if nobody has written behind it."""
    box.write_bytes(b"")
    pid = os.fork()
    if not pid:
        failpoints.arm("mbox.fdatasync=kill@1")
        put(box, spooled)
        os._exit(0)
    os.waitpid(pid, 0)
    with box.open("ab") as other:
        other.write(b"From other@example.org Mon Jan  1 00:00:00 2024\n\nprecious\n\n")
    put(box, spooled)
    assert b"precious" in box.read_bytes()
    assert len(entries(box)) == 3


def test_foreign_locks_are_respected(box, spooled):
    """S55: a dot-lock or an fcntl lock of another program; a stale dot-lock goes after its time."""
    lock = Path(f"{box}.lock")
    lock.write_text("")
    with pytest.raises(Busy):
        put(box, spooled)
    assert lock.exists()
    os.utime(lock, (time.time() - 400, time.time() - 400))
    put(box, spooled)
    assert not lock.exists()
    holding = subprocess.Popen(
        [sys.executable, "-c", "import fcntl,sys,time; f=open(sys.argv[1],'r+'); fcntl.lockf(f, fcntl.LOCK_EX); "
         "print(1, flush=True); time.sleep(60)", str(box)],
        stdout=subprocess.PIPE,
    )
    try:
        assert holding.stdout.readline()
        with pytest.raises(Busy):
            put(box, spooled)
    finally:
        holding.kill()
        holding.communicate()
    assert len(entries(box)) == 1
    assert clean(box)


def test_the_lock_of_a_living_process_is_not_stale(box, spooled):
    Path(f"{box}.lock").write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
    with pytest.raises(Busy):
        put(box, spooled)


def test_two_writers_and_a_reader(box, tmp_path):
    """P16: writers of two processes and two threads, a reader that locks: whole entries, exact count."""
    spooled = spooled_in(tmp_path, TEXT + b"x" * 200_000 + b"\r\n")
    rules = Rules(patience=30, owners=(os.geteuid(),))
    pid = os.fork()
    if not pid:
        try:
            for _ in range(6):
                put(box, spooled, rules)
        finally:
            os._exit(0)
    threads = [threading.Thread(target=lambda: [put(box, spooled, rules) for _ in range(6)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        if box.exists():
            with box.open("r+b") as reader:
                fcntl.lockf(reader, fcntl.LOCK_EX)
                data = reader.read()
            assert data.count(b"\n\n") == 2 * data.count(b"From ann@")
            assert not data or data.endswith(b"x\n\n")
            seen += 1
        time.sleep(0.01)
    os.waitpid(pid, 0)
    assert seen
    assert len(entries(box)) == 18
    assert clean(box)


def test_unsafe_files_are_refused(box, spooled, tmp_path):
    """sec-D05, sec-D06: links, second names, devices, other owners, other folders."""
    target = tmp_path / "target"
    target.write_text("")
    box.symlink_to(target)
    with pytest.raises(OSError):
        put(box, spooled)
    box.unlink()
    os.link(target, box)
    with pytest.raises(Unsafe, match="2 names"):
        put(box, spooled)
    box.unlink()
    os.mkfifo(box)
    with pytest.raises(Unsafe, match="regular"):
        put(box, spooled)
    box.unlink()
    box.write_text("")
    with pytest.raises(Unsafe, match="belongs"):
        put(box, spooled, Rules(owners=(12345,)))
    box.chmod(0o666)
    with pytest.raises(Unsafe, match="chmod"):
        put(box, spooled)
    box.chmod(0o600)
    with pytest.raises(Unsafe, match="below"):
        append(target, box.parent, spooled, copy(), NOW, RULES)
    (tmp_path / "link").symlink_to(box.parent)
    with pytest.raises(OSError):
        append(tmp_path / "link" / "box", tmp_path, spooled, copy(), NOW, RULES)
    box.parent.chmod(0o777)
    with pytest.raises(Unsafe, match="anybody"):
        put(box, spooled)
    assert target.read_text() == ""
    assert box.read_text() == ""


def test_a_file_that_is_replaced_while_we_wait(box, spooled):
    """A reader that rewrites the mbox under its lock and renames: our copy goes into the new one."""
    box.write_bytes(b"old\n\n")
    Path(f"{box}.lock").write_text("")

    def replace():
        fresh = box.with_name("fresh")
        fresh.write_bytes(b"new\n\n")
        fresh.rename(box)
        Path(f"{box}.lock").unlink()

    timer = threading.Timer(0.2, replace)
    timer.start()
    put(box, spooled, Rules(patience=20, owners=(os.geteuid(),)))
    timer.join()
    assert box.read_bytes().startswith(b"new\n\nFrom ann@")
