"""Settings of mail programs' first contact: what they are told about this server."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.define import Problem, setting

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Clients:
    """What Thunderbird, Outlook, Evolution and telephones are told when somebody types an address into them."""

    hostname: str = setting(
        "",
        "Name of this server for mail programs, as in its certificate; empty: server.hostname.",
        es="Nombre de este servidor para los programas de correo, como en su certificado; vacío: server.hostname.",
    )
    name: str = setting(
        "",
        "Name of the mail service that they show; empty: the domain.",
        es="Nombre del servicio de correo que muestran; vacío: el dominio.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.hostname and not _HOST.fullmatch(self.hostname):
            yield Problem(
                "hostname",
                f'{self.hostname!r} is no host name; write for instance "mail.example.org"',
                f'{self.hostname!r} no es un nombre de máquina; escriba por ejemplo "mail.example.org"',
            )
        if len(self.name) > 100 or not self.name.isprintable():
            yield Problem("name", "at most 100 printable characters", "como mucho 100 caracteres imprimibles")
