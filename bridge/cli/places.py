"""Where a running Estafeta is, for commands that any user and every cron job calls: found fast, trusting no folder.

Looks at --config, ESTAFETA_CONFIG and /etc/estafeta/config.toml, never at the folder that the command is called in:
mail of root's cron must not go where a stranger's file says. Where that file may not be read by this user, the places
are those of a Debian installation. Reads the few settings that it needs; a file with `include`, or these settings
in the environment, take the long way through `bridge.config.load`. Fails by: ValueError with a line ready to print.
"""

import os
from typing import Any, NamedTuple

from bridge.model.language import tr

SYSTEM = "/etc/estafeta/config.toml"
_DATA = "/var/lib/estafeta"
_BELOW = {"drop": "{data}/drop", "run": "{data}/run", "spool": "{data}/spool", "databases": "{data}/db"}
_ASKED = ("ESTAFETA__PATHS__", "ESTAFETA__DATABASE__QUEUE", "ESTAFETA__SERVER__USER")


class Places(NamedTuple):
    """`config`: the settings file, "" where it can't be read; `queue`: the queue's database where it is no file;
    `user`: whom the server's processes become."""

    config: str
    drop: str
    run: str
    spool: str = ""
    databases: str = ""
    queue: str = ""
    user: str = ""

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
            raise ValueError(f"{config}: {tr('there is no such file', 'no existe')}") from None
        return _places("", {})
    except OSError as error:
        raise ValueError(f"{config}: {error.strerror}") from None
    if b"include" in text or any(name.startswith(_ASKED) for name in os.environ):
        return _loaded(config)
    import tomllib

    try:
        values = tomllib.loads(text.decode())
    except ValueError:
        return _loaded(config)      # which says in full what is wrong
    return _places(config, values)


def _places(config: str, values: dict[str, Any]) -> Places:
    base = os.path.dirname(os.path.realpath(config)) if config else "/"
    paths = _section(values, "paths")
    data = os.path.join(base, str(paths.get("data", _DATA)))
    found = {
        name: os.path.join(base, str(paths.get(name, default)).replace("{data}", data))
        for name, default in _BELOW.items()
    }
    queue, user = _section(values, "database").get("queue", ""), _section(values, "server").get("user", "")
    return Places(config, **found, queue=str(queue), user=str(user))


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name, {})
    return found if isinstance(found, dict) else {}


def _loaded(config: str) -> Places:
    from pathlib import Path

    from bridge.config.load import load
    from bridge.model.errors import ConfigError

    try:
        settings = load(Path(config)).settings
    except ConfigError as error:
        raise ValueError(str(error)) from None
    paths = settings.paths
    return Places(
        config, paths.drop, paths.run, paths.spool, paths.databases, settings.database.queue, settings.server.user
    )
