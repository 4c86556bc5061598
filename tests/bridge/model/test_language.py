"""The language of who types, and mistakes that are told in it (issue's bad input: each names file and line)."""

import re
from pathlib import Path

import pytest

from bridge.config.fetch import Fetch
from bridge.config.load import load
from bridge.intake.fetch.accounts import accounts_of
from bridge.model.errors import ConfigError
from bridge.model.language import language
from bridge.route import aliases


@pytest.fixture
def spanish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", "es_ES.UTF-8")


def test_the_first_of_the_three_variables_counts(spanish: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert language() == "es"
    monkeypatch.setenv("LC_MESSAGES", "en_GB.UTF-8")
    assert language() == "en"
    monkeypatch.setenv("LC_ALL", "es_CO")
    assert language() == "es"
    monkeypatch.setenv("LC_ALL", "C")
    assert language() == "en"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[mail]\ndomains = "bar.com"\n', r":2: mail\.domains: debe ser una lista, como \[\"...\"\], no 'bar.com'"),
        ("[smtp]\nrecipients = true\n", r":2: smtp\.recipients: debe ser un número entero, no True"),
        ("[smtp]\nrecipiens = 3\n", r":2: ajuste desconocido smtp\.recipiens; ¿quería decir 'recipients'\?"),
        ("[smpt]\n", r":1: sección desconocida \[smpt\]; ¿quería decir 'smtp'\?"),
        ("[smtp\n", r": línea 1, columna 6: no es TOML válido"),
        ('[mail]\ndomains = ["a b"]\n', r":2: mail\.domains: 'a b' no es un dominio; escriba por ejemplo"),
        ('include = ["x.toml"]\n', r":1: el fichero incluido 'x\.toml' no existe"),
    ],
)
def test_settings(spanish: None, tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "estafeta.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"^{path}{told}"):
        load(path, {})


def test_alias_files(spanish: None) -> None:
    """S58: the server's log and `estafeta check` name file and line, too."""
    _, (first, second) = aliases.parse("ana: luis\nesto no es un alias\nx: |prog\n", "/etc/aliases")
    assert str(first).startswith("/etc/aliases:2: faltan los dos puntos tras el nombre: 'esto no es un alias'")
    assert str(second).startswith("/etc/aliases:3: 'prog' no es un programa; escriba su ruta completa")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("poll a\n  proto pop9 user x pass y", r":2: error de sintaxis en 'pop9': no existe ese protocolo"),
        ('poll a proto pop3\nuser "x', r":2: unas comillas sin cerrar"),
        ("poll a proto pop3\nuser x is ana here", r":2: el usuario 'x' no tiene contraseña; añada: password"),
        ("poll a proto pop3\nuser x pass y", r":2: el usuario 'x' no tiene nombre local; en un fichero del sitio"),
        ("poll a proto pop3\nuser x pass y is ana here mda cat", r":2: mda no se puede hacer aquí"),
        ("poll", r":1: el fichero acaba donde falta el nombre de un servidor"),
    ],
)
def test_fetchmail_files(spanish: None, tmp_path: Path, text: str, told: str) -> None:
    """F04, F06: line and word, in Spanish."""
    path = tmp_path / "rc"
    path.write_text(text)
    path.chmod(0o600)
    found, (problem,) = accounts_of(Fetch(rcfiles=(str(path),)), lambda name: f"{name}@example.org")
    assert not found
    assert re.match(f"{path}{told}", problem), problem
