"""Hints: cheap, lossy, never in the way."""
import os
import select
import socket

from bridge.store.notify import Hints, Listener


def test_every_listener_of_the_kind_hears(tmp_path):
    """DESIGN 3: one socket per process and kind."""
    run = tmp_path / "run"
    ears = [Listener("mailbox", run), Listener("mailbox", run), Listener("queue", run)]
    hints = Hints(run)
    hints.hint("mailbox", "ana@example.org\nINBOX")
    assert select.select(ears, [], [], 1)[0] == ears[:2]
    assert [ear.receive() for ear in ears] == [["ana@example.org\nINBOX"]] * 2 + [[]]
    ears[0].close()
    hints.hint("mailbox", "x")
    hints.close()
    assert ears[1].receive() == ["x"]
    for ear in ears[1:]:
        ear.close()
    assert os.listdir(run) == []


def test_nobody_listens_and_dead_listeners(tmp_path):
    """Failures are ignored; the socket of a dead process goes."""
    Hints(None).hint("queue", "x")
    missing = Hints(tmp_path / "missing")
    missing.hint("queue", "x")
    missing.close()
    stale = tmp_path / "queue.1-1.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(stale))
    hints = Hints(tmp_path)
    hints.hint("queue", "x")
    hints.close()
    assert not stale.exists()


def test_a_full_socket_does_not_block(tmp_path):
    ear = Listener("queue", tmp_path)
    hints = Hints(tmp_path)
    for number in range(2000):
        hints.hint("queue", str(number))
    hints.close()
    got = []
    while more := ear.receive():
        got.extend(more)
    assert got[0] == "0"
    assert len(got) < 2000
    ear.close()


def test_a_place_that_cannot_be_is_only_silence(tmp_path):
    (tmp_path / "file").write_text("")
    ear = Listener("queue", tmp_path / "file")
    assert ear.receive() == []
    ear.close()


def test_a_dead_listener_that_stays_does_not_silence_the_others(tmp_path, monkeypatch):
    """DESIGN 3: whoever may not remove a dead socket (a process with a user of its own) still tells the rest."""
    ear = Listener("queue", tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / "queue.0-1.sock"))
    names = sorted(os.listdir(tmp_path))

    def forbidden(path):
        raise PermissionError(path)

    monkeypatch.setattr(os, "listdir", lambda path: names)
    monkeypatch.setattr(os, "unlink", forbidden)
    hints = Hints(tmp_path)
    hints.hint("queue", "x")
    hints.close()
    assert ear.receive() == ["x"]
    monkeypatch.undo()
    ear.close()
