"""Reports to senders as bytes: failure, delay, and the notice to the postmaster when a sender can't be told (S82, S83).

Promises: multipart/report with a text for people (from templates, English and Spanish, replaceable), the machine part
of RFC 3464, and the header or the whole of the original. Nothing that came from outside (replies, addresses, headers)
can add a header field, a control character or a part of its own (sec-M06, sec-O05): text is cleaned and cut, and the
finished header is counted again. Pure but for reading templates.
RFC 3461, 3462, 3464, 3834, 6533.
"""

import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import jinja2

import templates
from bridge.model.envelope import Envelope
from bridge.store.queuetables import Row
from bridge.wire import addresses, dates, headers

EOL = b"\r\n"
LANGUAGES = ("en", "es")
_MOST = 100             # recipients that are named in one report
_TEXT = 500             # characters of a reply
_SUBJECT = 100          # characters of the original subject


@dataclass(frozen=True, slots=True)
class House:
    """Who we are, for the words and the machine part."""

    hostname: str
    postmaster: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be told. `kind`: failed, delayed, double; `number` tells reports of one message apart; `until` is
    when a delayed message will be given up; `why` says why a sender can't be told."""

    kind: str
    number: str
    envelope: Envelope
    rows: tuple[Row, ...]
    to: str
    at: float
    until: float = 0.0
    why: str = ""


class Composer:
    """Makes the bytes. `override`: a folder whose templates replace the shipped ones of the same name."""

    def __init__(self, house: House, override: Path | None = None) -> None:
        self.house = house
        folders = [*([override / "mail"] if override else []), Path(next(iter(templates.__path__))) / "mail"]
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders),
            autoescape=False,       # mail text, not HTML
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )

    def compose(self, report: Report, header: bytes, original: Iterator[bytes] | None) -> Iterator[bytes]:
        """The report in pieces. `header`: header block of the original; `original`: all of it, to be attached whole."""
        subject, text = self._words(report, header, full=original is not None)
        mark = f"{report.envelope.id}.{report.number}.{report.to}.{self.house.hostname}"
        boundary = b"=_" + sha256(mark.encode()).hexdigest()[:40].encode()
        yield self._head(report, header, subject, boundary)
        yield _part(boundary, b"text/plain; charset=utf-8", b"base64", _base64(text))
        yield _part(boundary, b"message/delivery-status", b"7bit", self._status(report))
        if original is None:
            yield _part(boundary, b"text/rfc822-headers", b"8bit", _harmless(header))
        else:
            yield b"--" + boundary + b"\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            yield from original
            yield EOL
        yield b"--" + boundary + b"--\r\n"

    def _words(self, report: Report, header: bytes, *, full: bool) -> tuple[str, str]:
        """(subject, text): the template's first line is the subject."""
        language = self.house.language if self.house.language in LANGUAGES else LANGUAGES[0]
        about = headers.decode(headers.first(header, b"Subject") or b"")[:_SUBJECT].strip()
        rendered = self._templates.get_template(f"dsn.{report.kind}.{language}.txt").render(
            hostname=self.house.hostname,
            postmaster=self.house.postmaster,
            about=f": {about}" if about else "",
            recipients=[_shown(row) for row in report.rows[:_MOST]],
            full=full,
            until=dates.rfc5322(int(report.until)),
            why=report.why,
            id=report.envelope.id,
            sender=clean(report.envelope.sender),
        )
        subject, _, text = rendered.partition("\n")
        return subject.removeprefix("Subject:").strip(), text.lstrip("\n")

    def _head(self, report: Report, header: bytes, subject: str, boundary: bytes) -> bytes:
        local, _, domain = report.to.rpartition("@")
        fields = [
            addresses.address_field(
                "From", (addresses.Mailbox("Mail Delivery System", "MAILER-DAEMON", self.house.hostname),), EOL
            ),
            addresses.address_field("To", (addresses.Mailbox("", local, domain),), EOL),
            headers.field("Subject", subject, EOL),
            headers.field("Date", dates.rfc5322(int(report.at)), EOL),
            headers.field("Message-ID", f"<dsn.{report.envelope.id}.{report.number}@{self.house.hostname}>", EOL),
            headers.field("Auto-Submitted", "auto-replied", EOL),
            headers.field("MIME-Version", "1.0", EOL),
        ]
        answered = headers.first(header, b"Message-ID")
        if answered and len(answered) < 300:
            fields.append(headers.token_field("References", (headers.unfold(answered),), EOL))
        content = b'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="' + boundary + b'"\r\n'
        made = b"".join(fields) + content
        if len(headers.triples(made)) != len(fields) + 1:
            raise ValueError("a generated header holds more fields than were made")
        return made + EOL

    def _status(self, report: Report) -> bytes:
        """The machine part: a group for the message, one for each recipient."""
        envelope = report.envelope
        lines = [f"Reporting-MTA: dns; {self.house.hostname}", f"X-Estafeta-Queue-ID: {envelope.id}"]
        if envelope.envid:
            lines.insert(0, f"Original-Envelope-Id: {clean(envelope.envid)}")
        lines.append(f"Arrival-Date: {dates.rfc5322(int(envelope.received_at))}")
        for row in report.rows[:_MOST]:
            lines += ["", *_group(row, report)]
        return "\r\n".join(lines).encode("ascii", "replace") + EOL


def _group(row: Row, report: Report) -> list[str]:
    action = "delayed" if report.kind == "delayed" else "failed"
    status = row.enhanced or ("4.0.0" if action == "delayed" else "5.0.0")
    lines = []
    if row.orcpt:
        lines.append(f"Original-Recipient: {_ascii(row.orcpt)}")
    elif row.original != row.address:
        lines.append(f"Original-Recipient: {_typed(row.original)}")
    lines += [f"Final-Recipient: {_typed(row.address)}", f"Action: {action}", f"Status: {clean(status)}"]
    if row.place and row.kind == "remote":
        lines.append(f"Remote-MTA: dns; {_ascii(row.place)}")
    if row.code:
        lines.append(f"Diagnostic-Code: smtp; {_ascii(_said(row))}")
    if action == "delayed":
        lines.append(f"Will-Retry-Until: {dates.rfc5322(int(report.until))}")
    return lines


def _shown(row: Row) -> dict[str, str]:
    """A recipient for the text."""
    return {
        "address": clean(row.address),
        "original": clean(row.original) if row.original != row.address else "",
        "place": clean(row.place) if row.kind == "remote" else "",
        "reply": clean(_said(row)),
    }


def _said(row: Row) -> str:
    return " ".join(filter(None, (str(row.code) if row.code else "", row.enhanced, row.reply)))


def clean(text: str) -> str:
    """One line without control characters, cut to a bearable length (sec-O05)."""
    text = text[: 2 * _TEXT]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text[:_TEXT]


def _ascii(text: str) -> str:
    return clean(text).encode("ascii", "backslashreplace").decode()


def _typed(address: str) -> str:
    """An address with its type; RFC 6533 3: what isn't ASCII as utf-8-addr-xtext."""
    address = clean(address)
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in address)


def _part(boundary: bytes, kind: bytes, encoding: bytes, body: bytes) -> bytes:
    head = b"--" + boundary + b"\r\nContent-Type: " + kind + b"\r\nContent-Transfer-Encoding: " + encoding
    return head + b"\r\n\r\n" + body + EOL


def _base64(text: str) -> bytes:
    raw = text.replace("\n", "\r\n").encode("utf-8", "replace")
    return b"".join(binascii.b2a_base64(raw[at : at + 57], newline=False) + EOL for at in range(0, len(raw), 57))


def _harmless(header: bytes) -> bytes:
    """A foreign header block as the body of a part: header lines have names, so none is a boundary."""
    return headers.select(header, (), exclude=True).replace(b"\r\n", b"\n").replace(b"\n", EOL)


def choose_full(envelope: Envelope, size: int, *, full: bool, limit: int) -> bool:
    """Does the report carry the whole original? RET (RFC 3461) decides, else the setting; large ones never do."""
    return size <= limit and (envelope.ret.upper() == "FULL" or (full and envelope.ret.upper() != "HDRS"))


def wants(row: Row, what: str) -> bool:
    """Does the sender want to hear `what` (FAILURE, DELAY) of this recipient? RFC 3461 4.1."""
    asked = {word.strip().upper() for word in row.notify.split(",") if word.strip()}
    return not asked or what in asked


def told(rows: Sequence[Row], what: str) -> tuple[Row, ...]:
    return tuple(row for row in rows if wants(row, what))
