"""A mover with a real spool, database and Maildirs, and made-up transports."""
import asyncio
import itertools
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.config.queue import Queue
from bridge.deliver.local import LocalTransport
from bridge.model.clock import Clock, Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.outcome import Delivered
from bridge.model.reply import Reply
from bridge.queue.backoff import Backoff
from bridge.queue.worker import Mover, Parts
from bridge.route.resolver import Kind, Route
from bridge.store import failpoints
from bridge.store.delivery import Maildirs
from bridge.store.inflight import Inflight
from bridge.store.queuedb import QueueDb
from bridge.store.spool import Spool

TEXT = b"Received: from a by b; today\r\nSubject: hi\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n"
NO_USER = Reply(550, "5.1.1", "No such user")


def resolve(address, sender):
    """local parts say what an address is."""
    local, _, domain = address.partition("@")
    if domain != "here.example":
        return (Route(Kind.REMOTE, address, domain),)
    if local.startswith("both"):
        far = Route(Kind.REMOTE, "x@far.example", "far.example")
        return (Route(Kind.MAILBOX, "u1@here.example", "u1@here.example"), far)
    if local.startswith("list"):
        return (Route(Kind.LIST, address, "list:post"),)
    if local.startswith("none"):
        return (Route(Kind.DISCARD, address, ""),)
    if local.startswith("bad"):
        return (Route(Kind.REFUSE, address, "", reply=NO_USER),)
    if local.startswith("defer"):
        return (Route(Kind.DEFER, address, "", reply=Reply(451, "4.3.0", "include file is unsafe")),)
    return (Route(Kind.MAILBOX, address, address),)


class Fake:
    """A transport: `answer(job, target)` gives an outcome, None (says nothing) or raises."""

    def __init__(self, answer=None, delay=0.0):
        self.answer = answer or (lambda job, target: Delivered("mx.far.example"))
        self.delay, self.jobs, self.active, self.most = delay, [], 0, 0

    async def deliver(self, jobs):
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            self.jobs += jobs
            if self.delay:
                await asyncio.sleep(self.delay)
            answers = {target.id: self.answer(job, target) for job in jobs for target in job.targets}
            return {key: answer for key, answer in answers.items() if answer is not None}
        finally:
            self.active -= 1

    @property
    def addresses(self):
        return [target.address for job in self.jobs for target in job.targets]


class Tale:
    """A journal that remembers."""

    def __init__(self):
        self.events = []

    def record(self, event, id="", **fields):
        self.events.append((event, id, fields))

    def of(self, event):
        return [(one, fields) for name, one, fields in self.events if name == event]


class World:
    """A data folder and what is needed to run movers on it."""

    def __init__(self, root: Path):
        self.root = root
        self.offset, self.jump = 0.0, 0.0
        self.clock = Clock(now=lambda: time.time() + self.jump, monotonic=lambda: time.monotonic() + self.offset)
        self.ids = Ids(self.clock)
        self.spool = Spool(root / "spool", threads=2)
        self.journal = Tale()
        self.settings = Queue(scan_seconds=0.2)
        self.transports = {}
        self.remote = self.transports[Kind.REMOTE] = Fake()
        self.family = b"one supervisor"
        self.reports = None
        self.resolve = resolve
        self.direct = True
        self.numbers = itertools.count()
        self.backoff = Backoff(300, 14400, lambda: 0.5)

    def queue(self):
        return QueueDb(f"sqlite:///{self.root}/queue.db", self.root / "spool/GENERATION")

    def put(self, *to, sender="ann@far.example", key=None, text=TEXT, door="smtp", received=None, notify="", **extra):
        """One message into the spool; its id."""
        one = self.ids.new()
        recipients = tuple(Recipient(address, notify=notify) for address in to)
        when = self.clock.now() if received is None else received
        draft = self.spool.begin(Envelope(one, key or one, sender, recipients, Origin(door), when, **extra))
        draft.write(text)
        self.spool.commit(draft).result()
        return one

    def maildir(self, account):
        local, _, domain = account.partition("@")
        return str(self.root / "mail" / domain / local / "Maildir")

    def inbox(self, account):
        new = Path(self.maildir(account)) / "new"
        return sorted(path.name for path in new.iterdir()) if new.exists() else []

    def mover(self, **changes):
        local = LocalTransport(Maildirs(self.root / "mail", "mx.here.example", threads=2), self.maildir)
        self.transports.setdefault(Kind.MAILBOX, local)
        parts = Parts(
            self.spool, self.queue, self.resolve, self.transports, Inflight(self.root / "inflight", self.family),
            self.journal, self.settings, local.deliver_now if self.direct else None, self.reports, None, self.clock,
            self.backoff, grace=1.0,
        )
        for name, value in changes.items():
            setattr(parts, name, value)
        return Mover(parts)

    @asynccontextmanager
    async def running(self, **changes):
        mover = self.mover(**changes)
        task = self.task = asyncio.create_task(mover.run())
        try:
            yield mover
        finally:
            mover.stop()
            await asyncio.wait_for(task, 20)

    def rows(self):
        """Recipients that the queue still has."""
        with closing(sqlite3.connect(self.root / "queue.db")) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return [SimpleNamespace(**row) for row in connection.execute("SELECT * FROM recipient ORDER BY id")]
            except sqlite3.OperationalError:
                return []

    def left(self):
        return list(self.spool.scan())

    async def drained(self, mover, seconds=15.0):
        """Wait until the spool is empty."""
        await until(lambda: not self.left() and not mover.hand.held(), seconds)


async def until(fact, seconds=15.0):
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.fake, made.until = Fake, until
    yield made
    failpoints.arm("")
    made.spool.close()
