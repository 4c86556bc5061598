"""From TOML to sections, with complaints that name file, line, what is wrong and what to write instead.

Promises: `load` returns settings in which every value has the declared type, or raises ConfigError with all problems
at once; it never guesses. Later sources win: defaults, the file, its includes in order, the environment
(`ESTAFETA__SECTION__NAME=value`). Not here: creating folders, looking at the network.
"""

import glob
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bridge.config.define import Problem, describe
from bridge.config.schema import Settings
from bridge.config.values import did_you_mean, from_text, value_of
from bridge.model.errors import ConfigError
from bridge.model.language import tr

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
            unreadable = tr("cannot be read", "no se puede leer")
            raise ConfigError([f"{path}: {unreadable}: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([tr(
                f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8",
                f"{path}: no es texto UTF-8 (byte {error.start}); guárdelo como UTF-8",
            )]) from error
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
    where = tr(f"line {found[1]}, column {found[2]}: ", f"línea {found[1]}, columna {found[2]}: ") if found else ""
    plain = re.sub(r"\s*\(at [^)]*\)", "", text)
    return where + tr(
        f'not valid TOML: {plain}; text values need quotes ("..."), lists look like ["a", "b"]',
        f'no es TOML válido: {plain}; los textos van entre comillas ("..."), las listas son como ["a", "b"]',
    )


def load(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read `path` and what it includes. Raises ConfigError with every problem found."""
    environ = os.environ if environ is None else environ
    sources = list(_sources(path))
    problems: list[str] = []
    warnings: list[str] = []
    sections: dict[str, Any] = {}
    known: dict[str, Any] = {one.name: one.default_factory for one in fields(Settings)}
    for source in sources:
        for name in source.values:
            if name != "include" and name not in known:
                unknown = tr("unknown section", "sección desconocida")
                problems.append(f"{source.at(name)}: {unknown} [{name}]{did_you_mean(name, known)}")
    for source in sources[1:]:
        if "include" in source.values:
            where = tr(f"works only in {path}", f"solo vale en {path}")
            problems.append(f"{source.at('include')}: include {where}")
    for name, section in known.items():
        given = [(source, source.values[name]) for source in sources if name in source.values]
        sections[name] = _section(name, section, given, environ, path.parent, problems)
    settable = {f"{_PREFIX}{name}__{one.name}".upper() for name, section in known.items() for one in fields(section)}
    for name in environ:
        if name.startswith(_PREFIX) and name not in settable:
            problems.append(tr(
                f"environment variable {name}: no such setting; the form is {_PREFIX}SECTION__NAME",
                f"variable de entorno {name}: no hay tal ajuste; la forma es {_PREFIX}SECCION__NOMBRE",
            ))
    if problems:
        raise ConfigError(problems)
    settings = _resolved(Settings(**sections), path)
    for name in known:
        for problem in _own_problems(getattr(settings, name)):
            place = next((s.at(name, problem.setting) for s in reversed(sources) if name in s.values), str(path))
            (problems if problem.fatal else warnings).append(f"{place}: {name}.{problem.setting}: {problem}")
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
        raise ConfigError([first.at("include") + tr(
            ': include must be a list of file names, like ["conf.d/*.toml"]',
            ': include debe ser una lista de ficheros, como ["conf.d/*.toml"]',
        )])
    for pattern in patterns:
        found = sorted(glob.glob(pattern, root_dir=path.parent))
        if not found and not glob.has_magic(pattern):
            raise ConfigError([first.at("include") + tr(
                f": included file {pattern!r} does not exist", f": el fichero incluido {pattern!r} no existe"
            )])
        yield from (_Source(path.parent / name) for name in found)


def _section(
    name: str, section: Any, given: list[tuple[_Source, Any]], environ: Mapping[str, str], folder: Path,
    problems: list[str],
) -> Any:
    described = {one.name: one for one in describe(section)}
    values: dict[str, Any] = {}
    for source, table in given:
        if not isinstance(table, dict):
            problems.append(source.at(name) + tr(
                f": {name} must be a section: write [{name}] and its settings below it",
                f": {name} debe ser una sección: escriba [{name}] y debajo sus ajustes",
            ))
            continue
        for key, value in table.items():
            place = source.at(name, key)
            if key not in described:
                unknown = tr("unknown setting", "ajuste desconocido")
                problems.append(f"{place}: {unknown} {name}.{key}{did_you_mean(key, described)}")
                continue
            try:
                values[key] = value_of(described[key], value, source.path.parent)
            except ValueError as error:
                problems.append(f"{place}: {name}.{key}: {error}")
    for key, one in described.items():
        variable = f"{_PREFIX}{name}__{key}".upper()
        if variable in environ:
            try:
                values[key] = from_text(environ[variable], one.type, folder)
            except ValueError as error:
                problems.append(f"{tr('environment variable', 'variable de entorno')} {variable}: {error}")
    return section(**values)


def _from(base: Path, name: str) -> str:
    return str(base / name) if name else ""


def _resolved(settings: Settings, path: Path) -> Settings:
    """Paths made absolute, {data} filled in."""
    base = path.resolve().parent
    data = str(base / settings.paths.data)
    changed = {}
    for one in fields(settings.paths):
        text = getattr(settings.paths, one.name)
        changed[one.name] = str(base / text.replace("{data}", data)) if text else ""
    tls = settings.tls
    tls = replace(tls, certificate=_from(base, tls.certificate), key=_from(base, tls.key), more=tuple(
        replace(one, certificate=_from(base, one.certificate), key=_from(base, one.key)) for one in tls.more
    ))
    return replace(settings, paths=replace(settings.paths, **changed), tls=tls)
