"""Durable puts into Maildirs: what is written, how it is named, and that no crash or full disk loses or doubles any."""
import os
import re
import stat
from pathlib import Path

import pytest

from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull, StoreError
from bridge.store import failpoints
from bridge.store.copies import Copy, Letter
from bridge.store.delivery import Maildirs
from bridge.store.spool import CHUNK, Damaged, Spool

TEXT = b"Received: from a\r\nSubject: hi\r\n\r\nbody\r\n.\r\nlast\r\n"
POINTS = sorted(name for name in failpoints.registered() if name.startswith("delivery."))


def spooled(tmp_path, text=TEXT, number=0):
    spool = Spool(tmp_path / "spool", threads=1)
    one = f"00000000000{number:05d}"
    envelope = Envelope(one, one, "ann@example.org", (Recipient("bob@example.org"),), Origin("smtp"), 1700000000.5)
    draft = spool.begin(envelope)
    draft.write(text)
    found = spool.commit(draft).result()
    spool.close()
    return found


def copy(tmp_path, key=1, name="bob", **changes):
    values = {"address": f"{name}@example.org", "original": f"{name}@example.org", "sender": "ann@example.org"}
    return Copy(key, str(tmp_path / "mail/example.org" / name / "Maildir"), **(values | changes))


def maildirs(tmp_path, **options):
    return Maildirs(tmp_path / "mail", "mx.example.org", **options)


def files_of(one, folder="new"):
    return sorted((Path(one.maildir) / folder).iterdir())


def test_written_file(tmp_path):
    """D02, D05, S24: LF, three fields on top, derived name with both sizes, 0600, tmp empty."""
    one = copy(tmp_path, original="robert@example.org")
    store = maildirs(tmp_path)
    assert store.put([Letter(spooled(tmp_path), (one,))]) == {1: one.maildir}
    (path,) = files_of(one)
    top = b"Return-Path: <ann@example.org>\nX-Original-To: robert@example.org\nDelivered-To: bob@example.org\n"
    data = path.read_bytes()
    assert data == top + TEXT.replace(b"\r\n", b"\n")
    size, wire = len(data), len(data.replace(b"\n", b"\r\n"))
    assert re.fullmatch(rf"1700000000\.Q0000000000000000R[0-9a-f]{{12}}\.mx\.example\.org,S={size},W={wire}", path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not files_of(one, "tmp")
    assert stat.S_IMODE(os.stat(one.maildir).st_mode) == 0o700
    store.close()


def test_null_sender_and_return_path_of_others(tmp_path):
    """sec-S20: a Return-Path that came with the message goes, folded or not, in any case; in the body it stays."""
    text = b"Received: x\r\nreturn-PATH: <evil@example.com>\r\n\t(folded)\r\nTo: b\r\n\r\nReturn-Path: body\r\n"
    one = copy(tmp_path, sender="")
    maildirs(tmp_path).put([Letter(spooled(tmp_path, text), (one,))])
    data = files_of(one)[0].read_bytes()
    assert data.startswith(b"Return-Path: <>\n")
    assert b"evil" not in data
    assert b"folded" not in data
    assert data.endswith(b"\nReceived: x\nTo: b\n\nReturn-Path: body\n")


def test_addresses_cant_make_lines(tmp_path):
    """sec-M06: nothing that stands in an address makes a second header line."""
    one = copy(tmp_path, original="a\r\nBcc: x@example.org", sender="s\nX: y\0")
    maildirs(tmp_path).put([Letter(spooled(tmp_path), (one,))])
    head = files_of(one)[0].read_bytes().split(b"Received", 1)[0]
    assert head == b"Return-Path: <sX: y>\nX-Original-To: aBcc: x@example.org\nDelivered-To: bob@example.org\n"


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK * 2 + 7])
def test_large_bodies_in_chunks(tmp_path, size):
    """A CRLF cut by a chunk border is still one line end; never whole in memory."""
    text = b"Received: x\r\n\r\n" + b"ab\r\n" * (size // 4) + b"\r\n"
    text = b"X: " + b"y" * (CHUNK - 6 - len(b"Received: x\r\n")) + b"\r\n" + text
    one = copy(tmp_path)
    maildirs(tmp_path).put([Letter(spooled(tmp_path, text), (one,))])
    path = files_of(one)[0]
    data = path.read_bytes()
    assert data.split(b"bob@example.org\nDelivered-To: bob@example.org\n")[1] == text.replace(b"\r\n", b"\n")
    assert f"S={len(data)},W={len(data) + data.count(10)}" in path.name


def test_fifty_recipients_each_with_their_own_fields(tmp_path):
    copies = tuple(copy(tmp_path, number, f"u{number}") for number in range(50))
    store = maildirs(tmp_path, at_once=16)
    assert set(store.put([Letter(spooled(tmp_path), copies)])) == set(range(50))
    for one in copies:
        assert f"Delivered-To: {one.address}\n".encode() in files_of(one)[0].read_bytes()
    store.close()


def test_twice_is_once(tmp_path):
    """P08: the name is made from message and recipient, so a repeated put finds itself, also in cur/."""
    letter = Letter(spooled(tmp_path), (copy(tmp_path),))
    one = letter.copies[0]
    store = maildirs(tmp_path)
    assert store.put([letter]) == store.put([letter]) == {1: one.maildir}
    (path,) = files_of(one)
    path.rename(Path(one.maildir) / "cur" / (path.name + ":2,S"))
    assert store.put([Letter(letter.spooled, letter.copies, again=True)]) == {1: one.maildir}
    assert files_of(one) == files_of(one, "tmp") == []
    assert len(files_of(one, "cur")) == 1


def test_two_recipients_in_one_maildir(tmp_path):
    """Two final addresses of one account are two copies, with names of their own."""
    first = copy(tmp_path)
    second = copy(tmp_path, 2, address="other@example.org")
    assert maildirs(tmp_path).put([Letter(spooled(tmp_path), (first, second))]).keys() == {1, 2}
    assert len(files_of(first)) == 2


def test_leftover_draft_is_replaced(tmp_path):
    """P02: half a file that a crash left in tmp/ is never linked."""
    one, letter = copy(tmp_path), Letter(spooled(tmp_path), (copy(tmp_path),))
    store = maildirs(tmp_path)
    failpoints.arm("delivery.fdatasync=EIO@1,delivery.unlink=EIO")
    assert isinstance(store.put([letter])[1], OSError)
    assert len(files_of(one, "tmp")) == 1
    failpoints.arm("delivery.unlink=EIO")
    assert isinstance(store.put([letter])[1], OSError)
    assert not files_of(one)
    failpoints.arm("")
    assert store.put([letter]) == {1: one.maildir}
    assert len(files_of(one)) == 1
    assert not files_of(one, "tmp")


@pytest.mark.parametrize("folder", ["", "tmp", "new", "cur"])
def test_never_through_a_link(tmp_path, folder):
    """sec-D06: a link where a folder of the Maildir should be: temporary trouble, nothing written elsewhere."""
    one = copy(tmp_path)
    for name in ("tmp", "new", "cur"):
        (Path(one.maildir) / name).mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    place = Path(one.maildir) / folder
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    assert isinstance(maildirs(tmp_path).put([Letter(spooled(tmp_path), (one,))])[1], OSError)
    assert not [path for path in elsewhere.rglob("*") if path.is_file()]


def test_folder_replaced_under_us(tmp_path):
    """A kept descriptor is only used while the name still means the same folder."""
    one = copy(tmp_path)
    store = maildirs(tmp_path)
    store.put([Letter(spooled(tmp_path), (one,))])
    Path(one.maildir).rename(tmp_path / "old")
    store.put([Letter(spooled(tmp_path, number=1), (one,))])
    assert len(files_of(one)) == 1
    Path(one.maildir, "tmp").rmdir()
    assert isinstance(store.put([Letter(spooled(tmp_path, number=2), (one,))])[1], OSError)
    assert store.put([Letter(spooled(tmp_path, number=2), (one,))]) == {1: one.maildir}


def test_only_below_the_root(tmp_path):
    """A Maildir outside the mail folder is made, the folders above it are not: a disk may not be mounted."""
    store = maildirs(tmp_path)
    (tmp_path / "home").mkdir()
    inside = Copy(1, str(tmp_path / "home/Maildir"), "a@example.org", "a@example.org", "")
    outside = Copy(2, str(tmp_path / "absent/Maildir"), "a@example.org", "a@example.org", "")
    answers = store.put([Letter(spooled(tmp_path), (inside, outside))])
    assert answers[1] == inside.maildir
    assert isinstance(answers[2], FileNotFoundError)
    assert not (tmp_path / "absent").exists()


def test_spool_file_too_short(tmp_path):
    letter = Letter(spooled(tmp_path), (copy(tmp_path),))
    os.truncate(letter.spooled.path, letter.spooled.start + 5)
    assert isinstance(maildirs(tmp_path).put([letter])[1], Damaged)
    assert not files_of(letter.copies[0])


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EMFILE", "ENFILE"])
@pytest.mark.parametrize("point", [name + sign for name in POINTS for sign in ("", "+")])
def test_disk_errors(tmp_path, point, error):
    """D07, sec-Q03, sec-Q04: trouble at any point is the copy's answer; after the next put there is one whole file."""
    letters = [
        Letter(spooled(tmp_path, number=number), (copy(tmp_path, number * 2), copy(tmp_path, number * 2 + 1, "eve")))
        for number in range(3)
    ]
    store = maildirs(tmp_path)
    failpoints.arm(f"{point}={error}@1")
    answers = store.put(letters)
    failpoints.arm("")
    bad = [answer for answer in answers.values() if not isinstance(answer, str)]
    assert len(answers) == 6
    if point.startswith("delivery.unlink"):
        assert not bad
    else:
        assert bad
        assert all(isinstance(one, OSError | StoreError) for one in bad)
        assert error not in ("ENOSPC", "EDQUOT") or any(isinstance(one, DiskFull) for one in bad)
    check_whole(letters)
    store.put([Letter(one.spooled, one.copies, again=True) for one in letters])
    check_whole(letters, complete=True)
    store.close()


def check_whole(letters, complete=False):
    for letter in letters:
        for one in letter.copies:
            new = Path(one.maildir, "new")
            found = list(new.glob(f"*{letter.spooled.envelope.id}*"))
            assert len(found) == 1 or (not found and not complete)
            assert all(path.read_bytes().endswith(TEXT.replace(b"\r\n", b"\n")) for path in found)


@pytest.mark.parametrize("hit", [1, 3])
@pytest.mark.parametrize("point", [name + sign for name in POINTS for sign in ("", "+")])
def test_killed_anywhere(tmp_path, point, hit):
    """P08, sec-Q01: killed at any point and put again: nothing lost, nothing doubled, nothing half."""
    letters = [Letter(spooled(tmp_path, number=n), (copy(tmp_path, n, f"u{n}"),)) for n in range(4)]
    child = os.fork()
    if child == 0:
        failpoints.arm(f"{point}=kill@{hit}")
        maildirs(tmp_path, threads=1).put(letters)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status)
    check_whole(letters)
    maildirs(tmp_path).put([Letter(one.spooled, one.copies, again=True) for one in letters])
    check_whole(letters, complete=True)
    assert not any(files_of(one.copies[0], "tmp") for one in letters)
