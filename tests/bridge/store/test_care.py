"""The background of the mailboxes by itself: each work once, trouble holds up nothing, the end does what is due."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.config.store import Store
from bridge.store import care
from bridge.store.care import Care

WAIT = 30


class Work:
    """What was tidied; a folder of the name "bad" is trouble."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.done = threading.Event()

    def tidy(self, home: Any, name: str) -> None:
        if name == "bad":
            raise RuntimeError("a bug")
        self.names.append(name)
        if name == "last":
            self.done.set()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work()
    monkeypatch.setattr(care.tidy, "tidy", made.tidy)
    return made


HOME: Any = SimpleNamespace(path=Path("/nowhere"), address="ana@example.org", index=SimpleNamespace(uses=0))


def test_trouble_with_one_folder_holds_up_no_other(work: Work) -> None:
    one = Care(Store(tidy_after=0.0, describe=False), lambda: None)
    for name in ("first", "bad", "last"):
        one.tidy_later(HOME, name)
    assert work.done.wait(WAIT)
    one.close()
    assert work.names == ["first", "last"]


def test_the_same_work_waits_once_and_the_end_does_it(work: Work) -> None:
    one = Care(Store(tidy_after=3600.0), lambda: None)
    for name in ("a", "b", "a", "a"):
        one.tidy_later(HOME, name)
    assert work.names == []
    one.close()
    assert sorted(work.names) == ["a", "b"]
    one.tidy_later(HOME, "c")     # too late: nobody is there any more
    assert sorted(work.names) == ["a", "b"]


def test_rest_comes_when_there_is_nothing_to_do_and_may_fail(work: Work) -> None:
    rested = threading.Event()

    def rest() -> None:
        rested.set()
        raise RuntimeError("a bug")

    one = Care(Store(tidy_after=0.0, describe=False, idle_close=0.01), rest)
    one.tidy_later(HOME, "first")
    assert rested.wait(WAIT)
    one.tidy_later(HOME, "last")
    assert work.done.wait(WAIT)
    one.close()
