"""The external accounts of this site: those of the settings and those of `.fetchmailrc` files, in one form.

Promises: an rc file's entry means what it means to fetchmail: mail is deleted there unless it says keep, TLS by
STARTTLS is demanded unless `ssl` or `sslproto ''` is given. A user's own file belongs to that user: its mail goes to
its owner and to nobody else; in a site file each user needs a local name (F06). Files that others may read, or that
somebody else owns, are refused (F03); no file makes us run programs. What we can't do as the file says is a problem
that names file and line, never something else done quietly; a broken file costs only its own accounts (F52).
"""

import logging
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote

from bridge.config.fetch import Fetch, FetchAccount
from bridge.intake.fetch.reach import PUBLIC
from bridge.model.address import fold
from bridge.model.errors import ConfigError
from bridge.model.language import tr
from bridge.store import files
from bridge.wire.fetchmailrc import Entry, Rc, RcError, User, parse

log = logging.getLogger("estafeta.fetch")

SIZE = 1_000_000
NAME = 150
_DONE_HERE = frozenset(["imap", "pop3", "apop", "auto"])
_AUTHS: Mapping[str, str] = {"any": "password", "password": "password", "cram-md5": "cram-md5", "apop": "apop"}
_LOCALHOST = frozenset(["localhost", "127.0.0.1", "::1"])
# what would change where mail goes or how it is got; the rest of what we don't do only costs comfort
_NOT_SERVER = ("plugin", "plugout")
_NOT_USER = ("mda", "bsmtp", "preconnect", "postconnect", "sslcert", "sslkey", "smtpaddress", "smtpname", "flush")
_COMFORT = ("limitflush", "antispam", "stripcr", "forcecr", "pass8bits", "dropstatus", "dropdelivered", "mimedecode",
            "batchlimit", "expunge", "fetchdomains")  # fmt: skip

AddressOf = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class RcFile:
    """An rc file and whose it is: `owner` is a local address, or "" for a file of the site."""

    path: Path
    owner: str
    address_of: AddressOf
    cycle: int  # seconds between polls
    reach: tuple[str, ...] = ()  # of its accounts; where it is limited, the owner is part of their names


def accounts_of(
    settings: Fetch, address_of: AddressOf, pages: Path | None = None
) -> tuple[list[FetchAccount], list[str]]:
    """(accounts, problems). `address_of` makes a full address of a local name; `pages` is the folder of the files that
    people make on the page: theirs alone, and only to servers that `page_hosts` and the public ones are."""
    found, problems = list(settings.account), []
    sources = [RcFile(Path(name), "", address_of, settings.interval) for name in settings.rcfiles]
    sources += [
        RcFile(Path(name), address_of(owner), address_of, settings.interval)
        for owner, name in settings.user_rcfiles.items()
    ]
    if pages is not None and settings.page:
        reach = page_reach(settings)
        sources += [
            RcFile(path, unquote(path.name), address_of, settings.interval, reach)
            for path in sorted(pages.glob("[!.]*@*"))
        ]
    for one in sources:
        try:
            accounts, complaints = from_rc(one)
        except ConfigError as error:
            problems += error.problems
            continue
        found += accounts
        problems += complaints
    names = [one.name for one in found]
    for name in sorted({one for one in names if names.count(one) > 1}):
        problems.append(tr(
            f"two fetched accounts are named {name!r}; give one of them another label with `poll LABEL via HOST`",
            f"hay dos cuentas externas llamadas {name!r}; dé a una otro nombre con `poll NOMBRE via SERVIDOR`",
        ))
    unique = {one.name: one for one in reversed(found)}
    return list(reversed(unique.values())), problems


def page_file(folder: Path, owner: str) -> Path:
    """Where the accounts of an address are that were made on the page."""
    return folder / quote(fold(owner), safe="@+")


def page_reach(settings: Fetch) -> tuple[str, ...]:
    return (PUBLIC, *settings.page_hosts)


def read_rc(path: Path, owner: str = "") -> Rc:
    """The file as values. ConfigError for what fetchmail refuses, too: a file that others may read, or not the owner's.

    `owner`: the local address that the file belongs to, "" for the site's."""
    try:
        descriptor = files.open_read(path)
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from error
    try:
        _check_owner(path, os.fstat(descriptor), owner)
        text = b""
        while len(text) <= SIZE and (more := os.read(descriptor, SIZE)):
            text += more
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from error
    finally:
        os.close(descriptor)
    try:
        return parse(text.decode("utf-8", "surrogateescape"))
    except RcError as error:
        raise ConfigError([f"{path}:{error.line}: {tr(str(error), error.es)}"]) from error


def _unreadable(path: Path, error: OSError) -> str:
    return tr(f"{path}: cannot be read: {error.strerror}", f"{path}: no se puede leer: {error.strerror}")


def _check_owner(path: Path, about: os.stat_result, owner: str) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise ConfigError([tr(f"{path}: is no file", f"{path}: no es un fichero")])
    if stat.S_IMODE(about.st_mode) & 0o077:
        raise ConfigError([tr(
            f"{path}: holds passwords and others may read it; do: chmod 600 {path}",
            f"{path}: contiene contraseñas y otros pueden leerlo; haga: chmod 600 {path}",
        )])
    allowed = {0, os.geteuid()}
    if owner:
        try:
            allowed.add(pwd.getpwnam(owner.partition("@")[0]).pw_uid)
        except KeyError:
            pass  # a virtual user: the file is kept for them by root or us
    if about.st_uid not in allowed:
        raise ConfigError([tr(
            f"{path}: belongs to somebody else (uid {about.st_uid}); it must be the user's or root's",
            f"{path}: es de otra persona (uid {about.st_uid}); debe ser del usuario o de root",
        )])


def from_rc(file: RcFile) -> tuple[list[FetchAccount], list[str]]:
    """(accounts, problems) of one file. ConfigError if all of it is of no use."""
    return of_rc(file, read_rc(file.path, file.owner))


def of_rc(file: RcFile, rc: Rc) -> tuple[list[FetchAccount], list[str]]:
    """(accounts, problems) of a file that has been read."""
    problems: list[str] = []
    found: list[FetchAccount] = []
    every = rc.settings.get("daemon")
    if isinstance(every, int) and not isinstance(every, bool) and every:
        file = replace(file, cycle=max(every, 10))
    for entry in rc.entries:
        if entry.active and not entry.users:
            problems.append(f"{file.path}:{entry.line}: {entry.name} " + tr(
                'has no user; add: user "NAME" password "..."',
                'no tiene usuario; añada: user "NOMBRE" password "..."',
            ))
        for user in entry.users if entry.active else ():
            try:
                found.append(_account(file, entry, user))
            except ValueError as error:
                problems.append(f"{file.path}:{user.line or entry.line}: {error}")
    unheeded = sorted({*rc.legacy, *_comforts(rc)})
    if unheeded:
        log.info("%s: has no effect here: %s", file.path, ", ".join(unheeded))
    return found, problems


def _comforts(rc: Rc) -> Iterator[str]:
    plain = User()
    for entry in rc.entries:
        for user in entry.users:
            yield from (name for name in _COMFORT if getattr(user, name) != getattr(plain, name))


def _account(file: RcFile, entry: Entry, user: User) -> FetchAccount:
    _check_done(entry, user)
    if not user.name:
        raise ValueError(entry.name + tr(': which user? Add: user "NAME"', ': ¿qué usuario? Añada: user "NOMBRE"'))
    if user.password is None:
        raise ValueError(tr(
            f'user {user.name!r} has no password; add: password "..."',
            f'el usuario {user.name!r} no tiene contraseña; añada: password "..."',
        ))
    protocol = {"apop": "pop3"}.get(entry.protocol, entry.protocol)
    port, implicit = _port(entry.service, user.ssl)
    name = f"{user.name}@{entry.name}" + (f" > {file.owner}" if file.reach else "")
    if len(name) > NAME or not name.isprintable():
        raise ValueError(tr(
            f"the name {name[:40]!r} is too long or has strange characters",
            f"el nombre {name[:40]!r} es demasiado largo o tiene caracteres extraños",
        ))
    return FetchAccount(
        name=name,
        protocol=protocol,  # type: ignore[arg-type]
        host=entry.host,
        port=port,
        tls=_tls(user, implicit),  # type: ignore[arg-type]
        tls_verify=user.sslcertck,
        tls_fingerprint=user.sslfingerprint or "",
        tls_ca_file=user.sslcertfile or user.sslcertpath or "",
        tls_name=user.sslcommonname or "",
        user=user.name,
        password=user.password,
        auth="apop" if entry.protocol == "apop" else _AUTHS[entry.auth],  # type: ignore[arg-type]
        to=_target(file, user),
        reach=file.reach,
        folders=user.folders or ("INBOX",),
        keep=user.keep,
        idle=user.idle,
        interval=file.cycle * max(entry.interval, 1),
        timeout=entry.timeout or 300,
        limit=user.limit,
        most=user.fetchlimit,
    )


def _check_done(entry: Entry, user: User) -> None:
    """ValueError for what would have to be done otherwise than the file says."""
    if entry.protocol not in _DONE_HERE:
        raise ValueError(tr(
            f"protocol {entry.protocol} is not collected here; use pop3 or imap",
            f"el protocolo {entry.protocol} no se recoge aquí; use pop3 o imap",
        ))
    if entry.auth not in _AUTHS:
        known = ", ".join(sorted(_AUTHS))
        raise ValueError(tr(
            f"auth {entry.auth} is not known here; use one of {known}",
            f"auth {entry.auth} no se conoce aquí; use uno de {known}",
        ))
    used = [name for name in _NOT_SERVER if getattr(entry, name)] + [name for name in _NOT_USER if getattr(user, name)]
    if used:
        raise ValueError(tr(
            f"{used[0]} can't be done here; the account of {user.name!r} waits until you remove it",
            f"{used[0]} no se puede hacer aquí; la cuenta de {user.name!r} espera hasta que lo quite",
        ))
    others = [host for host in user.smtphost if host.partition("/")[0] not in _LOCALHOST]
    if others or user.lmtp:
        raise ValueError(tr(
            "mail is delivered by this server itself; remove smtphost and lmtp",
            "el correo lo entrega este mismo servidor; quite smtphost y lmtp",
        ))


def _target(file: RcFile, user: User) -> str:
    """Where the mail goes: the local name, or the owner of the file."""
    names = [one.local for one in user.local if not one.remote and one.local != "*"]
    if len(user.local) > len(names) or len(names) > 1:
        raise ValueError(tr(
            "several local names for one remote user (multidrop) are not collected; name one",
            "no se recoge para varios nombres locales de un usuario remoto (multidrop); indique uno",
        ))
    if not names:
        if not file.owner:
            raise ValueError(tr(
                f"user {user.name!r} has no local name; in a site file add: is NAME here",
                f"el usuario {user.name!r} no tiene nombre local; en un fichero del sitio añada: is NOMBRE here",
            ))
        return file.owner
    to = file.address_of(names[0])
    if file.owner and fold(to) != fold(file.owner):
        raise ValueError(tr(
            f"this file is for {file.owner}; mail for {to} belongs into their own file, or the site's",
            f"este fichero es de {file.owner}; el correo de {to} va en el suyo propio o en el del sitio",
        ))
    return to


_SERVICES: Mapping[str, int] = {"pop3": 110, "pop3s": 995, "imap": 143, "imap2": 143, "imaps": 993}


def _port(service: str | None, ssl: bool) -> tuple[int, bool]:
    """(port, implicit TLS); fetchmail turns the -s services into TLS by themselves."""
    if not service:
        return 0, ssl
    number = int(service) if service.isascii() and service.isdigit() and len(service) < 6 else _SERVICES.get(service, 0)
    if not 0 < number < 65536:
        raise ValueError(tr(
            f"service {service!r} is no port; write its number",
            f"service {service!r} no es un puerto; escriba su número",
        ))
    return number, ssl or number in (993, 995)


def _tls(user: User, implicit: bool) -> str:
    if implicit:
        return "implicit"
    return "none" if user.sslproto == "" else "starttls"


def shown(account: FetchAccount) -> FetchAccount:
    """The account without its password, for logs and lists."""
    return replace(account, password="***")
