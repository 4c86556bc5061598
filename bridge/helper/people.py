"""Who a request is about, and becoming that user for good.

Promises: only users whom the settings let have mail: never root, nor a user or group below the floor by another name;
what is known of a user comes from the passwd database and the settings, never from the caller. After `become` there
is no way back, no group but the user's own and those named, no new privileges, nothing of our environment.
Fails by: Nobody.
"""
import os
import pwd
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge import rights
from bridge.config.schema import Settings
from bridge.model.account import Account
from bridge.model.address import fold_domain
from bridge.rights import User
from bridge.store.systemusers import SystemUsers


class Nobody(Exception):
    """There is no such user for us."""


@dataclass(frozen=True, slots=True)
class Person:
    """A system user and the mailbox that the settings say."""

    uid: int
    gid: int
    account: Account

    @property
    def name(self) -> str:
        return self.account.system


def find(name: str, settings: Settings) -> Person:
    """By the name in the passwd database."""
    users = SystemUsers(settings.accounts, fold_domain(settings.mail.domains[0]))
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise Nobody(f"there is no user {name!r}") from error
    if entry.pw_name != name or not users.is_person(entry):
        raise Nobody(f"{name!r} is no user who gets mail")
    return Person(entry.pw_uid, entry.pw_gid, users.account(entry))


def become(person: Person, groups: Sequence[int] = ()) -> None:
    """Be this user from now on."""
    rights.become(User(person.uid, person.gid, tuple(groups)))
    if os.getresuid() != (person.uid,) * 3 or os.getresgid() != (person.gid,) * 3 or 0 in os.getgroups():
        os._exit(70)
    rights.confine()
    os.chdir("/")
    for name in list(os.environ):
        del os.environ[name]
    os.environ.update({"HOME": str(person.account.home), "USER": person.name, "LOGNAME": person.name,
                       "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"})


def roots_alone(path: Path) -> bool:
    """Can nobody but root change this file, or put another in its place?"""
    try:
        real = path.resolve(strict=True)
        found = [os.lstat(one) for one in (real, *real.parents)]
    except OSError:
        return False
    for number, about in enumerate(found):
        shared = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if about.st_uid != 0 or (shared and not (number and about.st_mode & stat.S_ISVTX)):
            return False
    return True
