"""`estafeta user add|passwd|list|del|import`: the accounts."""

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, say, tr

if TYPE_CHECKING:
    from bridge.store.accounts import Account, Accounts


def user(arguments: list[str]) -> None:
    """Run one of the sub-commands."""
    arg = parser("estafeta user", "Accounts and their mailboxes.", "Cuentas y sus buzones.")
    sub = arg.add_subparsers(dest="what", required=True, metavar="add | passwd | list | del | import")
    for name, en, es in (("add", "a new account", "una cuenta nueva"), ("passwd", "a new password", "otra contraseña")):
        one = sub.add_parser(name, help=tr(en, es))
        one.add_argument("address", help=tr("user@domain", "usuario@dominio"))
        one.add_argument(
            "--password-stdin", action="store_true", help=tr("read it from standard input", "leerla de la entrada")
        )
        if name == "add":
            one.add_argument("--name", default="", help=tr("the person's name", "nombre de la persona"))
            one.add_argument("--language", default="", choices=("", "en", "es"))
    listed = sub.add_parser("list", help=tr("all accounts", "todas las cuentas"))
    listed.add_argument("--json", action="store_true", help=tr("one object per line", "un objeto por línea"))
    gone = sub.add_parser(
        "del", help=tr("delete an account; its mail stays on disk", "borra una cuenta; el correo queda")
    )
    gone.add_argument("address")
    many = sub.add_parser("import", help=tr("lines of ADDRESS PASSWORD", "líneas con DIRECCIÓN CONTRASEÑA"))
    many.add_argument("file", help="- = stdin")
    given = arg.parse_args(arguments)
    from bridge import app
    from bridge.store.accounts import AccountError

    with app.opened(settings_of(given.config).settings) as house:
        accounts = house.accounts
        try:
            if given.what == "add":
                made = accounts.add(
                    given.address,
                    _password(given.password_stdin),
                    actor=_actor(),
                    name=given.name,
                    language=given.language,
                )
                say(f"Added {made.address}; mailbox {made.maildir}", f"Añadida {made.address}; buzón {made.maildir}")
            elif given.what == "passwd":
                accounts.passwd(given.address, _password(given.password_stdin), actor=_actor())
                say("Password changed.", "Contraseña cambiada.")
            elif given.what == "del":
                was = accounts.delete(given.address, actor=_actor())
                say(
                    f"Deleted {was.address}; mail is kept in {was.maildir}",
                    f"Borrada {was.address}; el correo sigue en {was.maildir}",
                )
            elif given.what == "import":
                _import(accounts, given.file)
            else:
                _list(accounts.all(), given.json)
        except AccountError as error:
            fail(str(error), str(error))


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass(tr("Password: ", "Contraseña: "))
    if getpass.getpass(tr("Again: ", "Otra vez: ")) != first:
        fail("The two passwords differ; nothing was changed.", "Las contraseñas no coinciden; no se ha cambiado nada.")
    return first


def _import(accounts: "Accounts", name: str) -> None:
    text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    count = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        address, _, password = line.strip().partition(" ")
        if not password:
            fail(
                f"{name}:{number}: no password; the form is ADDRESS PASSWORD",
                f"{name}:{number}: falta la contraseña; la forma es DIRECCIÓN CONTRASEÑA",
            )
        accounts.add(address, password, actor=_actor())
        count += 1
    say(f"{count} accounts added.", f"{count} cuentas añadidas.")


def _list(found: "list[Account]", as_json: bool) -> None:
    for one in found:
        if as_json:
            fields = {name: getattr(one, name) for name in ("address", "name", "enabled", "quota", "language")}
            print(json.dumps({**fields, "addresses": one.addresses, "maildir": str(one.maildir)}))
        else:
            off = "" if one.enabled else tr("  (disabled)", "  (desactivada)")
            print(f"{one.address:40} {one.name}{off}")
