"""The pages of the lists, asked as a browser would."""

import re
from pathlib import Path

import pytest

from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from listmgr import holding, registry
from listmgr.archive import tables
from listmgr.archive.keeper import Archiver
from tests.listmgr.browsing import Accessible, Browser

POINT = Failpoint("test.web.commit", "commits of the test's archive.db")
POST = b"From: Ann <ann@example.org>\r\nTo: test@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n"


@pytest.fixture
def browser(house) -> Browser:
    return Browser(house)


@pytest.fixture
def archiver(house, tmp_path: Path):
    rows = Database(f"sqlite:///{tmp_path}/archive.db", point=POINT, synchronous="OFF")
    rows.write_now(tables.archive.create_all)
    office = house.office
    yield Archiver(office.core, rows, tmp_path / "archives", office.incoming, office.links, journal=office.journal)
    rows.close()


def test_overview(house, browser: Browser) -> None:
    """W01."""
    house.make("test", description="About <tests>")
    house.make("secret", advertised=False)
    page = browser.get("/mailman/listinfo")
    assert page.status == 200
    assert 'href="../mailman/listinfo/test"' in page.text
    assert "About &lt;tests&gt;" in page.text
    assert "secret" not in page.text
    assert "Listas de correo" in browser.get("/mailman/listinfo", accept_language="es-ES,es").text
    assert "<h2" not in page.text


def test_overview_by_virtual_host(house, browser: Browser) -> None:
    """W01: each mail domain has its heading, the one that was asked for stands first."""
    house.make("test", host_name="zeta.example")
    house.make("other")
    text = browser.get("/mailman/listinfo").text  # asked at lists.example.org
    assert re.findall(r"<h2>([^<]+)</h2>", text) == ["example.org", "zeta.example"]
    assert text.index("listinfo/other") < text.index("listinfo/test")


def test_subscribe_on_the_page_and_confirm_on_the_page(house, browser: Browser) -> None:
    """W01, W04, L18."""
    which = house.make()
    assert browser.subscribe("eve@example.net").status == 200
    link = re.search(rb"https://lists.example.org(/mailman/confirm/test/[0-9a-f]{32})", house.sent()[0][1])
    assert link
    path = link[1].decode()
    page = browser.get(path)
    assert "eve@example.net" in page.text
    for _ in range(3):
        browser.get(path)
        browser.get(path, "HEAD")
    assert house.members(which) == []  # sec-L05
    assert browser.post(path, {}).status == 403
    assert house.members(which) == []
    assert "Done" in browser.post(path, {"token": page.token()}).text
    assert house.members(which) == ["eve@example.net"]
    assert browser.post(path, {"token": page.token()}).status == 404
    assert browser.get(path).status == 404


def test_leave_on_the_page(house, browser: Browser) -> None:
    which = house.make()
    house.join(which, "eve@example.net")
    token = browser.get("/mailman/listinfo/test").token()
    house.now[0] += 6
    browser.post("/mailman/unsubscribe/test", {"token": token, "email": "eve@example.net"})
    assert house.members(which) == ["eve@example.net"]  # sec-L03
    path = re.search(rb"(/mailman/confirm/test/[0-9a-f]{32})", house.sent()[0][1])[1].decode()
    browser.post(path, {"token": browser.get(path).token()})
    assert house.members(which) == []


def test_the_answer_is_always_the_same(house, browser: Browser) -> None:
    """sec-L01: members, strangers and banned look alike."""
    which = house.make()
    house.join(which, "ann@example.org")
    from listmgr import roster

    house.office.core.write_now(lambda c: roster.ban(c, 0, "*@spam.example", now=0.0))
    answers = {
        browser.subscribe(one).body
        for one in ("ann@example.org", "eve@example.net", "x@spam.example")
    }
    assert len(answers) == 1
    assert len(house.sent()) == 1


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_mistake_is_told_at_its_field(house, browser: Browser, language: str) -> None:
    """W01: the message names the field in the page's language, what was typed is kept, no mail is sent."""
    which = house.make()
    where = {"en": "Your email address: that is no", "es": "Su dirección de correo: eso no es"}[language]
    for path, fields, field in (
        ("subscribe", {"email": "eve@", "fullname": "Eve"}, "address"), ("unsubscribe", {"email": "eve@"}, "leaver"),
        ("subscribe", {"email": "eve@example.net", "fullname": "x" * 150}, "name"),
    ):
        token = browser.get("/mailman/listinfo/test").token()
        house.now[0] += 6
        page = browser.post(f"/mailman/{path}/test", {"token": token, "language": language, **fields})
        assert page.status == 400
        assert f'lang="{language}"' in page.text
        assert 'aria-invalid="true"' in re.search(rf'<input id="{field}"[^>]*>', page.text)[0]
        assert all(f'value="{value}"' in page.text for value in fields.values())
        assert (where in page.text) is (field != "name")
    assert house.sent() == []
    assert house.members(which) == []


def test_a_thousand_forms_are_few_mails(house, browser: Browser) -> None:
    """sec-L01: at most one mail to an address, whoever sends how many forms."""
    house.make()
    for number in range(60):
        browser.subscribe("victim@example.com", client=f"198.51.{number}.1")
    assert len(house.sent()) == 0  # the token was for another network
    for _ in range(60):
        browser.subscribe("victim@example.com")
    assert len(house.sent()) == 1


def test_a_network_is_slowed_down(house, browser: Browser) -> None:
    house.make()
    states = [
        browser.subscribe(f"v{number}@example.com").status for number in range(house.office.settings.form_hourly + 3)
    ]
    assert states[-3:] == [429, 429, 429]
    assert set(states[:-3]) == {200}


def test_every_post_needs_its_token_and_origin(house, browser: Browser) -> None:
    """sec-W05; test_keeper walks all routes."""
    house.make()
    for path in ("/mailman/subscribe/test", "/mailman/unsubscribe/test", "/mailman/confirm/test/" + "0" * 32):
        assert browser.post(path, {"email": "eve@example.net", "token": "x"}).status == 403
    token = browser.get("/mailman/listinfo/test").token()
    house.now[0] += 6
    fields = {"email": "eve@example.net", "token": token}
    assert browser.post("/mailman/subscribe/test", fields, origin="https://evil.example").status == 403
    assert browser.post("/mailman/subscribe/test", fields, origin="null").status == 403
    assert house.sent() == []
    assert browser.post("/mailman/subscribe/test", fields, origin="https://lists.example.org").status == 200


def test_robots_are_too_fast(house, browser: Browser) -> None:
    house.make()
    token = browser.get("/mailman/listinfo/test").token()
    assert browser.post("/mailman/subscribe/test", {"token": token, "email": "eve@example.net"}).status == 403
    assert house.sent() == []


def test_owner_decides_on_the_page(house, browser: Browser) -> None:
    """L47, sec-L13."""
    house.join(house.make(), "ann@example.org")
    text = (
        b"From: Eve <eve@example.net>\r\nTo: test@example.org\r\nSubject: <img src=x onerror=alert(1)>\r\n\r\nHi.\r\n"
    )
    house.mail(text, "test:post", sender="eve@example.net")
    path = re.search(rb"(/mailman/confirm/test/[0-9a-f]{32})", house.sent()[1][1])[1].decode()
    page = browser.get(path)
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.text
    assert "<img" not in page.text
    assert browser.post(path, {"token": page.token(), "do": "fly"}).status == 400
    assert browser.post(path, {"token": page.token(), "do": "accept"}).status == 200
    assert [one.address for one in house.sent()[0][0].recipients] == ["ann@example.org"]
    assert browser.post(path, {"token": page.token(), "do": "accept"}).status == 404
    with house.office.core.read() as connection:
        assert holding.waiting(connection, registry.find(connection, "test")) == []


def test_nothing_of_a_request_stands_in_an_answer(house, browser: Browser) -> None:
    """sec-L10, sec-L11: reflected content."""
    house.make()
    mark = "zq<script>alert(1)</script>"
    for path in (
        f"/mailman/listinfo/{mark}",
        f"/mailman/confirm/test/{mark}",
        f"/pipermail/{mark}/x",
        f"/mailman/listinfo?language={mark}",
    ):
        assert "zq" not in browser.get(path).text
    token = browser.get("/mailman/listinfo/test").token()
    house.now[0] += 6
    fields = {"token": token, "email": mark, "fullname": mark, "language": mark}
    assert "zq" not in browser.post("/mailman/subscribe/test", {**fields, "token": "x"}).text
    told = browser.post("/mailman/subscribe/test", fields).text  # what was typed is kept in its field
    assert "zq<script" not in told
    assert told.count("zq") == told.count('value="zq&lt;script&gt;alert(1)&lt;/script&gt;"') == 2
    assert browser.get("/mailman/subscribe/test", "POST", b"x" * 100_000).status == 403
    assert browser.get("/mailman/subscribe/test", "POST", b"\xff\xfe=&" * 100).status == 403


def test_archive(house, browser: Browser, archiver: Archiver) -> None:
    """A01: the seeds' URL."""
    house.join(house.make(), "ann@example.org")
    attached = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
        b'--b\r\nContent-Type: image/svg+xml; name="x.svg"\r\n\r\n<svg onload=alert(1)>\r\n'
        b'--b\r\nContent-Type: application/pdf; name="x.pdf"\r\n\r\nPDF\r\n--b--\r\n'
    )
    house.mail(POST + attached, "test:post")
    archiver.run_once()
    moved = browser.get("/pipermail/test")
    assert (moved.status, moved.headers["location"]) == (301, "test/")
    page = browser.get("/pipermail/test/")
    assert "2023-November/thread.html" in page.text
    for name in ("thread", "index", "date", "author", "subject", "000000"):
        page = browser.get(f"/pipermail/test/2023-November/{name}.html")
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert browser.get("/pipermail/test/2023-November.txt.gz").body[:2] == b"\x1f\x8b"
    assert browser.get("/pipermail/test/style.css").headers["content-type"] == "text/css; charset=utf-8"
    article = browser.get("/pipermail/test/2023-November/000000.html")
    links = re.findall(r'href="\.\./(attachments/[^"]+)"', article.text)
    for link, kind in zip(links, ("application/octet-stream", "application/pdf"), strict=True):
        file = browser.get(f"/pipermail/test/{link}")
        assert file.status == 200
        assert file.headers["content-type"] == kind
        assert file.headers["content-disposition"].startswith("attachment;")  # sec-W02
        assert "sandbox" in file.headers["content-security-policy"]
    again = browser.get("/pipermail/test/2023-November/000000.html", if_none_match=article.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert browser.get("/pipermail/test/", "HEAD").body == b""


WAYS_OUT = [
    "../test.mbox/test.mbox",
    "..%2ftest.mbox",
    "2023-November/../../test.mbox/test.mbox",
    ".style.css.tmp",
    "//etc/passwd",
    "2023-November",
    "2023-November/",
    "attachments",
    "attachments/",
    "a/b/c/d/e",
    "index.html\x00",
    "./index.html",
    "link",
    "2023-November/link",
    "%2e%2e/x",
]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_way_out_of_the_archive(house, browser: Browser, archiver: Archiver, way: str) -> None:
    """sec-W03; CVE-2005-0202 was a path like these."""
    house.join(house.make(), "ann@example.org")
    house.mail(POST + b"\r\nHello.\r\n", "test:post")
    archiver.run_once()
    folder = house.root / "archives/private/test"
    (folder / "link").symlink_to(house.root / "core.db")
    (folder / "2023-November/link").symlink_to("../../test.mbox/test.mbox")
    answer = browser.get(f"/pipermail/test/{way}")
    if way == "2023-November/":
        assert answer.status == 200  # the volume's default index
    else:
        assert answer.status == 404


def test_private_and_missing_archives_look_alike(house, browser: Browser, archiver: Archiver) -> None:
    """sec-W03, A10: on every path, with and without the list's change of mind having been carried out."""
    which = house.make()
    house.join(which, "ann@example.org")
    house.mail(POST + b"\r\nHello.\r\n", "test:post")
    archiver.run_once()
    paths = [
        f"/pipermail/test/{path.relative_to(house.root / 'archives/private/test')}"
        for path in (house.root / "archives/private/test").rglob("*")
    ]
    assert browser.get("/pipermail/test/index.html").status == 200
    house.office.core.write_now(lambda c: registry.change(c, which, {"archive_private": True}))
    missing = browser.get("/pipermail/none/x.html")
    for path in [
        *paths,
        "/pipermail/test",
        "/pipermail/test/",
        "/pipermail/test.mbox/test.mbox",
        "/pipermail/TEST/index.html",
    ]:
        answer = browser.get(path)
        assert answer.status == 404
        assert answer.headers["cache-control"] == "private, no-store"
        assert re.sub(r'(href=")(\.\./)*', r"\1", answer.text) == re.sub(r'(href=")(\.\./)*', r"\1", missing.text)


@pytest.mark.parametrize("language", ["en", "es"])
def test_pages_are_plain_and_accessible(house, browser: Browser, language: str) -> None:
    house.make(info="Long\nstory", description="Short")
    house.join(house.make("other"), "ann@example.org")
    for path in ("/mailman/listinfo", "/mailman/listinfo/test", "/mailman/listinfo/none"):
        page = browser.get(f"{path}?language={language}")
        parser = Accessible()
        parser.feed(page.text)
        assert parser.fields == parser.labels
        assert parser.tags.count("h1") == 1
        assert not {"script", "style", "iframe"} & set(parser.tags)
        assert f'lang="{language}"' in page.text
    assert browser.get("/mailman/style.css").headers["content-type"].startswith("text/css")
