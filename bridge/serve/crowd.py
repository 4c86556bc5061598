"""How many are connected: in all, from one address, of one user (sec-I11, sec-R01).

Promises: what `enter` and `admit` counted, `leave` takes back; nothing is kept of those who have gone. Counts are those
of one process.
"""
import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections at once: in all, from one address (IPv6: /64), of one user from one address."""

    total: int = 1000
    address: int = 50
    user: int = 20


class Crowd:
    """Who is connected, counted over all listeners that share it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.total = 0
        self.addresses: Counter[str] = Counter()
        self.users: Counter[tuple[str, str]] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection; False, and not counted, where it is one too many."""
        if self.total >= self.limits.total or self.addresses[address] >= self.limits.address:
            return False
        self.total += 1
        self.addresses[address] += 1
        return True

    def admit(self, user: str, address: str) -> bool:
        """Count a login; False, and not counted, where it is one too many."""
        if self.users[user, address] >= self.limits.user:
            return False
        self.users[user, address] += 1
        return True

    def leave(self, address: str, user: str) -> None:
        """Take back what `enter` and `admit` counted."""
        self.total -= 1
        _less(self.addresses, address)
        self.log_out(address, user)

    def log_out(self, address: str, user: str) -> None:
        """Take back what `admit` counted."""
        if user:
            _less(self.users, (user, address))


def group(peer: str) -> str:
    """What counts as one address: an IPv6 /64 is one customer."""
    if ":" not in peer:
        return peer
    address = ipaddress.IPv6Address(peer.partition("%")[0])
    return str(address.ipv4_mapped) if address.ipv4_mapped else address.packed[:8].hex()


def _less(counter: Counter[Any], key: Any) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
