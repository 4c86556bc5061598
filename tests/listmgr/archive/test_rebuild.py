"""`arch`: from the mbox alone, from another mbox, with several processes."""

from pathlib import Path

import pytest

from bridge.store import failpoints
from listmgr.archive import rebuild as module
from listmgr.archive.rebuild import How, rebuild


def mails(count: int, first: int = 0) -> bytes:
    parts = []
    for number in range(first, first + count):
        parts.append(
            b"From u%d@example.org Tue Nov 14 22:13:20 2023\nFrom: u%d@example.org\n"
            b"Subject: s%d\nMessage-ID: <%d@example.org>\n"
            b"Date: Tue, 14 Nov 2023 22:13:20 +0000\n\nbody %d\n\n" % ((number,) * 5)
        )
    return b"".join(parts)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "old.mbox"
    path.write_bytes(mails(20))
    return path


def test_an_old_mbox_becomes_an_archive(library, source: Path) -> None:
    """L14, A22."""
    told: list[tuple[str, int, int]] = []
    assert rebuild(library.archiver, "test", source, how=How(progress=lambda *one: told.append(one))) == 20
    assert len([name for name in library.files() if name[-11:-5].isdigit()]) == 20
    assert told[-1] == ("pages", 1, 1)
    assert (library.root / "private/test.mbox/test.mbox").read_bytes() == source.read_bytes()


def test_twice_adds_nothing(library, source: Path) -> None:
    rebuild(library.archiver, "test", source)
    before = library.files()
    assert rebuild(library.archiver, "test", source) == 0
    assert library.files() == before
    source.write_bytes(mails(21))
    assert rebuild(library.archiver, "test", source) == 1


def test_the_database_can_be_made_again(library, another, source: Path) -> None:
    """A07: without archive.db, numbers come back from the order of the mbox."""
    rebuild(library.archiver, "test", source)
    target = another.root / "private/test.mbox"
    target.mkdir(parents=True)
    (target / "test.mbox").write_bytes(source.read_bytes())
    assert rebuild(another.archiver, "test", wipe=True) == 20
    assert another.files() == library.files()


def test_several_processes_make_the_same_pages(library, another, source: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "WORTH_IT", 0)
    monkeypatch.setattr("listmgr.archive.writer.CHUNK", 7)
    rebuild(library.archiver, "test", source)
    rebuild(another.archiver, "test", source, how=How(processes=2))
    assert library.files() == another.files()


def test_repairs_what_it_reads(library, tmp_path: Path) -> None:
    """A22: no From_ line, CRLF, no empty line at the end, no Message-ID, no date."""
    path = tmp_path / "broken.mbox"
    path.write_bytes(
        b"Subject: first\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nbody\r\n\r\n" + mails(1) + mails(1, 5)[:-1]
    )
    assert rebuild(library.archiver, "test", path) == 3
    assert "first" in library.page("2023-November/000000.html")
    assert rebuild(library.archiver, "test", wipe=True) == 0


def test_a_missing_mbox_is_said(library, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rebuild(library.archiver, "test", tmp_path / "none")


@pytest.mark.parametrize("hit", [1, 4, 9, 15, 25])
def test_trouble_in_a_rebuild_leaves_the_old_pages_and_the_next_run_mends(library, source: Path, hit: int) -> None:
    rebuild(library.archiver, "test", source)
    before = library.files()
    failpoints.arm(f"archive.page=EIO@{hit}")
    try:
        with pytest.raises(OSError, match="failpoint"):
            rebuild(library.archiver, "test", wipe=True)
    finally:
        failpoints.arm("")
    assert library.files() == before
    library.archiver.run_once()
    assert library.files() == before
    rebuild(library.archiver, "test", wipe=True)
    assert library.files() == before
    assert sorted(path.name for path in (library.root / "private").iterdir()) == ["test", "test.mbox"]
