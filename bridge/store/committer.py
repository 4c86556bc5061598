"""Group commit: what waits when the previous commit ends becomes the next group, no timer.

Promises: each item of a group is prepared (`prepare`, in parallel threads: create, write, fdatasync, rename), then the
group is sealed once (`seal`: one fsync per folder), then the futures resolve, in the order of submission. An item whose
preparation fails takes nobody with it. A future that nobody waits for any more is committed all the same.
Fails by: setting the exception that `prepare` or `seal` reported on the item's future.
No thread runs before the first `submit` (fork safety, sec-Q18). SECURITY.md D-2.
"""
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from bridge.model.errors import StoreError

_GROUP = 64
_log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Verdict = BaseException | None


class Committer(Generic[Item, Result]):
    """Turns items into durable results, many at a time.

    `prepare(item)` raises if the item can't be kept; `seal(items)` answers, per item, the result or the error;
    `sealed(results)` is told of every group that is durable, before its futures resolve.
    """

    def __init__(
        self,
        prepare: Callable[[Item], None],
        seal: Callable[[Sequence[Item]], Sequence[Result | BaseException]],
        sealed: Callable[[Sequence[Result]], None],
        *,
        threads: int = 4,
        group: int = _GROUP,
    ) -> None:
        self._prepare, self._seal, self._sealed = prepare, seal, sealed
        self._threads, self._most = max(threads, 1), group
        self._waiting: SimpleQueue[tuple[Item, Future[Result]] | None] = SimpleQueue()
        self._work: SimpleQueue[tuple[int, Item] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Verdict]] = SimpleQueue()
        self._running: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False
        self.groups = 0

    def submit(self, item: Item) -> "Future[Result]":
        """Commit `item` with whoever else waits."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        if not self._running:
            self._start()
        self._waiting.put((item, future))
        return future

    def close(self) -> None:
        """Commit what waits, then stop the threads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running, self._running = self._running, []
        if not running:
            return
        self._waiting.put(None)
        running[0].join()
        for _ in running[1:]:
            self._work.put(None)
        for thread in running[1:]:
            thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                raise StoreError("the spool is closed")
            if self._running:
                return
            threads = [threading.Thread(target=self._lead, name="commit", daemon=True)]
            threads += [
                threading.Thread(target=self._help, name=f"commit-{n}", daemon=True) for n in range(1, self._threads)
            ]
            for thread in threads:
                thread.start()
            self._running = threads

    def _lead(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            group, last = [first], False
            while len(group) < self._most:
                try:
                    another = self._waiting.get_nowait()
                except Empty:
                    break
                if another is None:
                    last = True
                    break
                group.append(another)
            self._commit(group)
            del group, first  # nothing of a finished group stays in memory while we wait
            if last:
                return

    def _help(self) -> None:
        while True:
            work = self._work.get()
            if work is None:
                return
            self._done.put((work[0], self._try(work[1])))
            del work

    def _try(self, item: Item) -> Verdict:
        try:
            self._prepare(item)
        except BaseException as error:
            return error
        return None

    def _commit(self, group: "list[tuple[Item, Future[Result]]]") -> None:
        self.groups += 1
        verdicts = self._prepare_all([item for item, _ in group])
        good = [number for number, verdict in enumerate(verdicts) if verdict is None]
        outcomes: list[Result | BaseException] = [verdict or StoreError("not committed") for verdict in verdicts]
        if good:
            for number, outcome in zip(good, self._seal_all([group[number][0] for number in good]), strict=True):
                outcomes[number] = outcome
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _prepare_all(self, items: Sequence[Item]) -> list[Verdict]:
        if len(items) == 1:
            return [self._try(items[0])]
        verdicts: list[Verdict] = [None] * len(items)
        for numbered in enumerate(items):
            self._work.put(numbered)
        while True:  # the leader works, too
            try:
                work = self._work.get_nowait()
            except Empty:
                break
            if work is not None:
                self._done.put((work[0], self._try(work[1])))
        for _ in items:
            number, verdict = self._done.get()
            verdicts[number] = verdict
        return verdicts

    def _seal_all(self, items: Sequence[Item]) -> Sequence[Result | BaseException]:
        try:
            outcomes = self._seal(items)
        except BaseException as error:
            return [error] * len(items)
        durable = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        if durable:
            try:
                self._sealed(durable)
            except Exception:
                # Journal and hint are comfort: what is on disk is accepted, whatever they say.
                _log.exception("after the commit of %d messages", len(durable))
        return outcomes
