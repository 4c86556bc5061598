"""fetchmail's options: read as fetchmail reads them, and put over what the run control file says.

Promises: every option of fetchmail 6.4 is known, with its value; an option for mail counts for every entry that is
polled, as there. A server that is named and not in the file becomes an entry of its own.
Fails by: ValueError with a line ready to print.
"""

import getopt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.cli.words import tr
from bridge.wire.fetchmailrc import Entry, Rc, RcError, User, parse

_SHORT = "?Vcsvd:NqL:f:i:UP:p:t:E:Q:u:akKFnl:r:S:Z:b:B:e:m:I:M:w:D:"
# option -> (field of the entry, kind)
_SERVER: dict[str, tuple[str, str]] = {
    "protocol": ("protocol", "word"), "service": ("service", "text"), "auth": ("auth", "word"),
    "timeout": ("timeout", "number"), "envelope": ("envelope", "text"), "qvirtual": ("qvirtual", "text"),
    "uidl": ("uidl", "on"), "principal": ("principal", "text"), "tracepolls": ("tracepolls", "on"),
    "plugin": ("plugin", "text"), "plugout": ("plugout", "text"), "interface": ("interface", "text"),
    "monitor": ("monitor", "text"), "bad-header": ("badheader", "text"),
}  # fmt: skip
_USER: dict[str, tuple[str, str]] = {
    "username": ("name", "text"), "all": ("fetchall", "on"), "keep": ("keep", "on"), "nokeep": ("keep", "off"),
    "flush": ("flush", "on"), "limitflush": ("limitflush", "on"), "norewrite": ("rewrite", "off"),
    "limit": ("limit", "number"), "warnings": ("warnings", "number"), "folder": ("folders", "list"),
    "smtphost": ("smtphost", "list"), "fetchdomains": ("fetchdomains", "list"), "smtpaddress": ("smtpaddress", "text"),
    "smtpname": ("smtpname", "text"), "antispam": ("antispam", "numbers"), "batchlimit": ("batchlimit", "number"),
    "fetchlimit": ("fetchlimit", "number"), "fetchsizelimit": ("fetchsizelimit", "number"),
    "fastuidl": ("fastuidl", "number"), "expunge": ("expunge", "number"), "mda": ("mda", "text"),
    "bsmtp": ("bsmtp", "text"), "lmtp": ("lmtp", "on"), "idle": ("idle", "on"), "ssl": ("ssl", "on"),
    "sslkey": ("sslkey", "text"), "sslcert": ("sslcert", "text"), "sslcertck": ("sslcertck", "on"),
    "nosslcertck": ("sslcertck", "off"), "sslcertfile": ("sslcertfile", "text"),
    "sslcertpath": ("sslcertpath", "text"), "sslcommonname": ("sslcommonname", "text"),
    "sslfingerprint": ("sslfingerprint", "text"), "sslproto": ("sslproto", "text"),
}  # fmt: skip
# the rest: how to run. A set option of the same meaning is given where there is one
_RUN: dict[str, tuple[str, str]] = {
    "syslog": ("syslog", "on"), "nosyslog": ("syslog", "off"), "invisible": ("invisible", "on"),
    "postmaster": ("postmaster", "text"), "nobounce": ("bouncemail", "off"), "softbounce": ("softbounce", "on"),
    "nosoftbounce": ("softbounce", "off"), "showdots": ("showdots", "on"), "logfile": ("logfile", "text"),
    "idfile": ("idfile", "text"), "pidfile": ("pidfile", "text"), "daemon": ("daemon", "number"),
}  # fmt: skip
_ONLY = ("help", "version", "check", "silent", "verbose", "nodetach", "quit", "configdump")
_OTHER = ("fetchmailrc", "config")
_ALIASES = {"proto": "protocol", "user": "username", "fetchall": "all", "port": "service"}
_LETTERS = {
    "?": "help", "V": "version", "c": "check", "s": "silent", "v": "verbose", "d": "daemon", "N": "nodetach",
    "q": "quit", "L": "logfile", "f": "fetchmailrc", "i": "idfile", "U": "uidl", "P": "service", "p": "protocol",
    "t": "timeout", "E": "envelope", "Q": "qvirtual", "u": "username", "a": "all", "k": "keep", "K": "nokeep",
    "F": "flush", "n": "norewrite", "l": "limit", "r": "folder", "S": "smtphost", "Z": "antispam",
    "b": "batchlimit", "B": "fetchlimit", "e": "expunge", "m": "mda", "I": "interface", "M": "monitor",
    "w": "warnings", "D": "smtpaddress",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """What the command line says. `only`: what is to be done besides polling; `verbose`: how often -v."""

    servers: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    verbose: int = 0
    rcfile: str = ""
    config: str = ""
    settings: dict[str, str | int | bool] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Nothing was asked for but a poll: a running daemon may do it."""
        says = self.settings.keys() - {"pidfile"}
        return not (self.servers or says or self.server or self.user or self.rcfile or self.only - {"silent"})


def read(arguments: Sequence[str]) -> Call:
    """The command line. ValueError."""
    values = [
        name for table in (_SERVER, _USER, _RUN) for name, (_, kind) in table.items() if kind not in ("on", "off")
    ]
    flags = [name for table in (_SERVER, _USER, _RUN) for name, (_, kind) in table.items() if kind in ("on", "off")]
    long = [f"{name}=" for name in (*values, *_OTHER, "proto", "user", "port")] + [*flags, *_ONLY, "fetchall"]
    try:
        found, servers = getopt.gnu_getopt(list(arguments), _SHORT, long)
    except getopt.GetoptError as error:
        option = f"{'--' if len(error.opt) > 1 else '-'}{error.opt}"
        what = "la opción {} necesita un valor" if "requires" in error.msg else "no se conoce la opción {}"
        raise ValueError(tr(str(error), what.format(option))) from None
    call = Call(tuple(servers), settings={}, server={}, user={})
    only: set[str] = set()
    for word, value in found:
        name = _LETTERS[word[1:]] if len(word) == 2 else word[2:]
        name = _ALIASES.get(name, name)
        if name in _ONLY:
            only.add(name)
            call = replace(call, verbose=call.verbose + (name == "verbose"))
        elif name == "fetchmailrc":
            call = replace(call, rcfile=value)
        elif name == "config":
            call = replace(call, config=value)
        else:
            _note(call, name, value)
    return replace(call, only=frozenset(only))


def _note(call: Call, name: str, value: str) -> None:
    for table, values in ((_SERVER, call.server), (_USER, call.user), (_RUN, call.settings)):
        if name in table:
            to, kind = table[name]
            values[to] = _value(name, kind, value)


def _value(name: str, kind: str, value: str) -> Any:
    if kind in ("on", "off"):
        return kind == "on"
    if kind in ("number", "numbers"):
        parts = value.split(",") if kind == "numbers" else [value]
        if not all(one.isascii() and one.isdigit() and len(one) < 10 for one in parts):
            raise ValueError(
                tr(f"--{name} needs a number, not {value!r}", f"--{name} necesita un número, no {value!r}")
            )
        return int(value) if kind == "number" else tuple(map(int, parts))
    if kind == "list":
        return tuple(one for one in value.split(",") if one)
    if kind == "word":
        return _word(name, value)
    return value


def _word(name: str, value: str) -> str:
    """A protocol or a way to log in, as the file's language has it."""
    try:
        if not value.replace("_", "").replace("-", "").isalnum():
            raise RcError(1, repr(value), repr(value))
        entry = parse(f"poll x {name} {value}").entries[0]
    except RcError as error:
        raise ValueError(f"--{name}: {tr(str(error), error.es)}") from None
    return str(getattr(entry, name))


def applied(rc: Rc, call: Call, login: str) -> Rc:
    """What the file and the command line say together: only what is to be polled is active."""
    entries = list(rc.entries)
    if call.servers:
        named = set(call.servers)
        entries = [replace(one, active=True) for one in entries if one.name in named]
        known = {one.name for one in entries}
        entries += [Entry(one, via=one) for one in dict.fromkeys(call.servers) if one not in known]
    done = []
    for entry in entries:
        users = tuple(_under(one, call) for one in entry.users or (User(line=entry.line),))
        users = tuple(replace(one, name=one.name or login) for one in users)
        done.append(replace(entry, **call.server, users=users))
    return replace(rc, entries=tuple(done), settings={**rc.settings, **call.settings})


def _under(user: User, call: Call) -> User:
    """The options over one user's; names in lists come on top of the file's."""
    lists = {name for name, kind in _USER.values() if kind == "list"}
    given = {name: getattr(user, name) + value if name in lists else value for name, value in call.user.items()}
    return replace(user, **given)
