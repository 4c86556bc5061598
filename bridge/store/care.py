"""Care for folders after a change: tidied soon, then described in small bites while no session wants the account.

Promises: one thread per process, which starts at first need, again in a forked child; the same work waits only once;
sessions come first; trouble with one folder is told and holds up no other. `close` does what is due but describing.
"""
import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge.config.store import Store
from bridge.model.errors import StoreError
from bridge.store import folders, tidy
from bridge.store.home import Home
from bridge.store.mail import FolderGone, MailError

BITE = 25               # messages described at once
BITE_PAUSE = 0.003      # seconds between two bites
BUSY_PAUSE = 0.1        # seconds to wait while sessions use the account

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Tidy a folder, or describe some of it. `uses`: of the index when this was noted."""

    home: Home
    name: str
    describing: bool
    uses: int = -1

    @property
    def key(self) -> tuple[Path, str, bool]:
        return self.home.path, self.name, self.describing


class Care:
    """The work that waits, and the thread that does it. `rest` is called when there is nothing to do for a while."""

    def __init__(self, settings: Store, rest: Callable[[], None]) -> None:
        self._settings, self._rest = settings, rest
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, _Job]] = []
        self._pending: set[tuple[Path, str, bool]] = set()
        self._number = itertools.count()
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._closed = False

    def tidy_later(self, home: Home, name: str) -> None:
        """This folder has changed."""
        self._push(_Job(home, name, False), self._settings.tidy_after)

    def close(self) -> None:
        """Finish what is due, end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None and self._owner == os.getpid():
            thread.join()
        for _, _, job in self._due:
            if not job.describing:
                self._do(job)
        self._due.clear()

    def _push(self, job: _Job, delay: float) -> None:
        with self._wake:
            if self._closed or job.key in self._pending:
                return
            self._pending.add(job.key)
            heapq.heappush(self._due, (time.monotonic() + delay, next(self._number), job))
            if self._thread is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._thread = threading.Thread(target=self._work, name="mailbox-care", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def _work(self) -> None:
        while True:
            job = None
            with self._wake:
                if self._closed:
                    return
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    _, _, job = heapq.heappop(self._due)
                    self._pending.discard(job.key)
                else:
                    self._wake.wait(self._due[0][0] - now if self._due else self._settings.idle_close)
            if job is not None:
                self._do(job)
            else:
                self._idle()

    def _idle(self) -> None:
        try:
            self._rest()
        except Exception:
            _log.exception("nothing is put to rest")

    def _do(self, job: _Job) -> None:
        try:
            if job.describing:
                self._bite(job)
                return
            tidy.tidy(job.home, job.name)
            if self._settings.describe:
                self._push(_Job(job.home, job.name, True), BITE_PAUSE)
        except (MailError, FolderGone, StoreError) as error:
            _log.info("%s: %s: not tidied: %s", job.home.address, job.name, error)
        except Exception:
            _log.exception("%s: %s: not tidied", job.home.address, job.name)

    def _bite(self, job: _Job) -> None:
        """Describe a few messages, unless somebody used the account since the last time: sessions come first."""
        home, name = job.home, job.name
        if not home.path.is_dir():
            return
        if home.index.uses != job.uses:
            self._push(_Job(home, name, True, home.index.uses), BUSY_PAUSE)
        elif tidy.describe(home, folders.folder(home, name), BITE):
            self._push(_Job(home, name, True, home.index.uses), BITE_PAUSE)
