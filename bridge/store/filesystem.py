"""On what kind of file system a folder lies, because some break promises (SECURITY D-3, sec-X14).

Network file systems have no reliable locks or syncs, tmpfs forgets, overlay may not sync what it should.
"""

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_DANGERS = {
    "nfs": "locks and syncs over a network file system can't be relied on",
    "nfs4": "locks and syncs over a network file system can't be relied on",
    "cifs": "locks and syncs over a network file system can't be relied on",
    "smb3": "locks and syncs over a network file system can't be relied on",
    "9p": "locks and syncs over a network file system can't be relied on",
    "tmpfs": "everything in it is gone after a restart of the machine",
    "ramfs": "everything in it is gone after a restart of the machine",
    "overlay": "it is a container's own layer, gone with the container; use a volume",
}


def kind(folder: Path, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that holds `folder` (or its nearest existing parent); "" if it can't be told."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    where = os.path.realpath(folder)
    best, found = -1, ""
    for line in lines:
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = parts[1].encode("latin-1", "replace").decode("unicode_escape")
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:       # a later mount on the same point hides the earlier one
            best, found = len(point), parts[2]
    return found


def danger(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Why `folder` is a bad place for mail; "" if it isn't."""
    name = kind(folder, mounts)
    why = _DANGERS.get(name) or ("its syncs depend on a program" if name.startswith("fuse") else "")
    return f"{folder} is on {name}: {why}" if why else ""
