"""The drop folder: who may write, what is taken, that nothing half done has a name."""
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from bridge.model.errors import DiskFull
from bridge.store import dropfolder, failpoints
from bridge.store.dropfolder import NotOurs

POINTS = sorted(name for name in failpoints.registered() if name.startswith("drop.") and name != "drop.unlink")


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "drop"
    dropfolder.prepare(found)
    return found


@pytest.fixture
def open_place():
    """One that other users may enter."""
    made = Path(tempfile.mkdtemp(prefix="estafeta-drop."))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def read(folder, name):
    with dropfolder.opened(folder, name) as handed:
        return handed.uid, handed.record, b"".join(handed.message)


def test_mode(folder):
    """S78, sec-Q11: everybody writes, nobody lists, nobody touches others' files; repaired where it is wrong."""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o3733
    folder.chmod(0o777)
    dropfolder.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o3733


def test_there_and_back(folder):
    """S78: owner, record, message; readable for our group only."""
    name = dropfolder.put(str(folder), {"recipients": ["a\r\nb"]}, [b"x" * 100_000, b"", b"\nend"])
    assert dropfolder.waiting(folder) == [name]
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o640
    assert read(folder, name) == (os.geteuid(), {"recipients": ["a\r\nb"]}, b"x" * 100_000 + b"\nend")
    dropfolder.remove(folder, name)
    assert dropfolder.waiting(folder) == []
    with pytest.raises(FileNotFoundError):
        read(folder, name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user(open_place):
    """S78: an unprivileged user can put something there and can't see it afterwards."""
    folder = open_place / "drop"
    dropfolder.prepare(folder)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.umask(0o077)
            dropfolder.put(str(folder), {}, [b"hello"])
            try:
                os.listdir(folder)
            except PermissionError:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    (name,) = dropfolder.waiting(folder)
    assert read(folder, name) == (65534, {}, b"hello")
    assert (folder / name).stat().st_gid == folder.stat().st_gid


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("when", ["", "+"])
def test_trouble_leaves_nothing(folder, point, when):
    """S78: no exit status 0 without the message on the disk, no message without it."""
    failpoints.arm(f"{point}{when}=ENOSPC@1")
    with pytest.raises(DiskFull):
        dropfolder.put(str(folder), {}, [b"hello"])
    assert dropfolder.waiting(folder) == []


@pytest.mark.parametrize("point", ["drop.write+=kill", "drop.fdatasync=kill", "drop.rename=kill"])
def test_killed_while_writing(folder, point):
    """A part has no name that is taken, and goes after a day."""
    pid = os.fork()
    if not pid:
        failpoints.arm(point)
        dropfolder.put(str(folder), {}, [b"hello"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert dropfolder.waiting(folder) == []
    (part,) = folder.iterdir()
    os.utime(part, (1, 1))
    assert dropfolder.waiting(folder) == []
    assert not list(folder.iterdir())


def test_hostile_files(folder, tmp_path):
    """sec-Q11: links, second names, devices, folders, garbage: refused; what they point to is untouched."""
    victim = tmp_path / "victim"
    victim.write_text(json.dumps({}) + "\nsecret")
    names = [f"{number:032x}" for number in range(7)]
    (folder / names[0]).symlink_to(victim)
    os.link(victim, folder / names[1])
    os.mkfifo(folder / names[2])
    (folder / names[3]).mkdir()
    (folder / names[4]).write_bytes(b"\xff" * 100)
    (folder / names[5]).write_bytes(b"[" * 100_000 + b"\n")
    (folder / names[6]).write_bytes(b"")
    assert set(dropfolder.waiting(folder)) == set(names)
    for name in names:
        with pytest.raises(NotOurs), dropfolder.opened(folder, name):
            pass
        dropfolder.remove(folder, name)
    assert dropfolder.waiting(folder) == [names[3]]
    assert victim.read_text().endswith("secret")
