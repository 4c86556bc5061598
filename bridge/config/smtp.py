"""Settings of the SMTP, submission and LMTP doors: who may do what, and how much."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bridge.config.checks import as_network, at_least, not_networks
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Smtp:
    """SMTP server: what strangers and clients may do."""

    networks: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        "Networks whose machines may send anywhere without a login.",
        es="Redes cuyas máquinas pueden enviar a cualquier sitio sin contraseña.",
        example=True,
    )
    message_size: int = setting(
        50_000_000, "Largest message, bytes.", es="Tamaño máximo de un mensaje, en bytes.", example=True
    )
    recipients: int = setting(1000, "Most recipients of one message.", es="Máximo de destinatarios de un mensaje.")
    header_size: int = setting(262_144, "Largest header of a message, bytes.", es="Cabecera máxima, en bytes.")
    header_fields: int = setting(1000, "Most header fields of a message.", es="Máximo de campos de cabecera.")
    hops: int = setting(
        50,
        "Received fields after which a message counts as going round in circles.",
        es="Campos Received a partir de los cuales un mensaje se considera en bucle.",
    )
    free_space: int = setting(
        0,
        "Free bytes below which no message is accepted; 0: twice the largest message.",
        es="Bytes libres por debajo de los cuales no se acepta correo; 0: el doble del mensaje máximo.",
    )
    bare_newlines: Literal["reject", "normalize"] = setting(
        "reject",
        "Lines of own networks that end in LF or CR alone: reject, or normalize. Strangers are always rejected.",
        es="Líneas de redes propias acabadas solo en LF o CR: reject (rechazar) o normalize (corregir).",
    )
    connections: int = setting(300, "Most connections at once.", es="Máximo de conexiones simultáneas.")
    connections_per_address: int = setting(
        20,
        "Most connections from one address at once; own networks are not limited.",
        es="Máximo de conexiones desde una dirección; las redes propias no se limitan.",
    )
    large_messages: int = setting(
        100,
        "Large messages that may be on their way in at once.",
        es="Mensajes grandes que pueden estar entrando a la vez.",
    )
    errors_slow: int = setting(
        5, "Errors of a client after which answers are delayed.", es="Errores tras los que se responde despacio."
    )
    errors_most: int = setting(
        20, "Errors of a client after which it is cut off.", es="Errores tras los que se corta la conexión."
    )
    junk_commands: int = setting(
        100,
        "Commands without a message between them after which a client is cut off.",
        es="Órdenes sin mensaje entre ellas tras las que se corta la conexión.",
    )
    idle_seconds: int = setting(300, "How long a client may be silent.", es="Cuánto puede callar un cliente.")
    session_seconds: int = setting(7200, "How long a connection may last.", es="Cuánto puede durar una conexión.")
    data_rate: int = setting(
        500,
        "Bytes per second below which a message that is being sent is cut off, after 60 seconds.",
        es="Bytes por segundo por debajo de los cuales se corta un envío, tras 60 segundos.",
    )
    authenticate: Literal["off", "note", "enforce"] = setting(
        "enforce",
        "SPF, DKIM and DMARC of strangers' mail: off, note (Authentication-Results), enforce (and refuse what DMARC "
        "says to reject).",
        es="SPF, DKIM y DMARC del correo de extraños: off (no), note (anotar en Authentication-Results), enforce (y "
        "rechazar lo que DMARC mande rechazar).",
    )
    vrfy: Literal["nobody", "own", "anybody"] = setting(
        "nobody",
        "Who is told by VRFY whether an address exists: nobody (always 252), own (own networks and logins), anybody.",
        es="A quién dice VRFY si una dirección existe: nobody (a nadie: siempre 252), own (redes propias y usuarios "
        "identificados), anybody (a cualquiera).",
    )
    expn: Literal["nobody", "own", "anybody"] = setting(
        "nobody",
        "Who is told by EXPN whom an alias means: nobody (always 502), own, anybody.",
        es="A quién dice EXPN qué hay tras un alias: nobody (a nadie: siempre 502), own, anybody.",
    )
    smtputf8: bool = setting(True, "Accept addresses with accents.", es="Aceptar direcciones con acentos.")

    def problems(self) -> Iterator[Problem]:
        yield from not_networks("networks", self.networks)
        for text in self.networks:
            network = as_network(text)
            if network is not None and network.prefixlen < (8 if network.version == 4 else 16):
                yield Problem(
                    "networks",
                    f"{text} would make this an open relay for half the world; name your own networks",
                    f"{text} abriría el servidor a medio mundo; indique sus propias redes",
                )
        if self.vrfy == "anybody":
            yield Problem(
                "vrfy",
                "strangers can try out which addresses exist, and send their spam and guess passwords for those",
                "cualquiera puede averiguar qué direcciones existen, para enviarles spam y probar contraseñas",
                fatal=False,
            )
        if self.expn == "anybody":
            yield Problem(
                "expn",
                "strangers can read who is behind an alias, also addresses elsewhere",
                "cualquiera puede leer quién está tras un alias, también direcciones de fuera",
                fatal=False,
            )
        yield from at_least(self, (
            "message_size", "recipients", "connections", "idle_seconds", "session_seconds", "errors_most",
        ))  # fmt: skip
