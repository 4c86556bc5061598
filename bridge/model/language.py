"""In which language a person at a terminal is spoken to.

Promises: English and Spanish stand side by side where a sentence is written, so that none can be forgotten; the
language is that of LC_ALL, LC_MESSAGES or LANG, as for every other program on the machine. Mails and pages don't ask
here: theirs belongs to who reads them.
"""

import os


def language() -> str:
    """ "es" where the environment asks for Spanish, else "en"."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return "es" if os.environ[name].lower().startswith("es") else "en"
    return "en"


def tr(en: str, es: str) -> str:
    return es if language() == "es" else en
