"""What mail services a server offers: the usual ports, looked at together and shortly (F55).

Promises: never longer than a few seconds; nothing secret is said; certificates are not judged here, that is the login's
business. What doesn't answer as a mail server does is not there.
"""

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bridge.intake.fetch.connection import Connection, Flood

SECONDS = 4.0
PORTS = (("imap", 993, "ssl"), ("pop3", 995, "ssl"), ("imap", 143, ""), ("pop3", 110, ""))
_LINE, _LINES, _BYTES = 4096, 100, 32_768


class Service(NamedTuple):
    """`tls`: ssl (from the first byte), starttls or none."""

    protocol: str
    port: int
    tls: str


def probe(host: str) -> list[Service]:
    """What is there, the best first. OSError where the name means nothing."""
    import socket

    socket.getaddrinfo(host, None)
    with ThreadPoolExecutor(len(PORTS) or 1) as pool:
        found = [one for one in pool.map(lambda port: _looked(host, *port), PORTS) if one]
    return sorted(found, key=lambda one: (one.tls == "none", one.tls != "ssl", one.protocol != "imap"))


def _looked(host: str, protocol: str, port: int, tls: str) -> Service | None:
    try:
        connection = Connection(host, port, SECONDS, time.monotonic() + SECONDS)
    except (OSError, UnicodeError):
        return None
    try:
        connection.begin(_BYTES, lines=_LINES)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection.start_tls(context, host)
        if not connection.readline(_LINE).startswith(b"* " if protocol == "imap" else b"+OK"):
            return None
        return Service(protocol, port, tls or ("starttls" if _upgrades(connection, protocol) else "none"))
    except (OSError, ValueError, Flood):
        return None
    finally:
        connection.close()


def _upgrades(connection: Connection, protocol: str) -> bool:
    """Does it say that it can begin TLS on this connection?"""
    command, end, word = {
        "imap": (b"a CAPABILITY\r\n", b"a ", b"STARTTLS"),
        "pop3": (b"CAPA\r\n", b".", b"STLS"),
    }[protocol]
    connection.send(command)
    while line := connection.readline(_LINE):
        if word in line.upper().split():
            return True
        if line.startswith((end, b"-ERR")):
            return False
    return False
