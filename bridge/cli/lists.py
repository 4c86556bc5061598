"""The list commands with Mailman's names and switches; what they do is in `listmgr.commands`."""

import argparse
import os
import select
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bridge.cli.parser import Parser
from bridge.cli.settings import CALLER, settings_of
from bridge.cli.words import fail, language, tr

if TYPE_CHECKING:
    from bridge.app import House
    from listmgr.commands.desk import Desk
    from listmgr.commands.members import Addition

_PAUSE = 0.5    # seconds between two Ctrl-D of one person


def lists(arguments: list[str]) -> None:
    """`estafeta list NAME ...`: the same commands under one roof."""
    names: dict[str, Callable[[list[str]], None]] = {name: globals()[name] for name in NAMES}
    names |= {"held": held, **dict.fromkeys(("accept", "reject", "discard"), settle)}
    if arguments and names.get(arguments[0]) is settle:
        settle(arguments)
        return
    if not arguments or arguments[0] not in names:
        print(tr("usage: estafeta list ", "uso: estafeta list ") + " | ".join(names), file=sys.stderr)
        raise SystemExit(2)
    names[arguments[0]](arguments[1:])


NAMES = (
    "newlist", "rmlist", "list_lists", "add_members", "list_members", "remove_members", "sync_members", "find_member",
    "config_list", "change_pw", "arch",
)  # fmt: skip


def _parser(name: str, en: str, es: str) -> argparse.ArgumentParser:
    made = Parser(prog=name, description=tr(en, es))
    made.add_argument("--config", type=Path, metavar="FILE", help=tr("settings file", "fichero de ajustes"))
    return made


@contextmanager
def _desk(config: Path | None, reads: str = "", writes: str = "") -> "Iterator[tuple[Desk, House]]":
    """A desk at the terminal; `Stop` becomes words and an exit status. `reads`, `writes`: a file that is opened with
    the caller's rights, before the command becomes the user of the server."""
    from bridge import app
    from listmgr.commands.desk import Desk, Stop

    files = _opened(reads, writes)
    with app.opened(settings_of(config).settings) as house:
        host = house.settings.lists.host or house.current.tables.primary
        actor = CALLER
        desk = Desk(house.office, sys.stdin, sys.stdout, sys.stderr, host, actor, language(), files)
        try:
            yield desk, house
        except Stop as stop:
            print(stop, file=sys.stderr)
            raise SystemExit(stop.status) from None


def _opened(reads: str, writes: str) -> dict[str, TextIO]:
    found: dict[str, TextIO] = {}
    try:
        if reads not in ("", "-"):
            descriptor = os.open(reads, os.O_RDONLY | os.O_CLOEXEC)
            found[reads] = os.fdopen(descriptor, encoding="utf-8", errors="replace")
    except OSError as error:
        fail(f"Cannot read {reads}: {error.strerror}", f"No se puede leer {reads}: {error.strerror}")
    try:
        if writes not in ("", "-"):     # emptied only by what is written into it
            descriptor = os.open(writes, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            found[writes] = os.fdopen(descriptor, "w", encoding="utf-8")
    except OSError as error:
        fail(f"Cannot write {writes}: {error.strerror}", f"No se puede escribir {writes}: {error.strerror}")
    return found


def _finish(
    config: Path | None, work: "Callable[[Desk, House], int]", *, reads: str = "", writes: str = ""
) -> None:
    with _desk(config, reads, writes) as (desk, house):
        status = work(desk, house)
    raise SystemExit(status)


def newlist(words: list[str]) -> None:
    """newlist [-q] [-a] [-l LANG] [-u URLHOST] [-e MAILHOST] [LIST [ADMIN [PASSWORD]]] (L01)"""
    arg = _parser("newlist", "Make a mailing list.", "Crea una lista de correo.")
    arg.add_argument("-q", "--quiet", action="store_true", help=tr("don't tell the owner", "no avisar al responsable"))
    arg.add_argument("-a", "--automate", action="store_true", help=tr("taken, no effect", "se admite, sin efecto"))
    arg.add_argument("-l", "--language", default="", help=tr("language of the list", "idioma de la lista"))
    arg.add_argument("-e", "--emailhost", default="", help=tr("domain of the list", "dominio de la lista"))
    arg.add_argument(
        "-u", "--urlhost", default="",
        help=tr("taken, no effect: web.base_url counts", "se admite, sin efecto: vale web.base_url"),
    )  # fmt: skip
    missing = tr("what is missing is asked", "lo que falte se pregunta")
    arg.add_argument("name", nargs="?", default="", metavar="LIST", help=missing)
    keeper = tr("address of who runs it", "dirección de quien la lleva")
    arg.add_argument("owner", nargs="?", default="", metavar="ADMIN", help=keeper)
    arg.add_argument(
        "password", nargs="?", default="", metavar="PASSWORD",
        help=tr("of the list; others may see it here", "de la lista; aquí pueden verla otros"),
    )  # fmt: skip
    given = arg.parse_args(words)
    from listmgr.commands import lists as work

    _finish(
        given.config,
        lambda desk, house: work.newlist(
            desk,
            given.name,
            given.owner,
            given.password,
            language=given.language,
            host=given.emailhost,
            quiet=given.quiet,
            occupied=lambda address: _occupied(house, address),
        ),
    )


def _occupied(house: "House", address: str) -> str:
    """Why mail for this address would not come to a list of that name; "" where nothing is in the way (L02)."""
    from bridge.model.address import fold, split
    from bridge.route.resolver import is_wrapper
    from bridge.route.tables import Domain

    folded, tables = fold(address), house.current.tables
    local, domain = split(folded)
    kind = tables.domains.get(domain)
    if kind is None or kind is Domain.RELAY:
        ours = ", ".join(name for name, one in tables.domains.items() if one is not Domain.RELAY)
        return tr(
            f"{domain} is not a mail domain of this server ({ours})",
            f"{domain} no es un dominio de correo de este servidor ({ours})",
        )
    for key in (folded, local) if kind is Domain.LOCAL else (folded,):
        alias = tables.aliases.get(key)
        if alias is not None and not all(map(is_wrapper, alias.targets)):
            place = f"{alias.file}:{alias.line}"
            return tr(
                f"{key} is an alias already ({place}): its mail would not reach the list",
                f"{key} ya es un alias ({place}): su correo no llegaría a la lista",
            )
    if house.accounts.by_address(folded) is not None:
        return tr(
            f"{address} is the mailbox of a user: the list would take its mail",
            f"{address} es el buzón de un usuario: la lista se quedaría con su correo",
        )
    return ""


def rmlist(words: list[str]) -> None:
    """rmlist [-a] LIST"""
    arg = _parser(
        "rmlist", "Remove a list; its archive stays unless -a.", "Borra una lista; su archivo queda salvo -a."
    )
    arg.add_argument("-a", "--archives", action="store_true", help=tr("the archive, too", "también el archivo"))
    arg.add_argument("name", metavar="LIST")
    given = arg.parse_args(words)
    from listmgr.commands import lists as work

    _finish(
        given.config,
        lambda desk, house: work.rmlist(desk, given.name, archiver=house.archiver if given.archives else None),
    )


def list_lists(words: list[str]) -> None:
    """list_lists [-a] [-V HOST] [-b]"""
    arg = _parser("list_lists", "All lists.", "Todas las listas.")
    arg.add_argument("-a", "--advertised", action="store_true", help=tr("only the advertised", "solo las anunciadas"))
    arg.add_argument("-V", "--virtual-host-overview", dest="host", default="", metavar="HOST")
    arg.add_argument("-b", "--bare", action="store_true", help=tr("names only", "solo los nombres"))
    given = arg.parse_args(words)
    from listmgr.commands import lists as work

    _finish(
        given.config,
        lambda desk, house: work.list_lists(desk, advertised=given.advertised, host=given.host, bare=given.bare),
    )


def add_members(words: list[str]) -> None:
    """add_members [-r FILE] [-i] [-w y|n] [-a y|n] [-n] LIST, or -n FILE LIST as in older releases (L07)."""
    if not words or "-h" in words or "--help" in words:
        print(
            tr(
                "usage: add_members [-r FILE | -n FILE] [-i] [-w y|n] [-a y|n] [--nomail] LIST\n"
                "FILE has an address a line; - is standard input.",
                "uso: add_members [-r FICHERO | -n FICHERO] [-i] [-w y|n] [-a y|n] [--nomail] LISTA\n"
                "FICHERO tiene una dirección por línea; - es el teclado.",
            )
        )
        raise SystemExit(0 if words else 2)
    config, words = _config_in(words)
    from listmgr.commands import members as work

    asked = _understood(work.arguments, words)

    def run(desk: "Desk", house: "House") -> int:
        typed = asked.file == "-" and sys.stdin.isatty()
        if typed:
            desk.say("Addresses, one a line; end with Ctrl-D.", "Direcciones, una por línea; termine con Ctrl-D.")
        status = work.add_members(desk, asked)
        if typed:
            _second_end()
        return status

    _finish(config, run, reads=asked.file)


def _second_end() -> None:
    """Mailman wanted Ctrl-D twice: who learned it there must not end the shell with the second one."""
    if select.select([sys.stdin], [], [], _PAUSE)[0]:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _understood(read: "Callable[[Sequence[str]], Addition]", words: Sequence[str]) -> "Addition":
    from listmgr.commands.desk import Stop

    try:
        return read(words)
    except Stop as stop:
        print(stop, file=sys.stderr)
        raise SystemExit(stop.status) from None


def _config_in(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """--config FILE taken out of words that another parser reads."""
    rest = list(words)
    if "--config" in rest[:-1]:
        place = rest.index("--config")
        config = Path(rest[place + 1])
        del rest[place : place + 2]
        return config, rest
    return None, rest


def list_members(words: list[str]) -> None:
    """list_members [-o FILE] [-r] [-f] [-p] [-n [WHY]] LIST"""
    arg = _parser("list_members", "Members of a list.", "Miembros de una lista.")
    arg.add_argument("-o", "--output", default="", metavar="FILE")
    arg.add_argument("-r", "--regular", action="store_true", help=tr("no digests", "sin resúmenes"))
    arg.add_argument("-f", "--fullnames", action="store_true", help=tr("with names", "con nombres"))
    arg.add_argument("-p", "--preserve", action="store_true", help=tr("upper case kept", "conservar mayúsculas"))
    arg.add_argument("-n", "--nomail", nargs="?", const="", default=None, metavar="WHY",
                     help=tr("those without delivery; WHY: byadmin, byuser, bybounce, unknown, or enabled",
                             "quienes no reciben; MOTIVO: byadmin, byuser, bybounce, unknown o enabled"))  # fmt: skip
    arg.add_argument("-d", "--digest", nargs="?", const="", default=None, metavar="KIND",
                     help=tr("those who get digests; KIND: mime, plain",
                             "quienes reciben resúmenes; CLASE: mime, plain"))  # fmt: skip
    arg.add_argument("-m", "--moderated", action="store_true", help=tr("moderated ones", "los moderados"))
    arg.add_argument("-M", "--non-moderated", action="store_true", help=tr("those who aren't", "los no moderados"))
    arg.add_argument("-i", "--invalid", action="store_true", help=tr("invalid addresses", "direcciones no válidas"))
    arg.add_argument("-u", "--unicode", action="store_true", help=tr("always so here", "aquí siempre es así"))
    arg.add_argument("name", metavar="LIST", nargs="?", default="")
    given = arg.parse_args(words)
    for option in ("nomail", "digest"):  # `-n LIST`: the option took the name
        if not given.name and getattr(given, option):
            given.name = getattr(given, option)
            setattr(given, option, "")
    if not given.name:
        arg.error(tr("name the list", "indique la lista"))
    from listmgr.commands import members as work

    _finish(
        given.config,
        lambda desk, house: work.list_members(
            desk, given.name,
            work.Shown(
                given.fullnames, given.preserve, given.regular, given.digest is not None, given.nomail,
                given.moderated if given.moderated or given.non_moderated else None, given.invalid, given.output,
            ),
        ),
        writes=given.output,
    )  # fmt: skip


def remove_members(words: list[str]) -> None:
    """remove_members [-f FILE] [-a] [--fromall] [-n] [-N] LIST [ADDRESS ...]"""
    arg = _parser("remove_members", "Take addresses off a list.", "Da de baja direcciones de una lista.")
    arg.add_argument("-f", "--file", default="", metavar="FILE")
    arg.add_argument("-a", "--all", action="store_true", help=tr("everybody", "todos"))
    arg.add_argument("--fromall", action="store_true", help=tr("from every list", "de todas las listas"))
    arg.add_argument("-n", "--nouserack", action="store_true", help=tr("don't tell the member", "no avisar al miembro"))
    arg.add_argument(
        "-N", "--noadminack", action="store_true", help=tr("don't tell the owner", "no avisar al responsable")
    )
    arg.add_argument("rest", nargs="+", metavar="LIST ADDRESS")
    given = arg.parse_args(words)
    name, addresses = ("", given.rest) if given.fromall else (given.rest[0], given.rest[1:])
    from listmgr.commands import members as work

    _finish(
        given.config,
        lambda desk, house: work.remove_members(
            desk, name, addresses, file=given.file, everybody=given.all, all_lists=given.fromall,
            goodbye=not given.nouserack, notify=not given.noadminack,
        ),
        reads=given.file,
    )  # fmt: skip


def sync_members(words: list[str]) -> None:
    """sync_members [-n] [-w y|n] [-g y|n] [-a y|n] -f FILE LIST (L10)"""
    arg = _parser("sync_members", "Make the members those of a file.", "Deja como miembros los de un fichero.")
    arg.add_argument("-n", "--no-change", action="store_true", help=tr("only say it", "solo decirlo"))
    for short, name, en, es in (
        ("-w", "--welcome-msg", "welcome new members", "dar la bienvenida"),
        ("-g", "--goodbye-msg", "tell those who go", "avisar a quienes se van"),
        ("-a", "--notifyadmin", "tell the owners", "avisar a los responsables"),
    ):
        arg.add_argument(short, name, nargs="?", const="yes", default=None, choices=("yes", "no", "y", "n"),
                         help=tr(en, es))  # fmt: skip
    arg.add_argument("-f", "--file", required=True, metavar="FILE", help=tr("- is the keyboard", "- es el teclado"))
    arg.add_argument("name", metavar="LIST")
    given = arg.parse_args(words)
    from listmgr.commands import members as work

    def said(text: str | None) -> bool | None:
        return None if text is None else text.startswith("y")

    _finish(
        given.config,
        lambda desk, house: work.sync_members(
            desk, given.name, given.file, dry=given.no_change, welcome=said(given.welcome_msg),
            goodbye=said(given.goodbye_msg), notify=said(given.notifyadmin),
        ),
        reads=given.file,
    )  # fmt: skip


def find_member(words: list[str]) -> None:
    """find_member [-l LIST] [-x LIST] [-w] REGEX ..."""
    arg = _parser("find_member", "Where an address is a member.", "En qué listas está una dirección.")
    arg.add_argument("-l", "--listname", action="append", default=[])
    arg.add_argument("-x", "--exclude", action="append", default=[])
    arg.add_argument("-w", "--owners", action="store_true", help=tr("owners, too", "también responsables"))
    arg.add_argument("patterns", nargs="+", metavar="REGEX")
    given = arg.parse_args(words)
    from listmgr.commands import members as work

    _finish(
        given.config,
        lambda desk, house: work.find_member(
            desk, given.patterns, only=given.listname, exclude=given.exclude, owners=given.owners
        ),
    )


def arch(words: list[str]) -> None:
    """arch [-q] [--wipe] LIST [MBOX]"""
    arg = _parser("arch", "Make or renew the archive of a list.", "Crea o renueva el archivo de una lista.")
    arg.add_argument("-q", "--quiet", action="store_true", help=tr("no progress", "sin indicar el avance"))
    arg.add_argument("--wipe", action="store_true", help=tr("write every page anew", "escribir de nuevo las páginas"))
    arg.add_argument("name", metavar="LIST")
    arg.add_argument("mbox", nargs="?", default="", metavar="MBOX")
    given = arg.parse_args(words)
    import os

    from listmgr.archive.rebuild import How
    from listmgr.commands import archives as work

    shown = not given.quiet and sys.stderr.isatty()

    def tell(what: str, done: int, total: int) -> None:
        if shown:
            print(f"\r{what} {done}/{total} ", end="" if done < total else "\n", file=sys.stderr, flush=True)

    how = How(os.cpu_count() or 1, tell)
    _finish(
        given.config,
        lambda desk, house: work.arch(desk, house.archiver, given.name, given.mbox, wipe=given.wipe, how=how),
    )


def config_list(words: list[str]) -> None:
    """config_list -o FILE | -i FILE [-c] [-v] LIST (L12)"""
    arg = _parser(
        "config_list", "Options of a list as a file, and back.", "Opciones de una lista a un fichero, y al revés."
    )
    way = arg.add_mutually_exclusive_group(required=True)
    way.add_argument(
        "-o", "--outputfile", metavar="FILE", help=tr("write them; - is the terminal", "escribirlas; -: aquí")
    )
    way.add_argument(
        "-i", "--inputfile", metavar="FILE", help=tr("read them; - is the keyboard", "leerlas; -: teclado")
    )
    arg.add_argument("-c", "--checkonly", action="store_true", help=tr("change nothing", "no cambiar nada"))
    arg.add_argument("-v", "--verbose", action="store_true", help=tr("name what changes", "decir qué cambia"))
    arg.add_argument("name", metavar="LIST")
    given = arg.parse_args(words)
    from listmgr.commands import config as work

    if given.outputfile:
        output = given.outputfile
        _finish(given.config, lambda desk, house: work.show(desk, given.name, output), writes=output)
    _finish(
        given.config,
        lambda desk, house: work.read(desk, given.name, given.inputfile, check=given.checkonly, verbose=given.verbose),
        reads=given.inputfile,
    )


def change_pw(words: list[str]) -> None:
    """change_pw [-m] [-p PASSWORD] LIST"""
    arg = _parser("change_pw", "A new password for a list.", "Contraseña nueva para una lista.")
    arg.add_argument("-m", "--moderator", action="store_true", help=tr("that of the moderators", "la de moderadores"))
    arg.add_argument("-l", "--listname", default="", metavar="LIST", help=argparse.SUPPRESS)
    arg.add_argument("-p", "--password", default="", help=tr("asked for if not given", "si falta, se pregunta"))
    arg.add_argument("name", metavar="LIST", nargs="?", default="")
    given = arg.parse_args(words)
    name = given.name or given.listname
    if not name:
        arg.error(tr("name the list", "indique la lista"))
    from listmgr.commands import config as work

    role = "moderator" if given.moderator else "admin"
    _finish(given.config, lambda desk, house: work.change_password(desk, name, role, given.password))


def held(words: list[str]) -> None:
    """estafeta list held LIST (L47)"""
    arg = _parser("estafeta list held", "Posts that wait for a decision.", "Mensajes que esperan una decisión.")
    arg.add_argument("name", metavar="LIST")
    given = arg.parse_args(words)
    from listmgr.commands import held as work

    _finish(given.config, lambda desk, house: work.show(desk, given.name))


def settle(words: list[str]) -> None:
    """estafeta list accept|reject|discard LIST ID [-t TEXT]"""
    arg = _parser(f"estafeta list {words[0]}", "Decide about a held post.", "Decide sobre un mensaje retenido.")
    arg.add_argument("-t", "--text", default="", help=tr("words for the author", "palabras para el autor"))
    arg.add_argument("name", metavar="LIST")
    arg.add_argument("id", metavar="ID", nargs="+")
    given = arg.parse_args(words[1:])
    from listmgr.commands import held as work
    from listmgr.moderation import Decision

    def run(desk: "Desk", house: "House") -> int:
        for one in given.id:
            work.settle(desk, given.name, one, Decision(words[0]), text=given.text)
        return 0

    _finish(given.config, run)
