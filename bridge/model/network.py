"""Addresses of clients and the networks that settings name.

Promises: an IPv4 client that comes over an IPv6 socket counts as IPv4; the zone of a link-local address counts for
nothing; what is no address is in no network.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address(text: str) -> Address | None:
    """The address of a client as the socket names it; None where it is none (a unix socket)."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped if found.version == 6 and found.ipv4_mapped else found


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks as a setting lists them: `client in networks`."""

    networks: tuple[Network, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Networks":
        return cls(tuple(map(ipaddress.ip_network, texts)))

    def __contains__(self, client: object) -> bool:
        found = address(client) if isinstance(client, str) else client
        return found is not None and any(found in network for network in self.networks)
