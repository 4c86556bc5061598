"""Starting the whole: claim the data folder, bind, prepare the state in a process of its own, drop rights, fork.

Promises: the process that forks never opens a database; a wrong setting, a port in use, a foreign or newer data folder
end the start with lines that say what to do, and change nothing: what can be refused is looked at before what writes.
Fails by: ConfigError.
"""

import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bridge import ports, reach, roles
from bridge.accept import raise_limit
from bridge.app import MAIL, House, claim, make_ready
from bridge.config.load import load
from bridge.config.schema import Settings
from bridge.helper import beside
from bridge.model.errors import ConfigError, StoreError
from bridge.model.language import tr
from bridge.rights import Rights, acting_as, rights_of
from bridge.store import filesystem
from bridge.store.migrate import migrate
from bridge.supervisor import Supervisor
from bridge.watch import log as logs

log = logging.getLogger("estafeta")


def run(path: Path, settings: Settings, *, single: bool, trial: bool, allow_root: bool) -> int:
    """Start everything; returns the exit status when it has ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})   # until somebody is there who knows what it means
    logs.start(settings.log.level, settings.log.file)
    _look_at_root(settings, allow_root or (trial and _here_alone(settings)))
    _look_at_disks(settings)
    raise_limit()
    who = rights_of(settings)
    if told := reach.ensure(who):
        log.warning("%s", told)
    os.umask(who.umask)
    claimed = claim(Path(settings.paths.data))
    try:
        wanted = (beside.role(path), *roles.ROLES)
        supervisor = Supervisor(settings, wanted, roles.ports, lambda: _again(path, settings), rights=who)
        if single:
            sockets = ports.bind(roles.ports(settings), share=False)
        else:
            supervisor.bind()
        if settings.tls.certificate:
            assert House(settings, "start").tls is not None  # before anything is changed
        _prepare(settings, who, trial)
        ready = (lambda: roles.tell(settings)) if trial else (lambda: None)
        if single:
            helper = beside.start(path) if beside.wanted(settings) else None    # as long as this is held
            status = roles.run_single(settings, sockets, who, ready)
            del helper
            return status
        supervisor.ready = ready
        return supervisor.run()
    finally:
        claimed.release()


def _look_at_root(settings: Settings, allow_root: bool) -> None:
    if os.getuid() == 0 and not settings.server.user:
        if not allow_root:
            raise ConfigError([tr(
                "server.user is empty: as root, Estafeta needs a user to become. Create one "
                "(`useradd --system estafeta`) and set server.user, or start it as an ordinary user.",
                "server.user está vacío: como root, Estafeta necesita un usuario en el que convertirse. Cree uno "
                "(`useradd --system estafeta`) e indíquelo en server.user, o arranque como un usuario corriente.",
            )])
        log.warning("all processes keep root's rights: whoever breaks into one has the machine; set server.user")
    elif os.getuid() and settings.server.smtp_user:
        log.warning("server.smtp_user has no effect: only root can start processes as another user")


def _look_at_disks(settings: Settings) -> None:
    """Warn of file systems that break promises (sec-X14)."""
    for folder in sorted({settings.paths.data, settings.paths.spool, settings.paths.databases}):
        if danger := filesystem.danger(Path(folder)):
            log.warning("%s", danger)


def _here_alone(settings: Settings) -> bool:
    """Can only programs of this machine connect? Then a trial may run as root, as one does in a container."""
    listen = settings.listen
    return all(ipaddress.ip_address(one).is_loopback for one in (*listen.addresses, listen.web_address))


def _prepare(settings: Settings, who: Rights, trial: bool) -> None:
    """The state, as its later user would make it."""

    def work() -> None:
        house = House(settings, "start")
        make_ready(house, who)
        if trial:
            first_user(house)
        house.close()

    problems = in_child(work)
    if problems:
        raise ConfigError(problems)


def in_child(work: Callable[[], None]) -> list[str]:
    """Do it in a process of its own, so that the one that forks has no database open; what went wrong, in lines."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os._exit(_done(work, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        text = told.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    failed = tr(
        f"preparing the data folder failed ({code}); the lines above say why",
        f"no se ha podido preparar la carpeta de datos ({code}); las líneas de arriba dicen por qué",
    )
    return text.splitlines() or ([failed] * bool(code))


def _done(work: Callable[[], None], writing: int) -> int:
    try:
        work()
        return 0
    except (ConfigError, StoreError) as error:
        os.write(writing, str(error).encode())
    except BaseException:
        log.exception("preparing the data folder failed")
    finally:
        logging.shutdown()
        sys.stdout.flush()
    return 1


def _again(path: Path, before: Settings) -> Settings:
    """The settings at a reload, looked at as at a start. ConfigError where they can't be taken up."""
    settings = load(path).settings
    if settings.paths != before.paths or settings.database != before.database:
        raise ConfigError([tr(
            "paths and database can't change while Estafeta runs: stop it first",
            "paths y database no pueden cambiar con Estafeta en marcha: párela antes",
        )])
    if (settings.server.user, settings.server.smtp_user) != (before.server.user, before.server.smtp_user):
        raise ConfigError([tr(
            "server.user and server.smtp_user can't change while Estafeta runs: stop it first",
            "server.user y server.smtp_user no pueden cambiar con Estafeta en marcha: párela antes",
        )])

    def look() -> None:
        house = House(settings, "reload")
        assert house.tls is not None
        if settings.accounts.in_database:       # perhaps it was not before
            with acting_as(rights_of(settings).user):
                migrate(house.mail_rows, MAIL, clock=house.clock)
        house.close()

    problems = in_child(look)
    if problems:
        raise ConfigError(problems)
    logs.start(settings.log.level, settings.log.file)
    return settings


def first_user(house: House) -> None:
    """A trial has somebody to write to."""
    if not house.accounts.all():
        house.accounts.add(f"{roles.TRIAL_USER}@{house.current.tables.primary}", roles.TRIAL_PASSWORD, actor="trial")
