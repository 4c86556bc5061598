"""`newlist`, `rmlist`, `list_lists`: lists come and go (L01 to L05).

Promises: a new list works at once, its addresses need no aliases (L02); what Mailman prints for /etc/aliases is printed
all the same, for those who route mail elsewhere. Fails by: Stop.
"""

import shutil
from collections.abc import Callable

from sqlalchemy import Connection

from bridge.store.tables import note
from listmgr import registry
from listmgr.addresses import SUFFIXES, Verb, valid
from listmgr.archive.keeper import Archiver
from listmgr.commands.config import put, require
from listmgr.commands.desk import Desk, Stop
from listmgr.notices import LANGUAGES, Notice
from listmgr.registry import MailingList, Taken

_WRAPPER = "/var/lib/mailman/mail/mailman"


def newlist(
    desk: Desk, name: str = "", owner: str = "", password: str = "", *, language: str = "", host: str = "",
    quiet: bool = False, occupied: Callable[[str], str] = lambda address: "",
) -> int:
    """Make a list; ask for what is missing, tell the owner unless `quiet`. Without a password the owners come in by a
    link that is mailed to them. `occupied(address)`: why mail for that address would not come to the list, or ""."""
    name = name or desk.ask("Enter the name of the list: ", "Nombre de la lista: ")
    name, _, given = name.partition("@")
    host = host or given or desk.host
    if name and (why := occupied(f"{name}@{host}")):
        raise Stop(why)
    if not owner:
        question = "Enter the email of the person running the list: "
        owner = desk.ask(question, "Correo de la persona responsable de la lista: ")
    if not valid(owner):
        raise Stop(desk.tr(f"Not an email address: {owner!r}", f"No es una dirección de correo: {owner!r}"))
    language = language or desk.language
    if language not in LANGUAGES:
        languages = " ".join(LANGUAGES)
        raise Stop(
            desk.tr(f"Unknown language {language!r}: {languages}", f"Idioma desconocido {language!r}: {languages}")
        )
    if not password:
        password = desk.secret(
            f"Initial {name} password (empty: owners get a link by mail): ",
            f"Contraseña inicial de {name} (vacía: los responsables reciben un enlace): ",
        )
    if password:
        require(desk, name, password)   # before anything is made
    which = _create(desk, name, host, owner, language)
    if password:
        put(desk, which, "admin", password)
    print(aliases(which), file=desk.stdout)
    desk.say(
        f"\n{which.posting} works already; these aliases are only for mail servers elsewhere.",
        f"\n{which.posting} ya funciona; estos alias solo hacen falta en otros servidores de correo.",
    )
    _say_how(desk, which)
    if not quiet:
        if desk.stdin.isatty():
            desk.ask(f"Hit enter to notify {name} owner... ", f"Pulse Intro para avisar al responsable de {name}... ")
        tell_owner(desk, which)
    return 0


def _create(desk: Desk, name: str, host: str, owner: str, language: str) -> MailingList:
    now = desk.office.clock.now()

    def unit(connection: Connection) -> MailingList:
        made = registry.create(connection, name, host, owner=(owner,), language=language, now=now)
        note(connection, now, desk.actor, "list.create", made.posting, owner)
        return made

    try:
        return desk.office.core.write_now(unit)
    except Taken:
        raise Stop(desk.tr(f"List already exists: {name}", f"La lista ya existe: {name}")) from None
    except ValueError:
        raise Stop(desk.tr(f"Illegal list name: {name!r}", f"Nombre de lista no válido: {name!r}")) from None


def _say_how(desk: Desk, which: MailingList) -> None:
    """What a new list does by default (posture 20)."""
    url = desk.office.links.archive(which)
    desk.say(
        f"Subscriptions are confirmed by mail; members post freely, others are held; the archive is public: {url}",
        f"Las altas se confirman por correo; los miembros escriben libremente y los demás quedan retenidos; "
        f"el archivo es público: {url}",
    )


def tell_owner(desk: Desk, which: MailingList) -> None:
    """The "your new mailing list" mail (L03)."""
    office, owners = desk.office, which.options.owner
    values = {
        "listinfo": office.links.listinfo(which),
        "admin": office.links.admin(which),
        "archive": office.links.archive(which),
        "private": which.options.archive_private,
    }
    cause = f"{which.id}:{int(office.clock.now())}"
    office.notices.send(
        which, Notice("newlist", owners, which.options.preferred_language, cause, values, sender=Verb.OWNER)
    )


def aliases(which: MailingList) -> str:
    """The block for /etc/aliases that Mailman prints."""
    verbs = [("", "post"), *((f"-{suffix}", suffix) for suffix in SUFFIXES)]
    lines = [f"## {which.name} mailing list"]
    for suffix, verb in verbs:
        lines.append(f'{which.name + suffix + ":":<24}"|{_WRAPPER} {verb} {which.name}"')
    return "\n".join(lines)


def rmlist(desk: Desk, name: str, *, archiver: Archiver | None = None) -> int:
    """Remove a list; its archive stays unless the one who keeps it is given."""
    which, now = desk.find(name), desk.office.clock.now()

    def unit(connection: Connection) -> None:
        registry.remove(connection, which)
        note(connection, now, desk.actor, "list.remove", which.posting)

    desk.office.core.write_now(unit)
    shutil.rmtree(desk.office.held / which.name, ignore_errors=True)
    if archiver is not None:
        archiver.erase(which.name)
        desk.say(f"Removed {which.posting} and its archives.", f"Se han borrado {which.posting} y su archivo.")
    else:
        desk.say(
            f"Removed {which.posting}. Not removing archives. Reinvoke with -a to remove them.",
            f"Se ha borrado {which.posting}. El archivo se conserva; con -a se borra también.",
        )
    return 0


def list_lists(desk: Desk, *, advertised: bool = False, host: str = "", bare: bool = False) -> int:
    """All lists, one a line; `bare` prints only the names."""
    with desk.office.core.read() as connection:
        found = registry.every(connection, advertised=advertised, host=host)
    if bare:
        for one in found:
            print(one.name, file=desk.stdout)
        return 0
    if not found:
        desk.say("No matching mailing lists found", "No hay listas que coincidan")
        return 0
    desk.say(f"{len(found)} matching mailing lists found:", f"{len(found)} listas:")
    none = desk.tr("[no description available]", "[sin descripción]")
    width = max(len(one.title) for one in found)
    for one in found:
        print(f"    {one.title:>{width}} - {one.options.description or none}", file=desk.stdout)
    return 0
