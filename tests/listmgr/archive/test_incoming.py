"""The way into the archive: a post that is said to be there is there after a power cut (P04, P36)."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.model.envelope import Envelope, Origin
from bridge.model.errors import DiskFull, StoreError
from bridge.store import failpoints
from listmgr.archive.incoming import Incoming
from tests.disk import watched

ENVELOPE = Envelope("0000000000000001", "key", "ana@example.org", (), Origin("smtp"), 1_700_000_000.0)
POST = [b"Subject: hola\r\n\r\ncuerpo\r\n"]


def test_a_put_leaves_no_name_to_a_power_cut(tmp_path: Path) -> None:
    """P04: the post, the list's folder, and all above it."""
    with watched() as names:
        Incoming(tmp_path / "archives/incoming").put("general", ENVELOPE, POST)
    assert (tmp_path / "archives/incoming/general" / ENVELOPE.id).exists()
    assert names.below(tmp_path) == []


@pytest.mark.parametrize("trouble", ["EIO", "ENOSPC", "EDQUOT"])
def test_every_step_that_fails_is_reported_and_the_next_put_finishes(tmp_path: Path, trouble: str) -> None:
    """P36: whatever the first attempt left, the second returns with everything on the disk, and one post there."""
    for number in range(1, 30):
        root = tmp_path / str(number)
        root.mkdir()
        failpoints.arm(f"archive.put={trouble}@{number}")
        with watched() as names:
            try:
                Incoming(root / "incoming").put("general", ENVELOPE, POST)
            except StoreError as error:
                full = isinstance(error, DiskFull)
            else:
                break
            assert full == (trouble != "EIO")
            failpoints.arm("")
            Incoming(root / "incoming").put("general", ENVELOPE, POST)
            left = names.below(root)
        if number > 2:      # the first two steps make the folder `incoming`, which the next attempt finds
            assert left == []
        assert Incoming(root / "incoming").ids("general") == [ENVELOPE.id]
    assert number > 8, "hardly any steps"


def test_a_post_whose_name_was_not_synced_is_synced_by_the_next_put(tmp_path: Path) -> None:
    """P36: the same post again, after the sync of its folder failed, is not done before that sync was."""
    incoming = Incoming(tmp_path / "incoming")
    incoming.put("general", replace(ENVELOPE, id="0000000000000002"), POST)
    with watched() as names:
        failpoints.arm("archive.put=EIO@5")     # create, write, fdatasync, rename, then this
        with pytest.raises(StoreError):
            incoming.put("general", ENVELOPE, POST)
        assert names.below(tmp_path) == [f"incoming/general/{ENVELOPE.id}"], "the test arms the wrong step"
        failpoints.arm("archive.put=EIO@1")     # and it is asked for again, and fails again: still not done
        with pytest.raises(StoreError):
            incoming.put("general", ENVELOPE, POST)
        failpoints.arm("")
        incoming.put("general", ENVELOPE, POST)
        assert names.below(tmp_path) == []
