"""UIDs in a text file."""
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.store import files, uidlist


@pytest.fixture
def folder(tmp_path):
    descriptor = files.open_folder(tmp_path)
    yield descriptor
    os.close(descriptor)


def test_written_appended_and_read(folder):
    """P17, P18"""
    assert uidlist.read(folder) is None
    uidlist.write(folder, 7, 4, [(1, "a,S=1"), (3, "b c")])
    uidlist.append(folder, [(4, "d"), (9, "e")])
    assert uidlist.read(folder) == uidlist.Uidlist(7, 10, {"a,S=1": 1, "b c": 3, "d": 4, "e": 9})
    assert uidlist.last_uid(folder) == (7, 9)


def test_a_line_cut_off_by_a_crash_is_passed_over_and_overwritten(folder, tmp_path):
    """P17"""
    uidlist.write(folder, 7, 2, [(1, "a")])
    with open(tmp_path / uidlist.FILE, "ab") as file:
        file.write(b"2 :half of a na")
    assert uidlist.read(folder) == uidlist.Uidlist(7, 2, {"a": 1})
    assert uidlist.last_uid(folder) == (7, 1)
    uidlist.append(folder, [(2, "b")])
    assert uidlist.read(folder) == uidlist.Uidlist(7, 3, {"a": 1, "b": 2})


@pytest.mark.parametrize("text", [
    b"", b"3 V0 N1\n", b"3 V5\n", b"1 5 6\n", b"3 V5 N3\n2 :a\n1 :b\n", b"3 V5 N3\n1 :a\n1 :b\n", b"3 V5 N3\nrubbish\n",
    b"\0" * 100, b"3 V5 N3\n0 :a\n", b"3 V99999999999 N3\n",
])
def test_what_cannot_be_trusted(folder, tmp_path, text):
    """P18: then the folder gets a new UIDVALIDITY."""
    (tmp_path / uidlist.FILE).write_bytes(text)
    with pytest.raises(uidlist.Damaged):
        uidlist.read(folder)
    uidlist.set_aside(folder)
    assert uidlist.read(folder) is None
    assert (tmp_path / f"{uidlist.FILE}.damaged").exists()


@given(st.binary(max_size=300))
def test_rubbish_is_damaged_or_a_list(data):
    try:
        found = uidlist._parse(b"3 V5 N3\n".decode() + data.decode("utf-8", "surrogateescape"))
    except uidlist.Damaged:
        return
    assert all(0 < uid < found.uidnext for uid in found.uids.values())
