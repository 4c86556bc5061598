"""One suite for everything that keeps mail: each test runs over each driver."""
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.config.store import Store
from bridge.store.driver import Driver
from bridge.store.mailbox import AccountStore, Mailstore
from bridge.store.mbox import Mbox
from bridge.store.mboxfile import Rules

MAIL = (
    b"From: Ana <ana@example.org>\r\nTo: luis@example.org\r\nSubject: Hola %d\r\nMessage-ID: <%d@example.org>\r\n"
    b"\r\nuno\r\nFrom here on\r\n>From there\r\ndos %d\r\n"
)


def mail(number: int) -> bytes:
    return MAIL % (number, number, number)


@dataclass(frozen=True)
class Person:
    maildir: Path
    address: str = "ana@example.org"


@dataclass
class Kept:
    """An account whose mail is kept in one way. `again()`: as another process sees it; `forget()`: its index lost."""

    kind: str
    folder: Path
    driver: Driver | None
    box: AccountStore
    opened: list[AccountStore]
    make: Callable[[], Driver | None]

    @property
    def mbox(self) -> Path:
        return self.folder / "spool" / "ana"

    def again(self) -> AccountStore:
        store = Mailstore(Store(), background=False, drivers=lambda owner: self.make())
        found = store.open(Person(self.folder / "Maildir"))
        self.opened.append(found)
        return found

    def forget(self) -> AccountStore:
        self.box.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.folder}/Maildir/estafeta.index{suffix}").unlink(missing_ok=True)
        return self.again()


def rules(**more) -> Rules:
    return Rules(patience=5.0, owners=(0, os.geteuid()), **more)


def kept_in(kind: str, folder: Path) -> Kept:
    def make() -> Driver | None:
        return Mbox(folder / "spool" / "ana", rules()) if kind == "mbox" else None

    kept = Kept(kind, folder, make(), None, [], make)  # type: ignore[arg-type]
    kept.box = kept.again()
    return kept


@pytest.fixture(params=["maildir", "mbox"])
def kept(request, tmp_path):
    found = kept_in(request.param, tmp_path)
    yield found
    for one in found.opened:
        one.close()


@pytest.fixture
def in_mbox(tmp_path):
    found = kept_in("mbox", tmp_path)
    yield found
    for one in found.opened:
        one.close()


def put(box: AccountStore, number: int, name: str = "INBOX", flags=(), date=None):
    draft = box.draft()
    draft.write(mail(number))
    draft.end()
    return box.append(name, [(draft, flags, date)])


def rows(box, folder, *columns, uids=((1, 1 << 31),)):
    return [row for chunk in box.fetch(folder, uids, columns) for row in chunk]


def bodies(box, folder):
    out = {}
    for chunk in box.bodies(folder, ((1, 1 << 31),)):
        out.update(chunk)
    return out
