"""New names are on the disk when we say so (P04): folders, and what replaces a file."""

import os
from pathlib import Path

import pytest

from bridge.store import failpoints, files, instance, maildir
from bridge.store.failpoints import Failpoint
from bridge.store.spool import Spool
from tests.disk import watched

POINT = Failpoint("testfiles", "operations of this test")


def test_a_path_is_made_with_all_its_names_on_the_disk(tmp_path: Path) -> None:
    """P04: every folder that was missing, each synced in the one above."""
    with watched() as names:
        assert files.make_path(tmp_path / "a/b/c", POINT, mode=0o700)
        assert not files.make_path(tmp_path / "a/b/c", POINT, mode=0o700)
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a/b").stat().st_mode & 0o055 == 0o055, "others may have to pass"
    assert names.below(tmp_path) == []


def test_a_path_may_lead_through_a_link_but_not_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.symlink("real", tmp_path / "link")
    (tmp_path / "file").touch()
    os.symlink("nowhere", tmp_path / "dangling")
    assert files.make_path(tmp_path / "link/one", POINT)
    assert (tmp_path / "real/one").is_dir()
    for wrong in ("file/one", "dangling"):
        with pytest.raises(NotADirectoryError):
            files.make_path(tmp_path / wrong, POINT)


def test_what_replaces_a_file_in_a_new_folder_is_on_the_disk(tmp_path: Path) -> None:
    with watched() as names:
        files.replace(tmp_path / "new/place/file", b"content", POINT)
    assert names.below(tmp_path) == []


def test_a_new_maildir_is_on_the_disk(tmp_path: Path) -> None:
    """P04, P17: an APPEND into a Maildir that the mailbox store made must not hang from a folder without a name."""
    with watched() as names:
        maildir.prepare_root(tmp_path / "example.org/ana/Maildir")
    assert {path.name for path in (tmp_path / "example.org/ana/Maildir").iterdir()} == {"new", "cur", "tmp"}
    assert names.below(tmp_path) == []


def test_a_half_made_maildir_is_completed_and_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "Maildir/tmp").mkdir(parents=True)
    with watched() as names:
        maildir.prepare_root(tmp_path / "Maildir")
        root = files.open_folder(tmp_path)
        (tmp_path / "Maildir/new").rmdir()
        maildir.open_dirs(root, "Maildir", make=True).close()
        os.close(root)
    assert names.below(tmp_path) == []


def test_a_new_folder_of_a_maildir_is_on_the_disk_with_what_it_holds(tmp_path: Path) -> None:
    maildir.prepare_root(tmp_path)
    root = files.open_folder(tmp_path)
    with watched() as names:
        assert maildir.make_folder(root, ".Copias")
    os.close(root)
    assert names.below(tmp_path) == []


@pytest.mark.parametrize("number", range(1, 8))
def test_a_maildir_that_the_disk_interrupts_is_made_at_the_next_try(tmp_path: Path, number: int) -> None:
    """sec-Q03: EIO at the n-th step is reported; the next try makes what is missing and syncs it."""
    failpoints.arm(f"maildir.make=EIO@{number}")
    with watched() as names:
        with pytest.raises(OSError, match="Input/output"):
            maildir.prepare_root(tmp_path / "ana/Maildir")
        failpoints.arm("")
        maildir.prepare_root(tmp_path / "ana/Maildir")
        left = [one for one in names.below(tmp_path) if one.count("/") > 1]
    assert {path.name for path in (tmp_path / "ana/Maildir").iterdir()} == {"new", "cur", "tmp"}
    assert left == []


def test_the_data_folder_and_the_spool_are_on_the_disk(tmp_path: Path) -> None:
    """P01: also the folders above a message, and those that somebody made who died before his sync."""
    with watched() as names:
        instance.make(tmp_path / "data/db")
        (tmp_path / "data/spool").mkdir()
        spool = Spool(tmp_path / "data/spool")
        os.mkdir(tmp_path / "data/spool/tmp")
        spool._tmp()
        spool.close()
    assert [one for one in names.below(tmp_path) if one != "data/spool"] == []
