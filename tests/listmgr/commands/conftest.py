"""A desk with a terminal that is a string."""

import io
from collections.abc import Callable, Iterator

import pytest

from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from listmgr.archive import tables
from listmgr.archive.keeper import Archiver
from listmgr.commands.desk import Desk


@pytest.fixture
def desk(house) -> Callable[..., Desk]:
    def make(typed: str = "", language: str = "en") -> Desk:
        return Desk(house.office, io.StringIO(typed), io.StringIO(), io.StringIO(), "example.org", "cli:test", language)

    return make


POINT = Failpoint("test.desk.commit", "commits of the test's archive.db")


@pytest.fixture
def archiver(house, tmp_path) -> Iterator[Archiver]:
    rows = Database(f"sqlite:///{tmp_path}/archive.db", point=POINT, synchronous="OFF")
    rows.write_now(tables.archive.create_all)
    office = house.office
    yield Archiver(office.core, rows, tmp_path / "archives", office.incoming, office.links, journal=office.journal)
    rows.close()
