"""Looks at what is on disk and says what does not fit together (SECURITY D-15, P31, sec-Q05).

Promises: changes nothing, may run beside a working server: what only looks wrong because it is under way is looked at
a second time before it is called a problem. Each problem is a line that names the file or row and what follows from it.
Fails by: StoreError where a database can't be read at all; a damaged file is a problem, not an error.
"""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from bridge.model.errors import StoreError
from bridge.store import files, maildb, maildir, mboxscan, uidlist
from bridge.store.engine import Database
from bridge.store.queuetables import OPEN, message
from bridge.store.spool import Damaged, Spool

_INDEX = "estafeta.index"
_AGAIN = 0.3        # seconds between two looks at what may be under way
_MOST = 20          # problems of one kind in one place that are told one by one


def database(name: str, found: Database) -> Iterator[str]:
    """The file as such."""
    for problem in found.check():
        yield f"{name}: {problem}; restore it from a backup, or let it be rebuilt where that is possible"


def spool(found: Spool) -> Iterator[str]:
    """Each waiting message: its END mark, its length, its hash."""
    for queue_id in found.scan():
        try:
            found.verify(found.path(queue_id))
        except FileNotFoundError:
            continue        # delivered meanwhile
        except (Damaged, StoreError) as error:
            yield f"spool: {error}; the message will be set aside, not delivered"


def queue(found: Spool, rows: Database) -> Iterator[str]:
    """Open messages must have their file. A file without a row is only one that waits for its turn."""
    query = sa.select(message.c.id).where(message.c.state == OPEN)
    with rows.read() as connection:
        waiting = set(connection.execute(query).scalars())
    missing = waiting - set(found.scan())
    if missing:     # finished while we looked?
        with rows.read() as connection:
            missing &= set(connection.execute(query).scalars())
    for queue_id in sorted(missing):
        if not found.path(queue_id).exists():
            yield f"queue: message {queue_id} is waiting, but its spool file is gone"


def rows(found: Database) -> Iterator[str]:
    """Mail in the database: each message has all of its parts, and each part its message."""
    with found.read() as connection:
        yield from _first(_incomplete(connection))
        orphans = sa.select(sa.func.count(sa.distinct(maildb.mail_part.c.message))).where(
            maildb.mail_part.c.message.not_in(sa.select(maildb.mail_message.c.id))
        )
        if count := connection.execute(orphans).scalar():
            yield f"mail: parts of {count} messages belong to nothing"


def _incomplete(connection: sa.Connection) -> Iterator[str]:
    whole, part = maildb.mail_message.c, maildb.mail_part.c
    sums = sa.select(
        part.message, sa.func.sum(sa.func.length(part.data)).label("size"), sa.func.count().label("count"),
        sa.func.max(part.number).label("last"),
    ).group_by(part.message).subquery()
    query = sa.select(
        whole.account, whole.folder, whole.stem, whole.size, sums.c.size, sums.c.count, sums.c.last
    ).join_from(maildb.mail_message, sums, whole.id == sums.c.message, isouter=True)
    for account, folder, stem, size, stored, count, last in connection.execute(query):
        if (stored or 0) != size or (count and last != count - 1):
            yield f"mail: {account}, {folder}: {stem} is not whole, {stored or 0} bytes of {size}"
        elif maildir.disk_size(stem) not in (-1, size):
            yield f"mail: {account}, {folder}: {stem} is not as long as its name says"


def stored(found: Database, account: str) -> dict[str, set[str]]:
    """Names of messages by folder, of an account whose mail is in the database."""
    column = maildb.mail_message.c
    names: dict[str, set[str]] = {}
    with found.read() as connection:
        query = sa.select(column.folder, column.stem).where(column.account == account)
        for folder, stem in connection.execute(query):
            names.setdefault(folder, set()).add(stem)
    return names


def mailbox(
    path: Path, stored: Callable[[], Mapping[str, Collection[str]]] | None = None, *, mbox: Path | None = None
) -> Iterator[str]:
    """One mailbox: file names against the sizes in them, the UID list and the index. `stored()`: what a database has
    instead of files; `mbox`: the file that is its INBOX."""
    if mbox is not None:
        yield from _mbox(mbox, path)
    try:
        root = files.open_folder(path)
    except FileNotFoundError:
        return              # no mail yet
    try:
        known = _indexed(path)
        if isinstance(known, str):
            yield f"{path / _INDEX}: {known}; it will be made anew from the mail"
            known = {}
        rows = None if stored is None else stored()
        for name, directory in maildir.directories(root).items():
            elsewhere = rows is not None or (mbox is not None and name == "INBOX")
            for problem in _folder(root, directory, known.get(name, {}), elsewhere):
                yield f"{path}: {name}: {problem}"
            if rows is not None and (gone := known.get(name, {}).keys() - rows.get(name, ())):
                now = _indexed(path)
                gone &= now.get(name, {}).keys() if isinstance(now, dict) else set()
                yield from _first(f"{path}: {name}: {one} is in the index, not in the database" for one in sorted(gone))
    finally:
        os.close(root)


def _indexed(path: Path) -> dict[str, dict[str, int]] | str:
    """UID by file name by folder, as the index has it; or what is wrong with it."""
    file = path / _INDEX
    if not file.exists():
        return {}
    found: dict[str, dict[str, int]] = {}
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=5)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("PRAGMA query_only=ON")
            said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
            if said != ["ok"]:
                return "; ".join(map(str, said))
            query = "SELECT folder.name, message.name, uid FROM message JOIN folder ON folder.id = message.folder"
            for folder, name, uid in connection.execute(query):
                found.setdefault(folder, {})[name] = uid
    except sqlite3.Error as error:
        return str(error)
    return found


def _mbox(path: Path, index: Path) -> Iterator[str]:
    """An mbox file: whole messages, and where the index thinks it knows the file, those that it thinks."""
    problems = _in_mbox(path, index)
    if problems:
        time.sleep(_AGAIN)      # not one that somebody was writing to
        again = _in_mbox(path, index)
        yield from _first(problem for problem in problems if problem in again)


def _in_mbox(path: Path, index: Path) -> list[str]:
    try:
        descriptor = files.open_read(path)
    except FileNotFoundError:
        return []               # no mail yet, or none left
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    try:
        about = os.fstat(descriptor)
        if not about.st_size:
            return []
        problems = []
        if os.pread(descriptor, 5, 0) != b"From ":
            problems.append(f"{path}: does not begin with a From line")
        if os.pread(descriptor, 1, about.st_size - 1) != b"\n":
            problems.append(f"{path}: ends in the middle of a line")
        known = _marked(index, about)
        if known:
            there = {one.start: one.hash for one in mboxscan.entries(descriptor, 0, about.st_size, 0)}
            for start, stem in known.items():
                if not stem.startswith(there.get(start, " ")):
                    problems.append(f"{path}: the message at {start} is not the one that the index has")
        return problems
    finally:
        os.close(descriptor)


def _marked(index: Path, about: os.stat_result) -> dict[int, str]:
    """Names by where they start, if the index has seen the file as it is now."""
    file = index / _INDEX
    if not file.exists():
        return {}
    now = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=5)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            if connection.execute("SELECT device, inode, size, time FROM mbox_file").fetchone() != now:
                return {}
            return dict(connection.execute("SELECT start, stem FROM mbox").fetchall())
    except sqlite3.Error:
        return {}               # `_indexed` says what is wrong with it


def _folder(root: int, directory: str, known: dict[str, int], elsewhere: bool) -> Iterator[str]:
    """`elsewhere`: the messages are no files."""
    folder = files.open_folder(directory, folder=root)
    try:
        there, sizes = _files(folder)
        yield from _first(sizes)
        twice = sorted(name for name, count in there.items() if count > 1)
        if twice:
            again, _ = _files(folder)       # not one that was renamed as we looked
            yield from _first(f"{name} is there twice" for name in twice if again[name] > 1)
        gone = [name for name in known if name not in there and not elsewhere]
        if gone:
            now = _files(folder)[0]
            gone = sorted(name for name in gone if name not in now)
            yield from _first(f"{name} is in the index, but its file is gone" for name in gone)
        try:
            listed = uidlist.read(folder)
        except uidlist.Damaged as error:
            yield f"the UID list is damaged: {error}"
            return
        if listed:
            wrong = sorted(name for name, uid in known.items() if listed.uids.get(name, uid) != uid)
            yield from _first(
                f"{name} has UID {known[name]} in the index, {listed.uids[name]} in the list" for name in wrong
            )
    finally:
        os.close(folder)


def _files(folder: int) -> tuple[Counter[str], list[str]]:
    """How often each name is in new and cur, and the files that are not as long as their names say."""
    names: Counter[str] = Counter()
    wrong = []
    for part in ("new", "cur"):
        with suppress(FileNotFoundError):
            inside = files.open_folder(part, folder=folder)
            try:
                for entry in os.scandir(inside):
                    stem, _ = maildir.split(entry.name)
                    names[stem] += 1
                    size = maildir.disk_size(stem)
                    with suppress(FileNotFoundError):
                        if size >= 0 and entry.stat(follow_symlinks=False).st_size != size:
                            wrong.append(f"{part}/{entry.name} is not as long as its name says")
            finally:
                os.close(inside)
    return names, wrong


def _first(problems: Iterable[str]) -> Iterator[str]:
    """Some of them, then how many more."""
    count = 0
    for problem in problems:
        count += 1
        if count <= _MOST:
            yield problem
    if count > _MOST:
        yield f"and {count - _MOST} more like that"
