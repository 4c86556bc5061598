"""`estafeta fetch`: exit statuses as fetchmail's, one line or object per account, progress on a terminal only."""

import io
import json
from pathlib import Path

import pytest

from bridge.cli import fetch as command
from bridge.intake.fetch.poller import Result
from tests.bridge.intake.fetch.fakes import PASSWORD, USER, FakeImap, FakePop3, mail


def settings(folder: Path, *servers: FakeImap | FakePop3, more: str = "") -> str:
    text = f'[server]\nhostname = "mail.example.org"\n[paths]\ndata = "{folder}/data"\n'
    text += '[mail]\ndomains = ["example.org"]\n'
    for number, server in enumerate(servers):
        protocol = "imap" if isinstance(server, FakeImap) else "pop3"
        text += (
            f'[[fetch.account]]\nname = "a{number}"\nprotocol = "{protocol}"\nhost = "localhost"\n'
            f"port = {server.port}\n"
            f'tls = "none"\nuser = "{USER}"\npassword = "{PASSWORD}"\nto = "ana"\nkeep = false\n'
        )
    path = folder / "estafeta.toml"
    path.write_text(text + more)
    return str(path)


def run(config: str, *words: str) -> int:
    try:
        command.fetch(["--config", config, *words])
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


@pytest.fixture
def ana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "C")
    monkeypatch.setenv("ESTAFETA_QUICK_HASH", "1")
    from bridge import app
    from bridge.cli.settings import settings_of

    with app.opened(settings_of(Path(settings(tmp_path))).settings) as house:
        house.accounts.add("ana@example.org", "correct horse 42")


@pytest.mark.usefixtures("ana")
def test_collects_and_says_how_it_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F51: 0 mail came, 1 none."""
    with FakeImap({1: mail(1), 2: mail(2)}) as imap, FakePop3({"a": mail(3)}) as pop3:
        config = settings(tmp_path, imap, pop3)
        assert run(config) == 0
        assert "a0: 2 collected" in (out := capsys.readouterr().out)
        assert ", 1 deleted there" in out
        assert run(config, "--json") == 1
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(one["account"], one["new"], one["error"]) for one in rows] == [("a0", 0, ""), ("a1", 0, "")]
        imap.add(9, mail(9))
        assert run(config, "a1") == 1
        assert list(imap.messages) == [9]
        run(config, "--list", "--json")
        listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()[-2:]]
        assert [(one["account"], one["messages"], one["to"]) for one in listed] == [
            ("a0", 2, "ana@example.org"),
            ("a1", 1, "ana@example.org"),
        ]
        run(config, "--list")
        told = capsys.readouterr()
        assert "fine" in told.out
        assert PASSWORD not in told.out + told.err


@pytest.mark.usefixtures("ana")
def test_what_goes_wrong_has_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeImap() as server:
        server.password = "another"
        config = settings(tmp_path, server)
        assert run(config) == 3
        assert run(config, "nobody") == 5
    assert run(config) == 2
    assert run(settings(tmp_path)) == 1
    (tmp_path / "rc").write_text("poll x user y\n")
    (tmp_path / "rc").chmod(0o600)
    assert run(settings(tmp_path, more=f'[fetch]\nrcfiles = ["{tmp_path}/rc"]\n')) == 5
    assert f"{tmp_path}/rc:1: " in capsys.readouterr().err


@pytest.mark.usefixtures("ana")
def test_a_target_that_does_not_exist_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeImap({1: mail(1)}) as server:
        config = settings(tmp_path, server)
        Path(config).write_text(Path(config).read_text().replace('to = "ana"', 'to = "nadie"'))
        assert run(config) == 5
        assert "no local address nadie@example.org" in capsys.readouterr().err
        assert not server.heard


@pytest.mark.usefixtures("ana")
def test_retry_gives_another_chance(tmp_path: Path) -> None:
    with FakeImap({1: mail(1)}) as server:
        server.twist["UID FETCH"] = lambda s, tag, a: s.line(f"{tag} OK done") or True if "[]" in a else None
        config = settings(tmp_path, server)
        for _ in range(4):
            assert run(config) == 1
        server.twist.clear()
        assert run(config) == 1, "given up"
        assert run(config, "--retry", "a0") == 0


def test_statuses_of_several() -> None:
    """fetchmail: 0 if any gave mail, else that of the last failure."""
    bad = [Result("a", error="x", status=2), Result("b", error="x", status=3), Result("c")]
    assert command.status_of(bad, []) == 3
    assert command.status_of([*bad, Result("d", new=1)], ["p"]) == 0
    assert command.status_of([Result("c")], []) == 1
    assert command.status_of([Result("c")], ["problem"]) == 5


def test_a_bar_on_a_terminal_and_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with command._progress(True) as progress:
            progress("remote", 5, 10)
        assert ("remote" in stream.getvalue()) == shown
