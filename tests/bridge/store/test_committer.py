"""Group commit by itself: order, isolation of failures, what `seal` says, stopping (D-2)."""
import threading
from collections.abc import Sequence

import pytest

from bridge.model.errors import StoreError
from bridge.store.committer import Committer


class Bench:
    """Items are numbers; negative ones can't be prepared, those over 1000 can't be sealed."""

    def __init__(self, **options: int) -> None:
        self.groups: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.committer: Committer[int, str] = Committer(self.prepare, self.seal, self.sealed, **options)

    def prepare(self, item: int) -> None:
        self.began.set()
        self.gate.wait(10)
        if item < 0:
            raise ValueError(item)

    def seal(self, items: Sequence[int]) -> list[str | BaseException]:
        if 666 in items:
            raise StoreError("seal")
        return [StoreError(str(item)) if item > 1000 else str(item) for item in items]

    def sealed(self, results: Sequence[str]) -> None:
        self.groups.append([int(result) for result in results])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_gets_its_own_outcome(threads: int) -> None:
    bench = Bench(threads=threads)
    items = [1, -1, 2, 2000, 3, -2, *range(10, 200)]
    futures = [bench.committer.submit(item) for item in items]
    for item, future in zip(items, futures, strict=True):
        if item < 0:
            assert isinstance(future.exception(10), ValueError)
        elif item > 1000:
            assert isinstance(future.exception(10), StoreError)
        else:
            assert future.result(10) == str(item)
    assert [one for group in bench.groups for one in group] == [item for item in items if 0 < item < 1000]
    bench.committer.close()


def test_a_seal_that_fails_fails_its_group_only() -> None:
    bench = Bench()
    bench.gate.clear()
    first = bench.committer.submit(1)
    assert bench.began.wait(10)
    second = [bench.committer.submit(item) for item in (2, 666)]
    bench.gate.set()
    assert first.result(10) == "1"
    assert all(isinstance(future.exception(10), StoreError) for future in second)
    assert bench.committer.submit(5).result(10) == "5"
    bench.committer.close()


def test_a_future_that_nobody_wants_is_committed_all_the_same() -> None:
    bench = Bench()
    bench.gate.clear()
    future = bench.committer.submit(1)
    assert not future.cancel()
    bench.gate.set()
    assert future.result(10) == "1"
    bench.committer.close()


def test_close_twice_and_never_started() -> None:
    bench = Bench()
    bench.committer.close()
    bench.committer.close()
    with pytest.raises(StoreError):
        bench.committer.submit(1)


def test_threads_end_with_close() -> None:
    """sec-R07."""
    before = threading.active_count()
    bench = Bench(threads=4)
    assert bench.committer.submit(1).result(10) == "1"
    bench.committer.close()
    assert threading.active_count() == before
