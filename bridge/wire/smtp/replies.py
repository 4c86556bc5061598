"""Replies of an SMTP server, as bytes come in.

Promises: a line of at most 8 KB, 100 lines and 64 KB per reply (sec-O04); all lines of a reply have the same code; the
text is printable, at most 500 characters (sec-O05); an enhanced code counts only where its class is that of the code.
Fails by: PeerError. RFC 5321 4.2, RFC 3463, RFC 2034.
"""
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.model.errors import PeerError
from bridge.model.reply import Reply

LINE_LIMIT = 8 * 1024
LINES_LIMIT = 100
REPLY_LIMIT = 64 * 1024
TEXT_LIMIT = 500

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.S)
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?: |\Z)")


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply with its lines as sent (without codes), for EHLO."""

    code: int
    lines: tuple[bytes, ...]

    def reply(self) -> Reply:
        """As a value to keep and to show."""
        texts = [_printable(line) for line in self.lines]
        found = _ENHANCED.match(texts[0])
        enhanced = found[0].strip() if found and int(found[1]) == self.code // 100 else ""
        if enhanced:
            texts = [text.removeprefix(enhanced).lstrip() for text in texts]
        return Reply(self.code, enhanced, " ".join(filter(None, texts))[:TEXT_LIMIT])


class Replies:
    """Feed bytes; iterate over the replies that are whole."""

    __slots__ = ("_buffer", "_code", "_lines", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []
        self._code = self._size = 0

    @property
    def pending(self) -> bool:
        """Whether bytes are here that are no whole reply yet."""
        return bool(self._buffer or self._lines)

    def clear(self) -> None:
        """Forget what is here."""
        self._buffer, self._lines, self._size = b"", [], 0

    def feed(self, data: bytes) -> Iterator[Answer]:
        """More bytes; the replies that they complete, in order."""
        self._buffer += data
        start = 0
        try:
            while (end := self._buffer.find(b"\n", start)) >= 0:
                line, start = self._buffer[start:end], end + 1
                answer = self._take(line.removesuffix(b"\r"))
                if answer is not None:
                    yield answer
        finally:
            self._buffer = self._buffer[start:]
        if len(self._buffer) > LINE_LIMIT:
            raise PeerError("reply line is too long")

    def _take(self, line: bytes) -> Answer | None:
        self._size += len(line)
        if len(line) > LINE_LIMIT or self._size > REPLY_LIMIT or len(self._lines) >= LINES_LIMIT:
            raise PeerError("reply is too long")
        found = _LINE.match(line)
        if found is None:
            raise PeerError("not an SMTP reply: " + _printable(line)[:80])
        code, more, text = int(found[1]), found[2] == b"-", found[3] or b""
        if self._lines and code != self._code:
            raise PeerError("the lines of a reply have different codes")
        self._code = code
        self._lines.append(text)
        if more:
            return None
        answer = Answer(code, tuple(self._lines))
        self._lines, self._size = [], 0
        return answer


def _printable(raw: bytes) -> str:
    text = raw[: TEXT_LIMIT * 4].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text[: TEXT_LIMIT * 2]).strip()
