"""The door: S05, S23 (hop limit), S24 (trace header), S25, sec-M03, D-2, D-10."""
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.model.clock import Clock
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.errors import DiskFull, Refused, StoreError
from bridge.queue.enter import DEGRADED, HEADER_TOO_BIG, LOOP, NO_ROOM, TOO_BIG, Door, Limits, date, pooled
from bridge.store import failpoints
from bridge.store.spool import Spool, Spooled
from bridge.watch.trace import Journal


class Desk:
    """A door with everything it says written down."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self.lines: list[dict[str, object]] = []
        self.hints: list[list[str]] = []
        self.now = 0.0
        self.spool = Spool(root / "spool", clock=Clock(monotonic=lambda: self.now))
        self.door = Door(
            self.spool,
            hostname="mx.example.org",
            journal=Journal(lambda line: self.lines.append(json.loads(line))),
            hint=self.hint,
            limits=limits,
            clock=Clock(monotonic=lambda: self.now),
        )

    def hint(self, ids: Sequence[str]) -> None:
        self.hints.append(list(ids))

    def envelope(self, *recipients: str) -> Envelope:
        one = self.door.ids.new()
        names = tuple(Recipient(name) for name in recipients or ("u@example.org",))
        origin = Origin("smtp", "192.0.2.1", "client.example.com", "ESMTP")
        return Envelope(one, one, "a@example.com", names, origin, 1_700_000_000.0)

    def stored(self, message: bytes, **limits: int) -> bytes:
        """What is in the spool, without our trace header."""
        whole = self.whole(self.door.accept(self.envelope(), message))
        assert whole.startswith(b"Received: from client.example.com ([192.0.2.1])\r\n\tby mx.example.org with ESMTP id")
        return whole.split(b"\r\n", 3)[3]

    def whole(self, spooled: Spooled) -> bytes:
        return b"".join(self.spool.chunks(spooled))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    one = Desk(tmp_path)
    yield one
    failpoints.arm("")
    one.spool.close()


def test_trace_journal_hint(desk: Desk) -> None:
    spooled = desk.door.accept(desk.envelope(), b"Subject: a\r\n\r\nb\r\n")
    assert f"id {spooled.envelope.id}\r\n\tfor <u@example.org>; Tue, 14 Nov 2023 " in desk.whole(spooled).decode()
    assert desk.hints == [[spooled.envelope.id]]
    line = desk.lines[0]
    assert (line["e"], line["id"], line["sender"], line["size"]) == (
        "accepted", spooled.envelope.id, "a@example.com", spooled.size,
    )  # fmt: skip


def test_no_recipient_is_named_where_there_are_several(desk: Desk) -> None:
    spooled = desk.door.accept(desk.envelope("u@example.org", "secret@example.org"), b"A: b\r\n\r\n")
    assert b"for <" not in desk.whole(spooled)


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        (b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\r\n", b"A: b\r\n\r\n"),
        (b"A: b\r\n", b"A: b\r\n\r\n"),
        (b"", b"\r\n"),
        (b"\r\nbody\r\n", b"\r\nbody\r\n"),
        (b"hello\r\n", b"\r\nhello\r\n"),
        (b"A: b\r\nhello\r\n\r\nmore\r\n", b"A: b\r\n\r\nhello\r\n\r\nmore\r\n"),
        (b"From a@b Sun Nov 22\r\nA: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\tc\r\n \td\r\n\r\ne", b"A: b\r\n\tc\r\n \td\r\n\r\ne\r\n"),
        (b" continued\r\nA: b\r\n\r\nc\r\n", b"\r\n continued\r\nA: b\r\n\r\nc\r\n"),
        (b"A: b\n\nc\nd\re", b"A: b\r\n\r\nc\r\nd\r\ne\r\n"),
        (b"A : b\r\n\r\nc\r\n", b"A : b\r\n\r\nc\r\n"),
        (b"A: b\r\n\r\nReceived: c\r\n\r\n", b"A: b\r\n\r\nReceived: c\r\n\r\n"),
        ("Asunto: español\r\n\r\nñ\r\n".encode(), "Asunto: español\r\n\r\nñ\r\n".encode()),
    ],
)
def test_what_is_stored(desk: Desk, message: bytes, stored: bytes) -> None:
    assert desk.stored(message) == stored


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"A: b\r\n", b"\tc\r\n", b"\r\n", b"word\r\n", b"x" * 40 + b"\r\n"]), max_size=8),
       st.lists(st.integers(0, 100), max_size=5))  # fmt: skip
def test_cuts_make_no_difference(desk: Desk, parts: list[bytes], cuts: list[int]) -> None:
    message = b"".join(parts)
    edges = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    entry = desk.door.open(desk.envelope())
    for start, stop in pairwise(edges):
        entry.feed(message[start:stop])
    assert desk.whole(entry.commit().result(10)).split(b"\r\n", 3)[3] == desk.stored(message)


def refused(desk: Desk, message: bytes, reply: object) -> None:
    with pytest.raises(Refused) as found:
        desk.door.accept(desk.envelope(), message)
    assert found.value.reply == reply
    assert list(desk.spool.scan()) == []


def test_s23_hops(desk: Desk) -> None:
    refused(desk, b"Received: x\r\n" * 25 + b"RECEIVED : y\r\n" * 26 + b"\r\n", LOOP)
    desk.stored(b"Received: x\r\n" * 50 + b"X-Received: y\r\n\r\nReceived: z\r\n")


def test_sec_m03_header_limits(desk: Desk) -> None:
    refused(desk, b"A: b\r\n" * 1001 + b"\r\n", HEADER_TOO_BIG)
    refused(desk, b"A: " + b"b" * 300_000 + b"\r\n\r\n", HEADER_TOO_BIG)
    refused(desk, b"A: b\r\n" + b" c\r\n" * 70_000, HEADER_TOO_BIG)
    desk.stored(b"A: b\r\n" * 1000 + b"\r\n")
    desk.stored(b"A: " + b"b" * 200_000 + b"\r\n\r\n")


def test_a_body_without_header_may_be_long(desk: Desk) -> None:
    body = b"only words, no header at all\r\n" * 20_000
    assert desk.stored(body) == b"\r\n" + body


def test_header_limit_holds_memory_while_streaming(desk: Desk) -> None:
    entry = desk.door.open(desk.envelope())
    fed = 0

    def flood() -> None:
        nonlocal fed
        while fed < 100 << 20:
            entry.feed(b"x" * 65536)
            fed += 65536

    with pytest.raises(Refused):
        flood()
    assert fed <= 5 * 65536
    entry.abort()


def test_s05_size(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Limits(message_size=1000, free_bytes=1))
    refused(desk, b"A: b\r\n\r\n" + b"c" * 1000, TOO_BIG)
    desk.stored(b"A: b\r\n\r\n" + b"c" * 900)
    with pytest.raises(Refused) as found:
        desk.door.check_room(1001)
    assert found.value.reply == TOO_BIG
    desk.spool.close()


def test_d10_low_water_and_recovery(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """452 while there is little room, without asking the disk for each message, and by itself again afterwards."""
    monkeypatch.setattr(desk.spool, "free", lambda: (10_000_000, 10_000))
    refused(desk, b"A: b\r\n\r\n", NO_ROOM)
    monkeypatch.setattr(desk.spool, "free", lambda: (1 << 40, 10))
    refused(desk, b"A: b\r\n\r\n", NO_ROOM)
    monkeypatch.setattr(desk.spool, "free", lambda: (1 << 40, 10_000))
    refused(desk, b"A: b\r\n\r\n", NO_ROOM)
    desk.now += 2
    desk.stored(b"A: b\r\n\r\n")


def test_p05_no_new_message_after_eio(desk: Desk) -> None:
    failpoints.arm("spool.fdatasync=EIO@1")
    with pytest.raises(StoreError):
        desk.door.accept(desk.envelope(), b"A: b\r\n\r\n")
    refused(desk, b"A: b\r\n\r\n", DEGRADED)
    desk.now += 61
    desk.stored(b"A: b\r\n\r\n")


def test_disk_full_while_streaming_leaves_nothing(desk: Desk) -> None:
    failpoints.arm("spool.write=ENOSPC@2")
    with pytest.raises(DiskFull):
        desk.door.accept(desk.envelope(), (b"A: b\r\n\r\n", *[b"x" * 65536] * 5))
    assert not [path for path in desk.spool.root.rglob("*") if path.is_file()]
    assert desk.hints == desk.lines == []


def test_a_fix_sees_the_header_block_and_answers_it(desk: Desk) -> None:
    def fix(block: bytes, envelope: Envelope) -> bytes:
        assert block == b"A: b\r\n"
        return block + b"X-Id: " + envelope.id.encode() + b"\r\n"

    spooled = desk.door.accept(desk.envelope(), b"A: b\r\n\r\nc\r\n", fix=fix)
    assert desk.whole(spooled).endswith(b"A: b\r\nX-Id: " + spooled.envelope.id.encode() + b"\r\n\r\nc\r\n")


def test_child_messages_name_parent_and_key_in_the_journal(desk: Desk) -> None:
    envelope = replace(desk.envelope(), parent="P", key="list:x:P")
    desk.door.accept(envelope, b"A: b\r\n\r\n")
    assert (desk.lines[0]["parent"], desk.lines[0]["key"]) == ("P", "list:x:P")


def test_date_is_the_same_moment() -> None:
    for when in (0, 1_700_000_000, 4_000_000_000):
        assert parsedate_to_datetime(date(when)).timestamp() == when


def test_pooled_randomness_is_given_out_once() -> None:
    """sec-Q12: also to threads that race, and not again in a forked process."""
    take = pooled()
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(take, [8] * 5000))
    assert len(set(taken)) == 5000
    assert {len(piece) for piece in taken} == {8}
    assert len(take(5)) == 5
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, take(8))
        os._exit(0)
    os.wait()
    assert os.read(reading, 8) != take(8)
    os.close(reading)
    os.close(writing)


def test_twenty_megabytes_in_pieces(desk: Desk) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    pieces = [b"A: b\r\n\r\n", *[line * 1000] * 290]
    spooled = desk.door.accept(desk.envelope(), pieces)
    assert spooled.size > 290 * 72_000
    assert desk.spool.verify(spooled.path) == spooled
