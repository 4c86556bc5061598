"""Confirmation tokens: what somebody asked for and what the owner of an address must still say yes to.

Promises: 128 random bits, valid once and for a few days, bound to one list, action and address; only the SHA-256 of a
token is stored (sec-L04). `take` removes the row in the caller's transaction, so what it allows happens once or not at
all. Fails by: None for everything that is not a valid token, without saying why.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from listmgr import tables
from listmgr.registry import MailingList

TOKEN = re.compile(r"[0-9a-f]{32}")
DAY = 86400


class Action(Enum):
    """What a token allows."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    HELD = "held"  # decide about a held post
    MOVE = "move"  # another address for a member
    LOGIN = "login"  # open the pages of an address


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that waits for its confirmation. `key` is the folded address, or the queue id of a held post."""

    action: Action
    key: str
    data: dict[str, Any]


def ask(
    connection: Connection,
    which: MailingList,
    action: Action,
    key: str,
    data: dict[str, Any],
    *,
    origin: str,
    now: float,
    days: float,
    random: Callable[[int], bytes],
) -> str:
    """A new token."""
    token = random(16).hex()
    connection.execute(
        insert(tables.pending).values(
            hash=_hash(token),
            list_id=which.id,
            action=action.value,
            key=key,
            data=json.dumps(data),
            origin=origin[:200],
            created_at=now,
            expires_at=now + days * DAY,
        )
    )
    return token


def asked(connection: Connection, which: MailingList, action: Action, key: str, *, origin: str, since: float) -> int:
    """How many confirmations for the same thing somebody else asked for since then (a repetition by `origin` is
    none)."""
    column = tables.pending.c
    same = (column.list_id == which.id) & (column.action == action.value) & (column.key == key)
    query = select(func.count()).select_from(tables.pending)
    return int(connection.execute(query.where(same, column.created_at >= since, column.origin != origin)).scalar_one())


def look(connection: Connection, which: MailingList, token: str, *, now: float) -> Pending | None:
    """What the token is for; changes nothing (sec-L05)."""
    if not TOKEN.fullmatch(token):
        return None
    column = tables.pending.c
    mine = (column.hash == _hash(token)) & (column.list_id == which.id) & (column.expires_at > now)
    row = connection.execute(select(column.action, column.key, column.data).where(mine)).first()
    return Pending(Action(row.action), row.key, json.loads(row.data)) if row else None


def take(connection: Connection, which: MailingList, token: str, *, now: float) -> Pending | None:
    """Use the token up, and with it every other token for the same action and address."""
    found = look(connection, which, token, now=now)
    if found is not None:
        drop(connection, which, found.action, found.key)
    return found


def drop(connection: Connection, which: MailingList, action: Action, key: str) -> None:
    """Make every token for this action and address worthless."""
    column = tables.pending.c
    same = (column.list_id == which.id) & (column.action == action.value) & (column.key == key)
    connection.execute(delete(tables.pending).where(same))


def expire(connection: Connection, *, now: float) -> int:
    """Forget what is too old; how many rows went."""
    return connection.execute(delete(tables.pending).where(tables.pending.c.expires_at <= now)).rowcount


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
