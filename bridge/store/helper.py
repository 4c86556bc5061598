"""Asking the root helper (DESIGN 5): what system users' mail needs that only root may begin.

Promises: a question is one connection, one datagram and one answer, within `seconds`; a lost answer is trouble, never a
yes. Nothing is kept open, so any thread may ask.
Fails by: StoreError where the helper isn't there, is busy, says nothing or met trouble; Damaged for a spool file.
"""
import errno
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from bridge.model.account import Account
from bridge.model.errors import PeerError, StoreError
from bridge.store import files
from bridge.store.copies import Copy
from bridge.store.spool import Damaged, Spooled
from bridge.wire import helper as wire

_SECONDS = 60.0
_PATIENCE = 30.0    # seconds that a helper which isn't there is waited for, once, until it is seen again


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a program: as `deliver.command.Ended`, or why it wasn't run (`unfit`)."""

    status: int = 0
    output: str = ""
    late: bool = False
    unfit: str = ""


class Helper:
    """`path`: its socket."""

    def __init__(self, path: str, *, seconds: float = _SECONDS, patience: float = _PATIENCE) -> None:
        self._path, self._seconds, self._patience = path, seconds, patience
        self._gone_since = 0.0      # 0: it was there the last time

    def ask(
        self, verb: str, descriptors: Sequence[int] = (), *, seconds: float = 0.0, stop: Event | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Its answer; nobody waits for it once `stop` is set. StoreError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
                one.settimeout(_SECONDS)
                self._connect(one)
                socket.send_fds(one, [wire.encode(verb, fields)], list(descriptors))
                data = self._hear(one, time.monotonic() + (seconds or self._seconds), stop)
            found = wire.read_answer(data)
        except (OSError, PeerError) as error:
            raise StoreError(f"the helper for system users ({self._path}) doesn't answer: {error}") from error
        trouble = found.get("trouble", "")
        if trouble == "spool":
            raise Damaged(str(found.get("text", "")))
        if trouble:
            raise StoreError(str(found.get("text", "")) or str(trouble))
        return found

    def _connect(self, one: socket.socket) -> None:
        while True:
            try:
                one.connect(self._path)
            except (FileNotFoundError, ConnectionRefusedError):
                self._gone_since = self._gone_since or time.monotonic()
                if time.monotonic() - self._gone_since > self._patience:    # it isn't just starting
                    raise
                time.sleep(0.1)
            else:
                self._gone_since = 0.0
                return

    def _hear(self, one: socket.socket, end: float, stop: Event | None) -> bytes:
        one.settimeout(0.5 if stop is not None else max(end - time.monotonic(), 0.01))
        while True:
            try:
                return one.recv(wire.LONGEST)
            except TimeoutError:
                if time.monotonic() > end or (stop is not None and stop.is_set()):
                    raise

    # -- mail

    def deliver(self, user: str, spooled: Spooled, copy: Copy, *, again: bool) -> str:
        """A copy into the mailbox of a system user, durable at the return; where it is. Whatever is wrong, disk and
        quota of a home included, concerns this user alone: PermissionError, whose text says it."""
        try:
            found = self._with_message("deliver", spooled, copy, user=user, again=again)
        except StoreError as error:
            raise PermissionError(errno.EACCES, str(error)) from error
        return str(found.get("where", ""))

    def command(self, user: str, spooled: Spooled, copy: Copy, *, seconds: float, stop: Event) -> Said:
        """The mailbox command of a system user, run as that user."""
        return _said(self._with_message("command", spooled, copy, seconds=seconds, stop=stop, user=user))

    def alias(self, program: str, spooled: Spooled, copy: Copy, *, seconds: float, stop: Event) -> Said:
        """The program of an alias that has this hash, run as `delivery.program_user`."""
        return _said(self._with_message("alias", spooled, copy, seconds=seconds, stop=stop, program=program))

    def _with_message(
        self, verb: str, spooled: Spooled, copy: Copy, *, seconds: float = 0.0, stop: Event | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        envelope, descriptor = spooled.envelope, files.open_read(spooled.path)
        try:
            return self.ask(
                verb, [descriptor], seconds=seconds, stop=stop, id=envelope.id, received=float(envelope.received_at),
                start=spooled.start, size=spooled.size, address=copy.address, original=copy.original,
                sender=copy.sender, trust=_cut(copy.trust), **fields,
            )  # fmt: skip
        finally:
            os.close(descriptor)

    # -- people

    def check(self, account: Account, password: str, protocol: str, ip: str) -> Account | None:
        """The account with its ticket, if this is the system's password of its user."""
        found = self.ask("check", user=account.system, password=password, protocol=protocol, ip=ip)
        return replace(account, ticket=str(found["ticket"])) if found.get("ticket") else None

    def session(self, account: Account, protocol: str, ip: str, ends: Sequence[int]) -> None:
        """Let the session go on at the ends of two socket pairs, bytes and hints, in a process of the user's."""
        self.ask("session", ends, user=account.system, ticket=account.ticket, protocol=protocol, ip=ip)

    def answers(self) -> str:
        """Why it can't be asked, or ""."""
        if not Path(self._path).exists():
            return "it is not there"
        try:
            self.ask("hello", seconds=5.0)
        except StoreError as error:
            return str(error)
        return ""


def _cut(trust: str) -> str:
    """As many results as a field of a request holds."""
    return trust if len(trust) <= wire.TEXT else trust[: wire.TEXT].rpartition("; ")[0]


def _said(found: dict[str, Any]) -> Said:
    return Said(
        int(found.get("status", 0)), str(found.get("output", "")), bool(found.get("late")), str(found.get("unfit", ""))
    )
