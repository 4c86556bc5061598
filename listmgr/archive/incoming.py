"""Posts on their way into the archive: one file each, put there by delivery, taken away by the archiver.

Promises: `put` returns when the file and its name are on disk; its name is the queue id of the post, so putting it
twice is the same as once (P36). The content is the entry as it will stand in the master mbox: From_ line, message with
LF line ends, `>From` quoting that can be undone (mboxrd), one empty line. Delivery touches nothing else of the archive,
so neither a rebuild nor a damaged archive can hold up a post. Fails by: StoreError, DiskFull.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bridge.model.envelope import Envelope
from bridge.model.errors import StoreError
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.wire import dates
from bridge.wire.lines import DiskWriter

_PUT = Failpoint("archive.put", "a post to the archive's incoming folder")
_DONE = Failpoint("archive.done", "removal of a post from the incoming folder")
_FROM = re.compile(rb"^(>*From )", re.M)
_ID = re.compile(r"[0-9A-Z]{16}")
_ODD = re.compile(rb"[^!-~]")


class Incoming:
    """The folder `root`, with a folder for each list below it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: set[str] = set()        # lists whose folder's name was brought to the disk

    def put(self, name: str, envelope: Envelope, message: Iterable[bytes]) -> None:
        """The post of `envelope`, in pieces with CRLF line ends."""
        path = self.root / name / envelope.id
        try:
            self._make(path.parent)
            if path.exists():
                _sync(path.parent)      # whoever put it may have died, or been refused by the disk, just before that
            else:
                files.replace(path, entry(envelope, message), _PUT)
        except OSError as error:
            raise StoreError(f"archive: {error}") from error

    def _make(self, folder: Path) -> None:
        """The folder of a list, its name durable before the first post is in it, whoever made it."""
        if folder.name in self._kept and folder.is_dir():
            return
        files.make_path(self.root, _PUT)
        files.make_folder(folder, _PUT)
        _sync(self.root)
        self._kept.add(folder.name)

    def names(self) -> list[str]:
        """Lists that have something waiting."""
        folders = [one.name for one in _scan(self.root) if one.is_dir(follow_symlinks=False)]
        return sorted(name for name in folders if self.ids(name))

    def ids(self, name: str) -> list[str]:
        """What waits for one list, oldest first."""
        return sorted(one.name for one in _scan(self.root / name) if _ID.fullmatch(one.name))

    def read(self, name: str, queue_id: str) -> bytes:
        return (self.root / name / queue_id).read_bytes()

    def done(self, name: str, queue_id: str) -> None:
        """It is in the mbox and has its row."""
        files.unlink(self.root / name / queue_id, _DONE)


def entry(envelope: Envelope, message: Iterable[bytes]) -> bytes:
    """The bytes of one mbox entry. The same post gives the same bytes, whenever it is made."""
    sender = _ODD.sub(b"?", envelope.sender.encode("utf-8", "replace")) or b"MAILER-DAEMON"
    first = b"From %s %s\n" % (sender, dates.from_line(int(envelope.received_at)).encode())
    writer = DiskWriter()
    body = b"".join(writer.feed(chunk) for chunk in message)
    if not body.endswith(b"\n"):
        body += b"\n"
    return first + quoted(body) + b"\n"


def quoted(body: bytes) -> bytes:
    """mboxrd: every line that begins with `From `, after any number of `>`, gets one more `>`."""
    return _FROM.sub(rb">\1", body) if b"From " in body else body


def _sync(folder: Path) -> None:
    """The names in it to the disk."""
    descriptor = files.open_folder(folder)
    try:
        files.sync_folder(descriptor, _PUT)
    finally:
        os.close(descriptor)


def _scan(folder: Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return
