"""Programs that take mail: `|/path/program` of alias files (S56) and commands that fill mailboxes (D06).

A target is JSON: a list of arguments is an alias's program, a text is the account whose mailbox command is to be run.
Promises: no shell, never root; arguments and environment are made of fixed names and of values that can't be taken for
options or code (sec-D02, sec-D03); the message comes with LF line ends and our three fields on top; so many at once as
the settings say, each killed with its children when its time is up.
Fails by: Deferred or Failed per recipient as `trouble.judge_exit` says, with the beginning of what the program said.
"""
import asyncio
import json
import os
import pwd
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from threading import Event

from bridge.config.delivery import Delivery, words
from bridge.deliver.base import Job, Target
from bridge.deliver.command import Identity, run
from bridge.deliver.trouble import Trouble, judge, judge_error, judge_exit
from bridge.model.address import split
from bridge.model.clock import SYSTEM, Clock
from bridge.model.outcome import Delivered, Outcome
from bridge.route.resolver import Kind, Route
from bridge.store.accounts import Account
from bridge.store.delivery import Copy, converted, top
from bridge.store.mboxfile import separator
from bridge.store.spool import Damaged, Spooled

_UNFIT = re.compile(r"[^A-Za-z0-9!@%_=+:,./-]")       # in what strangers chose
_UNFIT_OURS = re.compile(r"[^\w!@%=+:,./-]")
_PLACE = re.compile(r"%(.)", re.S)
_SAID = 300             # characters of a program's output in a reply


class Unfit(Exception):
    """A value of ours that must not stand in a command."""


class ProgramTransport:
    """`account_of(address)`: whose mailbox a command fills; `hint(addresses)`: they have new mail, from any thread."""

    def __init__(
        self,
        settings: Delivery,
        *,
        delimiters: str = "+",
        account_of: Callable[[str], Account | None] = lambda address: None,
        hint: Callable[[Sequence[str]], None] = lambda addresses: None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._settings, self._delimiters, self._clock = settings, delimiters, clock
        self._account_of, self._hint = account_of, hint
        self._pool: ThreadPoolExecutor | None = None

    async def deliver(self, jobs: Sequence[Job]) -> Mapping[int, Outcome]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._settings.programs_at_once, "program")
        loop, stop = asyncio.get_running_loop(), Event()
        pairs = [(job, target) for job in jobs for target in job.targets]
        work = [loop.run_in_executor(self._pool, self._one, job.spooled, target, stop) for job, target in pairs]
        try:
            outcomes = await asyncio.gather(*work)
        finally:
            stop.set()
        return {target.id: outcome for (_, target), outcome in zip(pairs, outcomes, strict=True)}

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _one(self, spooled: Spooled, target: Target, stop: Event) -> Outcome:
        where = "program"
        try:
            if stop.is_set():
                return judge(Trouble.STOPPING).outcome
            identity = identity_of(self._settings.program_user)
            what = json.loads(target.target)
            account = self._account_of(what) if isinstance(what, str) else None
            values = _values(target, account, identity, self._delimiters)
            if isinstance(what, str):
                command = command_of(what, self._settings)
                if account is None or command is None:
                    return judge(Trouble.NO_MAILBOX).outcome
                what = filled(command, values)
            where = what[0]
            ended = run(
                what, _environ(values, identity, self._settings.program_path), self._message(spooled, target),
                identity=identity, seconds=self._settings.program_seconds, stop=stop,
            )
        except Unfit as error:
            return judge(Trouble.PROGRAM, str(error), where).outcome
        except Damaged:
            return judge(Trouble.SPOOL).outcome
        except OSError as error:
            return judge(Trouble.PROGRAM, f"{where} can't be run: {error.strerror}", where).outcome
        except Exception as error:
            return judge_error(error, where).outcome
        said = _plain(ended.output)
        if ended.late:
            text = "stopped" if stop.is_set() else f"not ended after {self._settings.program_seconds} seconds"
            return judge(Trouble.PROGRAM, f"{where}: {text}" + (f": {said}" if said else ""), where).outcome
        if ended.status:
            return judge_exit(ended.status, said, where).outcome
        if account is not None:
            self._hint([account.address])
        return Delivered(where)

    def _message(self, spooled: Spooled, target: Target) -> Iterator[bytes]:
        copy = Copy(target.id, "", target.address, target.original, target.sender)
        first = top(copy)
        if self._settings.program_from_line:
            first = separator(target.sender, self._clock.now()) + first
        return chain((first,), converted(spooled))


# --- whom, and with what


def command_of(address: str, settings: Delivery) -> tuple[str, ...] | None:
    """The command that fills this mailbox, or None: we do it ourselves."""
    special = settings.mailbox_commands
    for key in (address, split(address)[1]):
        if key in special:
            return words(special[key]) or None
    return words(settings.mailbox_command) or None


def by_command(routes: Sequence[Route], settings: Delivery) -> tuple[Route, ...]:
    """The same routes; those to mailboxes that a command fills go to the program transport."""
    if not settings.mailbox_command and not settings.mailbox_commands:
        return tuple(routes)
    return tuple(_by_command(route, settings) for route in routes)


def _by_command(route: Route, settings: Delivery) -> Route:
    command = command_of(route.target, settings) if route.kind is Kind.MAILBOX else None
    if command is None:
        return route
    return replace(route, kind=Kind.PROGRAM, target=json.dumps(route.target), why=(*route.why, command[0]))


def identity_of(user: str) -> Identity:
    """Whom programs run as: ourselves or, if we have root's rights, the user that is named. Unfit where that is root
    or can't be had."""
    own = os.geteuid()
    if own and not user:
        return _identity(own, os.getegid(), False)
    if not user:
        raise Unfit("programs don't run as root: set delivery.program_user")
    uid, gid = _numbers(user)
    if uid == 0 or gid == 0:
        raise Unfit("programs don't run as root: change delivery.program_user")
    if own not in (0, uid):
        raise Unfit(f"this server can't become {user}, as delivery.program_user wants")
    return _identity(uid, gid, own == 0)


def _numbers(user: str) -> tuple[int, int]:
    uid, colon, gid = user.partition(":")
    if colon and uid.isdigit() and gid.isdigit():
        return int(uid), int(gid)
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise Unfit(f"there is no user {user}, whom delivery.program_user names") from None
    return found.pw_uid, found.pw_gid


def _identity(uid: int, gid: int, switch: bool) -> Identity:
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, gid, str(uid), "/", switch)
    return Identity(uid, gid, found.pw_name, found.pw_dir, switch)


def _values(target: Target, account: Account | None, identity: Identity, delimiters: str) -> dict[str, str]:
    """By placeholder. What others chose (sender, address, detail) is made harmless; what we chose must be so."""
    local, domain = split(target.address)
    place = min((place for one in delimiters if (place := local.find(one)) > 0), default=len(local))
    values = {"f": target.sender, "a": target.address, "e": local[place + 1 :], "l": local, "o": target.original}
    values = {name: _UNFIT.sub("_", value) for name, value in values.items()}
    ours = {"d": domain, "u": identity.name, "h": identity.home, "m": ""}
    if account is not None:
        user, domain = split(account.address)
        ours |= {"u": user, "d": domain, "h": str(account.home), "m": str(account.maildir)}
    for value in ours.values():
        if _UNFIT_OURS.search(value) or value.startswith("-"):
            raise Unfit(f"{value!r} can't be given to a program")
    return values | ours


def filled(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The command with its placeholders filled in, once, each argument staying one. A sender that is empty is called
    MAILER-DAEMON, and one that starts like an option doesn't start an argument."""

    def fill(word: str) -> str:
        text = _PLACE.sub(lambda found: _filled(found[1], values), word)
        return f"_{text[1:]}" if text.startswith("-") and not word.startswith("-") else text

    return [fill(word) for word in command]


def _filled(place: str, values: Mapping[str, str]) -> str:
    return "%" if place == "%" else values[place] or ("MAILER-DAEMON" if place == "f" else "")


def _environ(values: Mapping[str, str], identity: Identity, path: str) -> dict[str, str]:
    """All that the program gets; nothing of ours."""
    return {
        "PATH": path, "SHELL": "/bin/sh", "LANG": "C.UTF-8", "HOME": values["h"],
        "USER": values["u"], "LOGNAME": values["u"],
        "SENDER": values["f"], "RECIPIENT": values["a"], "ORIGINAL_RECIPIENT": values["o"],
        "LOCAL": values["l"], "DOMAIN": values["d"], "EXTENSION": values["e"],
    }  # fmt: skip


def _plain(output: bytes) -> str:
    """The beginning of what a program said, on one line."""
    text = output.decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_SAID]
