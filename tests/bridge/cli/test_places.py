"""Finding the places fast says the same as loading the settings."""
import os

import pytest

from bridge.cli import places
from bridge.config.load import load
from bridge.config.server import Paths


@pytest.fixture
def config(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("ESTAFETA")]:
        monkeypatch.delenv(name)
    path = tmp_path / "estafeta.toml"
    monkeypatch.setenv("ESTAFETA_CONFIG", str(path))
    return path


@pytest.mark.parametrize("text", [
    "", '[paths]\ndata = "var"\nspool = "{data}/s"\ndatabases = "/db"\n',
    '[database]\nqueue = "postgresql:///q"\n[server]\nuser = "estafeta"\n',
    '[paths]\ndata = "/srv/mail"\ndrop = "/var/spool/drop"\n',
    '[paths]\ndata = "var"\ndrop = "{data}/x"\nrun = "run"\n', 'include = ["more.toml"]\n',
])  # fmt: skip
def test_as_the_settings_say(config, text):
    """S78: the two ways agree."""
    config.write_text(text)
    (config.parent / "more.toml").write_text('[paths]\ndata = "elsewhere"\n')
    settings = load(config).settings
    paths = settings.paths
    assert places.find() == (
        str(config), paths.drop, paths.run, paths.spool, paths.databases, settings.database.queue, settings.server.user
    )
    assert places.find(str(config)) == places.find()


def test_environment(config, monkeypatch):
    config.write_text("")
    monkeypatch.setenv("ESTAFETA__PATHS__DATA", "/elsewhere")
    assert places.find().drop == "/elsewhere/drop"


def test_mistakes(config, monkeypatch):
    with pytest.raises(ValueError, match="there is no such file"):
        places.find()
    config.write_text("[paths\n")
    with pytest.raises(ValueError, match=r"estafeta\.toml"):
        places.find()
    config.write_text('include = ["none.toml"]\n')
    with pytest.raises(ValueError, match=r"none\.toml"):
        places.find()
    with pytest.raises(ValueError):
        places.find(str(config.parent))


def test_without_a_file_or_the_right_to_read_it(config, monkeypatch):
    """S78: the places of a Debian installation; the folder of the caller doesn't count (sec-Q11)."""
    monkeypatch.delenv("ESTAFETA_CONFIG")
    monkeypatch.chdir(config.parent)
    config.write_text('[paths]\ndata = "/trap"\n')
    monkeypatch.setattr(places, "SYSTEM", str(config.parent / "none"))
    usual = tuple(f"/var/lib/estafeta/{name}" for name in ("drop", "run", "spool", "db"))
    assert places.find() == ("", *usual, "", "")
    default = Paths()
    assert default.data == places._DATA
    assert {name: getattr(default, name) for name in places._BELOW} == places._BELOW

    def refuse(*words):
        raise PermissionError
    monkeypatch.setattr("builtins.open", refuse)
    assert places.find("/etc/estafeta/config.toml") == ("", *usual, "", "")


def test_what_is_wrong_is_told_in_the_terminals_language(tmp_path, monkeypatch):
    """S77: programs that call sendmail get status 78, people the line."""
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    with pytest.raises(ValueError, match="no existe"):
        places.find(str(tmp_path / "none"))
    (tmp_path / "c.toml").write_text("[paths\n")
    with pytest.raises(ValueError, match=r"c\.toml: línea 1, columna 7: no es TOML válido"):
        places.find(str(tmp_path / "c.toml"))
