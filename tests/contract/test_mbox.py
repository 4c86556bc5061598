"""The mbox that is shared with other programs: D01, D08, P16, sec-D11."""
import fcntl
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import StoreError
from bridge.store import failpoints, mboxjournal
from bridge.store.copies import Copy
from bridge.store.mail import Column
from bridge.store.mbox import Mbox
from bridge.store.spool import Spool
from tests.contract.conftest import bodies, dies, mail, put, rows, rules

LETTER = (
    "From eva@example.net Sun Nov 22 07:50:19 2026\nFrom: eva@example.net\nSubject: {0}\n"
    "Message-ID: <{0}@example.net>\n{1}\nHola {0}\n>From the start\n\n"
)


def foreign(path: Path, *subjects: str, status: str = "", mode: str = "a") -> None:
    """What another program appends."""
    path.parent.mkdir(exist_ok=True)
    with path.open(mode) as file:
        for one in subjects:
            file.write(LETTER.format(one, status))


def subjects(box, folder) -> dict[int, str]:
    return {uid: text.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for uid, text in bodies(box, folder).items()}


@pytest.fixture
def letters(tmp_path):
    """Makes spooled messages."""
    spool = Spool(tmp_path / "outside", threads=1)

    def make(number: int, text: bytes = b"From: a@example.org\r\nSubject: d\r\n\r\nFrom me\r\n"):
        envelope = Envelope(
            f"{number:016d}", "0" * 16, "a@example.org", (Recipient("ana@example.org"),), Origin("smtp"), 1e9
        )  # fmt: skip
        draft = spool.begin(envelope)
        draft.write(text)
        return spool.commit(draft).result()

    yield make
    spool.close()


COPY = Copy(1, "", "ana@example.org", "ana@example.org", "a@example.org")


def test_what_others_append_appears_in_order(in_mbox):
    """D08: with the date of the From line, >From undone, in the order of the file."""
    foreign(in_mbox.mbox, "b", "a")
    view = in_mbox.box.select("INBOX")
    assert subjects(in_mbox.box, view.folder) == {1: "b", 2: "a"}
    foreign(in_mbox.mbox, "c")
    view = in_mbox.box.select("INBOX")
    assert subjects(in_mbox.box, view.folder) == {1: "b", 2: "a", 3: "c"}
    assert bodies(in_mbox.box, view.folder)[3].endswith(b"\r\n\r\nHola c\r\nFrom the start\r\n")
    date = time.mktime((2026, 11, 22, 7, 50, 19, 0, 0, -1))
    stamp = time.strftime('"%d-%b-%Y %H:%M:%S +0000"', time.gmtime(date)).encode()
    assert rows(in_mbox.box, view.folder, Column.INTERNALDATE)[0][1] == stamp


def test_flags_that_mutt_and_mail_write_are_taken_over(in_mbox):
    """A file rewritten by others is matched again by hash: UIDs stay, flags change, what is missing is gone."""
    foreign(in_mbox.mbox, "a", "b", "c")
    folder = in_mbox.box.select("INBOX").folder
    in_mbox.box.store_flags(folder, [(3, 3)], "+", ["\\Flagged", "$Mine"])
    foreign(in_mbox.mbox, "c", status="Status: RO\nX-Status: A\nContent-Length: 9\n", mode="w")
    foreign(in_mbox.mbox, "a", status="Status: O\n")
    view = in_mbox.box.select("INBOX")
    assert subjects(in_mbox.box, folder) == {1: "a", 3: "c"}
    flags = [in_mbox.box.flag_text(folder, row[1]) for row in rows(in_mbox.box, folder, Column.FLAGS)]
    assert flags == [b"()", b"(\\Seen \\Answered \\Flagged $Mine)"]
    assert b"Status" not in bodies(in_mbox.box, view.folder)[3]


def test_no_fields_of_ours_and_the_rest_untouched(in_mbox):
    """D08: an expunge takes its message out and leaves every other byte, inode, mode; flags stay in the index."""
    foreign(in_mbox.mbox, "a", "b", "c", status="Status: O\nX-Odd: 1\n")
    in_mbox.mbox.chmod(0o660)
    before, inode = in_mbox.mbox.read_bytes(), in_mbox.mbox.stat().st_ino
    folder = in_mbox.box.select("INBOX").folder
    in_mbox.box.store_flags(folder, [(1, 3)], "+", ["\\Seen"])
    in_mbox.box.expunge(folder, [(2, 2)], marked=False)
    third = len(before) // 3
    assert in_mbox.mbox.read_bytes() == before[:third] + before[2 * third:]
    assert (in_mbox.mbox.stat().st_ino, in_mbox.mbox.stat().st_mode & 0o777) == (inode, 0o660)
    assert sorted(os.listdir(in_mbox.mbox.parent)) == ["ana"]
    assert in_mbox.box.status("INBOX").unseen == 0
    assert in_mbox.again().status("INBOX").unseen == 0


def test_status_fields_if_a_setting_says_so(in_mbox):
    """mutt and mail see what was read and answered here, from the next rewrite on."""
    in_mbox.make = lambda: Mbox(in_mbox.mbox, rules(), status=True)
    box = in_mbox.again()
    foreign(in_mbox.mbox, "a" * 40, "b", "c", "d")
    folder = box.select("INBOX").folder
    box.store_flags(folder, [(2, 2)], "+", ["\\Seen", "\\Answered"])
    box.expunge(folder, [(1, 1)], marked=False)
    text = in_mbox.mbox.read_text()
    assert text.count("Status: RO\nX-Status: A\n") == 1
    assert text.index("Status: RO") < text.index("Hola b")
    assert subjects(box, folder) == {2: "b", 3: "c", 4: "d"}
    assert list(box.select("INBOX").uids) == [2, 3, 4]
    assert box.flag_text(folder, rows(box, folder, Column.FLAGS)[0][1]) == b"(\\Seen \\Answered)"


def test_a_locked_file_is_left_alone(in_mbox):
    """D08: while another program has it, nothing is written; the mail that was expunged here goes later."""
    foreign(in_mbox.mbox, "a", "b")
    folder = in_mbox.box.select("INBOX").folder
    before = in_mbox.mbox.read_bytes()
    object.__setattr__(in_mbox.box.home.driver, "rules", replace(rules(), patience=0.2))
    lock = in_mbox.mbox.with_name("ana.lock")
    lock.write_text("")
    in_mbox.box.expunge(folder, [(1, 1)], marked=False)
    assert in_mbox.mbox.read_bytes() == before
    assert [row[0] for row in rows(in_mbox.box, folder, Column.FLAGS)] == [2]
    draft = in_mbox.box.draft()
    draft.write(mail(1))
    with pytest.raises(StoreError):
        in_mbox.box.append("INBOX", [(draft, (), None)])
    lock.unlink()
    with in_mbox.mbox.open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        code = "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f, fcntl.LOCK_EX|fcntl.LOCK_NB)"
        assert subprocess.run([sys.executable, "-c", code, in_mbox.mbox], capture_output=True).returncode
    in_mbox.box.tidy("INBOX")
    assert list(in_mbox.box.select("INBOX").uids) == [2]
    assert in_mbox.mbox.read_text().count("From eva") == 1


def test_delivery_and_its_repetition(in_mbox, letters):
    """D01, P08: once for one message and recipient: by key, by hash where that was lost, also after an expunge."""
    driver, home = in_mbox.box.home.driver, in_mbox.box.home
    letter = letters(1, b"Status: RO\r\nX-Status: D\r\nSubject: d\r\n\r\nFrom me\r\nno end")
    driver.deliver(home, letter, COPY, again=False)
    text = in_mbox.mbox.read_text()
    assert text.startswith("From a@example.org ")
    assert "\n>From me\nno end\n\n" in text
    assert "Delivered-To: ana@example.org\n" in text
    assert "Status" not in text, "a sender can't mark mail as read"
    driver.deliver(home, letter, COPY, again=True)
    with home.index.write() as db:
        db.execute("DELETE FROM delivered")     # as if the process had died before it wrote that down
    driver.deliver(home, letter, COPY, again=True)
    assert list(in_mbox.box.select("INBOX").uids) == [1]
    driver.deliver(home, letters(2), COPY, again=True)
    folder = in_mbox.box.select("INBOX").folder
    in_mbox.box.expunge(folder, [(2, 2)], marked=False)
    driver.deliver(home, letters(2), COPY, again=True)
    assert list(in_mbox.box.select("INBOX").uids) == [1]


def test_memory_of_deliveries_is_bounded(in_mbox, letters, monkeypatch):
    monkeypatch.setattr("bridge.store.mbox.REMEMBERED", 3)
    for number in range(6):
        in_mbox.box.home.driver.deliver(in_mbox.box.home, letters(number), COPY, again=False)
    with in_mbox.box.home.index.read() as db:
        assert db.execute("SELECT count(*) FROM delivered").fetchone()[0] == 3


@pytest.mark.parametrize("point", ["mbox.write=ENOSPC@2", "mbox.fdatasync=ENOSPC", "mbox.fdatasync=EIO"])
def test_full_disk_in_the_middle_of_a_delivery(in_mbox, letters, point):
    """P16, D07: the file has its old length; then it works."""
    foreign(in_mbox.mbox, "a")
    before = in_mbox.mbox.read_bytes()
    failpoints.arm(point)
    with pytest.raises((OSError, StoreError)):
        in_mbox.box.home.driver.deliver(in_mbox.box.home, letters(1), COPY, again=False)
    assert in_mbox.mbox.read_bytes() == before
    failpoints.arm("")
    in_mbox.box.home.driver.deliver(in_mbox.box.home, letters(1), COPY, again=True)
    assert len(in_mbox.box.select("INBOX").uids) == 2


@pytest.mark.parametrize("point", [
    "mboxjournal.write=ENOSPC@2", "mboxjournal.rewrite=ENOSPC", "mboxjournal.shorten=EIO", "mboxjournal.done=EIO",
])
def test_trouble_in_the_middle_of_an_expunge(in_mbox, point):
    """P16, P19: what is expunged stays so, what stays is whole, and the file is right at the end."""
    foreign(in_mbox.mbox, "a", "b", "c", "d")
    folder = in_mbox.box.select("INBOX").folder
    failpoints.arm(point)
    assert in_mbox.box.expunge(folder, [(2, 3)], marked=False).uids == (2, 3)
    failpoints.arm("")
    foreign(in_mbox.mbox, "e")
    in_mbox.box.tidy("INBOX")
    view = in_mbox.again().select("INBOX")
    assert subjects(in_mbox.box, view.folder) == {1: "a", 4: "d", 5: "e"}
    assert in_mbox.mbox.read_text() == "".join(LETTER.format(one, "") for one in "ade")


DYING = """
import sys
from pathlib import Path
from tests.contract.conftest import kept_in
box = kept_in("mbox", Path(sys.argv[1])).box
box.expunge(box.select("INBOX").folder, [(1, 2)], marked=False)
"""


@pytest.mark.parametrize("point", [
    "mboxjournal.write+=kill@1", "mboxjournal.write=kill@5", "mboxjournal.rewrite=kill",
    "mboxjournal.rewrite+=kill@1", "mboxjournal.shorten=kill",
    "mboxjournal.shorten+=kill@1", "mboxjournal.done=kill", "mboxjournal.done+=kill@1", "mbox.unlock=kill@2",
])  # fmt: skip
def test_killed_in_the_middle_of_an_expunge(in_mbox, point):
    """P16: whoever opens it next finishes the work; mail that came in between is kept."""
    foreign(in_mbox.mbox, "a", "b", "c", "d")
    in_mbox.box.select("INBOX")
    in_mbox.box.close()
    dies(DYING, in_mbox.folder, point)
    foreign(in_mbox.mbox, "e")
    box = in_mbox.again()
    box.tidy("INBOX")
    assert subjects(box, box.select("INBOX").folder) == {3: "c", 4: "d", 5: "e"}
    assert in_mbox.mbox.read_text() == "".join(LETTER.format(one, "") for one in "cde")
    assert not (box.home.path / mboxjournal.FILE).exists()


WRITER = """
import sys
from pathlib import Path
from tests.contract import test_mbox as t
from tests.contract.conftest import kept_in
kept = kept_in("mbox", Path(sys.argv[1]))
from bridge.store.spool import Spool
from bridge.model.envelope import Envelope, Origin, Recipient
spool = Spool(Path(sys.argv[1]) / ("out" + sys.argv[2]), threads=1)
for n in range(int(sys.argv[3])):
    e = Envelope(f"{int(sys.argv[2]) * 1000 + n:016d}", "0" * 16, "a@b", (Recipient("x"),), Origin("smtp"), 1e9)
    d = spool.begin(e)
    d.write(b"Subject: %d\\r\\nX-Who: %s-%d\\r\\n\\r\\nFrom me\\r\\n" % (n, sys.argv[2].encode(), n))
    kept.box.home.driver.deliver(kept.box.home, spool.commit(d).result(), t.COPY, again=False)
"""


def test_two_writers_a_foreign_one_and_a_reader_who_expunges(in_mbox):
    """P16: dot-lock and fcntl together; in the end the count is exact."""
    in_mbox.mbox.parent.mkdir()
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, in_mbox.folder, str(one), "40"], cwd=root) for one in (1, 2)
    ]
    loop = (
        'for n in $(seq 20); do printf "Subject: s$n\\nX-Who: 3-$n\\n\\nx\\n" | procmail -f e@x DEFAULT="$0" /dev/null'
        " || exit 1; done"
    )
    locker = subprocess.Popen(["/bin/sh", "-c", loop, str(in_mbox.mbox)])
    gone: set[bytes] = set()
    folder = in_mbox.box.select("INBOX").folder
    end = time.monotonic() + 60
    while any(one.poll() is None for one in (*writers, locker)) and time.monotonic() < end:
        in_mbox.box.refresh(folder)
        found = bodies(in_mbox.box, folder)
        for uid in sorted(found)[::3]:
            assert found[uid] not in gone
            gone.add(found[uid])
            in_mbox.box.expunge(folder, [(uid, uid)], marked=False)
    assert [one.wait() for one in (*writers, locker)] == [0, 0, 0]
    in_mbox.box.tidy("INBOX")
    view = in_mbox.box.select("INBOX")
    left = list(bodies(in_mbox.box, view.folder).values())
    who = [line for text in [*gone, *left] for line in text.splitlines() if line.startswith(b"X-Who")]
    assert len(who) == len(set(who)) == 100
    assert in_mbox.mbox.read_text().count("\nX-Who") == len(left)


def test_mail_and_mutt_read_the_same_file(in_mbox):
    """D01, D08: mail(1) counts what we delivered; mutt deletes one and marks one, and we see both."""
    for number in (1, 2, 3):
        put(in_mbox.box, number)
    folder = in_mbox.box.select("INBOX").folder
    said = subprocess.run(
        ["mail", "-f", in_mbox.mbox], capture_output=True, text=True, timeout=20, input="x\n",
        env={**os.environ, "HOME": str(in_mbox.folder)},
    ).stdout  # fmt: skip
    assert said.count("Hola") == 3
    commands = "push '<first-entry><delete-message><last-entry><set-flag>!<quit>'"
    mutt = f"mutt -n -F /dev/null -e 'set delete=yes quit=yes move=no folder=/tmp' -e \"{commands}\" -f {in_mbox.mbox}"
    done = subprocess.run(
        ["script", "-qec", mutt, "/dev/null"],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(in_mbox.folder), "TERM": "xterm"},
    )  # fmt: skip
    assert in_mbox.mbox.read_text().count("\nSubject: Hola") == 2, done.stdout
    assert list(in_mbox.box.select("INBOX").uids) == [2, 3]
    flags = [in_mbox.box.flag_text(folder, row[1]) for row in rows(in_mbox.box, folder, Column.FLAGS)]
    assert flags[1] == b"(\\Flagged)"
    assert bodies(in_mbox.box, folder) == {2: mail(2), 3: mail(3)}


def test_a_file_that_mutt_has_emptied_away(in_mbox):
    foreign(in_mbox.mbox, "a")
    folder = in_mbox.box.select("INBOX").folder
    in_mbox.mbox.unlink()
    assert list(in_mbox.box.select("INBOX").uids) == []
    foreign(in_mbox.mbox, "b")
    assert subjects(in_mbox.box, in_mbox.box.select("INBOX").folder) == {2: "b"}
    assert in_mbox.box.select("INBOX").folder == folder


def test_a_link_or_a_device_is_no_mailbox(in_mbox):
    """sec-D05, sec-D06."""
    in_mbox.mbox.parent.mkdir()
    in_mbox.mbox.symlink_to("/etc/passwd")
    with pytest.raises(StoreError):
        in_mbox.box.select("INBOX")


def test_a_change_that_the_time_hides_is_found_by_reading(in_mbox):
    """Same size, same time: the hash tells, and the next look is a thorough one."""
    foreign(in_mbox.mbox, "a", "b")
    os.utime(in_mbox.mbox, (1e9, 1e9))
    folder = in_mbox.box.select("INBOX").folder
    in_mbox.mbox.write_text("".join(LETTER.format(one, "") for one in "ac"))
    os.utime(in_mbox.mbox, (1e9, 1e9))
    assert list(bodies(in_mbox.box, folder)) == [1]
    assert subjects(in_mbox.box, in_mbox.box.select("INBOX").folder) == {1: "a", 3: "c"}
