"""ENVELOPE, BODYSTRUCTURE and BODY as ready wire bytes, and all that the mailbox index keeps of a message.

Promise: for any message the bytes are one syntactically valid IMAP list (sec-I14): strings are quoted where 7-bit and
without CR and LF, else literals; no NUL ever.  `describe` scans once and never raises.  Depth and number of parts are
bounded by `mime`, addresses by `addresses`.  RFC 9051 7.5.2, RFC 5256 2.1 (base subject), RFC 8970 (preview).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.wire import addresses, charset, dates, headers, lines, mime, text
from bridge.wire.mime import Kind, Part, Structure
from bridge.wire.mimefields import Params

if TYPE_CHECKING:
    from bridge.wire.mime import Buffer

MAX_QUOTED = 1000  # longer strings go out as literals
MAX_REFERENCES = 50
MAX_ID = 998
MAX_PREVIEW = 200
MAX_CACHED = 32 * 1024  # a bigger selection of headers is not cached
MAX_SEARCH = 8 * 1024  # characters of one folded search text
MAX_SUBJECT = 2000  # characters from which the base subject is made

CACHED_FIELDS = frozenset(
    b"from to cc bcc subject date message-id in-reply-to references reply-to sender content-type list-id "
    b"content-transfer-encoding mime-version priority x-priority importance list-post list-unsubscribe newsgroups "
    b"delivered-to x-mailer user-agent disposition-notification-to x-spam-flag x-spam-status auto-submitted precedence "
    b"content-language resent-from resent-to resent-date followup-to x-original-to envelope-to return-path "
    b"mail-followup-to mail-reply-to x-beenthere x-list autocrypt thread-topic thread-index".split()
)


@dataclass(frozen=True, slots=True)
class Description:
    """What the index keeps of one message, from one scan of its bytes.

    `headers` are the fields of `CACHED_FIELDS` in their order as CRLF wire bytes without a blank line at the end;
    `headers_complete` is False where they are too big or the header block passes a limit: then read the file.
    Texts ending in `_folded` are decoded and folded for search (`charset.fold`).
    """

    envelope: bytes
    bodystructure: bytes
    body: bytes
    wire_size: int
    disk_size: int
    header_end: int  # disk offset where the body begins
    header_octets: int  # wire size of the header block with its blank line
    lines: int  # line ends in the body
    headers: bytes
    headers_complete: bool
    subject: str
    subject_folded: str
    from_folded: str
    to_folded: str
    cc_folded: str
    bcc_folded: str
    base_subject: str
    is_reply: bool  # the subject had a reply or forward mark (RFC 5256 2.1)
    sort_from: str  # folded local part of the first address (RFC 5256 SORT)
    sort_to: str
    sort_cc: str
    display_from: str  # folded display name, else address, of the first (RFC 5957 SORT=DISPLAY)
    display_to: str
    sent: int | None  # seconds since 1970 UTC
    sent_offset: int  # minutes
    message_id: str
    in_reply_to: str  # first id of In-Reply-To
    references: tuple[str, ...]  # last MAX_REFERENCES, oldest first
    preview: str
    has_attachment: bool
    truncated: bool  # a limit of the scanner was met


def describe(data: Buffer) -> Description:
    """Everything at once for a whole message as it is on disk."""
    data = mime.searchable(data)
    structure = mime.scan(data)
    root = structure.root
    message = _Headers(root.fields, structure.header_fields)
    full, short = _render(structure, data)
    subject = headers.decode(message.raw(b"subject"))
    base, is_reply = base_subject(subject)
    cached, complete = _cached(structure)
    sent = dates.parse(headers.unfold(message.raw(b"date")))
    from_, to, cc = message.entries(b"from"), message.entries(b"to"), message.entries(b"cc")
    return Description(
        envelope=message.envelope(),
        bodystructure=full,
        body=short,
        wire_size=structure.octets,
        disk_size=structure.size,
        header_end=root.body_start,
        header_octets=root.header_octets,
        lines=root.lines,
        headers=cached,
        headers_complete=complete,
        subject=subject,
        subject_folded=charset.fold(subject[:MAX_SEARCH]),
        from_folded=message.folded(b"from"),
        to_folded=message.folded(b"to"),
        cc_folded=message.folded(b"cc"),
        bcc_folded=message.folded(b"bcc"),
        base_subject=base,
        is_reply=is_reply,
        sort_from=_sort_key(from_),
        sort_to=_sort_key(to),
        sort_cc=_sort_key(cc),
        display_from=_display_key(from_),
        display_to=_display_key(to),
        sent=sent[0] if sent else None,
        sent_offset=sent[1] if sent else 0,
        message_id=message_id(message.raw(b"message-id")),
        in_reply_to=message_id(message.raw(b"in-reply-to")),
        references=references(message.raw(b"references")),
        preview=preview(data, structure),
        has_attachment=any(map(text.is_attachment, structure.parts)),
        truncated=structure.truncated,
    )


def header_fields(cached: bytes, names: Iterable[bytes]) -> bytes:
    """The answer to BODY[HEADER.FIELDS (names)] from wire header bytes: the fields and a blank line."""
    return headers.select(cached, names) + b"\r\n"


def covered(names: Iterable[bytes]) -> bool:
    """Whether the cached headers can answer HEADER.FIELDS for these names."""
    return all(name.lower() in CACHED_FIELDS for name in names)


def _cached(structure: Structure) -> tuple[bytes, bool]:
    wanted = CACHED_FIELDS
    chosen = [whole for whole, name, _ in structure.header_fields if name in wanted]
    if not chosen:
        return b"", not _clipped(structure)
    out = lines.to_wire(b"\n".join(chosen))
    out += b"\n" if out.endswith(b"\r") else b"\r\n"
    if len(out) > MAX_CACHED or _clipped(structure):
        return b"", False
    return out, True


def _clipped(structure: Structure) -> bool:
    return len(structure.header) > headers.MAX_BLOCK or len(structure.header_fields) >= headers.MAX_FIELDS


# ---- strings

_SAFE = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*").fullmatch


def quoted(value: bytes) -> bytes:
    """An IMAP string: quoted where it can be, a literal where it has 8-bit bytes or line ends or is long."""
    if len(value) <= MAX_QUOTED:
        if _SAFE(value):
            return b'"' + value + b'"'
        value = value.replace(b"\0", b"")
        if _QUOTABLE(value):
            return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """A raw header value as an IMAP nstring, unfolded; NIL for None."""
    return b"NIL" if value is None else quoted(headers.unfold(value))


# ---- ENVELOPE


class _Headers:
    """The envelope fields of one message, by lower-case name; each address field is read at most once."""

    __slots__ = ("fields", "lists")

    def __init__(self, fields: dict[bytes, bytes], triples: list[tuple[bytes, bytes, bytes]]) -> None:
        self.fields = fields
        self.lists: dict[bytes, list[addresses.Entry]] = {}
        names = [name for _, name, _ in triples if name in _REPEATABLE]
        if len(names) > len(set(names)):
            self.fields = fields | {
                wanted: b",\n ".join([value.rstrip() for _, name, value in triples if name == wanted])
                for wanted in set(names)
            }

    def raw(self, name: bytes) -> bytes:
        return self.fields.get(name, b"")

    def folded(self, name: bytes) -> str:
        value = self.fields.get(name)
        return charset.fold(headers.decode(value[: 4 * MAX_SEARCH])[:MAX_SEARCH]) if value else ""

    def entries(self, name: bytes) -> list[addresses.Entry]:
        if name not in self.lists:
            value = self.fields.get(name)
            self.lists[name] = addresses.entries(value) if value else []
        return self.lists[name]

    def envelope(self) -> bytes:
        get = self.fields.get
        author = address_list(self.entries(b"from"))  # stands in for a missing or empty Sender and Reply-To
        sender, reply_to = self.entries(b"sender"), self.entries(b"reply-to")
        return b"(%b %b %b %b %b %b %b %b %b %b)" % (
            nstring(get(b"date")),
            nstring(get(b"subject")),
            author,
            address_list(sender) if sender else author,
            address_list(reply_to) if reply_to else author,
            address_list(self.entries(b"to")),
            address_list(self.entries(b"cc")),
            address_list(self.entries(b"bcc")),
            nstring(get(b"in-reply-to")),
            nstring(get(b"message-id")),
        )


_REPEATABLE = frozenset((b"to", b"cc", b"bcc"))


def envelope(header: bytes) -> bytes:
    """The ENVELOPE list of a header block."""
    triples = [(whole, name.lower(), value) for whole, name, value in headers.triples(header)]
    return _Headers({name: value for _, name, value in reversed(triples)}, triples).envelope()


def address_list(entries: list[addresses.Entry]) -> bytes:
    """Addresses as IMAP wants them; NIL for none.  NIL as host marks groups only: a missing domain is ""."""
    if not entries:
        return b"NIL"
    return b"(" + b"".join(map(_address, entries)) + b")"


def _address(entry: addresses.Entry) -> bytes:
    if entry.kind is addresses.Kind.MAILBOX:
        if _SAFE(entry.local) and _SAFE(entry.domain) and not entry.route:
            name = quoted(entry.name) if entry.name else b"NIL"
            return b'(%b NIL "%b" "%b")' % (name, entry.local, entry.domain)
        return b"(%b %b %b %b)" % (
            quoted(entry.name) if entry.name else b"NIL",
            quoted(entry.route) if entry.route else b"NIL",
            quoted(entry.local),
            quoted(entry.domain),
        )
    if entry.kind is addresses.Kind.GROUP:
        return b"(NIL NIL %b NIL)" % quoted(entry.name)
    return b"(NIL NIL NIL NIL)"


# ---- BODYSTRUCTURE


def bodystructure(structure: Structure, data: Buffer) -> bytes:
    """The extended form: with MD5, disposition, language and location."""
    return _render(structure, data)[0]


def body(structure: Structure, data: Buffer) -> bytes:
    """The form without extension data, for FETCH BODY."""
    return _render(structure, data)[1]


def _render(structure: Structure, data: Buffer) -> tuple[bytes, bytes]:
    """Both forms.  Children stand after their parent in `parts`: going backwards each is ready before it is needed."""
    done: dict[int, tuple[bytes, bytes]] = {}
    for part in reversed(structure.parts):
        params = _params(part.params)
        if part.kind is Kind.MULTIPART:
            children = [done.pop(id(child)) for child in part.children]
            subtype = b' "%b"' % part.subtype
            short = b"".join([child[1] for child in children]) + subtype
            full = b"".join([child[0] for child in children]) + subtype + b" " + params + _extension(part)
        else:
            fields = part.fields
            short = full = b'"%b" "%b" %b %b %b "%b" %d' % (
                part.type,
                part.subtype,
                params,
                nstring(fields.get(b"content-id")),
                nstring(fields.get(b"content-description")),
                part.encoding,
                part.octets,
            )
            if part.kind is Kind.MESSAGE:
                child = part.children[0]
                inner = bytes(data[child.header_start : min(child.body_start, child.header_start + headers.MAX_BLOCK)])
                told, (child_full, child_short) = envelope(inner), done.pop(id(child))
                short = b"%b %b %b %d" % (short, told, child_short, part.lines)
                full = b"%b %b %b %d" % (full, told, child_full, part.lines)
            elif part.type == b"text":
                short = full = b"%b %d" % (short, part.lines)
            full = b"%b %b%b" % (full, nstring(fields.get(b"content-md5")), _extension(part))
        done[id(part)] = b"(" + full + b")", b"(" + short + b")"
    return done[id(structure.root)]


def _extension(part: Part) -> bytes:
    """Disposition, language and location, each with a blank before it."""
    shown = part.disposition
    disposition = b'("%b" %b)' % (shown[0], _params(shown[1])) if shown else b"NIL"
    language = part.fields.get(b"content-language")
    location = part.fields.get(b"content-location")
    if language is None and location is None:
        return b" %b NIL NIL" % disposition
    return b" %b %b %b" % (disposition, _language(language), nstring(location))


_TAGS = re.compile(rb"[A-Za-z0-9-]{1,64}")


def _language(value: bytes | None) -> bytes:
    tags = _TAGS.findall(headers.unfold(value[:1000])) if value else []
    if not tags:
        return b"NIL"
    if len(tags) == 1:
        return quoted(tags[0])
    return b"(" + b" ".join(map(quoted, tags)) + b")"


def _params(params: Params) -> bytes:
    if not params:
        return b"NIL"
    return b"(" + b" ".join([quoted(name) + b" " + quoted(value) for name, value in params]) + b")"


# ---- ids, subjects, previews

_ID = re.compile(rb"<[^<>\s]+>")


def message_id(value: bytes) -> str:
    """The first `<id>` in a raw value, else all of it on one line; no longer than MAX_ID, "" for none (sec-M17)."""
    found = _ID.search(value)
    raw = found[0] if found else headers.unfold(value)
    return headers.decode_raw(raw[:MAX_ID])


def references(value: bytes) -> tuple[str, ...]:
    """The last MAX_REFERENCES ids of a References value, oldest first (sec-M18)."""
    found = _ID.findall(value[-MAX_REFERENCES * MAX_ID :]) if value else None
    if not found:
        return ()
    if len(found) > MAX_REFERENCES:
        found = found[-MAX_REFERENCES:]
    return tuple([headers.decode_raw(one[:MAX_ID]) for one in found])


_SPACES = re.compile(r"\s+")
_LEADER = re.compile(r"\s*(?:\[[^\[\]]*\]\s*)*(?:re|fwd?)\s*(?:\[[^\[\]]*\]\s*)?:", re.I)
_BLOB = re.compile(r"\s*\[[^\[\]]*\]\s*(?=\S)")


def base_subject(subject: str) -> tuple[str, bool]:
    """(base subject, folded; whether it was a reply or forward): RFC 5256 2.1."""
    rest = _SPACES.sub(" ", subject[:MAX_SUBJECT]).strip()
    reply = False
    while True:
        rest, trailers = _strip_trailers(rest)
        reply = reply or trailers
        while True:
            leader = _LEADER.match(rest)
            if leader:
                reply = True
                rest = rest[leader.end() :].lstrip()
                continue
            blob = _BLOB.match(rest)
            if not blob:
                break
            rest = rest[blob.end() :]
        if rest[:5].lower() == "[fwd:" and rest[-1:] == "]":
            reply = True
            rest = rest[5:-1].strip()
            continue
        return charset.fold(rest), reply


def _strip_trailers(rest: str) -> tuple[str, bool]:
    stripped = rest
    while stripped[-5:].lower() == "(fwd)":
        stripped = stripped[:-5].rstrip()
    return stripped, stripped != rest


def _sort_key(entries: list[addresses.Entry]) -> str:
    """The local part of the first address; a group's name if a group comes first (RFC 5256 3)."""
    if not entries:
        return ""
    first = entries[0]
    return charset.fold(headers.decode_raw((first.local or first.name)[:200]))


def _display_key(entries: list[addresses.Entry]) -> str:
    for entry in entries:
        if entry.kind is addresses.Kind.MAILBOX:
            name = headers.decode(entry.name) if entry.name else addresses.mailbox(entry).address
            return charset.fold(name[:200])
    return ""


_QUOTATION = re.compile(r"^(?:>.*|On .{1,200} wrote:|El .{1,200} escribió:)$", re.M)


def preview(data: Buffer, structure: Structure) -> str:
    """At most MAX_PREVIEW characters of the first text that is shown, on one line, without what it quotes."""
    part = _preview_part(structure)
    if part is None:
        return ""
    for limit in (1024, 65536):
        source = text.part_text(data, part, limit)
        quotes = source[:1] == ">" or "\n>" in source
        words = (_squeeze(_QUOTATION.sub("", source)) if quotes else "") or _squeeze(source)
        if len(words) >= MAX_PREVIEW // 2 or part.body_end - part.body_start <= limit:
            return words
    return words


def _squeeze(source: str) -> str:
    """The first MAX_PREVIEW characters with blanks and line ends made single blanks."""
    source = source.lstrip()
    words = " ".join(source[: MAX_PREVIEW + MAX_PREVIEW // 2].split())
    if len(words) < MAX_PREVIEW:
        words = " ".join(source[: MAX_PREVIEW * 20].split())
    return headers.clean(words[:MAX_PREVIEW]).strip()


def _preview_part(structure: Structure) -> Part | None:
    html = None
    for part in structure.parts:
        if text.is_text(part) and not text.is_attachment(part):
            if part.subtype != b"html":
                return part
            html = html or part
    return html
