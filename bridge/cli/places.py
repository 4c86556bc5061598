"""Where a running Estafeta is, for commands that any user and every cron job calls: found fast, trusting no folder.

Looks at --config, ESTAFETA_CONFIG and /etc/estafeta/config.toml, never at the folder that the command is called in:
mail of root's cron must not go where a stranger's file says. Where that file may not be read by this user, the places
are those of a Debian installation. Reads `[paths]` alone; a file with `include`, or paths in the environment, take the
long way through `bridge.config.load`. Fails by: ValueError with a line ready to print.
"""

import os
from typing import Any, NamedTuple

SYSTEM = "/etc/estafeta/config.toml"
_DATA, _DROP, _RUN = "/var/lib/estafeta", "{data}/drop", "{data}/run"


class Places(NamedTuple):
    """`config`: the settings file, "" where it can't be read."""

    config: str
    drop: str
    run: str

    @property
    def control(self) -> str:
        """The queue's socket for its administrator."""
        return f"{self.run}/control.sock"

    @property
    def own_mail(self) -> str:
        """The queue's socket for everybody."""
        return f"{self.drop}/queue.sock"


def find(given: str = "") -> Places:
    """The places that the settings name."""
    config = given or os.environ.get("ESTAFETA_CONFIG") or SYSTEM
    try:
        with open(config, "rb") as file:
            text = file.read()
    except PermissionError:
        return _places("", {})
    except FileNotFoundError:
        if given or config != SYSTEM:
            raise ValueError(f"{config}: there is no such file / no existe") from None
        return _places("", {})
    except OSError as error:
        raise ValueError(f"{config}: {error.strerror}") from None
    if b"include" in text or any(name.startswith("ESTAFETA__PATHS__") for name in os.environ):
        return _loaded(config)
    import tomllib

    try:
        values = tomllib.loads(text.decode())
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from None
    return _places(config, values.get("paths", {}))


def _places(config: str, paths: dict[str, Any]) -> Places:
    base = os.path.dirname(os.path.realpath(config)) if config else "/"
    data = os.path.join(base, str(paths.get("data", _DATA)))
    drop, run = (str(paths.get(name, default)) for name, default in (("drop", _DROP), ("run", _RUN)))
    drop, run = (os.path.join(base, path.replace("{data}", data)) for path in (drop, run))
    return Places(config, drop, run)


def _loaded(config: str) -> Places:
    from pathlib import Path

    from bridge.config.load import load
    from bridge.model.errors import ConfigError

    try:
        paths = load(Path(config)).settings.paths
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return Places(config, paths.drop, paths.run)
