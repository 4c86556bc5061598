"""Mail that programs of this machine left in the drop folder with `sendmail` (S77, S78): through the door, once each.

Promises: the owner of the file bounds the sender (sec-Q11): people send as themselves or as an address that leads to
them alone, `trusted` users as anybody, and everybody with the null sender; another sender is replaced and the header
says so. A crash between door and removal is harmless: the key is the file's name. What can't be accepted goes back to
its owner as mail, in two languages; trouble of ours leaves it where it is. Hostile files can only be refused.
Fails by: logging, and trying again at the next look.
"""
import asyncio
import logging
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bridge.model.address import BadAddress, mailbox
from bridge.model.clock import SYSTEM, Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import Refused, StoreError
from bridge.queue.enter import Door, date
from bridge.store import dropfolder
from bridge.store.dropfolder import Handed, NotOurs
from bridge.watch.trace import Journal
from bridge.wire import addresses, dots, fixes

RECIPIENTS = 10_000
_TICK = 2.0             # seconds; clocks of file systems are coarse
_AT_ONCE = 200          # messages of one round
_HEADER = 256 * 1024    # bytes that are searched for recipients
_NOTIFY = re.compile(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})\Z", re.I)
_ENVID = re.compile(r"[!-~]{1,100}\Z")
_END = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_log = logging.getLogger(__name__)


class Bad(Exception):
    """The message can't be accepted; the text is for its owner."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the operating system. `address` in our main domain."""

    login: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Rules:
    """`domain`: of names without one; `owns(address, other)`: does mail for `other` go to `address` alone?"""

    domain: str
    owns: Callable[[str, str], bool] = lambda address, other: False
    trusted: tuple[str, ...] = ("root",)


class DropIntake:
    """`take()` from a thread, or `await run(stop)`."""

    def __init__(self, folder: Path, door: Door, rules: Rules, journal: Journal, clock: Clock = SYSTEM) -> None:
        self._folder, self._door, self._rules = folder, door, rules
        self._journal, self._clock = journal, clock
        self._looked = -1

    async def run(self, stop: asyncio.Event, *, every: float = 1.0) -> None:
        """Look again and again until `stop`."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "drop") as thread:
            while not stop.is_set():
                try:
                    await loop.run_in_executor(thread, self.take)
                except Exception:
                    _log.exception("drop folder")
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), every)

    def take(self) -> int:
        """Take what is there; says how many messages were accepted."""
        accepted = 0
        try:
            changed = self._folder.stat().st_mtime_ns
            if changed == self._looked:
                return 0
            names = dropfolder.waiting(self._folder)
        except FileNotFoundError:
            return 0
        left = len(names) > _AT_ONCE
        for name in names[:_AT_ONCE]:
            try:
                accepted += self._one(name)
            except FileNotFoundError:
                continue
            except (StoreError, Refused, OSError) as error:
                left = True
                _log.error("drop folder: %s stays: %s", name, error)
        settled = changed < (self._clock.now() - _TICK) * 1e9    # a name that comes in the same tick must be seen, too
        self._looked = changed if settled and not left else -1
        return accepted

    def _one(self, name: str) -> bool:
        try:
            with dropfolder.opened(self._folder, name) as handed:
                self._enter(handed)
        except NotOurs as error:
            _log.warning("drop folder: %s refused: %s", name, error)
            self._journal.record("refused", door="sendmail", why=str(error))
            dropfolder.remove(self._folder, name)
            return False
        dropfolder.remove(self._folder, name)
        return True

    def _enter(self, handed: Handed) -> None:
        """Through the door, or back to its owner. Refused is temporary."""
        owner = person(handed.uid, self._rules.domain)
        message, head = _head(handed.message)
        try:
            envelope, warning = self._envelope(handed, owner, head)
            gateway = handed.record.get("gateway") is True and handed.record.get("extract") is not True
            self._door.accept(envelope, message, fix=None if gateway else self._fix(handed, owner, warning))
        except Bad as error:
            self._give_back(handed, owner, head, str(error))
        except Refused as error:
            if not error.reply.permanent:
                raise
            self._give_back(handed, owner, head, str(error.reply))

    # --- who sends what to whom

    def _envelope(self, handed: Handed, owner: Person, head: bytes) -> tuple[Envelope, str]:
        """The envelope, and the sender that was asked for in vain ("" if none was)."""
        record = handed.record
        asked = record.get("sender")
        sender, warning = self._sender(asked if isinstance(asked, str) else None, owner)
        notify, envid = _text(record, "notify", _NOTIFY).upper(), _text(record, "envid", _ENVID)
        ret, body = _text(record, "ret").upper(), _text(record, "body").upper()
        recipients = tuple(Recipient(one, "", notify) for one in self._recipients(record, head))
        utf8 = not all(text.isascii() for text in (sender, *(one.address for one in recipients)))
        return Envelope(
            self._door.ids.new(), f"drop:{handed.name}", sender, recipients,
            Origin("sendmail", client=f"userid-{handed.uid}", protocol="local", login=owner.login),
            self._clock.now(),
            body="8BITMIME" if body == "8BITMIME" else "", smtputf8=utf8,
            ret=ret if ret in ("FULL", "HDRS") else "", envid=envid,
        ), warning  # fmt: skip

    def _sender(self, asked: str | None, owner: Person) -> tuple[str, str]:
        if asked is None:
            return owner.address, ""
        if asked in ("", "<>"):
            return "", ""
        try:
            address = mailbox(asked, domain=self._rules.domain)
        except BadAddress as error:
            raise Bad(f"{asked[:200]!r} (-f): {error}") from error
        if address == owner.address or owner.login in self._rules.trusted:
            return address, ""
        if self._rules.owns(owner.address, address):
            return address, ""
        return owner.address, address

    def _recipients(self, record: Mapping[str, Any], head: bytes) -> list[str]:
        given = record.get("recipients")
        texts = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        if record.get("extract") is True:
            texts += _addressed(head)
        found: dict[str, None] = {}
        for text in texts[: RECIPIENTS + 1]:
            try:
                found[mailbox(text, domain=self._rules.domain)] = None
            except BadAddress as error:
                raise Bad(f"{text[:200]!r}: {error}") from error
        if not found:
            raise Bad("no recipients / sin destinatarios")
        if len(found) > RECIPIENTS:
            raise Bad(f"more than {RECIPIENTS} recipients / más de {RECIPIENTS} destinatarios")
        return list(found)

    # --- what is written

    def _fix(self, handed: Handed, owner: Person, warning: str) -> Callable[[bytes, Envelope], bytes]:
        hostname = self._door.hostname

        def fix(block: bytes, envelope: Envelope) -> bytes:
            if b"from" not in {name for name, _ in fixes.fields(block)}:
                block += b"From: " + _written(envelope.sender or owner.address, _full_name(handed, owner)) + b"\r\n"
            if warning:
                block += f"X-Authentication-Warning: {hostname}: {owner.login} set sender to {warning} using -f\r\n" \
                    .encode("utf-8", "replace")
            return fixes.submitted(
                block, sender=envelope.sender, hostname=hostname, date=date(int(envelope.received_at)),
                message_id=f"{envelope.id}@{hostname}",
            )  # fmt: skip

        return fix

    def _give_back(self, handed: Handed, owner: Person, head: bytes, why: str) -> None:
        """A short notice to the owner, with the header that was refused."""
        self._journal.record("refused", door="sendmail", client=f"userid-{handed.uid}", why=why)
        identity = self._door.ids.new()
        now = self._clock.now()
        hostname = self._door.hostname
        header = head[:4000].decode("utf-8", "replace").replace("\r\n", "\n")
        text = (
            f"Date: {date(int(now))}\nMessage-ID: <{identity}@{hostname}>\nFrom: Mail Delivery System <MAILER-DAEMON@"
            f"{hostname}>\nTo: {owner.address}\nSubject: Mail could not be sent / No se pudo enviar el correo\n"
            "Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\n\n"
            "A message that you handed in with sendmail could not be sent. The reason:\n"
            "Un mensaje que usted entregó con sendmail no se pudo enviar. El motivo:\n\n"
            f"    {_one_line(why)}\n\nIts header / Su cabecera:\n\n{header}\n"
        )
        envelope = Envelope(
            identity, f"drop:{handed.name}", "", (Recipient(owner.address),), Origin("dsn", protocol="local"), now,
            body="8BITMIME",
        )  # fmt: skip
        self._door.accept(envelope, text.encode("utf-8", "replace"))


def person(uid: int, domain: str) -> Person:
    """Who the user with this number is, as a sender."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Person(f"uid{uid}", "", f"uid{uid}@{domain}")
    name = found.pw_gecos.partition(",")[0].replace("&", found.pw_name.capitalize())
    try:
        address = mailbox(found.pw_name, domain=domain)
    except BadAddress:
        address = f"uid{uid}@{domain}"
    return Person(found.pw_name, name, address)


def _full_name(handed: Handed, owner: Person) -> str:
    asked = handed.record.get("name")
    return asked[:200] if isinstance(asked, str) and asked else owner.name


def _written(address: str, name: str) -> bytes:
    local, _, domain = address.rpartition("@")
    return addresses.format_mailbox(addresses.Mailbox(name, local.strip('"'), domain))


def _text(record: Mapping[str, Any], name: str, pattern: re.Pattern[str] | None = None) -> str:
    value = record.get(name)
    return value if isinstance(value, str) and (pattern is None or pattern.match(value)) else ""


def _head(message: Iterator[bytes]) -> tuple[Iterable[bytes], bytes]:
    """The whole message again, and its header block with CRLF line ends as far as it is looked at."""
    first: list[bytes] = []
    data = b""
    for chunk in message:
        first.append(chunk)
        data += chunk
        if _END.search(data) or len(data) > _HEADER:
            break
    canonical = dots.Canonical()
    head = canonical.feed(data[:_HEADER]) + canonical.end()
    end = 0 if head.startswith(b"\r\n") else head.find(b"\r\n\r\n") + 2
    return chain(first, message), head[:end] if end > 1 or head.startswith(b"\r\n") else head


def _addressed(head: bytes) -> list[str]:
    """The recipients that a header names; only those of the resent fields if there are any."""
    fields: dict[bytes, list[bytes]] = {}
    for name, field in fixes.fields(head):
        fields.setdefault(name, []).append(field.partition(b":")[2])
    for names in ((b"resent-to", b"resent-cc", b"resent-bcc"), (b"to", b"cc", b"bcc")):
        values = [value for name in names for value in fields.get(name, ())]
        found = [_address(one) for value in values for one in addresses.lenient(value)]
        if found:
            return [one for one in found if one]
    return []


def _address(found: addresses.Mailbox) -> str:
    return addresses.format_address(found).decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:500]
