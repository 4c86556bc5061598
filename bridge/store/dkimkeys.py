"""DKIM keys on disk: `<data>/dkim/DOMAIN/SELECTOR.STATE`, PEM files that only the service reads.

Promises: a key's state is its file's ending, so that a look at the folder says everything: `new` waits for its DNS
record, `active` signs, `old` signs no more and may be deleted when mail that it signed has arrived. A key that can't be
read is told of in the log, once, and doesn't stop mail. sec-O13.
Fails by: KeyProblem with a sentence; OSError of the file system.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from bridge.model.address import fold_domain
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.trust.key import SELECTOR, Key, KeyProblem, read

State = Literal["new", "active", "old"]
STATES: tuple[State, ...] = get_args(State)
_LOOK = 5.0             # seconds for which a look at the folder is good
_WRITE = Failpoint("dkim.write", "a new DKIM key")
_MOVE = Failpoint("dkim.move", "another state of a DKIM key")
_log = logging.getLogger(__name__)


class Stored(NamedTuple):
    """One key file."""

    domain: str
    selector: str
    state: State
    path: Path

    def key(self) -> Key:
        """KeyProblem, OSError."""
        with open(files.open_read(self.path), "rb") as source:
            return read(self.domain, self.selector, source.read(65536))


class DkimKeys:
    """The keys below `root`."""

    def __init__(self, root: Path, monotonic: Callable[[], float]) -> None:
        self._root, self._monotonic = root, monotonic
        self._known: dict[str, tuple[float, tuple[Key, ...]]] = {}
        self._some = float("-inf"), False
        self._told: set[Path] = set()

    def all(self) -> list[Stored]:
        """Every key file, by domain and selector."""
        found = []
        for path in sorted(self._root.glob("*/*")):
            state = next((one for one in STATES if path.suffix == f".{one}"), None)
            if state is not None and SELECTOR.fullmatch(path.stem):
                found.append(Stored(path.parent.name, path.stem, state, path))
        return found

    def signing(self, domain: str) -> tuple[Key, ...]:
        """The active keys for mail from `domain`: its own, else those of the nearest domain above it."""
        now = self._monotonic()
        known = self._known.get(domain)
        if known is None or known[0] < now:
            if len(self._known) > 10_000:
                self._known.clear()
            known = self._known[domain] = now + _LOOK, self._look(domain)
        return known[1]

    def some(self) -> bool:
        """Whether any key is active."""
        now = self._monotonic()
        if self._some[0] < now:
            self._some = now + _LOOK, any(one.state == "active" for one in self.all())
        return self._some[1]

    def add(self, domain: str, selector: str, pem: bytes) -> Stored:
        """A new key, in state `new`. KeyProblem where the selector is taken or no selector."""
        if not SELECTOR.fullmatch(selector):
            raise KeyProblem(f"{selector!r} is no selector: letters, digits, hyphens, e.g. 2026a",
                             f"{selector!r} no es un selector: letras, cifras, guiones, p. ej. 2026a")
        folder = self._root / fold_domain(domain)
        if any((folder / f"{selector}.{state}").exists() for state in STATES):
            raise KeyProblem(f"there is a key {selector} for {domain} already; --selector names another",
                             f"ya hay una clave {selector} para {domain}; --selector da otro nombre")
        read(domain, selector, pem)
        path = folder / f"{selector}.new"
        files.make_path(folder, _WRITE, mode=0o700)
        files.replace(path, pem, _WRITE)
        return Stored(fold_domain(domain), selector, "new", path)

    def move(self, one: Stored, state: State) -> Stored:
        """Its next state."""
        path = one.path.with_suffix(f".{state}")
        files.rename(one.path, path, _MOVE)
        folder = files.open_folder(path.parent)
        try:
            files.sync_folder(folder, _MOVE)
        finally:
            os.close(folder)
        self._known.clear()
        self._some = float("-inf"), False
        return one._replace(state=state, path=path)

    def _look(self, domain: str) -> tuple[Key, ...]:
        labels = fold_domain(domain).split(".")
        for start in range(len(labels) - 1):
            folder = self._root / ".".join(labels[start:])
            found = [key for path in sorted(folder.glob("*.active")) if (key := self._read(path)) is not None]
            if found:
                return tuple(found)
        return ()

    def _read(self, path: Path) -> Key | None:
        try:
            return Stored(path.parent.name, path.stem, "active", path).key()
        except (OSError, KeyProblem) as error:
            if path not in self._told:
                self._told.add(path)
                _log.error("%s: %s; mail goes out without this signature", path, error)
            return None
