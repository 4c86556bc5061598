"""How a sentence is written down and tried.

A sentence names the document and section, says in our own words (English and Spanish) what the document says, and has
a function that tries it on the running appliance and answers what came back. It raises AssertionError where the
sentence isn't true. A sentence that can't apply has no function but a reason.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import Lab


@dataclass
class World:
    """What sentences are tried on: a running appliance, its folder, and what earlier sentences left."""

    lab: Lab
    folder: Path
    notes: dict[str, str] = field(default_factory=dict)

    def port(self, service: str) -> int:
        return self.lab.ports[service]


Try = Callable[[World], str]


@dataclass(frozen=True)
class Sentence:
    """One line of `make seeds`. `rows`: ids of FEATURES that it shows; `reason`: why it can't apply (en, es)."""

    document: str
    section: str
    english: str
    spanish: str
    rows: str = ""
    attempt: Try | None = None
    reason: tuple[str, str] = ("", "")


BOOK: list[Sentence] = []


def sentence(document: str, section: str, english: str, spanish: str, rows: str = "") -> Callable[[Try], Try]:
    """Put the decorated function into the book."""

    def enter(attempt: Try) -> Try:
        BOOK.append(Sentence(document, section, english, spanish, rows, attempt))
        return attempt

    return enter


def beside(document: str, section: str, english: str, spanish: str, reason: tuple[str, str]) -> None:
    """A sentence that says nothing a system could do, or nothing that ours should."""
    BOOK.append(Sentence(document, section, english, spanish, reason=reason))


class Typed:
    """A telnet session: lines typed by hand, answers read as they come."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), 20)
        self._file = self._socket.makefile("rb")
        self.said: list[str] = []

    def hear(self) -> str:
        line = self._file.readline().decode("utf-8", "replace").rstrip("\r\n")
        self.said.append(line)
        return line

    def hear_reply(self) -> str:
        """One SMTP reply, its last line."""
        while (line := self.hear())[3:4] == "-":
            pass
        return line

    def hear_lines(self) -> list[str]:
        """Lines of a POP3 answer up to the dot."""
        lines = []
        while (line := self.hear()) != ".":
            lines.append(line)
        return lines

    def type(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self._socket.sendall(data + b"\r\n")

    def ask(self, text: str | bytes) -> str:
        """Type a line, hear the SMTP reply."""
        self.type(text)
        return self.hear_reply()

    def close(self) -> None:
        self._socket.close()
