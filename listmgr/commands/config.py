"""`config_list`: all options of a list as a readable file, and back (L12). `change_pw`: the passwords of a list.

Promises: the file is Mailman's: comments with help, then `name = value`; it is read as data, never run (sec-L22); a
mistake is named with its line and then nothing is changed; options that only Mailman has are named and left alone.
Numbers that Mailman writes for choices and bits are understood. Fails by: Stop.
"""

import ast
import textwrap
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from bridge.store.passwords import Weak, require_strong
from bridge.store.tables import note
from listmgr import passwords, registry
from listmgr.commands.desk import Desk, Stop
from listmgr.describe import Option, Wrong
from listmgr.options import CATEGORIES, by_name, of_category
from listmgr.registry import MailingList
from listmgr.words import label

MOST_BYTES = 1_000_000
_BITS = {"notmetoo": 2, "ack": 4, "hide": 16, "nodupes": 256}  # of new_member_options in a file of Mailman's


def show(desk: Desk, name: str, file: str) -> int:
    """`-o FILE`."""
    which = desk.find(name)
    desk.write(file, _lines(desk, which))
    return 0


def _lines(desk: Desk, which: MailingList) -> Iterator[str]:
    yield "# -*- python -*-"
    yield "# -*- coding: utf-8 -*-"
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(desk.office.clock.now()))
    yield desk.tr(f'## "{which.name}" mailing list configuration settings', f'## Opciones de la lista "{which.name}"')
    yield desk.tr(f"## captured on {at}", f"## tomadas el {at}")
    for category in CATEGORIES:
        yield ""
        yield f"## {label(desk.language, f'category:{category}')} ({category})"
        for one in of_category(category):
            yield ""
            yield from textwrap.wrap(one.about(desk.language), 74, initial_indent="# ", subsequent_indent="# ")
            if one.choices:
                yield f"# {desk.tr('legal values are', 'valores posibles')}: {' '.join(one.choices)}"
            yield f"{one.name} = {_written(getattr(which.options, one.name))}"


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return repr(list(value))
    if isinstance(value, str) and "\n" in value:
        plain = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"""{plain}"""'
    return repr(value)


def read(desk: Desk, name: str, file: str, *, check: bool = False, verbose: bool = False) -> int:
    """`-i FILE`; with `check` nothing is changed."""
    which, (values, places) = desk.find(name), _values(desk, file)
    changes = {}
    for key, value in values.items():
        described = by_name().get(key)
        if described is None:
            place = f"{file}:{places[key]}"
            desk.say(f'{place}: attribute "{key}" ignored', f'{place}: "{key}": opción no atendida')
        else:
            changes[key] = _understood(described, value)

    def unit(connection: Connection) -> list[str]:
        fresh = registry.find(connection, which.name) or which
        new = {key: value for key, value in changes.items() if getattr(fresh.options, key) != value}
        registry.prepared(fresh, new, serves=desk.office.serves)
        if new and not check:
            registry.change(connection, fresh, new, serves=desk.office.serves)
            note(connection, desk.office.clock.now(), desk.actor, "list.options", fresh.posting, " ".join(new))
        return list(new)

    try:
        changed = desk.office.core.write_now(unit)
    except Wrong as wrong:
        raise Stop("\n".join(_mistakes(desk, file, wrong, places))) from None
    if verbose or check:
        for key in changed:
            desk.say(f'attribute "{key}" changed', f'"{key}": cambiada')
    return 0


def _mistakes(desk: Desk, file: str, wrong: Wrong, places: dict[str, int]) -> Iterator[str]:
    for key, words in wrong.problems.items():
        yield desk.tr(
            f"{file}:{places.get(key, 0)}: {key}: {words[0]}", f"{file}:{places.get(key, 0)}: {key}: {words[1]}"
        )
    yield desk.tr("Nothing was changed.", "No se ha cambiado nada.")


def _values(desk: Desk, file: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Names and values, and the line of each."""
    try:
        with desk.reading(file) as stream:
            tree = ast.parse(stream.read(MOST_BYTES))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        raise Stop(desk.tr(f"{file}:{line}: not understood", f"{file}:{line}: no se entiende")) from None
    found: dict[str, Any] = {}
    places: dict[str, int] = {}
    for statement in tree.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        if not isinstance(statement, ast.Assign) or not isinstance(target, ast.Name):
            raise Stop(desk.tr(
                f"{file}:{statement.lineno}: write name = value", f"{file}:{statement.lineno}: escriba nombre = valor"
            ))  # fmt: skip
        try:
            found[target.id] = ast.literal_eval(statement.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise Stop(desk.tr(
                f"{file}:{statement.lineno}: {target.id}: not a plain value",
                f"{file}:{statement.lineno}: {target.id}: no es un valor",
            )) from None  # fmt: skip
        places[target.id] = statement.lineno
    return found, places


def _understood(one: Option, value: Any) -> Any:
    """A value as Mailman may write it: 0 and 1 for no and yes, numbers for choices, bits for flags, one string for
    several lines."""
    if one.kind == "yesno" and value in (0, 1):
        return bool(value)
    if one.kind == "choice" and type(value) is int and 0 <= value < len(one.choices):
        return one.choices[value]
    if one.kind == "flags" and type(value) is int:
        return tuple(flag for flag in one.choices if value & _BITS[flag])
    if one.kind in ("addresses", "patterns") and isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list):
        return tuple(value)
    return value


def change_password(desk: Desk, name: str, role: str, password: str = "") -> int:
    """`change_pw`: a new password for administrators or moderators."""
    which = desk.find(name)
    password = password or desk.secret(f"New {which.name} password: ", f"Contraseña nueva de {which.name}: ")
    put(desk, which, role, password)
    desk.say(f"New {which.name} password stored.", f"La contraseña de {which.name} ha cambiado.")
    return 0


def require(desk: Desk, name: str, password: str) -> None:
    """Stop where it is too weak for a list of that name."""
    try:
        require_strong(password, name)
    except Weak as weak:
        spanish = "La contraseña no sirve: hacen falta 8 caracteres o más, y que no sea de las que se prueban primero."
        raise Stop(desk.tr(str(weak), spanish)) from None


def put(desk: Desk, which: MailingList, role: str, password: str) -> None:
    """Store it. Stop."""
    require(desk, which.posting, password)
    stored = desk.office.hasher.hash(password)

    def unit(connection: Connection) -> None:
        passwords.put(connection, which, role, stored)
        note(connection, desk.office.clock.now(), desk.actor, "list.passwords", which.posting, role)

    desk.office.core.write_now(unit)
