"""Files of an archive for the web: which of them anybody may see, and as what (sec-W02, sec-W03).

Promises: denied unless the archive is public; a path is made of plain names, opened folder by folder and never through
a link (the one link of the layout, `VOLUME/index.html`, is answered by its target); an attachment always comes as a
download of a harmless type, in a sandbox. Fails by: None for whatever may not be seen or is not there, without saying
which.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bridge.store import files
from listmgr.addresses import valid_name

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
CHUNK = 64 * 1024
PAGES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8"}
KINDS = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".txt": "text/plain; charset=utf-8",
    ".zip": "application/zip",
    ".gz": "application/gzip",
}
SANDBOX = "default-src 'none'; sandbox"


@dataclass(frozen=True, slots=True)
class Found:
    """An open file. Read it by `chunks`, which closes it; it is closed as well when nobody came to read it."""

    file: BinaryIO
    etag: str
    headers: dict[str, str]

    def chunks(self) -> Iterator[bytes]:
        with self.file:
            while data := self.file.read(CHUNK):
                yield data

    def close(self) -> None:
        self.file.close()


def is_public(root: Path, name: str) -> bool:
    """Has the archiver published this archive?"""
    return valid_name(name) and (root / "public" / name).is_symlink()


def find(root: Path, name: str, rest: str) -> Found | None:
    """The file `rest` of the archive `name`; the caller has checked who asks."""
    parts = rest.split("/") if rest else ["index.html"]
    if parts[-1] == "":
        parts[-1] = "index.html"
    if len(parts) > 4 or not all(map(_NAME.fullmatch, parts)):
        return None
    if len(parts) == 2 and parts[1] == "index.html":
        parts[1] = "thread.html"
    try:
        folder = files.open_folder(root / "private" / name)
    except OSError:
        return None
    try:
        for part in parts[:-1]:
            inner = files.open_folder(part, folder=folder)
            os.close(folder)
            folder = inner
        descriptor = files.open_read(parts[-1], folder=folder)
    except OSError:
        return None
    finally:
        os.close(folder)
    return _described(descriptor, parts)


def _described(descriptor: int, parts: list[str]) -> Found | None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    kind = os.path.splitext(parts[-1])[1].lower()
    if parts[0] != "attachments" and kind in PAGES:
        headers = {"Content-Type": PAGES[kind]}
    else:
        headers = {
            "Content-Type": KINDS.get(kind, "application/octet-stream"),
            "Content-Disposition": f'attachment; filename="{parts[-1]}"',
            "Content-Security-Policy": SANDBOX,
        }
    headers |= {"Cache-Control": "public, max-age=60", "Content-Length": str(status.st_size)}
    return Found(os.fdopen(descriptor, "rb"), f'"{status.st_mtime_ns:x}-{status.st_size:x}"', headers)
