"""Web forms that only people who looked at the page can send, and not too fast nor too often.

Promises: a form's token is an HMAC over purpose, client network, time and random bytes, made with a server secret
(sec-L12), so another site can't make one (CSRF), a robot must wait, and an old page must be loaded again. `Rate` counts
per network in bounded memory. Pure but for the clock and the random bytes that are passed in. sec-L01, sec-W05.
"""

import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from bridge.model.network import address

OLDEST = 4 * 3600  # seconds that a page may stay open before its form is sent
NETWORKS = 10_000  # remembered at a time
_HOUR = 3600


def network(client: str) -> str:
    """The network of a client: /24 or /64, since whoever has one address there has many."""
    found = address(client)
    if found is None:
        return client[:64]
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 64), strict=False))


@dataclass(frozen=True, slots=True)
class Forms:
    """Issues and checks tokens. `youngest`: seconds that a person needs to fill the form."""

    secret: bytes
    now: Callable[[], float]
    random: Callable[[int], bytes]
    youngest: int = 0

    def issue(self, purpose: str, client: str) -> str:
        stamp, nonce = int(self.now()), self.random(8).hex()
        return f"{stamp}.{nonce}.{self._mark(purpose, client, stamp, nonce)}"

    def accepts(self, token: str, purpose: str, client: str, *, youngest: int | None = None) -> bool:
        """Was this token issued for this purpose and network, long enough ago but not too long?"""
        stamp, _, rest = token.partition(".")
        nonce, _, mark = rest.partition(".")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and mark.isascii()):
            return False
        if not hmac.compare_digest(mark, self._mark(purpose, client, int(stamp), nonce)):
            return False
        age = self.now() - int(stamp)
        return (self.youngest if youngest is None else youngest) <= age <= OLDEST

    def _mark(self, purpose: str, client: str, stamp: int, nonce: str) -> str:
        text = "\0".join(("form", purpose, network(client), str(stamp), nonce))
        return hmac.new(self.secret, text.encode("utf-8", "replace"), sha256).hexdigest()


@dataclass(slots=True)
class Rate:
    """At most `hourly` events an hour from one network; when too many networks come, the oldest is forgotten."""

    hourly: int
    now: Callable[[], float]
    _seen: "OrderedDict[str, list[float]]" = field(default_factory=OrderedDict)

    def allows(self, client: str) -> bool:
        """Count one event; False if it is one too many."""
        key, now = network(client), self.now()
        recent = [at for at in self._seen.pop(key, ()) if now - at < _HOUR]
        allowed = len(recent) < self.hourly
        if allowed:
            recent.append(now)
        self._seen[key] = recent
        while len(self._seen) > NETWORKS:
            self._seen.popitem(last=False)
        return allowed
