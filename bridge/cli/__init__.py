"""The command line: `estafeta COMMAND`, and the trade's own words when called by their names.

Promises: the program answers to its own name and to each name in `CLASSIC` (as a link, or as `estafeta NAME ...`);
only what a command needs is imported, so that `mailq` doesn't load the web pages. Exit status 0 is success, 1 a
problem that is explained, 2 a wrong call.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module

from bridge.cli.words import tr

# name -> (module, function, English, Spanish); the order is that of `estafeta help`
COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "run": ("service", "run", "start the appliance", "arranca el servidor"),
    "stop": ("service", "stop", "stop it, letting sessions finish", "lo para, dejando terminar las sesiones"),
    "reload": ("service", "reload", "read the settings again", "vuelve a leer los ajustes"),
    "status": ("service", "status", "what runs, and how the queue stands", "qué está en marcha y cómo va la cola"),
    "check": ("service", "check", "look for mistakes in the settings", "busca errores en los ajustes"),
    "config": ("service", "config", "print the example or the reference", "muestra el ejemplo o la referencia"),
    "dns": ("dns", "dns", "the DNS records to publish", "los registros DNS que hay que publicar"),
    "dkim": ("dkim", "dkim", "keys that sign outgoing mail", "claves que firman el correo saliente"),
    "helper": ("service", "helper", "as root: serve system users", "como root: sirve a usuarios del sistema"),
    "user": ("users", "user", "add, passwd, apop, list, del, import", "add, passwd, apop, list, del, import"),
    "trace": ("trace", "trace", "the story of a message or an address", "la historia de un mensaje o una dirección"),
    "explain": ("trace", "explain", "what an address means and why", "qué significa una dirección y por qué"),
    "queue": ("queue", "queue", "list, show, flush, hold, pause ...", "list, show, flush, hold, pause ..."),
    "fetch": ("fetch", "fetch", "collect external accounts now", "recoge ahora las cuentas externas"),
    "list": (
        "lists",
        "lists",
        "the list commands: newlist, add_members ...",
        "las órdenes de listas: newlist, add_members ...",
    ),
    "backup": ("upkeep", "backup", "a consistent copy while running", "una copia coherente en marcha"),
    "restore": ("upkeep", "restore", "put a backup into place", "pone una copia en su sitio"),
    "verify": ("upkeep", "verify", "compare spool, queue, mail and indexes", "compara cola, correo e índices"),
}

# names of the trade -> (module, function)
CLASSIC: dict[str, tuple[str, str]] = {
    "sendmail": ("sendmail", "sendmail"),
    "mailq": ("queue", "mailq"),
    "newaliases": ("aliases", "newaliases"),
    "fetchmail": ("fetchmail", "fetchmail"),
    "fetchmailconf": ("fetchmailconf", "fetchmailconf"),
    "newlist": ("lists", "newlist"),
    "rmlist": ("lists", "rmlist"),
    "list_lists": ("lists", "list_lists"),
    "add_members": ("lists", "add_members"),
    "list_members": ("lists", "list_members"),
    "remove_members": ("lists", "remove_members"),
    "sync_members": ("lists", "sync_members"),
    "find_member": ("lists", "find_member"),
    "config_list": ("lists", "config_list"),
    "change_pw": ("lists", "change_pw"),
    "arch": ("lists", "arch"),
}


def main(argv: list[str] | None = None) -> None:
    """Entry point of every name. Never returns normally without an exit status of its own choosing."""
    called, *arguments = sys.argv if argv is None else argv
    name = os.path.basename(called)
    if name not in CLASSIC:
        if not arguments or arguments[0] in ("help", "--help", "-h"):
            print(_overview())
            raise SystemExit(0 if arguments else 2)
        if arguments[0] in ("--version", "version"):
            from importlib.metadata import version

            print(f"Estafeta {version('estafeta')}")
            raise SystemExit(0)
        name, *arguments = arguments
    try:
        _find(name)(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _find(name: str) -> Callable[[list[str]], None]:
    entry = CLASSIC.get(name) or COMMANDS.get(name)
    if entry is None:
        print(tr(f"estafeta: no command {name!r}\n", f"estafeta: no existe la orden {name!r}\n"), file=sys.stderr)
        print(_overview(), file=sys.stderr)
        raise SystemExit(2)
    function: Callable[[list[str]], None] = getattr(import_module(f"bridge.cli.{entry[0]}"), entry[1])
    return function


def _overview() -> str:
    lines = [tr("usage: estafeta COMMAND [--config FILE] ...", "uso: estafeta ORDEN [--config FICHERO] ..."), ""]
    lines += [f"  {name:10} {tr(en, es)}" for name, (_, _, en, es) in COMMANDS.items()]
    lines += ["", "  " + " ".join(CLASSIC), ""]
    lines.append(tr("estafeta COMMAND --help says more.", "estafeta ORDEN --help dice más."))
    return "\n".join(lines)
