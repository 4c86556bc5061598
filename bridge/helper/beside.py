"""Starting the root helper: from its own unit (`estafeta helper`), or beside a supervisor that was started as root.

Promises: it is a program of its own, with nothing of the supervisor's memory or files; it takes only settings that
nobody but root can change; beside a supervisor it ends with it, and is started again when it ends.
Fails by: ConfigError.
"""
import logging
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.config.load import load
from bridge.config.schema import Settings
from bridge.helper.people import roots_alone
from bridge.model.errors import ConfigError
from bridge.rights import Rights, User
from bridge.supervisor import Post, RoleSpec

log = logging.getLogger("estafeta")

_ANYBODY = User(65_534, 65_534)     # nobody: who has no rights but everybody's
_BEAT = 1.0     # seconds between two signs of life


def role(path: Path) -> RoleSpec:
    """A place in the supervisor for whoever watches over the helper, without root's rights itself."""
    place: Callable[[Settings], Any] = lambda settings: start(path)  # noqa: E731
    return RoleSpec("helper", _watch, lambda settings: int(wanted(settings)), early=place)


def wanted(settings: Settings) -> bool:
    """Are there system users, and can we start it? As somebody else's process it has a unit of its own."""
    return settings.accounts.system_users and os.getuid() == 0


def start(path: Path) -> "subprocess.Popen[bytes]":
    """A new program, which ends when this process does, or lets go of what is returned: its input ends then. (A signal
    at our death would need root's rights, which we don't keep.)"""
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "bridge", "helper", "--beside", "--config", str(path.resolve())],
        stdin=subprocess.PIPE, cwd="/",
    )  # fmt: skip


def _watch(post: Post) -> None:
    """Until it ends, which is trouble."""
    helper: subprocess.Popen[bytes] = post.early
    watch = os.pidfd_open(helper.pid)
    while not select.select([watch], [], [], _BEAT)[0]:
        post.beat()
    raise ConfigError([f"the helper for system users ended with status {helper.wait()}; its lines above say why"])


def serve(path: Path, *, with_input: bool) -> None:
    """Be the helper, for ever, or until standard input ends. ConfigError."""
    from bridge import reach
    from bridge.helper import server
    from bridge.watch import log as logs

    settings = trusted(path)
    if not settings.accounts.system_users:
        raise ConfigError(["accounts.system_users is off: there is nothing for the helper to do"])
    logs.start(settings.log.level, "")
    logs.as_role("helper")
    if told := reach.ensure(Rights(_ANYBODY)):      # what it forks becomes one user or another
        log.warning("%s", told)
    server.run(settings, lambda: trusted(path), sys.stdin.fileno() if with_input else -1)


def trusted(path: Path) -> Settings:
    """What the helper needs of settings that only root can have written. ConfigError."""
    loaded = load(path)
    bad = [str(one) for one in loaded.files if not roots_alone(one)]
    if bad:
        raise ConfigError([
            f"{one}: others than root can change it, or a folder above it; the helper believes it only after "
            f"chown root and chmod go-w" for one in bad
        ])  # fmt: skip
    found = loaded.settings     # passwords of fetched accounts and other servers are not for users' processes
    return Settings(
        server=found.server, mail=found.mail, accounts=found.accounts, paths=found.paths, store=found.store,
        delivery=found.delivery, imap=found.imap, pop3=found.pop3, log=found.log,
    )  # fmt: skip
