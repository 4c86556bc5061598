"""Mails that the lists write themselves: templates in the reader's language, one way to build the bytes, one way out.

Promises: owner and stranger texts are inserted as text, never run as templates (sec-L21); a header can't be broken out
of: the finished block is counted again (sec-M06); every mail says Auto-Submitted, so that no robot answers it (RFC
3834); its key names its cause, so that doing a step twice sends one mail. Fails by: what the door raises.
"""

import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2

import templates
from bridge.model.clock import SYSTEM, Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.queue.enter import Door
from bridge.wire import addresses, dates, headers
from listmgr.addresses import Verb
from listmgr.registry import MailingList

LANGUAGES = ("en", "es")
EOL = b"\r\n"


@dataclass(frozen=True, slots=True)
class Notice:
    """A mail to be written. `cause` makes its key; `values` go to the template; `message` is attached whole."""

    template: str
    to: tuple[str, ...]
    language: str
    cause: str
    values: dict[str, Any]
    sender: Verb = Verb.REQUEST  # whose address stands in From
    reply_to: str = ""
    attached: bytes = b""
    parent: str = ""


class Notices:
    """Renders and sends. `override` is a folder whose templates replace the shipped ones of the same name."""

    def __init__(
        self, door: Door, *, clock: Clock = SYSTEM, override: Path | None = None,
    ) -> None:  # fmt: skip
        self.door, self.clock = door, clock
        self._environment = environment(override)

    def send(self, which: MailingList, notice: Notice) -> str:
        """The key of the message that was accepted by the door."""
        now = self.clock.now()
        message = build(self._environment, which, notice, now)
        key = f"notice:{which.name}:{notice.template}:{notice.cause}"
        envelope = Envelope(
            id=self.door.ids.new(), key=key, sender=which.address(Verb.BOUNCES),
            recipients=tuple(map(Recipient, notice.to)), origin=Origin("list", client=which.name),
            received_at=now, parent=notice.parent, body="8BITMIME" if notice.attached else "",
        )  # fmt: skip
        self.door.accept(envelope, message)
        return key


def environment(override: Path | None) -> jinja2.Environment:
    """Mail templates: no autoescape (it is text), nothing undefined passes."""
    folders = [*([override / "list"] if override else []), Path(next(iter(templates.__path__))) / "list"]
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=False, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, auto_reload=False,
    )  # fmt: skip


def render(environment: jinja2.Environment, which: MailingList, notice: Notice) -> tuple[str, str]:
    """(subject, text): the template's first line is the subject."""
    language = notice.language if notice.language in LANGUAGES else LANGUAGES[0]
    template = environment.get_template(f"{notice.template}.{language}.txt")
    rendered = template.render(
        list=which.title, name=which.name, posting=which.posting, description=which.options.description,
        request=which.address(Verb.REQUEST), owner=which.address(Verb.OWNER), **notice.values,
    )  # fmt: skip
    subject, _, text = rendered.partition("\n")
    return subject.removeprefix("Subject:").strip(), text.lstrip("\n")


def build(environment: jinja2.Environment, which: MailingList, notice: Notice, now: float) -> bytes:
    """The whole message with CRLF line ends."""
    subject, text = render(environment, which, notice)
    digest = sha256(f"{notice.template}:{notice.cause}:{','.join(notice.to)}".encode()).hexdigest()[:24]
    local, _, domain = which.address(notice.sender).rpartition("@")
    fields = [
        addresses.address_field("From", (addresses.Mailbox(which.title, local, domain),), EOL),
        addresses.address_field("To", map(_mailbox, notice.to), EOL),
        headers.field("Subject", subject, EOL),
        headers.field("Date", dates.rfc5322(int(now)), EOL),
        headers.field("Message-ID", f"<estafeta.{digest}@{which.host}>", EOL),
        headers.token_field("List-Id", (f"<{which.list_id}>".encode(),), EOL),
        headers.field("X-BeenThere", which.posting, EOL),
        headers.field("Precedence", "bulk", EOL),
        headers.field("Auto-Submitted", "auto-generated", EOL),
        headers.field("MIME-Version", "1.0", EOL),
    ]
    if notice.reply_to:
        fields.append(addresses.address_field("Reply-To", (_mailbox(notice.reply_to),), EOL))
    content = _text_part(text)
    if notice.attached:
        content = _with_attachment(content, notice.attached, digest)
    block, _, body = content.partition(b"\r\n\r\n")
    return _checked(fields, block) + b"\r\n" + body


def _checked(fields: Iterable[bytes], block: bytes) -> bytes:
    made: Sequence[bytes] = list(fields)
    whole = b"".join(made) + block + EOL
    if len(headers.triples(whole)) != len(made) + len(headers.triples(block + EOL)):
        raise ValueError("a generated header holds more fields than were made")
    return whole


def _mailbox(address: str) -> addresses.Mailbox:
    local, _, domain = address.rpartition("@")
    return addresses.Mailbox("", local, domain)


def _text_part(text: str) -> bytes:
    """Content fields, blank line and body of a text: 7bit where it is plain, else quoted-printable."""
    raw = text.encode("utf-8", "replace")
    if raw.isascii() and max(map(len, raw.split(b"\n"))) < 900:
        kind, encoding, body = b"us-ascii", b"7bit", raw.replace(b"\r", b"")
    else:
        kind, encoding, body = b"utf-8", b"quoted-printable", binascii.b2a_qp(raw.replace(b"\r", b""), istext=True)
    fields = b'Content-Type: text/plain; charset="%s"\r\nContent-Transfer-Encoding: %s\r\n\r\n' % (kind, encoding)
    return fields + body.replace(b"\n", EOL)


def _with_attachment(content: bytes, message: bytes, digest: str) -> bytes:
    """Two parts: our text, and somebody's message as message/rfc822, untouched."""
    boundary = b"=_" + sha256(digest.encode() + message).hexdigest()[:40].encode()
    opening = b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n' % boundary
    parts = (b"--", boundary, EOL, content, b"\r\n--", boundary, EOL, b"Content-Type: message/rfc822\r\n\r\n", message)
    return opening + b"".join(parts) + b"\r\n--" + boundary + b"--\r\n"
