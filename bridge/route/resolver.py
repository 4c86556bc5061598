"""What an address means: one pure function from an address and a snapshot of the tables to a list of routes.

Promises: no I/O, never raises, at least one route for any text; RCPT checks, `explain` and the queue all ask here.
Every name leads to one route at most, however often it is reached (S60); a loop is cut where it closes, and a user who
is in it gets the mail. Mistakes of the administrator (a loop without an end, a program that is not allowed, a file that
can't be read) are DEFER, never a bounce. More than 10,000 recipients or a depth of 10 is DEFER for the whole address
(sec-D08).

The order in which a local name is looked up: alias of the full address, alias of the name, list and its ten addresses,
account, system user; then the same without the detail (`juan+shop`); then catch-alls; then the roles of RFC 2142 that
must always be deliverable (S61).
"""

import json
import re
import shlex
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from bridge.config.mail import Mail
from bridge.model.account import Account
from bridge.model.address import fold, fold_domain, split
from bridge.model.reply import Reply
from bridge.route.aliases import Alias, Form, Target
from bridge.route.tables import Domain, Tables

RECIPIENTS = 10_000
DEPTH = 10
STEPS = 50_000
_MEMO, _MEMO_ROUTES = 10_000, 20
ROLES = frozenset(("postmaster", "abuse", "root", "mailer-daemon"))
VERBS = ("admin", "bounces", "confirm", "join", "leave", "owner", "request", "subscribe", "unsubscribe")

UNKNOWN = Reply(550, "5.1.1", "No such user here")
NO_ADDRESS = Reply(553, "5.1.3", "Not an address")
TROUBLE = Reply(451, "4.3.5", "Local configuration trouble, try again later")
LOOP = Reply(451, "4.4.6", "Aliases here go round in circles, try again later")
TOO_MANY = Reply(451, "4.3.5", "This address stands for too many others, try again later")

_LIST = re.compile(rf"(.+?)(?:-({'|'.join(VERBS)}))?(?:\+.*)?", re.S)
_WRAPPER = re.compile(rf"/\S*/(?:mailman|wrapper)\s+(post|mailpasswd|mailowner|mailcmd|{'|'.join(VERBS)})\s+(\S+)\Z")
_HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d+))?\Z")


class Kind(Enum):
    """Where a recipient ends. The values are what the queue stores."""

    MAILBOX = "mailbox"
    LIST = "list"
    PROGRAM = "program"
    FILE = "file"
    REMOTE = "remote"
    DISCARD = "discard"
    REFUSE = "refuse"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Route:
    """One end of one address.

    `address`: the final address, detail included. `target`: MAILBOX: the account's main address; LIST: "name:verb";
    PROGRAM: the arguments as a JSON list; FILE: the path; REMOTE: "domain" to be looked up in DNS, or "[host]:port".
    `sender`: the envelope sender to use instead of the message's own (owner-alias, S59), or None. `why`: the steps that
    led here. `reply`: of REFUSE and DEFER.
    """

    kind: Kind
    address: str
    target: str
    sender: str | None = None
    why: tuple[str, ...] = ()
    reply: Reply | None = None


class _Step(NamedTuple):
    """An address on its way. `above`: the names of the aliases that it came through; `plain`: no aliases (`\\user`)."""

    address: str
    above: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    sender: str | None = None
    plain: bool = False


def resolve(address: str, tables: Tables, *, sender: str | None = None) -> tuple[Route, ...]:
    """Where mail for `address` goes. `sender`: that of the message if known; the null sender "" is never replaced."""
    key = address, sender == ""
    known: tuple[Route, ...] | None = tables.memo.get(key)
    if known is None:
        known = _Walk(tables, keep_sender=sender == "").routes(address)
        if len(tables.memo) >= _MEMO:
            tables.memo.clear()
        if len(known) <= _MEMO_ROUTES or not _detailed(address, tables):
            tables.memo[key] = known
    return known


def verdict(routes: Sequence[Route]) -> Reply | None:
    """What RCPT says to an address with these routes: None if at least one of them is open, else the reply."""
    if any(route.reply is None for route in routes):
        return None
    waiting = [route.reply for route in routes if route.kind is Kind.DEFER]
    return waiting[0] if waiting else routes[0].reply


def _detailed(address: str, tables: Tables) -> bool:
    """May this be one of endlessly many forms of an address, which should not fill the memory?"""
    return any(char in tables.settings.delimiters for char in split(address)[0])


def explain(address: str, tables: Tables) -> list[str]:
    """What would happen to mail for `address`, one line per route (S100)."""
    lines = []
    for route in resolve(address, tables):
        arrows = " -> ".join((address, *route.why))
        end = f"{route.kind.value} {route.target}".strip()
        reply = f" ({route.reply})" if route.reply else ""
        sender = f", bounces go to {route.sender}" if route.sender is not None else ""
        lines.append(f"{arrows}: {end}{reply}{sender}")
    return lines


class _Walk:
    """One expansion: a queue of steps, never a recursion."""

    def __init__(self, tables: Tables, keep_sender: bool) -> None:
        self._tables, self._keep_sender, self._primary = tables, keep_sender, tables.primary
        self._waiting: deque[_Step] = deque()
        self._expanded: set[str] = set()
        self._found: dict[tuple[Kind, str, str], Route] = {}
        self._again: list[tuple[_Step, str, str, Domain]] = []      # names that were expanded before, by another way
        self._looped: tuple[str, ...] = ()

    def routes(self, address: str) -> tuple[Route, ...]:
        self._waiting.append(_Step(address))
        steps = 0
        while self._waiting:
            steps += 1
            if steps > STEPS or len(self._found) > RECIPIENTS:
                return (Route(Kind.DEFER, address, "", None, (), TOO_MANY),)
            step = self._waiting.popleft()
            if len(step.above) > DEPTH:
                return (Route(Kind.DEFER, address, "", None, step.why, TOO_MANY),)
            self._follow(step)
        if not self._found:         # loops inside loops: whoever has a mailbox there gets it
            for again in self._again:
                self._here(*again)
        if not self._found:
            return (Route(Kind.DEFER, address, "", None, self._looped, LOOP),)
        return tuple(self._found.values())

    def _follow(self, step: _Step) -> None:
        tables = self._tables
        local, domain = split(fold(step.address))
        if not local:
            self._end(step, Kind.REFUSE, "", NO_ADDRESS)
            return
        domain = domain or self._primary
        kind = tables.domains.get(domain)
        if kind is None or kind is Domain.RELAY:
            self._end(step, Kind.REMOTE, next_hop(domain, tables))
            return
        if not any(self._name(step, one, domain, kind) for one in _names(local, tables.settings.delimiters)):
            self._last(step, local, domain, kind)

    def _name(self, step: _Step, local: str, domain: str, kind: Domain) -> bool:
        """Look `local` up in the order of the module's text; False if nothing has it."""
        tables = self._tables
        if not step.plain:
            for key in _keys(local, domain, kind):
                alias = tables.aliases.get(key)
                if alias is not None and key not in step.above:
                    if key in self._expanded:
                        self._again.append((step, local, domain, kind))
                    else:
                        self._expand(step, alias)
                    return True
                if alias is not None:
                    self._looped = (*step.why, f"{key} again")
                    self._here(step, local, domain, kind)       # or the loop is cut: nobody has that name
                    return True
        return self._here(step, local, domain, kind)

    def _here(self, step: _Step, local: str, domain: str, kind: Domain) -> bool:
        """A list or an account of that name."""
        tables = self._tables
        found = _list_of(local, domain, kind, tables)
        if found:
            self._end(step, Kind.LIST, found)
            return True
        account = _account(local, domain, kind, tables)
        if account is not None:
            found = f"system user {account.system} (passwd, number {-account.id})" if account.system else ""
            self._end(_said(step, found) if found else step, Kind.MAILBOX, account.address)
        return account is not None

    def _expand(self, step: _Step, alias: Alias) -> None:
        self._expanded.add(alias.name)
        sender = step.sender if self._keep_sender else self._owner(alias.name) or step.sender
        why = (*step.why, f"alias {alias.name} ({alias.file}:{alias.line})")
        below = _Step(step.address, (*step.above, alias.name), why, sender)
        for target in alias.targets:
            self._target(below, target, alias)

    def _owner(self, name: str) -> str | None:
        """The address that the bounces of an alias go to, if it has an owner."""
        local, domain = split(name)
        owner = f"owner-{local}"
        for key, address in ((f"{owner}@{domain}", f"{owner}@{domain}"), (owner, f"{owner}@{self._primary}")):
            if key in self._tables.aliases:
                return address
        return None

    def _target(self, step: _Step, target: Target, alias: Alias) -> None:
        form, value = target.form, target.value
        if form is Form.ADDRESS or form is Form.MAILBOX:
            text = value if "@" in value else f"{value}@{self._primary}"
            why = (*step.why, value)
            self._waiting.append(_Step(text, step.above, why, step.sender, form is Form.MAILBOX))
        elif form is Form.INCLUDE:
            self._include(step, value, alias)
        elif form is Form.PROGRAM:
            self._program(step, value, alias)
        elif form is Form.FILE:
            self._file(step, value, alias)
        elif form is Form.BLACKHOLE:
            self._end(step, Kind.DISCARD, "")
        elif form is Form.FAIL:
            self._end(step, Kind.REFUSE, "", Reply(550, "5.1.1", value or UNKNOWN.text))
        else:
            self._end(step, Kind.DEFER, "", Reply(451, "4.3.5", value or TROUBLE.text))

    def _include(self, step: _Step, path: str, alias: Alias) -> None:
        name = f":include:{path}"
        if name in self._expanded:
            return
        self._expanded.add(name)
        included = self._tables.includes.get(path)
        below = _Step(step.address, (*step.above, name), (*step.why, name), step.sender)
        if included is None or included.trouble:
            self._end(_said(below, included.trouble if included else "not read"), Kind.DEFER, "", TROUBLE)
            return
        for target in included.targets:
            self._target(below, target, alias)

    def _program(self, step: _Step, command: str, alias: Alias) -> None:
        wrapped = _WRAPPER.match(command)
        if wrapped and wrapped[2].lower() in self._tables.lists:        # a line that newlist of Mailman printed
            self._end(step, Kind.LIST, f"{wrapped[2].lower()}:{_wrapped(wrapped[1])}")
            return
        words = shlex.split(command)
        if not alias.trusted or not allowed(Target(Form.PROGRAM, command), self._tables.settings):
            self._end(_said(step, f"{words[0]} may not be run: see mail.programs"), Kind.DEFER, "", TROUBLE)
            return
        self._end(step, Kind.PROGRAM, json.dumps(words))

    def _file(self, step: _Step, path: str, alias: Alias) -> None:
        if path == "/dev/null":
            self._end(step, Kind.DISCARD, "")
        elif alias.trusted and allowed(Target(Form.FILE, path), self._tables.settings):
            self._end(step, Kind.FILE, path)
        else:
            self._end(_said(step, f"{path} may not be written: see mail.file_folders"), Kind.DEFER, "", TROUBLE)

    def _last(self, step: _Step, local: str, domain: str, kind: Domain) -> None:
        """A name that nobody has: catch-alls, roles, unknown."""
        if not step.plain:
            for key in (f"@{domain}", "*") if kind is Domain.LOCAL else (f"@{domain}",):
                alias = self._tables.aliases.get(key)
                if alias is not None and key not in step.above and local not in ROLES:
                    if key not in self._expanded:
                        self._expand(step, alias)
                    return
        if local in ROLES:
            self._role(step, local)
        elif self._tables.uncertain:
            self._end(_said(step, f"{self._tables.uncertain} can't be read"), Kind.DEFER, "", TROUBLE)
        else:
            self._end(step, Kind.REFUSE, "", UNKNOWN)

    def _role(self, step: _Step, role: str) -> None:
        """postmaster, abuse, root, mailer-daemon without an alias: the configured person, else the first account."""
        tables = self._tables
        person = tables.settings.postmaster
        if person and f"role {role}" not in step.above:
            text = person if "@" in person else f"{person}@{self._primary}"
            why = (*step.why, f"{role} is {person} (mail.postmaster)")
            self._waiting.append(_Step(text, (*step.above, f"role {role}"), why, step.sender))
            return
        first = min(tables.accounts.by_login.values(), key=lambda one: one.id, default=None)
        first = first or max(tables.system.values(), key=lambda one: one.id, default=None)  # the lowest user number
        if first is None:
            self._end(_said(step, f"nobody is {role}: set mail.postmaster"), Kind.DEFER, "", TROUBLE)
        else:
            self._end(_said(step, f"{role} is the first account"), Kind.MAILBOX, first.address)

    def _end(self, step: _Step, kind: Kind, target: str, reply: Reply | None = None) -> None:
        """One route; a second one that means the same is dropped."""
        address = step.address if "@" in step.address else f"{step.address}@{self._primary}"
        same = target if kind in (Kind.MAILBOX, Kind.PROGRAM, Kind.FILE, Kind.DISCARD) else fold(address)
        self._found.setdefault((kind, same, target), Route(kind, address, target, step.sender, step.why, reply))


def allowed(target: Target, settings: Mail) -> bool:
    """May an alias have this target? Only programs and files are asked about (sec-D01, sec-D05)."""
    if target.form is Form.PROGRAM:
        return _within(shlex.split(target.value)[0], settings.programs)
    if target.form is Form.FILE and target.value != "/dev/null":
        return _within(target.value, tuple(folder.rstrip("/") + "/" for folder in settings.file_folders))
    return True


def is_wrapper(target: Target) -> bool:
    """Is this a line that Mailman's newlist printed, which means a list of ours if there is one?"""
    return target.form is Form.PROGRAM and _WRAPPER.match(target.value) is not None


def next_hop(domain: str, tables: Tables) -> str:
    """Where mail for a domain of others goes: "[host]:port", or the domain itself for a look at its MX."""
    if tables.settings.transports:
        transports = {fold_domain(name): host for name, host in tables.settings.transports.items()}
        parts = domain.split(".")
        for name in (domain, *("." + ".".join(parts[i:]) for i in range(1, len(parts)))):
            if name in transports:
                return _server(transports[name])
    return _server(tables.settings.smarthost) if tables.settings.smarthost else domain


def _server(text: str) -> str:
    found = _HOST.match(text)
    if not found:
        return text
    host, port = found[1].strip("[]"), found[2] or "25"
    return f"[{host}]:{port}"


def _said(step: _Step, text: str) -> _Step:
    return _Step(step.address, step.above, (*step.why, text), step.sender)


def _names(local: str, delimiters: str) -> Sequence[str]:
    """The local part, then shorter ones in front of each delimiter, longest first."""
    if not any(char in local for char in delimiters):
        return (local,)
    places = [place for place, char in enumerate(local) if char in delimiters and place]
    return local, *(local[:place] for place in reversed(places[:8]))


def _keys(local: str, domain: str, kind: Domain) -> tuple[str, ...]:
    full = f"{local}@{domain}"
    return (full, local) if kind is Domain.LOCAL else (full,)


def _list_of(local: str, domain: str, kind: Domain, tables: Tables) -> str:
    """The route target of a list address, or ""."""
    if not tables.lists:
        return ""
    found = _LIST.fullmatch(local) if "-" in local or "+" in local else None
    for name, verb in ((local, "post"), (found[1], found[2] or "post")) if found else ((local, "post"),):
        host = tables.lists.get(name)
        if host is not None and (host == domain or kind is tables.domains.get(host) is Domain.LOCAL):
            return f"{name}:{verb}"
    return ""


def _account(local: str, domain: str, kind: Domain, tables: Tables) -> Account | None:
    found = tables.accounts.by_address.get(f"{local}@{domain}")
    if found is None and kind is Domain.LOCAL:
        found = tables.accounts.by_address.get(f"{local}@{tables.primary}") or tables.system.get(local)
    return found


def _within(path: str, allowed: tuple[str, ...]) -> bool:
    return any(path.startswith(one) if one.endswith("/") else path == one for one in allowed)


def _wrapped(verb: str) -> str:
    """Mailman 2.0 had other words for three of them."""
    return {"mailpasswd": "request", "mailcmd": "request", "mailowner": "owner"}.get(verb, verb)
