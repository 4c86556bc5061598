"""How a setting is described: default, one line of help in English and Spanish, all in one place.

Promises: `setting()` is the only way a section gets a field, so the example file, the reference page and the checks
are made from the same words.
"""
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_type_hints


def setting(default: Any, help: str, *, es: str, secret: bool = False, example: bool = False) -> Any:
    """A field of a section. `help`, `es`: one line each; `secret`: may be given as a file or a command and is never
    shown; `example`: belongs in the short example file (everything is in the reference)."""
    metadata = {"help": help, "es": es, "secret": secret, "example": example}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as the checks and the pages see it."""

    name: str
    type: Any
    default: Any
    help: str
    es: str
    secret: bool
    example: bool


def describe(section: type) -> list[Described]:
    """The settings of a section class in the order of their definition."""
    hints = get_type_hints(section)
    found = []
    for one in fields(section):
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        meta = one.metadata
        described = Described(
            one.name, hints[one.name], default, meta["help"], meta["es"], meta["secret"], meta["example"]
        )
        found.append(described)
    return found
