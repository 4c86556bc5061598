"""What the checks ask of the name service; who answers is passed in. `bridge.deliver.dns.Resolver` does."""

from collections.abc import Sequence
from typing import Protocol


class NoDomain(Exception):
    """The name does not exist."""


class NameTrouble(Exception):
    """Nothing was learned."""


class Names(Protocol):
    """Answers may be empty: the name has no such record."""

    async def texts(self, name: str) -> Sequence[str]:
        """TXT records, the strings of each put together."""

    async def mx(self, domain: str) -> Sequence[tuple[int, str]]:
        """(preference, host) of each MX record."""

    async def addresses(self, host: str) -> Sequence[str]:
        """A and AAAA records."""

    async def names_of(self, address: str) -> Sequence[str]:
        """PTR records of an address."""
