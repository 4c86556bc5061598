"""Everything that an address can mean, as one snapshot that never changes.

Promises: `Tables` is immutable (its `memo` only remembers answers); `Current.tables` is the newest snapshot and costs
microseconds while nothing has changed: accounts and lists are looked at when the core database was written, alias files
at most once a second, or at `reload`. A file that can't be read or has mistakes leaves its last good version in force,
and is reported once; where there is no good version, its good entries count and unknown names defer (`uncertain`).
Fails by: StoreError where the accounts can't be read.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection

from bridge.config.mail import Mail
from bridge.model.account import Account
from bridge.model.address import fold_domain
from bridge.route.aliases import Alias, Complaint, Form, Target, parse, parse_include
from bridge.store import aliasfiles
from bridge.store.accounts import Accounts, Snapshot
from bridge.store.aliasfiles import AliasFile, Stamp, Unsafe
from bridge.store.engine import Database
from bridge.store.systemusers import SystemUsers
from bridge.store.tables import generation_of

INCLUDE_DEPTH = 5
INCLUDES = 1000
_LOOK_EVERY = 1.0


class Domain(Enum):
    """Whose a domain is. LOCAL: one of the names of the main domain; VIRTUAL: a namespace of its own."""

    LOCAL = "local"
    VIRTUAL = "virtual"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Include:
    """An included file: its targets, or what is wrong with it."""

    targets: tuple[Target, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Tables:
    """One snapshot. `lists`: host by list name; `system`: users of the operating system by name; `uncertain`: an alias
    file that could not be read, so that nobody can say that a name is unknown."""

    settings: Mail
    domains: Mapping[str, Domain]
    accounts: Snapshot = field(default_factory=Snapshot)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    includes: Mapping[str, Include] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    system: Mapping[str, Account] = field(default_factory=dict)
    uncertain: str = ""
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def primary(self) -> str:
        """The domain of names without one."""
        return fold_domain(self.settings.domains[0]) if self.settings.domains else "localhost"

    def serves(self, domain: str) -> bool:
        """Is mail for this domain taken from anybody (S29)? A bare name is ours."""
        return not domain or fold_domain(domain) in self.domains


def domains_of(settings: Mail) -> dict[str, Domain]:
    """Every domain that the settings name, folded."""
    groups = (
        (settings.relay_domains, Domain.RELAY), (settings.virtual_domains, Domain.VIRTUAL),
        (settings.domains, Domain.LOCAL),
    )
    return {fold_domain(domain): kind for group, kind in groups for domain in group}


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the alias files said, and the stamps of all files that were looked at."""

    aliases: Mapping[str, Alias]
    includes: Mapping[str, Include]
    stamps: Mapping[Path, Stamp | None]
    complaints: tuple[Complaint, ...]
    uncertain: str = ""


class Current:
    """The newest tables of one process. `lists` reads host by list name; `report` hears of each new complaint."""

    def __init__(
        self, settings: Mail, database: Database, accounts: Accounts, *,
        lists: Callable[[Connection], Mapping[str, str]] | None = None, system: SystemUsers | None = None,
        report: Callable[[Complaint], None] = lambda complaint: None, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._database, self._accounts = settings, database, accounts
        self._lists, self._system, self._report, self._monotonic = lists, system, report, monotonic
        self._lock = Lock()
        self._version: int | None = None
        self._lists_generation = -1
        self._looked = float("-inf")
        self._good: dict[Path, dict[str, Alias]] = {}
        self._files: _Loaded | None = None
        self._tables = Tables(settings, domains_of(settings))

    @property
    def tables(self) -> Tables:
        """The snapshot to use for one address or one message."""
        version, now = self._database.version(), self._monotonic()
        if version != self._version or now - self._looked >= _LOOK_EVERY:
            with self._lock:
                self._look(version, now)
        return self._tables

    def _look(self, version: int, now: float) -> None:
        changed: dict[str, Any] = {}
        if version != self._version:
            changed |= self._look_at_database()
        if now - self._looked >= _LOOK_EVERY:
            changed |= self._look_at_files()
            self._looked = now
        if changed:
            self._tables = _replaced(self._tables, changed)
        self._version = version

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """What is wrong with the alias files as they are now."""
        return self._files.complaints if self._files else ()

    def reload(self) -> Tables:
        """Look at everything now (`newaliases`, or a hint)."""
        self._version, self._looked = None, float("-inf")
        return self.tables

    def _look_at_database(self) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        snapshot = self._accounts.snapshot()
        if snapshot is not self._tables.accounts:
            changed["accounts"] = snapshot
        if self._lists:
            with self._database.read() as connection:
                number = generation_of(connection, "lists")
                if number != self._lists_generation:
                    changed["lists"] = dict(self._lists(connection))
                    self._lists_generation = number
        return changed

    def _look_at_files(self) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        if self._system and (users := self._system.users()) is not self._tables.system:
            changed["system"] = users
        stamps = self._files.stamps if self._files else None
        if stamps is None or any(aliasfiles.stamp(path) != known for path, known in stamps.items()):
            before = set(self.complaints)
            loaded = self._files = load_files(self._settings, self._good)
            for complaint in loaded.complaints:
                if complaint not in before:
                    self._report(complaint)
            changed |= {"aliases": loaded.aliases, "includes": loaded.includes, "uncertain": loaded.uncertain}
        return changed


def _replaced(tables: Tables, changed: Mapping[str, Any]) -> Tables:
    names = ("settings", "domains", "accounts", "aliases", "includes", "lists", "system", "uncertain")
    return Tables(**{name: changed.get(name, getattr(tables, name)) for name in names})


def load_files(settings: Mail, good: dict[Path, dict[str, Alias]]) -> _Loaded:
    """Read all alias files and what they include. `good` keeps the last good version of each file."""
    aliases: dict[str, Alias] = {}
    stamps: dict[Path, Stamp | None] = {}
    complaints: list[Complaint] = []
    for path in map(Path, settings.aliases):
        stamps[path] = aliasfiles.stamp(path)
        for name, alias in _load_file(path, good, complaints).items():
            aliases.setdefault(name, alias)
    uncertain = next((one.file for one in complaints if one.fatal and Path(one.file) not in good), "")
    includes = _load_includes(settings, aliases, stamps, complaints)
    return _Loaded(aliases, includes, stamps, tuple(complaints), uncertain)


def _load_file(path: Path, good: dict[Path, dict[str, Alias]], complaints: list[Complaint]) -> dict[str, Alias]:
    try:
        found = aliasfiles.read(path)
    except FileNotFoundError:
        good.pop(path, None)
        return {}
    except (OSError, Unsafe) as error:
        complaints.append(_unreadable(path, error))
        return good.get(path, {})
    entries, wrong = parse(found.text, str(path), trusted=found.trusted)
    complaints.extend(wrong)
    if not found.trusted and any(_dangerous(alias) for alias in entries.values()):
        complaints.append(Complaint(
            str(path), 0, "others could change it, so its programs and files are not used: chown root, chmod go-w",
            "otros podrían cambiarlo, así que no se usan sus programas y ficheros: chown root, chmod go-w", fatal=False,
        ))
    if any(complaint.fatal for complaint in wrong):
        return good.get(path, entries)
    good[path] = entries
    return entries


def _dangerous(alias: Alias) -> bool:
    return any(target.form in (Form.PROGRAM, Form.FILE) for target in alias.targets)


def _unreadable(path: Path, error: Exception) -> Complaint:
    return Complaint(str(path), 0, f"can't be read: {error}", f"no se puede leer: {error}")


def _load_includes(
    settings: Mail, aliases: Mapping[str, Alias], stamps: dict[Path, Stamp | None], complaints: list[Complaint]
) -> dict[str, Include]:
    """Every file that is included, also by an included file, once."""
    includes: dict[str, Include] = {}
    waiting = [
        (target.value, Path(alias.file).parent, 1)
        for alias in aliases.values() for target in alias.targets if target.form is Form.INCLUDE
    ]
    while waiting:
        name, home, depth = waiting.pop()
        if name in includes:
            continue
        if depth > INCLUDE_DEPTH or len(includes) >= INCLUDES:
            includes[name] = Include(trouble=f"{name} is included too deep, or one of too many")
            continue
        below = [Path(folder) for folder in settings.include_folders] or [home]
        path = Path(name)
        stamps[path] = aliasfiles.stamp(path)
        includes[name] = _include(path, below, complaints)
        waiting += [(one.value, home, depth + 1) for one in includes[name].targets if one.form is Form.INCLUDE]
    return includes


def _include(path: Path, below: list[Path], complaints: list[Complaint]) -> Include:
    try:
        found: AliasFile = aliasfiles.read_include(path, below)
    except (OSError, Unsafe) as error:
        complaints.append(_unreadable(path, error))
        return Include(trouble=str(error))
    targets, wrong = parse_include(found.text, str(path))
    complaints.extend(wrong)
    if wrong:
        return Include(trouble=str(wrong[0]))
    return Include(tuple(dict.fromkeys(targets)))
