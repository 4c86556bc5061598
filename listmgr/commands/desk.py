"""Where a list command is given: the office, the terminal, the language.

Promises: commands read and write only through the desk, so tests and pages can run them. `Stop` carries what to say and
the exit status: 1 for a problem that is explained, 2 for a wrong call.
"""

import getpass
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from listmgr import registry
from listmgr.office import Office
from listmgr.registry import MailingList


class Stop(Exception):
    """The command ends here; the text goes to standard error."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Desk:
    """`host` is the domain of new lists; `actor` who is named in the audit log, for instance "cli:root"; `opened`:
    files that were opened with the rights of the caller, who may have more of them than the command keeps."""

    office: Office
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    host: str
    actor: str
    language: str = "en"
    opened: Mapping[str, TextIO] = field(default_factory=dict)

    def tr(self, english: str, spanish: str) -> str:
        return spanish if self.language == "es" else english

    def say(self, english: str, spanish: str) -> None:
        print(self.tr(english, spanish), file=self.stdout)

    def ask(self, english: str, spanish: str) -> str:
        """An answer from the terminal; "" at the end of input."""
        self.stdout.write(self.tr(english, spanish))
        self.stdout.flush()
        return self.stdin.readline().strip()

    def secret(self, english: str, spanish: str) -> str:
        """An answer that isn't shown while it is typed."""
        if self.stdin.isatty():
            return getpass.getpass(self.tr(english, spanish), self.stdout)
        return self.ask(english, spanish)

    def find(self, name: str) -> MailingList:
        """The list of that name, or Stop."""
        with self.office.core.read() as connection:
            found = registry.find(connection, name.partition("@")[0])
        if found is None:
            raise Stop(self.tr(f'No such list "{name}"', f'No existe la lista "{name}"'))
        return found

    def lines(self, file: str) -> list[str]:
        """The lines of a file, or of the terminal for `-`; empty lines and comments (#) left out."""
        return [line for _, line in self.numbered(file)]

    def numbered(self, file: str) -> list[tuple[int, str]]:
        """The same, each with its number."""
        with self.reading(file) as stream:
            return list(_meaningful(stream))

    @contextmanager
    def reading(self, file: str) -> Iterator[TextIO]:
        """The text of a file, or of the terminal for `-`. Stop where it can't be read."""
        if file == "-":
            yield self.stdin
            return
        try:
            with self.opened.get(file) or Path(file).open(encoding="utf-8", errors="replace") as stream:
                yield stream
        except OSError as error:
            reason = error.strerror
            raise Stop(self.tr(f"Cannot read {file}: {reason}", f"No se puede leer {file}: {reason}")) from None

    def write(self, file: str, lines: Iterable[str]) -> None:
        """Lines to a file, or to the terminal for "" and `-`."""
        text = "".join(f"{line}\n" for line in lines)
        if file in ("", "-"):
            self.stdout.write(text)
            return
        try:
            if file in self.opened:
                self.opened[file].write(text)
                self.opened[file].truncate()
                self.opened[file].flush()
            else:
                Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror
            raise Stop(self.tr(f"Cannot write {file}: {reason}", f"No se puede escribir {file}: {reason}")) from None


def _meaningful(stream: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line
