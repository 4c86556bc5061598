"""Listening sockets: bound once, before rights are dropped, and held by the supervisor for its children.

Promises: what can't be bound is named with its setting, its port and who may hold it. Fails by: ConfigError.
"""

import errno
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.model.errors import ConfigError
from bridge.model.language import tr
from bridge.watch import tcp

log = logging.getLogger("estafeta.supervisor")

Port = tuple[str, str, int]  # service, address, port
Sockets = Mapping[str, Sequence[socket.socket]]
_BACKLOG = 1024
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bind(ports: Sequence[Port], share: bool) -> dict[str, list[socket.socket]]:
    """Listening sockets by service; `share`: others of us will bind the same port. ConfigError names all that can't be
    had."""
    found: dict[str, list[socket.socket]] = {}
    problems: list[str] = []
    for service, address, port in ports:
        try:
            one = _bound(service, address, port, share)
        except ConfigError as error:
            problems += error.problems
            continue
        if one is not None:
            found.setdefault(service, []).append(one)
    if problems:
        close(found)
        raise ConfigError(problems)
    return found


def _bound(service: str, address: str, port: int, share: bool) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        log.warning("%s port %d is left out: %s", address, port, error.strerror)
        return None
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    tcp.watch_over(one)     # before anybody can connect
    try:
        one.bind((address, port))
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        if address == "::" and error.errno in _NO_FAMILY:
            log.warning("%s port %d is left out: %s", address, port, error.strerror)
            return None
        raise ConfigError([_hint(service, address, port, error)]) from error
    one.setblocking(False)
    return one


def _hint(service: str, address: str, port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return tr(
            f"listen.{service}: port {port} needs root or CAP_NET_BIND_SERVICE; start as root with server.user set, "
            "use the systemd unit, or choose a port above 1023",
            f"listen.{service}: el puerto {port} necesita root o CAP_NET_BIND_SERVICE; arranque como root con "
            "server.user, use la unidad de systemd o elija un puerto mayor que 1023",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return tr(
            f"listen.addresses: {address} is no address of this machine (see `ip addr`)",
            f"listen.addresses: {address} no es una dirección de esta máquina (véase `ip addr`)",
        )
    return tr(
        f"listen.{service}: {address} port {port}: {error.strerror}; another program listens there "
        f"(see `ss -ltnp sport = :{port}`): stop it or choose another port",
        f"listen.{service}: {address} puerto {port}: {error.strerror}; ya escucha ahí otro programa "
        f"(véase `ss -ltnp sport = :{port}`): párelo o elija otro puerto",
    )


def unix_socket(path: Path) -> socket.socket:
    """A listening unix socket, only for the user that makes it."""
    path.unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        one.bind(str(path))
    except OSError as error:
        one.close()
        raise ConfigError([tr(
            f"{path}: {error}; if the path is too long, set paths.run to a shorter one",
            f"{path}: {error}; si la ruta es demasiado larga, ponga en paths.run una más corta",
        )]) from error
    finally:
        os.umask(mask)
    one.listen(64)
    one.setblocking(False)
    return one


def close(sockets: Sockets) -> None:
    """Close our copies; what children have stays open."""
    for group in sockets.values():
        for one in group:
            one.close()
