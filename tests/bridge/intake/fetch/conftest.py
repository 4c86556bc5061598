"""A collector with a spool, a ledger and nothing else; accounts that point at fake servers."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.poller import Poller, Result
from bridge.model.clock import SYSTEM
from bridge.queue.enter import Door, Limits
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.ledger import Ledger, account_state, seen
from bridge.store.spool import Spool
from bridge.watch.trace import Journal
from tests.bridge.intake.fetch.fakes import PASSWORD, USER, Fake, FakeImap

POINT = Failpoint("test.ledger", "commit of the ledger in these tests")
MESSAGE_SIZE = 5_000_000
_OURS = re.compile(rb"\AReceived:.*?\r\n(?![ \t])Delivered-To: fetch-[^\r]*\r\n", re.S)


def make_ledger(folder: Path, point: Failpoint = POINT) -> tuple[Database, Ledger]:
    database = Database(f"sqlite:///{folder}/core.db", point=point, lock=folder / "core.lock")

    def tables(connection: Any) -> None:
        for table in (seen, account_state):
            table.create(connection, checkfirst=True)

    database.write_now(tables)
    return database, Ledger(database)


@dataclass
class Collector:
    """What a poll needs, and what came of it."""

    folder: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    message_size: int = MESSAGE_SIZE

    def __post_init__(self) -> None:
        self.database, self.ledger = make_ledger(self.folder)
        self.spool = Spool(self.folder / "spool")
        journal = Journal(lambda line: self.events.append({"line": line}), "test", SYSTEM)
        limits = Limits(message_size=self.message_size, free_bytes=1)
        self.door = Door(self.spool, hostname="mail.example.org", journal=journal, limits=limits)
        self.poller = Poller(self.ledger, self.door, journal, self.folder, self.message_size, poll_seconds=30)

    def poll(self, account: FetchAccount) -> Result:
        return self.poller.poll(account)

    def close(self) -> None:
        self.spool.close()
        self.database.close()

    def messages(self) -> list[bytes]:
        """Everything in the spool that was collected, as it went in, without what we put on top."""
        found = []
        for ident in self.spool.scan():
            spooled = self.spool.open(ident)
            if spooled.envelope.key.startswith("fetch:"):
                text = b"".join(self.spool.chunks(spooled))
                found.append(_OURS.sub(b"", text))
        return found

    def numbers(self) -> Counter[int]:
        """X-Number → how often it is in the spool."""
        return Counter(
            int(hit[1]) for text in self.messages() if (hit := re.search(rb"^X-Number: (\d+)", text, re.M))
        )

    def notices(self) -> list[bytes]:
        opened = [self.spool.open(ident) for ident in self.spool.scan()]
        return [b"".join(self.spool.chunks(one)) for one in opened if one.envelope.key.startswith("fetch-notice:")]

    def states(self) -> dict[str, str]:
        """uid → state, over all places."""
        with self.database.read() as connection:
            return {row.uid: row.state for row in connection.execute(seen.select())}


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    made = Collector(tmp_path)
    yield made
    made.close()


def account_at(server: Fake, **more: Any) -> FetchAccount:
    values: dict[str, Any] = {
        "name": "remote", "protocol": "imap" if isinstance(server, FakeImap) else "pop3", "host": "localhost",
        "port": server.port, "tls": "none", "user": USER, "password": PASSWORD, "to": "ana@example.org",
        "timeout": 2, "keep": False,
    }  # fmt: skip
    return FetchAccount(**{**values, **more})
