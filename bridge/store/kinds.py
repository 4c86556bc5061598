"""Which driver keeps an account's mail, by the kind that its settings say.

Promises: cheap, opens nothing. An mbox may belong to us, to root, or to the system user of the account's name.
"""
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bridge.config.delivery import Delivery
from bridge.store.driver import Driver
from bridge.store.engine import Database
from bridge.store.maildb import Rows
from bridge.store.mbox import Mbox
from bridge.store.mboxfile import Rules

PATIENCE = 5.0      # seconds that one delivery or expunge waits for a locked mbox: others wait behind it


class Kept(Protocol):
    """What is asked of an account."""

    @property
    def address(self) -> str: ...

    @property
    def store(self) -> str: ...

    @property
    def mbox(self) -> Path: ...


def driver_of(account: Kept, settings: Delivery, database: Callable[[], Database], *, status: bool) -> Driver | None:
    """None: a Maildir. `database` is called only for an account whose mail is there."""
    if account.store == "maildir":
        return None
    if account.store == "database":
        return Rows(database(), account.address)
    owners = frozenset((0, os.geteuid(), *_user(account.address.partition("@")[0])))
    patience = min(PATIENCE, float(settings.lock_seconds))
    return Mbox(account.mbox, Rules(settings.mbox_quoting, patience, mode=0o660, owners=owners), status)


def _user(name: str) -> tuple[int, ...]:
    try:
        return (pwd.getpwnam(name).pw_uid,)
    except (KeyError, ValueError):
        return ()
