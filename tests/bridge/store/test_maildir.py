"""Folder and file names of Maildir++."""
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.store import files, maildir
from bridge.store.mail import ANSWERED, FLAGGED, KEYWORD_SHIFT, SEEN, MailError

NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4).map("/".join)


@given(NAMES)
def test_a_name_has_one_directory_and_back(name):
    """sec-I04: no name leads out of the Maildir, and none is two."""
    try:
        name = maildir.check_name(name)
    except MailError:
        return
    directory = maildir.directory_of(name)
    assert "/" not in directory
    assert ".." not in directory
    assert "\0" not in directory
    assert directory.startswith(".")
    assert directory.isascii()
    if name != "INBOX":
        assert maildir.name_of(directory) == name
    assert maildir.check_name(name) == name


def test_folders_of_other_programs_are_seen_under_what_they_wrote(tmp_path):
    for directory in (".A&AOk-", ".Año", ".plain.sub", ".no-folder", "cur", ".bad&name"):
        (tmp_path / directory / ("x" if directory == ".no-folder" else "cur")).mkdir(parents=True)
    os.symlink(tmp_path / ".plain.sub", tmp_path / ".link")
    root = files.open_folder(tmp_path)
    try:
        found = maildir.directories(root)
    finally:
        os.close(root)
    assert found == {"INBOX": ".", "Aé": ".A&AOk-", "Año": ".Año", "plain/sub": ".plain.sub", "bad&name": ".bad&name"}


def test_links_are_not_followed(tmp_path):
    """sec-D06, 0.13"""
    (tmp_path / "away" / "cur").mkdir(parents=True)
    (tmp_path / "box").mkdir()
    os.symlink(tmp_path / "away", tmp_path / "box" / ".evil")
    os.symlink(tmp_path / "away" / "cur", tmp_path / "box" / "new")
    root = files.open_folder(tmp_path / "box")
    try:
        for directory in (".evil", "."):
            with pytest.raises(OSError, match=r"."):
                maildir.open_dirs(root, directory)
    finally:
        os.close(root)


def test_flags_and_letters():
    bits = SEEN | FLAGGED | 1 << KEYWORD_SHIFT | 1 << KEYWORD_SHIFT + 30
    assert maildir.info_of(bits, None, 31) == ":2,FSa"
    assert maildir.bits_of(":2,FSa", 31) == SEEN | FLAGGED | 1 << KEYWORD_SHIFT
    assert maildir.bits_of(":2,FSa", 0) == SEEN | FLAGGED
    assert maildir.info_of(ANSWERED, ":2,PSaz", 1) == ":2,PRz", "what we don't know stays"
    assert maildir.split("a.b:2,S") == ("a.b", ":2,S")
    assert maildir.split("a.b") == ("a.b", "")


def test_sizes_and_times_in_names():
    stem = maildir.sized(10, 12)
    assert (maildir.disk_size(stem), maildir.wire_size(stem)) == (10, 12)
    assert maildir.sizes_of(stem) == [",S=10", ",W=12"]
    assert maildir.seconds(stem) > 1_700_000_000
    assert maildir.seconds("x.y") == 0
    assert maildir.wire_size("100.x") == -1


def test_names_are_unique():
    assert len({maildir.unique() for _ in range(10_000)}) == 10_000
