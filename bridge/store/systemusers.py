"""The users of the operating system as accounts, beside the virtual ones (D04).

Promises: users from number `system_first` on who have a home, read again when /etc/passwd changes (other sources once a
minute); the account of such a user has the negative user number as id and names the user in `system`, so the two kinds
can't be confused. The login shell is not looked at: whoever has nologin gets mail and reads it, as with other servers.
Passwords are none of this module's business.
"""

import pwd
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bridge.config.accounts import Accounts as Settings
from bridge.model.account import Account
from bridge.model.address import fold

_PASSWD = Path("/etc/passwd")
_EVERY = 60.0
_NOBODY = 65534
_PLACE = re.compile(r"\{\w+\}")


class SystemUsers:
    """People of the passwd database by folded name. `domain`: of their addresses."""

    def __init__(
        self, settings: Settings, domain: str, *,
        entries: Callable[[], Iterable[pwd.struct_passwd]] = pwd.getpwall,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._domain = settings, domain
        self._entries, self._monotonic = entries, monotonic
        self._kinds = {fold(who): kind for who, kind in settings.stores.items() if "@" in who and kind != "database"}
        self._read: tuple[int, float] | None = None
        self._users: Mapping[str, Account] = {}

    def users(self) -> Mapping[str, Account]:
        """The same object as long as nothing has changed."""
        now = self._monotonic()
        stamp = _PASSWD.stat().st_mtime_ns if _PASSWD.exists() else 0
        if self._read is None or self._read[0] != stamp or now - self._read[1] > _EVERY:
            found = {fold(entry.pw_name): self.account(entry) for entry in self._entries() if self.is_person(entry)}
            if found != self._users:
                self._users = found
            self._read = stamp, now
        return self._users

    def by_address(self, address: str) -> Account | None:
        """Of the main domain only; names in other domains lead here by the routing."""
        local, _, domain = fold(address).rpartition("@")
        return self.users().get(local) if domain == self._domain else None

    def by_login(self, login: str) -> Account | None:
        """By name, with or without the main domain."""
        return self.by_address(login) if "@" in login else self.users().get(fold(login))

    def is_person(self, entry: pwd.struct_passwd) -> bool:
        """Does this user get mail?"""
        if not self._settings.system_first <= entry.pw_uid < _NOBODY or entry.pw_uid == 0 or entry.pw_gid == 0:
            return False
        return entry.pw_dir.startswith("/") and entry.pw_dir != "/" and "/" not in entry.pw_name

    def account(self, entry: pwd.struct_passwd) -> Account:
        """As the settings keep this user's mail."""
        address = f"{fold(entry.pw_name)}@{self._domain}"
        places = {"{home}": entry.pw_dir, "{user}": entry.pw_name, "{domain}": self._domain}
        return Account(
            -entry.pw_uid, address, address, Path(entry.pw_dir), _filled(self._settings.system_maildir, places),
            name=entry.pw_gecos.partition(",")[0], addresses=(address,),
            store=self._kinds.get(address, self._settings.system_store), mbox=_filled(self._settings.mbox, places),
            system=entry.pw_name,
        )  # fmt: skip


def _filled(template: str, places: Mapping[str, str]) -> Path:
    """One pass: what was filled in is never looked at again (sec-D03)."""
    return Path(_PLACE.sub(lambda found: places.get(found[0], found[0]), template))
