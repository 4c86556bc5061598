"""`estafeta user add|passwd|apop|list|del|import`: the accounts."""

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.settings import CALLER, parser, settings_of
from bridge.cli.words import fail, say, tr

if TYPE_CHECKING:
    from bridge.app import House
    from bridge.model.account import Account


def user(arguments: list[str]) -> None:
    """Run one of the sub-commands; exit status 1 with a sentence where it can't be done."""
    arg = parser("estafeta user", "Accounts and their mailboxes.", "Cuentas y sus buzones.")
    sub = arg.add_subparsers(dest="what", required=True, metavar=" | ".join(_WORK))
    add = _with_password(sub.add_parser("add", help=tr("a new account", "una cuenta nueva")))
    add.add_argument("--name", default="", help=tr("the person's name", "nombre de la persona"))
    add.add_argument("--language", default="", choices=("", "en", "es"),
                     help=tr("of mails to them", "de los correos que se le envían"))  # fmt: skip
    _with_password(sub.add_parser("passwd", help=tr("a new password", "otra contraseña")))
    apop = _with_password(sub.add_parser("apop", help=tr("a secret for APOP", "un secreto para APOP")))
    apop.add_argument("--remove", action="store_true", help=tr("take it away", "quitarlo"))
    listed = sub.add_parser("list", help=tr("all accounts", "todas las cuentas"))
    listed.add_argument("--json", action="store_true", help=tr("one object per line", "un objeto por línea"))
    gone = sub.add_parser("del", help=tr("delete; the mail stays on disk", "borrar; el correo queda en disco"))
    gone.add_argument("address")
    many = sub.add_parser("import", help=tr("lines of ADDRESS PASSWORD", "líneas con DIRECCIÓN CONTRASEÑA"))
    many.add_argument("file", help=tr("- is standard input", "- es la entrada"))
    for one in sub.choices.values():        # people write it last, too
        words = tr("settings file", "fichero de ajustes")
        one.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=words)
    given = arg.parse_args(arguments)
    from bridge import app
    from bridge.store.accounts import AccountError
    from bridge.store.apop import SecretError

    with app.opened(settings_of(given.config).settings) as house:
        try:
            _WORK[given.what](house, given)
        except (AccountError, SecretError) as error:
            fail(str(error), str(error))


def _with_password(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
    one.add_argument("address", help=tr("user@domain", "usuario@dominio"))
    one.add_argument(
        "--password-stdin", action="store_true", help=tr("read it from standard input", "leerla de la entrada")
    )
    return one


def _add(house: "House", given: argparse.Namespace) -> None:
    from bridge.route.resolver import Kind, explain

    if any(route.kind is Kind.LIST for route in house.resolve(given.address)):
        fail(
            f"{given.address} is a mailing list: its mail would not reach the user",
            f"{given.address} es una lista de correo: su correo no llegaría al usuario",
        )
    password = _password(given.password_stdin)
    made = house.accounts.add(given.address, password, actor=CALLER, name=given.name, language=given.language)
    say(f"Added {made.address}; mailbox {_where(made)}", f"Añadida {made.address}; buzón {_where(made)}")
    if all(route.target != made.address for route in house.resolve(made.address)):
        way = "; ".join(explain(made.address, house.current.tables))
        say(f"But its mail goes elsewhere: {way}", f"Pero su correo va a otro sitio: {way}")


def _where(one: "Account") -> str:
    """Where its inbox is, for a person."""
    if one.store == "database":
        return tr("in the database", "en la base de datos")
    return str(one.mbox if one.store == "mbox" else one.maildir)


def _passwd(house: "House", given: argparse.Namespace) -> None:
    house.accounts.passwd(given.address, _password(given.password_stdin), actor=CALLER)
    say("Password changed.", "Contraseña cambiada.")


def _apop(house: "House", given: argparse.Namespace) -> None:
    """A secret of its own, kept readable because the protocol needs it; one is made where none is given."""
    if given.remove:
        house.apop_secrets.remove(given.address, actor=CALLER)
        say("APOP is off for this account.", "APOP queda desactivado para esta cuenta.")
        return
    text = sys.stdin.readline().rstrip("\n") if given.password_stdin else ""
    made = house.apop_secrets.set(given.address, text, actor=CALLER)
    say(
        "APOP is on. Its secret is kept readable and protects less than TLS does.",
        "APOP queda activado. Su secreto se guarda legible y protege menos que TLS.",
    )
    if not text:
        say(f"Secret, shown this once: {made}", f"Secreto, se muestra solo esta vez: {made}")


def _delete(house: "House", given: argparse.Namespace) -> None:
    was = house.accounts.delete(given.address, actor=CALLER)
    say(
        f"Deleted {was.address}; its mail stays where it is: {_where(was)}",
        f"Borrada {was.address}; su correo sigue donde está: {_where(was)}",
    )


def _import(house: "House", given: argparse.Namespace) -> None:
    """All lines of the file, or none of them."""
    from bridge.store.accounts import AccountError

    people, lines = [], []
    for number, line in enumerate(_text(given.file).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        address, _, password = line.strip().partition(" ")
        if not password:
            where = f"{given.file}:{number}"
            fail(
                f"{where}: no password; the form is ADDRESS PASSWORD. Nothing was added",
                f"{where}: falta la contraseña; la forma es DIRECCIÓN CONTRASEÑA. No se ha añadido nada",
            )
        people.append((address, password))
        lines.append(number)
    try:
        house.accounts.add_all(people, actor=CALLER)
    except AccountError as error:
        where = f"{given.file}:{lines[error.number]}"
        fail(f"{where}: {error}. Nothing was added", f"{where}: {error}. No se ha añadido nada")
    say(f"{len(people)} accounts added.", f"{len(people)} cuentas añadidas.")


def _text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or tr("not UTF-8 text", "no es texto UTF-8")
        fail(f"{name}: cannot be read: {why}", f"{name}: no se puede leer: {why}")


def _list(house: "House", given: argparse.Namespace) -> None:
    for one in house.accounts.all():
        if given.json:
            fields = {name: getattr(one, name) for name in ("address", "name", "enabled", "quota", "language")}
            print(json.dumps({**fields, "addresses": one.addresses, "maildir": str(one.maildir)}))
        else:
            off = "" if one.enabled else tr("  (disabled)", "  (desactivada)")
            print(f"{one.address:40} {one.name}{off}".rstrip())


_WORK: "dict[str, Callable[[House, argparse.Namespace], None]]" = {
    "add": _add, "passwd": _passwd, "apop": _apop, "list": _list, "del": _delete, "import": _import,
}  # fmt: skip


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass(tr("Password: ", "Contraseña: "))
    if getpass.getpass(tr("Again: ", "Otra vez: ")) != first:
        fail("The two passwords differ; nothing was changed.", "Las contraseñas no coinciden; no se ha cambiado nada.")
    return first
