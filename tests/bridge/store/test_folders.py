"""The tree of folders by itself: parents, children, order, and what a great many cost."""

import time
from contextlib import nullcontext
from typing import Any

import pytest

from bridge.store import folders


class Home:
    def __init__(self, there: list[str]) -> None:
        self.there = dict.fromkeys(there, "")

    def root(self) -> Any:
        return nullcontext(-1)

    def tree(self, root: int) -> dict[str, str]:
        return self.there


def listed(monkeypatch: pytest.MonkeyPatch, there: list[str], subscribed: list[str]) -> list[tuple[str, str]]:
    monkeypatch.setattr(folders, "_subscriptions", lambda home: subscribed)
    monkeypatch.setattr(folders, "_special", lambda home: {})
    found = folders.listed(Home(there))  # type: ignore[arg-type]
    return [
        (one.name, "".join(letter for letter, on in zip("tcs", (one.selectable, one.children, one.subscribed)) if on))
        for one in found
    ]


def test_parents_children_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: t it is there, c it has children, s it is subscribed."""
    assert listed(monkeypatch, ["b/c/d", "a", "INBOX", "INBOX/x"], ["a", "gone/with/parents"]) == [
        ("INBOX", "tc"), ("INBOX/x", "t"), ("a", "ts"), ("b", "c"), ("b/c", "c"), ("b/c/d", "t"),
        ("gone/with/parents", "s"),
    ]


def test_many_deep_folders_cost_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """sec-I05: a LIST of what one user can make takes no minutes."""
    deep = [f"f{number}" + "/x" * 60 for number in range(2000)]
    before = time.monotonic()
    assert len(listed(monkeypatch, deep, deep)) == 2000 * 61
    assert time.monotonic() - before < 20
