"""Pages out of rows and articles: HTML by Jinja2, the text volume by hand.

Promises: pure (bytes out, nothing written); templates are compiled once; everything is escaped, and the only markup
made outside a template is that of `text_html`, which escapes first (sec-W01); addresses are masked (A16); the same rows
give the same bytes, so writing one page anew or all of them cannot differ.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

import templates
from bridge.wire import dates
from listmgr.archive import volumes
from listmgr.archive.article import Content, File, masked
from listmgr.archive.threads import Node, thread
from listmgr.archive.words import WORDS, moment

VIEWS = ("thread", "subject", "author", "date")
SHOWN_DEPTH = 8  # levels of indentation
_URL = re.compile(r"https?://(?:[^\s&<>\"']|&amp;)+")
_TRAILING = ".,;:!?)]}*_"
_QUOTE = re.compile(r"^(?:&gt;|\|).*$", re.M)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One article, as indexes and neighbours need it."""

    number: int
    volume: str
    msgid: str
    refs: str
    author: str
    subject: str
    base: str
    reply: bool
    sent: int
    zone: int
    folder: str
    offset: int
    length: int
    written: bool

    @property
    def page(self) -> str:
        return f"{self.number:06d}.html"


@dataclass(frozen=True, slots=True)
class Shelf:
    """What pages say of their list."""

    name: str
    title: str
    posting: str
    language: str
    listinfo: str


@dataclass(frozen=True, slots=True)
class Line:
    """One article in an index. `depth` levels in; `deeper`: a new level opens; `closed`: so many end before it."""

    page: str
    number: int
    subject: str
    author: str
    depth: int = 0
    deeper: bool = False
    closed: int = 0


class Pages:
    """The renderer. `override` is a folder whose templates replace the shipped ones of the same name (A28)."""

    def __init__(self, override: Path | None = None) -> None:
        folders = [*([override / "archive"] if override else []), Path(next(iter(templates.__path__))) / "archive"]
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False, optimized=True,
        )  # fmt: skip
        self._article = environment.get_template("article.html")
        self._index = environment.get_template("index.html")
        self._toc = environment.get_template("toc.html")
        self.style = environment.get_template("style.css").render().encode()

    def article(self, shelf: Shelf, row: Row, content: Content, previous: Row | None, following: Row | None) -> bytes:
        """The page of one article, with links to its neighbours in the volume."""
        words = WORDS[shelf.language]
        subject = row.subject or words.nosubject
        page = self._article.render(
            language=shelf.language, w=words, up="../", robots="index,nofollow", title=f"[{shelf.title}] {subject}",
            listinfo=shelf.listinfo, number=row.number, subject=subject,
            author=row.author or words.nobody, date=moment(row.sent, row.zone, shelf.language),
            reply=_mailto(shelf, row), body=_body(content, row.folder, shelf.language),
            previous=_link(previous, words.nosubject), next=_link(following, words.nosubject),
        )  # fmt: skip
        return page.encode("utf-8", "replace")

    def indexes(self, shelf: Shelf, volume: str, rows: Sequence[Row]) -> dict[str, bytes]:
        """The four views of a volume by name."""
        words = WORDS[shelf.language]
        nosubject, nobody = words.nosubject, words.nobody
        lines = [Line(row.page, row.number, row.subject or nosubject, row.author or nobody) for row in rows]
        by_date = sorted(range(len(rows)), key=lambda at: (rows[at].sent, rows[at].number))
        orders = {
            "subject": sorted(by_date, key=lambda at: rows[at].base),
            "author": sorted(by_date, key=lambda at: rows[at].author.casefold()),
            "date": by_date,
        }
        label = volumes.label(volume, shelf.language)
        pages = {}
        for view in VIEWS:
            shown = _threaded(rows, lines) if view == "thread" else [lines[at] for at in orders[view]]
            pages[view] = self._index.render(
                language=shelf.language, w=words, up="../", robots="noindex,follow", listinfo=shelf.listinfo, view=view,
                title=f"{shelf.title}: {label}", entries=shown, count=len(rows),
                first=_day(rows, by_date, 0, shelf.language), last=_day(rows, by_date, -1, shelf.language),
            ).encode("utf-8", "replace")  # fmt: skip
        return pages

    def toc(self, shelf: Shelf, found: Sequence[tuple[str, int]]) -> bytes:
        """The table of volumes, newest first, from (name, size of the compressed text)."""
        sizes = dict(found)
        lines = [
            {"name": name, "label": volumes.label(name, shelf.language), "size": _size(sizes[name])}
            for name in volumes.newest_first(list(sizes))
        ]
        words = WORDS[shelf.language]
        return self._toc.render(
            language=shelf.language, w=words, up="", robots="noindex,follow", listinfo=shelf.listinfo, list=shelf.title,
            title=f"{words.archive} {shelf.title}", volumes=lines,
        ).encode("utf-8", "replace")  # fmt: skip


def text_html(text: str) -> str:
    """A text as the inside of <pre>: escaped, addresses masked, links made of http and https, quotations marked."""
    if not text.isprintable():
        text = _CONTROL.sub(" ", text)
    html = str(escape(masked(text)))
    if "://" in html:
        html = _URL.sub(_linked, html)
    return _QUOTE.sub(r"<i>\g<0></i>", html)


def _linked(found: re.Match[str]) -> str:
    url = found[0].rstrip(_TRAILING)
    return f'<a rel="nofollow" href="{url}">{url}</a>{found[0][len(url) :]}'


def _body(content: Content, folder: str, language: str) -> Markup:
    words = WORDS[language]
    out: list[Markup] = []
    for piece in content.pieces:
        if isinstance(piece, File):
            href, title = f"../attachments/{folder}/{quote(piece.name)}", masked(_CONTROL.sub(" ", piece.title))
            link = Markup('<a rel="nofollow" href="{}">{}</a>').format(href, title)
            size = f"{len(piece.content)} {words.bytes}"
            out.append(Markup('<p class="file">{}: {} ({}, {})</p>').format(words.attachment, link, piece.kind, size))
        elif piece.strip():
            out.append(Markup(f"<pre>{text_html(piece)}</pre>"))
    if content.cut:
        out.append(Markup("<p>{}</p>").format(words.cut))
    return Markup("\n".join(out))


def _mailto(shelf: Shelf, row: Row) -> str:
    if not shelf.posting:
        return ""
    subject = row.subject if row.reply else f"Re: {row.subject}"
    answer = f"&In-Reply-To={quote(row.msgid, safe='')}" if row.msgid else ""
    address = quote(shelf.posting, safe="")
    return f"mailto:{address}?Subject={quote(subject, safe='', errors='replace')}{answer}"


def _link(row: Row | None, nosubject: str) -> Line | None:
    return None if row is None else Line(row.page, row.number, row.subject or nosubject, "")


def _threaded(rows: Sequence[Row], lines: Sequence[Line]) -> list[Line]:
    """Lines in thread order, each with what to open and close before it."""
    nodes = [Node(row.number, row.msgid, tuple(row.refs.split()), row.base, row.reply, row.sent) for row in rows]
    shown: list[Line] = []
    before = -1
    for depth, index in thread(nodes):
        depth = min(depth, SHOWN_DEPTH)
        shown.append(replace(lines[index], depth=depth, deeper=depth > before >= 0, closed=max(0, before - depth)))
        before = depth
    return shown


def _day(rows: Sequence[Row], order: Sequence[int], which: int, language: str) -> str:
    row = rows[order[which]]
    return moment(row.sent, row.zone, language)


def _size(octets: int) -> str:
    return f"{octets} B" if octets < 1024 else f"{octets // 1024} KB" if octets < 10 << 20 else f"{octets >> 20} MB"


def text_entry(shelf: Shelf, row: Row, content: Content) -> bytes:
    """An article in the text volume: a gzip member of its own, so that a volume grows by appending."""
    stamp = dates.from_line(row.sent)
    lines = [
        f"From {row.author.replace(' ', '_') or 'nobody'}  {stamp}",
        f"From: {row.author}",
        f"Date: {dates.rfc5322(row.sent, row.zone)}",
        f"Subject: [{shelf.title}] {row.subject}",
    ]
    if row.refs:
        lines.append(f"References: {row.refs}")
    if row.msgid:
        lines.append(f"Message-ID: {row.msgid}")
    lines += ["", *map(_plain, content.pieces), ""]
    text = "\n".join(lines)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(text.encode("utf-8", "replace")) + packer.flush()


def _plain(piece: "str | File") -> str:
    if isinstance(piece, File):
        return f"[{masked(piece.title)} ({piece.kind}, {len(piece.content)} bytes)]"
    return re.sub(r"^(>*From )", r">\1", masked(piece), flags=re.M)
