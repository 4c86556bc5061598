"""Who may log in: one door for the passwords of all protocols.

Promises: a guesser gets few hashes out of us (10 a minute and 50 a day per address, more for its network, sec-A01);
an attacked account is slowed down for strangers but never locked for addresses it is used from (sec-A02); hashing
happens in two threads with a short queue, so the loop never waits (sec-A04); a proven login costs no hash until the
accounts change; the same wrong password again counts once. Passwords are kept only as keyed digests.
Fails by: `Busy` (queue full) and `TooMany` (limit reached) - both temporary: 421 or 454, NO [UNAVAILABLE],
-ERR [SYS/TEMP]; StoreError where the accounts can't be read. None means: wrong, and nothing else.

A failure is one journal line, `"e":"login_failed"` with `"ip"`, which fail2ban matches as
`"e":"(?:login_failed|login_throttled)".*"ip":"<HOST>"`.
"""
import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from hmac import compare_digest
from typing import Generic, NamedTuple, TypeVar

from bridge.config.login import Login
from bridge.model import network
from bridge.model.clock import SYSTEM, Clock
from bridge.model.network import Networks
from bridge.serve.guesses import Bound, Guesses
from bridge.watch.trace import Journal

A = TypeVar("A")
Verify = Callable[[str, str, str, str], A | None]  # login, password, protocol, ip: blocks

_THREADS = 2
_QUEUE = 32
_CACHE = 10_000
_WRONG_FOR = 600       # seconds that a wrong password is known to be wrong
_TICKET_FOR = 240      # seconds that a password of the system's is known to be right; see bridge.helper.proof
_LONGEST = 512         # characters of a login or password that are looked at


class Busy(Exception):
    """Not now; nothing was said about the password."""


class TooMany(Busy):
    """Too many wrong passwords from here; nothing was said about this one."""


class _Proof(NamedTuple):
    """What is remembered of a login that was checked."""

    digest: bytes
    account: object
    generation: int
    until: float


class Authenticator(Generic[A]):
    """Checks logins for every protocol of one process. `verify` blocks and runs in a thread; `generation` is cheap."""

    def __init__(
        self, verify: Verify[A], generation: Callable[[], int], *, settings: Login | None = None,
        guesses: Guesses | None = None, journal: Journal | None = None, clock: Clock = SYSTEM,
    ) -> None:
        self._verify, self._generation, self._clock = verify, generation, clock
        self._settings = settings or Login()
        self._guesses = guesses or Guesses(monotonic=clock.monotonic)
        self._journal = journal or Journal.silent()
        self._threads = ThreadPoolExecutor(_THREADS, "auth")
        self._slots = asyncio.Semaphore(_THREADS)
        self._waiting = 0
        self._secret = os.urandom(32)
        self._cache: OrderedDict[bytes, _Proof] = OrderedDict()
        self._said: dict[str, float] = {}
        self._exempt = Networks.of(self._settings.exempt)
        self._address = Bound(self._settings.per_minute, self._settings.per_day)
        self._account = Bound(float("inf"), self._settings.account_per_day)
        self._slow = Bound(self._settings.account_slow, float("inf"))

    async def check(self, login: str, password: str, protocol: str, ip: str) -> A | None:
        """The account that `login` and `password` open for `protocol`, or None."""
        if not login or not password or len(login) > _LONGEST or len(password) > _LONGEST:
            return None
        began = self._clock.monotonic()
        name = login.casefold()
        self._permit(name, ip, protocol)
        digest = self._digest(name, password, protocol)
        generation = self._generation()
        proof = self._recall(digest, generation)
        if proof is None:
            account = await self._hash(login, name, password, protocol, ip)
            self._keep(digest, account, generation)
        else:
            account = proof.account  # type: ignore[assignment]
        if account is None:
            self._journal.record("login_failed", login=login[:100], ip=ip, protocol=protocol)
            # counted from the beginning: how long a check took says nothing about what kind of user that is (sec-A03)
            await asyncio.sleep(max(0.0, self._settings.delay - (self._clock.monotonic() - began)))
            return None
        self._guesses.add(_pair(name, ip), self._address, 0)
        return account

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _hash(self, login: str, name: str, password: str, protocol: str, ip: str) -> A | None:
        if self._waiting >= _QUEUE:
            raise Busy("too many logins at once")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            self._permit(name, ip, protocol)  # again: others from here may have failed while we waited
            buckets = self._charge(name, ip)
            account: A | None = None
            wrong = False
            try:
                loop = asyncio.get_running_loop()
                account = await loop.run_in_executor(self._threads, self._verify, login, password, protocol, ip)
                wrong = account is None
            finally:
                if not wrong:
                    for key, bound in buckets:
                        self._guesses.add(key, bound, -1)
            return account
        finally:
            self._slots.release()

    def _permit(self, name: str, ip: str, protocol: str) -> None:
        """TooMany unless one more attempt is within the limits. An address that this account logged in from before
        answers only for itself and this account, so neighbours behind one address don't lock each other out."""
        full = self._guesses.full
        pair = _pair(name, ip)
        if self._guesses.known(pair):
            allowed = not full(pair, self._address)
        else:
            allowed = not any(full(key, bound) for key, bound in self._sources(ip))
            if allowed and full(_account(name), self._account):
                allowed = not full(_slow(name), self._slow)
        if not allowed:
            self._throttled(name, ip, protocol)
            raise TooMany("too many wrong passwords")

    def _charge(self, name: str, ip: str) -> list[tuple[str, Bound]]:
        buckets = [*self._sources(ip), (_account(name), self._account)]
        if self._guesses.known(_pair(name, ip)):
            buckets.append((_pair(name, ip), self._address))
        elif self._guesses.full(_account(name), self._account):
            self._guesses.add(_slow(name), self._slow)
        for key, bound in buckets:
            self._guesses.add(key, bound)
        return buckets

    def _sources(self, ip: str) -> list[tuple[str, Bound]]:
        """The buckets of an address: itself and the networks around it."""
        address = network.address(ip)
        if address is None:
            return [("ip:" + ip, self._address)] if ip else []
        if address in self._exempt:
            return []
        wide = self._address.times(self._settings.network_factor)
        if address.version == 4:
            return [("ip:" + str(address), self._address), ("net:" + str(address).rpartition(".")[0], wide)]
        packed = address.packed  # one machine has a /64 at its will, so the address itself is not counted
        wider = wide.times(self._settings.network_factor)
        return [("64:" + packed[:8].hex(), self._address), ("56:" + packed[:7].hex(), wide),
                ("48:" + packed[:6].hex(), wider)]

    def _digest(self, name: str, password: str, protocol: str) -> bytes:
        text = "\0".join((name, password, protocol)).encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._secret, digest_size=24).digest()

    def _recall(self, digest: bytes, generation: int) -> _Proof | None:
        proof = self._cache.get(digest[:12])
        if proof is None or not compare_digest(proof.digest, digest):
            return None
        if proof.generation != generation or self._clock.monotonic() > proof.until:
            del self._cache[digest[:12]]
            return None
        self._cache.move_to_end(digest[:12])
        return proof

    def _keep(self, digest: bytes, account: A | None, generation: int) -> None:
        seconds = self._settings.remember if account is not None else min(self._settings.remember, _WRONG_FOR)
        if getattr(account, "ticket", ""):      # which must not be remembered for longer than it counts
            seconds = min(seconds, _TICKET_FOR)
        self._cache[digest[:12]] = _Proof(digest, account, generation, self._clock.monotonic() + seconds)
        while len(self._cache) > _CACHE:
            self._cache.popitem(last=False)

    def _throttled(self, name: str, ip: str, protocol: str) -> None:
        """One journal line per address and minute: a flood of guesses is no flood of lines."""
        now = self._clock.monotonic()
        if now - self._said.get(ip, -60.0) < 60:
            return
        if len(self._said) > _CACHE:
            self._said.clear()
        self._said[ip] = now
        self._journal.record("login_throttled", login=name[:100], ip=ip, protocol=protocol)


def _pair(name: str, ip: str) -> str:
    return f"pair:{ip}:{name}"


def _account(name: str) -> str:
    return "account:" + name


def _slow(name: str) -> str:
    return "slow:" + name
