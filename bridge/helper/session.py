"""A session of a system user, after the login: IMAP or POP3 over a socket, by a process that is that user.

The process that took the connection keeps TLS, limits and the login; it passes the bytes on (`serve.relay`). One
process for one session: what a session could be talked into, it does with its own user's rights, in that user's
mailbox.
Promises: it ends when the other end closes, when the client has been silent for too long, or with `LOGOUT` and
`QUIT`.
"""
import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bridge.config.schema import Settings
from bridge.helper import locks
from bridge.helper.mail import mailstore
from bridge.helper.people import Person, become
from bridge.model.account import Account
from bridge.serve.imap import service as imap
from bridge.serve.listener import Deadlines, Link, Listener
from bridge.serve.pop3 import session as pop3
from bridge.store import notify
from bridge.store.mailbox import Mailstore
from bridge.store.notify import Hints

_THREADS = 2


def serve(person: Person, protocol: str, ends: Sequence[int], settings: Settings) -> None:
    """Until the session is over. `ends`: of its bytes, and of hints. Begins as root."""
    locker = locks.begin(person)
    become(person)
    with socket.socket(fileno=ends[0]) as one, socket.socket(fileno=ends[1]) as hints:
        one.setblocking(False)
        hints.setblocking(False)
        store = mailstore(person, settings, locker, Hints(end=hints))
        asyncio.run(_serve(person, protocol, one, store, notify.Listener("mailbox", None, hints), settings))


async def _serve(
    person: Person, protocol: str, end: socket.socket, store: Mailstore, hints: notify.Listener, settings: Settings
) -> None:
    threads = ThreadPoolExecutor(_THREADS, "mail")
    if protocol == "imap":
        service = imap.Service(
            check=_nobody, open=store.open, threads=threads, settings=settings.imap,
            message_size=settings.store.message_size, hostname=settings.server.hostname, hints=hints,
        )  # fmt: skip
        listener = service.listener(None, False)
        listener.session = lambda link: service.session(link, person.account)
    else:
        listener = _pop3(person, pop3.Service(
            check=_nobody, open=store.open, threads=threads, settings=settings.pop3, hostname=settings.server.hostname
        ))  # fmt: skip
    loop = asyncio.get_running_loop()
    await listener.start(())
    await loop.create_connection(lambda: Link(listener), sock=end)
    await listener.drain()
    await listener.stop()
    threads.shutdown()
    store.close()


def _pop3(person: Person, service: pop3.Service) -> Listener:
    deadlines = Deadlines(login=service.settings.login_seconds, idle=service.settings.idle_seconds)
    return Listener(lambda link: pop3.Pop3Session(link, service, person.account), deadlines=deadlines)


async def _nobody(login: str, password: str, protocol: str, ip: str) -> Account | None:
    """There is no login here: that was before."""
    return None
