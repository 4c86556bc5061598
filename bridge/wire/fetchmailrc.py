"""`.fetchmailrc`: the run control language of fetchmail, read into values (F02 to F50).

Promises: everything that fetchmail 6.4 accepts is accepted and means the same; what we don't need (old protocols,
interface monitoring ...) is accepted and kept in `legacy` so that somebody can say so once. Nothing is looked at but
the text: who owns the file, and whether it may name programs, is the reader's business.
Fails by: `RcError` with the line and the word at which the text stops making sense.

The language: `set` lines; `poll`, `skip` or `defaults` entries with server options, then users with user options. Words
like `and`, `with`, `has` and the marks `: ; ,` mean nothing. `poll a proto pop3 user x there is y here`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

LONGEST = 1_000_000     # characters of a file that are read


class RcError(Exception):
    """The text is no run control file. `line` is where, the text says what and what to do; `es`: in Spanish."""

    def __init__(self, line: int, text: str, es: str) -> None:
        super().__init__(text)
        self.line, self.es = line, es


@dataclass(frozen=True, slots=True)
class Mapping:
    """One item of `is`/`to`: `remote=local`, or a bare local name (remote is ""). "*" lets the rest pass through."""

    remote: str
    local: str


@dataclass(frozen=True, slots=True)
class User:
    """One remote user and what to do with its mail. None or () where the file says nothing."""

    name: str = ""
    password: str | None = None
    local: tuple[Mapping, ...] = ()
    folders: tuple[str, ...] = ()
    ssl: bool = False
    sslproto: str | None = None
    sslcertck: bool = True
    sslcertfile: str | None = None
    sslcertpath: str | None = None
    sslcommonname: str | None = None
    sslfingerprint: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    keep: bool = False
    flush: bool = False
    limitflush: bool = False
    fetchall: bool = False
    rewrite: bool = True
    idle: bool = False
    limit: int = 0
    warnings: int = 3600
    fetchlimit: int = 0
    fetchsizelimit: int = 100
    batchlimit: int = 0
    expunge: int = 0
    fastuidl: int = 4
    preconnect: str | None = None
    postconnect: str | None = None
    smtphost: tuple[str, ...] = ()
    fetchdomains: tuple[str, ...] = ()
    smtpaddress: str | None = None
    smtpname: str | None = None
    antispam: tuple[int, ...] = ()
    mda: str | None = None
    bsmtp: str | None = None
    lmtp: bool = False
    stripcr: bool | None = None
    forcecr: bool = False
    pass8bits: bool = False
    dropstatus: bool = False
    dropdelivered: bool = False
    mimedecode: bool = False
    properties: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One `poll` or `skip`: a server and its users."""

    name: str
    active: bool = True
    via: str | None = None
    protocol: str = "auto"
    service: str | None = None
    auth: str = "any"
    timeout: int = 300
    interval: int = 0
    envelope: str = "Received"
    envskip: int = 0
    qvirtual: str | None = None
    dns: bool = True
    checkalias: bool = False
    uidl: bool = False
    aka: tuple[str, ...] = ()
    localdomains: tuple[str, ...] = ()
    plugin: str | None = None
    plugout: str | None = None
    tracepolls: bool = False
    badheader: str = "reject"
    interface: str | None = None
    monitor: str | None = None
    principal: str | None = None
    esmtpname: str | None = None
    esmtppassword: str | None = None
    users: tuple[User, ...] = ()
    line: int = 0

    @property
    def host(self) -> str:
        """The machine to talk to: `via`, or the name itself."""
        return self.via or self.name


@dataclass(frozen=True, slots=True)
class Rc:
    """A whole file. `settings`: the `set` lines by name; `legacy`: words that have no effect here."""

    entries: tuple[Entry, ...] = ()
    settings: dict[str, str | int | bool] = field(default_factory=dict)
    legacy: tuple[str, ...] = ()


# ---- words -------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*|\\\r?\n)|(?P<noise>[:;,])|(?P<map>=)"""
    r"""|"(?P<double>(?:[^"\\]|\\.|\\\n)*)"|'(?P<single>(?:[^'\\]|\\.|\\\n)*)'|(?P<word>[^=;:,'"\s\#][^=;:,'"\s]*)""",
    re.S,
)
_ESCAPE = re.compile(r"\\(?:(\r?\n)|x([0-9a-fA-F]{1,2})|(0[0-7]{0,2})|([0-9]{1,3})|(.))", re.S)
_LETTERS = {"n": "\n", "t": "\t", "b": "\b", "r": "\r"}
_NOISE = frozenset(["and", "with", "has", "wants", "options", "option"])


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    line: int
    quoted: bool = False
    map: bool = False

    @property
    def noise(self) -> bool:
        """A word that means nothing, unless a name is due."""
        return not self.quoted and self.text in _NOISE

    @property
    def key(self) -> str:
        """The keyword that this is when nobody quoted it."""
        return "" if self.quoted else self.text


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1]:
            return ""
        if found[2]:
            return chr(int(found[2], 16))
        if found[3]:
            return chr(int(found[3], 8) & 255)
        if found[4]:
            return chr(int(found[4]) & 255)
        return _LETTERS.get(found[5], found[5])

    return _ESCAPE.sub(one, text)


def _words(text: str) -> Iterator[_Word]:
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            begin = repr(text[position : position + 20])
            raise RcError(line, f"a quotation mark is never closed: {begin}", f"unas comillas sin cerrar: {begin}")
        kind, matched = found.lastgroup, found[0]
        if kind in ("double", "single"):
            yield _Word(_unescape(found[kind]), line, quoted=True)
        elif kind == "map":
            yield _Word("=", line, map=True)
        elif kind == "word":
            yield _Word(matched, line)
        line += matched.count("\n")
        position = found.end()


# ---- tables: word -> (field, how to read it) ----------------------------------------------------

_SERVER: dict[str, tuple[str, str]] = {
    "via": ("via", "text"), "proto": ("protocol", "protocol"), "protocol": ("protocol", "protocol"),
    "port": ("service", "text"), "service": ("service", "text"), "auth": ("auth", "auth"),
    "authenticate": ("auth", "auth"), "authentication": ("auth", "auth"), "timeout": ("timeout", "number"),
    "interval": ("interval", "number"), "envelope": ("envelope", "envelope"), "qvirtual": ("qvirtual", "text"),
    "aka": ("aka", "list"), "localdomains": ("localdomains", "list"), "plugin": ("plugin", "text"),
    "plugout": ("plugout", "text"), "interface": ("interface", "text"), "monitor": ("monitor", "text"),
    "principal": ("principal", "text"), "esmtpname": ("esmtpname", "text"),
    "esmtppassword": ("esmtppassword", "text"), "bad-header": ("badheader", "badheader"),
    "dns": ("dns", "flag"), "checkalias": ("checkalias", "flag"), "uidl": ("uidl", "flag"),
    "tracepolls": ("tracepolls", "flag"),
}  # fmt: skip
_USER: dict[str, tuple[str, str]] = {
    "pass": ("password", "text"), "password": ("password", "text"), "folder": ("folders", "list"),
    "folders": ("folders", "list"), "ssl": ("ssl", "flag"), "sslproto": ("sslproto", "text"),
    "sslcertck": ("sslcertck", "flag"), "sslcertfile": ("sslcertfile", "text"),
    "sslcertpath": ("sslcertpath", "text"), "sslcommonname": ("sslcommonname", "text"),
    "sslfingerprint": ("sslfingerprint", "text"), "sslcert": ("sslcert", "text"), "sslkey": ("sslkey", "text"),
    "keep": ("keep", "flag"), "flush": ("flush", "flag"), "limitflush": ("limitflush", "flag"),
    "fetchall": ("fetchall", "flag"), "rewrite": ("rewrite", "flag"), "idle": ("idle", "flag"),
    "limit": ("limit", "number"), "warnings": ("warnings", "number"), "fetchlimit": ("fetchlimit", "number"),
    "fetchsizelimit": ("fetchsizelimit", "number"), "batchlimit": ("batchlimit", "number"),
    "expunge": ("expunge", "number"), "fastuidl": ("fastuidl", "number"), "preconnect": ("preconnect", "text"),
    "postconnect": ("postconnect", "text"), "smtphost": ("smtphost", "list"), "smtp": ("smtphost", "list"),
    "fetchdomains": ("fetchdomains", "list"), "smtpaddress": ("smtpaddress", "text"),
    "smtpname": ("smtpname", "text"), "antispam": ("antispam", "numbers"), "mda": ("mda", "text"),
    "bsmtp": ("bsmtp", "text"), "lmtp": ("lmtp", "flag"), "stripcr": ("stripcr", "flag"),
    "forcecr": ("forcecr", "flag"), "pass8bits": ("pass8bits", "flag"), "dropstatus": ("dropstatus", "flag"),
    "dropdelivered": ("dropdelivered", "flag"), "mimedecode": ("mimedecode", "flag"),
    "properties": ("properties", "text"),
}  # fmt: skip
_SET: dict[str, str] = {
    "daemon": "number", "postmaster": "text", "bouncemail": "flag", "spambounce": "flag", "softbounce": "flag",
    "logfile": "text", "pidfile": "text", "idfile": "text", "syslog": "flag", "invisible": "flag",
    "showdots": "flag", "properties": "text",
}  # fmt: skip
_PROTOCOLS = {
    "auto": "auto", "imap": "imap", "imap4": "imap", "imap4rev1": "imap", "pop3": "pop3", "apop": "apop",
    "pop2": "pop2", "rpop": "rpop", "kpop": "kpop", "sdps": "sdps", "etrn": "etrn", "odmr": "odmr",
}  # fmt: skip
_AUTHS = frozenset({
    "any", "password", "cram-md5", "otp", "ntlm", "msn", "gssapi", "kerberos", "kerberos_v4", "kerberos_v5", "ssh",
    "external", "apop", "scram", "xoauth2", "oauthbearer",
})
_OLD_PROTOCOLS = frozenset(["pop2", "rpop", "kpop", "sdps", "etrn", "odmr"])
_LEGACY = frozenset(["interface", "monitor", "principal", "fastuidl"])
_STARTS = frozenset(["poll", "server", "skip", "defaults", "set"])
_KEYWORDS = frozenset([*_SERVER, *_USER, *_STARTS, "user", "username", "is", "to", "here", "there", "no"])


def parse(text: str) -> Rc:
    """The file as values. Raises RcError."""
    if len(text) > LONGEST:
        raise RcError(1, "the file is far too long for a run control file", "el fichero es demasiado largo")
    return _Parser(list(_words(text))).run()


class _Parser:
    def __init__(self, words: list[_Word]) -> None:
        self._words, self._next = words, 0
        self._settings: dict[str, str | int | bool] = {}
        self._entries: list[Entry] = []
        self._legacy: dict[str, None] = {}
        self._default = Entry("")
        self._default_user = User()

    def run(self) -> Rc:
        while self._next < len(self._words):
            word = self._take("poll, skip, defaults or set", "poll, skip, defaults o set")
            if word.key == "set":
                self._set()
            elif word.key in ("poll", "server"):
                self._entry(word, active=True)
            elif word.key == "skip":
                self._entry(word, active=False)
            elif word.key == "defaults":
                self._defaults(word)
            else:
                raise self._error(
                    word, "expected poll, skip, defaults or set", "aquí va poll, skip, defaults o set"
                )
        return Rc(tuple(self._entries), self._settings, tuple(self._legacy))

    # -- words

    def _peek(self) -> _Word | None:
        while self._next < len(self._words) and self._words[self._next].noise:
            self._next += 1
        return self._words[self._next] if self._next < len(self._words) else None

    def _take(self, wanted: str, es: str) -> _Word:
        word = self._peek()
        if word is None:
            line = self._words[-1].line if self._words else 1
            raise RcError(line, f"the file ends where {wanted} should follow", f"el fichero acaba donde falta {es}")
        self._next += 1
        return word

    def _error(self, word: _Word, text: str, es: str) -> RcError:
        return RcError(
            word.line, f"syntax error at {word.text!r}: {text}", f"error de sintaxis en {word.text!r}: {es}"
        )

    def _name(self, what: str) -> str:
        """The next word, whatever it is: after user and password even keywords are names."""
        if self._next < len(self._words) and not self._words[self._next].map:
            self._next += 1
            return self._words[self._next - 1].text
        return self._value(what).text

    def _value(self, what: str) -> _Word:
        wanted = f"a value for {what}", f"un valor para {what}"
        word = self._take(*wanted)
        if word.map:
            word = self._take(*wanted)
        return word

    # -- global options

    def _set(self) -> None:
        word = self._take("an option", "una opción")
        on = word.key != "no"
        if not on:
            word = self._take("an option", "una opción")
        kind = _SET.get(word.key)
        if kind is None:
            known = ", ".join(_SET)
            raise self._error(word, f"no such option; set knows {known}", f"no existe esa opción; set conoce {known}")
        self._settings[word.text] = on if kind == "flag" else self._number(word.text) if kind == "number" else ""
        if kind == "text":
            self._settings[word.text] = self._value(word.text).text

    def _number(self, what: str) -> int:
        word = self._value(what)
        if not word.text.isdigit():
            raise self._error(word, f"{what} needs a number", f"{what} necesita un número")
        return int(word.text)

    # -- entries

    def _defaults(self, start: _Word) -> None:
        values, users = self._body(start)
        self._default = replace(self._default, **values)
        if users:
            self._default_user = users[0]

    def _entry(self, start: _Word, *, active: bool) -> None:
        name = self._take("a server name", "el nombre de un servidor")
        if name.key in _KEYWORDS:
            raise self._error(
                name, "a server name must follow poll or skip", "tras poll o skip va el nombre de un servidor"
            )
        values, users = self._body(start)
        fresh = replace(self._default, name=name.text, active=active, users=tuple(users), line=start.line)
        self._entries.append(replace(fresh, **values))

    def _body(self, start: _Word) -> tuple[dict[str, Any], list[User]]:
        """Server options, then users, until the next entry begins."""
        server: dict[str, Any] = {}
        users: list[User] = []
        user: dict[str, Any] | None = None
        while (word := self._peek()) is not None and word.key not in _STARTS:
            self._next += 1
            if word.key in ("user", "username"):
                user = self._close(users, user, word.line)
                self._user_name(user)
            elif word.key in _SERVER and user is None and not (word.key == "tracepolls" and users):
                self._option(server, *_SERVER[word.key], word)
            elif word.key in ("is", "to") or word.key in _USER:
                user = {"line": word.line} if user is None else user
                self._user_option(user, word)
            elif word.key == "no":
                user = self._negated(server, user)
            elif word.key in ("here", "there"):
                continue
            else:
                raise self._error(word, *self._advice(word, user))
        self._close(users, user, start.line)
        return server, users

    def _advice(self, word: _Word, user: dict[str, Any] | None) -> tuple[str, str]:
        if word.key in _SERVER:
            return (
                "server options come before the first user", "las opciones del servidor van antes del primer usuario"
            )
        if user is not None:
            return "no such option", "no existe esa opción"
        return "no such server option", "no existe esa opción de servidor"

    def _close(self, users: list[User], user: dict[str, Any] | None, line: int) -> dict[str, Any]:
        """Keep the user that ends here; a new one begins."""
        if user is not None:
            users.append(replace(self._default_user, **user))
        return {"line": line}

    def _user_name(self, user: dict[str, Any]) -> None:
        """`user X`, `user X there`, or `user L here is R there`, which says it the other way round."""
        name = self._name("user")
        following = self._peek()
        if following is None or following.key != "here":
            user["name"] = name
            return
        self._next += 1
        word = self._take("is", "is")
        if word.key not in ("is", "to"):
            raise self._error(
                word, "after `user NAME here` comes `is REMOTE there`", "tras `user NOMBRE here` va `is REMOTO there`"
            )
        user["name"] = self._value("is").text
        user["local"] = (Mapping("", name),)

    def _user_option(self, user: dict[str, Any], word: _Word) -> None:
        if word.key not in ("is", "to"):
            self._option(user, *_USER[word.key], word)
            return
        names = self._mappings(word)
        user["local"] = user.get("local", ()) + names

    def _mappings(self, start: _Word) -> tuple[Mapping, ...]:
        found: list[Mapping] = []
        while (word := self._peek()) is not None and not word.map and word.key not in _KEYWORDS:
            self._next += 1
            following = self._peek()
            if following is not None and following.map:
                self._next += 1
                found.append(Mapping(word.text, self._take("a local name", "un nombre local").text))
            else:
                found.append(Mapping("", word.text))
        if not found:
            raise self._error(start, f"names must follow {start.text!r}", f"tras {start.text!r} van nombres")
        return tuple(found)

    def _negated(self, server: dict[str, Any], user: dict[str, Any] | None) -> dict[str, Any] | None:
        word = self._take("an option after no", "una opción tras no")
        for table, values in ((_USER, user), (_SERVER, server)):
            name, kind = table.get(word.key, ("", ""))
            if kind == "flag" and (table is _USER or user is None):
                values = {"line": word.line} if values is None else values
                values[name] = False
                return values if table is _USER else user
        if word.key == "envelope":
            server["envelope"] = ""
            return user
        raise self._error(word, "`no` can't stand before this", "`no` no puede ir delante de esto")

    def _option(self, values: dict[str, Any], name: str, kind: str, word: _Word) -> None:
        if word.key in _LEGACY:
            self._legacy.setdefault(word.key)
        if kind == "flag":
            values[name] = True
        elif kind == "number":
            values[name] = self._number(word.text)
        elif kind == "text":
            values[name] = self._name(word.text) if name == "password" else self._value(word.text).text
        elif kind == "list":
            values[name] = values.get(name, ()) + self._list(word)
        elif kind == "numbers":
            values[name] = values.get(name, ()) + tuple(self._numbers(word))
        elif kind == "envelope":
            self._envelope(values)
        else:
            self._chosen(values, name, kind, word)

    def _list(self, start: _Word) -> tuple[str, ...]:
        found: list[str] = []
        while (word := self._peek()) is not None and not word.map and word.key not in _KEYWORDS:
            found.append(word.text)
            self._next += 1
        if not found:
            raise self._error(start, f"a list must follow {start.text!r}", f"tras {start.text!r} va una lista")
        return tuple(found)

    def _numbers(self, start: _Word) -> Iterator[int]:
        for text in self._list(start):
            if not text.lstrip("-").isdigit():
                raise self._error(
                    start, f"{start.text!r} needs numbers, not {text!r}",
                    f"{start.text!r} necesita números, no {text!r}",
                )
            yield int(text)

    def _envelope(self, values: dict[str, Any]) -> None:
        word = self._value("envelope")
        if word.text.isdigit() and not word.quoted:
            values["envskip"] = int(word.text)
            word = self._value("envelope")
        values["envelope"] = word.text

    def _chosen(self, values: dict[str, Any], name: str, kind: str, word: _Word) -> None:
        value = self._value(word.text)
        text = value.text.lower()
        if kind == "protocol":
            if text not in _PROTOCOLS:
                raise self._error(
                    value, "no such protocol; write pop3, imap or auto",
                    "no existe ese protocolo; escriba pop3, imap o auto",
                )
            values[name] = _PROTOCOLS[text]
            if text in _OLD_PROTOCOLS:
                self._legacy.setdefault(text)
        elif kind == "auth":
            if text not in _AUTHS:
                known = ", ".join(sorted(_AUTHS))
                raise self._error(
                    value, f"no such authentication; known are {known}",
                    f"no existe esa autenticación; se conocen {known}",
                )
            values[name] = text
        else:
            if text not in ("accept", "reject", "pass"):
                raise self._error(value, "bad-header is accept or reject", "bad-header es accept o reject")
            values[name] = "reject" if text == "reject" else "accept"


def users_of(rc: Rc) -> Iterator[tuple[Entry, User]]:
    """Every user with the entry that it belongs to."""
    for entry in rc.entries:
        for user in entry.users:
            yield entry, user


OPTIONS = tuple(sorted({one.name for one in fields(User)} | {one.name for one in fields(Entry)}))
