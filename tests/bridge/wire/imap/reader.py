"""A strict reader of server output, sharing nothing with the encoder: any deviation from the grammar is an error.

`read(data)` gives the responses; a status, tagged or not, is `Status`, a continuation `Continue`, all else `Data`,
whose values are `Atom`, `int`, `bytes` (strings), `None` (NIL) and lists. For sec-I14: what we say can be read back.
RFC: 3501 and 9051 section 9.
"""

import re
from dataclasses import dataclass

ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\[\]\x7f-\xff]+")
TAG = re.compile(rb"[^\x00-\x20(){%*\"\\+\x7f-\xff]+")
FLAG = re.compile(rb"\\(?:\*|[A-Za-z]+)")
SECTION = re.compile(
    rb"(?:BODY|BINARY|BINARY\.SIZE)\[(?:[0-9.]*(?:HEADER|TEXT|MIME|HEADER\.FIELDS(?:\.NOT)? "
    rb"\((?:[^\x00-\x20(){%*\"\\\]\x7f-\xff]+|\"[^\x00-\x1f\x7f-\xff\"\\]*\")"
    rb"(?: (?:[^\x00-\x20(){%*\"\\\]\x7f-\xff]+|\"[^\x00-\x1f\x7f-\xff\"\\]*\"))*\))?)\](?:<[0-9]+>)?"
)
QUOTED = re.compile(rb'"((?:[^"\\\x00\r\n]|\\["\\])*)"')
LITERAL = re.compile(rb"(~?)\{(0|[1-9][0-9]*)\}\r\n")
SET = re.compile(
    rb"(?:[1-9][0-9]*|\*)(?::(?:[1-9][0-9]*|\*))?(?:,(?:[1-9][0-9]*|\*)(?::(?:[1-9][0-9]*|\*))?)*(?=[ )\r])"
)
STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH) (?:\[([^\]\r\n\x00]+)\] )?([^\r\n\x00]+)\r\n")
LINE = re.compile(rb"[^\r\n\x00]*\r\n")


class NotImap(Exception):
    """The output breaks the grammar."""


class Atom(str):
    """An atom, flag or section."""


Value = Atom | int | bytes | list | None


@dataclass(frozen=True)
class Status:
    tag: str
    word: str
    code: str
    text: str


@dataclass(frozen=True)
class Continue:
    text: bytes


@dataclass(frozen=True)
class Data:
    values: list

    @property
    def word(self) -> str:
        """EXISTS, FETCH, LIST ...: the word that says what this is."""
        return str(self.values[1] if isinstance(self.values[0], int) else self.values[0])


Response = Status | Continue | Data


def read(data: bytes, utf8: bool = False) -> list[Response]:
    """All responses; NotImap at the first fault."""
    out: list[Response] = []
    pos = 0
    while pos < len(data):
        response, pos = _response(data, pos, utf8)
        out.append(response)
    return out


def _response(data: bytes, pos: int, utf8: bool) -> tuple[Response, int]:
    space = data.find(b" ", pos)
    if space < 0:
        raise NotImap(f"no space after the tag: {data[pos : pos + 40]!r}")
    tag = data[pos:space]
    if tag != b"*" and not TAG.fullmatch(tag) and tag != b"+":
        raise NotImap(f"bad tag {tag!r}")
    pos = space + 1
    if tag == b"+":
        line = LINE.match(data, pos)
        if not line:
            raise NotImap("bad continuation")
        return Continue(line[0][:-2]), line.end()
    status = STATUS.match(data, pos)
    if status:
        word, code, text = status.groups()
        if not utf8 and not text.isascii():
            raise NotImap(f"8-bit text {text!r}")
        return Status(tag.decode(), word.decode(), (code or b"").decode(), text.decode()), status.end()
    if tag != b"*":
        raise NotImap(f"tagged response without status: {data[pos : pos + 40]!r}")
    values, pos = _values(data, pos, utf8)
    return Data(values), pos


def _values(data: bytes, pos: int, utf8: bool) -> tuple[list, int]:
    top: list = []
    stack = [top]
    fresh = True  # a value may come here without a space before it
    while True:
        if data.startswith(b"\r\n", pos):
            if len(stack) > 1 or (fresh and top):
                raise NotImap("line ends inside a list or behind a space")
            return top, pos + 2
        char = data[pos : pos + 1]
        if char == b")":
            if len(stack) == 1 or (fresh and stack[-1]):
                raise NotImap("stray )")
            stack.pop()
            pos, fresh = pos + 1, False
        elif char == b" ":
            if fresh:
                raise NotImap(f"two spaces, or one in front: {data[max(0, pos - 40) : pos + 10]!r}")
            pos, fresh = pos + 1, True
        elif char == b"(":
            if not fresh and not isinstance(stack[-1][-1], list):
                raise NotImap("( without a space")
            new: list = []
            stack[-1].append(new)
            stack.append(new)
            pos, fresh = pos + 1, True
        elif not fresh:
            raise NotImap(f"space missing: {data[max(0, pos - 40) : pos + 10]!r}")
        else:
            value, pos = _value(data, pos, utf8)
            stack[-1].append(value)
            fresh = False


def _value(data: bytes, pos: int, utf8: bool) -> tuple[Value, int]:
    literal = LITERAL.match(data, pos)
    if literal:
        end = literal.end() + int(literal[2])
        if end > len(data):
            raise NotImap("literal longer than the output")
        body = data[literal.end() : end]
        if not literal[1] and b"\0" in body:
            raise NotImap("NUL in a literal")
        return body, end
    quoted = QUOTED.match(data, pos)
    if quoted:
        if not quoted[1].isascii():
            if not utf8:
                raise NotImap("8-bit in a quoted string")
            quoted[1].decode("utf-8")
        return re.sub(rb"\\(.)", rb"\1", quoted[1]), quoted.end()
    for pattern in (SECTION, FLAG, SET, ATOM):
        match = pattern.match(data, pos)
        if match:
            text = match[0]
            if text.isdigit():
                return int(text), match.end()
            return None if text == b"NIL" else Atom(text.decode()), match.end()
    raise NotImap(f"no value at {data[pos : pos + 40]!r}")
