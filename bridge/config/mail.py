"""Settings of what an address means here: domains, aliases, where the rest goes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.define import Problem, setting

_DOMAIN = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*\Z")
_HOST = re.compile(r"(?:\[[^\[\]\s]+\]|[^\[\]\s:]+)(?::\d{1,5})?\Z")


@dataclass(frozen=True, slots=True)
class Mail:
    """Addresses: domains, aliases, relaying."""

    domains: tuple[str, ...] = setting(
        ("localhost",),
        "Domains of this server; the first is the main one, the others are other names for it.",
        es="Dominios de este servidor; el primero es el principal, los demás son otros nombres suyos.",
        example=("example.org",),
    )
    virtual_domains: tuple[str, ...] = setting(
        (),
        "Domains with accounts and aliases of their own, written in full.",
        es="Dominios con cuentas y alias propios, escritos con su dominio.",
    )
    relay_domains: tuple[str, ...] = setting(
        (),
        "Domains of others that this server takes mail for and passes on (backup MX).",
        es="Dominios ajenos cuyo correo se acepta y se reenvía (MX de reserva).",
    )
    aliases: tuple[str, ...] = setting(
        ("/etc/aliases",),
        "Alias files; the first that has a name wins.",
        es="Ficheros de alias; gana el primero que contenga el nombre.",
        example=("aliases",),
    )
    delimiters: str = setting(
        "+",
        "Characters that set a detail off, as in juan+shop@example.org.",
        es="Caracteres que separan un detalle, como en juan+tienda@example.org.",
    )
    postmaster: str = setting(
        "",
        "Who gets mail for postmaster, abuse, root and mailer-daemon where no alias says so; empty: the first account.",
        es="Quién recibe el correo de postmaster, abuse, root y mailer-daemon si ningún alias lo dice; vacío: la "
        "primera cuenta.",
        example="",
    )
    programs: tuple[str, ...] = setting(
        (),
        "Programs that aliases may run: full paths, or folders with a final slash; empty: none.",
        es="Programas que los alias pueden ejecutar: rutas completas, o carpetas con barra final; vacío: ninguno.",
    )
    file_folders: tuple[str, ...] = setting(
        (),
        "Folders below which aliases may append mail to files; empty: none.",
        es="Carpetas bajo las que los alias pueden añadir correo a ficheros; vacío: ninguna.",
    )
    include_folders: tuple[str, ...] = setting(
        (),
        "Folders of the files that :include: may name; empty: the folder of the alias file.",
        es="Carpetas de los ficheros que puede citar :include:; vacío: la del fichero de alias.",
    )
    srs: bool = setting(
        True,
        "Rewrite the envelope sender of mail that aliases send on to others, so that their SPF checks pass.",
        es="Reescribir el remitente del sobre del correo que los alias reenvían fuera, para que pase su control SPF.",
    )
    smarthost: str = setting(
        "",
        "Server that takes all outgoing mail, for instance smtp.example.net:587; empty: deliver directly.",
        es="Servidor que recibe todo el correo saliente, p. ej. smtp.example.net:587; vacío: entrega directa.",
    )
    transports: dict[str, str] = setting(
        dict,
        'Servers of single domains, as in "example.net" = "mx.example.net:25"; ".example.net" for its subdomains.',
        es='Servidores de dominios concretos: "example.net" = "mx.example.net:25"; ".example.net": subdominios.',
    )

    def problems(self) -> Iterator[Problem]:
        if not self.domains:
            yield Problem("domains", "name at least one domain", "indique al menos un dominio")
        groups = {"domains": self.domains, "virtual_domains": self.virtual_domains, "relay_domains": self.relay_domains}
        seen: dict[str, str] = {}
        for name, group in groups.items():
            for domain in group:
                if not _DOMAIN.match(domain):
                    yield Problem(
                        name,
                        f'{domain!r} is no domain; write for instance "example.org"',
                        f'{domain!r} no es un dominio; escriba por ejemplo "example.org"',
                    )
                elif seen.setdefault(domain.lower(), name) != name:
                    other = seen[domain.lower()]
                    yield Problem(name, f"{domain} is in {other}, too", f"{domain} está también en {other}")
        yield from self._hosts()
        yield from self._folders()

    def _hosts(self) -> Iterator[Problem]:
        places = [("smarthost", self.smarthost), *(("transports", host) for host in self.transports.values())]
        for name, host in places:
            if host and not _HOST.match(host):
                yield Problem(
                    name,
                    f'{host!r} is no server; write for instance "smtp.example.net:587"',
                    f'{host!r} no es un servidor; escriba por ejemplo "smtp.example.net:587"',
                )

    def _folders(self) -> Iterator[Problem]:
        for name in ("programs", "file_folders", "include_folders"):
            for path in getattr(self, name):
                if not path.startswith("/") or ".." in path.split("/"):
                    yield Problem(name, f"{path!r} must be a full path", f"{path!r} debe ser una ruta completa")
        if any(path in ("/", "/bin/", "/usr/bin/") for path in self.programs):
            yield Problem(
                "programs",
                "every program of the system may be run; name single programs",
                "se puede ejecutar cualquier programa del sistema; indique programas concretos",
                fatal=False,
            )
