"""As whom processes run, and what the others may touch: users, groups, file modes, the owner of the state.

Promises: `become` and `confine` are for good: groups, gid, uid, no new privileges, no dumps of secrets (P23, sec-X01,
sec-X03). The SMTP processes may have a user of their own (`server.smtp_user`): they share the group of `server.user`,
and with it the spool, core.db, the journal and the sockets in `run`; mailboxes, lists and keys stay for `server.user`
alone. What is shared is created with group rights that the umask takes away again where there is only one user.
Fails by: ConfigError that names the setting.
"""

import ctypes
import grp
import logging
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.model.errors import ConfigError
from bridge.model.language import tr

if TYPE_CHECKING:
    from bridge.config.schema import Settings

log = logging.getLogger("estafeta")

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PRIVATE, _SHARED = 0o077, 0o007    # umasks
_SHARED_FILES = ("core.db", "core.db-wal", "core.db-shm", "core.lock", "srs.secret")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class User:
    """Whom a process becomes."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rights:
    """`user` is None where nobody changes: not started as root, or told to stay root."""

    user: User | None = None
    smtp: User | None = None

    @property
    def shared(self) -> bool:
        """Do two users work on spool, core.db and journal?"""
        return self.smtp is not None and self.smtp != self.user

    @property
    def umask(self) -> int:
        return _SHARED if self.shared else _PRIVATE


def rights_of(settings: "Settings") -> Rights:
    """What the settings say, for a process of root's; for others nothing changes."""
    server = settings.server
    if os.getuid() or not server.user:
        return Rights()
    user = user_of(server.user, "user")
    if not server.smtp_user:
        return Rights(user, user)
    smtp = user_of(server.smtp_user, "smtp_user")
    if smtp.uid == user.uid:
        return Rights(user, user)
    return Rights(user, User(smtp.uid, user.gid, (*smtp.groups, smtp.gid)))


def user_of(name: str, setting: str = "user") -> User:
    """Of "name" or "uid:gid". Raises ConfigError."""
    uid, _, gid = name.partition(":")
    if uid.isdigit() and (gid or uid).isdigit():
        return User(int(uid), int(gid or uid))
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError([tr(
            f"server.{setting}: there is no user {name!r}; create it (`useradd --system {name}`), name another, or "
            "write numbers, uid:gid",
            f"server.{setting}: no existe el usuario {name!r}; créelo (`useradd --system {name}`), indique otro o "
            "escriba números, uid:gid",
        )]) from None
    return User(entry.pw_uid, entry.pw_gid, tuple(g.gr_gid for g in grp.getgrall() if name in g.gr_mem))


def become(user: User | None, umask: int = _PRIVATE) -> None:
    """Be `user` from now on, without a way back."""
    os.umask(umask)
    if user is not None:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)


def confine() -> None:
    """A process that serves: no new privileges, no dumps of its memory."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with(parent: int, number: int) -> None:
    """Get signal `number` when `parent` ends; at once where it has. After `become`, which would undo it."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def acting_as(user: User | None) -> Iterator[None]:
    """For a moment, so that what is made belongs to `user` and nothing happens that `user` may not do."""
    if user is None:
        yield
        return
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def hand_over(settings: "Settings", rights: Rights) -> None:
    """The state belongs to the user that the processes become: what root left in it (a restored backup, a start by
    hand) changes its owner. Of the mailboxes only those are looked into whose folder is root's."""
    if rights.user is None:
        return
    paths, data = settings.paths, Path(settings.paths.data)
    _take(str(data), rights.user, deep=False)
    inside = [str(p) for p in data.iterdir() if p.is_dir() and not p.is_symlink() and p.name != "mail"]
    inside = [p for p in inside if p != paths.drop]     # whose files these are says who sends
    for top in dict.fromkeys([*inside, paths.spool, paths.databases, paths.trace, paths.run, paths.archives]):
        _take(top, rights.user)
    if os.path.isdir(paths.drop):
        _take(paths.drop, rights.user, deep=False, names=False)
    mail = data / "mail"
    for folder in (mail, *mail.glob("*"), *mail.glob("*/*")):
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == 0:
            _take(str(folder), rights.user)


def _take(top: str, user: User, *, deep: bool = True, names: bool = True) -> None:
    """Change the owner of what is root's below `top`: never through a link, nor of a file with a second name, which
    might be one of the system's."""
    for _, folders, found, descriptor in os.fwalk(top, follow_symlinks=False):
        for name in (".", *(found if names else ())):
            about = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if about.st_uid == 0 and (stat.S_ISDIR(about.st_mode) or about.st_nlink == 1):
                os.chown(name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)
        if not deep:
            folders.clear()


def open_to_group(settings: "Settings", rights: Rights) -> None:
    """Modes for two users, or for one again. As `server.user`, when the folders are there."""
    paths, data = settings.paths, settings.paths.data
    folder = 0o770 if rights.shared else 0o700
    _mode(data, 0o711)      # every user may pass through to the drop folder (S78); all else inside is closed
    _mode(paths.databases, folder)
    for name in _SHARED_FILES:
        _mode(f"{paths.databases}/{name}", folder & 0o660)
    for top in (paths.trace, paths.run):
        _mode(top, folder)
        for entry in os.scandir(top):
            if entry.is_file(follow_symlinks=False):
                _mode(entry.path, folder & 0o660)
    for top in (paths.spool, f"{paths.spool}/tmp", f"{paths.spool}/q"):
        _mode(top, folder)
    if os.path.isdir(f"{paths.spool}/q"):
        for entry in os.scandir(f"{paths.spool}/q"):
            _mode(entry.path, folder)


def _mode(path: str, mode: int) -> None:
    try:
        about = os.lstat(path)
        if not stat.S_ISLNK(about.st_mode) and about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) != mode:
            os.chmod(path, mode)
    except FileNotFoundError:
        pass
