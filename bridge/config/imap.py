"""Settings of the IMAP server."""

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.checks import at_least, plain_passwords
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Imap:
    """IMAP: who may send passwords how, how long a session may be silent, how soon it learns of news."""

    plain_from: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        "Networks from which passwords may come without TLS.",
        es="Redes desde las que se admiten contraseñas sin TLS.",
    )
    login_seconds: int = setting(60, "Time to log in.", es="Tiempo para identificarse.")
    idle_seconds: int = setting(
        1860,
        "Silence that ends a session (RFC 9051: at least 1800).",
        es="Silencio que termina una sesión (mínimo 1800).",
    )
    wrong_logins: int = setting(
        5, "Wrong passwords until a connection is closed.", es="Contraseñas erróneas hasta cerrar la conexión."
    )
    connections: int = setting(1000, "Connections at once, per process.", es="Conexiones simultáneas, por proceso.")
    connections_address: int = setting(
        50, "Connections at once from one address.", es="Conexiones simultáneas desde una dirección."
    )
    connections_user: int = setting(
        20,
        "Connections at once of one user from one address.",
        es="Conexiones simultáneas de un usuario desde una dirección.",
    )
    poll_seconds: float = setting(
        2.0,
        "How often a mailbox with a client in IDLE is looked at; what this machine delivers is told at once anyway.",
        es="Cada cuánto se mira un buzón con un cliente en IDLE; lo que entrega esta máquina se avisa al momento.",
    )
    still_here: int = setting(
        120,
        "Seconds of IDLE after which a line says that we are still there, for the network between; 0: never.",
        es="Segundos de IDLE tras los que una línea recuerda que seguimos ahí; 0: nunca.",
    )
    without: tuple[str, ...] = setting(
        (),
        "Capabilities that are not offered, for clients that stumble over them.",
        es="Extensiones que no se ofrecen, para clientes que tropiezan con ellas.",
    )

    def problems(self) -> Iterator[Problem]:
        yield from plain_passwords("plain_from", self.plain_from)
        yield from at_least(self, (
            "login_seconds", "idle_seconds", "wrong_logins", "connections", "connections_address", "connections_user",
        ))  # fmt: skip
        if self.poll_seconds <= 0:
            yield Problem("poll_seconds", "must be more than 0", "debe ser mayor que 0")
