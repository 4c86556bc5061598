"""Durable puts into Maildirs, many at a time; the same put twice leaves one file (SECURITY D-5, P02, P08, P15).

Order, for a whole batch: write in tmp/ (LF line ends; Return-Path, X-Original-To, Delivered-To on top, a Return-Path of
others taken out), fdatasync in parallel threads, link to new/ under a name made from message and recipient (it exists:
done before), unlink in tmp/, fsync new/ once per folder. Only then a copy counts as stored.
Promises: a file in new/ is whole; names go through folder descriptors and never through a link (sec-D06); a body is in
memory one chunk at a time and is converted once, however many recipients. Missing Maildirs are made, below `root` only.
Fails by: an OSError or StoreError in the answer for each copy concerned; nothing of it is visible then, or it is
found again by its name. Never raises for a copy.
Name: <seconds>.Q<queue id>R<recipient hash>.<host>,S=<bytes on disk>,W=<bytes with CRLF>
"""
import errno
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bridge.model.errors import StoreError
from bridge.store import files
from bridge.store.copies import Copy, Letter, converted, mark_of, top
from bridge.store.failpoints import Failpoint
from bridge.store.spool import Damaged

AT_ONCE = 128        # copies whose files are open at the same time
FOLDERS = 512        # Maildirs whose descriptors are kept open

_CREATE = Failpoint("delivery.create", "new file in a Maildir's tmp/")
_WRITE = Failpoint("delivery.write", "bytes of a message into tmp/")
_FDATASYNC = Failpoint("delivery.fdatasync", "message bytes to the disk")
_LINK = Failpoint("delivery.link", "the name in new/")
_UNLINK = Failpoint("delivery.unlink", "removal of the name in tmp/")
_FSYNC = Failpoint("delivery.fsync", "names of new/ to the disk")
_MKDIR = Failpoint("delivery.mkdir", "a new Maildir and its folders")

Trouble = OSError | StoreError | Damaged
Result = str | Trouble
Item = TypeVar("Item")


class Maildirs:
    """Puts letters into Maildirs. Safe to use from several threads; opens nothing before its first use."""

    def __init__(
        self, root: Path, host: str, *, owner: tuple[int, int] | None = None, threads: int = 8, at_once: int = AT_ONCE
    ) -> None:
        self._root, self._owner, self._at_once = str(root), owner, at_once
        self._host = host.translate({ord("/"): "\\057", ord(":"): "\\072", ord(","): "\\054"})
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._folders: OrderedDict[str, _Folder] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, letters: Iterable[Letter]) -> dict[int, Result]:
        """Store all copies; per key the Maildir that has it, or the trouble. Blocks: use a thread."""
        answers: dict[int, Result] = {}
        for batch in _batches(letters, self._at_once):
            self._put(batch, answers)
        return answers

    def close(self) -> None:
        """Let the folders and threads go."""
        with self._lock:
            self._folders.clear()
            pool, self._pool = self._pool, None
        if pool:
            pool.shutdown()

    def _put(self, batch: list[Letter], answers: dict[int, Result]) -> None:
        opened: dict[str, _Folder] = {}
        drafts: list[_Draft] = []
        try:
            for letter in batch:
                self._write(letter, opened, drafts, answers)
            self._sync(drafts)
            for draft in drafts:
                draft.close()
                draft.publish()
        finally:
            for draft in drafts:
                draft.discard()
        self._seal(drafts, answers)

    # --- writing

    def _write(
        self, letter: Letter, opened: dict[str, "_Folder"], drafts: list["_Draft"], answers: dict[int, Result]
    ) -> None:
        """Drafts of all copies of one letter; those that can't be written get their answer."""
        begun: list[_Draft] = []
        stem = f"{int(letter.spooled.envelope.received_at)}.Q{letter.spooled.envelope.id}R"
        for copy in letter.copies:
            try:
                folder = opened.get(copy.maildir)
                if folder is None:
                    folder = opened[copy.maildir] = self._folder(copy.maildir)
            except (OSError, StoreError) as error:
                answers[copy.key] = error
                continue
            draft = _Draft(copy, folder, f"{stem}{mark_of(copy.address)}.{self._host}")
            drafts.append(draft)
            if draft.begin(letter.again):
                begun.append(draft)
            elif draft.trouble:
                self._forget(copy.maildir)
        if not begun:
            return
        try:
            for chunk in converted(letter.spooled):
                for draft in begun:
                    draft.write(chunk)
        except (OSError, StoreError, Damaged) as error:
            for draft in begun:
                draft.trouble = draft.trouble or error

    def _sync(self, drafts: list["_Draft"]) -> None:
        """Bytes to the disk."""
        self._spread(_Draft.sync, [draft for draft in drafts if draft.descriptor >= 0 and draft.trouble is None])

    def _spread(self, act: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Act on all items, several at a time: the disk's journal merges syncs that run in parallel."""
        waiting = deque(items)
        helpers = [self._helpers().submit(_work_off, act, waiting) for _ in range(min(len(items), self._threads) - 1)]
        _work_off(act, waiting)
        for helper in helpers:
            helper.result()

    def _helpers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "put")
            return self._pool

    def _seal(self, drafts: list["_Draft"], answers: dict[int, Result]) -> None:
        """Names to the disk, then the answers."""
        seals: dict[int, _Seal] = {}
        for draft in drafts:
            if draft.trouble is None:
                seal = seals.get(id(draft.folder)) or seals.setdefault(id(draft.folder), _Seal(draft.folder))
                seal.moved |= draft.present
        self._spread(_Seal.sync, list(seals.values()))
        for draft in drafts:
            trouble = draft.trouble or seals[id(draft.folder)].trouble
            answers[draft.copy.key] = trouble or draft.folder.path
            if trouble:
                self._forget(draft.folder.path)

    # --- folders

    def _folder(self, path: str) -> "_Folder":
        """The open Maildir at `path`: a kept one if the name still means it, else opened or made."""
        with self._lock:
            found = self._folders.get(path)
            if found is not None:
                self._folders.move_to_end(path)
        if found is not None and found.current():
            return found.fresh()
        opened = _Folder(path, self._make)
        with self._lock:
            self._folders[path] = opened
            if len(self._folders) > FOLDERS:
                self._folders.popitem(last=False)
        return opened

    def _forget(self, path: str) -> None:
        with self._lock:
            self._folders.pop(path, None)

    def _make(self, path: str) -> None:
        """The Maildir and what is missing above it, each name synced in its folder; only the Maildir outside `root`."""
        inside = path.startswith(self._root + os.sep)
        missing = [path]
        while inside and (above := os.path.dirname(missing[-1])) != self._root and not os.path.lexists(above):
            missing.append(above)
        if inside and not os.path.lexists(self._root):
            missing.append(self._root)
        for folder in reversed(missing):
            self._make_one(folder)
        parent = files.open_folder(path)
        try:
            for name in ("tmp", "new", "cur"):
                if files.make_folder(name, _MKDIR, folder=parent) and self._owner:
                    os.chown(name, *self._owner, dir_fd=parent, follow_symlinks=False)
            files.sync_folder(parent, _MKDIR)
        finally:
            os.close(parent)

    def _make_one(self, path: str) -> None:
        above = files.open_folder(os.path.dirname(path))
        try:
            if files.make_folder(os.path.basename(path), _MKDIR, folder=above):
                if self._owner:
                    os.chown(os.path.basename(path), *self._owner, dir_fd=above, follow_symlinks=False)
                files.sync_folder(above, _MKDIR)
        finally:
            os.close(above)


class _Folder:
    """The open descriptors of one Maildir; closed when the last user lets go."""

    __slots__ = ("_names", "_watched", "cur", "new", "owner", "path", "tmp")

    def __init__(self, path: str, make: Callable[[str], None]) -> None:
        self.path = path
        self.tmp = self.new = self.cur = -1
        self._names: set[str] | None = None
        self._watched = path + "/new"
        try:
            self._open(path)
        except FileNotFoundError:
            self._close()
            make(path)
            self._open(path)

    def _open(self, path: str) -> None:
        top = files.open_folder(path)
        try:
            self.tmp = files.open_folder("tmp", folder=top)
            self.new = files.open_folder("new", folder=top)
            self.cur = files.open_folder("cur", folder=top)
        finally:
            os.close(top)
        found = os.fstat(self.new)
        self.owner: tuple[int, int] | None = None
        if found.st_uid != os.geteuid():
            if os.geteuid() != 0:
                raise PermissionError(errno.EACCES, "the Maildir belongs to somebody else", path)
            self.owner = (found.st_uid, found.st_gid)

    def current(self) -> bool:
        """Does the name still mean the folder that is open here?"""
        try:
            named, held = os.lstat(self._watched), os.fstat(self.new)
        except OSError:
            return False
        return named.st_ino == held.st_ino and named.st_dev == held.st_dev

    def fresh(self) -> "_Folder":
        self._names = None
        return self

    def has(self, stem: str) -> bool:
        """Is there a file of this stem in new/ or cur/? The listing serves a whole batch."""
        if self._names is None:
            names = (*files.names_in(self.new), *files.names_in(self.cur))
            self._names = {name.partition(",")[0] for name in names}
        return stem in self._names

    def _close(self) -> None:
        for descriptor in (self.tmp, self.new, self.cur):
            if descriptor >= 0:
                os.close(descriptor)
        self.tmp = self.new = self.cur = -1

    def __del__(self) -> None:
        self._close()


class _Draft:
    """One copy on its way from tmp/ to new/."""

    __slots__ = ("copy", "descriptor", "folder", "lines", "present", "size", "stem", "trouble", "written")

    def __init__(self, copy: Copy, folder: _Folder, stem: str) -> None:
        self.copy, self.folder, self.stem = copy, folder, stem
        self.descriptor, self.size, self.lines = -1, 0, 0
        self.present = self.written = False
        self.trouble: Trouble | None = None

    def begin(self, again: bool) -> bool:
        """Is there something to write? Then the file in tmp/ is open; one that an earlier attempt left is replaced."""
        folder = self.folder
        try:
            if again and folder.has(self.stem):
                self.present = True
                return False
            try:
                self.descriptor = files.create(self.stem, _CREATE, folder=folder.tmp)
            except FileExistsError:
                files.unlink(self.stem, _UNLINK, folder=folder.tmp)
                self.descriptor = files.create(self.stem, _CREATE, folder=folder.tmp)
            if folder.owner:
                os.fchown(self.descriptor, *folder.owner)
        except (OSError, StoreError) as error:
            self.trouble = error
        return self.trouble is None

    def write(self, chunk: bytes) -> None:
        if self.trouble is not None:
            return
        if not self.written:
            self.written = True
            chunk = top(self.copy) + chunk
        try:
            files.write(self.descriptor, chunk, _WRITE)
        except (OSError, StoreError) as error:
            self.trouble = error
        self.size += len(chunk)
        self.lines += chunk.count(b"\n")

    def sync(self) -> None:
        try:
            files.fdatasync(self.descriptor, _FDATASYNC)
        except (OSError, StoreError) as error:
            self.trouble = error   # never synced again (P05): the file is abandoned

    def close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)

    def publish(self) -> None:
        """The name in new/; that it exists means that it was done before."""
        if self.trouble is not None or self.present:
            return
        name = f"{self.stem},S={self.size},W={self.size + self.lines}"
        folder = self.folder
        try:
            files.link(self.stem, name, _LINK, old_folder=folder.tmp, new_folder=folder.new)
        except (OSError, StoreError) as error:
            self.trouble = error

    def discard(self) -> None:
        """Remove the name in tmp/; what stays there is removed by the next attempt or a sweep of tmp/."""
        self.close()
        try:
            files.unlink(self.stem, _UNLINK, folder=self.folder.tmp)
        except (OSError, StoreError):
            pass


class _Seal:
    """The sync of one Maildir's names. `moved`: a copy was found rather than linked, perhaps in cur/."""

    __slots__ = ("folder", "moved", "trouble")

    def __init__(self, folder: _Folder) -> None:
        self.folder, self.moved = folder, False
        self.trouble: Trouble | None = None

    def sync(self) -> None:
        try:
            files.sync_folder(self.folder.new, _FSYNC)
            if self.moved:
                files.sync_folder(self.folder.cur, _FSYNC)
        except (OSError, StoreError) as error:
            self.trouble = error


def _work_off(act: Callable[[Item], None], waiting: "deque[Item]") -> None:
    while True:
        try:
            item = waiting.popleft()
        except IndexError:
            return
        act(item)


def _batches(letters: Iterable[Letter], most: int) -> Iterator[list[Letter]]:
    """Letters in groups of at most `most` copies; a letter with more is spread over several."""
    batch: list[Letter] = []
    count = 0
    for letter in letters:
        copies: Sequence[Copy] = letter.copies
        while count + len(copies) > most:
            fit, copies = copies[: most - count], copies[most - count :]
            if fit:
                batch.append(Letter(letter.spooled, tuple(fit), letter.again))
            yield batch
            batch, count = [], 0
        if copies:
            whole = len(copies) == len(letter.copies)
            batch.append(letter if whole else Letter(letter.spooled, tuple(copies), letter.again))
            count += len(copies)
    if batch:
        yield batch
