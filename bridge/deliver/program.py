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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

from bridge.config.delivery import Delivery
from bridge.deliver.arguments import (
    Unfit,
    can_become,
    command_of,
    environ_of,
    filled,
    identity_of,
    mark_of_program,
    message_of,
    name_of,
    plain,
    values_of,
)
from bridge.deliver.base import Job, Target
from bridge.deliver.command import run
from bridge.deliver.trouble import Trouble, judge, judge_error, judge_exit
from bridge.model.account import Account
from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import StoreError
from bridge.model.outcome import Delivered, Outcome
from bridge.route.resolver import Kind, Route
from bridge.store.copies import Copy
from bridge.store.helper import Helper, Said
from bridge.store.spool import Damaged, Spooled


class ProgramTransport:
    """`account_of(address)`: whose mailbox a command fills; `hint(addresses)`: they have new mail, from any thread;
    `helper`: who can become others, if we can't."""

    def __init__(
        self,
        settings: Delivery,
        *,
        delimiters: str = "+",
        account_of: Callable[[str], Account | None] = lambda address: None,
        hint: Callable[[Sequence[str]], None] = lambda addresses: None,
        helper: Helper | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._settings, self._delimiters, self._clock = settings, delimiters, clock
        self._account_of, self._hint, self._helper = account_of, hint, helper
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
        copy = Copy(target.id, "", target.address, target.original, target.sender, spooled.envelope.trust)
        account, name = None, "program"
        try:
            if stop.is_set():
                return judge(Trouble.STOPPING).outcome
            what = json.loads(target.target)
            account = self._account_of(what) if isinstance(what, str) else None
            if isinstance(what, str) and (account is None or command_of(what, self._settings) is None):
                return judge(Trouble.NO_MAILBOX).outcome
            name = name_of(what, self._settings)
            said = self._by_helper(what, account, spooled, copy, stop) or self._here(what, account, spooled, copy, stop)
            if said.unfit:
                raise Unfit(said.unfit)
        except Unfit as error:
            return judge(Trouble.PROGRAM, str(error), name).outcome
        except Damaged:
            return judge(Trouble.SPOOL).outcome
        except StoreError as error:
            return judge(Trouble.PROGRAM, str(error), name).outcome
        except OSError as error:
            return judge(Trouble.PROGRAM, f"{name} can't be run: {error.strerror}", name).outcome
        except Exception as error:
            return judge_error(error, name).outcome
        if said.late:
            text = "stopped" if stop.is_set() else f"not ended after {self._settings.program_seconds} seconds"
            text = f"{name}: {text}" + (f": {said.output}" if said.output else "")
            return judge(Trouble.PROGRAM, text, name).outcome
        if said.status:
            return judge_exit(said.status, said.output, name).outcome
        if account is not None:
            self._hint([account.address])
        return Delivered(name)

    def _here(
        self, what: str | list[str], account: Account | None, spooled: Spooled, copy: Copy, stop: Event
    ) -> Said:
        """Run by ourselves, as whom we may be."""
        identity = identity_of(self._settings.program_user)
        values = values_of(copy, account, identity, self._delimiters)
        command = filled(command_of(what, self._settings) or (), values) if isinstance(what, str) else what
        ended = run(
            command, environ_of(values, identity, self._settings.program_path),
            message_of(spooled, copy, self._settings, self._clock.now()),
            identity=identity, seconds=self._settings.program_seconds, stop=stop,
        )  # fmt: skip
        return Said(ended.status, plain(ended.output), ended.late)

    def _by_helper(
        self, what: str | list[str], account: Account | None, spooled: Spooled, copy: Copy, stop: Event
    ) -> Said | None:
        """Run by the root helper, where it must be somebody whom we can't become; None: it needn't."""
        if self._helper is None or os.geteuid() == 0:
            return None
        seconds = self._settings.program_seconds + 15.0
        if account is not None:
            if not account.system or -account.id == os.geteuid():
                return None
            return self._helper.command(account.system, spooled, copy, seconds=seconds, stop=stop)
        if not isinstance(what, list) or can_become(self._settings.program_user):
            return None
        return self._helper.alias(mark_of_program(what), spooled, copy, seconds=seconds, stop=stop)


# --- whom, and with what


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
