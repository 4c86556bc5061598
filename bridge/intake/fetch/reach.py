"""Which servers an account may connect to: any, or only public mail servers and those that the administrator names.

Promises: a name is looked up once and the connection goes to an address that was looked at, so no name service can
answer twice (sec-W16); only the mail ports of public addresses are reached; what is named as `host` or `host:port` is
reached whatever its address is (any port, or that one). Nothing is sent to what is refused.
Fails by: Forbidden (an OSError) for what may not be reached, OSError for what can't.
"""

import ipaddress
import socket
from collections.abc import Collection

from bridge.watch import tcp

PUBLIC = "public"
PORTS = frozenset([110, 143, 993, 995])
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Forbidden(OSError):
    """That server may not be reached from here."""


def dial(host: str, port: int, timeout: float, reach: Collection[str] = ()) -> socket.socket:
    """A TCP connection. `reach`: names, `name:port`, or "public" for every public mail server; empty is any server."""
    if not reach or _named(host, port, reach):
        return _connected(host, port, timeout)
    if PUBLIC not in reach or port not in PORTS:
        raise Forbidden(f"{host} port {port} may not be asked from here; only mail ports of public servers")
    found = [one[4][:2] for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    good = [str(address) for address, _ in found if public(str(address))]
    if not good or len(good) < len(found):
        raise Forbidden(f"{host} is in a private network and may not be asked from here")
    for address in good[:-1]:
        try:
            return _connected(address, port, timeout)
        except OSError:
            continue
    return _connected(good[-1], port, timeout)


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    """Who watches a folder may hear nothing for hours: the kernel finds out if nobody is there any more (P27)."""
    made = socket.create_connection((host, port), timeout)
    tcp.watch_over(made)
    return made


def _named(host: str, port: int, reach: Collection[str]) -> bool:
    names = {one.lower() for one in reach if one != PUBLIC}
    host = host.lower().rstrip(".")
    return host in names or f"{host}:{port}" in names


def public(address: str) -> bool:
    """Is that address of the open internet, and nothing of ours in disguise?"""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in _NAT64:
            return public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inside is not None and not public(str(inside)):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved
