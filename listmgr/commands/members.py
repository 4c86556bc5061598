"""`add_members`, `list_members`, `remove_members`, `find_member` (L06 to L11).

Promises: what is said for each address are Mailman's words; a wrong address stops nothing; additions go in groups, so
that 10,000 of them neither take minutes nor hold up others. Fails by: Stop.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from bridge.model.address import fold
from bridge.store.tables import note
from bridge.wire.addresses import lenient
from listmgr import registry, roster, subscriptions
from listmgr.commands.desk import Desk, Stop
from listmgr.registry import MailingList
from listmgr.roster import Member, Refusal, Why

GROUP = 500  # members added in one transaction
REASONS = ("byadmin", "byuser", "bybounce", "enabled")


@dataclass(slots=True)
class Addition:
    """What `add_members` was asked: see `arguments`. None: as the list's options say."""

    name: str = ""
    file: str = ""
    invite: bool = False
    nomail: bool = False
    welcome: bool | None = None
    notify: bool | None = None
    rest: list[str] = field(default_factory=list)


_VALUED = {
    "-r": "file",
    "--regular-members-file": "file",
    "-w": "welcome",
    "--welcome-msg": "welcome",
    "-a": "notify",
    "--admin-notify": "notify",
}
_OLD = "--non-digest-members-file"


def arguments(words: Sequence[str]) -> Addition:
    """Read the arguments of `add_members` in both of its dialects (L07): `-n` followed by a file and a list and nothing
    else to read from is the old `--non-digest-members-file`, else it means `--nomail`."""
    asked, bare, todo = Addition(), False, list(words)
    while todo:
        word = todo.pop(0)
        name, equals, value = word.partition("=")
        if name in _VALUED or name == _OLD:
            if not equals:
                if not todo:
                    raise Stop(f"{name}: a value is missing", 2)
                value = todo.pop(0)
            _set(asked, "file" if name == _OLD else _VALUED[name], value)
        elif word == "-n":
            bare = True
        elif word == "--nomail":
            asked.nomail = True
        elif word in ("-i", "--invite"):
            asked.invite = True
        elif word.startswith("-") and word != "-":
            raise Stop(f"add_members: unknown option {word}", 2)
        else:
            asked.rest.append(word)
    if bare and not asked.file and len(asked.rest) == 2:
        asked.file = asked.rest.pop(0)
    elif bare:
        asked.nomail = True
    if len(asked.rest) != 1 or not asked.file:
        raise Stop("add_members [-r FILE] [-i] [-w y|n] [-a y|n] [--nomail] LIST    add_members -n FILE LIST", 2)
    asked.name = asked.rest.pop()
    return asked


def _set(asked: Addition, name: str, value: str) -> None:
    if name == "file":
        asked.file = value
    elif value[:1].lower() not in ("y", "n", "s"):
        raise Stop(f"{value!r}: y or n", 2)
    else:
        setattr(asked, name, value[:1].lower() != "n")


def add_members(desk: Desk, asked: Addition) -> int:
    """Add (or with `invite`, ask) everybody in the file."""
    which = desk.find(asked.name)
    people = [_person(line) for line in desk.lines(asked.file)]
    if asked.invite:
        return _invite(desk, which, people)
    added: list[str] = []
    for first in range(0, len(people), GROUP):
        added += _group(desk, which, people[first : first + GROUP], asked.nomail)
    welcome = which.options.send_welcome_msg if asked.welcome is None else asked.welcome
    notify = which.options.admin_notify_mchanges if asked.notify is None else asked.notify
    language, stamp = which.options.preferred_language, int(desk.office.clock.now())
    for address in added if welcome or notify else ():
        cause = f"add:{fold(address)}:{stamp}"
        if welcome:
            subscriptions.tell_member(desk.office, which, address, joined=True, language=language, cause=cause)
        if notify:
            subscriptions.tell_owners(desk.office, which, address, joined=True, cause=cause)
    return 0


def _group(desk: Desk, which: MailingList, people: Sequence[tuple[str, str]], nomail: bool) -> list[str]:
    now, said, added = desk.office.clock.now(), list[str](), list[str]()

    def unit(connection: Connection) -> None:
        for address, name in people:
            try:
                roster.add(connection, which, address, name=name, delivery="byadmin" if nomail else "enabled", now=now)
            except Refusal as refusal:
                said.append(_refused(desk, refusal))
            else:
                said.append(desk.tr(f"Subscribed: {address}", f"Suscrito: {address}"))
                added.append(address)
        if added:
            note(connection, now, desk.actor, "list.members.add", which.posting, str(len(added)))

    desk.office.core.write_now(unit)
    for line in said:
        print(line, file=desk.stdout)
    return added


def _refused(desk: Desk, refusal: Refusal) -> str:
    address = refusal.address
    if refusal.why is Why.MEMBER:
        return desk.tr(f"Already a member: {address}", f"Ya es miembro: {address}")
    if refusal.why is Why.BANNED:
        return desk.tr(f"Banned address: {address}", f"Dirección vetada: {address}")
    return desk.tr(f"Bad/Invalid email address: {address}", f"Dirección no válida: {address}")


def _invite(desk: Desk, which: MailingList, people: Iterable[tuple[str, str]]) -> int:
    for address, name in people:
        wish = subscriptions.Wish(address, origin=f"invite:{int(desk.office.clock.now())}", name=name, proven=True)
        result = subscriptions.ask_to_join(desk.office, which, wish)
        if result is subscriptions.Result.ASKED:
            desk.say(f"Invited: {address}", f"Invitado: {address}")
        else:
            desk.say(f"Not invited ({result.value}): {address}", f"No invitado ({result.value}): {address}")
    return 0


def _person(line: str) -> tuple[str, str]:
    """`Name <address>` or an address."""
    found = lenient(line.encode("utf-8", "replace"))
    return (found[0].address, found[0].name) if len(found) == 1 else (line[:320], "")


def list_members(
    desk: Desk,
    name: str,
    *,
    fullnames: bool = False,
    preserve: bool = False,
    regular: bool = False,
    nomail: str | None = None,
    output: str = "",
) -> int:
    """Members by address. `nomail`: only those without delivery, "" for any reason, else one of `REASONS`."""
    which = desk.find(name)
    if nomail and nomail not in REASONS:
        raise Stop(f"-n {nomail}: {' '.join(REASONS)}", 2)
    with desk.office.core.read() as connection:
        found = [one for one in roster.members(connection, which) if _listed(one, regular, nomail)]
    lines = []
    for one in found:
        address = one.address if preserve else one.key
        lines.append(f"{one.name} <{address}>" if fullnames and one.name else address)
    desk.write(output, lines)
    return 0


def _listed(member: Member, regular: bool, nomail: str | None) -> bool:
    if nomail is not None:
        return member.delivery == nomail if nomail else member.delivery != "enabled"
    return member.delivery == "enabled" if regular else True


def remove_members(
    desk: Desk,
    name: str,
    addresses: Sequence[str] = (),
    *,
    file: str = "",
    everybody: bool = False,
    all_lists: bool = False,
    goodbye: bool = True,
    notify: bool = True,
) -> int:
    """Take addresses off a list, or (`all_lists`) off every list; `everybody` empties it."""
    with desk.office.core.read() as connection:
        lists = registry.every(connection) if all_lists else []
    status = 0
    wanted = [*addresses, *(desk.lines(file) if file else ())]
    for which in lists or [desk.find(name)]:
        people = wanted
        if everybody and not all_lists:
            with desk.office.core.read() as connection:
                people = [one.address for one in roster.members(connection, which)]
        status |= _remove(desk, which, people, goodbye, notify, quiet=all_lists)
    return status


def _remove(desk: Desk, which: MailingList, people: Sequence[str], goodbye: bool, notify: bool, quiet: bool) -> int:
    now, status = desk.office.clock.now(), 0
    stamp, language = int(now), which.options.preferred_language
    for first in range(0, len(people), GROUP):
        group = people[first : first + GROUP]

        def unit(connection: Connection, group: Sequence[str] = group) -> list[bool]:
            gone = [roster.remove(connection, which, address) for address in group]
            if any(gone):
                note(connection, now, desk.actor, "list.members.remove", which.posting, str(sum(gone)))
            return gone

        for address, gone in zip(group, desk.office.core.write_now(unit), strict=True):
            if not gone:
                if not quiet:
                    desk.say(f"No such member: {address}", f"No es miembro: {address}")
                    status = 1
                continue
            desk.say(f"User `{address}' removed from list: {which.name}.", f"{address}: baja en {which.name}.")
            cause = f"remove:{fold(address)}:{stamp}"
            if goodbye:
                subscriptions.tell_member(desk.office, which, address, joined=False, language=language, cause=cause)
            if notify:
                subscriptions.tell_owners(desk.office, which, address, joined=False, cause=cause)
    return status


def find_member(
    desk: Desk, patterns: Sequence[str], *, only: Sequence[str] = (), exclude: Sequence[str] = (), owners: bool = False
) -> int:
    """Every membership whose address matches one of the regular expressions (the administrator's own)."""
    try:
        compiled = [re.compile(pattern, re.I) for pattern in patterns]
    except re.error as error:
        raise Stop(f"find_member: {error}", 2) from None
    found: dict[str, list[str]] = {}
    with desk.office.core.read() as connection:
        for name, member in roster.memberships(connection):
            if (not only or name in only) and name not in exclude:
                found.setdefault(member.key, []).append(name)
        for which in registry.every(connection) if owners else ():
            if (not only or which.name in only) and which.name not in exclude:
                for owner in which.options.owner:
                    found.setdefault(fold(owner), []).append(
                        desk.tr(f"{which.name} (owner)", f"{which.name} (responsable)")
                    )
    for address in sorted(found):
        if any(pattern.search(address) for pattern in compiled):
            desk.say(f"{address} found in:", f"{address} está en:")
            for name in found[address]:
                print(f"     {name}", file=desk.stdout)
    return 0
