"""`fetchmailconf`: asks for an account, tries it, and writes it into `~/.fetchmailrc` (F55).

Promises: what was in the file stays there, byte for byte; nothing is written before the end, and only what the file's
grammar reads as what was answered; the file is its owner's alone (0600). `?` explains each question, in English or
Spanish; the end of the input, or the interrupt key, leaves everything as it was.
"""

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bridge.cli.fetchmailjob import caller
from bridge.cli.fetchmailpoll import owned
from bridge.cli.parser import Parser
from bridge.cli.words import fail, say, tr
from bridge.intake.fetch import probe, wizard
from bridge.intake.fetch.wizard import SECRET, Answers, Question
from bridge.model.errors import StoreError
from bridge.model.language import language
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.wire.fetchmailrc import Entry, Rc, RcError, parse, users_of

WRITE = Failpoint("fetchmailconf.write", "a user's .fetchmailrc")
_YES = ("y", "yes", "s", "si", "sí")
_NO = ("n", "no")


def fetchmailconf(arguments: list[str]) -> None:
    """The wizard; exit status 0 if something was written."""
    arg = Parser(
        prog="fetchmailconf",
        description=tr("Writes ~/.fetchmailrc with you.", "Escribe ~/.fetchmailrc con usted."),
    )
    arg.add_argument("-f", "--fetchmailrc", metavar="FILE", help=tr("another file", "otro fichero"))
    arg.add_argument("--expert", action="store_true", help=tr("ask for more", "preguntar más"))
    given = arg.parse_args(arguments)
    path = Path(os.path.realpath(given.fetchmailrc or caller().rcfile))
    try:
        _run(path, expert=given.expert)
    except (EOFError, KeyboardInterrupt):
        print()
        fail(f"Nothing was written; {path} is as it was.", f"No se ha escrito nada; {path} sigue como estaba.")


def _run(path: Path, *, expert: bool) -> None:
    text, rc = _present(path)
    for entry, user in users_of(rc):
        say(f"There already: {user.name}@{entry.name}", f"Ya está: {user.name}@{entry.name}")
    say("An empty answer takes what is in brackets; ? explains.", "Sin respuesta vale lo que va entre []; ? explica.")
    new = wizard.lines(_answers(rc, expert=expert))
    whole, entry = _checked(text, rc, new)
    if not _tried(entry) and not _yes(tr("Write it all the same (y, n)", "Escribirlo de todos modos (s, n)"), "n"):
        fail(f"Nothing was written; {path} is as it was.", f"No se ha escrito nada; {path} sigue como estaba.")
    try:
        files.replace(path, whole.encode("utf-8", "surrogateescape"), WRITE)
    except (OSError, StoreError) as error:
        fail(f"{path}: {error}; nothing was written", f"{path}: {error}; no se ha escrito nada")
    say(f"{path} now ends with:", f"{path} termina ahora así:")
    print(wizard.hidden(new), end="")
    say("Collect with: fetchmail", "Para recoger: fetchmail")


def _present(path: Path) -> tuple[str, Rc]:
    """What is in the file; the end of the command where it can't be read."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return text, parse(text)
    except FileNotFoundError:
        return "", Rc()
    except OSError as error:
        fail(f"{path}: {error.strerror}", f"{path}: {error.strerror}")
    except RcError as error:
        fail(
            f"{path}:{error.line}: {error}; mend that line first, nothing was written",
            f"{path}:{error.line}: {error.es}; corrija antes esa línea, no se ha escrito nada",
        )


def _checked(text: str, rc: Rc, new: str) -> tuple[str, Entry]:
    """The whole file and the new entry, as the file that would be written is read."""
    try:
        return wizard.added(text, rc, new)
    except RcError as error:
        fail(f"line {error.line}: {error}; nothing was written", f"línea {error.line}: {error}; no se ha escrito nada")
    except wizard.Swallowed:
        fail("The file's end swallows the new entry; nothing was written.",
             "El final del fichero se traga la entrada nueva; no se ha escrito nada.")  # fmt: skip


# ---- questions


def _ask(question: Question, default: str = "", good: Callable[[str], bool] = lambda text: True) -> str:
    """An answer that the question accepts and that is `good`."""
    words = question.asked(language()) + (f" [{default}]" if default else "") + ": "
    while True:
        hidden = question is SECRET and sys.stdin.isatty()
        text = getpass.getpass(words) if hidden else input(words)
        if text.strip() == "?":
            print(question.help(language()))
            continue
        text = (text if question is SECRET else text.strip()) or default
        if question.accepts(text) and good(text):
            return text
        say("That can't be: " + question.more_en, "Eso no puede ser: " + question.more_es)


def _is_yes(text: str) -> bool:
    return text.lower() in _YES


def _yes_or_no(text: str) -> bool:
    return text.lower() in (*_YES, *_NO)


def _yes(words: str, default: str) -> bool:
    return _is_yes(_ask(Question("yes", words, words, "y / n", "s / n"), default, _yes_or_no))


def _answers(rc: Rc, *, expert: bool) -> Answers:
    """The new account, question by question."""
    host = _ask(wizard.HOST)
    found = _probed(host)
    best = found[0] if found else probe.Service("imap", 0, "ssl")
    protocol = _ask(wizard.PROTOCOL, best.protocol)
    kind = wizard.kind_of(protocol)
    best = next((one for one in found if one.protocol == kind), best)
    tls = _ask(wizard.TLS, best.tls)
    service = wizard.chosen(found, protocol, tls)
    port = str(service.port if service else 0)
    if expert or service is None:
        port = _ask(wizard.PORT, port)
    taken = wizard.taken(rc, host)
    user = _ask(wizard.USER, good=lambda text: text not in taken)
    password = _ask(SECRET)
    keep = _is_yes(_ask(wizard.KEEP, "n", _yes_or_no))
    answers = Answers(host, protocol, tls, port, user, password, keep, _ask(wizard.LOCAL))
    if not expert:
        return answers
    folder = _ask(wizard.FOLDER) if kind == "imap" else ""
    return replace(answers, folder=folder, limit=_ask(wizard.LIMIT, "0"), fingerprint=_ask(wizard.FINGERPRINT))


# ---- the server


def _probed(host: str) -> list[probe.Service]:
    say("Looking what it offers ...", "Mirando qué ofrece ...")
    try:
        found = probe.probe(host)
    except (OSError, UnicodeError):
        say(f"Nobody knows a machine {host} just now.", f"Nadie conoce ahora una máquina {host}.")
        return []
    for one in found:
        print(f"  {one.protocol} {one.port} {one.tls}")
    if not found:
        say("Nothing answers at the usual ports.", "Nada responde en los puertos habituales.")
    return found


def _tried(entry: Entry) -> bool:
    """Log in as the new lines say, and out again."""
    say("Trying to log in ...", "Probando a entrar ...")
    problem = wizard.tried(owned(Rc((entry,)), caller().login), "")
    if problem:
        print(f"  {problem}")
        return False
    say("  It works.", "  Funciona.")
    return True
