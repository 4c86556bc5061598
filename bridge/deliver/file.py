"""Files that aliases append mail to (S55): jobs into mbox files, each under its locks.

Promises: Delivered only when the entry is whole and on the disk; all of it or nothing (P16); only files below the
folders that `mail.file_folders` names, of root or of ours, without links (sec-D05, sec-D06). A second entry is possible
only where the process died between the append and its record.
Fails by: Deferred per recipient, as `trouble` says; a file that is locked or unsafe says so in the reply.
"""
import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.config.delivery import Delivery
from bridge.deliver.base import Job, Target
from bridge.deliver.trouble import Trouble, judge, judge_error
from bridge.model.clock import SYSTEM, Clock
from bridge.model.outcome import Delivered, Outcome
from bridge.store import mboxfile
from bridge.store.copies import Copy
from bridge.store.mboxfile import Busy, Rules, Unsafe
from bridge.store.spool import Damaged, Spooled

_THREADS = 4            # files that are appended to at the same time
_log = logging.getLogger(__name__)


class FileTransport:
    """`folders`: below which files may be appended to."""

    def __init__(self, folders: Sequence[str], settings: Delivery, clock: Clock = SYSTEM) -> None:
        self._folders, self._clock = tuple(map(Path, folders)), clock
        owners = frozenset((0, os.geteuid()))
        self._rules = Rules(settings.mbox_quoting, float(settings.lock_seconds), owners=owners)
        self._pool: ThreadPoolExecutor | None = None

    async def deliver(self, jobs: Sequence[Job]) -> Mapping[int, Outcome]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "file")
        loop = asyncio.get_running_loop()
        files: dict[str, list[tuple[Spooled, Target]]] = {}
        for job in jobs:
            for target in job.targets:
                files.setdefault(target.target, []).append((job.spooled, target))
        work = [loop.run_in_executor(self._pool, self._one_file, path, some) for path, some in files.items()]
        return {key: outcome for found in await asyncio.gather(*work) for key, outcome in found.items()}

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _one_file(self, path: str, entries: Sequence[tuple[Spooled, Target]]) -> dict[int, Outcome]:
        """Everything for one file, in order; when it is locked nobody waits a second time."""
        outcomes: dict[int, Outcome] = {}
        busy: Outcome | None = None
        for spooled, target in entries:
            try:
                outcomes[target.id] = busy or self._one(path, spooled, target)
            except Busy as error:
                _log.warning("%s", error)
                outcomes[target.id] = busy = judge(Trouble.MAILBOX, str(error), path).outcome
        return outcomes

    def _one(self, path: str, spooled: Spooled, target: Target) -> Outcome:
        where = Path(path)
        below = next((folder for folder in self._folders if where.is_relative_to(folder)), None)
        if below is None:
            return judge(Trouble.MAILBOX, f"{path} may not be written: see mail.file_folders", path).outcome
        copy = Copy(target.id, "", target.address, target.original, target.sender, spooled.envelope.trust)
        try:
            mboxfile.append(where, below, spooled, copy, self._clock.now(), self._rules)
        except Busy:
            raise
        except Unsafe as error:
            _log.warning("%s: %s", path, error)
            return judge(Trouble.MAILBOX, str(error), path).outcome
        except Damaged:
            return judge(Trouble.SPOOL).outcome
        except Exception as error:
            _log.warning("%s: %s", path, error)
            return judge_error(error, path).outcome
        return Delivered(path)
