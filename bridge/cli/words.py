"""What the commands say, in the language of the person who typed them.

Promises: English and Spanish stand side by side, so none can be forgotten; the language is that of LC_ALL,
LC_MESSAGES or LANG, as for every other program on the machine.
"""

import os
import sys
from typing import NoReturn


def language() -> str:
    """ "es" where the environment asks for Spanish, else "en"."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return "es" if os.environ[name].lower().startswith("es") else "en"
    return "en"


def tr(en: str, es: str) -> str:
    return es if language() == "es" else en


def say(en: str, es: str) -> None:
    print(tr(en, es))


def fail(en: str, es: str, status: int = 1) -> NoReturn:
    """Say why on standard error and end."""
    print(tr(en, es), file=sys.stderr)
    raise SystemExit(status)
