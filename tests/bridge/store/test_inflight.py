"""The note of what is in hand: read by the next process after a death, empty after a proper stop."""
import os

from bridge.store.inflight import Inflight

A, B, C = "0" * 15 + "A", "0" * 15 + "B", "0" * 15 + "C"


def test_left_behind_after_a_death(tmp_path):
    """P14."""
    child = os.fork()
    if child == 0:
        note = Inflight(tmp_path / "run/note")
        assert note.left_behind() == []
        note.add([A, B, C, "not an id"])
        note.discard([B])
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    note = Inflight(tmp_path / "run/note")
    assert note.left_behind() == [A, C]
    note.add([B])
    note.begin()
    assert note.left_behind() == [B]
    note.close()
    assert Inflight(tmp_path / "run/note").left_behind() == []


def test_who_died_alone(tmp_path):
    """P13: a note of our own supervisor's earlier child, or of a time when everything died."""
    def note(family):
        return Inflight(tmp_path / "note", family)

    lives = ((b"one", False), (b"one", True), (b"two", False), (b"", False), (b"", False), (b"two", False))
    for family, alone in lives:
        this = note(family)
        this.left_behind()
        assert this.by_our_family() is alone
        this.begin()
        this.add([A])
    assert this.left_behind() == [A]
    this.close()


def test_more_than_there_are_slots(tmp_path):
    note = Inflight(tmp_path / "note")
    note.left_behind()
    ids = [f"{number:016d}" for number in range(20000)]
    note.add(ids)
    assert len(note.left_behind()) == 16384
    note.discard(ids)
    assert note.left_behind() == []
    note.add(ids[:3])
    assert note.left_behind() == ids[:3]
    note.close()


def test_rubbish_is_passed_over(tmp_path):
    (tmp_path / "note").write_bytes(b"\xff" * 16 + A.encode() + b"x y" * 7)
    note = Inflight(tmp_path / "note")
    assert note.left_behind() == [A]
    note.close()


def test_unopened_note_forgets(tmp_path):
    note = Inflight(tmp_path / "note")
    note.add([A])
    note.discard([A])
    note.close()
    assert not (tmp_path / "note").exists()
