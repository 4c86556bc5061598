"""Settings of outgoing SMTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bridge.config.checks import not_addresses, not_networks
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Destination:
    """What is special about a server or domain that mail goes to."""

    name: str = setting(
        "",
        'Whom it is about: "smtp.example.net:587" or "smtp.example.net" (a smarthost or transport), "example.net" '
        '(a domain), ".example.net" (its subdomains).',
        es='De quién se trata: "smtp.example.net:587" o "smtp.example.net" (un servidor), "example.net" (un dominio), '
        '".example.net" (sus subdominios).',
    )
    tls: Literal["", "none", "may", "encrypt", "verify"] = setting(
        "",
        "none, may (where offered), encrypt (or not at all), verify (and with a certificate for this name); empty: as "
        "outbound.tls says, and verify where there is a login.",
        es="none, may (si se ofrece), encrypt (o nada), verify (y con certificado para este nombre); vacío: como diga "
        "outbound.tls, y verify si hay login.",
    )
    implicit: bool = setting(
        False,
        "TLS from the first byte; always so on port 465.",
        es="TLS desde el primer byte; siempre en el puerto 465.",
    )
    login: str = setting("", "User name for AUTH.", es="Usuario para AUTH.")
    password: str = setting("", "Password for AUTH.", es="Contraseña para AUTH.", secret=True)
    protocol: Literal["smtp", "lmtp"] = setting("smtp", "smtp or lmtp.", es="smtp o lmtp.")


@dataclass(frozen=True, slots=True)
class Outbound:
    """Mail to other servers: protection, names, patience."""

    tls: Literal["none", "may", "encrypt", "verify"] = setting(
        "may",
        "Protection of connections to other servers: none, may (where offered), encrypt, verify.",
        es="Protección de las conexiones a otros servidores: none, may (si se ofrece), encrypt, verify.",
    )
    destinations: tuple[Destination, ...] = setting(
        (), "Servers and domains with a protection or login of their own.",
        es="Servidores y dominios con protección o login propios.",
    )
    private: tuple[str, ...] = setting(
        (),
        "Private networks in which the mail exchangers of a domain may be.",
        es="Redes privadas en las que pueden estar los servidores MX de un dominio.",
    )
    source: str = setting("", "Address to connect from; empty: any.", es="Dirección de origen; vacío: cualquiera.")
    ipv6: bool = setting(True, "Connect over IPv6, too.", es="Conectar también por IPv6.")
    nameservers: tuple[str, ...] = setting(
        (), "Addresses of name servers; empty: those of this machine.",
        es="Direcciones de servidores de nombres; vacío: los de esta máquina.",
    )
    connect_seconds: int = setting(30, "Time for a connection to stand.", es="Tiempo para establecer una conexión.")
    keep_seconds: int = setting(
        20, "How long a connection waits for more mail.", es="Cuánto espera más correo una conexión."
    )
    keep_messages: int = setting(100, "Messages over one connection.", es="Mensajes por una misma conexión.")
    dkim_days: int = setting(
        7, "Days for which a DKIM signature counts; 0: for ever. Keys: `estafeta dkim`.",
        es="Días durante los que vale una firma DKIM; 0: para siempre. Claves: `estafeta dkim`.",
    )

    def problems(self) -> Iterator[Problem]:
        yield from not_networks("private", self.private)
        yield from not_addresses("nameservers", self.nameservers)
        if not 0 <= self.dkim_days <= 365:
            yield Problem("dkim_days", "must be 0 to 365", "debe estar entre 0 y 365")
        for one in self.destinations:
            if not one.name:
                yield Problem("destinations", "a destination needs a name", "a un destino le falta el nombre")
            if one.login and one.tls in ("none", "may"):
                yield Problem(
                    "destinations", f"the password for {one.name} may cross the network unprotected",
                    f"la contraseña para {one.name} puede cruzar la red sin protección", fatal=False,
                )
