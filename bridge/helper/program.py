"""Programs that take mail, by a process that is the user they are for: never root, never what the caller says.

Promises: the mailbox command comes from our settings, an alias's program from alias files that only root can write;
the caller names the latter by its hash. Arguments and environment as `deliver.arguments` makes them. A caller that
goes away ends the program.
Fails by: Unfit; OSError where it can't be started.
"""
import select
import shlex
import threading
from dataclasses import replace
from pathlib import Path
from threading import Event

from bridge.config.schema import Settings
from bridge.deliver.arguments import (
    Unfit,
    command_of,
    environ_of,
    filled,
    identity_of,
    mark_of_program,
    message_of,
    plain,
    values_of,
)
from bridge.deliver.command import Identity, run
from bridge.helper.mail import copy_of, spooled_of
from bridge.helper.people import Person, become, roots_alone
from bridge.model.account import Account
from bridge.model.clock import SYSTEM
from bridge.route.aliases import Form, parse
from bridge.store import aliasfiles
from bridge.wire.helper import Request


def mailbox_command(
    person: Person, request: Request, descriptor: int, settings: Settings, caller: int
) -> dict[str, object]:
    """Run what fills this user's mailbox, as the user."""
    account = person.account
    command = command_of(account.address, settings.delivery)
    if command is None:
        raise Unfit(f"{account.address} has no mailbox command")
    identity = Identity(person.uid, person.gid, person.name, str(account.home))
    become(person)
    return _run(list(command), account, identity, request, descriptor, settings, caller)


def alias_program(request: Request, descriptor: int, settings: Settings, caller: int) -> dict[str, object]:
    """Run the program of an alias as `delivery.program_user`."""
    command = _listed(request["program"], settings)
    if not settings.delivery.program_user:
        raise Unfit("programs need a user to run as: set delivery.program_user")
    identity = identity_of(settings.delivery.program_user)
    account = Account(0, "", "", Path(identity.home), Path(), system=identity.name)
    become(Person(identity.uid, identity.gid, account))
    return _run(command, None, replace(identity, switch=False), request, descriptor, settings, caller)


def _listed(mark: str, settings: Settings) -> list[str]:
    """The command of this hash, if it stands in an alias file that root alone can write, and may be run."""
    for path in map(Path, settings.mail.aliases):
        try:
            found = aliasfiles.read(path)
        except (OSError, aliasfiles.Unsafe):
            continue
        if not roots_alone(path):
            continue
        entries, _ = parse(found.text, str(path), trusted=True)
        for alias in entries.values():
            for target in alias.targets:
                if target.form is not Form.PROGRAM:
                    continue
                words = shlex.split(target.value)
                if mark_of_program(words) == mark and _may(words[0], settings):
                    return words
    raise Unfit("no alias file of root's names this program, or mail.programs doesn't")


def _may(path: str, settings: Settings) -> bool:
    return any(path.startswith(one) if one.endswith("/") else path == one for one in settings.mail.programs)


def _run(
    command: list[str], account: Account | None, identity: Identity, request: Request, descriptor: int,
    settings: Settings, caller: int,
) -> dict[str, object]:
    delivery = settings.delivery
    spooled, copy = spooled_of(request, descriptor), copy_of(request)
    values = values_of(copy, account, identity, settings.mail.delimiters)
    stop = Event()
    threading.Thread(target=_stop_with, args=(caller, stop), daemon=True).start()
    ended = run(
        filled(command, values) if account is not None else command,
        environ_of(values, identity, delivery.program_path), message_of(spooled, copy, delivery, SYSTEM.now()),
        identity=identity, seconds=delivery.program_seconds, stop=stop,
    )  # fmt: skip
    return {"status": ended.status, "output": plain(ended.output), "late": ended.late}


def _stop_with(caller: int, stop: Event) -> None:
    """Set `stop` when the caller's end is closed."""
    watch = select.poll()
    watch.register(caller, select.POLLRDHUP | select.POLLHUP)
    watch.poll()
    stop.set()
