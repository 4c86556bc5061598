"""Starting the whole: claim the data folder, prepare it in a process of its own, bind, drop rights, fork.

Promises: the process that forks never opens a database; a wrong setting, a port in use, a foreign or newer data folder
end the start with lines that say what to do, and change nothing.
Fails by: ConfigError.
"""

import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

from bridge import roles
from bridge.app import House, prepare
from bridge.config.load import load
from bridge.config.schema import Settings
from bridge.model.errors import ConfigError, StoreError
from bridge.store import instance
from bridge.supervisor import Supervisor, user_of
from bridge.watch import log as logs

log = logging.getLogger("estafeta")


def run(path: Path, settings: Settings, *, single: bool, trial: bool, allow_root: bool) -> int:
    """Start everything; returns the exit status when it has ended."""
    logs.start(settings.log.level, settings.log.file)
    if os.getuid() == 0 and not settings.server.user and not allow_root:
        raise ConfigError(
            [
                "server.user is empty: as root, Estafeta needs a user to become. Create one "
                "(`useradd --system estafeta`) and set server.user, or start it as an ordinary user."
            ]
        )
    data = Path(settings.paths.data)
    claimed = instance.claim(data, version("estafeta"))
    try:
        _in_child(settings, trial)
        if os.getuid() == 0 and settings.server.user:
            uid, gid, _ = user_of(settings.server.user)
            _give(settings, uid, gid)
        if single:
            return roles.run_single(settings, trial)
        ready = (lambda: roles.tell(settings)) if trial else (lambda: None)
        supervisor = Supervisor(settings, roles.ROLES, roles.ports, lambda: load(path).settings, ready)
        return supervisor.run()
    finally:
        claimed.release()


def _in_child(settings: Settings, trial: bool) -> None:
    """Prepare in a process of its own, so that the one that forks has no database open."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            raise ConfigError([] if code == 2 else [f"preparing the data folder failed ({code})"])
        return
    code = 1
    try:
        house = House(settings, "start")
        prepare(house)
        if trial:
            first_user(house)
        house.close()
        code = 0
    except ConfigError as error:
        print(error, file=sys.stderr)
        code = 2
    except StoreError as error:
        print(f"estafeta: {error}", file=sys.stderr)
        code = 2
    except BaseException:
        log.exception("preparing the data folder failed")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def first_user(house: House) -> None:
    """A trial has somebody to write to."""
    if not house.accounts.all():
        house.accounts.add(f"{roles.TRIAL_USER}@{house.current.tables.primary}", roles.TRIAL_PASSWORD, actor="trial")


def _give(settings: Settings, uid: int, gid: int) -> None:
    """The state belongs to the user that the processes become."""
    paths = settings.paths
    for top in {paths.data, paths.spool, paths.databases, paths.trace, paths.run, paths.archives}:
        for folder, folders, names in os.walk(top):
            for name in (".", *folders, *names):
                where = os.path.join(folder, name)
                if os.lstat(where).st_uid != uid:
                    os.chown(where, uid, gid, follow_symlinks=False)
