"""Settings of mail that leaves us on this machine by other ways than our mailboxes: programs, files, `sendmail`."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bridge.config.checks import at_least
from bridge.config.define import Problem, setting

PLACES = "ufdhmea%"     # what may follow a % in a command
_PLACE = re.compile(r"%(.?)", re.S)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Programs and files that take mail, and mail that programs of this machine hand in."""

    mailbox_command: str = setting(
        "",
        "Program that puts mail into mailboxes instead of this server, for instance "
        "/usr/bin/procmail -t -f %f HOME=%h DEFAULT=%m/ %h/.procmailrc; %u user, %d domain, %a address, "
        "%e detail, %f sender, %h home, %m Maildir; no shell; exit status 75: try again.",
        es="Programa que deja el correo en los buzones en lugar de este servidor, por ejemplo "
        "/usr/bin/procmail -t -f %f HOME=%h DEFAULT=%m/ %h/.procmailrc; %u usuario, %d dominio, "
        "%a dirección, %e detalle, %f remitente, %h carpeta personal, %m Maildir; sin shell; estado 75: reintentar.",
    )
    mailbox_commands: dict[str, str] = setting(
        dict,
        'The same for single domains or addresses, as in "example.org" = "..."; "" = this server does it.',
        es='Lo mismo para dominios o direcciones concretos: "example.org" = "..."; "" = lo hace este servidor.',
    )
    program_user: str = setting(
        "",
        "User (name or uid:gid) that programs run as if this server has root's rights; never root.",
        es="Usuario (nombre o uid:gid) de los programas si este servidor tiene permisos de root; nunca root.",
    )
    program_path: str = setting(
        "/usr/local/bin:/usr/bin:/bin",
        "PATH of programs that take mail.",
        es="PATH de los programas que reciben correo.",
    )
    program_seconds: int = setting(
        600,
        "How long a program may take before it is ended and its mail tried again later, seconds.",
        es="Cuánto puede tardar un programa antes de terminarlo y reintentar su correo más tarde, en segundos.",
    )
    programs_at_once: int = setting(
        5,
        "Programs that run at the same time.",
        es="Programas que se ejecutan a la vez.",
    )
    program_from_line: bool = setting(
        False,
        "Programs get an mbox separator (From sender date) above the header.",
        es="Los programas reciben un separador mbox (From remitente fecha) sobre la cabecera.",
    )
    mbox_quoting: Literal["mboxrd", "mboxo"] = setting(
        "mboxrd",
        "How lines that start with From are marked in mbox files: mboxrd (can be undone) or mboxo.",
        es="Cómo se marcan en ficheros mbox las líneas que empiezan por From: mboxrd (reversible) o mboxo.",
    )
    lock_seconds: int = setting(
        30,
        "How long to wait for a locked file before its mail is tried again later, seconds.",
        es="Cuánto se espera a un fichero bloqueado antes de reintentar su correo más tarde, en segundos.",
    )
    trusted_users: tuple[str, ...] = setting(
        ("root",),
        "System users who may send as anybody with sendmail -f; others send as themselves.",
        es="Usuarios del sistema que pueden enviar en nombre de cualquiera con sendmail -f; el resto, en el suyo.",
    )

    def problems(self) -> Iterator[Problem]:
        commands = [("mailbox_command", self.mailbox_command)]
        commands += [("mailbox_commands", one) for one in self.mailbox_commands.values()]
        for name, command in commands:
            if command:
                yield from _command_problems(name, command)
        yield from at_least(self, ("program_seconds", "programs_at_once", "lock_seconds"))
        if self.program_user in ("root", "0", "0:0"):
            yield Problem(
                "program_user",
                "programs never run as root; name another user",
                "los programas nunca se ejecutan como root; indique otro usuario",
            )


def words(command: str) -> tuple[str, ...]:
    """A command taken apart as a shell would, with nothing expanded. ValueError for an open quote."""
    return tuple(shlex.split(command))


def _command_problems(name: str, command: str) -> Iterator[Problem]:
    try:
        parts = words(command)
    except ValueError:
        yield Problem(name, f"{command!r} has an open quote", f"{command!r} tiene unas comillas sin cerrar")
        return
    if not parts or not parts[0].startswith("/") or "%" in parts[0]:
        yield Problem(
            name,
            f"{command!r} must start with the full path of a program",
            f"{command!r} debe empezar por la ruta completa de un programa",
        )
    for part in parts:
        for found in _PLACE.finditer(part):
            if not found[1] or found[1] not in PLACES:
                known = " ".join(f"%{one}" for one in PLACES)
                yield Problem(name, f"{found[0]!r} means nothing; known: {known}", f"{found[0]!r} no significa nada; "
                              f"se conocen: {known}")
