"""Where the files of an archive lie, and how they are written: the layout of pipermail, to the letter.

    private/LIST.mbox/LIST.mbox         the master, only ever appended to
    private/LIST/index.html  style.css  VOLUME.txt.gz
    private/LIST/VOLUME/NNNNNN.html  thread.html subject.html author.html date.html  index.html -> thread.html
    private/LIST/attachments/YYYYMMDD/HHHHHHHH/name
    public/LIST -> ../private/LIST      while the archive is public

Promises: a page is replaced whole or not at all; with `durable` it is on disk when `put` returns (pages can be made
again, so a rebuild does without and syncs once at its end). Fails by: OSError, DiskFull.
"""

import os
import shutil
from pathlib import Path

from bridge.store import files
from bridge.store.failpoints import Failpoint

_APPEND = Failpoint("archive.mbox", "entries to the master mbox")
_SYNC = Failpoint("archive.sync", "the master mbox to the disk")
_PAGE = Failpoint("archive.page", "a page of the archive to its file")
_LINK = Failpoint("archive.link", "the public link of an archive")


class Tree:
    """The files of one list below `root` (the archives folder)."""

    def __init__(self, root: Path, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.folder = folder or root / "private" / name
        self.mbox = root / "private" / f"{name}.mbox" / f"{name}.mbox"
        self.public = root / "public" / name
        self._made: set[str] = set()

    @property
    def lock(self) -> Path:
        return self.mbox.parent / "lock"

    def make(self) -> None:
        """The folders that everything else needs."""
        for folder in (self.folder, self.mbox.parent, self.public.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)

    def append(self, data: bytes) -> None:
        """More of the master mbox, on disk when this returns."""
        descriptor = files.open_append(self.mbox, _APPEND)
        try:
            files.write(descriptor, data, _APPEND)
            files.fdatasync(descriptor, _SYNC)
        finally:
            os.close(descriptor)

    def end(self) -> int:
        """Bytes in the master mbox."""
        try:
            return self.mbox.stat().st_size
        except FileNotFoundError:
            return 0

    def put(self, name: str, data: bytes, *, durable: bool) -> None:
        """The file `name` (a path below the list's folder, made by us) with this content."""
        path = f"{self.folder}/{name}"
        folder, _, base = path.rpartition("/")
        if folder not in self._made:
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o755)
            self._made.add(folder)
        draft = f"{folder}/.{base}.tmp"
        try:
            descriptor = files.create(draft, _PAGE, mode=0o644)
        except FileExistsError:  # left by a crash
            files.unlink(draft, _PAGE)
            descriptor = files.create(draft, _PAGE, mode=0o644)
        try:
            files.write(descriptor, data, _PAGE)
            if durable:
                files.fdatasync(descriptor, _PAGE)
        finally:
            os.close(descriptor)
        files.rename(draft, path, _PAGE)

    def settle(self) -> None:
        """The names that `put` made survive a power cut from here on."""
        for name in self._made:
            folder = files.open_folder(name)
            try:
                files.sync_folder(folder, _SYNC)
            finally:
                os.close(folder)
        self._made.clear()

    def read(self, name: str) -> bytes:
        """The file `name`, b"" if it is not there."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return b""

    def size(self, name: str) -> int:
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return 0

    def replace_with(self, draft: Path, old: Path) -> None:
        """The finished folder `draft` takes this one's place; what was here becomes `old`."""
        files.rename(self.folder, old, _PAGE)
        files.rename(draft, self.folder, _PAGE)
        above = files.open_folder(self.folder.parent)
        try:
            files.sync_folder(above, _SYNC)
        finally:
            os.close(above)

    def default_index(self, volume: str) -> None:
        """`VOLUME/index.html` is a link to the thread view."""
        link = self.folder / volume / "index.html"
        if not link.is_symlink():
            link.symlink_to("thread.html")

    def publish(self, public: bool) -> None:
        """Make the public link, or take it away."""
        _LINK.before()
        if public and not self.public.is_symlink():
            self.public.symlink_to(Path("..") / "private" / self.name)
        elif not public and self.public.is_symlink():
            files.unlink(self.public, _LINK)
        _LINK.after()

    def erase(self) -> None:
        """Everything away: the link, the pages, the master."""
        if self.public.is_symlink():
            files.unlink(self.public, _LINK)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.mbox.parent, ignore_errors=True)
