"""Making and removing lists."""

import pytest
from sqlalchemy import func, select

from bridge.store.tables import generation_of
from listmgr import registry, tables
from listmgr.registry import Taken


def test_names_are_taken_once_whatever_the_case(house) -> None:
    house.make("devel")
    with pytest.raises(Taken):
        house.make("Devel")


@pytest.mark.parametrize("name", ["x-owner", "a b", "", "a\nb", "../x", "<b>"])
def test_bad_names(house, name: str) -> None:
    """sec-L10."""
    with pytest.raises(ValueError):
        house.make(name)


def test_other_processes_hear_of_lists_that_come_and_go(house) -> None:
    def generation() -> int:
        with house.office.core.read() as connection:
            return generation_of(connection, "lists")

    before = generation()
    which = house.make()
    middle = generation()
    house.office.core.write_now(lambda c: registry.remove(c, which))
    assert before < middle < generation()


def test_removing_leaves_no_rows(house) -> None:
    which = house.make()
    house.join(which, "a@example.org")
    house.mail(b"From: x@example.net\r\nTo: test@example.org\r\n\r\nhello\r\n", "test:post", sender="x@example.net")
    house.office.core.write_now(lambda c: registry.remove(c, which))
    with house.office.core.read() as connection:
        for table in tables.TABLES:
            if "list_id" in table.c:
                assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0, table.name


def test_overview(house) -> None:
    house.make("b", advertised=False)
    house.make("a")
    with house.office.core.read() as connection:
        assert [one.name for one in registry.every(connection)] == ["a", "b"]
        assert [one.name for one in registry.every(connection, advertised=True)] == ["a"]
        assert registry.posting_addresses(connection) == {"a@example.org": "a", "b@example.org": "b"}
