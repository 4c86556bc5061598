"""The spool: one self-describing file per accepted message, the truth of what was accepted.

File: envelope as one JSON line, empty line, message with CRLF line ends, `END <length> <sha256>` line (SECURITY D-1).
Promises: a name under q/ means a whole message, synced with its folder before `commit` resolves (D-2: tmp, fdatasync,
rename, fsync of the folder); a failure before the rename leaves nothing; one after it removes the file, and where even
that fails the file stays (a duplicate at worst). A failed sync is never repeated on the same file (P05), and for `hold`
seconds after one the spool is `degraded` and takes no new messages.
Fails by: DiskFull (no room), StoreError (any other trouble of ours), Damaged (a file that isn't whole),
FileNotFoundError (no such message any more).
"""
import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from bridge.model.clock import SYSTEM, Clock, micros_of
from bridge.model.envelope import Envelope, from_json
from bridge.model.errors import DiskFull, StoreError
from bridge.store import files
from bridge.store.committer import Committer
from bridge.store.failpoints import Failpoint

SMALL = 64 * 1024             # up to here a message waits in memory and becomes one write
CHUNK = 256 * 1024            # how much of a body is in memory at a time
ENVELOPE_LIMIT = 64 << 20     # longest envelope line: a hundred thousand recipients fit
_HEAD = 4096
_END = re.compile(rb"END (\d{1,19}) ([0-9a-f]{64})\n\Z")
_END_LIMIT = 96
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}\Z")
_log = logging.getLogger(__name__)

_FOLDER = Failpoint("spool.mkdir", "new folder below the spool")
_CREATE = Failpoint("spool.create", "new file in spool/tmp")
_WRITE = Failpoint("spool.write", "bytes of a message into spool/tmp")
_FDATASYNC = Failpoint("spool.fdatasync", "message bytes to the disk")
_RENAME = Failpoint("spool.rename", "spool/tmp to spool/q")
_FSYNC = Failpoint("spool.fsync", "names of spool/q to the disk")
_UNLINK = Failpoint("spool.unlink", "removal of a spool file")
_QUARANTINE = Failpoint("spool.quarantine", "spool/q to spool/quarantine")


class Damaged(Exception):
    """A spool file is not whole: no envelope, no END mark, wrong length or hash. Goes to quarantine, never lost."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """An accepted message: `size` bytes of CRLF message from offset `start` of the file `path`. `descriptor`: the file,
    opened by somebody else, for a process that may not open the path itself; -1: there is none."""

    envelope: Envelope
    path: Path
    start: int
    size: int
    descriptor: int = -1


class Draft:
    """A message on its way in. Write, then commit or abort; used by one thread at a time."""

    __slots__ = ("_chunks", "_descriptor", "_digest", "_slack", "_spool", "envelope", "head", "size")

    def __init__(self, spool: "Spool", envelope: Envelope, slack: int) -> None:
        self._spool, self._slack = spool, slack
        self.envelope = envelope
        self.head = b""
        self.size = 0
        self._chunks: list[bytes] = []
        self._descriptor = -1
        self._digest = sha256()

    @property
    def large(self) -> bool:
        """True once the message goes to the file as it comes: writing may then block, use a thread."""
        return self._descriptor >= 0

    def write(self, data: bytes) -> None:
        """More of the message. Raises DiskFull or StoreError; the draft is then to be aborted."""
        self.size += len(data)
        self._chunks.append(data)
        if self._descriptor >= 0 or self.size > SMALL:
            try:
                self._flush()
            except StoreError as error:
                self._spool._note(error)
                raise

    def amend(self, envelope: Envelope) -> None:
        """Another envelope of the same id, before the commit. It may be longer by the slack that the draft has; what
        doesn't fit is left out. Raises DiskFull or StoreError as `write`."""
        if self._descriptor >= 0:
            line = envelope.to_json()
            room = len(self.head) - 2
            if len(line) > room:
                _log.warning("spool: no room for what is to be noted of %s", envelope.id)
                return
            self.head = line.ljust(room) + b"\n\n"
            with _translated():
                files.overwrite(self._descriptor, self.head, 0, _WRITE)
        self.envelope = envelope

    def abort(self) -> None:
        """Forget the message and what the disk has of it. Never raises."""
        self._chunks = []
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self.head:
            self.head = b""
            self._spool._discard(self.envelope.id)

    def _flush(self, *, last: bool = False) -> None:
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            self._digest.update(chunk)
        if last:
            chunks.append(b"END %d %s\n" % (self.size, self._digest.hexdigest().encode()))
        with _translated():
            if self._descriptor < 0:
                self.head = self.envelope.to_json() + b" " * self._slack * (not last) + b"\n\n"
                chunks.insert(0, self.head)
                self._descriptor = files.create(self.envelope.id, _CREATE, folder=self._spool._tmp(), mode=0o660)
            files.write(self._descriptor, chunks[0] if len(chunks) == 1 else b"".join(chunks), _WRITE)

    def _finish(self) -> None:
        """In a commit thread: everything to the file, the file to the disk."""
        self._flush(last=True)
        with _translated():
            files.fdatasync(self._descriptor, _FDATASYNC)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _translated:
    """Every OSError of ours leaves as StoreError: always a temporary answer (P12)."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(f"spool: {error}") from error


class Spool:
    """The spool below `root`. Safe to use from any thread; opens nothing before its first use."""

    def __init__(self, root: Path, *, clock: Clock = SYSTEM, threads: int = 4, hold: float = 60.0) -> None:
        self.root = root
        self._clock, self._hold = clock, hold
        self._folders: dict[str, int] = {}
        self._lock = threading.Lock()
        self._degraded_until = float("-inf")
        self.sealed: Callable[[Sequence[Spooled]], None] = lambda group: None
        self._committer: Committer[Draft, Spooled] = Committer(
            self._prepare, self._seal, lambda group: self.sealed(group), threads=threads
        )

    # --- in ---

    def begin(self, envelope: Envelope, slack: int = 0) -> Draft:
        """A draft for `envelope`, whose id names the file. `slack`: bytes by which it may grow when it is amended."""
        return Draft(self, envelope, slack)

    def commit(self, draft: Draft) -> "Future[Spooled]":
        """Make the draft durable together with what else waits. The future fails with DiskFull or StoreError."""
        return self._committer.submit(draft)

    @property
    def degraded(self) -> bool:
        """True for a while after the disk failed (not: was full)."""
        return self._clock.monotonic() < self._degraded_until

    def free(self) -> tuple[int, int]:
        """Bytes and inodes that are left to us."""
        with _translated():
            found = os.fstatvfs(self._tmp())
        return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else 1 << 62

    def _prepare(self, draft: Draft) -> None:
        queue_id = draft.envelope.id
        try:
            draft._finish()
            bucket = self._folder("q/" + bucket_of(queue_id))
        except BaseException as error:
            self._note(error)
            draft.abort()
            raise
        try:
            with _translated():
                files.rename(queue_id, queue_id, _RENAME, old_folder=self._tmp(), new_folder=bucket)
        except BaseException as error:
            self._note(error)
            self._discard(queue_id)
            self._withdraw(queue_id)  # it may have been renamed before it failed
            raise

    def _seal(self, drafts: Sequence[Draft]) -> list[Spooled | BaseException]:
        failed: dict[str, BaseException] = {}
        buckets = [bucket_of(draft.envelope.id) for draft in drafts]
        for bucket in dict.fromkeys(buckets):
            try:
                with _translated():
                    files.sync_folder(self._folder("q/" + bucket), _FSYNC)
            except Exception as error:
                self._note(error)
                failed[bucket] = error
        outcomes: list[Spooled | BaseException] = []
        for draft, bucket in zip(drafts, buckets, strict=True):
            if bucket in failed:
                self._withdraw(draft.envelope.id)
                outcomes.append(failed[bucket])
            else:
                path = self.root / "q" / bucket / draft.envelope.id
                outcomes.append(Spooled(draft.envelope, path, len(draft.head), draft.size))
        return outcomes

    def _note(self, error: BaseException) -> None:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EIO:
            self._degraded_until = self._clock.monotonic() + self._hold
            _log.error("spool degraded: %s", error)

    def _discard(self, queue_id: str) -> None:
        """Remove what is left in tmp; what can't be removed now is removed by the next `sweep`."""
        try:
            files.unlink(queue_id, _UNLINK, folder=self._tmp())
        except (OSError, StoreError) as error:
            _log.warning("spool: draft %s stays in tmp: %s", queue_id, error)

    def _withdraw(self, queue_id: str) -> None:
        """Take back a name in q/ that was never promised. If that fails it will be delivered: a duplicate at worst."""
        try:
            files.unlink(queue_id, _UNLINK, folder=self._folder("q/" + bucket_of(queue_id)))
        except (OSError, StoreError) as error:
            _log.warning("spool: %s stays and will be delivered: %s", queue_id, error)

    # --- out ---

    def path(self, queue_id: str) -> Path:
        """Where the message `queue_id` is, or would be. ValueError for what is no id."""
        return self.root / "q" / bucket_of(queue_id) / queue_id

    def open(self, queue_id: str) -> Spooled:
        """What `queue_id` says of itself: reads the envelope and checks the END mark, not the hash."""
        return self._examine(self.path(queue_id), whole=False)

    def verify(self, path: Path) -> Spooled:
        """As `open`, and the hash: reads everything."""
        return self._examine(path, whole=True)

    def chunks(self, spooled: Spooled, *, start: int = 0, size: int = CHUNK) -> Iterator[bytes]:
        """The message from offset `start` on, piece by piece."""
        with _translated():
            descriptor = self._open_read(spooled.path)
            try:
                while start < spooled.size:
                    data = os.pread(descriptor, min(size, spooled.size - start), spooled.start + start)
                    if not data:
                        raise Damaged(f"{spooled.path.name}: shorter than its END mark says")
                    start += len(data)
                    yield data
            finally:
                os.close(descriptor)

    def read(self, spooled: Spooled, limit: int = SMALL) -> bytes:
        """The first `limit` bytes of the message."""
        if not spooled.size or limit <= 0:
            return b""
        with _translated():
            descriptor = self._open_read(spooled.path)
            try:
                return os.pread(descriptor, min(limit, spooled.size), spooled.start)
            finally:
                os.close(descriptor)

    def scan(self) -> Iterator[str]:
        """Every id in the spool, oldest first."""
        found: list[str] = []
        with _translated():
            for folder in self._list("q"):
                found += (name for name in self._list("q/" + folder) if _ID.match(name))
        yield from sorted(found)

    def remove(self, queue_id: str) -> bool:
        """The message is finished; False if it was gone. Not synced: its row says done if it ever comes back."""
        with _translated():
            return files.unlink(queue_id, _UNLINK, folder=self._folder("q/" + bucket_of(queue_id)))

    def quarantine(self, queue_id: str, reason: str) -> Path:
        """Set a message aside, with the reason beside it; nothing takes it up again by itself."""
        with _translated():
            aside = self._folder("quarantine")
            source = self._folder("q/" + bucket_of(queue_id))
            files.replace(self.root / "quarantine" / f"{queue_id}.txt", reason.encode() + b"\n", _QUARANTINE)
            files.rename(queue_id, queue_id, _QUARANTINE, old_folder=source, new_folder=aside)
            files.sync_folder(aside, _QUARANTINE)
            files.sync_folder(source, _QUARANTINE)
        return self.root / "quarantine" / queue_id

    def sweep(self, before: float) -> int:
        """Remove drafts that nobody writes any more: last touched before that wall time. They were never acknowledged.

        At start `before` is the time the supervisor started; says how many it removed.
        """
        removed = 0
        with _translated():
            for name in self._list("tmp"):
                try:
                    touched = os.stat(name, dir_fd=self._tmp(), follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue
                if touched < before:
                    removed += files.unlink(name, _UNLINK, folder=self._tmp())
        return removed

    def close(self) -> None:
        """Commit what waits and close the folders."""
        self._committer.close()
        with self._lock:
            for descriptor in self._folders.values():
                os.close(descriptor)
            self._folders.clear()

    def _examine(self, path: Path, *, whole: bool) -> Spooled:
        with _translated_but_missing():
            descriptor = files.open_read(path)
            try:
                total = os.fstat(descriptor).st_size
                head = self._read_head(descriptor, path.name)
                end = _END.search(os.pread(descriptor, _END_LIMIT, max(total - _END_LIMIT, 0)))
                size = int(end[1]) if end else -1
                if not end or size != total - len(head) - len(end[0]):
                    raise Damaged(f"{path.name}: no END mark or wrong length")
                if whole and _hash(descriptor, len(head), size) != end[2]:
                    raise Damaged(f"{path.name}: content does not match its hash")
            finally:
                os.close(descriptor)
        try:
            envelope = from_json(head)
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{path.name}: not an envelope: {error}") from error
        if envelope.id != path.name:
            raise Damaged(f"{path.name}: says that it is {envelope.id[:40]!r}")
        return Spooled(envelope, path, len(head), size)

    def _read_head(self, descriptor: int, name: str) -> bytes:
        head, want = b"", _HEAD
        while len(head) < ENVELOPE_LIMIT:
            more = os.pread(descriptor, want, len(head))
            head += more
            found = head.find(b"\n\n")
            if found >= 0:
                return head[: found + 2]
            if not more:
                break
            want = len(head) * 4
        raise Damaged(f"{name}: no envelope line")

    def _open_read(self, path: Path) -> int:
        return files.open_read(path)

    # --- folders ---

    def _tmp(self) -> int:
        return self._folders.get("tmp") or self._folder("tmp")

    def _folder(self, name: str) -> int:
        """The descriptor of a folder below the root, made (and its name synced) if it is missing."""
        found = self._folders.get(name)
        if found is not None:
            return found
        with self._lock, _translated():
            found = self._folders.get(name)
            if found is None:
                path = self.root / name
                self.root.parent.mkdir(parents=True, exist_ok=True)
                for parent in (self.root, *reversed(path.relative_to(self.root).parents[:-1]), path):
                    self._make(self.root / parent)
                found = self._folders[name] = files.open_folder(path)
        return found

    def _make(self, path: Path) -> None:
        made = files.make_folder(path, _FOLDER, mode=0o770)     # less the umask: 0700 but with `server.smtp_user`
        if not made and path == self.root:
            return      # what is above may not be ours to open
        above = files.open_folder(path.parent)
        try:
            files.sync_folder(above, _FOLDER)
        finally:
            os.close(above)

    def _list(self, name: str) -> list[str]:
        return files.names_in(self._folder(name))


class _translated_but_missing(_translated):
    """As above, but a missing file is an answer, not trouble."""

    __slots__ = ()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, FileNotFoundError):
            super().__exit__(kind, error, trace)


def bucket_of(queue_id: str) -> str:
    """The folder of an id: messages of the same 18 minutes share one, so that a group needs one fsync."""
    if not _ID.match(queue_id):
        raise ValueError(f"not a queue id: {queue_id[:40]!r}")
    return _bucket(queue_id[:6])


@lru_cache(maxsize=1024)
def _bucket(prefix: str) -> str:
    return f"{micros_of(prefix.ljust(16, '0')) >> 30 & 0xFF:02x}"


def _hash(descriptor: int, start: int, size: int) -> bytes:
    digest, left = sha256(), size
    while left:
        data = os.pread(descriptor, min(CHUNK, left), start + size - left)
        if not data:
            break
        digest.update(data)
        left -= len(data)
    return digest.hexdigest().encode()


__all__ = ["CHUNK", "SMALL", "Damaged", "DiskFull", "Draft", "Spool", "Spooled", "bucket_of"]
