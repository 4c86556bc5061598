"""Writes the pages of articles: in this process, or spread over several where thousands are to be made.

Promises: which process wrote a page can't be seen in it; `articles` gives the texts for the volume's text file in
order. A process that dies (a mail that no parser survives) ends the whole work with an error, nothing is recorded as
written. Fails by: OSError, DiskFull, BrokenProcessPool.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bridge.store import files
from listmgr.archive import article
from listmgr.archive.pages import Pages, Row, Shelf, text_entry
from listmgr.archive.tree import Tree

CHUNK = 200  # articles that a process takes at a time

Articles = Callable[[Sequence[Row]], list[bytes]]


@dataclass(frozen=True, slots=True)
class Writer:
    """Everything that an article's page is made of, but the rows."""

    pages: Pages
    tree: Tree
    shelf: Shelf
    data: "mmap.mmap | bytes"  # the master mbox
    durable: bool

    def articles(self, rows: Sequence[Row]) -> list[bytes]:
        """All of a volume."""
        return self.part(rows, 0, len(rows))

    def part(self, rows: Sequence[Row], begin: int, end: int) -> list[bytes]:
        """Write the pages of those of rows[begin:end] that are new or have a new neighbour; the texts of the new
        ones."""
        texts = []
        for at in range(begin, end):
            row = rows[at]
            before = rows[at - 1] if at else None
            after = rows[at + 1] if at + 1 < len(rows) else None
            if row.written and (before is None or before.written) and (after is None or after.written):
                continue
            content = article.content(bytes(self.data[row.offset : row.offset + row.length]))
            if not row.written:
                for file in content.files:
                    self.tree.put(f"attachments/{row.folder}/{file.name}", file.content, durable=self.durable)
                texts.append(text_entry(self.shelf, row, content))
            page = self.pages.article(self.shelf, row, content, before, after)
            self.tree.put(f"{row.volume}/{row.page}", page, durable=self.durable)
        return texts


def mapped(path: Path) -> "closing[mmap.mmap] | _Nothing":
    """The file as memory, read only; nothing for an empty or missing one."""
    try:
        descriptor = files.open_read(path)
    except FileNotFoundError:
        return _Nothing()
    try:
        if not os.fstat(descriptor).st_size:
            return _Nothing()
        return closing(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(descriptor)


class _Nothing:
    def __enter__(self) -> bytes:
        return b""

    def __exit__(self, *error: object) -> None:
        return None


class Crew:
    """Several processes that write articles (not durably: who calls syncs at the end). `with Crew(...) as crew`."""

    def __init__(self, processes: int, tree: Tree, shelf: Shelf, override: Path | None) -> None:
        start = (tree.name, tree.folder, tree.mbox, shelf, override)
        context = get_context("spawn")  # threads of ours must not be forked
        self._pool = ProcessPoolExecutor(processes, context, _start, start)

    def articles(self, rows: Sequence[Row]) -> list[bytes]:
        """As `Writer.articles`; each process gets its part of the rows and the neighbours at both ends."""
        parts = []
        for begin in range(0, len(rows), CHUNK):
            first, end = max(0, begin - 1), min(len(rows), begin + CHUNK)
            parts.append(self._pool.submit(_part, tuple(rows[first : end + 1]), begin - first, end - first))
        return [text for part in parts for text in part.result()]

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)


_writer: Writer | None = None  # of a process of a Crew


def _start(name: str, folder: Path, mbox: Path, shelf: Shelf, override: Path | None) -> None:
    global _writer
    tree = Tree(mbox.parent.parent.parent, name, folder)
    descriptor = files.open_read(mbox)
    data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    os.close(descriptor)
    _writer = Writer(Pages(override), tree, shelf, data, durable=False)


def _part(rows: tuple[Row, ...], begin: int, end: int) -> list[bytes]:
    assert _writer is not None
    return _writer.part(rows, begin, end)
