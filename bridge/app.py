"""The composition root: builds the parts of a process from the settings.

Promises: nothing is opened before it is asked for, so a `House` may be made before a fork; each part gets its section
of the settings and the other parts by hand. With the modules above it the only one that knows both the mail server
and the lists.
What only some processes need is imported where it is built: a command that polls an account or names a user would
otherwise spend most of its time on imports. `bridge.roles` imports it for all that are forked.
Fails by: ConfigError with lines ready to print.
"""

import asyncio
import logging
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from bridge import reach
from bridge.config.fetch import FetchAccount
from bridge.config.schema import Settings
from bridge.intake.fetch.accounts import accounts_of
from bridge.intake.fetch.poller import Poller
from bridge.intake.limits import limits as door_limits
from bridge.intake.policy import Tables as Policy
from bridge.model.account import Account
from bridge.model.address import fold, fold_domain, split
from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import ConfigError, Refused, StoreError
from bridge.model.language import tr
from bridge.model.reply import Reply
from bridge.queue.enter import Door
from bridge.rights import Rights, become, hand_over, open_to_group, rights_of
from bridge.route import resolver, tables
from bridge.serve.auth import Authenticator, Busy, Verify
from bridge.serve.guesses import Guesses
from bridge.serve.pop3.apop import verifier
from bridge.store import dropfolder, files, instance, ledger
from bridge.store.accounts import Accounts
from bridge.store.apop import ApopSecrets
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.helper import Helper
from bridge.store.maildb import mail
from bridge.store.migrate import Schema, migrate
from bridge.store.notify import Hints
from bridge.store.passwords import Hasher
from bridge.store.spool import Spool
from bridge.store.systemusers import SystemUsers
from bridge.store.tables import core
from bridge.store.trace import TraceLog
from bridge.trust import srs
from bridge.watch.trace import Journal
from bridge.web import pages
from listmgr import registry
from listmgr import tables as list_tables
from listmgr.archive.incoming import Incoming
from listmgr.archive.tables import archive
from listmgr.links import Links
from listmgr.notices import Notices
from listmgr.office import Office

if TYPE_CHECKING:
    from bridge.store.dkimkeys import DkimKeys
    from bridge.store.driver import Driver
    from bridge.store.mailbox import Mailstore, Owner
    from listmgr.archive.keeper import Archiver
    from listmgr.transport import ListTransport
    from listmgr.web import Keys

log = logging.getLogger("estafeta")

CORE_COMMIT = Failpoint("core.commit", "a transaction of core.db")
SECRET = Failpoint("web.secret", "the secret behind form tokens")
_SRS = "srs.secret"
ARCHIVE_COMMIT = Failpoint("archive.commit", "a transaction of archive.db")
MAIL_COMMIT = Failpoint("mail.commit", "a transaction of mail.db")
CORE, ARCHIVE, MAIL = Schema("core", core), Schema("archive", archive), Schema("mail", mail)
GUESSES = Guesses()     # made before the fork: one table for all processes and protocols (sec-A01)
BUSY = Reply(454, "4.7.0", "Too many logins just now, try again later")
assert ledger.seen.metadata is list_tables.member.metadata is core  # one schema


@dataclass
class House:
    """The parts of one process. `role` is its name in journal and log."""

    settings: Settings
    role: str = "cli"
    clock: Clock = SYSTEM
    family: bytes = b""     # the same for all processes of one supervisor; empty: there is none

    @cached_property
    def data(self) -> Path:
        return Path(self.settings.paths.data)

    @cached_property
    def trace_log(self) -> TraceLog:
        return TraceLog(Path(self.settings.paths.trace), self.clock)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.trace_log.append, self.role, self.clock)

    @cached_property
    def hints(self) -> Hints:
        return Hints(Path(self.settings.paths.run))

    @cached_property
    def core(self) -> Database:
        """Accounts, lists, ledger."""
        folder = Path(self.settings.paths.databases)
        if self.settings.database.core:
            return Database(self.settings.database.core, point=CORE_COMMIT)
        return Database(f"sqlite:///{folder}/core.db", point=CORE_COMMIT, lock=folder / "core.lock")

    @cached_property
    def accounts(self) -> Accounts:
        mail = self.settings.mail
        domains = (*mail.domains, *mail.virtual_domains)
        return Accounts(self.core, self.settings.accounts, self.data, domains=domains, clock=self.clock)

    @cached_property
    def system_users(self) -> SystemUsers | None:
        """Users of the operating system, where they get mail."""
        if not self.settings.accounts.system_users:
            return None
        return SystemUsers(self.settings.accounts, fold_domain(self.settings.mail.domains[0]))

    @cached_property
    def helper(self) -> Helper | None:
        """Who does for system users what needs their rights."""
        return Helper(self.settings.accounts.helper) if self.settings.accounts.system_users else None

    def account(self, address: str) -> Account | None:
        """Whose mailbox this is: a virtual user's, else one of the operating system's."""
        found = self.accounts.by_address(address)
        return self.system_users.by_address(address) if found is None and self.system_users is not None else found

    def _verify(self, login: str, password: str, protocol: str, ip: str) -> Account | None:
        if self.system_users is not None and self.helper is not None and self.accounts.by_login(login) is None:
            found = self.system_users.by_login(login)
            if found is not None:
                return self.helper.check(found, password, protocol.lower(), ip)
        return self.accounts.verify(login, password, protocol, ip)

    async def elsewhere(self, account: Account, protocol: str, ip: str) -> tuple[socket.socket, socket.socket]:
        """Our ends of a session that the helper begins as a system user: its bytes, and hints about mailboxes."""
        assert self.helper is not None
        pairs = socket.socketpair(), socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ask = partial(self.helper.session, account, protocol, ip, [theirs.fileno() for _, theirs in pairs])
        try:
            await asyncio.get_running_loop().run_in_executor(None, ask)
        except BaseException:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        return pairs[0][0], pairs[1][0]

    @cached_property
    def current(self) -> tables.Current:
        """What addresses mean, always the newest."""
        return tables.Current(
            self.settings.mail,
            self.core,
            self.accounts,
            lists=_list_hosts,
            system=self.system_users,
            report=lambda complaint: log.warning("%s", complaint),
        )

    def resolve(self, address: str, sender: str | None = None) -> tuple[resolver.Route, ...]:
        """What an address means now."""
        tables = self.current.tables
        if srs.looks_like(address) and self.settings.mail.srs:
            behind = srs.reverse(address, self.srs_key, self.clock.now())
            if behind is not None:
                routes = resolver.resolve(behind, tables, sender=sender)
                return tuple(replace(route, why=(f"SRS address of {behind}", *route.why)) for route in routes)
        return resolver.resolve(address, tables, sender=sender)

    def forwarded(self, routes: tuple[resolver.Route, ...], sender: str) -> tuple[resolver.Route, ...]:
        """The same with our own address as the sender of what an alias sends out of the house (S68)."""
        tables = self.current.tables
        if not self.settings.mail.srs or not sender or tables.serves(fold_domain(split(sender)[1])):
            return routes
        if not any(_leaves(route) for route in routes):
            return routes
        ours = srs.forward(sender, tables.primary, self.srs_key, self.clock.now())
        return tuple(replace(route, sender=ours) if _leaves(route) else route for route in routes)

    @cached_property
    def srs_key(self) -> bytes:
        return secret_file(Path(self.settings.paths.databases) / _SRS)

    def address_of(self, name: str) -> str:
        """A local name as a full address."""
        return name if "@" in name else f"{name}@{self.current.tables.primary}"

    @cached_property
    def policy(self) -> Policy:
        """What the SMTP rules ask."""
        return Policy(
            serves=lambda domain: self.current.tables.serves(domain), resolve=self.resolve, owns=self._owns
        )

    def _owns(self, account: Any, address: str) -> bool:
        """May this login send as that address: one of its own, or one that leads to it alone."""
        if fold(address) in account.addresses:
            return True
        routes = self.resolve(address)
        return bool(routes) and all(one.target == account.address for one in routes)

    @cached_property
    def spool(self) -> Spool:
        return Spool(Path(self.settings.paths.spool), clock=self.clock)

    @cached_property
    def door(self) -> Door:
        return Door(
            self.spool,
            hostname=self.settings.server.hostname,
            journal=self.journal,
            hint=lambda ids: self.hints.hint("queue", " ".join(ids)),
            limits=door_limits(self.settings.smtp),
            clock=self.clock,
        )

    @cached_property
    def mailstore(self) -> "Mailstore":
        from bridge.store.mailbox import Mailstore

        return Mailstore(self.settings.store, hints=self.hints, clock=self.clock, drivers=self._driver)

    def _driver(self, owner: "Owner") -> "Driver | None":
        from bridge.store.kinds import driver_of

        if not isinstance(owner, Account):
            return None
        status = self.settings.accounts.mbox_status
        return driver_of(owner, self.settings.delivery, lambda: self.mail_rows, status=status)

    @cached_property
    def mail_rows(self) -> Database:
        """Mail of accounts that keep it in a database."""
        folder = Path(self.settings.paths.databases)
        if self.settings.database.mail:
            return Database(self.settings.database.mail, point=MAIL_COMMIT)
        return Database(f"sqlite:///{folder}/mail.db", point=MAIL_COMMIT, lock=folder / "mail.lock")

    @cached_property
    def authenticator(self) -> Authenticator[Account]:
        return self._authenticator(self._verify)

    @cached_property
    def apop_secrets(self) -> ApopSecrets:
        return ApopSecrets(self.core, self.accounts)

    @cached_property
    def apop_authenticator(self) -> Authenticator[Account]:
        """For APOP: the same limits, secrets of their own."""
        return self._authenticator(verifier(self.apop_secrets))

    def _authenticator(self, verify: Verify[Account]) -> Authenticator[Account]:
        return Authenticator(
            verify, self.accounts.generation, settings=self.settings.login, guesses=GUESSES, journal=self.journal,
            clock=self.clock,
        )  # fmt: skip

    @cached_property
    def smtp_login(self) -> Callable[[str, str, str, str], Awaitable[Account | None]]:
        """The authenticator in SMTP's terms: a crowd is a temporary refusal."""

        async def login(name: str, password: str, protocol: str, ip: str) -> Account | None:
            try:
                return await self.authenticator.check(name, password, protocol, ip)
            except Busy as busy:
                raise Refused(BUSY) from busy

        return login

    @cached_property
    def ledger(self) -> ledger.Ledger:
        return ledger.Ledger(self.core)

    @cached_property
    def poller(self) -> Poller:
        size = self.settings.smtp.message_size
        return Poller(
            self.ledger, self.door, self.journal, self.data, size, self.clock,
            poll_seconds=self.settings.fetch.poll_seconds, owner=self._fetch_owner,
        )  # fmt: skip

    def _fetch_owner(self, account: FetchAccount) -> str:
        """Who hears about trouble with an external account: its user, or the owner of its list."""
        if all(route.kind is not resolver.Kind.LIST for route in self.resolve(account.to)):
            return account.to
        local, _, domain = account.to.rpartition("@")
        return f"{local}-owner@{domain}"

    def fetch_accounts(self) -> tuple[list[FetchAccount], list[str]]:
        """The external accounts, their local targets full addresses that exist, and what is wrong with the others."""
        found, problems = accounts_of(self.settings.fetch, self.address_of, self.fetch_files)
        good = []
        for one in found:
            to = self.address_of(one.to)
            routes = self.resolve(to)
            if any(route.kind is resolver.Kind.REFUSE for route in routes):
                problems.append(tr(
                    f"fetched account {one.name}: there is no local address {to}; add it, or change `to`",
                    f"cuenta externa {one.name}: no existe la dirección local {to}; créela o cambie `to`",
                ))
                continue
            good.append(replace(one, to=to))
        return good, problems

    @cached_property
    def base_url(self) -> str:
        """The address of the pages as people see it."""
        return pages.base_url(self.settings.web, self.settings.server.hostname, self.settings.listen.http)

    @cached_property
    def office(self) -> Office:
        """What the lists work with."""
        override = self.settings.paths.templates
        return Office(
            self.core,
            self.door,
            Notices(self.door, clock=self.clock, override=Path(override) if override else None),
            Incoming(Path(self.settings.paths.archives) / "incoming"),
            self.data / "lists" / "held",
            Links(self.base_url),
            self.settings.lists,
            self.journal,
            self.clock,
            hint=lambda name: self.hints.hint("archive", name),
            serves=lambda host: self.current.tables.serves(host),
            hasher=Hasher(self.settings.accounts.hash_memory, self.settings.accounts.hash_rounds),
        )

    @cached_property
    def archive_rows(self) -> Database:
        folder = Path(self.settings.paths.databases)
        return Database(f"sqlite:///{folder}/archive.db", point=ARCHIVE_COMMIT, lock=folder / "archive.lock")

    @cached_property
    def archiver(self) -> "Archiver":
        from listmgr.archive.keeper import Archiver

        override = self.settings.paths.templates
        return Archiver(
            self.core,
            self.archive_rows,
            Path(self.settings.paths.archives),
            self.office.incoming,
            self.office.links,
            journal=self.journal,
            override=Path(override) if override else None,
            clock=self.clock,
        )

    @cached_property
    def dkim_keys(self) -> "DkimKeys":
        from bridge.store.dkimkeys import DkimKeys

        return DkimKeys(self.data / "dkim", self.clock.monotonic)

    @property
    def fetch_files(self) -> Path:
        """The run control files that people make on the page."""
        return self.data / "fetchmailrc"

    @cached_property
    def list_authenticator(self) -> Authenticator[str]:
        """Passwords of lists, with the same limits as those of accounts."""
        from listmgr import passwords as list_passwords

        return Authenticator(
            list_passwords.verifier(self.core, self.office.hasher), lambda: list_passwords.generation(self.core),
            settings=self.settings.login, guesses=GUESSES, journal=self.journal, clock=self.clock,
        )  # fmt: skip

    @cached_property
    def member_authenticator(self) -> Authenticator[str]:
        """Passwords of members without a mailbox here, with the same limits."""
        from listmgr import memberpasswords

        return Authenticator(
            memberpasswords.verifier(self.core, self.office.hasher), lambda: memberpasswords.generation(self.core),
            settings=self.settings.login, guesses=GUESSES, journal=self.journal, clock=self.clock,
        )  # fmt: skip

    @cached_property
    def list_keys(self) -> "Keys":
        """Who may come in to the pages of the lists."""
        from listmgr.web import Keys, Throttled

        async def keeper(name: str, password: str, ip: str) -> str | None:
            try:
                return await self.list_authenticator.check(name, password, "list", ip)
            except Busy as busy:
                raise Throttled from busy

        async def owner(name: str, password: str, ip: str) -> tuple[str, ...] | None:
            try:
                if "@" in name and self.account(name) is None:
                    member = await self.member_authenticator.check(name, password, "list", ip)
                    return (member,) if member is not None else None
                found = await self.authenticator.check(name, password, "web", ip)
            except Busy as busy:
                raise Throttled from busy
            return (found.address, *found.addresses) if found is not None else None

        return Keys(keeper, owner, accounts=True, mailbox=lambda address: self.account(address) is not None)

    @cached_property
    def lists(self) -> "ListTransport":
        from listmgr.transport import ListTransport

        return ListTransport(self.office)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        from bridge.store import certificate

        pair = certificate.ensure(self.settings.tls, self.data / "tls", self.settings.server.hostname, self.clock)
        return certificate.context(*pair, self.settings.tls.more)

    def close(self) -> None:
        """Close what was opened, databases last."""
        parts = vars(self)
        for name in (
            "authenticator", "apop_authenticator", "mailstore", "mail_rows", "spool", "archive_rows", "hints", "core",
            "trace_log",
        ):  # fmt: skip
            if name in parts:
                parts[name].close()


def _leaves(route: resolver.Route) -> bool:
    """An alias sends it to another server, and no owner-alias takes the bounces."""
    return route.kind is resolver.Kind.REMOTE and bool(route.why) and route.sender is None


def secret_file(path: Path) -> bytes:
    """32 random bytes that outlive a restart, made at the first use."""
    if not path.exists():
        files.replace(path, os.urandom(32), SECRET)
    return path.read_bytes()


def _list_hosts(connection: Connection) -> dict[str, str]:
    """Host by list name, for the routing tables."""
    return {name: address.rpartition("@")[2] for address, name in registry.posting_addresses(connection).items()}


def prepare(house: House) -> None:
    """Folders, schema, certificate: what must be there before anything runs; drafts in the spool that nobody writes any
    more go. Call it with the data folder claimed."""
    from bridge.store import certificate

    migrate(house.core, CORE, clock=house.clock)
    migrate(house.archive_rows, ARCHIVE, clock=house.clock)
    if house.settings.accounts.in_database:
        migrate(house.mail_rows, MAIL, clock=house.clock)
    try:
        house.spool.sweep(house.clock.now())
    except StoreError as error:
        log.warning("old drafts stay in the spool: %s", error)  # they harm nobody
    secret_file(Path(house.settings.paths.databases) / _SRS)    # before two processes would make two
    certificate.ensure(house.settings.tls, house.data / "tls", house.settings.server.hostname, house.clock)


def make_ready(house: House, who: Rights) -> None:
    """All that must be there, made as the user that will use it; root is that user from then on. Claim the data folder
    first. ConfigError, StoreError."""
    settings, paths = house.settings, house.settings.paths
    try:
        for name in (paths.spool, paths.databases, paths.trace, paths.run, paths.archives):
            instance.make(Path(name))
        hand_over(settings, who)
        become(who.user, who.umask)
        prepare(house)
        dropfolder.prepare(Path(paths.drop))
        open_to_group(settings, who)
    except OSError as error:
        raise ConfigError([explained(house.data, error)]) from error


def claim(data: Path) -> instance.Instance:
    """The data folder, for this process and its children alone. ConfigError."""
    try:
        return instance.claim(data, version("estafeta"))
    except OSError as error:
        raise ConfigError([explained(data, error)]) from error


def explained(data: Path, error: OSError) -> str:
    """What to do about a data folder that can't be used."""
    what = f"paths.data: {error.filename or data}: {error.strerror or error}"
    return tr(
        f"{what}; the user that runs Estafeta (now uid {os.geteuid()}) must be able to write in {data}",
        f"{what}; el usuario que ejecuta Estafeta (ahora uid {os.geteuid()}) debe poder escribir en {data}",
    )


@contextmanager
def opened(settings: Settings, role: str = "cli") -> Iterator[House]:
    """A house for a command, which goes on as `server.user` where root called it; the data folder is prepared if nobody
    runs on it."""
    house = House(settings, role)
    mask = os.umask(0o077)
    try:
        who = rights_of(settings)
        reach.ensure(who)
        if not _running(house.data):
            claimed = claim(house.data)
            try:
                make_ready(house, who)
            finally:
                claimed.release()
        else:
            become(who.user, who.umask)
        yield house
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except StoreError as error:
        print(f"estafeta: {error}", file=sys.stderr)
        raise SystemExit(75) from None
    finally:
        house.close()
        os.umask(mask)


def _running(data: Path) -> int:
    try:
        return instance.holder(data)
    except OSError as error:
        raise ConfigError([explained(data, error)]) from error


def check(settings: Settings) -> list[str]:
    """What is wrong with the files that the settings name; empty if nothing."""
    from bridge.store import certificate

    problems = []
    house = House(settings, "check")
    if settings.tls.certificate:
        try:
            certificate.context(Path(settings.tls.certificate), Path(settings.tls.key), settings.tls.more)
        except ConfigError as error:
            problems += error.problems
    problems += certificate.warnings(settings.tls)
    _, complaints = accounts_of(settings.fetch, lambda name: name)
    problems += complaints
    problems += [str(one) for one in tables.load_files(settings.mail, {}).complaints]
    house.close()
    return problems
