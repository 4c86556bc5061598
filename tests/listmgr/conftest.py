"""A post office in a temporary folder: real database, spool and door, a clock that tests set."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection

from bridge.config.lists import Lists
from bridge.deliver.base import Job, Target
from bridge.model.clock import Clock, Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.outcome import Outcome
from bridge.queue.enter import Door
from bridge.route.resolver import Kind
from bridge.store import tables as core_tables
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.spool import Spool, Spooled
from bridge.watch.trace import Journal
from listmgr import registry, roster, tables
from listmgr.archive.incoming import Incoming
from listmgr.links import Links
from listmgr.notices import Notices
from listmgr.office import Office
from listmgr.registry import MailingList
from listmgr.transport import serve

HOST = "example.org"
POINT = Failpoint("test.lists.commit", "commits of the test's core.db")
assert tables.TABLES


@dataclass
class House:
    """Everything a test of the lists needs. `seen`: what came out of the door, in order."""

    office: Office
    root: Path
    now: list[float]
    numbers: Iterator[int] = field(default_factory=count)
    known: set[str] = field(default_factory=set)

    def make(self, name: str = "test", **options: object) -> MailingList:
        def unit(connection: Connection) -> MailingList:
            made = registry.create(connection, name, HOST, owner=(f"owner@{HOST}",), language="en", now=self.now[0])
            return registry.change(connection, made, options) if options else made

        return self.office.core.write_now(unit)

    def fresh(self, which: MailingList) -> MailingList:
        with self.office.core.read() as connection:
            found = registry.find(connection, which.name)
        assert found is not None
        return found

    def join(self, which: MailingList, *addresses: str, **options: object) -> None:
        def unit(connection: Connection) -> None:
            for address in addresses:
                roster.add(connection, which, address, now=self.now[0])
                if options:
                    roster.change(connection, which, address, now=self.now[0], **options)

        self.office.core.write_now(unit)

    def members(self, which: MailingList) -> list[str]:
        with self.office.core.read() as connection:
            return [member.address for member in roster.members(connection, which)]

    def spool(self, message: bytes, *, sender: str = "ann@example.org", to: str, **changes: object) -> Spooled:
        """A message that came to the door."""
        door = self.office.door
        queue_id = door.ids.new()
        origin = Origin("smtp", client="192.0.2.1", helo="client.example.net", protocol="ESMTP")
        envelope = Envelope(queue_id, queue_id, sender, (Recipient(to),), origin, self.now[0])
        spooled = door.accept(replace(envelope, **changes), message)  # type: ignore[arg-type]
        self.known.add(queue_id)
        return spooled

    def serve(self, spooled: Spooled, target: str, address: str = "", original: str = "") -> Outcome:
        name, _, verb = target.partition(":")
        address = address or f"{name if verb == 'post' else f'{name}-{verb}'}@{HOST}"
        return serve(self.office, spooled, Target(1, address, original or address, target, spooled.envelope.sender))

    def mail(self, message: bytes, target: str, *, sender: str = "ann@example.org", address: str = "") -> Outcome:
        """Into the door and on to the list: what the queue does."""
        return self.serve(self.spool(message, sender=sender, to=address or f"x@{HOST}"), target, address)

    def sent(self) -> list[tuple[Envelope, bytes]]:
        """What the lists put through the door since the last call, without the door's Received."""
        found = []
        for queue_id in self.office.door.spool.scan():
            if queue_id not in self.known:
                self.known.add(queue_id)
                spooled = self.office.door.spool.open(queue_id)
                data = b"".join(self.office.door.spool.chunks(spooled))
                found.append((spooled.envelope, _without_received(data)))
        return found

    def job(self, spooled: Spooled, target: str) -> Job:
        one = Target(7, spooled.envelope.recipients[0].address, "", target, spooled.envelope.sender)
        return Job(spooled, Kind.LIST, target.partition(":")[0], (one,))


def _without_received(data: bytes) -> bytes:
    """The door's own trace field is the first one."""
    end = data.index(b"\r\n")
    while data[end + 2 : end + 3] in (b" ", b"\t"):
        end = data.index(b"\r\n", end + 2)
    assert data.startswith(b"Received:")
    return data[end + 2 :]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    now = [1_700_000_000.0]
    clock = Clock(now=lambda: now[0], monotonic=lambda: now[0])
    core = Database(f"sqlite:///{tmp_path}/core.db", point=POINT, synchronous="OFF")
    core.write_now(core_tables.core.create_all)
    spool = Spool(tmp_path / "spool", clock=clock)
    door = Door(spool, hostname="mail.example.org", journal=Journal.silent(), clock=clock, ids=Ids(clock))
    office = Office(
        core, door, Notices(door, clock=clock), Incoming(tmp_path / "archives" / "incoming"), tmp_path / "held",
        Links("https://lists.example.org"), Lists(), Journal.silent(), clock,
    )  # fmt: skip
    yield House(office, tmp_path, now)
    spool.close()
    core.close()
