"""Where commands find their settings: --config, ESTAFETA_CONFIG, ./estafeta.toml, /etc/estafeta/config.toml."""

import argparse
import getpass
import os
import sys
from pathlib import Path

from bridge.cli.parser import Parser
from bridge.cli.words import fail, tr
from bridge.config.load import Loaded, load
from bridge.model.errors import ConfigError


def _caller() -> str:
    try:
        return f"cli:{os.environ.get('SUDO_USER') or getpass.getuser()}"
    except KeyError:        # a number without a name
        return f"cli:{os.getuid()}"


CALLER = _caller()          # who typed the command, for the audit; a command of root's goes on as server.user
_SYSTEM = Path("/etc/estafeta/config.toml")


def parser(name: str, en: str, es: str) -> argparse.ArgumentParser:
    """An argument parser that knows --config and speaks the user's language in its description."""
    found = Parser(prog=name, description=tr(en, es))
    found.add_argument("--config", type=Path, metavar="FILE", help=tr("settings file", "fichero de ajustes"))
    return found


def path_of(given: Path | None) -> Path:
    """The settings file to use; ends the command where there is none."""
    if given is not None:
        return given
    if os.environ.get("ESTAFETA_CONFIG"):
        return Path(os.environ["ESTAFETA_CONFIG"])
    for candidate in (Path("estafeta.toml"), _SYSTEM, Path("config.example.toml")):
        if candidate.exists():
            return candidate
    fail(
        f"no settings file: give --config FILE, or create {_SYSTEM} (`estafeta config example` prints one)",
        f"no hay fichero de ajustes: indique --config FICHERO o cree {_SYSTEM} (`estafeta config example` muestra uno)",
    )


def settings_of(given: Path | None) -> Loaded:
    """Loaded settings, or the end of the command with every problem named."""
    try:
        return load(path_of(given))
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
