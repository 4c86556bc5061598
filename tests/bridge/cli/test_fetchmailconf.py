"""`fetchmailconf` in a terminal (F55): asks, probes, tries, writes; what was there stays."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cli import fetchmailconf, fetchmailjob
from bridge.intake.fetch import probe
from bridge.store import failpoints
from bridge.wire.fetchmailrc import parse
from tests.bridge.intake.fetch.fakes import PASSWORD, USER, Fake, FakeImap, FakePop3, certificate

Wizard = Callable[..., int]
OLD = "# mine\nset daemon 300\npoll other.example.org proto pop3 user x password y keep"


@pytest.fixture
def rc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FETCHMAILHOME", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr(probe, "PORTS", ())
    return tmp_path / "fetchmailrc"


@pytest.fixture
def wizard(rc: Path, monkeypatch: pytest.MonkeyPatch) -> Wizard:
    def run(*answers: str, options: tuple[str, ...] = ()) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{one}\n" for one in answers)))
        try:
            fetchmailconf.fetchmailconf(list(options))
        except SystemExit as ended:
            return int(str(ended.code))
        return 0

    return run


def offer(monkeypatch: pytest.MonkeyPatch, *servers: tuple[Fake, str]) -> None:
    ports = tuple(("imap" if isinstance(one, FakeImap) else "pop3", one.port, tls) for one, tls in servers)
    monkeypatch.setattr(probe, "PORTS", ports)


def test_what_is_found_is_proposed_tried_and_written(
    rc: Path, wizard: Wizard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """F55: a new file, its owner's alone, that fetchmail reads; the password is not shown."""
    with FakeImap() as imap:
        offer(monkeypatch, (imap, ""))
        assert wizard("127.0.0.1", "", "", USER, PASSWORD, "?", "y", "") == 0
        assert rc.stat().st_mode & 0o777 == 0o600
        entry = parse(rc.read_text()).entries[0]
        user = entry.users[0]
        assert (entry.host, entry.protocol, entry.service) == ("127.0.0.1", "imap", str(imap.port))
        assert (user.name, user.password, user.keep, user.sslproto, user.local) == (USER, PASSWORD, True, "", ())
        said = capsys.readouterr().out
        assert f"imap {imap.port} none" in said
        assert "nothing is collected twice" in said, "the ? of keep"
        assert "It works." in said
        assert PASSWORD not in said.replace("Password there", "")


def test_what_was_there_stays(rc: Path, wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    rc.write_text(OLD)
    rc.chmod(0o644)
    with FakePop3() as pop3:
        offer(monkeypatch, (pop3, ""))
        assert wizard("127.0.0.1", "", "", USER, PASSWORD, "", "ana") == 0
    assert rc.read_text().startswith(OLD + "\n")
    assert rc.stat().st_mode & 0o777 == 0o600
    entries = parse(rc.read_text()).entries
    assert [one.name for one in entries] == ["other.example.org", "127.0.0.1"]
    assert entries[1].users[0].local[0].local == "ana"


def test_a_login_that_fails_is_written_only_if_wanted(
    rc: Path, wizard: Wizard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakePop3() as pop3:
        offer(monkeypatch, (pop3, ""))
        answers = ("127.0.0.1", "pop3", "none", USER, 'wr"on\\g', "n", "")
        assert wizard(*answers, "n") == 1
        assert not rc.exists()
        assert "refuses the login" in capsys.readouterr().out
        assert wizard(*answers, "y") == 0
    assert parse(rc.read_text()).entries[0].users[0].password == 'wr"on\\g'


def test_the_end_of_the_input_writes_nothing(rc: Path, wizard: Wizard, capsys: pytest.CaptureFixture[str]) -> None:
    rc.write_text(OLD)
    assert wizard("127.0.0.1", "imap", "ssl", "143", USER) == 1
    assert rc.read_text() == OLD
    assert "is as it was" in capsys.readouterr().err


def test_a_broken_file_is_not_touched(rc: Path, wizard: Wizard, capsys: pytest.CaptureFixture[str]) -> None:
    rc.write_text("\npoll poll\n")
    assert wizard("127.0.0.1") == 1
    assert rc.read_text() == "\npoll poll\n"
    assert f"{rc}:2: " in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["a b", "-x", "two\thosts", "x;y"])
def test_answers_that_can_not_be_are_asked_again(
    rc: Path, wizard: Wizard, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wizard(wrong, "127.0.0.1", "gopher", "imap", "maybe", "none", "70000", "1", USER, "p", "n", "", "y") == 0
    assert capsys.readouterr().out.count("That can't be") == 4
    assert parse(rc.read_text()).entries[0].service == "1"


def test_an_account_is_not_written_twice(rc: Path, wizard: Wizard) -> None:
    rc.write_text("poll 127.0.0.1 proto pop3 user ana password p")
    assert wizard("127.0.0.1", "imap", "none", "1", "ana", "eva", "p", "n", "", "y") == 0
    assert [one.users[0].name for one in parse(rc.read_text()).entries] == ["ana", "eva"]


def test_the_expert_is_asked_for_more(rc: Path, wizard: Wizard) -> None:
    answers = ("127.0.0.1", "imap", "none", "1", USER, "p", "n", "", "Work", "5000", "AA:bb", "y")
    assert wizard(*answers, options=("--expert",)) == 0
    user = parse(rc.read_text()).entries[0].users[0]
    assert (user.folders, user.limit, user.sslfingerprint) == (("Work",), 5000, "AA:bb")


def test_the_probe_sees_tls_of_both_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F55: implicit TLS is better than STARTTLS, that than none, IMAP better than POP3."""
    context, _, _ = certificate(tmp_path)
    with (
        FakePop3(tls=context, implicit=True) as pop3s, FakeImap(tls=context) as imap, FakePop3(tls=context) as pop3,
        FakePop3() as plain, FakePop3() as odd,
    ):  # fmt: skip
        offer(monkeypatch, (plain, ""), (pop3, ""), (imap, ""), (pop3s, "ssl"), (odd, ""))
        odd.greeting = "220 ready"
        assert probe.probe("127.0.0.1") == [
            ("pop3", pop3s.port, "ssl"), ("imap", imap.port, "starttls"), ("pop3", pop3.port, "starttls"),
            ("pop3", plain.port, "none"),
        ]  # fmt: skip
    assert probe.probe("127.0.0.1") == []


def test_a_full_disk_leaves_the_file_as_it_was(rc: Path, wizard: Wizard, capsys: pytest.CaptureFixture[str]) -> None:
    """Failpoint fetchmailconf.write."""
    rc.write_text(OLD)
    failpoints.arm("fetchmailconf.write=ENOSPC")
    try:
        assert wizard("127.0.0.1", "imap", "none", "1", USER, "p", "n", "", "y") == 1
    finally:
        failpoints.arm("")
    assert rc.read_text() == OLD
    assert "nothing was written" in capsys.readouterr().err


def test_spanish(rc: Path, wizard: Wizard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    assert wizard("127.0.0.1", "?", "imap", "none", "1", USER, "p", "sí", "", "s") == 0
    assert "imap conoce carpetas" in capsys.readouterr().out
    assert parse(rc.read_text()).entries[0].users[0].keep
    assert fetchmailjob.caller().rcfile == rc
