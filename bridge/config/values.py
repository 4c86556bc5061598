"""A value of the file or the environment as the type that its setting declares.

Promises: the declared type or a ValueError that says what to write instead; nothing is guessed. A secret may be
written as text, as { file = "..." } or as { command = ["..."] }; no complaint shows it. Relative files start at
`folder`, that of the file which names them.
"""

import difflib
import subprocess
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from bridge.config.define import Described, describe
from bridge.model.language import tr


def value_of(described: Described, value: Any, folder: Path) -> Any:
    """`value`, as TOML has it, for this setting."""
    return _secret(value, folder) if described.secret else _typed(value, described.type, folder)


def _secret(value: Any, folder: Path) -> str:
    match value:
        case str():
            return value
        case {"file": str(name), **rest} if not rest:
            where = f"{tr('secret file', 'fichero del secreto')} {name}"
            text = _content(folder / name, where)
        case {"command": [str(name), *arguments], **rest} if not rest and all(isinstance(a, str) for a in arguments):
            where = f"{tr('secret command', 'orden del secreto')} {name!r}"
            text = _output([name, *arguments], where)
        case _:
            raise ValueError(tr(
                'a secret is text, { file = "/path" } or { command = ["program", "argument"] }',
                'un secreto es texto, { file = "/ruta" } o { command = ["programa", "argumento"] }',
            ))
    secret = text.rstrip("\n")
    if not secret:
        raise ValueError(f"{where}: {tr('what it gives is empty', 'lo que da está vacío')}")
    return secret


def _content(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{where}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {tr('is not UTF-8 text', 'no es texto UTF-8')}") from error


def _output(command: list[str], where: str) -> str:
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", timeout=30, check=True).stdout
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError) as error:
        raise ValueError(f"{where}: {tr('failed', 'ha fallado')}: {error}") from error


_NAMES = {
    str: ("text in quotes", "un texto entre comillas"), int: ("a whole number", "un número entero"),
    float: ("a number", "un número"), bool: ("true or false", "true o false"),
}  # fmt: skip


def _typed(value: Any, wanted: Any, folder: Path) -> Any:
    """`value` as `wanted`, or ValueError that says what to write."""
    origin = get_origin(wanted)
    if origin is Literal:
        if value in get_args(wanted):
            return value
        known = ", ".join(map(repr, get_args(wanted)))
        raise ValueError(tr(f"{value!r} is not one of {known}", f"{value!r} no es uno de {known}"))
    if origin in (types.UnionType, typing.Union):
        return _typed(value, next(one for one in get_args(wanted) if one is not type(None)), folder)
    if origin is tuple:
        if not isinstance(value, list):
            sample = _sample(get_args(wanted)[0])
            raise ValueError(tr(
                f"must be a list, like [{sample}], not {value!r}", f"debe ser una lista, como [{sample}], no {value!r}"
            ))
        return tuple(_typed(one, get_args(wanted)[0], folder) for one in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(tr(
                f"must be a table of name = value, not {value!r}",
                f"debe ser una tabla de nombre = valor, no {value!r}",
            ))
        return {key: _typed(one, get_args(wanted)[1], folder) for key, one in value.items()}
    if is_dataclass(wanted):
        return _nested(value, wanted, folder)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"{tr('must be', 'debe ser')} {tr(*_NAMES[wanted])}, {tr('not', 'no')} {value!r}")
    return value


def _nested(value: Any, wanted: Any, folder: Path) -> Any:
    if not isinstance(value, dict):
        raise ValueError(tr(f"must be a table, not {value!r}", f"debe ser una tabla, no {value!r}"))
    described = {one.name: one for one in describe(wanted)}
    for key in value:
        if key not in described:
            unknown = tr("unknown setting", "ajuste desconocido")
            raise ValueError(f"{unknown} {key!r}{did_you_mean(key, described)}")
    return wanted(**{key: value_of(described[key], one, folder) for key, one in value.items()})


def _sample(wanted: Any) -> str:
    return '"..."' if wanted is str else "..."


def from_text(text: str, wanted: Any, folder: Path) -> Any:
    """An environment variable's value: text as it is, the rest as TOML would write it; lists also by commas."""
    if wanted is str or get_origin(wanted) is Literal:
        return _typed(text, wanted, folder)
    if get_origin(wanted) is tuple and not text.startswith("["):
        return tuple(from_text(part.strip(), get_args(wanted)[0], folder) for part in text.split(",") if part.strip())
    try:
        return _typed(tomllib.loads(f"value = {text}")["value"], wanted, folder)
    except tomllib.TOMLDecodeError as error:
        kind = tr(*_NAMES.get(wanted, ("a value of the right kind", "un valor de la clase debida")))
        raise ValueError(f"{text!r} {tr('is not', 'no es')} {kind}") from error


def did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return tr(f"; did you mean {close[0]!r}?", f"; ¿quería decir {close[0]!r}?")
    return tr("; known are: ", "; se conocen: ") + ", ".join(known)
