"""How a sentence is written down.

A sentence names the document and section, says in our own words (English and Spanish) what the document says and what
is typed or run to try it, and has a function that does so on the running appliance and answers what came back. It
raises where the sentence isn't true. A sentence that can't apply has no function but a reason.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.lab import Lab

T = TypeVar("T")


@dataclass
class World:
    """What sentences are tried on: a running appliance, its folder, and what earlier sentences left."""

    lab: Lab
    folder: Path
    notes: dict[str, str] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)
    _kept: dict[str, Any] = field(default_factory=dict)

    def port(self, service: str) -> int:
        return self.lab.ports[service]

    def keep(self, name: str, make: Callable[[], AbstractContextManager[T]]) -> T:
        """Something that several sentences use and that ends with the run: made when the first one asks."""
        if name not in self._kept:
            self._kept[name] = self.stack.enter_context(make())
        found: T = self._kept[name]
        return found


Try = Callable[[World], str]


@dataclass(frozen=True)
class Sentence:
    """One line of `make seeds`. `tried`: what is typed or run; `rows`: ids of FEATURES that it shows; `reason`: why it
    can't apply (en, es)."""

    document: str
    section: str
    english: str
    spanish: str
    tried: str = ""
    rows: str = ""
    attempt: Try | None = None
    reason: tuple[str, str] = ("", "")


BOOK: list[Sentence] = []


def sentence(
    document: str, section: str, english: str, spanish: str, rows: str = "", *, tried: str
) -> Callable[[Try], Try]:
    """Put the decorated function into the book."""

    def enter(attempt: Try) -> Try:
        BOOK.append(Sentence(document, section, english, spanish, tried, rows, attempt))
        return attempt

    return enter


def beside(document: str, section: str, english: str, spanish: str, reason: tuple[str, str]) -> None:
    """A sentence that says nothing that a system of ours could do."""
    BOOK.append(Sentence(document, section, english, spanish, reason=reason))
