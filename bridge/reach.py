"""Can the users that our processes become read Python and this program? Where they can't, what can be done is done.

Python loads modules when they are first used: codecs when a letter comes in them, classes of DNS records, parts of
libraries. A process that was root and is somebody else now can't, if Python lies in a folder of root's (/root/.pyenv).
Promises: before such a change of user `everything` has been loaded that may be wanted later; templates, which are
files, can't be loaded ahead, so where they are out of reach the start is refused. Where Python can be read nothing is
done.
Fails by: ConfigError that says where to install.
"""

import importlib
import logging
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterable, Iterator

import templates
from bridge.model.errors import ConfigError
from bridge.model.language import tr
from bridge.rights import Rights, User, acting_as

log = logging.getLogger("estafeta")

# libraries that load parts of themselves, or are loaded, at first use
_WHOLE = (
    "encodings", "dns", "anyio", "h11", "jinja2", "starlette", "uvicorn.protocols", "uvicorn.lifespan", "apscheduler",
    "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "imapclient", "idna", "email", "asyncio",
    "cryptography.hazmat", "cryptography.x509", "psycopg", "psycopg_binary", "bridge",
    "listmgr",
)  # fmt: skip
_SINGLE = (
    "_strptime", "stringprep", "locale", "difflib", "linecache", "tokenize", "traceback", "importlib.metadata",
    "importlib.resources", "sqlite3.dump", "subprocess", "ipaddress", "concurrent.futures.thread",
    "concurrent.futures.process",
)  # fmt: skip
_NOT = ("__main__", "testclient", "livetest", "interact", "pytest_plugin", "testing", "trio", "windows")
_done = False


def ensure(rights: Rights) -> str:
    """Call it before any process becomes one of these users; what the administrator should hear, empty if nothing.
    ConfigError where it would be in vain."""
    told = ""
    for user in dict.fromkeys((rights.user, rights.smtp)):
        if user is None:
            continue
        if closed := first_closed(user, templates.__path__):
            raise ConfigError([_refusal(closed, user)])
        if closed := first_closed(user, _python()):
            everything()
            told = _warning(closed, user)
    return told


def _python() -> list[str]:
    """Where Python's own modules and the libraries are."""
    return [path for path in dict.fromkeys([os.path.dirname(os.__file__), *sys.path]) if os.path.isdir(path)]


def first_closed(user: User, folders: Iterable[str]) -> str:
    """The first of these folders that `user` can't list; empty if there is none."""
    with acting_as(user):
        return next((folder for folder in folders if not _open(folder)), "")


def _open(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return all(one.stat() for one in list(entries)[:1])
    except OSError:
        return False


def everything() -> None:
    """Load what may be wanted later. Takes about a second, once."""
    global _done
    if _done:
        return
    _done = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*_SINGLE, *_names()):
            try:
                importlib.import_module(name)
            except Exception:
                log.debug("%s is not there", name)      # for another system, or without a library that is optional


def _names() -> Iterator[str]:
    for name in _WHOLE:
        try:
            package = importlib.import_module(name)
        except ImportError:
            continue
        for found in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=lambda name: None):
            if not any(word in found.name.rpartition(".")[2] for word in _NOT):
                yield found.name


def _refusal(closed: str, user: User) -> str:
    return tr(
        f"{closed} can't be read by uid {user.uid}, and the templates of pages and mails are there: "
        "install Estafeta where every user can read it, for instance `python3 -m venv /opt/estafeta`",
        f"{closed} no es legible para el uid {user.uid}, y ahí están las plantillas: instale Estafeta "
        "donde todos puedan leerla, por ejemplo `python3 -m venv /opt/estafeta`",
    )


def _warning(closed: str, user: User) -> str:
    return tr(
        f"Python's folder {closed} can't be read by uid {user.uid}; all that is known to be needed was "
        "loaded ahead. Better: a Python that every user can read, for instance Debian's python3-venv in /opt/estafeta",
        f"la carpeta de Python {closed} no es legible para el uid {user.uid}; se ha cargado de antemano "
        "lo que se sabe que hace falta. Mejor: un Python legible para todos, p. ej. el python3-venv de Debian en "
        "/opt/estafeta",
    )
