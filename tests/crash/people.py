"""Accounts, lists and members for tests, made by the product's own functions: quicker than commands."""

from collections.abc import Iterable

from sqlalchemy import Connection

from bridge import app
from bridge.config.load import load
from listmgr import registry, roster
from tests.lab import DOMAIN, PASSWORD, Lab


def make_users(lab: Lab, *names: str, password: str = PASSWORD) -> None:
    with app.opened(load(lab.config).settings, "test") as house:
        for name in names:
            house.accounts.add(f"{name}@{DOMAIN}", password, actor="test")


def make_list(lab: Lab, name: str, members: Iterable[str], **options: object) -> str:
    """A list that anybody may post to; its address."""
    with app.opened(load(lab.config).settings, "test") as house:

        def unit(connection: Connection) -> None:
            now = house.clock.now()
            which = registry.create(connection, name, DOMAIN, owner=(f"postmaster@{DOMAIN}",), language="en", now=now)
            registry.change(connection, which, {"generic_nonmember_action": "accept", **options})
            for member in members:
                roster.add(connection, which, member, now=now)

        house.core.write_now(unit)
    return f"{name}@{DOMAIN}"
