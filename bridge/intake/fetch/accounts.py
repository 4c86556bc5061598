"""The external accounts of this site: those of the settings and those of `.fetchmailrc` files, in one form.

Promises: an rc file's entry means what it means to fetchmail: mail is deleted there unless it says keep, TLS by
STARTTLS is demanded unless `ssl` or `sslproto ''` is given; a user without local name belongs to the owner of the file,
and in a site file is a mistake that names the line (F03, F06, F13). Files that others may read are refused.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bridge.config.fetch import Fetch, FetchAccount
from bridge.model.errors import ConfigError
from bridge.store import files
from bridge.wire.fetchmailrc import Entry, Rc, RcError, User, parse

_DONE_HERE = frozenset(["imap", "pop3", "apop", "auto"])


def accounts_of(settings: Fetch, address_of: Callable[[str], str]) -> tuple[list[FetchAccount], list[str]]:
    """(accounts, problems). `address_of` makes a full address of a local name. A broken file costs only its accounts."""
    found, problems = list(settings.account), []
    sources: list[tuple[str, str]] = [(name, "") for name in settings.rcfiles]
    sources += [(name, owner) for owner, name in settings.user_rcfiles.items()]
    for name, owner in sources:
        try:
            found += from_rc(Path(name), owner, address_of)
        except ConfigError as error:
            problems += error.problems
    names = [one.name for one in found]
    for name in sorted({one for one in names if names.count(one) > 1}):
        problems.append(
            f"two fetched accounts are named {name!r}; give one of them another label with `poll LABEL via`"
        )
    unique = {one.name: one for one in reversed(found)}
    return list(reversed(unique.values())), problems


def read_rc(path: Path) -> Rc:
    """The file as values; ConfigError for what fetchmail refuses, too: a file that others may read."""
    try:
        descriptor = files.open_read(path)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    try:
        about = os.fstat(descriptor)
        if stat.S_IMODE(about.st_mode) & 0o077:
            raise ConfigError([f"{path}: holds passwords and others may read it; do: chmod 600 {path}"])
        text = os.read(descriptor, 1_000_001).decode("utf-8", "surrogateescape")
    finally:
        os.close(descriptor)
    try:
        return parse(text)
    except RcError as error:
        raise ConfigError([f"{path}:{error.line}: {error}"]) from error


def from_rc(path: Path, owner: str, address_of: Callable[[str], str]) -> Iterator[FetchAccount]:
    """The accounts of one file. `owner`: local address for users without a local name; "" in a site file."""
    rc = read_rc(path)
    problems: list[str] = []
    found: list[FetchAccount] = []
    for entry in rc.entries:
        for user in entry.users:
            try:
                if entry.active:
                    found.append(_account(path, entry, user, owner, address_of))
            except ValueError as error:
                problems.append(f"{path}:{user.line or entry.line}: {error}")
    if problems:
        raise ConfigError(problems)
    return iter(found)


def _account(path: Path, entry: Entry, user: User, owner: str, address_of: Callable[[str], str]) -> FetchAccount:
    if entry.protocol not in _DONE_HERE:
        raise ValueError(f"protocol {entry.protocol} is not collected here; use pop3 or imap")
    if user.password is None:
        raise ValueError(f'user {user.name!r} has no password; add: password "..."')
    names = [one.local for one in user.local if not one.remote and one.local != "*"]
    if len(user.local) > len(names) or len(names) > 1:
        raise ValueError("several local names for one remote user (multidrop) are not collected; name one")
    if not names and not owner:
        raise ValueError(f"user {user.name!r} has no local name; in a site file add: is NAME here")
    protocol = "imap" if entry.protocol == "imap" else "pop3"
    port, implicit = _port(entry.service, protocol, user.ssl)
    return FetchAccount(
        name=f"{user.name}@{entry.name}",
        protocol=protocol,  # type: ignore[arg-type]
        host=entry.host,
        port=port,
        tls=_tls(user, implicit),  # type: ignore[arg-type]
        tls_verify=user.sslcertck,
        tls_ca_file=user.sslcertfile or "",
        user=user.name,
        password=user.password,
        auth="apop" if entry.protocol == "apop" else "cram-md5" if entry.auth == "cram-md5" else "password",
        to=address_of(names[0]) if names else owner,
        folders=user.folders or ("INBOX",),
        keep=user.keep,
        timeout=entry.timeout,
        limit=user.limit,
    )


_SERVICES: Mapping[str, int] = {"pop3": 110, "pop3s": 995, "imap": 143, "imap2": 143, "imaps": 993}


def _port(service: str | None, protocol: str, ssl: bool) -> tuple[int, bool]:
    """(port, implicit TLS); fetchmail turns the -s services into TLS by themselves."""
    if not service:
        return 0, ssl
    number = int(service) if service.isdigit() else _SERVICES.get(service, 0)
    if not 0 < number < 65536:
        raise ValueError(f"service {service!r} is no port; write its number")
    return number, ssl or number in (993, 995)


def _tls(user: User, implicit: bool) -> str:
    if implicit:
        return "implicit"
    return "none" if user.sslproto == "" else "starttls"


def poll_every(account: FetchAccount, settings: Fetch) -> int:
    """Seconds between two polls of an account."""
    return account.interval or settings.interval


def shown(account: FetchAccount) -> FetchAccount:
    """The account without its password, for logs and lists."""
    return replace(account, password="***")
