"""Folders on file systems that break promises are noticed (sec-X14)."""

from pathlib import Path

import pytest

from bridge.store import filesystem

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
server:/mail /srv/mail\\040box nfs4 rw 0 0
/dev/vdb /srv/mail\\040box/fast xfs rw 0 0
overlay /layer overlay rw 0 0
sshfs /far fuse.sshfs rw 0 0
/dev/vdc /layer ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind", "bad"),
    [
        ("/var/lib/estafeta", "ext4", False),
        ("/run/estafeta", "tmpfs", True),
        ("/running", "ext4", False),
        ("/srv/mail box/data", "nfs4", True),
        ("/srv/mail box/fast/data", "xfs", False),
        ("/layer/data", "ext4", False),
        ("/far/data", "fuse.sshfs", True),
    ],
)
def test_the_longest_and_last_mount_decides(tmp_path: Path, folder: str, kind: str, bad: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert filesystem.kind(Path(folder), mounts) == kind
    assert bool(filesystem.danger(Path(folder), mounts)) is bad


def test_no_list_no_answer(tmp_path: Path) -> None:
    assert filesystem.danger(tmp_path, tmp_path / "none") == ""
