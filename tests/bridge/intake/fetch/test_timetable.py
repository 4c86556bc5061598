"""The timetable: nobody twice at once, later after failures, changed accounts, a prompt stop."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from bridge.config.fetch import Fetch, FetchAccount
from bridge.intake.fetch.folder import Result
from bridge.intake.fetch.timetable import Timetable, backed_off, jittered


def wait_for(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def planned(table: Timetable) -> set[str]:
    """Accounts whose next turn has been planned by the one before."""
    return {name for name, when in table.next_times().items() if 0 < when - time.time() < 86400}


def account(name: str, **more: int) -> FetchAccount:
    return FetchAccount(name=name, host="h", user="u", to="t", **more)


def test_everybody_gets_a_turn_and_the_next_time_is_known() -> None:
    polled: list[str] = []

    def poll(one: FetchAccount) -> Result:
        polled.append(one.name)
        return Result(one.name, error="down" if one.name == "bad" else "")

    accounts = [account("good", interval=1000), account("bad", interval=1000)]
    table = Timetable(Fetch(), lambda: (accounts, ()), poll, chance=lambda: 0.0)
    table.start()
    try:
        wait_for(lambda: planned(table) == {"good", "bad"})
        left = {name: when - time.time() for name, when in table.next_times().items()}
        assert 850 < left["good"] < 950
        assert 1750 < left["bad"] < 1850, "twice as long after a failure"
        table.wake("good")
        wait_for(lambda: polled.count("good") == 2)
    finally:
        table.stop()


def test_a_poll_that_raises_is_planned_again() -> None:
    called = threading.Event()

    def poll(one: FetchAccount) -> Result:
        called.set()
        raise ZeroDivisionError

    table = Timetable(Fetch(), lambda: ([account("a")], ()), poll, chance=lambda: 0.0)
    table.start()
    try:
        assert called.wait(10)
        wait_for(lambda: table.next_times())
    finally:
        table.stop()


def test_changed_accounts_take_effect_and_problems_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """F52."""
    accounts = [account("a", interval=1000), account("b", interval=1000)]
    problems: list[str] = []
    polled: list[str] = []

    def poll(one: FetchAccount) -> Result:
        polled.append(f"{one.name}{one.keep:d}")
        return Result(one.name)

    table = Timetable(Fetch(), lambda: (list(accounts), list(problems)), poll, chance=lambda: 0.0)
    table.start()
    try:
        wait_for(lambda: planned(table) == {"a", "b"})
        accounts[1:] = [account("c", interval=1000)]
        problems.append("rc:3: syntax error")
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                table.read()
        assert caplog.text.count("rc:3: syntax error") == 1
        wait_for(lambda: planned(table) == {"a", "c"} and len(polled) == 3)
        assert polled[-1] == "c1"
    finally:
        table.stop()


def test_accounts_that_cannot_be_read_leave_the_known_ones(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[object] = [([account("a", interval=1000)], ())]

    def accounts() -> tuple[list[FetchAccount], tuple[str, ...]]:
        if not answers:
            raise OSError("database gone")
        return answers.pop()  # type: ignore[return-value]

    table = Timetable(Fetch(), accounts, lambda one: Result(one.name), chance=lambda: 0.0)
    table.start()
    try:
        table.read()
        wait_for(lambda: set(table.next_times()) == {"a"})
    finally:
        table.stop()


def test_stop_ends_what_runs() -> None:
    started, halted = threading.Event(), threading.Event()

    def poll(one: FetchAccount) -> Result:
        started.set()
        assert halted.wait(10)
        return Result(one.name)

    table = Timetable(Fetch(), lambda: ([account("a")], ()), poll, halt=halted.set, chance=lambda: 0.0)
    table.start()
    assert started.wait(10)
    table.stop()
    assert halted.is_set()
    assert not table.next_times()


def test_never_twice_at_once() -> None:
    running = threading.Semaphore(1)
    clashes, count = [], [0]

    def poll(one: FetchAccount) -> Result:
        if not running.acquire(blocking=False):
            clashes.append(one.name)
        count[0] += 1
        time.sleep(0.05)
        running.release()
        return Result(one.name)

    table = Timetable(Fetch(), lambda: ([account("a")], ()), poll, chance=lambda: 0.0)
    table.start()
    try:
        for _ in range(20):
            table.wake("a")
            time.sleep(0.01)
        wait_for(lambda: count[0] >= 2)
    finally:
        table.stop()
    assert not clashes


def test_waiting_times() -> None:
    """F76: back-off up to a day, a little chance in it."""
    assert [backed_off(300, n) for n in (0, 1, 2, 5, 50)] == [300, 600, 1200, 9600, 86400]
    assert backed_off(100_000, 3) == 100_000
    assert 270 <= jittered(300, lambda: 0.0) < jittered(300, lambda: 1.0) <= 330
