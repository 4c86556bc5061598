"""`fetchmail` by its own name: polls as the caller's file says, exit statuses as fetchmail's (F01-F07, F49, F51)."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli import fetchmail as command
from bridge.cli import fetchmaildaemon, fetchmailpoll
from bridge.cli.fetchmailjob import caller
from bridge.store import failpoints
from tests.bridge.intake.fetch.fakes import PASSWORD, USER, FakeImap, FakePop3, mail
from tests.lab import PASSWORD as LAB_PASSWORD
from tests.lab import Lab, free_ports

USERS = ("ana", "eva", "luis")


class Home:
    """A caller with a home folder, and a small site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home"
        self.folder.mkdir()
        self.rc = self.folder / "fetchmailrc"
        self.config = folder / "c.toml"
        self.config.write_text(
            f'[server]\nhostname = "mail.example.org"\n[paths]\ndata = "{folder}/data"\n'
            '[mail]\ndomains = ["example.org"]\naliases = []\n'
        )

    def write(self, text: str) -> None:
        self.rc.write_text(text)
        self.rc.chmod(0o600)

    def entry(self, server: FakeImap | FakePop3, more: str = "sslproto ''") -> str:
        kind = "imap" if isinstance(server, FakeImap) else "pop3"
        return f'poll far via 127.0.0.1 proto {kind} port {server.port} user {USER} password "{PASSWORD}" {more}\n'

    def collected(self) -> list[str]:
        """Recipients of what is in the spool."""
        from bridge import app
        from bridge.cli.settings import settings_of

        with app.opened(settings_of(self.config).settings) as house:
            opened = [house.spool.open(one).envelope for one in house.spool.scan()]
            return sorted(one.recipients[0].address for one in opened if one.key.startswith("fetch:"))


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.fetchmail(list(words))
    return int(str(ended.value.code))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("ESTAFETA_QUICK_HASH", "1")
    monkeypatch.setenv("FETCHMAILHOME", str(made.folder))
    monkeypatch.setenv("ESTAFETA_CONFIG", str(made.config))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    from bridge import app
    from bridge.cli.settings import settings_of

    with app.opened(settings_of(made.config).settings) as house:
        for name in ("ana", caller().login):
            house.accounts.add(f"{name}@example.org", "correct horse 42", allow_reserved=True)
    return made


def test_mail_without_a_local_name_is_the_callers(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """F01, F06: every entry is polled once, skipped ones are not; 0 mail came, 1 none."""
    with FakePop3({"a": mail(1)}) as own, FakeImap({1: mail(2)}) as named, FakePop3({"b": mail(3)}) as skipped:
        home.write(
            home.entry(own)
            + home.entry(named, "sslproto '' is ana here").replace("far", "other")
            + home.entry(skipped).replace("poll far", "skip third")
        )
        assert run() == 0
        assert home.collected() == sorted([f"{caller().login}@example.org", "ana@example.org"])
        assert not own.messages, "deleted there"
        assert not skipped.heard
        assert "1 message for ana@far" in capsys.readouterr().out
        assert run() == 1
        assert "No mail for ana@other" in capsys.readouterr().out
        assert run("-s", "third") == 0, "named on the command line it is polled"
        assert capsys.readouterr().out == ""


def test_options_stand_over_the_file(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """F49: -k keeps, -c only looks, -F deletes what was collected, -B stops with 13, -l leaves large mail."""
    with FakeImap({1: mail(1), 2: mail(2, 90_000)}) as server:
        home.write(home.entry(server))
        assert run("-c") == 0
        assert "2 messages (0 seen) for ana@far" in capsys.readouterr().out
        assert not home.collected()
        assert run("-k", "-l", "5000") == 0
        assert len(home.collected()) == 1
        assert len(server.messages) == 2
        assert run("-k", "-c") == 1
        server.add(3, mail(3))
        assert run("-k", "-F", "-l", "5000") == 0
        assert sorted(server.messages) == [2, 3]
        server.add(4, mail(4))
        assert run("-K", "-B", "1") == 13
        assert run("-K") == 0
        assert not server.messages


@pytest.mark.parametrize(
    ("words", "es", "en"),
    [
        (("--foo",), "no se conoce la opción --foo", "option --foo not recognized"),
        (("-u",), "la opción -u necesita un valor", "option -u requires argument"),
        (("-d", "x"), "--daemon necesita un número, no 'x'", "--daemon needs a number, not 'x'"),
        (("-p", "pop9"), "no existe ese protocolo; escriba pop3, imap o auto", "no such protocol; write pop3"),
    ],
)
def test_wrong_options(
    home: Home, words: tuple[str, ...], es: str, en: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """F51: status 5, in the terminal's language."""
    for language, told in (("es_ES.UTF-8", es), ("C", en)):
        monkeypatch.setenv("LC_ALL", language)
        assert run(*words) == 5
        assert told in capsys.readouterr().err


def test_a_server_that_no_file_names(home: Home) -> None:
    """F07: protocol, port, user and folder from the command line, the password from the terminal's file."""
    with FakeImap({1: mail(1)}) as server:
        home.write(f'defaults user {USER} password "{PASSWORD}"\n')
        words = ("-p", "IMAP", "-P", str(server.port), "-u", USER, "--sslproto", "", "-t", "5", "-r", "INBOX")
        assert run(*words, "127.0.0.1") == 5, "no password, and nobody to ask"
        home.write(f'poll 127.0.0.1 proto pop3 user x password "{PASSWORD}"\n')
        assert run(*words, "127.0.0.1") == 0
        assert len(home.collected()) == 1


def test_passwords_are_asked_for_on_a_terminal(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda words: PASSWORD if "ana@far" in words else "")
    with FakeImap({1: mail(1)}) as server:
        home.write(home.entry(server).replace(f'password "{PASSWORD}"', ""))
        assert run() == 0


def test_the_file_from_standard_input(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeImap({1: mail(1)}) as server:
        monkeypatch.setattr(sys, "stdin", io.StringIO(home.entry(server)))
        assert run("-f", "-") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("\npol x"))
    assert run("-f", "-") == 5


def test_an_old_server_without_tls_is_refused_and_the_line_named(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """F02 of the seeds' 2003 server: nothing is sent in clear text unless the file says so, and where."""
    for server in (FakePop3({"a": mail(1)}), FakeImap({1: mail(1)})):
        with server:
            home.write("# mine\n" + home.entry(server, ""))
            assert run() == 2
            told = capsys.readouterr().err
            assert f"{home.rc}:2: " in told
            assert told.rstrip().endswith("sslproto ''")
            assert not [one for one in server.heard if PASSWORD in one]


def test_each_trouble_has_its_status(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """F03, F51."""
    assert run() == 5
    assert "fetchmailconf" in capsys.readouterr().err
    home.write("\npoll x proto pop3\n  userr y\n")
    assert run() == 5
    assert f"{home.rc}:3: syntax error at 'userr'" in capsys.readouterr().err
    home.rc.chmod(0o644)
    assert run() == 6
    assert f"chmod 600 {home.rc}" in capsys.readouterr().err
    assert run("--nonsense") == 5
    assert run("-t", "soon") == 5
    assert run("-p", "gopher") == 5
    with FakeImap({1: mail(1)}) as server:
        home.write(home.entry(server, "sslproto '' is nadie here"))
        assert run() == 5
        assert "there is no local address nadie@example.org" in capsys.readouterr().err
        assert not server.heard
        home.write(home.entry(server, "sslproto '' mda '/bin/cat'"))
        assert run() == 5
        home.write(home.entry(server).replace(PASSWORD, "wrong"))
        assert run() == 3
    assert run() == 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("site"), single=True)
    lab.command("user", "import", "-", text="".join(f"{one}@example.org {LAB_PASSWORD}\n" for one in USERS))
    lab.start()
    yield lab
    lab.kill()


@pytest.fixture
def stranger(home: Home, site: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A caller without rights in the mail system, which runs."""
    monkeypatch.setattr(fetchmailpoll, "_may_write", lambda data: False)
    monkeypatch.setenv("ESTAFETA_CONFIG", str(site.config))
    return site


def test_who_may_not_write_here_goes_by_smtp(home: Home, stranger: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """F06: with a ledger of their own; the sender stays, nothing comes twice, who is not here gets nothing."""
    with FakePop3({"a": mail(1), "b": mail(2)}) as server:
        home.write(home.entry(server, "sslproto '' is nadie here"))
        assert run() == 5
        assert "there is no local address nadie" in capsys.readouterr().err
        assert not server.heard
        home.write(home.entry(server, "sslproto '' keep is ana here"))
        assert run() == 0
        texts = [one.read_bytes() for one in stranger.wait_mails("ana", 2)]
        assert any(b"Return-Path: <writer2@example.net>" in one and b"..two dots" in one for one in texts)
        assert all(re.search(rb"^Delivered-To: fetch-\w+@mail\.example\.org\r?$", one, re.M) for one in texts)
        assert run() == 1
        assert run("-F") == 1, "what was collected is deleted there now"
        assert not server.messages
    assert len(stranger.mails("ana")) == 2


def test_our_server_is_down(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """F06, F51: all stays there, untouched."""
    monkeypatch.setattr(fetchmailpoll, "_may_write", lambda data: False)
    home.config.write_text(f"{home.config.read_text()}[listen]\nsmtp = {free_ports(1)[0]}\n")
    with FakePop3({"a": mail(1)}) as server:
        home.write(home.entry(server, "sslproto '' is ana here"))
        assert run() == 10
        assert "the mail server of this machine" in capsys.readouterr().err
        assert not server.heard


def test_what_our_server_never_takes_is_kept_aside(home: Home, stranger: Lab) -> None:
    """F06: after three refusals in the caller's own folder, and they are told; the others come."""
    looped = b"Received: by x; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 60 + mail(1)
    with FakePop3({"a": looped, "b": mail(2)}) as server:
        home.write(home.entry(server, "sslproto '' is eva here"))
        assert [run() for _ in range(3)] == [0, 1, 1]
        assert list(server.messages) == ["a"]
    aside = list((home.folder / "estafeta" / "quarantine").iterdir())
    assert [one.read_bytes() for one in aside] == [looped]
    stranger.wait_mails("eva", 2)


def test_a_ledger_that_can_not_be_written_leaves_the_mail_there(home: Home, stranger: Lab) -> None:
    """F51: failpoint fetchmail.own.commit with a failing disk; the next poll delivers and deletes."""
    with FakePop3({"a": mail(1)}) as server:
        home.write(home.entry(server, "sslproto '' is luis here"))
        assert run("-c") == 0
        failpoints.arm("fetchmail.own.commit=EIO")
        try:
            assert run() == 10
        finally:
            failpoints.arm("")
        assert list(server.messages) == ["a"]
        assert run() == 0
        assert not server.messages


def fetchmail(*words: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "bridge", "fetchmail", *words]
    return subprocess.run(call, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def until(true: object) -> None:
    end = time.monotonic() + 60
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_background_one_is_woken_and_ended(home: Home) -> None:
    """F01, F02, F52, F54: `--daemon N`, woken by a bare call; a broken file costs a round; -q ends it."""
    pid = fetchmaildaemon.PidFile(home.folder / "fetchmail.pid")
    log = home.folder / "log"
    assert fetchmail("-q").returncode == 8
    with FakeImap({1: mail(1)}) as server:
        home.write(home.entry(server))
        started = fetchmail("--daemon", "3600", "-L", str(log))
        assert started.returncode == 0, started.stderr
        try:
            until(lambda: not server.messages)
            until(lambda: pid.running())
            assert pid.path.read_text().split() == [str(pid.running()), "3600"]
            until(lambda: "1 message for ana@far" in log.read_text())
            good = home.rc.read_text()
            home.write("poll poll")
            os.kill(pid.running(), signal.SIGUSR1)
            until(lambda: "a server name must follow" in log.read_text())
            home.write(good)
            server.add(2, mail(2))
            woken = fetchmail()
            assert (woken.returncode, "awakened" in woken.stdout) == (0, True)
            until(lambda: not server.messages)
            assert fetchmail("-k").returncode == 8
        finally:
            ended = fetchmail("-q")
        assert (ended.returncode, "killed" in ended.stdout) == (0, True)
        assert not pid.running()
        assert pid.path.read_text() == ""
