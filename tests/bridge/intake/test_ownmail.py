"""What ordinary users may ask of the queue: their own mail only, and two verbs."""
import asyncio
import json
import os
import stat
from types import SimpleNamespace

import pytest

from bridge.intake import ownmail
from bridge.intake.ownmail import OwnMail
from bridge.model.errors import StoreError


class Scene:
    def __init__(self, root, monkeypatch):
        self.path, self.asked, self.woken = root / "queue.sock", [], 0
        self.result = [{"id": "x"}, {"ok": True, "count": 1}]
        monkeypatch.setattr(ownmail.control, "answer", self.answer)
        parts = SimpleNamespace(spool="spool")
        self.mover = SimpleNamespace(clock=SimpleNamespace(now=lambda: 5.0), queue="queue", parts=parts, wake=self.wake)

    def wake(self):
        self.woken += 1

    def answer(self, queue, spool, request, now):
        self.asked.append(request)
        if isinstance(self.result, Exception):
            raise self.result
        yield from self.result

    def ask(self, *lines):
        async def talk():
            server = OwnMail(self.mover, self.path, lambda uid: f"user{uid}@example.org")
            await server.start()
            assert stat.S_IMODE(self.path.stat().st_mode) == 0o666
            found = []
            for line in lines:
                reader, writer = await asyncio.open_unix_connection(self.path)
                writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
                found.append([json.loads(one) for one in (await asyncio.wait_for(reader.read(), 20)).splitlines()])
                writer.close()
            await server.close()
            return found

        return asyncio.run(talk())


@pytest.fixture
def scene(tmp_path, monkeypatch):
    return Scene(tmp_path, monkeypatch)


def test_only_their_own(scene):
    """S75: the sender is that of the asking user, whatever the request says."""
    mine = f"user{os.geteuid()}@example.org"
    (answer,) = scene.ask({"do": "list", "sender": "other@example.org", "all": True, "ids": ["a"]})
    assert answer == scene.result
    assert scene.asked == [{"do": "list", "sender": mine, "ids": ["a"]}]
    assert not scene.woken
    scene.ask({"do": "flush", "all": True})
    assert scene.asked[1] == {"do": "flush", "sender": mine, "ids": None}
    assert scene.woken == 1


def test_nothing_else(scene):
    """sec-X09: no other verb, no nonsense, nothing endless."""
    endless = (b"x" * 60_000 + b"\n", b"[" * 60_000 + b"\n")
    answers = scene.ask({"do": "delete", "all": True}, {"do": "show"}, [], b"{\n", *endless)
    assert [one[-1]["ok"] for one in answers] == [False] * 6
    assert not scene.asked


def test_trouble_is_an_answer(scene):
    scene.result = StoreError("locked")
    assert scene.ask({"do": "list"}) == [[{"ok": False, "error": "locked"}]]


def test_a_socket_that_somebody_left_is_replaced(scene):
    scene.path.write_text("")
    assert scene.ask({"do": "list"}) == [scene.result]
