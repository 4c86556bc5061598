"""The journal on disk: a file of JSON lines a day, appended to by every process, read by `estafeta trace`.

Promises: a line is written by one append, so lines of several processes never mix; reading tolerates a torn last line.
Not here: what is worth telling (`bridge.watch.trace`).
"""

import json
import mmap
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.model.clock import SYSTEM, Clock
from bridge.store import files
from bridge.store.failpoints import Failpoint

_APPEND = Failpoint("trace.append", "a line of the journal")
_DAY = 86400


class TraceLog:
    """The sink of a Journal: `append(line)` puts one line at the end of the day's file. One per process."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM) -> None:
        self._folder, self._clock = folder, clock
        self._descriptor, self._until, self._owner = -1, 0.0, 0

    def append(self, line: bytes) -> None:
        now = self._clock.now()
        if now >= self._until or self._owner != os.getpid():
            self._open(now)
        files.write(self._descriptor, line, _APPEND)

    def _open(self, now: float) -> None:
        """Point the descriptor to today's file. Its number stays, so another thread's write lands in one day or the
        other, never in a stranger's file."""
        day = int(now // _DAY)
        self._folder.mkdir(parents=True, exist_ok=True)
        opened = files.open_append(self._folder / name_of(day), _APPEND, mode=0o660)
        if self._descriptor >= 0 and self._owner == os.getpid():
            os.dup2(opened, self._descriptor, inheritable=False)
            os.close(opened)
        else:
            self._descriptor = opened
        self._until, self._owner = (day + 1) * _DAY, os.getpid()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._until = -1, 0.0


def name_of(day: int) -> str:
    """File name for a day, counted from 1970-01-01 (UTC)."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d.jsonl")


def expire(folder: Path, keep_days: int, clock: Clock = SYSTEM) -> int:
    """Remove files older than `keep_days`; how many went."""
    oldest = name_of(int(clock.now() // _DAY) - keep_days)
    gone = 0
    for path in folder.glob("*.jsonl"):
        if path.name < oldest:
            gone += files.unlink(path, _APPEND)
    return gone


Event = dict[str, Any]
Place = tuple[str, int]  # file and offset: the order in which things were told


def story(folder: Path, what: str) -> list[Event]:
    """Every event of the messages that `what` names: a queue id, a Message-ID or an address, oldest first.

    Follows parents and children (list copies, DSNs, forwards), so the story is whole from whichever end it is asked.
    """
    found: dict[Place, Event] = {}
    ids: set[str] = set()
    seen: set[str] = set()
    for event in _lines_with(folder, what, found):
        ids |= _ids_of(event)
    while ids - seen:
        wanted = ids - seen
        seen |= wanted
        for one in wanted:
            for event in _lines_with(folder, one, found):
                ids |= _ids_of(event)
    return [found[place] for place in sorted(found)]


def _ids_of(event: Event) -> set[str]:
    return {str(event[name]) for name in ("id", "parent") if event.get(name)}


def _lines_with(folder: Path, what: str, found: dict[Place, Event]) -> Iterator[Event]:
    needle = re.compile(re.escape(json.dumps(what)[1:-1].encode()), re.I)
    for path in sorted(folder.glob("*.jsonl")):
        for start, line in _matching(path, needle):
            place = (path.name, start)
            if place in found:
                continue
            try:
                found[place] = json.loads(line)
            except ValueError:
                continue
            yield found[place]


def _matching(path: Path, needle: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines of a file, each with its offset, that contain `needle`, found without looking at the others."""
    descriptor = files.open_read(path)
    try:
        if not os.fstat(descriptor).st_size:
            return
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            position = 0
            while position < len(data) and (found := needle.search(data, position)):
                start = data.rfind(b"\n", 0, found.start()) + 1
                end = data.find(b"\n", found.end())
                end = len(data) if end < 0 else end
                yield start, data[start:end]
                position = end + 1
    finally:
        os.close(descriptor)
