"""From TOML to sections, with complaints that name file, line, what is wrong and what to write instead.

Promises: `load` returns settings in which every value has the declared type, or raises ConfigError with all problems
at once; it never guesses. Later sources win: defaults, the file, its includes in order, the environment
(`ESTAFETA__SECTION__NAME=value`). A secret may be written as text, as { file = "..." } or as { command = ["..."] }.
Not here: creating folders, looking at the network.
"""

import difflib
import os
import re
import subprocess
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from bridge.config.define import Described, Problem, describe
from bridge.config.schema import Settings
from bridge.model.errors import ConfigError

_PREFIX = "ESTAFETA__"
_HEADER = re.compile(r"\s*\[\[?\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_.-]+)[\"']?\s*=")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, the files that they came from, and warnings (lines ready to print)."""

    settings: Settings
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


class _Source:
    """One TOML file: its values and where each stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"]) from error
        try:
            self.values = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([f"{path}: {_toml_hint(str(error))}"]) from error

    def line(self, section: str, name: str = "") -> int:
        """The line on which a section or one of its settings stands; 1 where it can't be told."""
        current, found = "", 1
        for number, text in enumerate(self.text.splitlines(), 1):
            header = _HEADER.match(text)
            if header:
                current = header[1].strip()
                if name and current == f"{section}.{name}":
                    return number
                if current == section:
                    found = number
                    if not name:
                        return number
                continue
            key = _KEY.match(text)
            if key and ((current == section and key[1] == name) or (not current and key[1] == f"{section}.{name}")):
                return number
            if key and not current and not name and key[1] == section:
                return number
        return found

    def at(self, section: str, name: str = "") -> str:
        return f"{self.path}:{self.line(section, name)}"


def _toml_hint(text: str) -> str:
    found = re.search(r"\(at line (\d+), column (\d+)\)", text)
    where = f"line {found[1]}, column {found[2]}: " if found else ""
    plain = re.sub(r"\s*\(at [^)]*\)", "", text)
    return f'{where}not valid TOML: {plain}; text values need quotes ("..."), lists look like ["a", "b"]'


def load(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read `path` and what it includes. Raises ConfigError with every problem found."""
    environ = os.environ if environ is None else environ
    sources = list(_sources(path))
    problems: list[str] = []
    warnings: list[str] = []
    sections: dict[str, Any] = {}
    known = {one.name: one.default_factory for one in fields(Settings)}
    for source in sources:
        for name in source.values:
            if name != "include" and name not in known:
                problems.append(f"{source.at(name)}: unknown section [{name}]{_did_you_mean(name, known)}")
    for name, section in known.items():
        given = [(source, source.values[name]) for source in sources if name in source.values]
        sections[name] = _section(name, section, given, environ, problems)
    for name in environ:
        parts = name.removeprefix(_PREFIX).lower().split("__")
        if name.startswith(_PREFIX) and (len(parts) != 2 or parts[0] not in known):
            problems.append(f"environment variable {name}: no such setting; the form is {_PREFIX}SECTION__NAME")
    if problems:
        raise ConfigError(problems)
    settings = _resolved(Settings(**sections), path)
    for name in known:
        for problem in _own_problems(getattr(settings, name)):
            place = next((s.at(name, problem.setting) for s in reversed(sources) if name in s.values), str(path))
            (problems if problem.fatal else warnings).append(f"{place}: {name}.{problem.setting}: {problem.text}")
    if problems:
        raise ConfigError(problems)
    return Loaded(settings, tuple(source.path for source in sources), tuple(warnings))


def _own_problems(section: Any) -> Iterator[Problem]:
    if hasattr(section, "problems"):
        yield from section.problems()


def _sources(path: Path) -> Iterator[_Source]:
    first = _Source(path)
    yield first
    patterns = first.values.get("include", [])
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        raise ConfigError([f'{first.at("include")}: include must be a list of file names, like ["conf.d/*.toml"]'])
    for pattern in patterns:
        found = sorted(path.parent.glob(pattern)) if not os.path.isabs(pattern) else [Path(pattern)]
        if not found and "*" not in pattern:
            raise ConfigError([f"{first.at('include')}: included file {pattern!r} does not exist"])
        yield from map(_Source, found)


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are: {', '.join(known)}"


def _section(
    name: str, section: Any, given: list[tuple[_Source, Any]], environ: Mapping[str, str], problems: list[str]
) -> Any:
    described = {one.name: one for one in describe(section)}
    values: dict[str, Any] = {}
    for source, table in given:
        if not isinstance(table, dict):
            problems.append(f"{source.at(name)}: {name} must be a section: write [{name}] and its settings below it")
            continue
        for key, value in table.items():
            place = source.at(name, key)
            if key not in described:
                problems.append(f"{place}: unknown setting {name}.{key}{_did_you_mean(key, described)}")
                continue
            try:
                values[key] = _secret(described[key], value) or _typed(value, described[key].type)
            except ValueError as error:
                problems.append(f"{place}: {name}.{key}: {error}")
    for key, one in described.items():
        variable = f"{_PREFIX}{name}__{key}".upper()
        if variable in environ:
            try:
                values[key] = _from_text(environ[variable], one.type)
            except ValueError as error:
                problems.append(f"environment variable {variable}: {error}")
    return section(**values)


def _secret(described: Described, value: Any) -> str:
    """The secret that a { file = ... } or { command = [...] } points to; "" where the value is no such table."""
    if not described.secret or not isinstance(value, dict):
        return ""
    if set(value) == {"file"}:
        try:
            return Path(value["file"]).read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise ValueError(f"secret file {value['file']}: {error.strerror}") from error
    if set(value) == {"command"} and isinstance(value["command"], list):
        try:
            done = subprocess.run(value["command"], capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise ValueError(f"secret command {value['command'][0]!r} failed: {error}") from error
        return done.stdout.rstrip("\n")
    raise ValueError('a secret is text, { file = "/path" } or { command = ["program", "argument"] }')


_NAMES = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _typed(value: Any, wanted: Any) -> Any:
    """`value` as `wanted`, or ValueError that says what to write."""
    origin = get_origin(wanted)
    if origin is Literal:
        if value in get_args(wanted):
            return value
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, get_args(wanted)))}")
    if origin in (types.UnionType, typing.Union):
        return _typed(value, next(one for one in get_args(wanted) if one is not type(None)))
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"must be a list, like [{_sample(get_args(wanted)[0])}], not {value!r}")
        return tuple(_typed(one, get_args(wanted)[0]) for one in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table of name = value, not {value!r}")
        return {key: _typed(one, get_args(wanted)[1]) for key, one in value.items()}
    if is_dataclass(wanted):
        return _nested(value, wanted)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"must be {_NAMES[wanted]}, not {value!r}")
    return value


def _nested(value: Any, wanted: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, not {value!r}")
    described = {one.name: one for one in describe(wanted)}
    for key in value:
        if key not in described:
            raise ValueError(f"unknown setting {key!r}{_did_you_mean(key, described)}")
    return wanted(**{k: _secret(described[k], v) or _typed(v, described[k].type) for k, v in value.items()})


def _sample(wanted: Any) -> str:
    return '"..."' if wanted is str else "..."


def _from_text(text: str, wanted: Any) -> Any:
    """An environment variable's value: text as it is, the rest as TOML would write it; lists also by commas."""
    if wanted is str or get_origin(wanted) is Literal:
        return _typed(text, wanted)
    if get_origin(wanted) is tuple and not text.startswith("["):
        return tuple(_from_text(part.strip(), get_args(wanted)[0]) for part in text.split(",") if part.strip())
    try:
        return _typed(tomllib.loads(f"value = {text}")["value"], wanted)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{text!r} is not {_NAMES.get(wanted, 'a value of the right kind')}") from error


def _resolved(settings: Settings, path: Path) -> Settings:
    """Paths made absolute, {data} filled in."""
    base = path.resolve().parent
    data = str(base / settings.paths.data)
    changed = {}
    for one in fields(settings.paths):
        text = getattr(settings.paths, one.name)
        changed[one.name] = str(base / text.format(data=data)) if text else ""
    tls = settings.tls
    for name in ("certificate", "key"):
        if getattr(tls, name):
            tls = replace(tls, **{name: str(base / getattr(tls, name))})
    return replace(settings, paths=replace(settings.paths, **changed), tls=tls)
