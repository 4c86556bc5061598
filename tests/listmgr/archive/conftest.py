"""An archive in a temporary folder, with the list that it belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from bridge.model.clock import Clock
from bridge.model.envelope import Envelope, Origin
from bridge.store import tables as core_tables
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.watch.trace import Journal
from bridge.wire import dates
from listmgr import registry
from listmgr.archive import tables
from listmgr.archive.incoming import Incoming
from listmgr.archive.keeper import Archiver
from listmgr.links import Links

POINT = Failpoint("test.archive.commit", "commits of the test's archive.db")
START = 1_700_000_000
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass
class Library:
    """An archiver, and a way to hand it posts."""

    archiver: Archiver
    root: Path
    numbers: Iterator[int] = field(default_factory=count)

    def post(self, body: str = "hello", *, subject: str = "hi", sent: int | None = None, **fields: str) -> str:
        """One more post waits; its Message-ID."""
        number = next(self.numbers)
        when = START + number * 3600 if sent is None else sent
        name = fields.pop("msgid", f"<m{number}@example.org>")
        head = {
            "From": "Ann <ann@example.org>",
            "Subject": subject,
            "Date": dates.rfc5322(when),
            "Message-ID": name,
            **fields,
        }
        text = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in head.items()) + "\r\n" + body + "\r\n"
        self.raw(text.encode(), number, when)
        return name

    def raw(self, message: bytes, number: int | None = None, when: int = START) -> str:
        number = next(self.numbers) if number is None else number
        micros = (when * 1_000_000 + number) & (1 << 56) - 1
        value, queue_id = micros << 24 | number, ""
        for _ in range(16):
            queue_id, value = _DIGITS[value & 31] + queue_id, value >> 5
        envelope = Envelope(queue_id, queue_id, "ann@example.org", (), Origin("smtp"), float(when))
        self.archiver.incoming.put("test", envelope, [message])
        return queue_id

    def files(self) -> dict[str, bytes]:
        """Every file of the list's archive by its path."""
        folder = self.root / "private" / "test"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def page(self, name: str) -> str:
        return (self.root / "private" / "test" / name).read_text()


def make(path: Path, **options: object) -> Library:
    path.mkdir(parents=True, exist_ok=True)
    core = Database(f"sqlite:///{path}/core.db", point=POINT, synchronous="OFF")
    rows = Database(f"sqlite:///{path}/archive.db", point=POINT, synchronous="OFF")
    core.write_now(core_tables.core.create_all)
    rows.write_now(tables.archive.create_all)

    def unit(connection) -> None:
        if registry.find(connection, "test") is None:
            made = registry.create(connection, "test", "example.org", owner=(), language="en", now=0.0)
            registry.change(connection, made, options)

    core.write_now(unit)
    root = path / "archives"
    clock = Clock(now=lambda: float(START))
    incoming = Incoming(root / "incoming")
    archiver = Archiver(
        core, rows, root, incoming, Links("https://lists.example.org"), journal=Journal.silent(), clock=clock
    )
    return Library(archiver, root)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = make(tmp_path)
    yield made
    made.archiver.core.close()
    made.archiver.rows.close()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Library]:
    made = make(tmp_path / "another")
    yield made
    made.archiver.core.close()
    made.archiver.rows.close()
