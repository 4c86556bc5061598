"""Line ends between disk and wire: I48 (sizes exact), sec-S01."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.wire import lines

TEXT = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"bc"]), max_size=12).map(b"".join)


def test_the_rules() -> None:
    assert lines.to_wire(b"a\nb\r\nc\rd\n") == b"a\r\nb\r\nc\rd\r\n"
    assert lines.to_wire(b"\n\n") == b"\r\n\r\n"
    assert lines.to_disk(b"a\r\nb\rc\nd\r\r\n") == b"a\nb\nc\nd\n\n"


@given(TEXT, st.lists(st.integers(0, 12), max_size=4))
def test_chunks_make_no_difference(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    wire, disk = lines.WireWriter(), lines.DiskWriter()
    assert b"".join(map(wire.feed, chunks)) == lines.to_wire(data)
    assert b"".join(map(disk.feed, chunks)) == lines.to_disk(data)


@given(TEXT)
def test_disk_to_wire_to_disk(data: bytes) -> None:
    stored = lines.to_disk(data)
    assert b"\r" not in stored
    assert lines.to_disk(lines.to_wire(stored)) == stored
    assert lines.to_wire(lines.to_wire(data)) == lines.to_wire(data)
