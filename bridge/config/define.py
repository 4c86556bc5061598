"""How a setting is described: default, one line of help in English and Spanish, all in one place.

Promises: `setting()` is the only way a section gets a field, so the example file, the reference page and the checks
are made from the same words.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Protocol, get_type_hints

from bridge.model.language import tr


def setting(default: Any, help: str, *, es: str, secret: bool = False, example: Any = None) -> Any:
    """A field of a section. `help`, `es`: one line each; `secret`: may be given as a file or a command and is never
    shown; `example`: the value that the short example file shows (True on a field that is no bool: its default);
    without it the setting is only in the reference."""
    metadata = {"help": help, "es": es, "secret": secret, "example": example}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as the checks and the pages see it. `example` is None where the example file leaves it out."""

    name: str
    type: Any
    default: Any
    help: str
    es: str
    secret: bool
    example: Any


def describe(section: type) -> list[Described]:
    """The settings of a section class in the order of their definition."""
    hints = get_type_hints(section)
    found = []
    for one in fields(section):
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        meta = one.metadata
        example = default if meta["example"] is True and hints[one.name] is not bool else meta["example"]
        described = Described(one.name, hints[one.name], default, meta["help"], meta["es"], meta["secret"], example)
        found.append(described)
    return found


@dataclass(frozen=True, slots=True)
class Problem:
    """What a section finds wrong with its own values. `fatal` keeps the service from starting, the rest warns."""

    setting: str
    text: str
    es: str
    fatal: bool = True

    def __str__(self) -> str:
        return tr(self.text, self.es)


class Checked(Protocol):
    """A section that looks at its own values: `problems()` yields what is wrong or dangerous."""

    def problems(self) -> Iterator[Problem]: ...
