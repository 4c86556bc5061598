"""The example file and the reference page, made from the descriptions, so that neither can lie."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from bridge.config.define import Described, describe
from bridge.config.schema import Settings

_HEAD = """\
# Estafeta: settings. Made from the program's own descriptions: `estafeta config example`.
# This is enough to try it: high ports on this machine, everything under var/ next to this file.
# Every setting, with its default: docs/settings.md, or `estafeta config reference`.
# Any of them can also come from the environment: ESTAFETA__SECTION__NAME=value.
"""


def _sections() -> Iterator[tuple[str, Any]]:
    for one in fields(Settings):
        assert one.default_factory is not MISSING
        yield one.name, one.default_factory


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    if is_dataclass(value):
        return "{ " + ", ".join(f"{one.name} = {toml(getattr(value, one.name))}" for one in fields(value)) + " }"
    return str(value)


def example() -> str:
    """config.example.toml: the settings that most people touch."""
    parts = [_HEAD]
    for name, section in _sections():
        shown = [one for one in describe(section) if one.example is not None]
        if not shown:
            continue
        parts.append(f"\n# {(section.__doc__ or '').strip().splitlines()[0]}\n[{name}]\n")
        parts += [_line(one) for one in shown]
    return "".join(parts)


def _line(one: Described) -> str:
    """A setting with its help beside it, or above it where that would be too long."""
    text = f"{one.name} = {toml(one.example)}"
    beside = f"{text:44} # {one.help}\n"
    return beside if len(beside) <= 116 else f"# {one.help}\n{text}\n"


def reference(language: str = "en") -> str:
    """docs/settings.md: every setting with type, default and help."""
    title = {"en": "Settings", "es": "Ajustes"}[language]
    head = {
        "en": 'One TOML file. Durations are seconds, sizes bytes. Secrets may be text, `{ file = "..." }` or '
        '`{ command = ["..."] }`. `include = ["conf.d/*.toml"]` at the top adds files; the environment wins: '
        "`ESTAFETA__SECTION__NAME=value`.",
        "es": "Un fichero TOML. Duraciones en segundos, tamaños en bytes. Los secretos pueden ser texto, "
        '`{ file = "..." }` o `{ command = ["..."] }`. `include = ["conf.d/*.toml"]` al principio añade ficheros; '
        "el entorno manda: `ESTAFETA__SECCION__NOMBRE=valor`.",
    }[language]
    columns = {"en": "| setting | type | default | |", "es": "| ajuste | tipo | por omisión | |"}[language]
    parts = [f"# {title}\n\n{head}\n"]
    for name, section in _sections():
        parts.append(f"\n## [{name}]\n\n{columns}\n| --- | --- | --- | --- |\n")
        for one in describe(section):
            parts.append(_row(one, language))
            for inner in _inner(one.type):
                parts += [_row(deep, language, one.name + "[].") for deep in describe(inner)]
    return "".join(parts)


def _row(one: Described, language: str, prefix: str = "") -> str:
    text = one.help if language == "en" else one.es
    return f"| `{prefix}{one.name}` | {type_name(one.type)} | `{toml(one.default)}` | {text} |\n"


def _inner(kind: Any) -> list[Any]:
    return [one for one in get_args(kind) if is_dataclass(one)] if get_origin(kind) is tuple else []


def type_name(kind: Any) -> str:
    """A type as the reference page says it."""
    if get_origin(kind) is Literal:
        return " or ".join(f"`{one}`" for one in get_args(kind))
    if get_origin(kind) is tuple:
        return "list of " + ("tables" if is_dataclass(get_args(kind)[0]) else type_name(get_args(kind)[0]))
    if get_origin(kind) is dict:
        return "table"
    return {str: "text", int: "number", float: "number", bool: "true/false"}.get(kind, str(kind))
