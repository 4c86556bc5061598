"""How often an address is answered: nobody can use our answers to bomb a stranger (sec-L02).

Promises: at most so many answers a day to an address that nothing proves to be the writer's; a repetition of the same
answer after a crash is not counted twice.
"""

from sqlalchemy import Connection, delete, func, insert, select

from bridge.model.address import fold
from listmgr import tables

_DAY = 86400


def allowed(connection: Connection, address: str, cause: str, *, limit: int, now: float, proven: bool = False) -> bool:
    """May `address` be answered because of `cause`? Counts it if so."""
    key, day, column = fold(address)[:320], int(now // _DAY), tables.answer.c
    cause = cause[:200]
    if connection.execute(select(column.id).where(column.key == key, column.cause == cause)).first():
        return True
    query = select(func.count()).select_from(tables.answer).where(column.key == key, column.day == day)
    if not proven and connection.execute(query).scalar_one() >= limit:
        return False
    connection.execute(insert(tables.answer).values(key=key, day=day, cause=cause))
    return True


def expire(connection: Connection, *, now: float) -> int:
    """Forget the days before yesterday; how many rows went."""
    return connection.execute(delete(tables.answer).where(tables.answer.c.day < int(now // _DAY) - 1)).rowcount
