"""Spool files and their group commit: P01-P03, P05, P06, P12 at every failpoint, D-1, D-2, sec-Q04, sec-Q09."""
import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pytest

from bridge.model.clock import Clock, Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull, StoreError
from bridge.store import failpoints
from bridge.store.spool import SMALL, Damaged, Spool, Spooled, bucket_of

IDS = Ids()
POINTS = [name for name in failpoints.registered() if name.startswith("spool.")]
ON_THE_WAY_IN = ["spool.mkdir", "spool.create", "spool.write", "spool.fdatasync", "spool.rename", "spool.fsync"]


def envelope(recipients: int = 1) -> Envelope:
    one = IDS.new()
    names = tuple(Recipient(f"user{n}@example.org") for n in range(recipients))
    return Envelope(one, one, "a@example.com", names, Origin("smtp", "192.0.2.1"), 1_700_000_000.5)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    one = Spool(tmp_path / "spool")
    yield one
    failpoints.arm("")
    one.close()


def put(spool: Spool, message: bytes, env: Envelope | None = None) -> "Future[Spooled]":
    draft = spool.begin(env or envelope())
    for start in range(0, len(message), 30_000):
        draft.write(message[start : start + 30_000])
    return spool.commit(draft)


def everything(spool: Spool) -> list[str]:
    return [str(path.relative_to(spool.root)) for path in spool.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, 2000, SMALL - 1, SMALL, SMALL + 1, 200_000])
def test_what_goes_in_comes_out(spool: Spool, size: int) -> None:
    message = (b"x" * 78 + b"\r\n") * (size // 80) + b"y" * (size % 80)
    spooled = put(spool, message).result(10)
    assert spool.open(spooled.envelope.id) == spool.verify(spooled.path) == spooled
    assert b"".join(spool.chunks(spooled, size=7000)) == message
    assert b"".join(spool.chunks(spooled, start=size // 2)) == message[size // 2 :]
    assert spool.read(spooled) == message[:SMALL]
    raw = spooled.path.read_bytes()
    assert raw.startswith(spooled.envelope.to_json() + b"\n\n")
    assert not spooled.path.stat().st_mode & 0o007, "others may not read it; the group may where the umask lets it"
    assert everything(spool) == [f"q/{bucket_of(spooled.envelope.id)}/{spooled.envelope.id}"]


def test_ten_thousand_recipients(spool: Spool) -> None:
    spooled = put(spool, b"a\r\n", envelope(10_000)).result(10)
    assert len(spool.open(spooled.envelope.id).envelope.recipients) == 10_000


def test_scan_is_oldest_first_and_remove_is_idempotent(spool: Spool) -> None:
    ids = [future.result(10).envelope.id for future in [put(spool, b"a\r\n") for _ in range(20)]]
    (spool.root / "q" / bucket_of(ids[0]) / "README").write_text("not mine")
    assert list(spool.scan()) == ids
    assert spool.remove(ids[0])
    assert not spool.remove(ids[0])
    assert list(spool.scan()) == ids[1:]
    with pytest.raises(FileNotFoundError):
        spool.open(ids[0])
    for hostile in ("../../etc/passwd", "", "0" * 15, "0" * 17, "o" * 16, "0" * 15 + "\n"):
        with pytest.raises(ValueError):
            spool.open(hostile)


def test_bucket_is_the_same_for_neighbours_and_changes_with_time() -> None:
    now = [1_700_000_000.0]
    ids = Ids(Clock(now=lambda: now[0]))
    first, second = ids.new(), ids.new()
    now[0] += 2000
    assert bucket_of(first) == bucket_of(second) != bucket_of(ids.new())


def test_what_waits_becomes_one_group(spool: Spool) -> None:
    """D-2: no timer; the second group is everything that came while the first was on its way."""
    put(spool, b"warm\r\n").result(10)
    gate = threading.Event()
    groups: list[int] = []

    def sealed(group: object) -> None:
        groups.append(len(group))  # type: ignore[arg-type]
        gate.wait(10)

    spool.sealed = sealed
    first = put(spool, b"a\r\n")
    while not groups:
        pass
    rest = [put(spool, b"b\r\n") for _ in range(100)]
    gate.set()
    assert {future.result(10).size for future in [first, *rest]} == {3}
    assert groups == [1, 64, 36]


def test_journal_trouble_does_not_unsay_a_commit(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    def sealed(group: object) -> None:
        raise RuntimeError("journal")

    spool.sealed = sealed
    assert put(spool, b"a\r\n").result(10).size == 3
    assert "after the commit" in caplog.text


@pytest.mark.parametrize("size", [100, SMALL * 3])
@pytest.mark.parametrize("when", ["", "+"])
@pytest.mark.parametrize("action", ["EIO", "ENOSPC", "EDQUOT", "EACCES"])
@pytest.mark.parametrize("point", ON_THE_WAY_IN)
def test_p12_every_failure_on_the_way_in_is_temporary_and_leaves_nothing(
    spool: Spool, point: str, action: str, when: str, size: int
) -> None:
    """P05, P06, P12: no promise, no file, right class of error; the next message goes through."""
    failpoints.arm(f"{point}{when}={action}")

    def attempt() -> None:
        draft = spool.begin(envelope())
        try:
            draft.write(b"x" * size)
        except StoreError:
            draft.abort()
            raise
        spool.commit(draft).result(10)

    with pytest.raises(DiskFull if action in ("ENOSPC", "EDQUOT") else StoreError):
        attempt()
    failpoints.arm("")
    assert everything(spool) == []
    assert spool.degraded == (action == "EIO")
    assert put(spool, b"a\r\n").result(10).size == 3


def test_one_bad_message_takes_nobody_with_it(spool: Spool) -> None:
    put(spool, b"warm\r\n").result(10)
    failpoints.arm("spool.fdatasync=EIO@5")
    futures = [put(spool, b"a\r\n") for _ in range(30)]
    wait(futures, 10)
    errors = [future for future in futures if future.exception()]
    assert len(errors) == 1
    assert len(list(spool.scan())) == 30


def test_p05_a_failed_sync_is_not_repeated(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fdatasync(descriptor: int) -> None:
        calls.append(os.fstat(descriptor).st_ino)
        if len(calls) == 1:
            raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    assert put(spool, b"a\r\n").exception(10)
    assert len(calls) == 1
    assert spool.degraded


def test_a_folder_that_cant_be_synced_nor_cleaned_keeps_the_file(spool: Spool) -> None:
    """D-2.5: a duplicate at worst, never a half message."""
    put(spool, b"warm\r\n").result(10)
    failpoints.arm("spool.fsync=EIO,spool.unlink=EIO")
    assert isinstance(put(spool, b"a\r\n").exception(10), StoreError)
    failpoints.arm("")
    left = list(spool.scan())
    assert len(left) == 2
    assert all(spool.verify(spool.path(one)) for one in left)


def test_degraded_ends_by_itself(tmp_path: Path) -> None:
    now = [0.0]
    spool = Spool(tmp_path / "spool", clock=Clock(monotonic=lambda: now[0]), hold=60)
    failpoints.arm("spool.fdatasync=EIO@1")
    assert put(spool, b"a\r\n").exception(10)
    assert spool.degraded
    now[0] = 61
    assert not spool.degraded
    failpoints.arm("")
    spool.close()


def test_abort_leaves_nothing(spool: Spool) -> None:
    for size in (10, SMALL * 2):
        draft = spool.begin(envelope())
        draft.write(b"x" * size)
        assert draft.large == (size > SMALL)
        draft.abort()
        draft.abort()
    assert everything(spool) == []


def test_sweep_removes_only_what_is_older(spool: Spool) -> None:
    draft, other = spool.begin(envelope()), spool.begin(envelope())
    draft.write(b"x" * SMALL * 2)
    other.write(b"x" * SMALL * 2)
    os.utime(spool.root / "tmp" / other.envelope.id, (1000, 1000))
    assert spool.sweep(2000) == 1
    assert everything(spool) == [f"tmp/{draft.envelope.id}"]
    draft.abort()


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[:-70],
        lambda raw: raw + b"x",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: b"\0" * len(raw),
        lambda raw: raw.replace(b"\n\n", b"\n", 1),
        lambda raw: raw.replace(b'"recipients"', b'"recipientz"'),
        lambda raw: raw.replace(b"{", b"[", 1),
        lambda raw: raw.replace(b'"id":"0', b'"id":"1', 1),
        lambda raw: b"[]\n\n" + raw,
    ],
)
def test_sec_q09_a_harmed_file_is_noticed(spool: Spool, harm: object) -> None:
    spooled = put(spool, b"line\r\n" * 40).result(10)
    spooled.path.write_bytes(harm(spooled.path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Damaged):
        spool.open(spooled.envelope.id)
    where = spool.quarantine(spooled.envelope.id, "test")
    assert where.exists()
    assert where.with_suffix(".txt").read_text() == "test\n"
    assert list(spool.scan()) == []


def test_sec_q09_one_flipped_byte_is_found_by_verify(spool: Spool) -> None:
    spooled = put(spool, b"line\r\n" * 40).result(10)
    raw = bytearray(spooled.path.read_bytes())
    raw[spooled.start + 7] ^= 1
    spooled.path.write_bytes(raw)
    assert spool.open(spooled.envelope.id)
    with pytest.raises(Damaged, match="hash"):
        spool.verify(spooled.path)


def test_a_link_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    spooled = put(spool, b"a\r\n").result(10)
    elsewhere = tmp_path / "elsewhere"
    spooled.path.rename(elsewhere)
    spooled.path.symlink_to(elsewhere)
    with pytest.raises(StoreError):
        spool.open(spooled.envelope.id)


def test_close_commits_what_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    futures = [put(spool, b"a\r\n") for _ in range(50)]
    spool.close()
    assert all(future.result(0).size == 3 for future in futures)
    with pytest.raises(StoreError):
        put(spool, b"late\r\n")


def test_no_thread_before_the_first_commit(tmp_path: Path) -> None:
    """sec-Q18: forking after construction is safe."""
    before = threading.active_count()
    spool = Spool(tmp_path / "spool")
    spool.begin(envelope()).write(b"a")
    assert threading.active_count() == before
    assert not (tmp_path / "spool").exists()


def test_free_says_something_plausible(spool: Spool) -> None:
    free, inodes = spool.free()
    assert free > 0
    assert inodes > 0


def test_every_failpoint_of_the_spool_is_covered() -> None:
    assert set(POINTS) == {*ON_THE_WAY_IN, "spool.unlink", "spool.quarantine"}
