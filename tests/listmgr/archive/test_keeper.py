"""The archiver: layout, increments, crashes, who may see it."""

import gzip
import os
import random
import signal
from pathlib import Path

import pytest
from sqlalchemy import select, update

from bridge.model.errors import StoreError
from bridge.store import failpoints
from listmgr import registry
from listmgr.archive import mbox, tables
from listmgr.archive.rebuild import rebuild

HTML = (
    "multipart/mixed; boundary=b",
    "--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf; name=r.pdf\r\n\r\nPDF\r\n--b--",
)


def test_the_layout_of_pipermail(library) -> None:
    """A01, A02, A03: the paths that links and search engines know."""
    library.post(subject="hello")
    library.post(HTML[1], subject="Re: hello", Content_Type=HTML[0], In_Reply_To="<m0@example.org>")
    assert library.archiver.run_once() == 2
    names = set(library.files())
    volume = "2023-November"
    attachment = next(name for name in names if name.startswith("attachments/"))
    assert names == {
        "index.html", "style.css", f"{volume}.txt.gz", f"{volume}/000000.html", f"{volume}/000001.html", attachment,
        *(f"{volume}/{view}.html" for view in ("thread", "subject", "author", "date", "index")),
    }  # fmt: skip
    assert (library.root / "private/test" / volume / "index.html").readlink() == Path("thread.html")
    assert attachment.startswith("attachments/20231114/")
    assert attachment.endswith("/r.pdf")
    assert (library.root / "public/test/index.html").exists()
    assert f"../{attachment}" in library.page(f"{volume}/000001.html")
    for mark in (
        "<!--beginarticle-->",
        "<!--endarticle-->",
        'content="index,nofollow"',
        "thread.html#1",
        "In-Reply-To=%3Cm1%40",
    ):
        assert mark in library.page(f"{volume}/000001.html")
    for mark in ('id="start"', 'id="end"', 'id="1"', 'content="noindex,follow"', "2</p>"):
        assert mark in library.page(f"{volume}/thread.html")


def test_the_master_loses_nothing(library) -> None:
    """A30."""
    library.raw(b"Subject: x\r\n\r\nFrom here\r\n>From there\r\n.\r\n\x00\xff\r\n")
    library.archiver.run_once()
    data = (library.root / "private/test.mbox/test.mbox").read_bytes()
    entries = [mbox.message(data[begin:end]) for begin, end in mbox.entries(data)]
    assert entries == [b"Subject: x\n\nFrom here\n>From there\n.\n\x00\xff\n"]


def fill(library, count: int, seed: int = 1) -> None:
    dice = random.Random(seed)
    ids: list[str] = []
    for number in range(count):
        fields = {"References": dice.choice(ids)} if ids and dice.random() < 0.7 else {}
        subject = f"Re: subject {dice.randrange(3)}" if dice.random() < 0.5 else f"subject {number}"
        if dice.random() < 0.2:
            fields["Content_Type"], body = HTML
        else:
            body = f"body {number}\r\nann@example.org http://example.org/?a=1&b=2\r\n> quoted"
        ids.append(library.post(body, subject=subject, sent=1_700_000_000 + dice.randrange(90) * 86400 // 2, **fields))


@pytest.mark.parametrize("step", [1, 7])
def test_writing_what_changed_is_the_same_as_writing_all(library, another, step: int) -> None:
    """Increments: every page byte for byte what a rebuild makes."""
    fill(another, 40)
    another.archiver.run_once()
    waiting = another.root / "private/test.mbox/test.mbox"
    fill(library, 40)
    posts = {one: library.archiver.incoming.read("test", one) for one in library.archiver.incoming.ids("test")}
    folder = library.root / "incoming/test"
    for path in folder.iterdir():
        path.unlink()
    names = sorted(posts)
    for first in range(0, len(names), step):
        for one in names[first : first + step]:
            (folder / one).write_bytes(posts[one])
        library.archiver.run_once()
    assert (library.root / "private/test.mbox/test.mbox").read_bytes() == waiting.read_bytes()
    assert library.files() == another.files()
    rebuild(library.archiver, "test", wipe=True)
    assert library.files() == another.files()


def test_only_what_changed_is_written(library) -> None:
    fill(library, 20)
    library.archiver.run_once()
    folder = library.root / "private/test"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.html")}
    for path in before:
        os.utime(path, ns=(1, 1))
    library.post(subject="new", sent=1_700_000_000)
    library.archiver.run_once()
    touched = {str(path.relative_to(folder)) for path in folder.rglob("*.html") if path.stat().st_mtime_ns != 1}
    pages = {name for name in touched if name[-11:-5].isdigit()}
    assert len(pages) == 2  # the new one, and the one before it in its volume
    assert touched - pages - {"index.html"} == {
        f"2023-November/{view}.html" for view in ("thread", "subject", "author", "date", "index")
    }
    assert library.archiver.run_once() == 0


def test_the_same_post_twice_is_one_article(library) -> None:
    """P36: idempotent by the key of the post."""
    library.post()
    name = library.archiver.incoming.ids("test")[0]
    data = library.archiver.incoming.read("test", name)
    library.archiver.run_once()
    (library.root / "incoming/test" / name).write_bytes(data)
    assert library.archiver.run_once() == 0
    assert library.archiver.incoming.ids("test") == []
    assert (library.root / "private/test.mbox/test.mbox").read_bytes() == data


def test_two_posts_of_one_message_id_are_two_articles(library) -> None:
    """sec-M17: nobody can suppress another's post, nor its attachments."""
    for text in ("PDF", "EVIL"):
        library.post(HTML[1].replace("PDF", text), Content_Type=HTML[0], msgid="<same@example.org>", sent=1_700_000_000)
    assert library.archiver.run_once() == 2
    files = {name: data for name, data in library.files().items() if name.startswith("attachments/")}
    assert sorted(files.values()) == [b"EVIL", b"PDF"]


POINTS = ("archive.mbox", "archive.sync", "archive.page", "archive.done", "archive.link", "test.archive.commit")


@pytest.mark.parametrize("point", [point + after for point in POINTS for after in ("", "+")])
@pytest.mark.parametrize("hit", [1, 2, 5])
def test_killed_in_the_middle_nothing_is_lost_or_doubled(library, another, point: str, hit: int) -> None:
    """P36: SIGKILL at every place where the disk is touched; the next run finishes, pages equal those of an easy
    life."""
    fill(library, 12)
    fill(another, 12)
    another.archiver.run_once()
    child = os.fork()
    if not child:
        failpoints.arm(f"{point}=kill@{hit}")
        try:
            library.archiver.run_once()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    library.archiver.run_once()
    assert library.files() == another.files()
    mine, other = (one.root / "private/test.mbox/test.mbox" for one in (library, another))
    assert mine.read_bytes() == other.read_bytes()
    assert library.archiver.incoming.ids("test") == []


@pytest.mark.parametrize("cut", [1, 5, 30, 60, 200, 400])
def test_a_torn_write_is_completed(library, another, cut: int) -> None:
    """A power cut in the middle of an append; meanwhile another post has come."""
    for one in (library, another):
        fill(one, 3)
    names = library.archiver.incoming.ids("test")
    whole = b"".join(library.archiver.incoming.read("test", name) for name in names)
    path = library.root / "private/test.mbox"
    path.mkdir(parents=True)
    (path / "test.mbox").write_bytes(whole[:-cut])
    another.archiver.run_once()
    for one in (library, another):
        one.post(subject="late", sent=1_800_000_000)
    library.archiver.run_once()
    another.archiver.run_once()
    assert (path / "test.mbox").read_bytes() == (another.root / "private/test.mbox/test.mbox").read_bytes()
    assert library.files() == another.files()


@pytest.mark.parametrize("trouble", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("point", ["archive.mbox", "archive.page", "test.archive.commit"])
def test_trouble_with_the_disk_is_temporary(library, another, point: str, trouble: str) -> None:
    """P12."""
    fill(library, 5)
    fill(another, 5)
    another.archiver.run_once()
    failpoints.arm(f"{point}={trouble}@2")
    try:
        with pytest.raises((OSError, StoreError)):  # noqa: PT012 (some points are reached by the second run only)
            library.archiver.run_once()
            library.post()
            another.post()
            library.archiver.run_once()
    finally:
        failpoints.arm("")
    library.archiver.run_once()
    another.archiver.run_once()
    assert library.files() == another.files()


def test_trouble_with_one_list_does_not_hold_up_the_others(library) -> None:
    library.post()
    bad = library.root / "incoming/bad"
    bad.mkdir()
    (bad / library.archiver.incoming.ids("test")[0]).mkdir()
    with pytest.raises(OSError, match="directory"):
        library.archiver.run_once()
    assert "2023-November/000000.html" in library.files()


def test_private_until_the_list_says_otherwise(tmp_path, library) -> None:
    """A10, sec-W03: the row that says who may see it comes first; a list that isn't there is private."""

    def style(connection) -> None:
        which = registry.find(connection, "test")
        registry.change(connection, which, {"archive_private": True})

    library.archiver.core.write_now(style)
    library.post()
    library.archiver.run_once()
    assert not (library.root / "public/test").exists()
    library.archiver.core.write_now(lambda c: registry.change(c, registry.find(c, "test"), {"archive_private": False}))
    library.post()
    library.archiver.run_once()
    assert (library.root / "public/test").is_symlink()
    library.archiver.core.write_now(lambda c: registry.remove(c, registry.find(c, "test")))
    library.post()
    library.archiver.run_once()
    assert not (library.root / "public/test").is_symlink()
    with library.archiver.rows.read() as connection:
        assert connection.execute(select(tables.shelf.c.public)).scalar_one() is False


def test_what_others_put_into_the_mbox_is_taken_up(library) -> None:
    library.post()
    library.archiver.run_once()
    path = library.root / "private/test.mbox/test.mbox"
    with path.open("ab") as file:
        file.write(b"From x@example.org Wed Nov 15 22:13:20 2023\nSubject: by hand\nFrom: x@example.org\n\nhi\n\n")
    library.post(subject="next")
    assert library.archiver.run_once() == 2
    assert "by hand" in library.page("2023-November/000001.html")
    assert "next" in library.page("2023-November/000002.html")


def test_the_text_volume_is_a_mailbox(library) -> None:
    """A03."""
    library.post("first\r\nFrom the start\r\nwrite to bob@example.org", subject="one")
    library.archiver.run_once()
    library.post("second", subject="two", In_Reply_To="<m0@example.org>")
    library.archiver.run_once()
    text = gzip.decompress(library.files()["2023-November.txt.gz"]).decode()
    assert text.startswith("From Ann  Tue Nov 14 22:13:20 2023\nFrom: Ann\n")
    assert "\n>From the start\n" in text
    assert "bob at example.org" in text
    assert "\nFrom Ann  " in text
    assert len(list(mbox.entries(text.encode()))) == 2


def test_spanish_pages(library) -> None:
    """A27: names in the list's language, URLs in English."""
    library.archiver.core.write_now(
        lambda c: registry.change(c, registry.find(c, "test"), {"preferred_language": "es"})
    )
    library.post()
    library.archiver.run_once()
    assert "Noviembre 2023" in library.page("index.html")
    assert 'lang="es"' in library.page("2023-November/thread.html")
    assert "mar 14 nov 2023, 22:13:20" in library.page("2023-November/000000.html")


def test_volumes_change_with_the_option_but_old_urls_stay(library) -> None:
    """A07."""
    library.post()
    library.archiver.run_once()
    library.archiver.core.write_now(
        lambda c: registry.change(c, registry.find(c, "test"), {"archive_volume_frequency": "year"})
    )
    library.post()
    library.archiver.run_once()
    rebuild(library.archiver, "test", wipe=True)
    assert {"2023-November/000000.html", "2023/000001.html"} <= set(library.files())


def test_a_page_that_disappeared_comes_back_with_a_rebuild(library) -> None:
    fill(library, 5)
    library.archiver.run_once()
    before = library.files()
    (library.root / "private/test/2023-November/thread.html").unlink(missing_ok=True)
    library.archiver.rows.write_now(lambda c: c.execute(update(tables.shelf).values(next_number=99)))
    rebuild(library.archiver, "test", wipe=True)
    assert library.files() == before
