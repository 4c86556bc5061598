"""Who has a mailbox here and may log in with what.

Promises: an address belongs to one account, compared in folded form (sec-D13); each change is one transaction with its
audit row and a new generation, by which other processes notice; lookups come from memory and cost microseconds.
`verify` blocks for one hash whether the account exists or not (sec-A03): call it in a thread. SQL only with bound
parameters (sec-A07). Mail on disk is never touched here, not even by `delete`.
Fails by: AccountError, a sentence for whoever gave the command; StoreError where the database does.
"""

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from bridge.config.accounts import Accounts as Settings
from bridge.model.account import Account
from bridge.model.address import BadAddress, fold, mailbox, split
from bridge.model.clock import SYSTEM, Clock
from bridge.model.language import tr
from bridge.store import names, passwords
from bridge.store.engine import Database
from bridge.store.tables import account, address, bump, credential, generation_of, gone, note

_WHICH = "accounts"
_APP = re.compile(r"[a-z2-7]{26}\Z")
_USED_EVERY = 3600.0        # seconds between two notes of an app password's use
_PLACE = re.compile(r"\{(data|mail|domain|user|home)\}")
_COLUMNS = (
    account.c.id, account.c.login, account.c.enabled, account.c.quota, account.c.language, account.c.name,
    account.c.home, account.c.maildir,
)
SCOPES = ("smtp", "imap", "pop3", "web", "sieve")


class AccountError(Exception):
    """What was asked can't be done; the text says why and what would do. `number`: of several, the place of the one
    that it is about."""

    number = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All accounts at one generation. Never changed, only replaced."""

    generation: int = 0
    by_login: Mapping[str, Account] = field(default_factory=dict)
    by_address: Mapping[str, Account] = field(default_factory=dict)
    domains: Mapping[str, int] = field(default_factory=dict)        # of logins: how many in each


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A password for one program on one device (sec-A06); the secret itself is shown once, by `add_app_password`."""

    id: int
    label: str
    scopes: tuple[str, ...]
    created_at: float
    used_at: float


class Accounts:
    """The accounts of core.db. `domains`: where an account may be made, the first for names without one."""

    def __init__(
        self, database: Database, settings: Settings, data: Path, *, mail: Path | None = None,
        domains: Sequence[str] = (), clock: Clock = SYSTEM, random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database, self._settings, self._clock, self._random = database, settings, clock, random
        self._places = {"data": str(data), "mail": str(mail or data / "mail")}
        self._domains = tuple(fold("@" + domain)[1:] for domain in domains)
        self._kinds = {_folded(who): kind for who, kind in settings.stores.items()}
        self._hasher = passwords.Hasher(settings.hash_memory, settings.hash_rounds)
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._version: int | None = None

    # -- looking up

    def snapshot(self) -> Snapshot:
        """All accounts as they are now. Costs 3 µs if nothing was written, and reads only what changed."""
        version = self._database.version()
        if version != self._version:
            with self._lock:
                self._refresh()
                self._version = version
        return self._snapshot

    def generation(self) -> int:
        """A number that grows with each change of any account."""
        return self.snapshot().generation

    def by_address(self, address: str) -> Account | None:
        return self.snapshot().by_address.get(fold(address))

    def by_login(self, login: str) -> Account | None:
        """By main address, or by its local part alone if only one domain has it."""
        snapshot, folded = self.snapshot(), fold(login)
        found = snapshot.by_login.get(folded)
        if found is not None or "@" in folded:
            return found
        several = [snapshot.by_login.get(f"{folded}@{domain}") for domain in snapshot.domains]
        there = [one for one in several if one is not None]
        return there[0] if len(there) == 1 else None

    def all(self) -> list[Account]:
        return sorted(self.snapshot().by_login.values(), key=lambda one: one.login)

    # -- proving

    def verify(self, login: str, password: str, protocol: str, ip: str) -> Account | None:
        """The account that this password opens for this protocol, or None: no word about why."""
        found = self.by_login(login) if login else None
        app = re.sub(r"[- ]", "", password)
        if _APP.match(app) and self._app_opens(found, app, protocol):
            return found
        stored = self._stored(found)
        if not self._hasher.check(stored, password) or found is None or stored is None or not found.enabled:
            return None
        if self._hasher.stale(stored):
            self._rehash(found, stored, password)
        return found

    def _stored(self, found: Account | None) -> str | None:
        with self._database.read() as connection:
            query = sa.select(account.c.password).where(account.c.id == (found.id if found else 0))
            return connection.execute(query).scalar()

    def _rehash(self, found: Account, stored: str, password: str) -> None:
        """Keep a proven password in today's form, unless it was changed meanwhile. For others nothing has changed."""
        change = sa.update(account).where(account.c.id == found.id, account.c.password == stored)
        fresh = self._hasher.hash(password)
        self._database.write_now(lambda connection: connection.execute(change.values(password=fresh)))

    def _app_opens(self, found: Account | None, app: str, protocol: str) -> bool:
        with self._database.read() as connection:
            query = sa.select(credential.c.id, credential.c.scopes, credential.c.used_at).where(
                credential.c.secret == _digest(app), credential.c.account_id == (found.id if found else 0)
            )
            row = connection.execute(query).first()
        if row is None or found is None or not found.enabled or protocol.lower() not in row.scopes.split():
            return False
        now = self._clock.now()
        if now - row.used_at > _USED_EVERY:
            change = sa.update(credential).where(credential.c.id == row.id).values(used_at=now)
            self._database.write(lambda connection: connection.execute(change))
        return True

    # -- changing

    def add(
        self, address: str, password: str, *, actor: str = "system", hashed: bool = False, also: Sequence[str] = (),
        language: str = "", quota: int = 0, name: str = "", home: str = "", maildir: str = "",
        allow_reserved: bool = False,
    ) -> Account:
        """A new account. `hashed`: the password is a stored form of another program; `also`: further addresses."""
        wanted = [self._new_address(one, allow_reserved) for one in (address, *also)]
        values = {
            "password": self._stored_form(password, wanted[0], hashed), "quota": quota, "language": language,
            "name": name, "home": home, "maildir": maildir,
        }  # fmt: skip
        self._database.write_now(lambda connection: self._insert(connection, wanted, values, actor))
        return self._get(wanted[0])

    def add_all(self, people: Sequence[tuple[str, str]], *, actor: str = "system") -> None:
        """An account for each (address, password), or none at all: AccountError with the `number` of the first that
        can't be made."""
        rows = []
        for number, (name, password) in enumerate(people):
            with _about(number):
                wanted = self._new_address(name, allow_reserved=False)
                rows.append((wanted, self._stored_form(password, wanted, hashed=False)))

        def unit(connection: Connection) -> None:
            for number, (wanted, stored) in enumerate(rows):
                values = {"password": stored, "quota": 0, "language": "", "name": "", "home": "", "maildir": ""}
                with _about(number):
                    self._insert(connection, [wanted], values, actor)

        self._database.write_now(unit)

    def _insert(self, connection: Connection, wanted: Sequence[str], values: dict[str, Any], actor: str) -> None:
        now, number = self._clock.now(), bump(connection, _WHICH)
        _require_free(connection, wanted)
        values = {
            **values, "login": wanted[0], "created_at": now, "changed_at": now, "generation": number, "enabled": True
        }  # fmt: skip
        made = connection.execute(sa.insert(account), values).inserted_primary_key
        assert made is not None
        for one in dict.fromkeys(wanted):
            _insert_address(connection, one, made[0], main=one == wanted[0])
        connection.execute(sa.delete(gone).where(gone.c.login == wanted[0]))
        note(connection, now, actor, "account.add", wanted[0])

    def passwd(self, login: str, password: str, *, actor: str = "system") -> None:
        """A new password; whoever is logged in stays so, proven logins are forgotten."""
        found = self._get(login)
        stored = self._stored_form(password, found.login, hashed=False)
        self._change(found, {"password": stored}, actor, "account.passwd", "")

    def change(
        self, login: str, *, actor: str = "system", enabled: bool | None = None, quota: int | None = None,
        language: str | None = None, name: str | None = None,
    ) -> Account:
        """Change what is given."""
        given = {"enabled": enabled, "quota": quota, "language": language, "name": name}
        values = {key: value for key, value in given.items() if value is not None}
        found = self._get(login)
        if values:
            detail = " ".join(f"{key}={value}" for key, value in values.items())
            self._change(found, values, actor, "account.change", detail)
        return self._get(found.login)

    def delete(self, login: str, *, actor: str = "system") -> Account:
        """Remove the account; its mail stays where it is (`Account.home`)."""
        found = self._get(login)
        now = self._clock.now()

        def unit(connection: Connection) -> None:
            number = bump(connection, _WHICH)
            if not connection.execute(sa.delete(account).where(account.c.id == found.id)).rowcount:
                raise AccountError(tr(f"{found.login} is gone already", f"{found.login} ya no existe"))
            connection.execute(sa.delete(gone).where(gone.c.login == found.login))
            connection.execute(sa.insert(gone), {"login": found.login, "generation": number})
            note(connection, now, actor, "account.delete", found.login)

        self._database.write_now(unit)
        return found

    def add_address(self, login: str, extra: str, *, actor: str = "system", allow_reserved: bool = False) -> Account:
        """One more address that leads to this account."""
        found, wanted = self._get(login), self._new_address(extra, allow_reserved)

        def unit(connection: Connection) -> None:
            _require_free(connection, [wanted])
            _insert_address(connection, wanted, found.id, main=False)

        self._change(found, {}, actor, "account.address", f"+{wanted}", unit)
        return self._get(found.login)

    def remove_address(self, login: str, extra: str, *, actor: str = "system") -> Account:
        """Take one of the further addresses away; the main one stays."""
        found, folded = self._get(login), fold(extra)
        if folded not in found.addresses or folded == found.login:
            raise AccountError(tr(
                f"{extra} is not one of the further addresses of {found.login}",
                f"{extra} no es una de las otras direcciones de {found.login}",
            ))
        statement = sa.delete(address).where(address.c.address == folded, address.c.account_id == found.id)
        self._change(found, {}, actor, "account.address", f"-{folded}", lambda c: c.execute(statement))
        return self._get(found.login)

    # -- app passwords

    def add_app_password(
        self, login: str, label: str, scopes: Sequence[str] = ("smtp", "imap", "pop3"), *, actor: str = "system"
    ) -> str:
        """A new secret of 128 random bits, in a form to type; this is the only time that it can be seen."""
        unknown = set(scopes) - set(SCOPES)
        if unknown or not scopes:
            known = ", ".join(SCOPES)
            raise AccountError(tr(
                f"an app password is for some of: {known}", f"una contraseña de aplicación es para algunos de: {known}"
            ))
        found = self._get(login)
        secret = base64.b32encode(self._random(16)).decode().rstrip("=").lower()
        row = {"account_id": found.id, "label": label[:100], "secret": _digest(secret), "scopes": " ".join(scopes),
               "created_at": self._clock.now(), "used_at": 0.0}
        insert = sa.insert(credential)
        self._change(found, {}, actor, "account.app", f"+{label[:100]}", lambda c: c.execute(insert, row))
        return "-".join(re.findall(".{1,5}", secret))

    def app_passwords(self, login: str) -> list[AppPassword]:
        query = sa.select(credential).where(credential.c.account_id == self._get(login).id).order_by(credential.c.id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [AppPassword(row.id, row.label, tuple(row.scopes.split()), row.created_at, row.used_at) for row in rows]

    def remove_app_password(self, login: str, number: int, *, actor: str = "system") -> None:
        found = self._get(login)

        def unit(connection: Connection) -> None:
            mine = sa.delete(credential).where(credential.c.id == number, credential.c.account_id == found.id)
            if not connection.execute(mine).rowcount:
                raise AccountError(tr(
                    f"{found.login} has no app password number {number}",
                    f"{found.login} no tiene una contraseña de aplicación número {number}",
                ))

        self._change(found, {}, actor, "account.app", f"-{number}", unit)

    # -- inside

    def _get(self, login: str) -> Account:
        found = self.by_login(login)
        if found is None:
            raise AccountError(tr(f"there is no account {login}", f"no existe la cuenta {login}"))
        return found

    def _new_address(self, text: str, allow_reserved: bool) -> str:
        default = self._domains[0] if self._domains else ""
        try:
            folded = fold(mailbox(text.strip(), domain=default))
        except BadAddress as error:
            raise AccountError(tr(
                f"{text!r} is not an address: {error}; write for instance juan@example.org",
                f"{text!r} no es una dirección; escriba por ejemplo juan@example.org",
            )) from None
        local, domain = split(folded)
        if not domain:
            raise AccountError(tr(
                f"{text!r} has no domain; write for instance {text}@example.org",
                f"{text!r} no tiene dominio; escriba por ejemplo {text}@example.org",
            ))
        trouble = names.problem_of(local)
        if trouble:
            raise AccountError(tr(f"{text!r} can't be an account: {trouble}", f"{text!r} no puede ser: {trouble}"))
        if self._domains and domain not in self._domains:
            ours = ", ".join(self._domains)
            raise AccountError(tr(
                f"{domain} is not a mail domain of this server ({ours})",
                f"{domain} no es un dominio de correo de este servidor ({ours})",
            ))
        if names.reserved(local) and not allow_reserved:
            raise AccountError(tr(
                f"{local} is a reserved name: it belongs to a function or a list. An alias does as well",
                f"{local} es un nombre reservado: es de una función o de una lista. Sirve igual un alias",
            ))
        return folded

    def _stored_form(self, password: str, login: str, hashed: bool) -> str:
        if hashed:
            if not passwords.readable(password):
                raise AccountError(tr(
                    "this form of a stored password is not understood; use argon2, {SSHA} or $6$",
                    "no se entiende esta forma de contraseña guardada; use argon2, {SSHA} o $6$",
                ))
            return password
        settings = self._settings
        try:
            passwords.require_strong(password, login, minimum=settings.password_minimum, weak=settings.password_weak)
        except passwords.Weak as weak:
            raise AccountError(str(weak)) from None
        return self._hasher.hash(password)

    def _change(
        self, found: Account, values: dict[str, Any], actor: str, action: str, detail: str,
        more: Callable[[Connection], object] | None = None,
    ) -> None:
        now = self._clock.now()

        def unit(connection: Connection) -> None:
            stamped = {**values, "changed_at": now, "generation": bump(connection, _WHICH)}
            if not connection.execute(sa.update(account).where(account.c.id == found.id).values(stamped)).rowcount:
                raise AccountError(tr(f"{found.login} is gone", f"{found.login} ya no existe"))
            if more:
                more(connection)
            note(connection, now, actor, action, found.login, detail)

        self._database.write_now(unit)

    def _refresh(self) -> None:
        """Replace the snapshot by one with the changes since; accounts that didn't change are shared with it."""
        old = self._snapshot
        with self._database.read() as connection:
            number = generation_of(connection, _WHICH)
            if number == old.generation:
                return
            since = 0 if number < old.generation else old.generation
            away = connection.execute(sa.select(gone.c.login).where(gone.c.generation > since)).scalars().all()
            rows = connection.execute(sa.select(*_COLUMNS).where(account.c.generation > since)).all()
            changed = sa.select(account.c.id).where(account.c.generation > since)
            where = address.c.account_id.in_(changed)
            pairs = connection.execute(sa.select(address.c.account_id, address.c.address).where(where)).all()
        by_login, by_address, domains = (
            ({}, {}, {}) if not since else (dict(old.by_login), dict(old.by_address), dict(old.domains))
        )
        for login in away:
            _forget(by_login, by_address, domains, login)
        belonging: dict[int, list[str]] = {}
        for owner, one in pairs:
            belonging.setdefault(owner, []).append(one)
        for row in rows:
            _forget(by_login, by_address, domains, row[1])
        for row in rows:
            made = self._account(row, tuple(sorted(belonging.get(row[0], ()))))
            by_login[made.login] = made
            by_address.update(dict.fromkeys(made.addresses, made))
            domain = split(made.login)[1]
            domains[domain] = domains.get(domain, 0) + 1
        self._snapshot = Snapshot(number, by_login, by_address, domains)

    @property
    def root(self) -> Path:
        """The folder below which homes are made: what the setting of homes begins with, up to the first part that
        differs from account to account."""
        fixed, _, _ = _fill(self._settings.home, self._places).partition("{")
        return Path(fixed.rpartition("/")[0] or "/")

    def _account(self, row: Sequence[Any], addresses: tuple[str, ...]) -> Account:
        number, login, enabled, quota, language, name, home, maildir = row
        local, _, domain = login.rpartition("@")
        places = {**self._places, "user": names.part(local), "domain": names.part(domain)}
        places["home"] = home or _fill(self._settings.home, places)
        maildir = maildir or _fill(self._settings.maildir, places)
        return Account(number, login, login, Path(places["home"]), Path(maildir), bool(enabled), quota, language, name,
                       addresses, self._kind(login, domain), self._mbox(places, domain))

    def _kind(self, login: str, domain: str) -> str:
        return self._kinds.get(login) or self._kinds.get(domain) or self._settings.store

    def _mbox(self, places: Mapping[str, str], domain: str) -> Path:
        """No two accounts share a file: names of other domains than the first say their domain."""
        template = self._settings.mbox
        if self._domains and domain != self._domains[0] and "{domain}" not in template and "{home}" not in template:
            template = template.replace("{user}", "{user}@{domain}")
        return Path(_fill(template, places))


def _forget(
    by_login: dict[str, Account], by_address: dict[str, Account], domains: dict[str, int], login: str
) -> None:
    old = by_login.pop(login, None)
    if old is None:
        return
    for one in old.addresses:
        if by_address.get(one) is old:
            del by_address[one]
    domain = split(login)[1]
    domains[domain] -= 1
    if not domains[domain]:
        del domains[domain]


def _fill(template: str, places: Mapping[str, str]) -> str:
    """Fixed placeholders, one pass: what comes from an address is never looked at again (sec-D03)."""
    return _PLACE.sub(lambda found: places.get(found[1], found[0]), template)


def _folded(who: str) -> str:
    """An address or a domain as accounts have them."""
    return fold(who) if "@" in who else fold("@" + who)[1:]


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _require_free(connection: Connection, wanted: Sequence[str]) -> None:
    """AccountError where an address, or one that looks the same, is taken (sec-D13)."""
    for one in wanted:
        alike = names.skeleton(one)
        query = sa.select(address.c.address).where(sa.or_(address.c.skeleton == alike, address.c.address == one))
        taken = connection.execute(query).scalar()
        if taken == one:
            raise AccountError(tr(f"{one} exists already", f"{one} ya existe"))
        if taken is not None:
            raise AccountError(tr(
                f"{one} looks the same as {taken}, which exists", f"{one} se confunde con {taken}, que existe"
            ))


@contextmanager
def _about(number: int) -> Iterator[None]:
    """An AccountError from within is about the one at this place."""
    try:
        yield
    except AccountError as error:
        error.number = number
        raise


def _insert_address(connection: Connection, one: str, owner: int, *, main: bool) -> None:
    row = {"address": one, "account_id": owner, "skeleton": names.skeleton(one), "main": main}
    connection.execute(sa.insert(address), row)
