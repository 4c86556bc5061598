"""Nothing of a mail becomes markup (sec-W01, sec-W02, sec-L13), and addresses are masked (A16, sec-L15)."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listmgr.archive.article import Content, File
from listmgr.archive.pages import Pages, Row, Shelf, text_html

PAGES = Pages()
SHELF = Shelf("test", "Test", "test@example.org", "en", "https://lists.example.org/mailman/listinfo/test")

EVENTS = ("onerror", "onload", "onclick", "onfocus", "onmouseover", "ontoggle", "onbegin", "onpointerdown")
TAGS = (
    "img",
    "svg",
    "body",
    "input",
    "iframe",
    "video",
    "audio",
    "details",
    "marquee",
    "math",
    "object",
    "embed",
    "a",
    "form",
)
CORPUS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "</pre><script>alert(1)</script><pre>",
    "<!--endarticle--><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    'http://x/"onmouseover="alert(1)',
    "http://x/'onmouseover='alert(1)",
    "http://x/<script>alert(1)</script>",
    "https://x/&quot;onclick=alert(1)",
    "http://x/`onclick=alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "http://javascript:alert(1)",
    "<https://evil.example/<b>>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "{{ 7*7 }}{% for x in () %}",
    "${7*7}",
    "\u2028<script>",
    "<\u0000script>alert(1)",
    "\ufeff<script>",
    "<ſcript>alert(1)",
    "<style>@import'//evil.example'</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version=1.0?><x/>",
    "mailto:x@example.org?subject=<script>",
    "> <script>quoted</script>",
    "<img src=x@example.org>",
    "\x1b[31m<b>",
    'ann@example.org" onmouseover="alert(1)',
    "<plaintext>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    *(f"<{tag} {event}=alert(1)>" for tag in TAGS for event in EVENTS),
    *(f"<{tag} src=//evil.example/{event}>" for tag in TAGS for event in EVENTS[:3]),
    *(f"%3C{tag}%20{EVENTS[0]}%3Dalert(1)%3E" for tag in TAGS),
]

ALLOWED = {
    "html": {"lang"},
    "head": set(),
    "meta": {"charset", "name", "content"},
    "title": set(),
    "link": {"rel", "href"},
    "body": set(),
    "p": {"class", "id"},
    "a": {"href", "rel", "id"},
    "header": set(),
    "h1": set(),
    "b": {"aria-current"},
    "span": set(),
    "i": set(),
    "br": set(),
    "nav": {"aria-label"},
    "ul": {"class"},
    "li": set(),
    "main": {"id"},
    "pre": set(),
    "footer": set(),
    "table": set(),
    "thead": set(),
    "tbody": set(),
    "tr": set(),
    "th": {"scope"},
    "td": set(),
}
HREF = re.compile(r"(?:https?://[^\s\"'<>]+|mailto:test%40example\.org\?[^\s\"'<>]*|[\w./#-]+)")


class Strict(HTMLParser):
    """Only our own tags, attributes and kinds of links."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert name in ALLOWED[tag], (tag, name)
            if name == "href":
                assert HREF.fullmatch(value or ""), value

    def handle_comment(self, data: str) -> None:
        assert data in ("beginarticle", "endarticle")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def check(page: bytes) -> None:
    parser = Strict()
    parser.feed(page.decode())
    parser.close()


def row(number: int = 0, **values: object) -> Row:
    plain = {
        "number": number,
        "volume": "2023-November",
        "msgid": "<m@example.org>",
        "refs": "",
        "author": "Ann",
        "subject": "hi",
        "base": "hi",
        "reply": False,
        "sent": 1_700_000_000,
        "zone": 60,
        "folder": "20231114/01234567",
        "offset": 0,
        "length": 0,
        "written": False,
    }
    return Row(**{**plain, **values})


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) > 200


@pytest.mark.parametrize("evil", CORPUS)
def test_no_mail_makes_markup(evil: str) -> None:
    """sec-W01: as text, subject, author, message id, name and kind of an attachment."""
    bad = row(author=evil, subject=evil, msgid=f"<{evil}>")
    other = row(1, subject=evil, author=evil, refs=evil)
    content = Content((evil, File("a.bin", b"x", evil, evil), f"text {evil} text"), cut=False)
    check(PAGES.article(SHELF, bad, content, other, other))
    for page in PAGES.indexes(SHELF, "2023-November", [bad, other]).values():
        check(page)


@given(st.text(max_size=200))
def test_no_text_makes_markup(text: str) -> None:
    check(f"<pre>{text_html(text)}</pre>".encode("utf-8", "replace"))
    check(PAGES.article(SHELF, row(subject=text, author=text), Content((text,), True), None, None))


def test_owners_texts_make_no_markup() -> None:
    """sec-L10."""
    shelf = Shelf("test", "<script>x</script>", "test@example.org", "es", "https://lists.example.org/")
    check(PAGES.toc(shelf, [("2023-November", 5)]))
    check(PAGES.toc(shelf, []))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "see http://example.org/a?b=1&c=2.",
            'see <a rel="nofollow" href="http://example.org/a?b=1&amp;c=2">http://example.org/a?b=1&amp;c=2</a>.',
        ),
        ("(https://example.org/x)", '(<a rel="nofollow" href="https://example.org/x">https://example.org/x</a>)'),
        ("ftp://example.org", "ftp://example.org"),
        ("write to ann.b@mail.example.org!", "write to ann.b at mail.example.org!"),
        ("> quoted\nnot", "<i>&gt; quoted</i>\nnot"),
        ("a\x07b\x1b[0m", "a b [0m"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_text(text: str, html: str) -> None:
    assert text_html(text) == html


def test_no_address_is_left_on_a_page(library) -> None:
    """sec-L15: an anonymous crawl finds none but the list's own, masked."""
    library.post("ann@example.org wrote to <bob@example.com>", From="eve@example.net", subject="from carol@example.org")
    library.archiver.run_once()
    pages = b"".join(data for name, data in library.files().items() if name.endswith(".html"))
    assert not re.search(rb"[\w.-]+@[\w-]+\.\w+", pages)


def test_attachments_have_harmless_names(library) -> None:
    """sec-W02."""
    library.post(
        '--b\r\nContent-Type: text/html; name="x.html"\r\nContent-Disposition: attachment\r\n\r\n'
        "<script>alert(1)</script>\r\n"
        '--b\r\nContent-Type: image/svg+xml; name="../../../../x.svg"\r\n\r\n<svg onload=alert(1)>\r\n--b--',
        Content_Type="multipart/mixed; boundary=b",
    )
    library.archiver.run_once()
    names = {name.rpartition("/")[2] for name in library.files() if name.startswith("attachments/")}
    assert names == {"x_html.bin", "x_svg.bin"}


def test_a_site_can_replace_a_template(tmp_path) -> None:
    """A28."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "toc.html").write_text("<p>{{ list }}</p>")
    own = Pages(tmp_path)
    assert own.toc(Shelf("test", "<T>", "", "en", ""), []) == b"<p>&lt;T&gt;</p>"
    check(own.article(SHELF, row(), Content(("x",), False), None, None))
