"""Commands by mail: what a message to -request says, as values. English and Spanish words, as Mailman reads them.

Promises: pure and bounded: at most `MAX_LINES` lines are looked at, a signature or `end` stops, quoted lines (`> ...`)
and quotation marks around a command don't count. Of what is no command the line's number is told, never the words:
nobody knows whose they are (sec-L02).
"""

import re
from dataclasses import dataclass
from enum import Enum

MAX_LINES = 25
MAX_LINE = 300
_RE = re.compile(r"(?:\s*(?:re|aw|rv|fwd?)\s*:)+\s*", re.I)
_QUOTES = "\"'`“”‘’«»"


class Order(Enum):
    """What can be asked for."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"
    HELP = "help"
    INFO = "info"
    LISTS = "lists"
    WHO = "who"
    END = "end"


WORDS = {
    "subscribe": Order.SUBSCRIBE,
    "join": Order.SUBSCRIBE,
    "suscribir": Order.SUBSCRIBE,
    "suscribirse": Order.SUBSCRIBE,
    "alta": Order.SUBSCRIBE,
    "unsubscribe": Order.UNSUBSCRIBE,
    "leave": Order.UNSUBSCRIBE,
    "remove": Order.UNSUBSCRIBE,
    "baja": Order.UNSUBSCRIBE,
    "confirm": Order.CONFIRM,
    "confirmar": Order.CONFIRM,
    "help": Order.HELP,
    "ayuda": Order.HELP,
    "info": Order.INFO,
    "lists": Order.LISTS,
    "listas": Order.LISTS,
    "who": Order.WHO,
    "quien": Order.WHO,
    "quién": Order.WHO,
    "end": Order.END,
    "stop": Order.END,
    "fin": Order.END,
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `address` is the value of `address=`, or ""; `words` are the other arguments."""

    order: Order
    words: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """All commands of a message in order, and the numbers of the lines of its text that were none."""

    commands: tuple[Command, ...]
    unknown: tuple[int, ...] = ()


def parse(subject: str, body: str) -> Request:
    """The commands of a mail: the subject if it is one, then the lines of the text."""
    commands: list[Command] = []
    first = command(_RE.sub("", subject, count=1) if _RE.match(subject) else subject)
    if first is not None:
        commands.append(first)
        if first.order is Order.END:
            return Request(())
    unknown = []
    for number, line in _lines(body):
        found = command(line)
        if found is None:
            unknown.append(number)
            continue
        if found.order is Order.END:
            break
        if found not in commands:
            commands.append(found)
    return Request(tuple(commands), tuple(unknown))


def command(line: str) -> Command | None:
    """The command that a line is, if it is one."""
    words = line[:MAX_LINE].strip().strip(_QUOTES).split()
    order = WORDS.get(words[0].strip(_QUOTES + ".:").lower()) if words else None
    if order is None:
        return None
    address, others = "", []
    for word in words[1:]:
        if word.lower().startswith("address="):
            address = word[8:].strip("<>" + _QUOTES)
        else:
            others.append(word.strip(_QUOTES))
    return Command(order, tuple(others), address)


def _lines(body: str) -> list[tuple[int, str]]:
    """Lines that count, each with its number."""
    found = []
    for number, line in enumerate(body.splitlines(), 1):
        if line.rstrip() == "--":
            break
        line = line.strip()
        if line and not line.startswith((">", "|")):
            found.append((number, line))
        if len(found) == MAX_LINES:
            break
    return found


# A post that is really a command: the subject or a first line is a command word with few arguments (Mailman's rule).
_MOST_WORDS = {
    Order.SUBSCRIBE: 3,
    Order.UNSUBSCRIBE: 2,
    Order.CONFIRM: 1,
    Order.HELP: 0,
    Order.INFO: 0,
    Order.LISTS: 0,
    Order.WHO: 1,
}
_CHECKED_LINES = 5


def looks_like_command(subject: str, body: str) -> bool:
    """Was this meant for -request (L27)?"""
    candidates = [subject, *(line for _, line in _lines(body)[:_CHECKED_LINES])]
    if len(body) > 2000:
        candidates = [subject]
    for line in candidates:
        found = command(line)
        if found is None or found.order not in _MOST_WORDS:
            continue
        if len(found.words) <= _MOST_WORDS[found.order] and _plain_arguments(found):
            return True
    return False


def _plain_arguments(found: Command) -> bool:
    """`confirm` needs its token, `subscribe` names, passwords or addresses; a sentence that begins so is no command."""
    if found.order is Order.CONFIRM:
        return len(found.words) == 1 and len(found.words[0]) >= 8 and found.words[0].isalnum()
    return all(word.isalnum() or "@" in word or "=" in word for word in found.words)
