"""The mover and the worker, put together: which transports the queue has, who indexes, who keeps house.

Promises: the mover decides and delivers locally; outgoing SMTP is handed to sender processes where there are any;
lists expand through the same door as all mail; the worker adopts delivered mail into the indexes and renders archive
pages, each on hints and, slower, without them.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bridge.app import House
from bridge.deliver.connect import Connector
from bridge.deliver.dns import Resolver
from bridge.deliver.file import FileTransport
from bridge.deliver.local import LocalTransport, Put
from bridge.deliver.pool import Pool
from bridge.deliver.program import ProgramTransport, by_command
from bridge.deliver.sender import SenderServer, SenderTransport
from bridge.deliver.signing import Signer
from bridge.deliver.smtp import SmtpTransport
from bridge.intake.drop import DropIntake, person
from bridge.intake.drop import Rules as DropRules
from bridge.intake.ownmail import OwnMail
from bridge.model.errors import Refused, StoreError
from bridge.queue import dsn
from bridge.queue.control import Control
from bridge.queue.reports import Reporter, is_here
from bridge.queue.worker import Mover, Parts
from bridge.route.resolver import Kind
from bridge.store import trace
from bridge.store.delivery import Maildirs
from bridge.store.inflight import Inflight
from bridge.store.mail import MailError
from bridge.store.notify import Listener
from bridge.store.queuedb import QueueDb
from listmgr import upkeep
from listmgr.archive.keeper import Archiver

log = logging.getLogger("estafeta.mailroom")

_HOUSEKEEPING = 3600.0
_GATHER = 1.0           # seconds in which hints gather: adopting ten mails of a folder costs little more than one
_DESCRIBE = 200         # messages that are described before somebody else's folder is looked at


async def run(house: House, stop: asyncio.Event, *, single: bool = False) -> None:
    """The mover until `stop`."""
    paths, settings = house.settings.paths, house.settings
    folder = Path(paths.databases)
    maildirs = Maildirs(house.accounts.root, settings.server.hostname)
    local = LocalTransport(maildirs, lambda account: _mailbox_of(house, account), lambda names: _tell(house, names))
    programs = ProgramTransport(
        settings.delivery, delimiters=settings.mail.delimiters, account_of=house.account,
        hint=lambda names: _tell(house, names), helper=house.helper, clock=house.clock,
    )  # fmt: skip
    files = FileTransport(settings.mail.file_folders, settings.delivery, house.clock)
    lists = house.lists
    remote = _remote(house, single=single)
    url = settings.database.queue or f"sqlite:///{folder}/queue.db"
    parts = Parts(
        spool=house.spool,
        queue=lambda: QueueDb(url, Path(paths.spool) / "GENERATION"),
        resolve=lambda address, sender: by_command(
            house.forwarded(house.resolve(address, sender), sender), settings.delivery
        ),
        transports={
            Kind.MAILBOX: local, Kind.LIST: lists, Kind.REMOTE: remote, Kind.PROGRAM: programs, Kind.FILE: files,
        },
        inflight=Inflight(Path(paths.spool) / "inflight", house.family),
        journal=house.journal,
        settings=settings.queue,
        local=local.deliver_now,
        reports=_reporter(house),
        hints=Listener("queue", Path(paths.run)),
        clock=house.clock,
    )
    mover = Mover(parts)
    running = asyncio.ensure_future(mover.run())
    control = Control(mover, Path(paths.run) / "control.sock")
    own = OwnMail(mover, Path(paths.drop) / "queue.sock", lambda uid: person(uid, house.current.tables.primary).address)
    for one in (control, own):
        await one.start()
    dropped = asyncio.ensure_future(_drop_intake(house).run(stop))
    told = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()      # a mover that ends by itself takes its process along, which is started again
    for one in (control, own):
        await one.close()
    mover.stop()
    await running
    await dropped
    for part in (lists, programs, files, maildirs):
        part.close()


def _remote(house: House, *, single: bool) -> SenderTransport | SmtpTransport:
    """The transport to other servers: by the senders, or in this process."""
    senders = 0 if single else house.settings.server.senders
    run = Path(house.settings.paths.run)
    if not senders:
        return _sending(house)
    return SenderTransport([str(run / f"sender-{number}.sock") for number in range(senders)])


def _sending(house: House) -> SmtpTransport:
    """Outgoing SMTP in this process."""
    settings = house.settings
    resolver = Resolver(settings.outbound.nameservers, ipv6=settings.outbound.ipv6)
    connector = Connector(settings.outbound, resolver, hostname=settings.server.hostname)
    pool = Pool(
        connector.open, each=settings.queue.per_destination_most, total=settings.queue.transactions,
        keep=settings.outbound.keep_seconds, messages=settings.outbound.keep_messages,
    )  # fmt: skip
    signer = Signer(
        house.spool, house.dkim_keys, trusted=settings.smtp.networks, days=settings.outbound.dkim_days,
        clock=house.clock,
    )  # fmt: skip
    return SmtpTransport(pool, house.spool, chunk=settings.queue.chunk, sign=signer.signature)


def _reporter(house: House) -> Reporter:
    """Who tells senders what became of their mail."""
    settings, override = house.settings, house.settings.paths.templates
    postmaster = settings.queue.postmaster or house.address_of("postmaster")
    composer = dsn.Composer(
        dsn.House(settings.server.hostname, postmaster, settings.server.language), Path(override) if override else None
    )
    return Reporter(
        door=house.door,
        spool=house.spool,
        composer=composer,
        is_local=is_here(lambda address, sender: house.resolve(address, sender)),
        settings=settings.queue,
        journal=house.journal,
    )


def _drop_intake(house: House) -> DropIntake:
    """What programs of this machine leave with `sendmail`."""

    def owns(address: str, other: str) -> bool:
        ends = {(route.kind, route.target) for name in (address, other) for route in house.resolve(name)}
        return len(ends) == 1 and ends.pop()[0] is Kind.MAILBOX

    rules = DropRules(house.current.tables.primary, owns, house.settings.delivery.trusted_users)
    return DropIntake(Path(house.settings.paths.drop), house.door, rules, house.journal, house.clock)


async def send(house: House, sockets: Mapping[str, Sequence[socket.socket]], stop: asyncio.Event) -> None:
    """A sender process until `stop`: outgoing SMTP for the mover."""
    server = SenderServer(_sending(house))
    for one in sockets["sender"]:
        await server.start(one)
    await stop.wait()
    await server.stop(house.settings.server.stop_seconds)


def _mailbox_of(house: House, account: str) -> str | Put | None:
    found = house.account(account)
    if found is None:
        return None
    if found.system and house.helper is not None and -found.id != os.geteuid():
        put = house.helper.deliver
        return lambda spooled, copy, again: put(found.system, spooled, copy, again=again)
    if found.store == "maildir":
        return str(found.maildir)
    box = house.mailstore.open(found)
    return lambda spooled, copy, again: box.deliver(spooled, copy, again=again)


def _tell(house: House, names: Sequence[str]) -> None:
    for name in names:
        house.hints.hint("mailbox", f"{name}\nINBOX")


async def work(house: House, stop: asyncio.Event) -> None:
    """The worker until `stop`."""
    with ThreadPoolExecutor(2, "work") as threads:
        loop = asyncio.get_running_loop()
        indexer, archiver = Indexer(house), house.archiver
        kept = time.monotonic()
        waiting = Listener("mailbox", Path(house.settings.paths.run))
        archive = Listener("archive", Path(house.settings.paths.run))
        woken = asyncio.Event()
        heard: dict[str, None] = {}

        def hear() -> None:
            """Taken off the sockets at once: what lies there would wake the loop again and again."""
            heard.update(dict.fromkeys(waiting.receive()))
            archive.receive()
            woken.set()

        for one in (waiting, archive):
            loop.add_reader(one.fileno(), hear)
        while not stop.is_set():
            indexer.note([*heard])
            heard.clear()
            more = await loop.run_in_executor(threads, indexer.run)
            more |= await loop.run_in_executor(threads, _archive, archiver)
            if time.monotonic() - kept > _HOUSEKEEPING:
                kept = time.monotonic()
                await loop.run_in_executor(threads, _keep_house, house)
            woken.clear()
            if not more:
                await _either(woken, stop, 5.0)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _GATHER)
        for one in (waiting, archive):
            loop.remove_reader(one.fileno())
            one.close()


def _archive(archiver: Archiver) -> bool:
    """What waits for the archives; is there more? A disk in trouble keeps it waiting, and ends nobody."""
    try:
        return archiver.run_once() > 0
    except (StoreError, OSError) as error:
        log.warning("archives: %s", error)
        return False


async def _either(first: asyncio.Event, second: asyncio.Event, seconds: float) -> None:
    tasks = [asyncio.ensure_future(one.wait()) for one in (first, second)]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _keep_house(house: House) -> None:
    try:
        upkeep.daily(house.office)
    except (StoreError, Refused, OSError) as error:
        log.warning("upkeep of the lists: %s", error)  # the next call goes on
    try:
        trace.expire(Path(house.settings.paths.trace), house.settings.log.trace_days, house.clock)
    except OSError as error:
        log.warning("old journals stay for now: %s", error)


class Indexer:
    """Adopts delivered mail into the indexes and describes it, account by account, so that readers find it ready."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._waiting: dict[tuple[str, str], None] = {}

    def note(self, hints: Sequence[str]) -> None:
        for hint in hints:
            account, _, folder = hint.partition("\n")
            self._waiting.setdefault((account, folder or "INBOX"))

    def run(self) -> bool:
        """A slice of the work; is there more?"""
        for account, folder in list(self._waiting)[:20]:
            del self._waiting[account, folder]
            if self._one(account, folder):
                self._waiting[account, folder] = None
        return bool(self._waiting)

    def _one(self, account: str, name: str) -> bool:
        found = self._house.accounts.by_address(account)
        if found is None:
            return False
        try:
            box = self._house.mailstore.open(found)
            folder = box.folder(name)
            box.refresh(folder)
            return box.describe(folder, _DESCRIBE) > 0
        except (MailError, StoreError, OSError) as error:
            log.warning("index of %s %s: %s", account, name, error)
        except Exception:
            log.exception("index of %s %s", account, name)      # a mistake of ours costs one mailbox, not the worker
        return False
