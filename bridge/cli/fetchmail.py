"""`fetchmail`: the accounts of `~/.fetchmailrc`, collected once or in the background (F01-F07, F49, F51).

Promises: what the file says is done by our collector, with its ledger: nothing is collected twice or deleted before it
is safe here. Mail of a user without a local name is its caller's (F06). Exit statuses are fetchmail's: 0 mail came, 1
none, 2 no connection, 3 login refused, 5 a wrong call or file, 6 a file that others may read, 8 somebody else polls, 10
no delivery here, 13 the limit was reached, 23 a bug. A daemon that runs already is woken instead (F01).
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from bridge.cli.fetchmailargs import read
from bridge.cli.fetchmailjob import EXCLUDED, SETTINGS, Job, Voice, caller, current, end, places_of
from bridge.cli.fetchmailpoll import polled
from bridge.cli.words import tr
from bridge.wire.fetchmailrc import Rc


def fetchmail(arguments: list[str]) -> None:
    """Do what the options ask; ends with one of fetchmail's exit statuses."""
    try:
        call = read(arguments)
    except ValueError as error:
        end(SETTINGS, str(error), str(error))
    if "help" in call.only:
        from bridge.cli.fetchmailhelp import page

        print(page())
        raise SystemExit(0)
    who = caller()
    path = Path(call.rcfile) if call.rcfile else who.rcfile
    voice = Voice(silent="silent" in call.only)
    job = Job(call, who, path, sys.stdin.read() if call.rcfile == "-" else None, voice)
    rc = current(job)
    if "version" in call.only or "configdump" in call.only:
        _show(job, rc)
    _running(job, rc)
    if not any(one.active for one in rc.entries):
        end(
            SETTINGS,
            f"no mail servers: {path} names none; fetchmailconf writes that file with you",
            f"ningún servidor: {path} no nombra ninguno; fetchmailconf escribe ese fichero con usted",
        )
    interval = rc.settings.get("daemon", 0)
    if interval and "check" not in call.only:
        _background(job, rc, int(interval))
    raise SystemExit(polled(job, rc))


def _show(job: Job, rc: Rc) -> NoReturn:
    """-V or --configdump."""
    from importlib.metadata import version

    from bridge.cli import fetchmaildump

    at = str(job.path) if job.path.exists() and job.text is None else ""
    taken = tr("command line", "command line") + (f" and {at}" if at else "")
    settings = rc.settings
    about = fetchmaildump.Call(
        job.caller.login, str(settings.get("idfile") or job.caller.idfile), int(settings.get("daemon", 0)), taken,
        str(settings.get("logfile") or ""),
    )  # fmt: skip
    if "version" in job.call.only:
        print(f"This is fetchmail of Estafeta {version('estafeta')}, with the words of fetchmail 6.4.")
        print(fetchmaildump.described(rc, about))
    else:
        print(fetchmaildump.configdump(rc, about))
    raise SystemExit(0)


def _running(job: Job, rc: Rc) -> None:
    """A daemon of this user: end it (-q), wake it, or say that options come too late for it."""
    from bridge.cli.fetchmaildaemon import PidFile

    pid = PidFile(_pidfile(job, rc)).running()
    if "quit" in job.call.only:
        _quit(job, rc, pid)
    elif pid and job.call.bare:
        os.kill(pid, signal.SIGUSR1)
        job.voice.say(f"background fetchmail at {pid} awakened.", f"despertado el fetchmail en segundo plano {pid}.")
        raise SystemExit(0)
    elif pid and not job.call.servers and "check" not in job.call.only:
        end(
            EXCLUDED,
            f"can't accept options while a background fetchmail is running (process {pid}); end it with: fetchmail -q",
            f"no se admiten opciones mientras hay otro en segundo plano (proceso {pid}); párelo con: fetchmail -q",
        )


def _quit(job: Job, rc: Rc, pid: int) -> None:
    """End the daemon; what else was asked for comes then."""
    from bridge.cli.fetchmaildaemon import ended

    if pid:
        if not ended(pid, _pidfile(job, rc)):
            end(EXCLUDED, f"process {pid} has not ended yet", f"el proceso {pid} aún no ha terminado")
        job.voice.say(f"background fetchmail at {pid} killed.", f"terminado el fetchmail en segundo plano {pid}.")
    else:
        job.voice.complain("no other fetchmail is running", "no hay otro fetchmail en marcha")
    if replace(job.call, only=job.call.only - {"quit"}).bare:
        raise SystemExit(0 if pid else EXCLUDED)


def _pidfile(job: Job, rc: Rc) -> Path:
    return Path(str(rc.settings.get("pidfile") or job.caller.pidfile))


def _background(job: Job, rc: Rc, interval: int) -> NoReturn:
    from bridge.cli import fetchmaildaemon

    pidfile = fetchmaildaemon.PidFile(_pidfile(job, rc).absolute())
    if not pidfile.take():
        end(EXCLUDED, "another fetchmail is just starting", "otro fetchmail está arrancando")
    log = str(rc.settings.get("logfile") or "")
    job.voice.log = bool(rc.settings.get("syslog")) and not log
    config = places_of(job).config  # it goes on in another folder
    config = config and os.path.abspath(config)
    job = replace(job, path=job.path.absolute(), call=replace(job.call, config=config))
    if "nodetach" not in job.call.only:
        fetchmaildaemon.detach(Path(log).absolute() if log else None)
    raise SystemExit(fetchmaildaemon.rounds(interval, lambda number: polled(job, current(job), number), pidfile))
