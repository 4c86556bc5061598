"""`arch`: make an archive anew from its master mbox, or add another mbox to it.

Promises: the master mbox is never rewritten, only appended to; numbers of articles stay (A07); an entry that is in the
master already is not taken a second time; readers see the old pages until the new ones are complete, and after a crash
the next run of the archiver finishes the work. Works without archive.db: it is made again. Fails by: FileNotFoundError,
StoreError.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select, update

from bridge.wire import dates, headers
from listmgr.archive import article, mbox, tables
from listmgr.archive.keeper import BATCH, BATCH_BYTES, Archiver, Entry, Progress, Style, Written
from listmgr.archive.tree import Tree
from listmgr.archive.writer import Articles, Crew, Writer, mapped

WORTH_IT = 8 << 20  # bytes of new mail from which on more processes are faster than one


def _silent(what: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class How:
    """With how many processes, and whom to tell how far it is."""

    processes: int = 1
    progress: Progress = _silent


def rebuild(
    archiver: Archiver, name: str, source: Path | None = None, *, wipe: bool = False, how: How | None = None
) -> int:
    """Bring the archive of a list up to date with its mbox and `source`; with `wipe` every page is made again. How many
    articles were added."""
    how = how or How()
    with archiver.locked(name) as tree:
        style = archiver.style(name)
        archiver.open_shelf(name, style)
        added = archiver.recover(name, tree, style, how.progress)
        if source is not None and source.resolve() != tree.mbox.resolve():
            added += _import(archiver, name, tree, style, source, how)
        if wipe:
            _reread(archiver, name, tree, style)
            _write_anew(archiver, name, tree, style, how)
        else:
            _write_bulk(archiver, name, tree, style, how)
        tree.publish(style.public)
    return added


def _import(archiver: Archiver, name: str, tree: Tree, style: Style, source: Path, how: How) -> int:
    """Append the entries of another mbox that are not there yet."""
    if not source.exists():
        raise FileNotFoundError(str(source))
    added, batch, size = 0, list[Entry](), 0
    with mapped(source) as data:
        for begin, end in mbox.entries(data):
            batch.append(Entry.imported(_whole(bytes(data[begin:end]))))
            size += end - begin
            if len(batch) == BATCH or size > BATCH_BYTES:
                added += archiver.add(name, tree, style, batch)
                batch, size = [], 0
                how.progress("mbox", end, len(data))
        added += archiver.add(name, tree, style, batch) if batch else 0
    return added


def _whole(entry: bytes) -> bytes:
    """An entry that the next one can follow: with a From_ line, and an empty line at the end."""
    if b"\r\n" in entry:
        entry = entry.replace(b"\r\n", b"\n")
    if not entry.startswith(b"From "):
        date = dates.parse(headers.unfold(headers.first(headers.block(entry), b"date") or b""))
        entry = b"From MAILER-DAEMON %s\n" % dates.from_line(date[0] if date else 0).encode() + entry
    return entry + b"\n" * (2 - min(2, len(entry) - len(entry.rstrip(b"\n"))))


def _reread(archiver: Archiver, name: str, tree: Tree, style: Style) -> None:
    """Read the facts of every article again (a newer version may read better); number, volume and folder stay."""
    column = tables.article.c
    with archiver.rows.read() as connection:
        query = select(column.number, column.digest, column.offset, column.length, column.sent)
        rows = connection.execute(query.where(column.list == name).order_by(column.number)).all()
    with mapped(tree.mbox) as data:
        for first in range(0, len(rows), BATCH):
            changes = []
            for row in rows[first : first + BATCH]:
                facts = article.facts(
                    bytes(data[row.offset : row.offset + row.length]), row.digest, style.prefix, row.sent
                )
                changes.append(
                    (
                        row.number,
                        {
                            "msgid": facts.msgid,
                            "refs": " ".join(facts.refs),
                            "author": facts.author,
                            "subject": facts.subject,
                            "base": facts.base,
                            "reply": facts.reply,
                            "written": False,
                        },
                    )
                )

            archiver.rows.write_now(partial(_store, name, changes))
    archiver.rows.write_now(
        lambda connection: connection.execute(
            update(tables.volume).where(tables.volume.c.list == name).values(dirty=True, text_end=0)
        )
    )


def _store(name: str, changes: Sequence[tuple[int, dict[str, object]]], connection: Connection) -> None:
    column = tables.article.c
    for number, values in changes:
        mine = (column.list == name) & (column.number == number)
        connection.execute(update(tables.article).where(mine).values(**values))


def _write_anew(archiver: Archiver, name: str, tree: Tree, style: Style, how: How) -> None:
    """All pages into a folder beside, which then takes the place of the old one."""
    draft = tree.folder.with_name(f".{name}.new")
    old = tree.folder.with_name(f".{name}.old")
    for left in (draft, old):
        shutil.rmtree(left, ignore_errors=True)
    new = Tree(archiver.root, name, draft)
    new.make()
    done = _volumes(archiver, name, new, style, how)
    archiver.write_top(name, new, style, durable=False)
    os.sync()
    tree.replace_with(draft, old)
    archiver.finish(name, done)
    shutil.rmtree(old, ignore_errors=True)


def _write_bulk(archiver: Archiver, name: str, tree: Tree, style: Style, how: How) -> None:
    """What changed, in place, synced once at the end."""
    done = _volumes(archiver, name, tree, style, how)
    archiver.write_top(name, tree, style, durable=False)
    os.sync()
    archiver.finish(name, done)


def _volumes(archiver: Archiver, name: str, tree: Tree, style: Style, how: How) -> list[Written]:
    """Every volume that is to be written, articles spread over processes where that pays."""
    dirty = archiver.dirty(name)

    def write(articles: Articles) -> list[Written]:
        done: list[Written] = []
        for volume, text_end in dirty:
            how.progress("pages", len(done), len(dirty))
            done.append(archiver.write_volume(tree, style, volume, text_end, articles, durable=False))
        how.progress("pages", len(done), len(dirty))
        return done

    if how.processes > 1 and archiver.unwritten(name) > WORTH_IT:
        with Crew(how.processes, tree, style.shelf, archiver.override) as crew:
            return write(crew.articles)
    with mapped(tree.mbox) as data:
        return write(Writer(archiver.pages, tree, style.shelf, data, durable=False).articles)
