"""`add_members`, `list_members`, `remove_members`, `sync_members`, `find_member` (L06 to L11).

Promises: what is said for each address are Mailman's words; a file with a wrong address in it is refused with the
number of each such line before anything is done, while of what was typed the good ones are taken; additions go in
groups, so that 10,000 of them neither take minutes nor hold up others. Fails by: Stop.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.model.address import fold
from bridge.model.language import tr
from listmgr import enrolment, registry, roster
from listmgr.addresses import valid
from listmgr.commands.desk import Desk, Stop
from listmgr.enrolment import How, Outcome
from listmgr.registry import MailingList
from listmgr.roster import Member

REASONS = ("byadmin", "byuser", "bybounce", "unknown", "enabled")


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
                    raise Stop(tr(f"{name}: a value is missing", f"{name}: falta el valor"), 2)
                value = todo.pop(0)
            _set(asked, "file" if name == _OLD else _VALUED[name], value)
        elif word == "-n":
            bare = True
        elif word == "--nomail":
            asked.nomail = True
        elif word in ("-i", "--invite"):
            asked.invite = True
        elif word.startswith("-") and word != "-":
            raise Stop(tr(f"add_members: unknown option {word}", f"add_members: no se conoce la opción {word}"), 2)
        else:
            asked.rest.append(word)
    if bare and not asked.file and len(asked.rest) == 2:
        asked.file = asked.rest.pop(0)
    elif bare:
        asked.nomail = True
    if len(asked.rest) != 1 or not asked.file:
        raise Stop(tr(
            "add_members [-r FILE] [-i] [-w y|n] [-a y|n] [--nomail] LIST    add_members -n FILE LIST",
            "add_members [-r FICHERO] [-i] [-w y|n] [-a y|n] [--nomail] LISTA    add_members -n FICHERO LISTA",
        ), 2)  # fmt: skip
    asked.name = asked.rest.pop()
    return asked


def _set(asked: Addition, name: str, value: str) -> None:
    if name == "file":
        asked.file = value
    elif value[:1].lower() not in ("y", "n", "s"):
        raise Stop(tr(f"{value!r}: y or n", f"{value!r}: y (sí) o n (no)"), 2)
    else:
        setattr(asked, name, value[:1].lower() != "n")


def add_members(desk: Desk, asked: Addition) -> int:
    """Add (or with `invite`, ask) everybody in the file."""
    which = desk.find(asked.name)
    people = _people(desk, asked.file, typed=asked.file == "-")
    how = How(
        desk.actor,
        welcome=which.options.send_welcome_msg if asked.welcome is None else asked.welcome,
        notify=which.options.admin_notify_mchanges if asked.notify is None else asked.notify,
        nomail=asked.nomail,
    )
    work = enrolment.invite if asked.invite else enrolment.add
    for address, outcome in work(desk.office, which, people, how):
        english, spanish = _SAID[outcome]
        desk.say(f"{english}: {address}", f"{spanish}: {address}")
    return 0


def _people(desk: Desk, file: str, *, typed: bool = False) -> list[enrolment.Person]:
    """Everybody in the file. Stop with each line that has no address, unless they were `typed`."""
    found = [(number, enrolment.person(line)) for number, line in desk.numbered(file)]
    bad = [
        desk.tr(f"{file}:{number}: Bad/Invalid email address: {address}",
                f"{file}:{number}: Dirección no válida: {address}")
        for number, (address, _) in found if not valid(address)
    ]  # fmt: skip
    if bad and not typed:
        raise Stop("\n".join([*bad, desk.tr("Nothing was changed.", "No se ha cambiado nada.")]))
    return [person for _, person in found]


_SAID = {
    Outcome.ADDED: ("Subscribed", "Suscrito"),
    Outcome.INVITED: ("Invited", "Invitado"),
    Outcome.MEMBER: ("Already a member", "Ya es miembro"),
    Outcome.BANNED: ("Banned address", "Dirección vetada"),
    Outcome.INVALID: ("Bad/Invalid email address", "Dirección no válida"),
    Outcome.RECENT: ("Was asked lately", "Se le preguntó hace poco"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What `list_members` was asked (L08). `nomail`: only those without delivery, "" for any reason, else one of
    `REASONS`; `moderated`: only those whose posts are (or are not) moderated."""

    fullnames: bool = False
    preserve: bool = False
    regular: bool = False
    digest: bool = False
    nomail: str | None = None
    moderated: bool | None = None
    invalid: bool = False
    output: str = ""


def list_members(desk: Desk, name: str, shown: Shown) -> int:
    """Members by address."""
    which = desk.find(name)
    if shown.nomail and shown.nomail not in REASONS:
        raise Stop(f"-n {shown.nomail}: {' '.join(REASONS)}", 2)
    with desk.office.core.read() as connection:
        found = [one for one in roster.members(connection, which) if _listed(one, shown)]
    lines = []
    for one in found:
        address = one.address if shown.preserve else one.key
        lines.append(f"{one.name} <{address}>" if shown.fullnames and one.name else address)
    desk.write(shown.output, lines)
    return 0


def _listed(member: Member, shown: Shown) -> bool:
    if shown.digest:
        return False  # every member gets each post by itself
    if shown.invalid:
        return not valid(member.address)
    if shown.moderated is not None and member.moderated is not shown.moderated:
        return False
    if shown.nomail is not None:
        return member.delivery == shown.nomail if shown.nomail else member.delivery != "enabled"
    return True  # `-r`, too: all are regular members, whether they get mail or not


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
    status = 0
    how = How(desk.actor, welcome=goodbye, notify=notify)
    for address, outcome in enrolment.remove(desk.office, which, people, how):
        if outcome is Outcome.REMOVED:
            desk.say(f"User `{address}' removed from list: {which.name}.", f"{address}: baja en {which.name}.")
        elif not quiet:
            desk.say(f"No such member: {address}", f"No es miembro: {address}")
            status = 1
    return status


def sync_members(
    desk: Desk, name: str, file: str, *, dry: bool = False, welcome: bool | None = None, goodbye: bool | None = None,
    notify: bool | None = None,
) -> int:
    """Make the list's members those of the file (L10); `dry` only says what would be done."""
    which = desk.find(name)
    options = which.options
    wanted = {fold(person[0]): person for person in _people(desk, file)}
    with desk.office.core.read() as connection:
        present = {one.key: one.address for one in roster.members(connection, which)}
    added = [person for key, person in wanted.items() if key not in present]
    gone = [address for key, address in present.items() if key not in wanted]
    if dry:
        for address, _ in added:
            desk.say(f"Added  : {address}", f"Alta: {address}")
        for address in gone:
            desk.say(f"Removed: {address}", f"Baja: {address}")
        if not (added or gone):
            desk.say("Nothing to do.", "No hay nada que hacer.")
        return 0
    told = options.admin_notify_mchanges if notify is None else notify
    how = How(desk.actor, welcome=options.send_welcome_msg if welcome is None else welcome, notify=told)
    for address, outcome in enrolment.add(desk.office, which, added, how):
        english, spanish = _SAID[outcome]
        desk.say(f"{english}: {address}", f"{spanish}: {address}")
    how = How(desk.actor, welcome=options.send_goodbye_msg if goodbye is None else goodbye, notify=told)
    for address, _ in enrolment.remove(desk.office, which, gone, how):
        desk.say(f"Removed: {address}", f"Baja: {address}")
    return 0


def find_member(
    desk: Desk, patterns: Sequence[str], *, only: Sequence[str] = (), exclude: Sequence[str] = (), owners: bool = False
) -> int:
    """Every membership whose address matches one of the regular expressions (the administrator's own)."""
    try:
        compiled = [re.compile(pattern, re.I) for pattern in patterns]
    except re.error as error:
        english = f"find_member: {error}"
        raise Stop(desk.tr(english, f"find_member: no es una expresión regular: {error}"), 2) from None
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
