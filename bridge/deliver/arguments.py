"""What a program that takes mail is called with: arguments and environment made of fixed names and safe values.

Promises: no shell; a value that others chose can't be taken for an option or code, and one of ours that could be is
refused (sec-D02, sec-D03); nobody is ever root.
Fails by: Unfit, whose text says what is wrong.
"""
import os
import pwd
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain

from bridge.config.delivery import Delivery, words
from bridge.deliver.command import Identity
from bridge.model.account import Account
from bridge.model.address import split
from bridge.store.copies import Copy, converted, top
from bridge.store.mboxfile import separator
from bridge.store.spool import Spooled

_UNFIT = re.compile(r"[^A-Za-z0-9!@%_=+:,./-]")       # in what strangers chose
_UNFIT_OURS = re.compile(r"[^\w!@%=+:,./-]")
_PLACE = re.compile(r"%(.)", re.S)
_SAID = 300             # characters of a program's output in a reply


class Unfit(Exception):
    """A value of ours that must not stand in a command, or a user whom programs may not run as."""


def command_of(address: str, settings: Delivery) -> tuple[str, ...] | None:
    """The command that fills this mailbox, or None: we do it ourselves."""
    special = settings.mailbox_commands
    for key in (address, split(address)[1]):
        if key in special:
            return words(special[key]) or None
    return words(settings.mailbox_command) or None


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


def can_become(user: str) -> bool:
    """Can we run programs as the user that is named, or is nobody named?"""
    try:
        return not user or os.geteuid() in (0, _numbers(user)[0])
    except Unfit:
        return True     # which is said where it is tried


def name_of(what: str | Sequence[str], settings: Delivery) -> str:
    """The program's path: of a mailbox's command, or of an alias."""
    command = command_of(what, settings) or ("program",) if isinstance(what, str) else what
    return command[0]


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


def values_of(copy: Copy, account: Account | None, identity: Identity, delimiters: str) -> dict[str, str]:
    """By placeholder. What others chose (sender, address, detail) is made harmless; what we chose must be so."""
    local, domain = split(copy.address)
    place = min((place for one in delimiters if (place := local.find(one)) > 0), default=len(local))
    values = {"f": copy.sender, "a": copy.address, "e": local[place + 1 :], "l": local, "o": copy.original}
    values = {name: _UNFIT.sub("_", value) for name, value in values.items()}
    ours = {"d": domain, "u": identity.name, "h": identity.home, "m": ""}
    if account is not None:
        user, domain = split(account.address)
        ours |= {"u": account.system or user, "d": domain, "h": str(account.home), "m": str(account.maildir)}
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


def environ_of(values: Mapping[str, str], identity: Identity, path: str) -> dict[str, str]:
    """All that the program gets; nothing of ours."""
    return {
        "PATH": path, "SHELL": "/bin/sh", "LANG": "C.UTF-8", "HOME": values["h"],
        "USER": values["u"], "LOGNAME": values["u"],
        "SENDER": values["f"], "RECIPIENT": values["a"], "ORIGINAL_RECIPIENT": values["o"],
        "LOCAL": values["l"], "DOMAIN": values["d"], "EXTENSION": values["e"],
    }  # fmt: skip


def plain(output: bytes) -> str:
    """The beginning of what a program said, on one line."""
    text = output.decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_SAID]


def message_of(spooled: Spooled, copy: Copy, settings: Delivery, now: float) -> Iterator[bytes]:
    """What the program reads."""
    first = top(copy)
    if settings.program_from_line:
        first = separator(copy.sender, now) + first
    return chain((first,), converted(spooled))


def mark_of_program(command: Sequence[str]) -> str:
    """Names the program of an alias to somebody who reads the alias files himself."""
    return sha256(shlex.join(command).encode("utf-8", "surrogatepass")).hexdigest()
