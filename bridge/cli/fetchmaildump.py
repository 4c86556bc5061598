"""`fetchmail --configdump` and `fetchmail -V`: what a run control file means, in fetchmail's own shapes (F49).

Promises: the dump has the names, the order and the literals of fetchmail 6.4, for the programs that read it with
Python; -V says in sentences what will happen, and doesn't show passwords.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bridge.wire.fetchmailrc import Entry, Mapping, Rc, User

_NAMES = {"auto": "auto", "sdps": "POP3", "kpop": "POP3", "rpop": "POP3"}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b", "\r": "\\r"}
_ETC = "/etc/ssl/certs"


class Call(NamedTuple):
    """Who calls, and the places and numbers that aren't in the entries."""

    login: str
    idfile: str
    interval: int
    taken_from: str
    logfile: str = ""


# ---- --configdump


def configdump(rc: Rc, call: Call) -> str:
    settings = rc.settings
    lines = [
        "TRUE=1; FALSE=0", "", "os_type = 'linux'", "feature_options = ('pop3','imap','ssl',)",
        "# Start of configuration initializer", "fetchmailrc = {",
        f"    'poll_interval':{call.interval},",
        f'    "logfile":{_text(call.logfile or None)},',
        f'    "idfile":{_text(call.idfile)},',
        f'    "postmaster":{_text(_postmaster(rc, call))},',
        f"    'bouncemail':{_flag(settings.get('bouncemail', True))},",
        f"    'spambounce':{_flag(settings.get('spambounce', False))},",
        f"    'softbounce':{_flag(settings.get('softbounce', True))},",
        f'    "properties":{_text(_set(rc, "properties"))},',
        f"    'invisible':{_flag(settings.get('invisible', False))},",
        f"    'showdots':{_flag(settings.get('showdots', False))},",
        f"    'syslog':{_flag(settings.get('syslog', False))},",
        "    # List of server entries begins here", "    'servers': [",
    ]  # fmt: skip
    for number, entry in enumerate(rc.entries):
        lines += ["\t,"] if number else []
        lines += _server(entry, call.login)
    return "\n".join([*lines, "    ]", "}", "# End of initializer"])


def _server(entry: Entry, login: str) -> Iterator[str]:
    yield f"\t# Entry for site `{entry.name}' begins:"
    yield "\t{"
    rows = (
        ('"pollname"', _text(entry.name)), ("'active'", _flag(entry.active)), ('"via"', _text(entry.via)),
        ('"protocol"', _text(protocol(entry))), ('"service"', _text(entry.service)),
        ("'timeout'", entry.timeout), ("'interval'", entry.interval), ('"envelope"', _text(entry.envelope or None)),
        ("'envskip'", entry.envskip), ('"qvirtual"', _text(entry.qvirtual)), ('"auth"', _text(entry.auth)),
        ("'dns'", _flag(entry.dns)), ("'uidl'", _flag(entry.uidl)), ('"aka"', _list(entry.aka)),
        ('"localdomains"', _list(entry.localdomains)), ('"interface"', _text(entry.interface)),
        ('"monitor"', _text(entry.monitor)), ('"plugin"', _text(entry.plugin)), ('"plugout"', _text(entry.plugout)),
        ('"principal"', _text(entry.principal)), ('"esmtpname"', _text(entry.esmtpname or login)),
        ("'tracepolls'", _flag(entry.tracepolls)), ("'badheader'", " " + _flag(entry.badheader == "accept")),
    )  # fmt: skip
    yield from (f"\t    {name}:{value}," for name, value in rows)
    yield "\t    'users': ["
    users = ("\n".join(("\t\t{", *_user(user, login), "\t\t}", "\t\t,")) for user in entry.users)
    yield "".join((*users, "\t    ]"))
    yield "\t}"


def _user(user: User, login: str) -> Iterator[str]:
    stripcr = user.mda is not None if user.stripcr is None else user.stripcr
    rows = (
        ('"remote"', _text(user.name or login)), ('"password"', _text(user.password)),
        ("'localnames'", _locals(user.local or (Mapping("", login),))),
        ("'fetchall'", _flag(user.fetchall)), ("'keep'", _flag(user.keep)), ("'flush'", _flag(user.flush)),
        ("'limitflush'", _flag(user.limitflush)), ("'rewrite'", _flag(user.rewrite)), ("'stripcr'", _flag(stripcr)),
        ("'forcecr'", _flag(user.forcecr)), ("'pass8bits'", _flag(user.pass8bits)),
        ("'dropstatus'", _flag(user.dropstatus)), ("'dropdelivered'", _flag(user.dropdelivered)),
        ("'mimedecode'", _flag(user.mimedecode)), ("'idle'", _flag(user.idle)), ('"mda"', _text(user.mda)),
        ('"bsmtp"', _text(user.bsmtp)), ("'lmtp'", _flag(user.lmtp)), ('"preconnect"', _text(user.preconnect)),
        ('"postconnect"', _text(user.postconnect)), ("'limit'", user.limit), ("'warnings'", user.warnings),
        ("'fetchlimit'", user.fetchlimit), ("'fetchsizelimit'", user.fetchsizelimit), ("'fastuidl'", user.fastuidl),
        ("'batchlimit'", user.batchlimit), ("'ssl'", _flag(user.ssl)), ('"sslkey"', _text(user.sslkey)),
        ('"sslcert"', _text(user.sslcert)), ('"sslproto"', _text(user.sslproto)),
        ("'sslcertck'", _flag(user.sslcertck)), ('"sslcertfile"', _text(user.sslcertfile)),
        ('"sslcertpath"', _text(user.sslcertpath)), ('"sslcommonname"', _text(user.sslcommonname)),
        ('"sslfingerprint"', _text(user.sslfingerprint)), ("'expunge'", user.expunge),
        ('"properties"', _text(user.properties)), ('"smtphunt"', _list(user.smtphost or ("localhost",))),
        ('"fetchdomains"', _list(user.fetchdomains)), ('"smtpaddress"', _text(user.smtpaddress)),
        ('"smtpname"', _text(user.smtpname)), ("'antispam'", "'" + " ".join(map(str, user.antispam)) + "'"),
        ('"mailboxes"', _list(user.folders)),
    )  # fmt: skip
    yield from (f"\t\t    {name}:{value}," for name, value in rows)


def protocol(entry: Entry) -> str:
    return _NAMES.get(entry.protocol, entry.protocol.upper())


def _set(rc: Rc, name: str) -> str | None:
    value = rc.settings.get(name)
    return value if isinstance(value, str) else None


def _postmaster(rc: Rc, call: Call) -> str:
    return _set(rc, "postmaster") or ("postmaster" if call.login == "root" else call.login)


def _text(value: str | None) -> str:
    return "None" if value is None else '"' + "".join(_ESCAPES.get(one, one) for one in value) + '"'


def _flag(value: object) -> str:
    return "TRUE" if value else "FALSE"


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(_text(one) for one in values) + "]"


def _locals(values: Sequence[Mapping]) -> str:
    pairs = (f"({_text(one.remote)}, {_text(one.local)})" if one.remote else _text(one.local) for one in values)
    return "[" + ", ".join(pairs) + "]"


# ---- -V


def described(rc: Rc, call: Call) -> str:
    """The settings and every account in sentences, as fetchmail -V has them."""
    lines = [f"Taking options from {call.taken_from}"]
    if call.interval:
        lines.append(f"Poll interval is {call.interval} seconds")
    if call.logfile:
        lines.append(f"Logfile is {call.logfile}")
    lines.append(f"Idfile is {call.idfile}")
    if rc.settings.get("syslog"):
        lines.append("Progress messages will be logged via syslog")
    lines.append(f"Fetchmail will forward misaddressed multidrop messages to {_postmaster(rc, call)}.")
    if not rc.settings.get("bouncemail", True):
        lines.append("Fetchmail will direct error mail to the postmaster.")
    active = [entry for entry in rc.entries if entry.active]
    for entry in active:
        for user in entry.users:
            lines += _sentences(entry, user, call.login)
    if not active:
        lines.append(f"No mailservers set up -- perhaps {call.taken_from.split(' ')[-1]} is missing?")
    return "\n".join(lines)


def _sentences(entry: Entry, user: User, login: str) -> Iterator[str]:
    yield f"Options for retrieving from {user.name or login}@{entry.name}:"
    yield from ("  " + line for line in (*_there(entry), *_tls(user), *_what(entry, user)))


def _there(entry: Entry) -> Iterator[str]:
    if entry.via:
        yield f"Mail will be retrieved via {entry.via}"
    if entry.interval:
        yield f"Poll of this server will occur every {entry.interval} intervals."
    yield f"True name of server is {entry.host}."
    service = f" (using service {entry.service})" if entry.service else ""
    yield f"Protocol is {protocol(entry)}{service}."
    if entry.auth == "any":
        yield "All available authentication methods will be tried."
    elif entry.auth == "password":
        yield "Password authentication will be forced."
    else:
        yield f"{entry.auth.upper()} authentication will be forced."


def _tls(user: User) -> Iterator[str]:
    if user.ssl:
        yield "SSL encrypted sessions enabled."
    if user.sslproto is not None:
        yield f"SSL protocol: {user.sslproto}."
    yield f"SSL server certificate checking {'en' if user.sslcertck else 'dis'}abled."
    yield f"SSL default trusted certificate file: {_ETC}/ca-certificates.crt"
    if user.sslcertfile:
        yield f"SSL trusted certificate file: {user.sslcertfile}"
    yield f"SSL default trusted certificate directory: {_ETC}"
    if user.sslcertpath:
        yield f"SSL trusted certificate directory: {user.sslcertpath}"
    if user.sslcommonname:
        yield f"SSL server CommonName: {user.sslcommonname}"
    if user.sslfingerprint:
        yield f"SSL key fingerprint (checked against the server key): {user.sslfingerprint}"


def _what(entry: Entry, user: User) -> Iterator[str]:
    def on(value: bool) -> str:
        return "on" if value else "off"

    default = " (default)" if entry.timeout == 300 else ""
    yield f"Server nonresponse timeout is {entry.timeout} seconds{default}."
    yield f"Selected mailboxes are: {' '.join(user.folders)}" if user.folders else "Default mailbox selected."
    yield f"{'All' if user.fetchall else 'Only new'} messages will be retrieved (--all {on(user.fetchall)})."
    yield f"Fetched messages will {'' if user.keep else 'not '}be kept on the server (--keep {on(user.keep)})."
    no = "" if user.flush else "not "
    yield f"Old messages will {no}be flushed before message retrieval (--flush {on(user.flush)})."
    if user.idle:
        yield "Idle after poll is enabled (idle on)."
    if user.limit:
        yield f"Message size limit is {user.limit} octets (--limit {user.limit})."
        yield f"Message size warning interval is {user.warnings} seconds (--warnings {user.warnings})."
    if user.fetchlimit:
        yield f"Received-message limit is {user.fetchlimit} (--fetchlimit {user.fetchlimit})."
    names = len(user.local) or 1
    several = names > 1 or any(one.local == "*" for one in user.local)
    yield f"{'Multi' if several else 'Single'}-drop mode: {names} local name{'s' if names > 1 else ''} recognized."
