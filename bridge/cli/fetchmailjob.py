"""One call of fetchmail: who called, what it says, the file that it means, and where its words go.

Promises: LOGNAME and USER are believed only where they are the caller's; FETCHMAILHOME moves all files, as there; the
file is read with the caller's rights, and refused if others may read it (F03).
"""

import os
import pwd
import stat
import sys
import syslog
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bridge.cli import places
from bridge.cli.fetchmailargs import Call, applied
from bridge.cli.words import tr
from bridge.model.errors import ConfigError
from bridge.wire.fetchmailrc import Rc, RcError, parse

# fetchmail's exit statuses that come from here; those of a poll are in bridge.intake.fetch.source (F51)
MAIL, NO_MAIL, SETTINGS, PERMISSION, EXCLUDED, LOCAL = 0, 1, 5, 6, 8, 10


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called, and where their files are."""

    login: str
    home: Path
    moved: bool = False  # FETCHMAILHOME

    @property
    def rcfile(self) -> Path:
        return self.home / ("fetchmailrc" if self.moved else ".fetchmailrc")

    @property
    def idfile(self) -> Path:
        return self.home / ("fetchids" if self.moved else ".fetchids")

    @property
    def pidfile(self) -> Path:
        if self.moved:
            return self.home / "fetchmail.pid"
        return self.home / ".fetchmail.pid" if os.geteuid() else Path("/run/fetchmail.pid")


@dataclass(frozen=True, slots=True)
class Job:
    """One call with everything that it says."""

    call: Call
    caller: Caller
    path: Path
    text: str | None  # of standard input, for -f -
    voice: "Voice"

    def rc(self) -> Rc:
        """The file of this moment under the options. ConfigError."""
        return applied(self._file(), self.call, self.caller.login)

    def _file(self) -> Rc:
        from bridge.intake.fetch.accounts import read_rc

        if self.text is not None:
            try:
                return parse(self.text)
            except RcError as error:
                raise ConfigError([f"-:{error.line}: {tr(str(error), error.es)}"]) from error
        if not self.path.exists() and not self.call.rcfile:
            return Rc()
        return read_rc(self.path)


class Voice:
    """What is said: on standard output, or in the system's log."""

    def __init__(self, *, silent: bool = False, log: bool = False) -> None:
        self.silent, self.log = silent, log

    def say(self, en: str, es: str) -> None:
        if not self.silent:
            self._out(tr(en, es), syslog.LOG_INFO)

    def complain(self, en: str, es: str = "") -> None:
        self._out(tr(en, es or en), syslog.LOG_ERR)

    def _out(self, text: str, level: int) -> None:
        if self.log:
            syslog.syslog(syslog.LOG_MAIL | level, text)
            return
        stream = sys.stdout if level == syslog.LOG_INFO else sys.stderr
        print(f"fetchmail: {text}", file=stream, flush=True)


def end(status: int, en: str, es: str) -> NoReturn:
    """Say why on standard error and end, under fetchmail's name."""
    print(f"fetchmail: {tr(en, es)}", file=sys.stderr)
    raise SystemExit(status)


def caller() -> Caller:
    """LOGNAME and USER are believed where they are the caller's; several names may share a number."""
    for name in (os.environ.get("LOGNAME"), os.environ.get("USER")):
        try:
            if name and pwd.getpwnam(name).pw_uid == os.getuid():
                entry = pwd.getpwnam(name)
                break
        except KeyError:
            continue
    else:
        try:
            entry = pwd.getpwuid(os.getuid())
        except KeyError:
            end(SETTINGS, f"who is user {os.getuid()}?", f"¿quién es el usuario {os.getuid()}?")
    moved = os.environ.get("FETCHMAILHOME", "")
    home = moved or os.environ.get("HOME") or entry.pw_dir
    return Caller(entry.pw_name, Path(home), bool(moved))


def current(job: Job) -> Rc:
    """The file, or the end of the command."""
    try:
        return job.rc()
    except ConfigError as error:
        for problem in error.problems:
            job.voice.complain(problem)
        raise SystemExit(PERMISSION if _exposed(job) else SETTINGS) from None


def _exposed(job: Job) -> bool:
    """Is the file one that fetchmail refuses for whom it belongs to or who may read it?"""
    try:
        about = job.path.stat()
    except OSError:
        return False
    return bool(stat.S_IMODE(about.st_mode) & 0o077) or about.st_uid not in (0, os.geteuid())


def places_of(job: Job) -> places.Places:
    try:
        return places.find(job.call.config)
    except ValueError as error:
        end(SETTINGS, str(error), str(error))
