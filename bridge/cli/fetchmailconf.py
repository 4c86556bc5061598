"""`fetchmailconf`: asks for an account, tries it, and writes it into `~/.fetchmailrc` (F55).

Promises: what was in the file stays there, byte for byte; nothing is written before the end, and only what the file's
grammar reads as what was answered; the file is its owner's alone (0600). `?` explains each question, in English or
Spanish; the end of the input, or the interrupt key, leaves everything as it was.
"""

import getpass
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge.cli import fetchmailprobe
from bridge.cli.fetchmailjob import caller
from bridge.cli.fetchmailpoll import owned
from bridge.cli.parser import Parser
from bridge.cli.words import fail, say, tr
from bridge.model.errors import StoreError
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.wire.fetchmailrc import Entry, Rc, RcError, parse, users_of

WRITE = Failpoint("fetchmailconf.write", "a user's .fetchmailrc")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]{0,253})\Z")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,500}\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_YES = ("y", "yes", "s", "si", "sí")
_NO = ("n", "no")


@dataclass(frozen=True, slots=True)
class Question:
    """Question and explanation, English and Spanish."""

    en: str
    es: str
    more_en: str
    more_es: str


HOST = Question(
    "Mail server", "Servidor de correo",
    "The machine where your mail waits, as your provider names it, for instance imap.example.org.",
    "La máquina donde espera su correo, como la llama su proveedor; por ejemplo, imap.example.org.",
)  # fmt: skip
PROTOCOL = Question(
    "Protocol (imap, pop3, apop)", "Protocolo (imap, pop3, apop)",
    "How to read the mail there. imap knows folders; pop3 is the older one; apop is pop3 without sending the password.",
    "Cómo se lee el correo allí. imap conoce carpetas; pop3 es el más antiguo; apop es pop3 sin enviar la contraseña.",
)  # fmt: skip
TLS = Question(
    "Encryption (ssl, starttls, none)", "Cifrado (ssl, starttls, none)",
    "ssl: encrypted from the first byte. starttls: begun on the usual port, and required. none: everybody on the way "
    "can read your password.",
    "ssl: cifrado desde el primer byte. starttls: se empieza en el puerto habitual, y es obligatorio. none: cualquiera "
    "en el camino puede leer su contraseña.",
)  # fmt: skip
PORT = Question(
    "Port", "Puerto",
    "The number of the service there; 0 is the usual one for protocol and encryption.",
    "El número del servicio; 0 es el habitual para el protocolo y el cifrado.",
)  # fmt: skip
USER = Question(
    "User name there", "Usuario remoto",
    "The name that you log in with on that server; often your whole address.",
    "El nombre con que entra en ese servidor; a menudo, su dirección completa.",
)  # fmt: skip
SECRET = Question(
    "Password there (not shown)", "Contraseña remota (no se muestra)",
    "It is kept in the file, which only you can read.",
    "Se guarda en el fichero, que solo usted puede leer.",
)  # fmt: skip
KEEP = Question(
    "Leave the mail there, too (y, n)", "Dejar también allí el correo (s, n)",
    "n: each message is deleted there once it is safe here. y: it stays there; nothing is collected twice.",
    "n: cada mensaje se borra allí cuando aquí está a salvo. s: se queda allí; nada se recoge dos veces.",
)  # fmt: skip
LOCAL = Question(
    "Local user that gets the mail", "Usuario local que recibe el correo",
    "Empty: whoever runs fetchmail with this file. Only the administrator's file may name others.",
    "Vacío: quien ejecuta fetchmail con este fichero. Solo el del administrador puede nombrar a otros.",
)  # fmt: skip
FOLDER = Question(
    "Folder there", "Carpeta remota",
    "Of an IMAP server; empty is the inbox.", "De un servidor IMAP; vacío es la bandeja de entrada.",
)  # fmt: skip
LIMIT = Question(
    "Largest message, bytes", "Mensaje más grande, bytes",
    "Larger ones stay there, and you are told. 0: no limit.",
    "Los mayores se quedan allí y se le avisa. 0: sin límite.",
)  # fmt: skip
FINGERPRINT = Question(
    "Fingerprint of its certificate", "Huella de su certificado",
    "For a server whose certificate nobody vouches for: only this one is trusted then. Empty: the usual check.",
    "Para un servidor cuyo certificado nadie avala: entonces solo se confía en este. Vacío: la comprobación habitual.",
)  # fmt: skip


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
    new = _entry(rc, expert=expert)
    whole = text + ("\n" if text and not text.endswith("\n") else "") + new
    entry = _checked(rc, whole)
    if not _tried(entry) and not _yes(tr("Write it all the same (y, n)", "Escribirlo de todos modos (s, n)"), "n"):
        fail(f"Nothing was written; {path} is as it was.", f"No se ha escrito nada; {path} sigue como estaba.")
    try:
        files.replace(path, whole.encode("utf-8", "surrogateescape"), WRITE)
    except (OSError, StoreError) as error:
        fail(f"{path}: {error}; nothing was written", f"{path}: {error}; no se ha escrito nada")
    say(f"{path} now ends with:", f"{path} termina ahora así:")
    print(re.sub(r'password "(?:[^"\\]|\\.)*"', 'password "***"', new), end="")
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


def _checked(before: Rc, whole: str) -> Entry:
    """The new entry, as the file that would be written is read: one entry more than before."""
    try:
        after = parse(whole)
    except RcError as error:
        fail(
            f"line {error.line}: {error}; nothing was written", f"línea {error.line}: {error.es}; no se ha escrito nada"
        )
    if after.entries[:-1] != before.entries:
        fail("The file's end swallows the new entry; nothing was written.",
             "El final del fichero se traga la entrada nueva; no se ha escrito nada.")  # fmt: skip
    return after.entries[-1]


# ---- questions


def _ask(question: Question, default: str = "", good: Callable[[str], bool] = lambda text: True) -> str:
    """An answer that is `good`."""
    words = tr(question.en, question.es) + (f" [{default}]" if default else "") + ": "
    while True:
        hidden = question is SECRET and sys.stdin.isatty()
        text = getpass.getpass(words) if hidden else input(words)
        if text.strip() == "?":
            say(question.more_en, question.more_es)
            continue
        text = (text if question is SECRET else text.strip()) or default
        if (not text or _TEXT.match(text)) and good(text):
            return text
        say("That can't be: " + question.more_en, "Eso no puede ser: " + question.more_es)


def _yes(words: str, default: str) -> bool:
    question = Question(words, words, "y / n", "s / n")
    return _ask(question, default, lambda text: text.lower() in (*_YES, *_NO)).lower() in _YES


def _entry(rc: Rc, *, expert: bool) -> str:
    """The new lines of the file."""
    host = _ask(HOST, good=lambda text: bool(_HOST.match(text)))
    found = _probed(host)
    best = found[0] if found else fetchmailprobe.Service("imap", 0, "ssl")
    protocol = _ask(PROTOCOL, best.protocol, lambda text: text in ("imap", "pop3", "apop"))
    kind = "imap" if protocol == "imap" else "pop3"
    best = next((one for one in found if one.protocol == kind), best._replace(port=0))
    tls = _ask(TLS, best.tls, lambda text: text in ("ssl", "starttls", "none"))
    best = next((one for one in found if (one.protocol, one.tls) == (kind, tls)), best._replace(port=0))
    port = str(best.port)
    if expert or not best.port:
        port = _ask(PORT, port, lambda text: bool(_NUMBER.match(text)) and int(text) < 65536)
    taken = {user.name for entry, user in users_of(rc) if entry.name == host}
    user = _ask(USER, good=lambda text: bool(text) and text not in taken)
    password = _ask(SECRET, good=bool)
    words = [f"user {_quoted(user)} password {_quoted(password)}"]
    words += {"ssl": ["ssl"], "none": ["sslproto ''"]}.get(tls, [])
    words += ["keep"] if _ask(KEEP, "n", lambda text: text.lower() in (*_YES, *_NO)).lower() in _YES else []
    local = _ask(LOCAL)
    words += [f"is {_quoted(local)} here"] if local else []
    words += _expert(protocol) if expert else []
    usual = {("imap", "ssl"): 993, ("pop3", "ssl"): 995, ("imap", ""): 143, ("pop3", ""): 110}
    unusual = int(port) and int(port) != usual[kind, "ssl" if tls == "ssl" else ""]
    where = f" port {port}" if unusual else ""
    name = host if _HOST.match(host) and ":" not in host else _quoted(host)
    return f"poll {name} proto {protocol}{where}\n    {' '.join(words)}\n"


def _expert(protocol: str) -> list[str]:
    words = []
    if protocol == "imap" and (folder := _ask(FOLDER)):
        words.append(f"folder {_quoted(folder)}")
    limit = _ask(LIMIT, "0", lambda text: bool(_NUMBER.match(text)))
    words += [f"limit {limit}"] if int(limit) else []
    fingerprint = _ask(FINGERPRINT, good=lambda text: not text.replace(":", "").strip("0123456789abcdefABCDEF"))
    return words + ([f"sslfingerprint {_quoted(fingerprint)}"] if fingerprint else [])


def _quoted(text: str) -> str:
    """A word of the file; a quotation mark as a number, which fetchmail reads better than its own escape."""
    return '"' + text.replace("\\", "\\\\").replace('"', "\\042") + '"'


# ---- the server


def _probed(host: str) -> list[fetchmailprobe.Service]:
    say("Looking what it offers ...", "Mirando qué ofrece ...")
    try:
        found = fetchmailprobe.probe(host)
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
    from bridge.intake.fetch.accounts import RcFile, of_rc
    from bridge.intake.fetch.poller import source_of
    from bridge.intake.fetch.source import Limits, Trouble

    say("Trying to log in ...", "Probando a entrar ...")
    rc = owned(Rc((entry,)), caller().login)
    accounts, problems = of_rc(RcFile(Path("-"), "", lambda name: name, 300), rc)
    if not accounts:
        print("\n".join(problems))
        return False
    source = source_of(accounts[0], Limits(0, time.monotonic() + 60))
    try:
        source.open()
    except Trouble as error:
        print(f"  {error}")
        return False
    finally:
        source.close()
    say("  It works.", "  Funciona.")
    return True
