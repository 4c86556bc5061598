"""The lists that there are: make, find, change, remove.

Promises: a name is taken once, whatever its case; changes of options are checked before they are stored. All functions
take an open connection, so that a caller can do several things in one transaction. Removing a list removes its members,
tokens, held posts' rows and log; its archive stays where it is (L04).
Fails by: Taken, ValueError for a bad name, Wrong for options that are not accepted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from bridge.store.tables import bump
from listmgr import tables
from listmgr.addresses import Verb, local, parse, valid_name
from listmgr.describe import Words, Wrong
from listmgr.options import Options, from_json


class Taken(Exception):
    """There is a list of that name already."""


@dataclass(frozen=True, slots=True)
class MailingList:
    """One list as it was when it was read."""

    id: int
    name: str
    host: str
    options: Options

    @property
    def title(self) -> str:
        return self.options.real_name or self.name

    @property
    def posting(self) -> str:
        return f"{self.name}@{self.host}"

    @property
    def list_id(self) -> str:
        """The identifier of RFC 2919, without brackets."""
        return f"{self.name}.{self.host}"

    def address(self, verb: Verb, detail: str = "") -> str:
        return f"{local(self.name, verb, detail)}@{self.host}"


def create(
    connection: Connection, name: str, host: str, *, owner: tuple[str, ...], language: str, now: float
) -> MailingList:
    """A new list with the options that Mailman gives a new one."""
    low = name.lower()
    if not valid_name(low):
        raise ValueError(f"not a list name: {name[:80]!r}")
    options = Options().changed(
        {
            "real_name": _real_name(name),
            "owner": owner,
            "preferred_language": language,
            "subject_prefix": f"[{_real_name(name)}]",
            "host_name": host.lower(),
        }
    )
    if find(connection, low) is not None:
        raise Taken(low)
    row = insert(tables.mailing_list).values(name=low, host=host.lower(), options=options.to_json(), created_at=now)
    key = connection.execute(row).inserted_primary_key
    bump(connection, "lists")
    assert key is not None
    return MailingList(int(key[0]), low, host.lower(), options)


def _real_name(name: str) -> str:
    return name[:1].upper() + name[1:] if name.islower() else name


def find(connection: Connection, name: str) -> MailingList | None:
    """The list of that name (not its address)."""
    row = connection.execute(select(tables.mailing_list).where(tables.mailing_list.c.name == name.lower())).first()
    return _read(row) if row else None


def every(connection: Connection, *, advertised: bool = False, host: str = "") -> list[MailingList]:
    """All lists by name; only the advertised ones, only those of one host, if asked."""
    rows = connection.execute(select(tables.mailing_list).order_by(tables.mailing_list.c.name))
    found = [_read(row) for row in rows]
    return [one for one in found if (one.options.advertised or not advertised) and host in ("", one.host)]


def posting_addresses(connection: Connection) -> dict[str, str]:
    """Address to name, for the routing tables."""
    rows = connection.execute(select(tables.mailing_list.c.name, tables.mailing_list.c.host))
    return {f"{name}@{host}": name for name, host in rows}


def change(
    connection: Connection,
    which: MailingList,
    changes: Mapping[str, Any],
    *,
    serves: Callable[[str], bool] = lambda host: True,
) -> MailingList:
    """The list with some options changed, stored. `serves`: is that a mail domain of this server?"""
    made = prepared(which, changes, serves=serves)
    where = tables.mailing_list.c.id == which.id
    connection.execute(
        update(tables.mailing_list).where(where).values(options=made.options.to_json(), host=made.host)
    )
    if made.host != which.host:
        bump(connection, "lists")
    return made


def prepared(
    which: MailingList, changes: Mapping[str, Any], *, serves: Callable[[str], bool] = lambda host: True
) -> MailingList:
    """The list as `change` would store it. Wrong."""
    options = which.options.changed(changes)
    host = options.host_name.lower() or which.host
    problems: dict[str, Words] = {}
    if "real_name" in changes and options.real_name.lower() != which.name:
        problems["real_name"] = (
            f"only upper and lower case of {which.name} may be changed",
            f"solo se pueden cambiar mayúsculas y minúsculas de {which.name}",
        )
    if host != which.host and not serves(host):
        problems["host_name"] = (
            f"{host} is no mail domain of this server",
            f"{host} no es un dominio de correo de este servidor",
        )
    made = MailingList(which.id, which.name, host, replace(options, host_name=host))
    problems |= {name: words for name in ("owner", "moderator") if name in changes and (words := _own(made, name))}
    if problems:
        raise Wrong(problems)
    return made


def _own(which: MailingList, name: str) -> Words | None:
    """A list that is its own owner would send its notices in a circle (sec-L25)."""
    people = which.options.owner if name == "owner" else which.options.moderator
    for address in people:
        if address.lower().rpartition("@")[2] == which.host and parse(address).name == which.name:
            return f"{address} is the list itself", f"{address} es la propia lista"
    return None


def reached(connection: Connection, which: MailingList, address: str) -> str:
    """Where the person behind a member is written to: a member that is itself a list is spoken to through its owners,
    never through its posts, where everybody would read the link."""
    name, _, host = address.rpartition("@")
    if which.options.umbrella_list:
        return f"{name}{which.options.umbrella_member_suffix}@{host}"
    column = tables.mailing_list.c
    same = (column.name == name.lower()) & (column.host == host.lower())
    if connection.execute(select(column.id).where(same)).first():
        return f"{name}-{Verb.OWNER.value}@{host}"
    return address


def remove(connection: Connection, which: MailingList) -> None:
    """Forget the list and all its rows."""
    for table in tables.TABLES:
        if "list_id" in table.c:
            connection.execute(delete(table).where(table.c.list_id == which.id))
    connection.execute(delete(tables.mailing_list).where(tables.mailing_list.c.id == which.id))
    bump(connection, "lists")


def _read(row: Any) -> MailingList:
    return MailingList(row.id, row.name, row.host, replace(from_json(row.options), host_name=row.host))
