"""The language of /etc/aliases: names on the left, where their mail goes on the right.

Promises: pure, text in, entries and complaints out; never raises, whatever the text. A complaint says file, line, what
is wrong and what to write. A name whose right side can't be read is kept as an entry that defers, so that its mail
waits for the correction instead of bouncing. Programs are taken apart into arguments here; no shell will ever see them
(sec-D01).

    name: user, other@example.org       continuation lines start with a blank; names are case-folded
    "first last": user                  quotes where a name or a target has blanks, commas or a hash
    user@virtual.example: ana           full addresses; @virtual.example: and *: are catch-alls
    name: /var/mail/file                append to a file; /dev/null drops
    name: |/usr/bin/program arguments   also "|program a, b", |"program a, b", | program
    name: :include:/etc/mail/members    addresses from a file, one per line or with commas
    name: \\user                         the user's own mailbox, whatever other aliases say
    name: :fail: text / :defer: text / :blackhole:
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from bridge.model.address import BadAddress, fold, mailbox
from bridge.model.language import tr

ENTRIES = 100_000           # of one alias file
TARGETS = 10_000            # of one entry, or of one included file (sec-D04)
LINE = 1 << 20              # characters of one entry

_SIMPLE = re.compile(r"([A-Za-z0-9._-]+)[ \t]*:[ \t]*([A-Za-z0-9._+@-]+(?:[ \t]*,[ \t]*[A-Za-z0-9._+@-]+)*)[ \t]*\Z")
_KEY = re.compile(r'[ \t]*("(?:[^"\\\n]|\\.)*"|[^\s:"][^:"\n]*?)[ \t]*:')
_ITEM = re.compile(r'(?:"(?:[^"\\\n]|\\.)*"|[^",\n])+')
_BETWEEN = re.compile(r"(?:[\s,]+|#[^\n]*)+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\Z', re.S)
_ESCAPE = re.compile(r"\\(.)", re.S)
_TRAILING = re.compile(r"[ \t]#.*", re.S)
_ANGLE = re.compile(r"[^<>]*<([^<>]*)>\Z")
_DIRECTIVE = re.compile(r":(\w+):[ \t]*(.*)", re.S)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Form(Enum):
    """What a target is."""

    ADDRESS = "address"
    MAILBOX = "mailbox"     # \user
    FILE = "file"
    PROGRAM = "program"
    INCLUDE = "include"
    FAIL = "fail"
    DEFER = "defer"
    BLACKHOLE = "blackhole"


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `value`: the address or name, the path, the text; of a program its arguments as `shlex.join` writes
    them."""

    form: Form
    value: str


@dataclass(frozen=True, slots=True)
class Alias:
    """One entry. `trusted`: its file may name programs and files (sec-D01)."""

    name: str
    targets: tuple[Target, ...]
    file: str
    line: int
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a file. `fatal`: a new version of the file is not taken as long as this is so."""

    file: str
    line: int
    text: str
    es: str
    fatal: bool = True

    def __str__(self) -> str:
        text = tr(self.text, self.es)
        return f"{self.file}:{self.line}: {text}" if self.line else f"{self.file}: {text}"


def parse(text: str, file: str, *, trusted: bool = True) -> tuple[dict[str, Alias], list[Complaint]]:
    """The entries of an alias file by folded name."""
    entries: dict[str, Alias] = {}
    complaints: list[Complaint] = []
    for line, entry in _entries(text):
        if len(entries) >= ENTRIES:
            complaints.append(Complaint(file, line, f"more than {ENTRIES} names", f"más de {ENTRIES} nombres"))
            break
        made = _entry(entry, file, line, complaints, trusted)
        if made is None:
            continue
        first = entries.setdefault(made.name, made)
        if first is not made:
            complaints.append(Complaint(
                file, line, f"{made.name} is defined in line {first.line} already, which counts; put both in one entry",
                f"{made.name} ya está definido en la línea {first.line}, que es la que vale; una las dos", fatal=False,
            ))
    return entries, complaints


def parse_include(text: str, file: str) -> tuple[tuple[Target, ...], list[Complaint]]:
    """The targets of an included file: addresses, names and further includes only (sec-D04)."""
    complaints: list[Complaint] = []
    allowed = (Form.ADDRESS, Form.MAILBOX, Form.INCLUDE)
    found = []
    for target, line in _targets(text.replace("\r\n", "\n"), file, 1, complaints):
        if target.form not in allowed:
            complaints.append(Complaint(
                file, line, "an included file may only have addresses; put this into the alias file itself",
                "un fichero incluido solo puede tener direcciones; escriba esto en el propio fichero de alias",
            ))
        found.append(target)
    return tuple(found), complaints


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first: continuation lines joined, comment and empty lines dropped."""
    start, size = 0, 0
    parts: list[str] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.rstrip("\r")
        bare = line.lstrip(" \t")
        if not bare or bare[0] == "#":
            if parts:
                parts.append("")        # keeps the line numbers of what follows
            continue
        if line[0] in " \t" and parts:
            size += len(line)
            parts.append(line if size < LINE else "")
            continue
        if parts:
            yield start, "\n".join(parts).rstrip("\n")
        start, parts, size = number, [line[:LINE]], len(line)
    if parts:
        yield start, "\n".join(parts).rstrip("\n")


def _entry(entry: str, file: str, line: int, complaints: list[Complaint], trusted: bool) -> Alias | None:
    simple = _SIMPLE.match(entry)
    if simple and "@" not in simple[2]:
        names = simple[2].replace(" ", "").replace("\t", "").split(",")
        if len(names) <= TARGETS and all(_plain(name) for name in names):
            targets = tuple(Target(Form.ADDRESS, name) for name in dict.fromkeys(names))
            return Alias(simple[1].lower(), targets, file, line, trusted)
    found = _KEY.match(entry)
    if not found:
        complaints.append(Complaint(
            file, line, f"no colon after the name: {entry[:60]!r}; write name: target, target",
            f"faltan los dos puntos tras el nombre: {entry[:60]!r}; escriba nombre: destino, destino",
        ))
        return None
    name = _name(found[1])
    if not name:
        complaints.append(Complaint(
            file, line, f"{found[1][:60]!r} is no name; write a user name, an address, @domain or *",
            f"{found[1][:60]!r} no es un nombre; escriba un usuario, una dirección, @dominio o *",
        ))
        return None
    before = len(complaints)
    targets = tuple(dict.fromkeys(target for target, _ in _targets(entry[found.end():], file, line, complaints)))
    if not targets and len(complaints) == before:
        complaints.append(Complaint(
            file, line, f"nothing after {name}: write at least one target; /dev/null drops the mail",
            f"no hay nada tras {name}: escriba al menos un destino; /dev/null descarta el correo",
        ))
    if len(complaints) > before:
        targets = (Target(Form.DEFER, f"the alias {name} has a mistake"),)
    return Alias(name, targets, file, line, trusted)


def _plain(name: str) -> bool:
    """A name that can't mean anything else and needs no look by the address grammar."""
    return name[0] not in ".-" and name[-1] != "." and ".." not in name


def _name(raw: str) -> str:
    """The folded key; "" if this can't be one."""
    quoted = _QUOTED.match(raw)
    text = _ESCAPE.sub(r"\1", quoted[1]) if quoted else raw.strip()
    if text == "*" or not text:
        return text
    if text.startswith("@"):
        return "@" + _address(f"x{text}").partition("@")[2]
    if quoted and "@" not in text:
        text = f'"{quoted[1]}"'
    return fold(_address(text))


def _address(text: str) -> str:
    """A valid address or a bare local part in its plain form, or ""."""
    try:
        return mailbox(text) if "@" in text else mailbox(text, domain="x").rpartition("@")[0]
    except BadAddress:
        return ""


def _targets(text: str, file: str, line: int, complaints: list[Complaint]) -> Iterator[tuple[Target, int]]:
    """The targets in `text`, each with its line; `line` is that of the first character."""
    position, count, counted = 0, 0, 0
    while position < len(text):
        between = _BETWEEN.match(text, position)
        if between:
            position = between.end()
            continue
        line += text.count("\n", counted, position)
        counted = position
        found = _ITEM.match(text, position)
        if not found:
            complaints.append(Complaint(file, line, "a quote that is not closed", "unas comillas sin cerrar"))
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            continue
        position = found.end()
        count += 1
        if count > TARGETS:
            complaints.append(Complaint(file, line, f"more than {TARGETS} targets", f"más de {TARGETS} destinos"))
            return
        target = _target(found[0].strip(), file, line, complaints)
        if target:
            yield target, line


def _target(item: str, file: str, line: int, complaints: list[Complaint]) -> Target | None:
    quoted = _QUOTED.match(item)
    text = _ESCAPE.sub(r"\1", quoted[1]).strip() if quoted else item
    if not text.startswith(("|", ":")) and not quoted:
        text = _TRAILING.sub("", text).rstrip()
    if _CONTROL.search(text):
        complaints.append(Complaint(file, line, "a control character", "un carácter de control"))
        return None
    if text.startswith("|"):
        return _program(text[1:].strip(), file, line, complaints)
    if text.startswith("/"):
        return _file(text, file, line, complaints)
    if text.startswith(":"):
        return _directive(text, file, line, complaints)
    if text.startswith("\\"):
        form, text = Form.MAILBOX, text[1:]
    else:
        form = Form.ADDRESS
    angle = _ANGLE.match(text)
    address = _address(angle[1] if angle else text)
    if not address:
        complaints.append(Complaint(
            file, line, f"{item[:60]!r} is no target; write a user name, an address, /file, |program or :include:/file",
            f"{item[:60]!r} no es un destino; escriba un usuario, una dirección, /fichero, |programa o "
            ":include:/fichero",
        ))
        return None
    return Target(form, address)


def _program(text: str, file: str, line: int, complaints: list[Complaint]) -> Target | None:
    quoted = _QUOTED.match(text)
    if quoted:
        text = _ESCAPE.sub(r"\1", quoted[1])
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or not _full(words[0]):
        complaints.append(Complaint(
            file, line, f"{text[:60]!r} is no program; write its full path, as in |/usr/bin/vacation juan",
            f"{text[:60]!r} no es un programa; escriba su ruta completa, como en |/usr/bin/vacation juan",
        ))
        return None
    return Target(Form.PROGRAM, shlex.join(words))


def _file(text: str, file: str, line: int, complaints: list[Complaint]) -> Target | None:
    if not _full(text) or text.endswith("/"):
        complaints.append(Complaint(
            file, line, f"{text[:60]!r} is no file; write its full path without . and ..",
            f"{text[:60]!r} no es un fichero; escriba su ruta completa sin . ni ..",
        ))
        return None
    return Target(Form.FILE, text)


def _directive(text: str, file: str, line: int, complaints: list[Complaint]) -> Target | None:
    found = _DIRECTIVE.match(text)
    word, rest = (found[1].lower(), found[2].strip()) if found else ("", "")
    quoted = _QUOTED.match(rest)
    rest = _ESCAPE.sub(r"\1", quoted[1]) if quoted else rest
    if word == "include" and _full(rest):
        return Target(Form.INCLUDE, rest)
    if word in ("fail", "defer", "blackhole"):
        return Target(Form(word), rest[:400])
    complaints.append(Complaint(
        file, line, f"{text[:60]!r}: write :include:/full/path, :fail: text, :defer: text or :blackhole:",
        f"{text[:60]!r}: escriba :include:/ruta/completa, :fail: texto, :defer: texto o :blackhole:",
    ))
    return None


def _full(path: str) -> bool:
    """A full path that says where it goes."""
    parts = path.split("/")
    return path.startswith("/") and len(path) > 1 and "." not in parts and ".." not in parts
