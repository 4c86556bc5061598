"""Questions to the name service, behind one small class.

Promises: an answer, a plain no, or trouble - and trouble is never a no (P28): SERVFAIL, REFUSED, time-outs, loops of
CNAMEs and lame answers are NameTrouble; only NXDOMAIN is NoDomain. 5 s per question and 10 s in all; at most 20 MX and
20 addresses are looked at; answers are kept for their time to live (at most an hour), a no for a minute or what the
zone says, trouble for 5 s, so that a dead server is not asked for every message (sec-R09).
"""
import asyncio
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from bridge.trust.names import NameTrouble, NoDomain

QUESTION_SECONDS = 5.0
TOTAL_SECONDS = 10.0
RECORDS = 20
_CACHE = 10_000
_LONGEST, _SHORTEST, _NO, _TROUBLE = 3600.0, 5.0, 60.0, 5.0


class Names(Protocol):
    """What delivery needs to know; tests have their own."""

    async def mx(self, domain: str) -> Sequence[tuple[int, str]]:
        """(preference, host) records; empty where the domain has none."""

    async def addresses(self, host: str) -> Sequence[str]:
        """IPv6 and IPv4 addresses; empty where the host has none."""

    async def machine(self, host: str) -> Sequence[str]:
        """Addresses of a host that the administrator named, as this machine sees it (/etc/hosts and all)."""


class _Known(NamedTuple):
    until: float
    values: tuple[Any, ...]
    error: type[Exception] | None
    text: str


class Resolver:
    """`Names` by dnspython. `ask(name, type)` is the resolver's own `resolve`, which tests replace."""

    def __init__(
        self, nameservers: Sequence[str] = (), *, ipv6: bool = True,
        ask: Callable[[str, str], Awaitable[Any]] | None = None, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nameservers, self._ipv6, self._monotonic = tuple(nameservers), ipv6, monotonic
        self._ask = ask
        self._cache: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    async def mx(self, domain: str) -> Sequence[tuple[int, str]]:
        return await self._look_up(domain, "MX", lambda record: (record.preference, str(record.exchange)))

    async def addresses(self, host: str) -> Sequence[str]:
        kinds = ("AAAA", "A") if self._ipv6 else ("A",)
        parts = await asyncio.gather(
            *(self._look_up(host, kind, lambda record: str(record.address)) for kind in kinds), return_exceptions=True)
        found: list[str] = []
        for part in parts:
            if isinstance(part, BaseException):
                if not isinstance(part, (NoDomain, NameTrouble)):
                    raise part
            else:
                found += part
        if not found:
            for part in parts:
                if isinstance(part, BaseException):
                    raise part
        return found[:RECORDS]

    async def texts(self, name: str) -> Sequence[str]:
        """TXT records, the strings of each put together; empty where the name has none."""
        return await self._look_up(name, "TXT", lambda record: b"".join(record.strings).decode("utf-8", "replace"))

    async def names_of(self, address: str) -> Sequence[str]:
        """PTR records of an address."""
        return await self._look_up(ipaddress.ip_address(address).reverse_pointer, "PTR", lambda one: str(one.target))

    async def machine(self, host: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise NameTrouble(f"{host}: {error or 'the name service does not answer'}") from None
        return list(dict.fromkeys(str(one[4][0]) for one in found))[:RECORDS]

    async def _look_up(self, name: str, kind: str, value: Callable[[Any], Any]) -> tuple[Any, ...]:
        known = self._cache.get((name, kind))
        if known is None or known.until < self._monotonic():
            known = await self._asked(name, kind, value)
            self._cache[name, kind] = known
            self._cache.move_to_end((name, kind))
            while len(self._cache) > _CACHE:
                self._cache.popitem(last=False)
        if known.error is not None:
            raise known.error(known.text)
        return known.values

    async def _asked(self, name: str, kind: str, value: Callable[[Any], Any]) -> _Known:
        now = self._monotonic()
        try:
            answer = await (self._ask or self._resolver())(name, kind)
            values = tuple(value(record) for record in list(answer)[:RECORDS])
            seconds = min(max(float(answer.rrset.ttl), _SHORTEST), _LONGEST)
            return _Known(now + seconds, values, None, "")
        except dns.resolver.NXDOMAIN:
            return _Known(now + _NO, (), NoDomain, f"{name} does not exist")
        except dns.resolver.NoAnswer as error:
            return _no_answer(error, now, name, kind)
        except (dns.exception.DNSException, OSError, ValueError, AttributeError) as error:
            text = f"{kind} of {name}: {type(error).__name__}"
            return _Known(now + _TROUBLE, (), NameTrouble, text)

    def _resolver(self) -> Callable[[str, str], Awaitable[Any]]:
        """Made at the first question: without a resolv.conf there is trouble, not a program that won't start."""
        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = list(self._nameservers)
        resolver.timeout, resolver.lifetime = QUESTION_SECONDS, TOTAL_SECONDS
        resolver.search = []

        async def ask(name: str, kind: str) -> Any:
            return await resolver.resolve(name.rstrip(".") + ".", kind, search=False)

        self._ask = ask
        return ask


def _no_answer(error: dns.resolver.NoAnswer, now: float, name: str, kind: str) -> _Known:
    """No record of this kind. An answer whose CNAMEs lead nowhere is a no, too; one without anything, not even the
    zone's SOA, comes from a lame server and says nothing."""
    response = error.kwargs.get("response")
    if response is not None and not response.answer and not response.authority:
        return _Known(now + _TROUBLE, (), NameTrouble, f"{kind} of {name}: an empty answer")
    return _Known(now + _NO, (), None, "")
