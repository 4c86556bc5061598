"""The users of the operating system as accounts, beside the virtual ones (D04).

Promises: users from number `first` on who have a home, read again when /etc/passwd changes (other sources once a
minute); the account of such a user has the negative user number as id, so the two kinds can't be confused.
Passwords are none of this module's business.
"""

import pwd
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bridge.model.address import fold
from bridge.store.accounts import Account

_PASSWD = Path("/etc/passwd")
_EVERY = 60.0
_NOBODY = 65534


class SystemUsers:
    """People of the passwd database by folded name. `maildir`: template with {home}; `domain`: of their addresses."""

    def __init__(
        self, first: int, maildir: str, domain: str, *,
        entries: Callable[[], Iterable[pwd.struct_passwd]] = pwd.getpwall,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first, self._maildir, self._domain = first, maildir, domain
        self._entries, self._monotonic = entries, monotonic
        self._read: tuple[int, float] | None = None
        self._users: Mapping[str, Account] = {}

    def users(self) -> Mapping[str, Account]:
        """The same object as long as nothing has changed."""
        now = self._monotonic()
        stamp = _PASSWD.stat().st_mtime_ns if _PASSWD.exists() else 0
        if self._read is None or self._read[0] != stamp or now - self._read[1] > _EVERY:
            found = {fold(entry.pw_name): self._account(entry) for entry in self._entries() if self._person(entry)}
            if found != self._users:
                self._users = found
            self._read = stamp, now
        return self._users

    def _person(self, entry: pwd.struct_passwd) -> bool:
        return self._first <= entry.pw_uid < _NOBODY and entry.pw_dir.startswith("/") and entry.pw_dir != "/"

    def _account(self, entry: pwd.struct_passwd) -> Account:
        address = f"{fold(entry.pw_name)}@{self._domain}"
        home, maildir = Path(entry.pw_dir), Path(self._maildir.replace("{home}", entry.pw_dir))
        name = entry.pw_gecos.partition(",")[0]
        return Account(-entry.pw_uid, address, address, home, maildir, name=name, addresses=(address,))
