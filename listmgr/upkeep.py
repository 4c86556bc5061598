"""What the lists clear away once a day: tokens that nobody used, counts of answers of days gone by.

Promises: can be called at any time and as often as one likes; touches nothing that still means something. Fails by:
StoreError.
"""

from sqlalchemy import Connection

from listmgr import answers, pending
from listmgr.office import Office


def daily(office: Office) -> int:
    """Forget what has expired; how many rows went."""
    now = office.clock.now()

    def unit(connection: Connection) -> int:
        return pending.expire(connection, now=now) + answers.expire(connection, now=now)

    return office.core.write_now(unit)
