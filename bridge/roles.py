"""What each kind of process does: which parts of the house it takes, what it starts, how it stops.

Promises: a role is one coroutine that runs until it is told to stop and then ends what it began; which process runs
which roles is wiring (`ROLES` for the supervisor, `run_single` for one process). Everything a role needs is imported
here, before the fork, so that the children share it.
"""

import asyncio
import logging
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from bridge import mailroom, site
from bridge.app import House
from bridge.config.schema import Settings
from bridge.deliver.dns import Resolver
from bridge.intake.authenticate import Inspector
from bridge.intake.fetch.idle import Watchers
from bridge.intake.fetch.timetable import Timetable
from bridge.intake.listener import SmtpServer
from bridge.intake.session import Service
from bridge.model.language import tr
from bridge.ports import Port, Sockets
from bridge.rights import Rights, become, confine
from bridge.serve.imap.service import Service as ImapService
from bridge.serve.listener import Crowd, Listener
from bridge.serve.pop3 import session as pop3_session
from bridge.store import notify
from bridge.supervisor import BEAT_SECONDS, DRAIN, Post, RoleSpec
from bridge.watch import log as logs
from bridge.watch.lag import Lag
from bridge.web import serving

log = logging.getLogger("estafeta")

# What a House builds only when it is asked to: imported here, so that it is in memory once for all that are forked.
for _name in (
    "bridge.store.certificate", "bridge.store.dkimkeys", "bridge.store.kinds",
    "bridge.web.fetchmailconf", "listmgr.passwords", "listmgr.transport", "listmgr.web",
):  # fmt: skip
    import_module(_name)

TRIAL_USER, TRIAL_PASSWORD = "ana", "prueba-de-estafeta"



class Stop:
    """What a role is told. `drain`: no new sessions, end when the last has ended; `now`: end what runs, say goodbye."""

    def __init__(self) -> None:
        self.drain, self.now = asyncio.Event(), asyncio.Event()

    def set(self) -> None:
        """Both: whoever waits for either wakes up."""
        self.now.set()
        self.drain.set()

    async def wait(self) -> None:
        await self.now.wait()

    async def sessions(self, *draining: Callable[[], Awaitable[None]]) -> None:
        """Wait for the word, and then, unless it is `now`, for the last sessions."""
        await self.drain.wait()
        leaving = asyncio.gather(*(one() for one in draining))
        told = asyncio.ensure_future(self.now.wait())
        waiting: list[asyncio.Future[Any]] = [leaving, told]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        ended, _ = await asyncio.gather(*waiting, return_exceptions=True)   # or nobody hears what became of them
        if isinstance(ended, Exception):
            raise ended


Role = Callable[[House, Sockets, Stop], Awaitable[None]]
SMTP_SERVICES: tuple[Service, ...] = ("smtp", "submission", "submissions", "lmtp")
READER_SERVICES = ("imap", "imaps", "pop3", "pop3s")


def ports(settings: Settings) -> list[Port]:
    """(service, address, port) of everything that is switched on."""
    listen = settings.listen
    found = [
        (service, address, number)
        for service in (*SMTP_SERVICES, *READER_SERVICES)
        if (number := getattr(listen, service))
        for address in listen.addresses
    ]
    if listen.http:
        found.append(("http", listen.web_address, listen.http))
    return found


# ---- the roles -----------------------------------------------------------------------------------


async def smtp(house: House, sockets: Sockets, stop: Stop) -> None:
    """The doors for SMTP: strangers, submission, LMTP."""
    server = SmtpServer(
        house.settings.smtp,
        hostname=house.settings.server.hostname,
        domain=house.current.tables.primary,
        door=house.door,
        tables=house.policy,
        journal=house.journal,
        login=house.smtp_login,
        tls=house.tls,
        inspector=Inspector(
            Resolver(house.settings.outbound.nameservers, ipv6=house.settings.outbound.ipv6),
            hostname=house.settings.server.hostname, mode=house.settings.smtp.authenticate, clock=house.clock,
        ),
    )  # fmt: skip
    for service in SMTP_SERVICES:
        for one in sockets.get(service, ()):
            await server.listen(one, service)
    await stop.sessions(server.drain)
    await server.stop(house.settings.server.stop_seconds)


async def readers(house: House, sockets: Sockets, stop: Stop) -> None:
    """IMAP and POP3."""
    threads = ThreadPoolExecutor(8, "mail")
    listeners: list[Listener] = []
    imap = ImapService(
        check=house.authenticator.check,
        open=house.mailstore.open,
        threads=threads,
        settings=house.settings.imap,
        message_size=house.settings.store.message_size,
        hostname=house.settings.server.hostname,
        journal=house.journal,
        hints=notify.Listener("mailbox", Path(house.settings.paths.run)),
        clock=house.clock,
        elsewhere=house.elsewhere,
        tell=lambda hint: house.hints.hint("mailbox", hint),
    )
    pop3 = pop3_session.Service(
        check=house.authenticator.check,
        open=house.mailstore.open,
        threads=threads,
        settings=house.settings.pop3,
        hostname=house.settings.server.hostname,
        journal=house.journal,
        apop=house.apop_authenticator.check,
        apop_offered=house.apop_secrets.any,
        clock=house.clock,
        elsewhere=house.elsewhere,
    )
    deadlines = pop3_session.deadlines(house.settings.pop3)
    crowd = Crowd(pop3_session.limits(house.settings.pop3))
    for name, implicit in (("pop3", False), ("pop3s", True)):
        if sockets.get(name):
            one = Listener(
                pop3.session, tls=house.tls, implicit=implicit, crowd=crowd, crowded=pop3_session.CROWDED,
                deadlines=deadlines, clock=house.clock,
            )  # fmt: skip
            await one.start(sockets[name])
            listeners.append(one)
    for name, implicit in (("imap", False), ("imaps", True)):
        if sockets.get(name):
            one = imap.listener(house.tls, implicit)
            await one.start(sockets[name])
            listeners.append(one)
    await stop.sessions(*(one.drain for one in listeners))
    grace = house.settings.server.stop_seconds
    await asyncio.gather(*(one.stop(grace) for one in listeners))
    await imap.close()
    threads.shutdown(cancel_futures=True)


async def mover(house: House, sockets: Sockets, stop: Stop) -> None:
    """The queue: adopts what was accepted, routes, delivers, records."""
    await mailroom.run(house, stop.now)


async def mover_alone(house: House, sockets: Sockets, stop: Stop) -> None:
    """The mover without sender processes."""
    await mailroom.run(house, stop.now, single=True)


async def sender(house: House, sockets: Sockets, stop: Stop) -> None:
    """Mail to other servers, for the mover."""
    await mailroom.send(house, sockets, stop.now)


async def worker(house: House, sockets: Sockets, stop: Stop) -> None:
    """What costs CPU and can wait: indexes of mailboxes, archive pages, housekeeping."""
    await mailroom.work(house, stop.now)


async def collector(house: House, sockets: Sockets, stop: Stop) -> None:
    """External accounts on their timetable."""
    loop = asyncio.get_running_loop()
    timetable = Timetable(
        house.settings.fetch, house.fetch_accounts, house.poller.poll, halt=house.poller.stop
    )
    await loop.run_in_executor(None, timetable.start)
    await Watchers(timetable.planned, timetable.wake).run(stop.now)
    await loop.run_in_executor(None, timetable.stop)


async def web(house: House, sockets: Sockets, stop: Stop) -> None:
    """Pages."""
    listening = list(sockets.get("http", ()))
    if not listening:
        await stop.wait()
        return
    await serving.serve(site.application(house), listening, stop.wait, house.settings.server.stop_seconds)


# ---- which process runs what ---------------------------------------------------------------------


def _process(name: str, role: Role) -> Callable[[Post], None]:
    """A role as the supervisor runs it: a process with a loop of its own."""

    def run(post: Post) -> None:
        logs.as_role(name)
        house = House(post.settings, name)
        house.family = post.family
        if post.early is not None:
            house.tls = post.early
        _run_loop({name: role}, house, post.sockets, post.beat)

    return run


def _run_loop(wanted: Mapping[str, Role], house: House, sockets: Sockets, beat: Callable[[], None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(wanted, house, sockets, beat))


async def _until_told(wanted: Mapping[str, Role], house: House, sockets: Sockets, beat: Callable[[], None]) -> None:
    loop, stop = asyncio.get_running_loop(), Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _told, stop)
    loop.add_signal_handler(DRAIN, stop.drain.set)
    loop.set_exception_handler(_unhandled)
    living = [asyncio.ensure_future(Lag().watch()), asyncio.ensure_future(_live(beat))]
    try:
        async with asyncio.TaskGroup() as group:
            for role in wanted.values():
                group.create_task(_run(role, house, sockets, stop))
    finally:
        for task in living:
            task.cancel()
        await loop.run_in_executor(None, house.close)


def _told(stop: Stop) -> None:
    """TERM: in good order; a second one: at once (the disk is always in order)."""
    if stop.now.is_set():
        os._exit(1)
    stop.set()


async def _live(beat: Callable[[], None]) -> None:
    """Signs of life, as long as the loop moves."""
    while True:
        beat()
        await asyncio.sleep(BEAT_SECONDS)


async def _run(role: Role, house: House, sockets: Sockets, stop: Stop) -> None:
    try:
        await role(house, sockets, stop)
    finally:
        stop.set()


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    log.error("unhandled: %s", context.get("message"), exc_info=error if isinstance(error, BaseException) else None)


def _cores(wanted: int) -> int:
    return wanted or os.cpu_count() or 1


def _tls(settings: Settings) -> ssl.SSLContext:
    """Read before rights are dropped: the key may be root's alone."""
    return House(settings, "tls").tls


ROLES: Sequence[RoleSpec] = (
    RoleSpec(
        "smtp", _process("smtp", smtp), lambda s: _cores(s.server.smtp_processes), SMTP_SERVICES, overlap=True,
        early=_tls, user=lambda who: who.smtp,
    ),
    RoleSpec(
        "imap", _process("imap", readers), lambda s: _cores(s.server.imap_processes), READER_SERVICES, overlap=True,
        early=_tls,
    ),
    RoleSpec("mover", _process("mover", mover), lambda s: 1),
    RoleSpec("sender", _process("sender", sender), lambda s: s.server.senders, own_socket=True),
    RoleSpec("worker", _process("worker", worker), lambda s: s.server.workers, nice=10),
    RoleSpec("collector", _process("collector", collector), lambda s: 1),
    RoleSpec("web", _process("web", web), lambda s: 1 if s.listen.http else 0, ("http",)),
)  # fmt: skip

_ALL: Mapping[str, Role] = {
    "smtp": smtp, "imap": readers, "mover": mover_alone, "worker": worker, "collector": collector, "web": web,
}  # fmt: skip


def run_single(settings: Settings, sockets: Sockets, who: Rights, ready: Callable[[], None]) -> int:
    """Every role in one loop of this process: tests, small machines, debugging."""
    house = House(settings, "single")
    house.tls = _tls(settings)
    become(who.user, who.umask)
    confine()
    signal.signal(signal.SIGHUP, _hangup)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    ready()
    _run_loop(_ALL, house, sockets, lambda: None)
    return 0


def _hangup(number: int, frame: object) -> None:
    log.warning("--single reads its settings at the start only; stop it and start it again")


def tell(settings: Settings) -> None:
    """What a trial prints when it runs."""
    listen, domain = settings.listen, settings.mail.domains[0]
    address = f"{TRIAL_USER}@{domain}"
    where = Path(settings.paths.data)
    estafeta = sys.argv[0] if Path(sys.argv[0]).name == "estafeta" else "estafeta"
    english = f"""
Estafeta is running. Everything it keeps is in {where}.
  SMTP {listen.smtp}   submission {listen.submission} and {listen.submissions} (TLS)
  IMAP {listen.imap} and {listen.imaps} (TLS)   POP3 {listen.pop3} and {listen.pop3s} (TLS)
  pages http://{listen.web_address}:{listen.http}/
  first user: {address}   password: {TRIAL_PASSWORD}
Try, in another terminal:
  swaks --server 127.0.0.1:{listen.smtp} --to {address} --header 'Subject: hello'
  curl -u {address}:{TRIAL_PASSWORD} 'imap://127.0.0.1:{listen.imap}/INBOX;MAILINDEX=1'
  curl -u {address}:{TRIAL_PASSWORD} pop3://127.0.0.1:{listen.pop3}/
  {estafeta} trace {address}
README.md goes on from here: users, mail clients, lists, external accounts. Stop it with Ctrl-C.
"""
    spanish = f"""
Estafeta está en marcha. Todo lo que guarda está en {where}.
  SMTP {listen.smtp}   envío {listen.submission} y {listen.submissions} (TLS)
  IMAP {listen.imap} y {listen.imaps} (TLS)   POP3 {listen.pop3} y {listen.pop3s} (TLS)
  páginas http://{listen.web_address}:{listen.http}/
  primer usuario: {address}   contraseña: {TRIAL_PASSWORD}
Pruebe, en otro terminal:
  swaks --server 127.0.0.1:{listen.smtp} --to {address} --header 'Subject: hola'
  curl -u {address}:{TRIAL_PASSWORD} 'imap://127.0.0.1:{listen.imap}/INBOX;MAILINDEX=1'
  curl -u {address}:{TRIAL_PASSWORD} pop3://127.0.0.1:{listen.pop3}/
  {estafeta} trace {address}
README.es.md sigue desde aquí: usuarios, clientes, listas, cuentas externas. Se para con Ctrl-C.
"""
    print(tr(english, spanish), flush=True)
