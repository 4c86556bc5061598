"""What `fetchmailconf` knows, in a terminal and on a page: the questions with their help, and the lines they become.

Promises: one source of questions, explanations and limits for both; `added` and `without` give a file only if
fetchmail's grammar reads in it what was answered, and everything else as before (F55). Pure, but for `tried`, which
logs in and out again.
"""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.accounts import RcFile, of_rc
from bridge.intake.fetch.poller import source_of
from bridge.intake.fetch.probe import Service
from bridge.intake.fetch.source import Limits, Trouble
from bridge.wire.fetchmailrc import Entry, Rc, parse, users_of

PROTOCOLS = ("imap", "pop3", "apop")
ENCRYPTIONS = ("ssl", "starttls", "none")
TRY_SECONDS = 30
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]{0,253})\Z")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,500}\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_USUAL = {("imap", "ssl"): 993, ("pop3", "ssl"): 995, ("imap", ""): 143, ("pop3", ""): 110}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, what a terminal says behind it, and its explanation, English and Spanish; `good` says whether an
    answer can be."""

    name: str
    en: str
    es: str
    more_en: str
    more_es: str
    good: Callable[[str], bool] = lambda text: True
    typed_en: str = ""
    typed_es: str = ""

    def asked(self, language: str) -> str:
        """As a terminal asks it."""
        words, typed = (self.es, self.typed_es) if language == "es" else (self.en, self.typed_en)
        return f"{words} ({typed})" if typed else words

    def title(self, language: str) -> str:
        return self.es if language == "es" else self.en

    def help(self, language: str) -> str:
        return self.more_es if language == "es" else self.more_en

    def accepts(self, text: str) -> bool:
        """An answer that this question can have; no question's answer has control characters."""
        return (not text or _TEXT.match(text) is not None) and self.good(text)


HOST = Question(
    "host", "Mail server", "Servidor de correo",
    "The machine where your mail waits, as your provider names it, for instance imap.example.org.",
    "La máquina donde espera su correo, como la llama su proveedor; por ejemplo, imap.example.org.",
    lambda text: _HOST.match(text) is not None,
)  # fmt: skip
PROTOCOL = Question(
    "protocol", "Protocol", "Protocolo",
    "How to read the mail there. imap knows folders; pop3 is the older one; apop is pop3 without sending the password.",
    "Cómo se lee el correo allí. imap conoce carpetas; pop3 es el más antiguo; apop es pop3 sin enviar la contraseña.",
    lambda text: text in PROTOCOLS, "imap, pop3, apop", "imap, pop3, apop",
)  # fmt: skip
TLS = Question(
    "tls", "Encryption", "Cifrado",
    "ssl: encrypted from the first byte. starttls: begun on the usual port, and required. none: everybody on the way "
    "can read your password.",
    "ssl: cifrado desde el primer byte. starttls: se empieza en el puerto habitual, y es obligatorio. none: cualquiera "
    "en el camino puede leer su contraseña.",
    lambda text: text in ENCRYPTIONS, "ssl, starttls, none", "ssl, starttls, none",
)  # fmt: skip
PORT = Question(
    "port", "Port", "Puerto",
    "The number of the service there; 0 is the usual one for protocol and encryption.",
    "El número del servicio; 0 es el habitual para el protocolo y el cifrado.",
    lambda text: _NUMBER.match(text) is not None and int(text) < 65536,
)  # fmt: skip
USER = Question(
    "user", "User name there", "Usuario remoto",
    "The name that you log in with on that server; often your whole address.",
    "El nombre con que entra en ese servidor; a menudo, su dirección completa.",
    bool,
)  # fmt: skip
SECRET = Question(
    "password", "Password there", "Contraseña remota",
    "It is kept in the file, which only you can read.",
    "Se guarda en el fichero, que solo usted puede leer.",
    bool, "not shown", "no se muestra",
)  # fmt: skip
KEEP = Question(
    "keep", "Leave the mail there, too", "Dejar también allí el correo",
    "With yes the mail stays there, and nothing is collected twice. With no each message is deleted there once it is "
    "safe here.",
    "Con sí, el correo se queda allí y nada se recoge dos veces. Con no, cada mensaje se borra allí cuando aquí está a "
    "salvo.",
    lambda text: True, "y, n", "s, n",
)  # fmt: skip
LOCAL = Question(
    "local", "Local user that gets the mail", "Usuario local que recibe el correo",
    "Empty: whoever runs fetchmail with this file. Only the administrator's file may name others.",
    "Vacío: quien ejecuta fetchmail con este fichero. Solo el del administrador puede nombrar a otros.",
)  # fmt: skip
FOLDER = Question(
    "folder", "Folder there", "Carpeta remota",
    "Of an IMAP server; empty is the inbox.", "De un servidor IMAP; vacío es la bandeja de entrada.",
)  # fmt: skip
LIMIT = Question(
    "limit", "Largest message, bytes", "Mensaje más grande, bytes",
    "Larger ones stay there, and you are told. 0: no limit.",
    "Los mayores se quedan allí y se le avisa. 0: sin límite.",
    lambda text: _NUMBER.match(text) is not None,
)  # fmt: skip
FINGERPRINT = Question(
    "fingerprint", "Fingerprint of its certificate", "Huella de su certificado",
    "For a server whose certificate nobody vouches for: only this one is trusted then. Empty: the usual check.",
    "Para un servidor cuyo certificado nadie avala: entonces solo se confía en este. Vacío: la comprobación habitual.",
    lambda text: not text.replace(":", "").strip("0123456789abcdefABCDEF"),
)  # fmt: skip
QUESTIONS = (HOST, PROTOCOL, TLS, PORT, USER, SECRET, FOLDER, LIMIT, FINGERPRINT)


@dataclass(frozen=True, slots=True)
class Answers:
    """One account as it was answered, numbers as they were typed."""

    host: str = ""
    protocol: str = "imap"
    tls: str = "ssl"
    port: str = "0"
    user: str = ""
    password: str = ""
    keep: bool = True
    local: str = ""
    folder: str = ""
    limit: str = "0"
    fingerprint: str = ""


def wrong(answers: Answers, rc: Rc) -> list[Question]:
    """The questions whose answers can't be; a user that the file has already is wrong, too."""
    bad = [one for one in QUESTIONS if not one.accepts(getattr(answers, one.name))]
    if answers.user in taken(rc, answers.host) and USER not in bad:
        bad.append(USER)
    return bad


def taken(rc: Rc, host: str) -> set[str]:
    """Users of that server whom the file has."""
    return {user.name for entry, user in users_of(rc) if entry.name == host}


def kind_of(protocol: str) -> str:
    return "imap" if protocol == "imap" else "pop3"


def chosen(found: Collection[Service], protocol: str, tls: str) -> Service | None:
    """The service that was found for these."""
    return next((one for one in found if (one.protocol, one.tls) == (kind_of(protocol), tls)), None)


def lines(answers: Answers) -> str:
    """What is added to the file."""
    words = [f"user {_quoted(answers.user)} password {_quoted(answers.password)}"]
    words += {"ssl": ["ssl"], "none": ["sslproto ''"]}.get(answers.tls, [])
    words += ["keep"] if answers.keep else []
    words += [f"is {_quoted(answers.local)} here"] if answers.local else []
    words += [f"folder {_quoted(answers.folder)}"] if answers.folder and answers.protocol == "imap" else []
    words += [f"limit {int(answers.limit)}"] if int(answers.limit) else []
    words += [f"sslfingerprint {_quoted(answers.fingerprint)}"] if answers.fingerprint else []
    port = int(answers.port)
    usual = _USUAL[kind_of(answers.protocol), "ssl" if answers.tls == "ssl" else ""]
    where = f" port {port}" if port and port != usual else ""
    name = answers.host if ":" not in answers.host else _quoted(answers.host)
    return f"poll {name} proto {answers.protocol}{where}\n    {' '.join(words)}\n"


def _quoted(text: str) -> str:
    """A word of the file; a quotation mark as a number, which fetchmail reads better than its own escape."""
    return '"' + text.replace("\\", "\\\\").replace('"', "\\042") + '"'


class Swallowed(Exception):
    """The file can't take the change: what is around it would be read otherwise than before."""


def added(text: str, rc: Rc, new: str) -> tuple[str, Entry]:
    """(the whole file with the new lines, what they are read as). RcError, Swallowed."""
    whole = text + ("\n" if text and not text.endswith("\n") else "") + new
    after = parse(whole)
    if len(after.entries) != len(rc.entries) + 1 or after.entries[:-1] != rc.entries:
        raise Swallowed
    return whole, after.entries[-1]


def without(text: str, rc: Rc, number: int) -> str:
    """The file without its entry of that number. RcError, Swallowed, IndexError."""
    gone = rc.entries[number]
    rows = text.splitlines(keepends=True)
    last = rc.entries[number + 1].line if number + 1 < len(rc.entries) else len(rows) + 1
    whole = "".join(rows[: gone.line - 1] + rows[last - 1 :])
    wanted = (*rc.entries[:number], *rc.entries[number + 1 :])
    if list(map(_unplaced, parse(whole).entries)) != list(map(_unplaced, wanted)):
        raise Swallowed
    return whole


def _unplaced(entry: Entry) -> Entry:
    """Wherever it stands."""
    return replace(entry, line=0, users=tuple(replace(user, line=0) for user in entry.users))


def hidden(text: str) -> str:
    """The lines as they may be shown."""
    return re.sub(r'password "(?:[^"\\]|\\.)*"', 'password "***"', text)


def tried(rc: Rc, owner: str, reach: Collection[str] = ()) -> str:
    """Log in as the first account of these entries says, and out again: what went wrong, "" if it works."""
    accounts, problems = of_rc(RcFile(Path("-"), owner, lambda name: name, TRY_SECONDS), rc)
    if not accounts:
        return "\n".join(str(one) for one in problems)
    return tried_account(replace(accounts[0], reach=tuple(reach)))


def tried_account(account: FetchAccount) -> str:
    """The same for an account."""
    source = source_of(account, Limits(0, time.monotonic() + TRY_SECONDS * 2))
    try:
        source.open()
    except Trouble as error:
        return str(error)
    finally:
        source.close()
    return ""
