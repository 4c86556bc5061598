"""What mail services a server offers: the usual ports, looked at together and shortly (F55).

Promises: never longer than a few seconds; nothing secret is said; certificates are not judged here, that is the login's
business. What doesn't answer as a mail server does is not there.
"""

import socket
import ssl
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from bridge.intake.fetch.connection import Connection, Flood
from bridge.intake.fetch.reach import Forbidden, dial

SECONDS = 4.0
PORTS = (("imap", 993, "ssl"), ("pop3", 995, "ssl"), ("imap", 143, ""), ("pop3", 110, ""))
_LINE, _LINES, _BYTES = 4096, 100, 32_768


class Service(NamedTuple):
    """`tls`: ssl (from the first byte), starttls or none."""

    protocol: str
    port: int
    tls: str


def probe(host: str, reach: Collection[str] = ()) -> list[Service]:
    """What is there, the best first. OSError where the name means nothing or may not be asked (`reach.dial`)."""
    socket.getaddrinfo(host, None)
    ports = [*PORTS, *_named(host, reach)]
    with ThreadPoolExecutor(len(ports) or 1) as pool:
        found = list(pool.map(lambda one: _looked(host, one[0], one[1], one[2], reach), ports))
    refused = [one for one in found if isinstance(one, Forbidden)]
    if refused and len(refused) == len(found):
        raise refused[0]
    services = [one for one in found if isinstance(one, Service)]
    return sorted(services, key=lambda one: (one.tls == "none", one.tls != "ssl", one.protocol != "imap"))


def _named(host: str, reach: Collection[str]) -> list[tuple[str, int, str]]:
    """Unusual ports of this server that the administrator has named."""
    wanted = [one.rpartition(":") for one in reach]
    ports = {int(port) for name, _, port in wanted if name.lower() == host.lower() and port.isdigit()}
    return [(kind, port, "") for port in sorted(ports - {port for _, port, _ in PORTS}) for kind in ("imap", "pop3")]


def _looked(host: str, protocol: str, port: int, tls: str, reach: Collection[str]) -> Service | Forbidden | None:
    try:
        connection = Connection(
            host, port, SECONDS, time.monotonic() + SECONDS, dial=partial(dial, reach=tuple(reach))
        )
    except Forbidden as refused:
        return refused
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
