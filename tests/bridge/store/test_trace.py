"""The journal on disk: whole lines, days, and stories that follow parents and children (W13)."""

from pathlib import Path

from bridge.model.clock import Clock
from bridge.store import trace
from bridge.watch.trace import Journal


class Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now)


def test_a_story_follows_parents_and_children(tmp_path: Path) -> None:
    hand = Hand()
    log = trace.TraceLog(tmp_path, hand.clock())
    journal = Journal(log.append, "mover", hand.clock())
    journal.record("accepted", "AAA", sender="ana@example.org", msgid="<1@example.org>")
    journal.record("accepted", "BBB", parent="AAA", sender="dev-bounces@example.org")
    journal.record("delivered", "BBB", rcpt="luis@example.org")
    journal.record("accepted", "CCC", sender="otra@example.org")
    for what in ("AAA", "BBB", "<1@example.org>", "Luis@example.org"):
        assert [event["id"] for event in trace.story(tmp_path, what)] == ["AAA", "BBB", "BBB"], what
    assert trace.story(tmp_path, "nobody@example.org") == []
    assert len(trace.story(tmp_path, "")) == 4     # everything, and an end


def test_lines_go_to_the_day_they_belong_to(tmp_path: Path) -> None:
    hand = Hand()
    log = trace.TraceLog(tmp_path, hand.clock())
    journal = Journal(log.append, "", hand.clock())
    journal.record("one", "A")
    hand.now += 86400
    journal.record("two", "A")
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert [event["e"] for event in trace.story(tmp_path, "A")] == ["one", "two"]
    hand.now += 3 * 86400
    assert trace.expire(tmp_path, 3, hand.clock()) == 1
    assert [event["e"] for event in trace.story(tmp_path, "A")] == ["two"]


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01.jsonl").write_bytes(b'{"t":1,"e":"a","id":"X"}\n{"t":2,"e":"b","id":"X')
    assert [event["e"] for event in trace.story(tmp_path, "X")] == ["a"]


def test_strangers_cannot_break_a_line(tmp_path: Path) -> None:
    log = trace.TraceLog(tmp_path)
    Journal(log.append).record("accepted", "Q", helo="x\r\n{\x1b[2J" + "y" * 5000)
    (path,) = tmp_path.glob("*.jsonl")
    assert path.read_bytes().count(b"\n") == 1
    assert b"\x1b" not in path.read_bytes()


def test_a_full_disk_does_not_stop_the_mail() -> None:
    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    journal = Journal(full)
    journal.record("accepted", "Q")
    assert journal.lost == 1
