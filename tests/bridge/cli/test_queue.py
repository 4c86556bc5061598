"""The queue on the command line: what mailq prints, which requests the verbs make, with and without a mover."""
import io
import json
import socket
import sys
import threading

import pytest

from bridge.cli import queue as module
from bridge.cli.queue import classic, flush_some, mailq, queue
from bridge.model.clock import Ids
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.store.spool import Spool

ROW = {
    "id": "0123456789ABCDEF", "sender": "ana@example.org", "size": 2048, "received_at": 1700000000.0, "door": "smtp",
    "bulk": False,
    "recipients": [
        {"address": "bob@example.net", "original": "bob@example.net", "kind": "remote", "nexthop": "example.net",
         "state": "waiting", "attempts": 1, "next_try": 1700000600.0, "reply": "450 4.2.1 greylisted",
         "where": "mx.example.net"},
        {"address": "eva@example.net", "original": "all@example.org", "kind": "remote", "nexthop": "example.net",
         "state": "waiting", "attempts": 1, "next_try": 1700000600.0, "reply": "450 4.2.1 greylisted",
         "where": "mx.example.net"},
    ],
}  # fmt: skip


class Site:
    """A data folder, perhaps with somebody who answers on the control socket."""

    def __init__(self, root, monkeypatch):
        self.root, self.asked, self.answers = root, [], [{"ok": True, "count": 0, "ids": [], "halted": []}]
        (root / "c.toml").write_text('[paths]\ndata = "var"\n')
        self.run = root / "var" / "run"
        self.run.mkdir(parents=True)
        (root / "var" / "drop").mkdir()
        monkeypatch.setenv("ESTAFETA_CONFIG", str(root / "c.toml"))
        monkeypatch.setenv("LC_ALL", "C")
        self.listening = None

    def listen(self, path=None):
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path or self.run / "control.sock"))
        self.listening.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listening.accept()
            except OSError:
                return
            with peer, peer.makefile("rwb") as lines:
                self.asked.append(json.loads(lines.readline()))
                for one in self.answers:
                    lines.write(json.dumps(one).encode() + b"\n")
                lines.flush()

    def spooled(self, *recipients):
        spool = Spool(self.root / "var" / "spool", threads=1)
        one = Ids().new()
        whom = tuple(map(Recipient, recipients))
        envelope = Envelope(one, one, "ana@example.org", whom, Origin("smtp"), 1700000000.0)
        draft = spool.begin(envelope)
        draft.write(b"Subject: x\r\n\r\n")
        spool.commit(draft).result()
        spool.close()
        return one

    def status(self, command, *words):
        try:
            command(list(words))
        except SystemExit as end:
            return end.code
        return 0


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = Site(tmp_path, monkeypatch)
    yield made
    if made.listening:
        made.listening.close()


def test_classic_form():
    """S75: id, mark, size, time, sender, reason, recipients, summary line."""
    lines = list(classic([ROW]))
    assert lines[0] == "----Queue ID----- --Size-- ----Arrival Time---- -Sender/Recipient-------"
    assert lines[1].startswith("0123456789ABCDEF      2048 Tue Nov 14 ")
    assert lines[1].endswith(" ana@example.org")
    assert lines[2].strip() == "(mx.example.net: 450 4.2.1 greylisted)"
    assert [one.strip() for one in lines[3:6]] == ["bob@example.net", "eva@example.net", ""]
    assert lines[6] == "-- 2 Kbytes in 1 Request."
    assert list(classic([])) == ["Mail queue is empty"]


def test_marks_null_sender_and_hostile_text():
    """S75, sec-O05: * under way, ! held; nothing of strangers reaches the terminal as it is."""
    one = ROW["recipients"][0]
    rows = [
        ROW | {"sender": "", "recipients": [one | {"state": "active"}]},
        ROW | {"recipients": [one | {"state": "held", "reply": "550 \x1b[2J\nx", "address": "a\r\nb@x"}]},
    ]
    text = "\n".join(classic(rows))
    assert "0123456789ABCDEF* " in text
    assert "0123456789ABCDEF! " in text
    assert "MAILER-DAEMON" in text
    assert "\x1b" not in text
    assert "a??b@x" in text
    assert text.endswith("-- 4 Kbytes in 2 Requests.")


def test_mailq_asks_the_mover(site, capsys):
    """S75: over the socket; --json for programs."""
    site.answers = [ROW, {"ok": True, "count": 1}]
    site.listen()
    assert site.status(mailq) == 0
    assert "bob@example.net" in capsys.readouterr().out
    assert site.status(mailq, "--json") == 0
    assert json.loads(capsys.readouterr().out) == ROW
    assert site.asked == [{"do": "list"}] * 2


def test_own_mail_where_the_other_socket_is_closed(site, capsys):
    """S75: a user without rights is answered by the second socket."""
    site.answers = [ROW, {"ok": True, "count": 1}]
    site.listen(site.root / "var" / "drop" / "queue.sock")
    assert site.status(mailq) == 0
    assert "1 Request" in capsys.readouterr().out


def test_without_a_mover(site, capsys):
    """S75, S78: accepted mail that nobody has taken up is listed; an empty one is said to be empty."""
    assert site.status(mailq) == 0
    assert capsys.readouterr().out == "Mail queue is empty\n"
    one = site.spooled("bob@example.net")
    assert site.status(mailq) == 0
    out = capsys.readouterr().out
    assert one in out
    assert "bob@example.net" in out
    assert not (site.root / "var" / "db" / "queue.db").exists()


def test_without_a_mover_and_without_rights(site, capsys, monkeypatch):
    """S75: said in so many words, status 69."""
    def closed(where, request):
        raise module.Down
    monkeypatch.setattr(module, "_without_mover", closed)
    assert site.status(mailq) == 69
    assert "mail system is down" in capsys.readouterr().err


def test_flush(site, capsys):
    """S76: everything; what has the text in id, recipient or sender; not while nothing runs."""
    where = module.places.find()
    assert site.status(lambda words: flush_some(where, "", "")) == 69
    assert "down" in capsys.readouterr().err
    site.listen()
    flush_some(where, "", "")
    assert site.asked.pop() == {"do": "flush", "all": True}
    site.answers = [ROW, {"ok": True, "count": 1}]
    for what, text in (("R", "EXAMPLE.net"), ("R", "all@"), ("S", "ana@"), ("I", "CDEF")):
        flush_some(where, what, text)
        assert site.asked[-2:] == [{"do": "list"}, {"do": "flush", "ids": [ROW["id"]]}]
    before = len(site.asked)
    flush_some(where, "S", "bob")
    assert site.asked[before:] == [{"do": "list"}]


REQUESTS = [
    (("list",), {"do": "list"}),
    (("list", "--domain", "example.net", "--held"), {"do": "list", "domain": "example.net", "held": True}),
    (("flush", "--all"), {"do": "flush", "all": True}),
    (("hold", "A", "B"), {"do": "hold", "ids": ["A", "B"]}),
    (("release", "--held"), {"do": "release", "held": True}),
    (("requeue", "--recipient", "x@y"), {"do": "requeue", "recipient": "x@y"}),
    (("delete", "--sender", "<>"), {"do": "delete", "sender": "<>"}),
    (("return", "A"), {"do": "return", "ids": ["A"]}),
    (("pause", "outgoing", "example.net"), {"do": "halt", "names": ["outgoing", "example.net"]}),
    (("resume",), {"do": "resume", "names": []}),
    (("status",), {"do": "counters"}),
]


@pytest.mark.parametrize(("words", "request_"), REQUESTS)
def test_verbs(site, capsys, words, request_):
    """S84 to S87: each as a request; --json repeats the answer."""
    site.listen()
    assert site.status(queue, *words) == 0
    assert site.status(queue, *words, "--json") == 0
    assert site.asked == [request_, request_]


def test_verbs_need_to_know_what(site, capsys):
    """A verb that changes something doesn't mean everything by itself."""
    site.listen()
    for words in (("delete",), ("hold",), ("flush",), ("pause",), ("show",), ("show", "A", "B"), ("explode",), ()):
        assert site.status(queue, *words) == 2
    assert not site.asked


def test_refusal_is_told(site, capsys):
    site.answers = [{"ok": False, "error": "say which messages"}]
    site.listen()
    assert site.status(queue, "list") == 1
    assert "say which messages" in capsys.readouterr().err


def test_older(site):
    site.listen()
    site.status(queue, "hold", "--older", "3600")
    assert site.asked[0]["before"] > 1.7e9


def test_human_form(site, capsys, monkeypatch):
    """S75: in the user's language."""
    site.answers = [ROW, {"ok": True, "count": 1}]
    site.listen()
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    assert site.status(queue, "list") == 0
    assert "bob@example.net: espera, próximo intento" in capsys.readouterr().out
    site.answers = [{"message": ROW, "envelope": {}, "text": "Subject: \x1b]0;x\r\n\r\nbody", "whole": False},
                    {"ok": True, "count": 1}]
    assert site.status(queue, "show", ROW["id"]) == 0
    out = capsys.readouterr().out
    assert "Subject: ?]0;x\n" in out
    assert "sólo se muestra" in out
    monkeypatch.setattr(sys, "stdin", io.StringIO())
