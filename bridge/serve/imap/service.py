"""The IMAP service of a process: its listeners, and what is behind them.

Promises: one crowd counts the connections of all listeners (sec-I11); news are heard as long as a listener is there.
"""
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bridge.config.imap import Imap
from bridge.model.clock import SYSTEM, Clock
from bridge.serve.imap.news import News
from bridge.serve.imap.session import ImapSession
from bridge.serve.imap.shared import Check, Shared
from bridge.serve.listener import Crowd, Deadlines, Limits, Link, Listener
from bridge.serve.relay import Elsewhere
from bridge.store import notify
from bridge.store.mailbox import AccountStore
from bridge.watch.trace import Journal

CROWDED = b"* BYE Too many connections, try again later\r\n"


class Service:
    """`check` is `Authenticator.check`, `open` gives the mailboxes of an account, `hints` hears of changes, `threads`
    does what takes long, `elsewhere` sees to the sessions of accounts that we may not open ourselves."""

    def __init__(
        self, *, check: Check, open: Callable[[Any], AccountStore], threads: ThreadPoolExecutor,
        settings: Imap | None = None, message_size: int = 50_000_000, hostname: str = "localhost",
        journal: Journal | None = None, hints: notify.Listener | None = None, clock: Clock = SYSTEM,
        elsewhere: Elsewhere | None = None, tell: Callable[[str], None] = lambda hint: None,
    ) -> None:  # fmt: skip
        self.settings = settings or Imap()
        news = News(hints or notify.Listener("mailbox", None), threads, self.settings.poll_seconds)
        self.shared = Shared(
            check=check, open=open, threads=threads, news=news, settings=self.settings, message_size=message_size,
            hostname=hostname, journal=journal or Journal.silent(), clock=clock, elsewhere=elsewhere,
            tell=tell,
        )  # fmt: skip
        self.sessions: set[ImapSession] = set()
        self._crowd = Crowd(Limits(
            self.settings.connections, self.settings.connections_address, self.settings.connections_user
        ))  # fmt: skip

    def listener(self, tls: ssl.SSLContext | None, implicit: bool) -> Listener:
        """A listener for one port; to be made and started inside the loop."""
        settings = self.settings
        self.shared.news.start()
        return Listener(
            self.session, tls=tls, implicit=implicit, crowd=self._crowd, crowded=CROWDED, clock=self.shared.clock,
            deadlines=Deadlines(login=settings.login_seconds, idle=settings.idle_seconds),
        )  # fmt: skip

    def session(self, link: Link, known: Any = None) -> ImapSession:
        """For `Listener`; `known`: the account of somebody who logged in elsewhere."""
        return ImapSession(link, self.shared, self.sessions, known)

    async def close(self) -> None:
        """After the listeners have stopped."""
        self.shared.news.close()
