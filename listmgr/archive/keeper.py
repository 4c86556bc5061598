"""The archiver: what waits goes into the master mbox, gets its number, and appears on the pages.

For each list, under its lock: finish what a crash left, append what waits (synced), write the rows, let go of the
waiting files, then write only what changed: new articles, their neighbours, and the four views of each volume that got
something. Promises: each step can be repeated; a post is in the mbox once and keeps its number (A07, P36); a list is
private until its own option says otherwise, and the row that says so comes first (A10). Runs in a worker, never on the
delivery path. Fails by: StoreError, DiskFull, OSError; what was not finished is done by the next run.
"""

import logging
import mmap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from bridge.model.clock import SYSTEM, Clock, micros_of
from bridge.store.engine import Database
from bridge.store.flock import FileLock
from bridge.watch.trace import Journal
from listmgr import registry
from listmgr.archive import article, mbox, tables, volumes
from listmgr.archive.incoming import Incoming
from listmgr.archive.pages import Pages, Row, Shelf
from listmgr.archive.tree import Tree
from listmgr.archive.writer import Articles, Writer, mapped
from listmgr.links import Links

_log = logging.getLogger(__name__)

BATCH = 200  # entries that become rows in one transaction
BATCH_BYTES = 32 << 20
_ROW = tuple(tables.article.c[name] for name in Row.__slots__)

Progress = Callable[[str, int, int], None]  # what, how many done, of how many


@dataclass(frozen=True, slots=True)
class Entry:
    """An mbox entry that is to get a row. `key` is "" for what was imported."""

    key: str
    data: bytes
    digest: str
    at: int  # the time to take where the entry has none

    @classmethod
    def imported(cls, data: bytes) -> "Entry":
        return cls("", data, article.digest_of(data), 0)


@dataclass(frozen=True, slots=True)
class Style:
    """What the list's options say of its archive."""

    shelf: Shelf
    public: bool
    frequency: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Written:
    """A volume that was written: the length of its text file, the numbers of its new articles."""

    volume: str
    text_end: int
    numbers: tuple[int, ...]


class Archiver:
    """Keeps the archives below `root`. One per process; a list is locked while it is worked on."""

    def __init__(
        self, core: Database, rows: Database, root: Path, incoming: Incoming, links: Links, *,
        journal: Journal, override: Path | None = None, clock: Clock = SYSTEM,
    ) -> None:  # fmt: skip
        self.core, self.rows, self.root, self.incoming, self.links = core, rows, root, incoming, links
        self.journal, self.clock = journal, clock
        self.override = override
        self._pages: Pages | None = None

    @property
    def pages(self) -> Pages:
        """The renderer, compiled at its first use."""
        if self._pages is None:
            self._pages = Pages(self.override)
        return self._pages

    def run_once(self) -> int:
        """Do everything that waits; how many articles were added. Trouble with one list doesn't hold up the others."""
        with self.rows.read() as connection:
            dirty = (
                connection.execute(select(tables.volume.c.list).where(tables.volume.c.dirty).distinct()).scalars().all()
            )
        added, trouble = 0, list[Exception]()
        for name in sorted({*self.incoming.names(), *dirty}):
            try:
                added += self.run(name)
            except Exception as error:
                _log.warning("archive of %s: %s", name, error)
                trouble.append(error)
        if trouble:
            raise trouble[0]
        return added

    def run(self, name: str) -> int:
        """Do what waits for one list."""
        with self.locked(name) as tree:
            style = self.style(name)
            self.open_shelf(name, style)
            added = self.recover(name, tree, style)
            while waiting := self._waiting(name):
                added += self.add(name, tree, style, waiting)
                for entry in waiting:
                    self.incoming.done(name, entry.key.rpartition(":")[2])
            self.write(name, tree, style)
        return added

    def locked(self, name: str) -> "_Locked":
        """The tree of a list, while nobody else works on it."""
        tree = Tree(self.root, name)
        tree.make()
        return _Locked(tree)

    def style(self, name: str) -> Style:
        """From the list's options; a list that does not exist (any more, or yet) is private."""
        with self.core.read() as connection:
            which = registry.find(connection, name)
        if which is None:
            return Style(Shelf(name, name, "", "en", self.links.overview()), False, "month", "")
        options = which.options
        shelf = Shelf(name, which.title, which.posting, options.preferred_language, self.links.listinfo(which))
        return Style(shelf, not options.archive_private, options.archive_volume_frequency, options.subject_prefix)

    def erase(self, name: str) -> None:
        """Remove the archive of a list: files, then rows. What waits goes too."""
        with self.locked(name) as tree:
            for queue_id in self.incoming.ids(name):
                self.incoming.done(name, queue_id)
            tree.erase()

            def unit(connection: Connection) -> None:
                for table in (tables.article, tables.volume, tables.shelf):
                    connection.execute(delete(table).where(table.c.list == name))

            self.rows.write_now(unit)

    def open_shelf(self, name: str, style: Style) -> None:
        """The row that says who may see the archive, before there is anything to see."""

        def unit(connection: Connection) -> None:
            column = tables.shelf.c
            known = connection.execute(select(column.public).where(column.list == name)).first()
            if known is None:
                connection.execute(insert(tables.shelf).values(list=name, public=style.public))
            elif known.public != style.public:
                connection.execute(update(tables.shelf).where(column.list == name).values(public=style.public))

        self.rows.write_now(unit)

    def recover(self, name: str, tree: Tree, style: Style, progress: Progress | None = None) -> int:
        """Give rows to what stands in the mbox behind the last row: our own unfinished write, or what others put there.

        A write of ours that was torn is completed from the waiting file that it came from."""
        at, size = self._shelf(name).mbox_end, tree.end()
        if size <= at:
            return 0
        waiting = self._waiting(name)
        found: list[Entry] = []
        start, added, whole = at, 0, size
        with mapped(tree.mbox) as data:
            while at < size:
                entry = _unfinished(data, at, waiting) or Entry.imported(_first(data, at))
                at += len(entry.data)
                found.append(entry)
                if at > size:
                    tree.append(entry.data[len(entry.data) - (at - size) :])
                if len(found) == BATCH or at >= size:
                    added += self._rows(name, style, found, start)
                    start, found = at, []
                    if progress:
                        progress("mbox", min(at, whole), whole)
        return added

    def add(self, name: str, tree: Tree, style: Style, entries: Sequence[Entry]) -> int:
        """Append entries that are not there yet to the mbox, then write their rows; how many were new."""
        keys, digests = self._known(name, entries)
        new: list[Entry] = []
        for entry in entries:
            if (entry.key and entry.key in keys) or entry.digest in digests:
                continue
            digests.add(entry.digest)
            new.append(entry)
        if not new:
            return 0
        end = tree.end()
        tree.append(b"".join([entry.data for entry in new]))
        return self._rows(name, style, new, end)

    def write(self, name: str, tree: Tree, style: Style) -> None:
        """Write what changed, each volume for itself, and remember that it is written."""
        tree.publish(style.public)
        with mapped(tree.mbox) as data:
            writer = Writer(self.pages, tree, style.shelf, data, durable=True)
            for volume, text_end in self.dirty(name):
                done = self.write_volume(tree, style, volume, text_end, writer.articles, durable=True)
                tree.settle()
                self.finish(name, [done])
        self.write_top(name, tree, style, durable=True)
        tree.settle()

    def dirty(self, name: str) -> list[tuple[str, int]]:
        """Volumes that are to be written, with the final part of their text files."""
        column = tables.volume.c
        query = select(column.name, column.text_end).where(column.list == name, column.dirty).order_by(column.name)
        with self.rows.read() as connection:
            return [(row.name, row.text_end) for row in connection.execute(query)]

    def unwritten(self, name: str) -> int:
        """Bytes of mail that have no page yet."""
        query = select(func.sum(tables.article.c.length)).where(
            tables.article.c.list == name, ~tables.article.c.written
        )
        with self.rows.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def write_top(self, name: str, tree: Tree, style: Style, *, durable: bool) -> None:
        """The table of volumes and the style sheet, if they changed."""
        with self.rows.read() as connection:
            found = connection.execute(select(tables.volume.c.name).where(tables.volume.c.list == name)).scalars().all()
        toc = self.pages.toc(style.shelf, [(volume, tree.size(f"{volume}.txt.gz")) for volume in found])
        for file, content in (("index.html", toc), ("style.css", self.pages.style)):
            if tree.read(file) != content:
                tree.put(file, content, durable=durable)

    def write_volume(
        self, tree: Tree, style: Style, volume: str, text_end: int, articles: Articles, *, durable: bool
    ) -> "Written":
        """New articles with their attachments, articles that got a new neighbour, the four views, the text."""
        rows = self._volume(tree.name, volume)
        compressed = b"".join([tree.read(f"{volume}.txt.gz")[:text_end], *articles(rows)])
        for view, page in self.pages.indexes(style.shelf, volume, rows).items():
            tree.put(f"{volume}/{view}.html", page, durable=durable)
        tree.default_index(volume)
        tree.put(f"{volume}.txt.gz", compressed, durable=durable)
        return Written(volume, len(compressed), tuple(row.number for row in rows if not row.written))

    def finish(self, name: str, done: Sequence["Written"]) -> None:
        """The files say what the rows say."""
        self.rows.write_now(lambda connection: _finish(connection, name, done))
        for one in done:
            for number in one.numbers:
                self.journal.record("archived", list=name, number=number, volume=one.volume)

    def _rows(self, name: str, style: Style, entries: Sequence[Entry], offset: int) -> int:
        """Rows for entries that stand one after the other in the mbox from `offset` on."""
        now, found = int(self.clock.now()), []
        for entry in entries:
            facts = article.facts(entry.data, entry.digest, style.prefix, entry.at or now)
            found.append((entry, facts, offset))
            offset += len(entry.data)

        def unit(connection: Connection) -> None:
            where = tables.shelf.c.list == name
            number = connection.execute(select(tables.shelf.c.next_number).where(where)).scalar_one()
            folders = _folders(connection, name, {facts.folder for _, facts, _ in found})
            made: list[dict[str, Any]] = []
            for entry, facts, start in found:
                folder = facts.folder if facts.folder not in folders else f"{facts.folder}-{number}"
                folders.add(folder)
                made.append(_row(name, number, entry, facts, folder, start, style.frequency))
                number += 1
            connection.execute(insert(tables.article), made)
            connection.execute(update(tables.shelf).where(where).values(next_number=number, mbox_end=offset))
            _soil(connection, name, {row["volume"] for row in made})

        self.rows.write_now(unit)
        return len(found)

    def _waiting(self, name: str) -> list[Entry]:
        entries, size = [], 0
        for queue_id in self.incoming.ids(name)[:BATCH]:
            data = self.incoming.read(name, queue_id)
            at = micros_of(queue_id) // 1_000_000
            entries.append(Entry(f"list:{name}:{queue_id}", data, article.digest_of(data), at))
            size += len(data)
            if size > BATCH_BYTES:
                break
        return entries

    def _known(self, name: str, entries: Iterable[Entry]) -> tuple[set[str], set[str]]:
        """Keys and digests of these entries that have rows."""
        column = tables.article.c
        keys = [entry.key for entry in entries if entry.key]
        digests = [entry.digest for entry in entries]
        with self.rows.read() as connection:
            mine = select(column.key).where(column.list == name)
            return (
                set(connection.execute(mine.where(column.key.in_(keys))).scalars()),
                set(
                    connection.execute(
                        select(column.digest).where(column.list == name, column.digest.in_(digests))
                    ).scalars()
                ),
            )

    def _shelf(self, name: str) -> Any:
        with self.rows.read() as connection:
            return connection.execute(select(tables.shelf).where(tables.shelf.c.list == name)).one()

    def _volume(self, name: str, volume: str) -> list[Row]:
        column = tables.article.c
        query = select(*_ROW).where(column.list == name, column.volume == volume).order_by(column.number)
        with self.rows.read() as connection:
            return [Row(*row) for row in connection.execute(query)]


class _Locked:
    """`with` a list's lock held."""

    def __init__(self, tree: Tree) -> None:
        self._tree, self._lock = tree, FileLock(tree.lock)

    def __enter__(self) -> Tree:
        self._lock.acquire()
        return self._tree

    def __exit__(self, *error: object) -> None:
        self._lock.release()
        self._lock.close()


def _row(
    name: str, number: int, entry: Entry, facts: article.Facts, folder: str, offset: int, frequency: str
) -> dict[str, Any]:
    return {
        "list": name, "number": number, "key": entry.key or f"mbox:{entry.digest}", "digest": entry.digest,
        "volume": volumes.name(facts.sent, frequency), "msgid": facts.msgid, "refs": " ".join(facts.refs),
        "author": facts.author, "subject": facts.subject, "base": facts.base, "reply": facts.reply, "sent": facts.sent,
        "zone": facts.zone, "folder": folder, "offset": offset, "length": len(entry.data), "written": False,
    }  # fmt: skip


def _folders(connection: Connection, name: str, wanted: set[str]) -> set[str]:
    """Attachment folders that are taken: two posts of one Message-ID do not share theirs (sec-M17)."""
    column = tables.article.c
    return set(
        connection.execute(select(column.folder).where(column.list == name, column.folder.in_(wanted))).scalars()
    )


def _soil(connection: Connection, name: str, names: set[str]) -> None:
    """Mark volumes as to be written."""
    column = tables.volume.c
    for volume in names:
        mine = (column.list == name) & (column.name == volume)
        if not connection.execute(update(tables.volume).where(mine).values(dirty=True)).rowcount:
            connection.execute(insert(tables.volume).values(list=name, name=volume, dirty=True))


def _finish(connection: Connection, name: str, done: Sequence[Written]) -> None:
    column = tables.article.c
    for one in done:
        if one.numbers:
            mine = (
                (column.list == name)
                & (column.volume == one.volume)
                & column.number.between(one.numbers[0], one.numbers[-1])
            )
            connection.execute(update(tables.article).where(mine).values(written=True))
        here = (tables.volume.c.list == name) & (tables.volume.c.name == one.volume)
        connection.execute(update(tables.volume).where(here).values(dirty=False, text_end=one.text_end))


def _unfinished(data: "mmap.mmap | bytes", at: int, waiting: Sequence[Entry]) -> Entry | None:
    """The waiting entry whose bytes, or the beginning of them at the very end of the file, stand at `at`."""
    for entry in waiting:
        there = data[at : at + len(entry.data)]
        if there == entry.data or (at + len(there) == len(data) and entry.data.startswith(there)):
            return entry
    return None


def _first(data: "mmap.mmap | bytes", at: int) -> bytes:
    begin, end = next(mbox.entries(data, at))
    return bytes(data[begin:end])
