"""`fetchmail`: the accounts of `~/.fetchmailrc`, collected once or in the background (F01-F07, F49, F51).

Promises: what the file says is done by our collector, with its ledger: nothing is collected twice or deleted before it
is safe here. Mail of a user without a local name is its caller's (F06). Exit statuses are fetchmail's: 0 mail came, 1
none, 2 no connection, 3 login refused, 5 a wrong call or file, 6 a file that others may read, 8 somebody else polls, 13
the limit was reached, 23 a bug. A daemon that runs already is woken instead (F01).
"""

import getpass
import os
import pwd
import signal
import stat
import sys
import syslog
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from bridge.cli import places
from bridge.cli.fetchmailargs import Call, applied, read
from bridge.cli.words import tr
from bridge.model.errors import ConfigError
from bridge.wire.fetchmailrc import Entry, Mapping, Rc, RcError, User, parse, users_of

if TYPE_CHECKING:
    from bridge.config.fetch import Fetch, FetchAccount
    from bridge.intake.fetch.poller import Poller, Result

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
                raise ConfigError([f"-:{error.line}: {error}"]) from error
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


def fetchmail(arguments: list[str]) -> None:
    """Do what the options ask; ends with one of fetchmail's exit statuses."""
    try:
        call = read(arguments)
    except ValueError as error:
        _fail(SETTINGS, str(error), str(error))
    if "help" in call.only:
        from bridge.cli.fetchmailhelp import page

        print(page())
        raise SystemExit(0)
    who = caller()
    path = Path(call.rcfile) if call.rcfile else who.rcfile
    voice = Voice(silent="silent" in call.only)
    job = Job(call, who, path, sys.stdin.read() if call.rcfile == "-" else None, voice)
    rc = _read(job)
    if "version" in call.only or "configdump" in call.only:
        _show(job, rc)
    _running(job, rc)
    if not any(one.active for one in rc.entries):
        _fail(
            SETTINGS,
            f"no mail servers: {path} names none; fetchmailconf writes that file with you",
            f"ningún servidor: {path} no nombra ninguno; fetchmailconf escribe ese fichero con usted",
        )
    interval = rc.settings.get("daemon", 0)
    if interval and "check" not in call.only:
        _background(job, rc, int(interval))
    raise SystemExit(polled(job, rc))


def _fail(status: int, en: str, es: str) -> NoReturn:
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
            _fail(SETTINGS, f"who is user {os.getuid()}?", f"¿quién es el usuario {os.getuid()}?")
    moved = os.environ.get("FETCHMAILHOME", "")
    home = moved or os.environ.get("HOME") or entry.pw_dir
    return Caller(entry.pw_name, Path(home), bool(moved))


def _read(job: Job) -> Rc:
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
        _fail(
            EXCLUDED,
            f"can't accept options while a background fetchmail is running (process {pid}); end it with: fetchmail -q",
            f"no se admiten opciones mientras hay otro en segundo plano (proceso {pid}); párelo con: fetchmail -q",
        )


def _quit(job: Job, rc: Rc, pid: int) -> None:
    """End the daemon; what else was asked for comes then."""
    from bridge.cli.fetchmaildaemon import ended

    if pid:
        if not ended(pid, _pidfile(job, rc)):
            _fail(EXCLUDED, f"process {pid} has not ended yet", f"el proceso {pid} aún no ha terminado")
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
        _fail(EXCLUDED, "another fetchmail is just starting", "otro fetchmail está arrancando")
    log = str(rc.settings.get("logfile") or "")
    job.voice.log = bool(rc.settings.get("syslog")) and not log
    config = _places(job).config  # it goes on in another folder
    config = config and os.path.abspath(config)
    job = replace(job, path=job.path.absolute(), call=replace(job.call, config=config))
    if "nodetach" not in job.call.only:
        fetchmaildaemon.detach(Path(log).absolute() if log else None)
    raise SystemExit(fetchmaildaemon.rounds(interval, lambda number: polled(job, _read(job), number), pidfile))


# ---- polling


def polled(job: Job, rc: Rc, number: int = 0) -> int:
    """One round over everything that is due in round `number`; fetchmail's exit status."""
    due = tuple(one for one in rc.entries if one.active and not (one.interval and number % one.interval))
    rc = _with_passwords(replace(rc, entries=due))
    with _site(job) as site:
        accounts, problems = _accounts(job, site, rc)
        for problem in problems:
            job.voice.complain(problem)
        if "check" in job.call.only:
            results = _looked(job, site, accounts)
        else:
            results = _collected(job, site, accounts, {f"{u.name}@{e.name}" for e, u in users_of(rc) if u.flush})
    _hints(job, rc, results)
    return status_of(results, problems)


class Site(NamedTuple):
    """Where mail is collected into. `known`: is this an address of ours?"""

    poller: "Poller"
    address_of: Callable[[str], str]
    known: Callable[[str], bool]
    settings: "Fetch"


@contextmanager
def _site(job: Job) -> Iterator[Site]:
    """The mail system itself where the caller may write, else its SMTP door."""
    where = _places(job)
    if where.config and _may_write(_data(where)):
        from bridge import app
        from bridge.cli.settings import settings_of
        from bridge.route.resolver import Kind

        with app.opened(settings_of(Path(where.config)).settings) as house:

            def known(address: str) -> bool:
                return all(route.kind is not Kind.REFUSE for route in house.resolve(address))

            yield Site(house.poller, house.address_of, known, house.settings.fetch)
        return
    with _neighbour(job, where) as site:
        yield site


@contextmanager
def _neighbour(job: Job, where: places.Places) -> Iterator[Site]:
    """By SMTP, with a ledger in the caller's home; the settings of Debian's packages where ours can't be read."""
    from bridge.cli import fetchmailown
    from bridge.cli.settings import settings_of
    from bridge.config.schema import Settings
    from bridge.model.errors import StoreError

    settings = settings_of(Path(where.config)).settings if where.config else Settings()
    size = settings.smtp.message_size
    server = fetchmailown.Server(settings.listen.smtp or 25, size)
    folder = fetchmailown.state_folder(job.caller.home, moved=job.caller.moved)
    try:
        with fetchmailown.collector(folder, server, size, settings.fetch.poll_seconds) as poller:
            yield Site(poller, lambda name: name, server.known, settings.fetch)
    except (StoreError, OSError) as error:
        _fail(LOCAL, str(error), str(error))


def _places(job: Job) -> places.Places:
    try:
        return places.find(job.call.config)
    except ValueError as error:
        _fail(SETTINGS, str(error), str(error))


def _data(where: places.Places) -> Path:
    from bridge.cli.settings import settings_of

    return Path(settings_of(Path(where.config)).settings.paths.data)


def _may_write(data: Path) -> bool:
    while not data.exists():
        data = data.parent
    return os.access(data, os.W_OK)


def _with_passwords(rc: Rc) -> Rc:
    """Ask for those that are missing, where somebody can answer."""
    if not (sys.stdin and sys.stdin.isatty()):
        return rc

    def complete(entry: Entry, user: User) -> User:
        if user.password is not None:
            return user
        words = tr(f"Password for {user.name}@{entry.name}: ", f"Contraseña de {user.name}@{entry.name}: ")
        return replace(user, password=getpass.getpass(words))

    entries = (replace(one, users=tuple(complete(one, user) for user in one.users)) for one in rc.entries)
    return replace(rc, entries=tuple(entries))


def _accounts(job: Job, site: Site, rc: Rc) -> "tuple[list[FetchAccount], list[str]]":
    """What is to be polled, its local addresses looked up; who has no local name gets the mail of the caller."""
    from bridge.intake.fetch.accounts import RcFile, of_rc

    every = int(rc.settings.get("daemon", 0)) or site.settings.interval
    found, problems = of_rc(RcFile(job.path, "", site.address_of, every), owned(rc, job.caller.login))
    good: list[FetchAccount] = []
    for one in found:
        if not site.known(one.to):
            problems.append(_nobody(one, job))
        elif one.name in {other.name for other in good}:
            problems.append(f"{job.path}: {one.name}: {tr('is there twice', 'está dos veces')}")
        else:
            good.append(one)
    return good, problems


def owned(rc: Rc, login: str) -> Rc:
    """The mail of every user without a local name is the caller's; flushing is done apart."""
    own = (Mapping("", login),)

    def complete(entry: Entry) -> Entry:
        return replace(entry, users=tuple(replace(one, local=one.local or own, flush=False) for one in entry.users))

    return replace(rc, entries=tuple(map(complete, rc.entries)))


def _nobody(account: "FetchAccount", job: Job) -> str:
    return tr(
        f"{account.name}: there is no local address {account.to}; nothing was collected. Say in {job.path} whose mail "
        "it is (is NAME here), or make the address, an account or an alias",
        f"{account.name}: no existe la dirección local {account.to}; no se ha recogido nada. Diga en {job.path} de "
        "quién es el correo (is NOMBRE here) o cree la dirección, una cuenta o un alias",
    )


def _collected(job: Job, site: Site, accounts: "Sequence[FetchAccount]", flushed: set[str]) -> "list[Result]":
    """`flushed`: accounts whose old mail is to be deleted there first (-F, `flush`)."""
    from concurrent.futures import ThreadPoolExecutor

    from bridge.cli import fetchmaillook

    poller = site.poller

    def poll(account: "FetchAccount") -> "Result":
        if account.name in flushed and account.keep:
            removed = fetchmaillook.flush(poller, account)
            job.voice.say(f"{account.name}: {removed} old deleted there", f"{account.name}: {removed} viejos borrados")
        return poller.poll(account)

    results = []
    with ThreadPoolExecutor(site.settings.threads) as pool, _stoppable(poller.stop):
        for account, waiting in [(one, pool.submit(poll, one)) for one in accounts]:
            if job.call.verbose:
                way = f"{account.protocol} {account.host}:{account.port or '-'} tls={account.tls} keep={account.keep}"
                job.voice.say(f"{account.name}: {way} -> {account.to}", f"{account.name}: {way} -> {account.to}")
            results.append(waiting.result())
            _tell(job, results[-1])
    return results


class _stoppable:
    """Within, TERM and the interrupt key end the polls that run."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        self._before = {one: signal.signal(one, self._told) for one in (signal.SIGTERM, signal.SIGINT)}

    def _told(self, number: int, frame: object) -> None:
        self._stop()

    def __exit__(self, *error: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)


def _looked(job: Job, site: Site, accounts: "Sequence[FetchAccount]") -> "list[Result]":
    from bridge.cli import fetchmaillook

    results = []
    for account in accounts:
        found = fetchmaillook.look(site.poller, account)
        if not found.error:
            seen = found.known
            all_of_it = found.new + seen
            job.voice.say(
                f"{all_of_it} message{_s(all_of_it)} ({seen} seen) for {account.name} ({found.size} octets).",
                f"{all_of_it} mensaje{_s(all_of_it)} ({seen} vistos) para {account.name} ({found.size} octetos).",
            )
        else:
            job.voice.complain(f"{account.name}: {found.error}")
        results.append(found)
    return results


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _tell(job: Job, result: "Result") -> None:
    name = result.account
    if result.new or result.removed or result.skipped:
        job.voice.say(
            f"{result.new} message{_s(result.new)} for {name} ({result.size} octets), {result.known} seen before, "
            f"{result.removed} deleted there, {result.skipped} too large",
            f"{result.new} mensaje{_s(result.new)} para {name} ({result.size} octetos), {result.known} ya vistos, "
            f"{result.removed} borrados allí, {result.skipped} demasiado grandes",
        )
    elif not result.error:
        job.voice.say(f"No mail for {name}", f"No hay correo para {name}")
    if result.error:
        job.voice.complain(f"{name}: {result.error}")


def _hints(job: Job, rc: Rc, results: "Sequence[Result]") -> None:
    """For an old server without TLS: which line lacks what."""
    lines = {f"{user.name}@{entry.name}": user.line or entry.line for entry, user in users_of(rc)}
    for one in results:
        if "sslproto ''" in one.error:
            user = one.account.rpartition("@")[0]
            where = f"{job.path}:{lines.get(one.account, 1)}"
            job.voice.complain(
                f"{where}: to send this password in clear text all the same, add to user \"{user}\": sslproto ''",
                f"{where}: para enviar aun así esta contraseña sin cifrar, añada a user \"{user}\": sslproto ''",
            )


def status_of(results: "Sequence[Result]", problems: Sequence[str]) -> int:
    """0 if any account gave mail, else the status of the last that failed, else 5 for mistakes, else 1."""
    statuses = [int(one.status) for one in results]
    if MAIL in statuses:
        return MAIL
    failed = [one for one in statuses if one != NO_MAIL]
    return failed[-1] if failed else SETTINGS if problems else NO_MAIL
