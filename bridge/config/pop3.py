"""Settings of the POP3 server."""

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.checks import at_least, plain_passwords
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Pop3:
    """POP3: who may send passwords how, and what a session does to the mailbox (see also store.shared_pop3)."""

    plain_from: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        "Networks from which passwords may come without TLS.",
        es="Redes desde las que se admiten contraseñas sin TLS.",
    )
    mark_seen: bool = setting(
        True,
        "What was read over POP3 and kept is marked as seen for IMAP when the session ends well.",
        es="Lo leído por POP3 y no borrado se marca como leído para IMAP al terminar bien la sesión.",
    )
    login_seconds: int = setting(60, "Time to log in.", es="Tiempo para identificarse.")
    idle_seconds: int = setting(
        600, "Silence that ends a session (RFC 1939: at least 600).", es="Silencio que termina una sesión (mínimo 600)."
    )
    connections: int = setting(1000, "Connections at once, per process.", es="Conexiones simultáneas, por proceso.")
    connections_address: int = setting(
        50, "Connections at once from one address.", es="Conexiones simultáneas desde una dirección."
    )
    connections_user: int = setting(
        20, "Connections at once of one user from one address.",
        es="Conexiones simultáneas de un usuario desde una dirección.",
    )

    def problems(self) -> Iterator[Problem]:
        yield from plain_passwords("plain_from", self.plain_from)
        yield from at_least(self, (
            "login_seconds", "idle_seconds", "connections", "connections_address", "connections_user",
        ))  # fmt: skip
