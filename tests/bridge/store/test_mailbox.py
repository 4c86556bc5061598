"""The mailbox API as IMAP and POP3 use it, with the background off."""
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.config.store import Store
from bridge.model.errors import StoreError
from bridge.store import reconcile
from bridge.store.mail import (
    EVERYTHING,
    Column,
    Fields,
    FolderGone,
    MailError,
    MessageGone,
    NoSuchFolder,
)
from bridge.store.mailbox import AccountStore, Mailstore
from bridge.store.notify import Hints, Listener

MAIL = b"From: Ana <ana@example.org>\r\nTo: luis@example.org\r\nSubject: Hola %d\r\n\r\nuno\r\ndos %d\r\n"


@dataclass(frozen=True)
class Person:
    maildir: Path
    address: str = "ana@example.org"


def opened(path: Path) -> AccountStore:
    return Mailstore(Store(), background=False).open(Person(path / "Maildir"))


@pytest.fixture
def box(tmp_path):
    account = opened(tmp_path)
    yield account
    account.close()


def put(box: AccountStore, number: int, name: str = "INBOX", flags=(), date=None):
    draft = box.draft()
    draft.write(MAIL % (number, number))
    draft.end()
    return box.append(name, [(draft, flags, date)])


def drop(box: AccountStore, filename: str, body: bytes = b"Subject: x\n\nhi\n", sub: str = "new") -> None:
    """What another program does."""
    path = box.home.path
    for one in ("new", "cur", "tmp"):
        (path / one).mkdir(parents=True, exist_ok=True)
    (path / "tmp" / filename).write_bytes(body)
    os.rename(path / "tmp" / filename, path / sub / filename)


def rows(box, folder, *columns, uids=EVERYTHING):
    return [row for chunk in box.fetch(folder, uids, columns) for row in chunk]


def test_append_is_there_with_everything(box):
    """I17, I13 of SECURITY: what goes in with CRLF comes out with CRLF, sizes and dates as given."""
    when = datetime(2026, 11, 22, 7, 50, 19, tzinfo=UTC)
    copied = put(box, 7, flags=["\\Seen", "$Work"], date=when)
    assert copied.target == (1,)
    view = box.select("INBOX")
    assert list(view.uids) == [1]
    assert view.uidnext == 2
    assert view.unseen == 0
    assert view.keywords == ("$Work",)
    fields = Fields((b"subject", b"from"))
    columns = (Column.FLAGS, Column.SIZE, Column.INTERNALDATE, Column.ENVELOPE, fields, Column.HEADER)
    row, = rows(box, view.folder, *columns)
    message = MAIL % (7, 7)
    assert box.flag_text(view.folder, row[1]) == b"(\\Seen $Work)"
    assert row[2] == len(message)
    assert row[3] == b'"22-Nov-2026 07:50:19 +0000"'
    assert row[4].startswith(b'(NIL "Hola 7" (("Ana" NIL "ana" "example.org"))')
    literal = b"From: Ana <ana@example.org>\r\nSubject: Hola 7\r\n\r\n"
    assert row[5] == b"{%d}\r\n%b" % (len(literal), literal)
    assert row[6] == message[: message.index(b"\r\n\r\n") + 4]
    with box.body(view.folder, 1) as body:
        assert body.read() == message
        assert body.size == len(message)
        assert body.read(3, 5) == message[3:8]
        assert b"".join(body.chunks(10, 30)) == message[10:40]
        assert body.read(len(message)) == b""
    assert [pair for chunk in box.bodies(view.folder, EVERYTHING) for pair in chunk] == [(1, message)]


def test_multiappend_is_all_or_nothing(box):
    """I17: one bad flag list and none of the messages is there, on disk neither."""
    drafts = []
    for number in range(3):
        draft = box.draft()
        draft.write(MAIL % (number, number))
        drafts.append((draft, ["\\Bad"] if number == 2 else [], None))
    with pytest.raises(MailError):
        box.append("INBOX", drafts)
    assert box.status("INBOX").messages == 0
    assert os.listdir(box.home.path / "cur") == []
    assert os.listdir(box.home.path / "tmp") == []


def test_big_draft_goes_through_a_file_and_bare_line_ends_are_made_good(box):
    """sec-I13, sec-I17"""
    draft = box.draft()
    line = b"x" * 70 + b"\n" + b"y\r"
    for _ in range(9000):
        draft.write(line)
    assert os.listdir(box.home.path / "tmp")
    box.append("INBOX", [(draft, (), None)])
    view = box.select("INBOX")
    with box.body(view.folder, 1) as body:
        whole = body.read()
        assert whole == (b"x" * 70 + b"\r\n" + b"y\r\n") * 9000
        assert body.read(100_001, 70_000) == whole[100_001:170_001]
        assert body.read(5, 10) == whole[5:15]
    assert rows(box, view.folder, Column.SIZE) == [(1, len(whole))]


def test_store_modes_modseq_and_unchangedsince(box):
    """I13: CONDSTORE"""
    for number in range(4):
        put(box, number)
    view = box.select("INBOX")
    one = box.store_flags(view.folder, ((1, 2),), "+", ["\\Seen", "$A"])
    assert [(uid, box.flag_text(view.folder, bits)) for uid, bits, _ in one.changed] == [
        (1, b"(\\Seen $A)"), (2, b"(\\Seen $A)")]
    again = box.store_flags(view.folder, ((1, 2),), "+", ["\\seen"])
    assert again.highestmodseq == one.highestmodseq
    assert again.changed == one.changed
    two = box.store_flags(view.folder, ((2, 3),), "", ["\\Flagged"], unchanged_since=view.highestmodseq)
    assert two.modified == (2,)
    assert [uid for uid, _, _ in two.changed] == [3]
    box.store_flags(view.folder, EVERYTHING, "-", ["\\Seen"])
    news = box.changes(view.folder, view.highestmodseq, view.uidnext)
    assert [uid for uid, _, _ in news.flags] == [1, 2, 3]
    assert news.keywords == ("$A",)
    assert [box.flag_text(view.folder, bits) for _, bits, _ in news.flags] == [b"($A)", b"($A)", b"(\\Flagged)"]
    assert box.changes(view.folder, news.highestmodseq, view.uidnext) is None


def test_keyword_flood_is_refused_and_unused_ones_make_room(box):
    """sec-I18"""
    put(box, 1)
    view = box.select("INBOX")
    for number in range(56):
        box.store_flags(view.folder, EVERYTHING, "+", [f"k{number}"])
    with pytest.raises(MailError, match="56"):
        box.store_flags(view.folder, EVERYTHING, "+", ["one-more"])
    with pytest.raises(MailError):
        box.store_flags(view.folder, EVERYTHING, "+", ["x" * 51])
    box.store_flags(view.folder, EVERYTHING, "-", ["k7"])
    box.store_flags(view.folder, EVERYTHING, "+", ["one-more"])
    assert "one-more" in box.keywords(view.folder)
    assert "k7" not in box.keywords(view.folder)


def test_a_keyword_named_twice_is_one_keyword(box):
    """I05: `(New new)` is one keyword, also where it takes the place of one that nobody uses any more."""
    put(box, 1)
    put(box, 2)
    folder = box.select("INBOX").folder
    box.store_flags(folder, [(1, 1)], "+", [f"k{number}" for number in range(56)])
    box.store_flags(folder, [(1, 1)], "-", ["k3", "k5", "k7"])
    box.store_flags(folder, [(1, 1)], "+", ["other"])
    box.store_flags(folder, [(2, 2)], "+", ["New", "new"])
    _, second = rows(box, folder, Column.FLAGS)
    assert box.flag_text(folder, second[1]) == b"(New)"


def test_a_keyword_of_this_command_is_not_tidied_away(box):
    """I05: a known keyword that no message has keeps its place when it is set again together with a new one."""
    put(box, 1)
    folder = box.select("INBOX").folder
    box.store_flags(folder, [(1, 1)], "+", [f"k{number}" for number in range(56)])
    box.store_flags(folder, [(1, 1)], "-", ["k3", "k5"])
    box.store_flags(folder, [(1, 1)], "+", ["k3", "new"])
    row, = rows(box, folder, Column.FLAGS)
    words = box.flag_text(folder, row[1]).decode("ascii").strip("()").split()
    assert {"k3", "new"} <= set(words)
    assert len(words) == 56


def test_messages_of_one_append_do_not_take_each_others_places(box):
    """I17, sec-I18: MULTIAPPEND with new keywords where hardly any place is free."""
    put(box, 1)
    folder = box.select("INBOX").folder
    box.store_flags(folder, [(1, 1)], "+", [f"k{number}" for number in range(56)])
    box.store_flags(folder, [(1, 1)], "-", ["k3", "k5"])

    def drafts(*flags):
        made = [box.draft() for _ in flags]
        for draft in made:
            draft.write(MAIL % (9, 9))
            draft.end()
        return [(draft, [flag], None) for draft, flag in zip(made, flags)]

    with pytest.raises(MailError, match="56"):
        box.append("INBOX", drafts("one", "two", "three"))
    box.append("INBOX", drafts("one", "two"))
    texts = [box.flag_text(folder, row[1]) for row in rows(box, folder, Column.FLAGS)][1:]
    assert texts == [b"(one)", b"(two)"]


def test_the_sign_of_a_free_place_is_no_keyword(box):
    put(box, 1)
    folder = box.select("INBOX").folder
    with pytest.raises(MailError):
        box.store_flags(folder, [(1, 1)], "+", ["-"])


def test_flags_go_into_file_names_and_come_back_without_index(box, tmp_path):
    """P18, D-11: also keywords, by their letters."""
    for number in range(3):
        put(box, number)
    view = box.select("INBOX")
    box.store_flags(view.folder, ((2, 2),), "+", ["\\Seen", "\\Flagged", "$Work"])
    box.tidy("INBOX")
    names = sorted(name.partition(":2,")[2] for name in os.listdir(box.home.path / "cur"))
    assert names == ["", "", "FSa"]
    box.close()
    for file in box.home.path.glob("estafeta.index*"):
        file.unlink()
    fresh = opened(tmp_path)
    again = fresh.select("INBOX")
    assert again.folder.uidvalidity == view.folder.uidvalidity
    assert list(again.uids) == [1, 2, 3]
    assert again.uidnext > view.uidnext
    assert again.highestmodseq > view.highestmodseq
    assert fresh.flag_text(again.folder, rows(fresh, again.folder, Column.FLAGS)[1][1]) == b"(\\Seen \\Flagged $Work)"
    fresh.close()


def test_damaged_uidlist_means_larger_uidvalidity(box, tmp_path):
    """P18"""
    put(box, 1)
    old = box.select("INBOX").folder.uidvalidity
    box.close()
    for file in box.home.path.glob("estafeta.index*"):
        file.unlink()
    listing = box.home.path / "estafeta-uidlist"
    listing.write_bytes(listing.read_bytes() + b"rubbish\n2 :x\n")
    fresh = opened(tmp_path)
    view = fresh.select("INBOX")
    assert view.folder.uidvalidity > old
    assert list(view.uids) == [1]
    fresh.close()


def test_dovecot_uids_are_taken_over(tmp_path):
    """D10, I52"""
    account = opened(tmp_path)
    drop(account, "100.a.host:2,S", sub="cur")
    drop(account, "200.b.host")
    (account.home.path / "dovecot-uidlist").write_text("3 V77 N12 Gabc\n5 W20 :100.a.host:2,S\n9 :200.b.host\n")
    view = account.select("INBOX")
    assert view.folder.uidvalidity == 77
    assert list(view.uids) == [5, 9]
    assert view.uidnext >= 12
    account.close()


def test_files_of_other_programs_get_uids_in_order_of_delivery(box):
    """DESIGN 4: what mutt, procmail and Dovecot do appears, nothing of theirs is lost."""
    drop(box, "200.b.host")
    drop(box, "100.a.host,S=15,W=18")
    view = box.select("INBOX")
    assert [row[1] for row in rows(box, view.folder, Column.INTERNALDATE)]
    assert list(view.uids) == [1, 2]
    drop(box, "150.c.host:2,FS", sub="cur")
    assert box.refresh(view.folder)
    news = box.changes(view.folder, view.highestmodseq, view.uidnext)
    assert news.appended == (3,)
    assert not news.vanished
    os.rename(box.home.path / "new/100.a.host,S=15,W=18", box.home.path / "cur/100.a.host,S=15,W=18:2,R")
    os.unlink(box.home.path / "new/200.b.host")
    time.sleep(0.06)
    assert box.refresh(view.folder)
    later = box.changes(view.folder, news.highestmodseq, news.uidnext)
    assert later.vanished == (2,)
    assert [box.flag_text(view.folder, bits) for _, bits, _ in later.flags] == [b"(\\Answered)"]
    with pytest.raises(MessageGone):
        box.body(view.folder, 2)


@pytest.mark.parametrize("name", ["100.x\n.host", "100.\udcff.host", "100.y.host:2,S"])
def test_names_that_no_list_can_hold_are_changed(box, name):
    drop(box, name)
    view = box.select("INBOX")
    assert list(view.uids) == [1]
    with box.body(view.folder, 1) as body:
        assert body.read() == b"Subject: x\r\n\r\nhi\r\n"
    assert not box.refresh(view.folder) or list(box.select("INBOX").uids) == [1]


def test_links_and_folders_in_cur_are_no_mail(box, tmp_path):
    """sec-D06"""
    drop(box, "100.a.host")
    (tmp_path / "secret").write_text("root")
    os.symlink(tmp_path / "secret", box.home.path / "cur/100.b.host:2,")
    os.mkdir(box.home.path / "cur/100.c.host:2,")
    assert len(box.select("INBOX").uids) == 1


def test_copy_and_move(box):
    """I05, I08: UIDs by pairs, flags and keywords, same EMAILID."""
    for number in range(4):
        put(box, number, flags=["$B"] if number else ["$A", "\\Seen"])
    box.create("Otra/Año")
    view = box.select("INBOX")
    copied = box.copy(view.folder, ((1, 1), (3, 4)), "Otra/Año")
    assert copied.source == (1, 3, 4)
    assert copied.target == (1, 2, 3)
    moved = box.move(view.folder, ((2, 2),), "Otra/Año")
    assert moved.source == (2,)
    assert moved.target == (4,)
    news = box.changes(view.folder, view.highestmodseq, view.uidnext)
    assert news.vanished == (2,)
    assert not news.appended
    other = box.select("Otra/Año")
    assert list(other.uids) == [1, 2, 3, 4]
    flags = [box.flag_text(other.folder, row[1]) for row in rows(box, other.folder, Column.FLAGS)]
    assert flags == [b"(\\Seen $A)", b"($B)", b"($B)", b"($B)"]
    assert rows(box, other.folder, Column.EMAILID)[1][1][10:] == rows(box, view.folder, Column.EMAILID)[1][1][10:]
    assert len(os.listdir(box.home.path / "cur")) == 3
    with pytest.raises(NoSuchFolder):
        box.copy(view.folder, EVERYTHING, "Nada")


def test_expunge_only_what_is_marked_and_named(box):
    """I05: UID EXPUNGE; QRESYNC hears of it."""
    for number in range(5):
        put(box, number)
    view = box.select("INBOX")
    box.store_flags(view.folder, ((2, 4),), "+", ["\\Deleted"])
    assert box.expunge(view.folder, ((1, 3),)).uids == (2, 3)
    assert box.status("INBOX").deleted == 1
    assert box.vanished(view.folder, view.highestmodseq) == (2, 3)
    assert box.vanished(view.folder, view.highestmodseq, ((3, 9),)) == (3,)
    assert box.vanished(view.folder, 0) == (2, 3)
    assert len(os.listdir(box.home.path / "cur")) == 3
    assert box.expunge(view.folder, marked=False).uids == (1, 4, 5)


def test_folders_come_and_go(box):
    """I35, I37, sec-I04"""
    for name in ("A", "A/B", "A/B/C", "v1.0/Borradores", "Año & Cía"):
        box.create(name)
    assert (box.home.path / ".v1&AC4-0.Borradores").is_dir()
    assert [one.name for one in box.folders()] == [
        "INBOX", "A", "A/B", "A/B/C", "Año & Cía", "v1.0", "v1.0/Borradores"]
    assert not next(one for one in box.folders() if one.name == "v1.0").selectable
    with pytest.raises(MailError, match="exists"):
        box.create("A")
    put(box, 1, "A/B")
    before = box.select("A/B")
    box.rename("A", "Z")
    after = box.select("Z/B")
    assert after.folder.uidvalidity == before.folder.uidvalidity
    assert list(after.uids) == [1]
    assert after.folder.mailboxid == before.folder.mailboxid
    box.delete("Z")
    assert [one.name for one in box.folders() if one.selectable] == [
        "INBOX", "Año & Cía", "Z/B", "Z/B/C", "v1.0/Borradores"]
    box.delete("Z/B")
    with pytest.raises(FolderGone):
        box.changes(after.folder, 0, 1)
    made = box.create("Z/B")
    assert made.uidvalidity > after.folder.uidvalidity


@pytest.mark.parametrize("name", [
    "", "/", "a//b", "../x", "a/../b", "a/./b", "a\0b", "a\nb", "x" * 300, "/".join("a" * 30), " a", "a/ ", "inbox",
    "\ud800",
])
def test_names_that_cannot_be(box, name):
    """sec-I04, sec-D07"""
    with pytest.raises(MailError):
        box.create(name)
    assert os.listdir(box.home.path.parent) in ([], ["Maildir"])


def test_inbox_renamed_gives_its_mail_away(box):
    put(box, 1)
    box.rename("INBOX", "Viejo")
    assert box.status("INBOX").messages == 0
    assert box.status("Viejo").messages == 1


def test_subscriptions_and_special_use(box):
    """I11"""
    box.create("Enviados", ["\\Sent"])
    box.subscribe("Enviados", True)
    box.subscribe("No existe", True)
    by_name = {one.name: one for one in box.folders()}
    assert by_name["Enviados"].use == "\\Sent"
    assert by_name["Enviados"].subscribed
    assert by_name["No existe"].subscribed
    assert not by_name["No existe"].selectable
    box.subscribe("No existe", False)
    assert "No existe" not in {one.name for one in box.folders()}
    box.rename("Enviados", "Sent")
    assert {one.name: one.use for one in box.folders()}["Sent"] == "\\Sent"
    with pytest.raises(MailError):
        box.create("X", ["\\Nonsense"])


def test_recent_is_claimed_once(box):
    put(box, 1)
    assert box.select("INBOX", read_only=True).recent == 1
    assert box.select("INBOX").recent == 1
    assert box.select("INBOX").recent == 2
    assert box.status("INBOX").recent == 0


def test_seen_mail_leaves_new(box):
    drop(box, "100.a.host")
    box.select("INBOX")
    box.tidy("INBOX")
    assert os.listdir(box.home.path / "new") == []
    assert os.listdir(box.home.path / "cur") == ["100.a.host:2,"]


def test_maildrop_for_pop3(box):
    """I48, I52, sec-I15"""
    put(box, 1)
    drop(box, "4000000000.a.host", b"Subject: x\n\na\nb\n")
    folder, drops = box.maildrop()
    assert [one.size for one in drops] == [len(MAIL % (1, 1)), len(b"Subject: x\r\n\r\na\r\nb\r\n")]
    assert drops[0].uidl == f"{1:08x}{folder.uidvalidity:08x}"
    assert len({one.uidl for one in drops}) == 2
    release = box.lock_maildrop()
    assert release
    assert box.lock_maildrop() is None
    release()
    again = box.lock_maildrop()
    assert again
    again()
    box.expunge(folder, ((1, 1),), marked=False)
    assert [one.uid for one in box.maildrop()[1]] == [2]


def test_whole_maildir_removed_while_open(box):
    """The Maildir may be removed and filled anew at any time."""
    put(box, 1)
    view = box.select("INBOX")
    time.sleep(1.1)     # UIDVALIDITY of a new life is its second
    shutil.rmtree(box.home.path)
    drop(box, "100.a.host")
    with pytest.raises(FolderGone):
        box.changes(view.folder, 0, 1)
    again = box.select("INBOX")
    assert list(again.uids) == [1]
    assert again.folder.uidvalidity != view.folder.uidvalidity
    assert rows(box, again.folder, Column.SIZE) == [(1, 18)]


def test_corrupt_index_is_moved_aside_and_rebuilt(box, tmp_path):
    """sec-Q05: UIDs survive."""
    for number in range(30):
        put(box, number)
    view = box.select("INBOX")
    box.close()
    path = box.home.path / "estafeta.index"
    data = bytearray(path.read_bytes())
    data[0:16] = b"not sqlite, sir!"
    path.write_bytes(data)
    fresh = opened(tmp_path)
    again = fresh.select("INBOX")
    assert list(again.uids) == list(view.uids)
    assert again.folder.uidvalidity == view.folder.uidvalidity
    assert list(box.home.path.glob("estafeta.index.corrupt-*"))
    fresh.close()


def test_describing_fills_everything(box):
    """I20"""
    put(box, 1)
    view = box.select("INBOX")
    assert box.describe(view.folder) == 1
    assert box.describe(view.folder) == 0
    row, = rows(box, view.folder, Column.PREVIEW, Column.BODY, Column.BODYSTRUCTURE, Column.THREADID, Column.SAVEDATE)
    assert row[1] == b'"uno dos 1"'
    assert row[2].lower().startswith(b'("text" "plain"')
    assert row[4].startswith(b"(T")
    assert row[5].startswith(b'"')


def test_no_file_is_left_open(box, tmp_path):
    for number in range(10):
        box.create(f"f{number}")
        put(box, 1, f"f{number}")
        box.select(f"f{number}")
    box.close()
    open_files = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    held = [os.readlink(link) for link in open_files if os.path.exists(link)]
    assert not [path for path in held if path.startswith(str(tmp_path))]



def test_the_background_does_what_can_wait(tmp_path):
    """I40: flags into names, files removed, messages described, without anybody asking; hints to other processes."""
    run = tmp_path / "run"
    ear = Listener("mailbox", run)
    hints = Hints(run)
    store = Mailstore(Store(tidy_after=0.01, idle_close=0.3), hints=hints)
    box = store.open(Person(tmp_path / "Maildir"))
    put(box, 1)
    put(box, 2)
    view = box.select("INBOX")
    box.store_flags(view.folder, ((1, 1),), "+", ["\\Seen"])
    box.expunge(view.folder, ((2, 2),), marked=False)
    assert set(ear.receive()) == {"ana@example.org\nINBOX"}
    end = time.monotonic() + 10
    while time.monotonic() < end and box.home.index.is_open:
        time.sleep(0.02)
    assert [name.partition(":2,")[2] for name in os.listdir(box.home.path / "cur")] == ["S"]
    assert not box.home.index.is_open
    assert box.describe(view.folder) == 0
    store.close()
    hints.close()
    ear.close()


def test_two_stores_of_one_account_are_one(tmp_path):
    """sec-I06: by path and address."""
    store = Mailstore(Store(), background=False)
    one, again = store.open(Person(tmp_path / "a")), store.open(Person(tmp_path / "a"))
    other = store.open(Person(tmp_path / "b", "bea@example.org"))
    assert one is again
    put(one, 1)
    assert other.status("INBOX").messages == 0
    store.close()


def test_a_million_uids_need_no_scan(box):
    """sec-I16: an index query per chunk, no list of everything."""
    for number in range(3):
        put(box, number)
    view = box.select("INBOX")
    assert rows(box, view.folder, Column.FLAGS, uids=((2, 4_000_000_000),)) == [(2, 0), (3, 0)]
    assert rows(box, view.folder, Column.FLAGS, uids=((1, 1), (3, 3))) == [(1, 0), (3, 0)]
    stored = box.store_flags(view.folder, ((3, 3),), "+", ["\\Seen"])
    changed = [row for chunk in box.fetch(view.folder, EVERYTHING, (Column.FLAGS,), changed_since=view.highestmodseq)
               for row in chunk]
    assert changed == [(3, 1)]
    assert stored.highestmodseq == view.highestmodseq + 1


def test_a_lost_wal_loses_no_uid(box, tmp_path):
    """sec-Q06: what the index forgets with its -wal, the uidlist remembers."""
    put(box, 1)
    box.home.index.checkpoint()
    for number in range(2, 5):
        put(box, number)
    view = box.select("INBOX")
    copy = tmp_path / "copy"
    shutil.copytree(box.home.path, copy / "Maildir", copy_function=shutil.copy2)
    for suffix in ("-wal", "-shm"):
        (copy / "Maildir" / f"estafeta.index{suffix}").unlink()
    other = opened(copy)
    again = other.select("INBOX")
    assert again.folder.uidvalidity == view.folder.uidvalidity
    assert list(again.uids) == [1, 2, 3, 4]
    assert [whole for chunk in other.bodies(again.folder, EVERYTHING) for _, whole in chunk] == [
        MAIL % (number, number) for number in range(1, 5)]
    assert put(other, 5).target[0] > 4
    other.close()


def test_our_flags_and_theirs_come_together(box):
    """D-11: a rename by another program changes what it changes, not what we have not written into names yet."""
    drop(box, "100.a.host:2,FS", sub="cur")
    view = box.select("INBOX")
    box.store_flags(view.folder, EVERYTHING, "+", ["\\Answered"])
    box.store_flags(view.folder, EVERYTHING, "-", ["\\Seen"])
    os.rename(box.home.path / "cur/100.a.host:2,FS", box.home.path / "cur/100.a.host:2,ST")
    assert box.refresh(view.folder)
    bits = rows(box, view.folder, Column.FLAGS)[0][1]
    assert box.flag_text(view.folder, bits) == b"(\\Answered \\Deleted)"
    box.tidy("INBOX")
    assert os.listdir(box.home.path / "cur") == ["100.a.host:2,RT"]


def test_two_changes_in_one_tick_of_the_clock(box):
    """A directory's time that is too young isn't trusted. (In the future: as young as can be, however slow we are.)"""
    drop(box, "100.a.host")
    at = time.time_ns() + 10**10
    os.utime(box.home.path / "new", ns=(at, at))
    view = box.select("INBOX")
    drop(box, "200.b.host")
    os.utime(box.home.path / "new", ns=(at, at))
    time.sleep(0.06)
    assert box.refresh(view.folder)
    assert list(box.select("INBOX").uids) == [1, 2]


def test_quiet_folders_are_not_scanned(box, monkeypatch):
    """I40: two stat calls, no listing."""
    drop(box, "100.a.host")
    for sub in ("new", "cur"):
        os.utime(box.home.path / sub, ns=(10**18 + 1, 10**18 + 1))
    view = box.select("INBOX")
    monkeypatch.setattr(reconcile, "_listing", lambda folder: pytest.fail("listed"))
    assert not box.refresh(view.folder)
    box.select("INBOX")
    box.status("INBOX")


@pytest.mark.parametrize("sub", ["new", "cur"])
def test_a_file_that_another_program_moves_is_found_where_it_is_now(box, sub):
    """I34: between two looks of ours."""
    drop(box, "100.a.host")
    view = box.select("INBOX")
    os.rename(box.home.path / "new/100.a.host", box.home.path / "cur/100.a.host:2,F")
    if sub == "new":
        assert rows(box, view.folder, Column.ENVELOPE)[0][1].startswith(b'(NIL "x"')
    with box.body(view.folder, 1) as body:
        assert body.read().endswith(b"hi\r\n")
    os.unlink(box.home.path / "cur/100.a.host:2,F")
    assert rows(box, view.folder, Column.BODYSTRUCTURE) == []
    assert list(box.bodies(view.folder, EVERYTHING)) == []


def test_insides_removed_and_made_anew(box):
    """The Maildir stays, new and cur are others: what is put there is seen."""
    put(box, 1)
    view = box.select("INBOX")
    for sub in ("new", "cur", "tmp"):
        shutil.rmtree(box.home.path / sub)
    drop(box, "100.a.host")
    assert box.refresh(view.folder)
    assert list(box.select("INBOX").uids) == [2]


def test_a_maildir_removed_in_the_middle_of_a_look(box, monkeypatch):
    """Trouble for now, no mistake; the next look finds what is there then."""
    for number in range(3):
        put(box, number)
    view = box.select("INBOX")
    next((box.home.path / "cur").iterdir(), next((box.home.path / "new").iterdir(), None)).unlink()
    listings = reconcile._listings

    def removing(dirs):
        found = listings(dirs)
        shutil.rmtree(box.home.path, ignore_errors=True)
        for sub in ("new", "cur", "tmp"):
            (box.home.path / sub).mkdir(parents=True)
        return found

    monkeypatch.setattr(reconcile, "_listings", removing)
    with pytest.raises(StoreError, match="taken away"):
        box.refresh(view.folder)
    monkeypatch.setattr(reconcile, "_listings", listings)
    drop(box, "100.a.host")
    assert len(box.select("INBOX").uids) == 1


def test_tidying_makes_no_maildir_for_who_is_gone(box):
    put(box, 1)
    shutil.rmtree(box.home.path)
    box.tidy("INBOX")
    assert not box.home.path.exists()


def test_a_half_removed_folder_is_none_and_can_be_made_again(box):
    box.create("F")
    shutil.rmtree(box.home.path / ".F" / "cur")
    with pytest.raises(NoSuchFolder):
        box.select("F")
    assert not (box.home.path / ".F" / "cur").exists()
    box.tidy("F")
    assert [one.name for one in box.folders()] == ["INBOX"]
    put(box, 1, box.create("F").name)
    assert box.status("F").messages == 1
