"""What every driver promises: D02 Maildir, D01 mbox, D03 database."""
from datetime import UTC, datetime

import pytest

from bridge.store.mail import EVERYTHING, Column, MailError
from bridge.wire.imap.args.searchkey import Text
from tests.contract.conftest import bodies, mail, put, rows


def test_append_and_read_back(kept):
    """D01, D03: bytes, size, date and flags as given, in each view of the message."""
    when = datetime(2026, 11, 22, 7, 50, 19, tzinfo=UTC)
    assert put(kept.box, 7, flags=["\\Seen", "$Work"], date=when).target == (1,)
    view = kept.box.select("INBOX")
    assert list(view.uids) == [1]
    columns = (Column.FLAGS, Column.SIZE, Column.INTERNALDATE, Column.ENVELOPE, Column.HEADER)
    (_, flags, size, date, envelope, header), = rows(kept.box, view.folder, *columns)
    assert kept.box.flag_text(view.folder, flags) == b"(\\Seen $Work)"
    assert (size, date) == (len(mail(7)), b'"22-Nov-2026 07:50:19 +0000"')
    assert b'"Hola 7"' in envelope
    assert header == mail(7)[: mail(7).index(b"\r\n\r\n") + 4]
    assert bodies(kept.box, view.folder) == {1: mail(7)}
    with kept.box.body(view.folder, 1) as body:
        assert body.read() == mail(7)
        assert body.read(5, 20) == mail(7)[5:25]


def test_several_at_once_are_all_or_none(kept):
    drafts = []
    for number in range(3):
        draft = kept.box.draft()
        draft.write(mail(number))
        draft.end()
        drafts.append(draft)
    with pytest.raises(MailError):
        kept.box.append("INBOX", [(drafts[0], (), None), (drafts[1], ["bad flag"], None), (drafts[2], (), None)])
    assert kept.box.status("INBOX").messages == 0
    assert kept.again().status("INBOX").messages == 0


def test_other_processes_see_it(kept):
    """Another process has the account open at the same time."""
    other = kept.again()
    other.select("INBOX")
    put(kept.box, 1)
    put(kept.box, 2)
    assert list(other.select("INBOX").uids) == [1, 2]
    put(other, 3)
    view = kept.box.select("INBOX")
    assert list(view.uids) == [1, 2, 3]
    assert bodies(kept.box, view.folder) == {number: mail(number) for number in (1, 2, 3)}


def test_flags_and_expunge(kept):
    for number in (1, 2, 3, 4):
        put(kept.box, number)
    folder = kept.box.select("INBOX").folder
    kept.box.store_flags(folder, [(2, 3)], "+", ["\\Deleted", "\\Flagged"])
    kept.box.store_flags(folder, [(3, 3)], "-", ["\\Deleted"])
    assert kept.box.expunge(folder).uids == (2,)
    kept.box.tidy("INBOX")
    assert list(kept.box.select("INBOX").uids) == [1, 3, 4]
    assert bodies(kept.box, folder) == {number: mail(number) for number in (1, 3, 4)}
    seen = kept.again()
    assert list(seen.select("INBOX").uids) == [1, 3, 4]
    assert seen.flag_text(folder, rows(seen, folder, Column.FLAGS)[1][1]) == b"(\\Flagged)"


def test_copy_and_move_between_folders(kept):
    """Also where the two folders are kept in different ways."""
    kept.box.create("Archive/2026")
    for number in (1, 2, 3):
        put(kept.box, number, flags=["\\Seen", "$Work"] if number == 2 else [])
    folder = kept.box.select("INBOX").folder
    copied = kept.box.copy(folder, [(1, 2)], "Archive/2026")
    assert (copied.source, copied.target) == ((1, 2), (1, 2))
    moved = kept.box.move(folder, [(2, 3)], "Archive/2026")
    assert (moved.source, moved.target) == ((2, 3), (3, 4))
    assert list(kept.box.select("INBOX").uids) == [1]
    there = kept.box.select("Archive/2026")
    assert bodies(kept.box, there.folder) == {1: mail(1), 2: mail(2), 3: mail(2), 4: mail(3)}
    flags = [kept.box.flag_text(there.folder, row[1]) for row in rows(kept.box, there.folder, Column.FLAGS)]
    assert flags == [b"()", b"(\\Seen $Work)", b"(\\Seen $Work)", b"()"]
    back = kept.box.move(there.folder, [(2, 2)], "INBOX")
    assert back.target == (4,)
    assert bodies(kept.box, folder) == {1: mail(1), 4: mail(2)}
    again = kept.again()
    assert list(again.select("INBOX").uids) == [1, 4]
    assert again.status("Archive/2026").messages == 3


def test_copies_of_one_message_in_one_folder(kept):
    """The same bytes several times are several messages; the right one goes."""
    put(kept.box, 1)
    folder = kept.box.select("INBOX").folder
    kept.box.copy(folder, EVERYTHING, "INBOX")
    kept.box.copy(folder, [(1, 1)], "INBOX")
    assert list(kept.box.select("INBOX").uids) == [1, 2, 3]
    kept.box.store_flags(folder, [(3, 3)], "+", ["\\Flagged"])
    kept.box.expunge(folder, [(1, 1)], marked=False)
    kept.box.tidy("INBOX")
    assert list(kept.box.select("INBOX").uids) == [2, 3]
    assert bodies(kept.again(), folder) == {2: mail(1), 3: mail(1)}
    put(kept.box, 1)
    assert list(kept.box.select("INBOX").uids) == [2, 3, 4]


def test_folders_are_made_renamed_and_removed(kept):
    kept.box.create("Work")
    put(kept.box, 1, "Work")
    uidvalidity = kept.box.folder("Work").uidvalidity
    kept.box.rename("Work", "Play/Chess")
    assert kept.box.folder("Play/Chess").uidvalidity == uidvalidity
    assert bodies(kept.box, kept.box.select("Play/Chess").folder) == {1: mail(1)}
    assert [one.name for one in kept.again().folders()] == ["INBOX", "Play", "Play/Chess"]
    kept.box.delete("Play/Chess")
    assert [one.name for one in kept.again().folders()] == ["INBOX"]
    kept.box.create("Play/Chess")
    assert kept.box.status("Play/Chess").messages == 0
    with pytest.raises(MailError):
        kept.box.delete("INBOX")


def test_renaming_inbox_moves_its_mail(kept):
    put(kept.box, 1)
    kept.box.rename("INBOX", "Old")
    assert kept.box.status("INBOX").messages == 0
    assert bodies(kept.box, kept.box.select("Old").folder) == {1: mail(1)}


def test_pop3(kept):
    """I48: sizes and UIDLs; what QUIT deletes is gone."""
    for number in (1, 2, 3):
        put(kept.box, number)
    release = kept.box.lock_maildrop()
    assert release is not None
    assert kept.again().lock_maildrop() is None
    folder, drops = kept.box.maildrop()
    assert [one.size for one in drops] == [len(mail(number)) for number in (1, 2, 3)]
    assert len({one.uidl for one in drops}) == 3
    with kept.box.body(folder, drops[1].uid) as body:
        assert body.read() == mail(2)
    kept.box.expunge(folder, [(1, 2)], marked=False)
    release()
    assert [one.uid for one in kept.again().maildrop()[1]] == [3]


def test_search_in_text(kept):
    for number in (1, 2):
        put(kept.box, number)
    view = kept.box.select("INBOX")
    assert kept.box.search(view.folder, Text("dos 2", body_only=False), view.uids) == [2]


def test_uids_survive_the_loss_of_the_index(kept):
    """P17, P18, sec-D11."""
    for number in (1, 2, 3):
        put(kept.box, number)
    folder = kept.box.select("INBOX").folder
    kept.box.expunge(folder, [(2, 2)], marked=False)
    kept.box.tidy("INBOX")
    again = kept.forget()
    view = again.select("INBOX")
    assert (list(view.uids), view.folder.uidvalidity) == ([1, 3], folder.uidvalidity)
    assert view.uidnext > 3
    assert bodies(again, view.folder) == {1: mail(1), 3: mail(3)}


def test_a_big_message_is_streamed(kept):
    draft = kept.box.draft()
    head, line = b"Subject: big\r\n\r\n", b"From " + b"x" * 70 + b"\r\n"
    draft.write(head)
    for _ in range(60):
        draft.write(line * 500)
    draft.end()
    kept.box.append("INBOX", [(draft, (), None)])
    folder = kept.box.select("INBOX").folder
    with kept.box.body(folder, 1) as body:
        assert body.size == len(head) + len(line) * 30_000
        assert body.read(len(head) + len(line) * 20_000, len(line)) == line
        assert body.read(0, len(head)) == head


def test_odd_messages_come_back(kept):
    """Without a body, without a header, with a last line that doesn't end."""
    odd = [
        b"Subject: x\r\n\r\n", b"\r\nbody\r\n", b"A: b\r\n\r\n\r\n\r\n", b"A: b\r\n\r\nFrom x\r\n",
        b"From: a@b\r\n\r\nlast",
    ]
    for text in odd:
        draft = kept.box.draft()
        draft.write(text)
        draft.end()
        kept.box.append("INBOX", [(draft, (), None)])
    view = kept.box.select("INBOX")
    found = list(bodies(kept.again(), view.folder).values())
    assert found[:4] == odd[:4]
    assert found[4].removesuffix(b"\r\n") == odd[4]
    assert [row[1] for row in rows(kept.box, view.folder, Column.SIZE)] == [len(one) for one in found]
