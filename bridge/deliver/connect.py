"""From a next hop to a session that takes mail: names, addresses, sockets, TLS, login.

Promises: hosts in the order of RFC 5321 5.1, at most 5 addresses and 10 minutes for all of it (sec-O07); names that
can't be looked up are never a no (P28); nothing is sent to ourselves (P10) or to where it must not go (sec-O06);
opportunistic TLS that fails is tried once more without, required TLS never.
Fails by: Unusable, with the trouble of the last host that was tried.
"""
import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from bridge.config.outbound import Outbound
from bridge.deliver.connection import Connection, Unusable
from bridge.deliver.destination import Contexts, Hop, Networks, Policies, Policy, contexts, hop, sort_addresses
from bridge.deliver.dns import Names
from bridge.deliver.trouble import Trouble
from bridge.route.mx import NoHost, hosts
from bridge.trust.names import NameTrouble, NoDomain
from bridge.wire.smtp.client import Client
from bridge.wire.smtp.dialogue import Protection

ADDRESSES = 5
TOTAL_SECONDS = 600.0
_NO_HOST = {NoHost.NULL: Trouble.NULL_MX, NoHost.OURSELVES: Trouble.TO_ITSELF}
_PROTECTION = {"none": Protection.NONE, "may": Protection.MAY, "encrypt": Protection.MUST, "verify": Protection.MUST}


class Connector:
    """Opens connections for one process. `hostname`: what we call ourselves; `ours`: further names of this machine;
    `port`: where the mail exchangers of domains listen, which is 25 but in tests."""

    def __init__(
        self, settings: Outbound, names: Names, *, hostname: str, ours: Sequence[str] = (), tls: Contexts | None = None,
        shuffle: Callable[[list[str]], None] = random.shuffle, port: int = 25, patience: float = 1.0,
    ) -> None:
        self._settings, self._names, self._hostname = settings, names, hostname
        self._ours = frozenset((hostname.lower(), *(name.lower() for name in ours)))
        self._tls, self._shuffle, self._port, self._patience = tls, shuffle, port, patience
        self._policies, self._networks = Policies(settings), Networks(settings)

    async def open(self, nexthop: str) -> Connection:
        """A connection over which a message may be sent now. Raises Unusable."""
        target = hop(nexthop)
        policy = self._policies.of(target)
        last: Unusable | None = None
        tried = 0
        try:
            async with asyncio.timeout(TOTAL_SECONDS * self._patience):
                for host in await self._hosts(target):
                    try:
                        addresses = await self._addresses(host, target)
                    except Unusable as error:
                        last = error
                        continue
                    for address in addresses[: ADDRESSES - tried]:
                        tried += 1
                        try:
                            return await self._try(host, address, target, policy)
                        except Unusable as error:
                            last = error
                            if error.trouble is Trouble.TO_ITSELF:
                                raise
        except TimeoutError:
            raise last or Unusable(Trouble.TIMEOUT, f"{nexthop}: no session in time") from None
        raise last or Unusable(Trouble.NO_ADDRESS, f"{nexthop} has no address")

    async def _hosts(self, target: Hop) -> Sequence[str]:
        if target.chosen or target.literal:
            return (target.host,)
        try:
            records = await self._names.mx(target.host)
        except NoDomain as error:
            raise Unusable(Trouble.NO_DOMAIN, str(error)) from None
        except NameTrouble as error:
            raise Unusable(Trouble.NAME_SERVICE, str(error)) from None
        found = hosts(records or [(0, target.host)], self._ours, self._shuffle)
        if isinstance(found, NoHost):
            raise Unusable(_NO_HOST[found], f"{target.host}: {found.value}")
        return found

    async def _addresses(self, host: str, target: Hop) -> Sequence[str]:
        """Where `host` is, without the places that are not allowed."""
        if target.literal:
            found: Sequence[str] = (host,)
        else:
            try:
                found = await (self._names.machine(host) if target.chosen else self._names.addresses(host))
            except NoDomain as error:  # the domain is there, its mail exchanger is a mistake that somebody will mend
                raise Unusable(Trouble.NO_ADDRESS, str(error)) from None
            except NameTrouble as error:
                raise Unusable(Trouble.NAME_SERVICE, str(error)) from None
        if not found:
            raise Unusable(Trouble.NO_ADDRESS, f"{host} has no address")
        allowed = [one for one in found if target.chosen or self._networks.allowed(one)]
        if not allowed:
            raise Unusable(Trouble.FORBIDDEN_HOST, f"{host} is at {found[0]}, where mail for other domains never goes")
        return sort_addresses(allowed, self._settings.ipv6)

    async def _try(self, host: str, address: str, target: Hop, policy: Policy) -> Connection:
        protection = _PROTECTION[policy.tls]
        try:
            return await self._session(host, address, target, policy, protection)
        except Unusable as error:
            if error.trouble is not Trouble.TLS or protection is not Protection.MAY or policy.login or policy.implicit:
                raise
        return await self._session(host, address, target, policy, Protection.NONE)

    async def _session(
        self, host: str, address: str, target: Hop, policy: Policy, protection: Protection
    ) -> Connection:
        port = target.port if target.chosen else self._port
        where = f"{host}[{address}]:{port}"
        machine = Client(
            self._hostname, protection=protection, login=policy.login, lmtp=policy.lmtp, secure=policy.implicit,
            clear_login=policy.tls == "none")
        connection = Connection(machine, where, patience=self._patience)
        context = self._context(policy)
        await self._connect(connection, address, port, context if policy.implicit else None, host)
        if not target.chosen and connection.loops and not self._networks.private(address):
            connection.close()
            raise Unusable(Trouble.TO_ITSELF, f"{where} is this machine")
        await connection.open(context, host)
        if not target.chosen and machine.offer.name.lower() in self._ours:
            connection.quit()
            raise Unusable(Trouble.TO_ITSELF, f"{where} calls itself {machine.offer.name}, as we do")
        return connection

    async def _connect(
        self, connection: Connection, address: str, port: int, context: ssl.SSLContext | None, host: str
    ) -> None:
        options: dict[str, Any] = {"local_addr": (self._settings.source, 0)} if self._settings.source else {}
        if context is not None:
            options |= {"ssl": context, "server_hostname": host, "ssl_handshake_timeout": 60 * self._patience}
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                await asyncio.get_running_loop().create_connection(lambda: connection, address, port, **options)
        except ssl.SSLError as error:
            raise Unusable(Trouble.TLS, f"{connection.where}: TLS handshake: {error.reason or error}") from None
        except TimeoutError:
            raise Unusable(Trouble.CONNECT, f"{connection.where}: connection timed out") from None
        except OSError as error:
            raise Unusable(Trouble.CONNECT, f"{connection.where}: {error.strerror or error}") from None

    def _context(self, policy: Policy) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = contexts()
        return self._tls.of(policy)
