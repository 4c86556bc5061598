"""In which language a person at a terminal is spoken to.

Promises: English and Spanish stand side by side where a sentence is written, so that none can be forgotten; the
language is that of LC_ALL, LC_MESSAGES or LANG, as for every other program on the machine. Mails don't ask here: theirs
belongs to who reads them; a page that shows words of the lower floors says whose they are with `speaking`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_spoken: ContextVar[str] = ContextVar("spoken", default="")


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within, the person spoken to is the reader of a page in that language."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def language() -> str:
    """ "es" where the environment asks for Spanish, else "en"; within `speaking` what that says."""
    if _spoken.get():
        return _spoken.get()
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return "es" if os.environ[name].lower().startswith("es") else "en"
    return "en"


def tr(en: str, es: str) -> str:
    return es if language() == "es" else en
