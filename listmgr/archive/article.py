"""An entry of the mbox as an article: the facts for its row, and its content for the page.

Promises: never raises for anything a mail contains; nothing of a mail becomes markup: HTML parts are reduced to their
words, everything else is text to be escaped (sec-W01); names of attachments are made of harmless characters and end in
`.bin` unless the kind is one that no browser runs (sec-W02); dates that can't be are replaced by the date of arrival
(sec-M16).
"""

import re
from dataclasses import dataclass
from hashlib import sha1, sha256

from bridge.wire import addresses, charset, dates, headers, mime, structure, text
from listmgr.archive import mbox

MAX_SUBJECT = 300
MAX_AUTHOR = 100
MAX_TEXT = 400_000  # characters of text on a page; the rest is in the mbox
MAX_ATTACHMENT = 64 << 20  # encoded bytes
MAX_FILES = 200
FAR = 15 * 86400  # a Date further from the arrival than this is wrong (pipermail's rule)
SAFE_KINDS = frozenset(
    [
        "pdf",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "webp",
        "txt",
        "text",
        "csv",
        "log",
        "diff",
        "patch",
        "asc",
        "sig",
        "zip",
        "gz",
        "bz2",
        "xz",
        "7z",
        "tar",
        "tgz",
        "odt",
        "ods",
        "odp",
        "odg",
        "doc",
        "docx",
        "xls",
        "xlsx",
        "ppt",
        "pptx",
        "rtf",
        "tex",
        "bib",
        "eps",
        "ps",
        "dvi",
        "mp3",
        "ogg",
        "oga",
        "opus",
        "flac",
        "wav",
        "mp4",
        "webm",
        "mpg",
        "ics",
        "vcf",
        "py",
        "c",
        "h",
        "tif",
        "tiff",
        "bmp",
    ]
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_AT = re.compile(r"([A-Za-z0-9._%+=-]{1,64})@([A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{1,200})")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a row says of an article."""

    msgid: str
    refs: tuple[str, ...]
    author: str
    subject: str
    base: str
    reply: bool
    sent: int
    zone: int
    folder: str


@dataclass(frozen=True, slots=True)
class File:
    """An attachment: name below the article's folder, content, what the mail called it and its kind."""

    name: str
    content: bytes
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Content:
    """What an article shows: texts and files in the order of the mail; `cut`: there was more text than is shown."""

    pieces: tuple["str | File", ...]
    cut: bool

    @property
    def files(self) -> tuple[File, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, File))


def digest_of(entry: bytes) -> str:
    """What identifies an entry: its bytes, not its Message-ID, which anybody can choose (sec-M17)."""
    return sha256(entry).hexdigest()


def facts(entry: bytes, digest: str, prefix: str, fallback: int) -> Facts:
    """Read the header of an entry. `fallback` is the time to take where entry and header have none."""
    start = entry.find(b"\n") + 1 if entry.startswith(b"From ") else 0
    header = headers.block(entry, start)
    found = {name.lower(): value for _, name, value in reversed(headers.triples(header))}
    msgid = structure.message_id(found.get(b"message-id", b""))
    subject = masked(without_prefix(headers.decode(found.get(b"subject", b"")), prefix))[:MAX_SUBJECT]
    base, reply = structure.base_subject(subject)
    arrived = mbox.arrival(entry)
    sent, zone = _date(found.get(b"date", b""), fallback if arrived is None else arrived, arrived is None)
    refs = structure.references(found.get(b"references", b"")) or structure.references(found.get(b"in-reply-to", b""))
    year, month, day = dates.civil(sent)
    mark = sha1((msgid or digest).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    folder = f"{year:04d}{month:02d}{day:02d}/{mark[:4]}{mark[-4:]}"
    return Facts(msgid, refs, author(found.get(b"from", b"")), subject, base[:MAX_SUBJECT], reply, sent, zone, folder)


def _date(raw: bytes, arrived: int, unsure: bool) -> tuple[int, int]:
    parsed = dates.parse(headers.unfold(raw)) if raw else None
    if parsed is None or parsed[0] < 0 or (not unsure and abs(parsed[0] - arrived) > FAR):
        return arrived, 0
    return parsed


def without_prefix(subject: str, prefix: str) -> str:
    """The subject without the list's own mark, wherever replies have pushed it."""
    mark = prefix.strip()
    if mark and mark in subject:
        subject = " ".join(subject.replace(mark, " ").split())
    return subject


def author(raw: bytes) -> str:
    """A name if there is one, else the address in its masked form."""
    found = addresses.lenient(raw[:4096])
    if not found:
        return ""
    name = found[0].name.strip(" '\"")
    return masked(name or found[0].address)[:MAX_AUTHOR]


def masked(value: str) -> str:
    """Addresses as `user at host` (A16)."""
    return _AT.sub(r"\1 at \2", value) if "@" in value else value


def content(entry: bytes) -> Content:
    """Texts and files of an entry, in order."""
    data = mbox.message(entry)
    scanned = mime.scan(data)
    hidden = _alternatives(scanned.root)
    pieces: list[str | File] = []
    room, names = MAX_TEXT, set[str]()
    cut = False
    for part in scanned.parts:
        if id(part) in hidden:
            continue
        if part.kind is mime.Kind.MESSAGE:
            shown = _forwarded(part)
        elif part.kind is not mime.Kind.LEAF:
            continue
        elif part.type == b"text" and not text.is_attachment(part):
            shown = text.part_text(data, part)
        else:
            cut = cut or len(names) == MAX_FILES
            if len(names) < MAX_FILES:
                pieces.append(_file(data, part, names))
            continue
        cut = cut or len(shown) > room
        pieces.append(shown[:room])
        room -= min(room, len(shown))
    return Content(tuple(pieces), cut or scanned.truncated)


def _alternatives(root: mime.Part) -> set[int]:
    """Parts that are another form of a plain text beside them: the HTML half of multipart/alternative, with all below
    it."""
    hidden: set[int] = set()
    stack = [(root, False)]
    while stack:
        part, hide = stack.pop()
        if hide:
            hidden.add(id(part))
        plain = part.subtype == b"alternative" and any(one.subtype == b"plain" for one in part.children)
        for child in part.children:
            stack.append(
                (child, hide or (plain and child.subtype != b"plain" and child.type in (b"text", b"multipart")))
            )
    return hidden


def _forwarded(part: mime.Part) -> str:
    """The head of a message inside the message."""
    fields = part.children[0].fields if part.children else {}
    lines = [
        f"{name.decode().title()}: {headers.decode(fields[name])[:MAX_SUBJECT]}"
        for name in (b"from", b"to", b"subject", b"date")
        if name in fields
    ]
    return "\n".join(["-" * 30, *lines, "", ""])


def _file(data: bytes, part: mime.Part, names: set[str]) -> File:
    body = text.part_bytes(data, part, MAX_ATTACHMENT)
    title = (part.filename or "").strip()
    kind = f"{part.type.decode('latin-1')}/{part.subtype.decode('latin-1')}"[:100]
    name = safe_name(title or "attachment" + _EXTENSIONS.get(kind, ""), names)
    names.add(name)
    return File(name, body, title[:200] or name, kind)


_EXTENSIONS = {
    "application/pdf": ".pdf", "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "text/plain": ".txt",
    "application/pgp-signature": ".sig", "application/zip": ".zip",
}  # fmt: skip


def safe_name(title: str, taken: set[str]) -> str:
    """A file name of harmless characters, harmless kind, not in `taken`."""
    title = title if title.isascii() else charset.fold(title)
    base = (
        _UNSAFE.sub("_", title.replace("\\", "/").rpartition("/")[2]).strip("._-")[-80:].lstrip("._-") or "attachment"
    )
    stem, dot, kind = base.rpartition(".")
    if not dot or kind.lower() not in SAFE_KINDS:
        stem, kind = base, "bin"
    stem = stem.replace(".", "_") or "attachment"  # x.php.jpg would run on some servers
    name, number = f"{stem}.{kind.lower()}", 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}.{kind.lower()}"
    return name
