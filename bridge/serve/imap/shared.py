"""What the IMAP sessions of a process share: who may come in, the mailboxes, the threads, the capability line.

Promises: the capability line names what works, nothing more, minus what the settings switch off; passwords are taken
over TLS, or in the clear from the networks that the settings name (sec-I02).
RFC: 3501, 9051, 8314.
"""
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bridge.config.imap import Imap
from bridge.model.clock import SYSTEM, Clock
from bridge.model.network import Networks
from bridge.serve.imap.news import News
from bridge.serve.listener import Link
from bridge.serve.relay import Elsewhere
from bridge.store.mailbox import AccountStore
from bridge.watch.trace import Journal
from bridge.wire.imap.states import State, capabilities
from bridge.wire.sasl import MECHANISMS

Check = Callable[[str, str, str, str], Awaitable[Any]]

OFFERED = frozenset((
    "IMAP4rev1", "IMAP4rev2", "SASL-IR", "LITERAL+", "ID", "ENABLE", "IDLE", "NAMESPACE", "UIDPLUS", "CHILDREN", "MOVE",
    "UNSELECT", "SPECIAL-USE", "CREATE-SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS", "CONDSTORE", "QRESYNC", "ESEARCH",
    "SEARCHRES", "WITHIN", "SORT", "SORT=DISPLAY", "ESORT", "THREAD=REFERENCES", "THREAD=ORDEREDSUBJECT", "MULTIAPPEND",
    "APPENDLIMIT", "BINARY", "UTF8=ACCEPT", "STATUS=SIZE", "SAVEDATE", "PREVIEW", "OBJECTID", "PARTIAL",
))  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Shared:
    """`check` is `Authenticator.check`, `open` gives the mailboxes of an account; `threads` does what takes long;
    `elsewhere`: sessions of accounts that we may not open ourselves, `tell`: all processes about a change
    in one of their mailboxes."""

    check: Check
    open: Callable[[Any], AccountStore]
    threads: ThreadPoolExecutor
    news: News
    settings: Imap = field(default_factory=Imap)
    message_size: int = 50_000_000
    hostname: str = "localhost"
    journal: Journal = field(default_factory=Journal.silent)
    clock: Clock = SYSTEM
    elsewhere: Elsewhere | None = None
    tell: Callable[[str], None] = lambda hint: None
    _offered: frozenset[str] = field(init=False, default=OFFERED)
    _near: Networks = field(init=False)
    _lines: dict[tuple[State, bool, bool, bool], bytes] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        without = {name.upper() for name in self.settings.without}
        self._offered = frozenset(name for name in OFFERED if name.upper() not in without)
        self._near = Networks.of(self.settings.plain_from)

    def plaintext(self, link: Link) -> bool:
        """Whether this connection may bring a password."""
        return link.secure or not link.peer or link.peer in self._near

    def capabilities(self, state: State, link: Link) -> bytes:
        """The capability line of this moment."""
        key = state, link.secure, link.tls_offered, self.plaintext(link)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = capabilities(
                state, self._offered, tls=key[1], starttls=key[2], plaintext=key[3], mechanisms=MECHANISMS,
                append_limit=self.message_size,
            )  # fmt: skip
        return line

    def told(self, address: str, hint: str) -> None:
        """A session in another process changed something; it may speak of its own account alone."""
        if hint.startswith(f"{address}\n"):
            self.tell(hint)

    def offers(self, name: str) -> bool:
        """Whether a capability is there."""
        return name in self._offered
