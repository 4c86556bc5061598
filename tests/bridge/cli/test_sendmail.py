"""`sendmail`: options, what is read, what the drop folder is told, exit statuses; it loads little."""
import io
import subprocess
import sys

import pytest

from bridge.cli.sendmail import parse, sendmail, until_dot
from bridge.cli.smtpstdio import converse
from bridge.store import dropfolder, failpoints

TEXT = b"To: ana@example.org\nSubject: hi\n\nbody\n"


class Lab:
    """A drop folder and a way to call."""

    def __init__(self, root, monkeypatch):
        self.config, self.drop, self.monkeypatch = root / "c.toml", root / "var" / "drop", monkeypatch
        self.config.write_text('[paths]\ndata = "var"\n')
        self.drop.parent.mkdir()
        dropfolder.prepare(self.drop)
        monkeypatch.setenv("ESTAFETA_CONFIG", str(self.config))
        monkeypatch.setenv("LC_ALL", "C")

    def call(self, *words, text=TEXT):
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        with pytest.raises(SystemExit) as ended:
            sendmail(list(words))
        return ended.value.code

    def dropped(self):
        """Record and message of each."""
        found = []
        for name in dropfolder.waiting(self.drop):
            with dropfolder.opened(self.drop, name) as handed:
                found.append((handed.record, b"".join(handed.message)))
            dropfolder.remove(self.drop, name)
        return found


@pytest.fixture
def lab(tmp_path, monkeypatch):
    yield Lab(tmp_path, monkeypatch)
    failpoints.arm("")


CALLS = [
    (("ana",), {"recipients": ["ana"]}),
    (("-i", "ana@x", "eva@y,pedro"), {"recipients": ["ana@x", "eva@y", "pedro"]}),
    (("-t",), {"recipients": [], "extract": True}),
    (("-ti",), {"extract": True}),
    (("-oi", "-t", "-oem", "-odb"), {"extract": True}),
    (("-bm", "-f", "juan@x", "ana"), {"sender": "juan@x"}),
    (("-fjuan", "ana"), {"sender": "juan"}),
    (("-r", "juan", "ana"), {"sender": "juan"}),
    (("-f", "", "ana"), {"sender": ""}),
    (("-f", "<>", "ana"), {"sender": ""}),
    (("-f<juan@x>", "ana"), {"sender": "juan@x"}),
    (("-F", "Juan Pérez", "ana"), {"name": "Juan Pérez"}),
    (("-B8BITMIME", "-N", "failure,delay", "-R", "hdrs", "-V", "abc", "ana"),
     {"body": "8BITMIME", "notify": "failure,delay", "ret": "hdrs", "envid": "abc"}),
    (("-G", "-i", "--", "-odd@x"), {"gateway": True, "recipients": ["-odd@x"]}),
    (("-n", "-U", "-v", "-Am", "-O", "x=y", "-om", "-h", "3", "-p", "esmtp", "-X", "/log", "-L", "tag", "-s", "ana"),
     {"recipients": ["ana"]}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "wanted"), CALLS)
def test_options(lab, words, wanted):
    """S77: each in its forms; those without a meaning here are taken."""
    assert lab.call(*words) == 0
    ((record, message),) = lab.dropped()
    assert wanted.items() <= record.items()
    assert "sender" in wanted or "sender" not in record
    assert message == TEXT


def test_modes():
    """S76, S77: -b and -q choose what to be."""
    letters = {"-bp": "p", "-bi": "i", "-I": "i", "-bs": "s", "-bv": "v", "-bd": "d", "-q": "q", "-qRx": "q"}
    for word, mode in letters.items():
        assert parse([word]).mode == mode
    assert parse(["-bd", "-q15m"]).mode == "d"
    assert parse(["-qIabc"]).values["q"] == "Iabc"
    assert parse(["-C", "/c", "ana"]) == parse(["--config", "/c", "ana"]) == parse(["--config=/c", "ana"])


@pytest.mark.parametrize(("text", "words", "message"), [
    (b"a\n.\nb\n", (), b"a\n"),
    (b"a\n.\nb\n", ("-i",), b"a\n.\nb\n"),
    (b"a\n.\nb\n", ("-oi",), b"a\n.\nb\n"),
    (b".\nb\n", (), b""),
    (b"a\r\n.\r\nb", (), b"a\r\n"),
    (b"a\n..\n .\n.x\nb", (), b"a\n..\n .\n.x\nb"),
    (b"", (), b""),
])  # fmt: skip
def test_a_dot_ends_what_is_typed(lab, text, words, message):
    """S77: -i and -oi."""
    assert lab.call(*words, "ana", text=text) == 0
    assert lab.dropped()[0][1] == message


def test_long_lines_and_long_mails():
    """A dot in the middle of a line longer than the buffer is none."""
    text = b"x" * 65536 + b".\n" + b"y\n" * 100_000 + b".\nz"
    chunks = list(until_dot(io.BytesIO(text)))
    assert b"".join(chunks) == text[:-3]
    assert max(map(len, chunks)) < 200_000


@pytest.mark.parametrize(("words", "text", "status"), [
    ((), TEXT, 64), (("-f",), TEXT, 64), (("-bz", "ana"), TEXT, 64), (("-qX",), TEXT, 64),
    (("-t",), b"Subject: no one\n\nTo: ana\n", 64), (("-t",), b"To: \nSubject: x\n\nTo: ana\n", 64),
    (("a\nb",), TEXT, 65), (("-f", "a\x00b", "ana"), TEXT, 65), (("-C", "/nonexistent", "ana"), TEXT, 78),
    (("-bv",), TEXT, 64),
])  # fmt: skip
def test_wrong_calls(lab, capsys, words, text, status):
    """S77: sysexits, a word on standard error, nothing left."""
    assert lab.call(*words, text=text) == status
    assert capsys.readouterr().err
    assert not lab.dropped()


def test_bcc_alone_and_folded_fields_are_recipients(lab):
    for field in (b"Bcc: x@y\n\n", b"To:\n x@y\n\n", b"resent-to: x\n\n"):
        assert lab.call("-t", text=field) == 0


@pytest.mark.parametrize(
    ("plan", "status"), [("drop.write=ENOSPC", 75), ("drop.fdatasync=EIO", 75), ("drop.create=EACCES", 73)]
)
def test_trouble_is_told_and_leaves_nothing(lab, capsys, plan, status):
    """S77: status 0 only for what is on the disk."""
    failpoints.arm(plan)
    assert lab.call("ana") == status
    failpoints.arm("")
    assert "nothing was sent" in capsys.readouterr().err
    assert not lab.dropped()


def test_never_started(lab, capsys):
    """S78: a machine where no Estafeta has run yet: try again later, in the user's language."""
    lab.drop.rmdir()
    lab.monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    assert lab.call("ana") == 75
    assert "¿se ha arrancado" in capsys.readouterr().err


def test_loads_little():
    """S77: no databases, no web, no asyncio for a cron job's report."""
    code = "import sys; import bridge.cli.sendmail, bridge.store.dropfolder, tomllib; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout.split()

    heavy = {"sqlalchemy", "asyncio", "argparse", "starlette", "jinja2", "email", "ssl", "dns", "idna", "socket"}
    assert "bridge.cli.sendmail" in loaded
    assert not heavy & set(loaded)


def test_daemon_form_of_the_queue_run_is_accepted(lab):
    """S76: -q15m."""
    assert lab.call("-q15m") == 0
    assert lab.call("-q1h30m") == 0


# --- -bs


def say(lines, leave=None):
    kept = []

    def keep(record, message):
        kept.append((record, b"".join(message)))
        return "N"

    out = io.BytesIO()
    converse(io.BytesIO(lines), out, leave or keep)
    return out.getvalue().decode().split("\r\n"), kept


def test_smtp_on_standard_input():
    """S77: -bs, with bare names, dots and two messages."""
    replies, kept = say(
        b"EHLO x\r\nMAIL FROM:<juan>\r\nRCPT TO:<ana@example.org>\r\nRCPT TO:<pedro>\r\nDATA\r\nSubject: x\r\n\r\n"
        b"..dot\r\n.\r\nHELO x\nMAIL FROM:<>\nRCPT TO: eva@x.example\nDATA\n\nhi\n.\nQUIT\n"
    )
    assert [one[:3] for one in replies if one and one[3] == " "] == [
        "220", "250", "250", "250", "250", "354", "250", "250", "250", "250", "354", "250", "221"]
    assert kept[0] == ({"version": 1, "sender": "juan", "recipients": ["ana@example.org", "pedro"], "body": ""},
                       b"Subject: x\r\n\r\n.dot\r\n")
    assert kept[1][0]["sender"] == ""
    assert kept[1][1] == b"\nhi\n"


@pytest.mark.parametrize(("lines", "code"), [
    (b"RCPT TO:<a@b>\r\n", "503"), (b"DATA\r\n", "503"), (b"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n", "503"),
    (b"MAIL FROM:<a b>\r\n", "501"), (b"WHAT\r\n", "500"), (b"\xff\r\n", "500"), (b"VRFY ana\r\n", "252"),
    (b"MAIL FROM:<a@b>\r\nRCPT TO:<x y>\r\n", "501"), (b"x\r\n" * 60, "421"), (b"A" * 200_000 + b"\r\n", "500"),
])  # fmt: skip
def test_smtp_mistakes(lines, code):
    replies, kept = say(lines)
    assert replies[-2].startswith(code)
    assert not kept


def test_smtp_that_breaks_off_sends_nothing(lab):
    """S77: an end of input inside DATA; trouble of ours is 451."""
    begin = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ana@b.example>\r\nDATA\r\nx\r\n"
    assert lab.call("-bs", text=begin) == 0
    assert not lab.dropped()

    def fail(record, message):
        raise SystemExit(75)

    replies, _ = say(begin + b"y\r\n.\r\nQUIT\r\n", fail)
    assert [one[:3] for one in replies[-3:-1]] == ["451", "221"]


def test_smtp_end_to_end(lab, capfdbinary):
    begin = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<ana@b.example>\r\nDATA\r\nx\r\n.\r\n"
    assert lab.call("-bs", text=begin) == 0
    ((record, message),) = lab.dropped()
    assert (record["recipients"], message) == (["ana@b.example"], b"x\r\n")
