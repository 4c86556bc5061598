"""One round of fetchmail: the accounts of a file that are due, collected into the mail system or looked at.

Promises: who may write in the mail system's folders collects into them; everybody else by its SMTP door
(`fetchmailown`). Mail of a user without a local name is the caller's (F06); what has no local address isn't fetched. A
server without TLS is refused, and the line that lacks `sslproto ''` is named. TERM ends the polls that run.
"""

import getpass
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridge.cli import places
from bridge.cli.fetchmailjob import LOCAL, MAIL, NO_MAIL, SETTINGS, Job, end, places_of
from bridge.cli.words import tr
from bridge.wire.fetchmailrc import Entry, Mapping, Rc, User, users_of

if TYPE_CHECKING:
    from bridge.config.fetch import Fetch, FetchAccount
    from bridge.intake.fetch.poller import Poller, Result


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
    where = places_of(job)
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
        end(LOCAL, str(error), str(error))


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
