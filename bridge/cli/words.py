"""What the commands say, in the language of the person who typed them.

Promises: English and Spanish stand side by side, so none can be forgotten.
"""

import sys
from typing import NoReturn

from bridge.model.language import language, tr

__all__ = ["fail", "language", "say", "tr"]


def say(en: str, es: str) -> None:
    print(tr(en, es))


def fail(en: str, es: str, status: int = 1) -> NoReturn:
    """Say why on standard error and end."""
    print(tr(en, es), file=sys.stderr)
    raise SystemExit(status)
