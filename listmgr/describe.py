"""How an option is described: its kind, what it may be, how a person writes it down.

Promises: pure; each description says what is wrong with a value in both languages; `read` turns what was typed in a
form or a `config_list` file into a value, or says why it can't. Fails by: Wrong, which names every field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.wire.addresses import valid_domain
from listmgr.addresses import valid

Words = tuple[str, str]  # English, Spanish
MAX_TEXT = 20_000  # characters of a text
MAX_LINE = 300
MAX_LIST = 1000  # addresses or patterns of one option
MAX_NUMBER = 10_000_000


class Wrong(ValueError):
    """Values that are not accepted: option name to what is wrong with it, in both languages."""

    def __init__(self, problems: Mapping[str, Words]) -> None:
        self.problems = dict(problems)
        super().__init__(self.lines("en"))

    def lines(self, language: str) -> str:
        at = 1 if language == "es" else 0
        return "\n".join(f"{name}: {words[at]}" for name, words in self.problems.items())


def option(
    default: Any, category: str, help: str, es: str, *, choices: tuple[str, ...] = (), kind: str = "", most: int = 0
) -> Any:
    """A field of `Options`. `kind`: line text number yesno choice address domain suffix addresses patterns flags; ""
    follows from the default. `most`: the largest number."""
    if not kind:
        kind = "choice" if choices else {bool: "yesno", int: "number", str: "line", tuple: "addresses"}[type(default)]
    about = {"category": category, "help": help, "es": es, "choices": choices, "kind": kind, "most": most or MAX_NUMBER}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class Option:
    """One option as pages, `config_list` and checks see it."""

    name: str
    category: str
    kind: str
    default: Any
    choices: tuple[str, ...]
    help: str
    es: str
    most: int

    def about(self, language: str) -> str:
        return self.es if language == "es" else self.help

    def problem(self, value: Any) -> Words | None:
        """What is wrong with a value."""
        if type(value) is not type(self.default):
            return _needs(value, type(self.default))
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return _number(value, self.most)
        return _list(self, value) if isinstance(value, tuple) else _text(self, value)

    def read(self, typed: str) -> Any:
        """The value that somebody typed into a form. Wrong."""
        if self.kind == "yesno":
            if typed not in ("yes", "no"):
                raise Wrong({self.name: _needs(typed, bool)})
            return typed == "yes"
        if self.kind == "number":
            if not (typed.strip().isascii() and typed.strip().isdigit() and len(typed.strip()) < 12):
                raise Wrong({self.name: _needs(typed, int)})
            return int(typed)
        if self.kind in ("addresses", "patterns"):
            return tuple(dict.fromkeys(line.strip() for line in typed.splitlines() if line.strip()))
        if self.kind == "text":
            return typed.replace("\r\n", "\n").strip("\n")
        return typed.strip()


def _needs(value: Any, kind: type) -> Words:
    english = {bool: "yes or no", int: "number", str: "text", tuple: "list"}[kind]
    spanish = {bool: "sí o no", int: "un número", str: "un texto", tuple: "una lista"}[kind]
    shown = repr(value)[:80]
    return f"{shown} is no {english}", f"{shown} no es {spanish}"


def _number(value: int, most: int) -> Words | None:
    if value < 0:
        return "must not be negative", "no puede ser negativo"
    return (f"at most {most}", f"como mucho {most}") if value > most else None


def _list(about: Option, value: tuple[Any, ...]) -> Words | None:
    if len(value) > MAX_LIST or not all(isinstance(one, str) and one.isprintable() for one in value):
        return f"at most {MAX_LIST} lines of plain text", f"como mucho {MAX_LIST} líneas de texto"
    if about.kind == "flags" and not set(value) <= set(about.choices):
        names = ", ".join(about.choices)
        return f"{', '.join(value)}: only {names}", f"{', '.join(value)}: solo {names}"
    if about.kind == "addresses":
        bad = [one for one in value if not valid(one)]
        return _address(bad[0]) if bad else None
    if about.kind == "patterns":
        bad = [one for one in value if "@" not in one or " " in one or len(one) > 320]
        return _pattern(bad[0]) if bad else None
    return None


def _text(about: Option, value: str) -> Words | None:
    if about.kind == "choice" and value not in about.choices:
        names = ", ".join(about.choices)
        return f"{value[:80]!r} is none of {names}", f"{value[:80]!r} no es ninguno de {names}"
    if about.kind == "text":
        return (
            (f"at most {MAX_TEXT} characters", f"como mucho {MAX_TEXT} caracteres") if len(value) > MAX_TEXT else None
        )
    if not value.isprintable() or len(value) > MAX_LINE:
        return (
            f"one line of at most {MAX_LINE} characters, without control characters",
            f"una línea de como mucho {MAX_LINE} caracteres, sin caracteres de control",
        )
    if about.kind == "address" and value and not valid(value):
        return _address(value)
    if about.kind == "domain" and value and not ("." in value and valid_domain(value)):
        return f"no mail domain: {value[:80]!r}", f"no es un dominio de correo: {value[:80]!r}"
    if about.kind == "suffix" and value and not valid(f"list{value}@example.org"):
        return f"can't end the name of an address: {value[:80]!r}", f"no puede acabar una dirección: {value[:80]!r}"
    return None


def _address(value: str) -> Words:
    return f"no address: {value[:80]!r}", f"no es una dirección: {value[:80]!r}"


def _pattern(value: str) -> Words:
    return (
        f"no address or pattern (for instance *@example.org): {value[:80]!r}",
        f"no es una dirección ni un patrón (por ejemplo *@example.org): {value[:80]!r}",
    )
