"""Settings: every mistake is named with file, line and what to write; nothing is guessed (O02)."""

from pathlib import Path

import pytest

from bridge.config import render
from bridge.config.load import load
from bridge.config.schema import Settings
from bridge.model.errors import ConfigError


def write(folder: Path, text: str, name: str = "c.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def complaints(path: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return str(caught.value)


def test_the_example_file_loads(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, render.example()), {})
    assert loaded.settings.listen.smtp == 2525
    assert loaded.settings.paths.spool == f"{tmp_path}/var/spool"


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, ""), {}).settings.server == Settings().server


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[server]\nhostnme = 'x'\n", 2, "did you mean 'hostname'"),
        ("\n[serber]\nhostname = 'x'\n", 2, "did you mean 'server'"),
        ("[listen]\n\nsmtp = '25'\n", 3, "must be a whole number, not '25'"),
        ("[listen]\nsmtp = true\n", 2, "must be a whole number, not True"),
        ("[server]\nlanguage = 'fr'\n", 2, "'fr' is not one of 'en', 'es'"),
        ("[listen]\naddresses = '127.0.0.1'\n", 2, "must be a list"),
        ("[listen]\naddresses = ['localhost']\n", 2, "no IP address"),
        ("[tls]\ncertificate = 'x.pem'\n", 2, "belong together"),
        ("server = 3\n", 1, "must be a section"),
        ("server.hostnme = 'x'\n", 1, "unknown setting"),
        ("[server\n", 1, "not valid TOML"),
        ("[server]\nhostname = mail.example.org\n", 2, "text values need quotes"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    found = complaints(write(tmp_path, text))
    assert words in found
    assert f"c.toml:{line}:" in found or f"line {line}, " in found


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    found = complaints(write(tmp_path, "[server]\na = 1\nb = 2\n[listen]\nimap = 'x'\n"))
    assert len(found.splitlines()) == 3


def test_the_environment_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "[listen]\nsmtp = 1\naddresses = ['::1']\n")
    environ = {"ESTAFETA__LISTEN__SMTP": "2626", "ESTAFETA__LISTEN__ADDRESSES": "127.0.0.1, ::1"}
    listen = load(path, environ).settings.listen
    assert listen.smtp == 2626
    assert listen.addresses == ("127.0.0.1", "::1")


def test_an_unknown_variable_is_a_mistake(tmp_path: Path) -> None:
    for wrong in ("ESTAFETA__LISTN__SMTP", "ESTAFETA__LISTEN__SMPT", "ESTAFETA__LISTEN"):
        assert f"environment variable {wrong}: " in complaints(write(tmp_path, ""), {wrong: "1"})
    assert "must be a whole number" in complaints(write(tmp_path, ""), {"ESTAFETA__LISTEN__SMTP": "'x'"})


def test_includes_come_later_and_win(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    write(tmp_path / "conf.d", "[listen]\nsmtp = 3\n", "a.toml")
    path = write(tmp_path, "include = ['conf.d/*.toml']\n[listen]\nsmtp = 2\nimap = 4\n")
    listen = load(path, {}).settings.listen
    assert (listen.smtp, listen.imap) == (3, 4)


def test_a_missing_include_is_a_mistake(tmp_path: Path) -> None:
    assert "does not exist" in complaints(write(tmp_path, "include = ['nothing.toml']\n"))


def test_includes_may_be_full_paths_with_patterns(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "[listen]\nsmtp = 3\n", "a.toml")
    path = write(tmp_path, f"include = ['{tmp_path}/more/*.toml']\n")
    assert load(path, {}).settings.listen.smtp == 3


def test_an_include_in_an_included_file_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, "include = ['b.toml']\n", "a.toml")
    assert "a.toml:1: include" in complaints(write(tmp_path, "include = ['a.toml']\n"))


def test_braces_in_a_path_are_no_riddle(tmp_path: Path) -> None:
    paths = load(write(tmp_path, "[paths]\nspool = '{data}/{x}'\n"), {}).settings.paths
    assert paths.spool == "/var/lib/estafeta/{x}"


def test_a_missing_or_binary_file_is_a_mistake(tmp_path: Path) -> None:
    assert "cannot be read" in complaints(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"[server]\nhostname = '\xf1'\n")
    assert "save it as UTF-8" in complaints(tmp_path / "latin.toml")


def test_dangerous_values_warn(tmp_path: Path) -> None:
    warnings = load(write(tmp_path, "[server]\nuser = 'root'\n"), {}).warnings
    assert "c.toml:2: server.user:" in warnings[0]


def test_secrets_from_file_and_command(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("from file\n")

    def password(value: str) -> str:
        path = write(tmp_path, f"[outbound]\ndestinations = [{{ name = 'example.net', password = {value} }}]\n")
        return load(path, {}).settings.outbound.destinations[0].password

    assert password(f"{{ file = '{tmp_path / 's'}' }}") == "from file"
    assert password("{ command = ['printf', 'out'] }") == "out"
    assert password("{ file = 's' }") == "from file"     # beside the settings, wherever the program was started


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{ file = 'no' }", "No such file"),
        ("{ file = 'empty' }", "what it gives is empty"),
        ("{ file = 3 }", "a secret is text, { file ="),
        ("{ command = ['false'] }", "failed"),
        ("{ command = ['true'] }", "what it gives is empty"),
        ("{ command = [] }", "a secret is text, { file ="),
        ("{ command = [1] }", "a secret is text, { file ="),
        ("{ url = 'x' }", "a secret is text, { file ="),
        ("12345678", "a secret is text, { file ="),
    ],
)
def test_a_wrong_secret_is_named_and_not_shown(tmp_path: Path, value: str, words: str) -> None:
    (tmp_path / "empty").write_text("\n")
    path = write(tmp_path, f"[outbound]\ndestinations = [{{ name = 'example.net', password = {value} }}]\n")
    found = complaints(path)
    assert words in found
    assert "12345678" not in found


def test_every_setting_has_help_in_both_languages() -> None:
    from bridge.config.define import describe

    for name, section in render._sections():
        assert section.__doc__, name
        for one in describe(section):
            assert one.help.endswith((".", "?")), f"{name}.{one.name}"
            assert one.es.endswith((".", "?")), f"{name}.{one.name}"
            assert one.help != one.es
