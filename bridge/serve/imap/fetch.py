"""FETCH: rows of ready bytes joined, bodies read or streamed, sections cut out.

Three ways, chosen by what is asked. *Rows*: everything is in the index; a block of messages is one formatting
operation. *Whole*: BODY[] of many messages; small ones are read a few hundred KB at a time, big ones streamed.
*Sections*: parts, partial fetches, decoded content; one message after the other.

All three are generators of bytes that run in a thread, one chunk of a few hundred KB at a time, each as soon as the
client has read the one before; so memory is bounded and other sessions go on (sec-I16, sec-I17). What is sure to be
short and never writes (one message, no implicit \\Seen) is answered on the loop.
Promises: \\Seen is set before the text goes out, and told with it; a message that went away meanwhile is left out, and
the answer says EXPUNGEISSUED; an answer that can't be finished ends the connection rather than lie.
RFC: 3501 and 9051 sections 6.4.5 and 7.5.2; 3516 (BINARY), 7162 (CONDSTORE), 9394 (PARTIAL), 8514, 8970, 8474.
"""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, cast

from bridge.model.errors import StoreError
from bridge.serve.imap.client import Box, Client, Result, Slices, completed, runs, window
from bridge.serve.imap.message import flag_texts
from bridge.serve.imap.sections import Reader, is_known_part
from bridge.serve.imap.trouble import Answer, Broken, Refusal
from bridge.store.body import Body
from bridge.store.mail import SEEN, Column, Fields, MailError, MessageGone, Ranges
from bridge.wire.imap import encode
from bridge.wire.imap.args.message import Fetch, Item
from bridge.wire.imap.flow import Command
from bridge.wire.imap.seqset import ranges_of

CHUNK = 256 * 1024      # bytes of an answer that are put together at once
NEAR = 2                # messages that may be answered on the loop
_NO_NUL = b"\x80"

_COLUMNS = {
    "FLAGS": (Column.FLAGS, b"%b"), "INTERNALDATE": (Column.INTERNALDATE, b"%b"), "RFC822.SIZE": (Column.SIZE, b"%d"),
    "ENVELOPE": (Column.ENVELOPE, b"%b"), "BODYSTRUCTURE": (Column.BODYSTRUCTURE, b"%b"), "BODY": (Column.BODY, b"%b"),
    "MODSEQ": (Column.MODSEQ, b"(%d)"), "EMAILID": (Column.EMAILID, b"%b"), "THREADID": (Column.THREADID, b"%b"),
    "SAVEDATE": (Column.SAVEDATE, b"%b"), "PREVIEW": (Column.PREVIEW, b"%b"),
}  # fmt: skip
_QUICK = frozenset((Column.FLAGS, Column.MODSEQ, Column.INTERNALDATE, Column.SAVEDATE, Column.EMAILID))
_UID = Item("UID", b"UID")
_FLAGS = Item("FLAGS", b"FLAGS")
_MODSEQ = Item("MODSEQ", b"MODSEQ")


class _Plan:
    """One FETCH: which columns the store gives, what has to be read from the message."""

    def __init__(self, client: Client, items: Iterable[Item]) -> None:
        self.client, self.box = client, client.selected
        self.columns: list[Column | Fields] = []
        self.labels: list[tuple[bytes, bytes]] = []                 # of the columns, with the UID
        self.places: list[tuple[int, Callable[[Any], Any] | None]] = []     # column of each label (-1: UID), its form
        self.texts: list[Item] = []                                 # what has to be read
        self.flags_at = -1
        self.lost = False                                           # some message was not there any more
        for item in items:
            self._add(item)

    def _add(self, item: Item) -> None:
        if item.name == "UID":
            self.labels.append((b"UID", b"%d"))
            self.places.append((-1, None))
            return
        column, conversion, form = _column(item)
        if column is None:
            self.texts.append(item)
            return
        if item.name == "FLAGS":
            self.flags_at = len(self.labels)
        self.labels.append((item.label, conversion))
        self.places.append((len(self.columns), form))
        self.columns.append(column)

    @property
    def quick(self) -> bool:
        """Whether one message costs no more than a look into the index and a small file, and no writing."""
        return _QUICK.issuperset(self.columns) and (self.whole or not self.texts)

    @property
    def whole(self) -> bool:
        """Whether the whole message is all that has to be read."""
        if len(self.texts) != 1:
            return False
        item = self.texts[0]
        section = item.section
        return item.name == "BODY[]" and not item.partial and section is not None and not (section.part or section.kind)

    # -- values of the index

    def values(self, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """The columns of an answer, without the number."""
        columns = list(zip(*rows))
        out: list[Sequence[Any]] = []
        for at, (place, form) in enumerate(self.places):
            column = columns[place + 1]
            if at == self.flags_at:
                out.append(flag_texts(self.client, self.box, columns[0], column))
            else:
                out.append(column if form is None else [form(value) for value in column])
        return out

    # -- the three ways

    def rows(self, ranges: Ranges, changed_since: int) -> Iterator[bytes]:
        """Everything is in the index."""
        template = encode.fetch_template(self.labels)
        for rows in self.box.store.fetch(self.box.folder, ranges, self.columns, changed_since=changed_since):
            numbers = self.box.numbers([row[0] for row in rows])
            lines = list(zip(numbers, *self.values(rows)))
            if 0 in numbers:
                lines = [line for line in lines if line[0]]
            yield encode.fetch_rows(template, lines)

    def wholes(self, ranges: Ranges) -> Iterator[bytes]:
        """Whole messages."""
        box = self.box
        template = encode.fetch_template([*self.labels, (self.texts[0].label, b"{%d}\r\n")])[:-3]
        for ready in box.store.bodies(box.folder, ranges):
            streams = [body for _, body in ready if isinstance(body, Body)]
            try:
                yield from self._wholes(template, ready)
            finally:
                for body in streams:
                    body.close()

    def _wholes(self, template: bytes, ready: list[tuple[int, bytes | Body]]) -> Iterator[bytes]:
        uids = [uid for uid, _ in ready]
        values = self.values_of(uids)
        out: list[bytes] = []
        for number, (uid, body) in zip(self.box.numbers(uids), ready):
            row = values.get(uid)
            if not number or row is None:
                continue
            if isinstance(body, bytes):
                text = body if b"\0" not in body else body.replace(b"\0", _NO_NUL)
                out += (template % (number, *row, len(text)), text, encode.FETCH_CLOSE)
                continue
            out.append(template % (number, *row, body.size))
            yield b"".join(out)
            yield from exactly(body.chunks(), body.size)
            out = [encode.FETCH_CLOSE]
        yield b"".join(out)

    def values_of(self, uids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """The index's part of an answer, by UID."""
        if not self.columns:
            return {uid: (uid,) * len(self.places) for uid in uids}
        found: dict[int, tuple[Any, ...]] = {}
        for rows in self.box.store.fetch(self.box.folder, ranges_of(uids), self.columns):
            found.update(zip([row[0] for row in rows], zip(*self.values(rows))))
        return found

    def sections(self, ranges: Ranges) -> Iterator[bytes]:
        """Pieces of messages, one message after the other."""
        template = encode.fetch_template(self.labels)[:-3] + (b" " if self.labels else b"")
        box = self.box
        places = box.view.uids
        out: list[bytes] = []
        size = 0
        for uid in _each(places, ranges):
            row = self.values_of((uid,)).get(uid)
            number = box.view.number(uid)
            if row is None or not number:
                self.lost = True
                continue
            try:
                reader = Reader(box.store.body(box.folder, uid))
            except MessageGone:
                self.lost = True
                continue
            with reader:
                out.append(template % (number, *row))
                for part in self._pieces(reader):
                    if isinstance(part, bytes):
                        out.append(part)
                        size += len(part)
                        continue
                    yield b"".join(out)
                    yield from part
                    out, size = [], 0
                out.append(encode.FETCH_CLOSE)
            if size >= CHUNK:
                yield b"".join(out)
                out, size = [], 0
        yield b"".join(out)

    def _pieces(self, reader: Reader) -> Iterator[bytes | Iterator[bytes]]:
        """What was asked of one message: bytes, or a stream that must be sent before the next piece is asked for."""
        begun = False
        space = b""
        for item in self.texts:
            try:
                piece = reader.piece(item)
            except Exception as error:
                if begun:
                    raise Broken(str(error)) from error     # half a line is out already
                raise
            yield space + item.label + b" " + piece.head
            space = b" "
            if piece.data is None:
                begun = True
                yield exactly(piece.chunks, piece.size)
            else:
                yield piece.data


def _column(item: Item) -> tuple[Column | Fields | None, bytes, Callable[[Any], Any] | None]:
    """Where the index has it, and in which form; None: the message must be read."""
    known = _COLUMNS.get(item.name)
    if known is not None:
        return (*known, None)
    section = item.section
    if item.name != "BODY[]" or section is None or section.part or item.partial:
        return None, b"", None
    if section.kind == "HEADER":
        return Column.HEADER, b"%b", _literal
    if section.kind.startswith("HEADER.FIELDS"):
        names = tuple(name.encode("ascii") for name in section.fields)
        return Fields(names, section.kind.endswith("NOT")), b"%b", _clean
    return None, b"", None


def _literal(header: bytes) -> bytes:
    return encode.literal(header)


def _clean(literal: bytes) -> bytes:
    return literal if b"\0" not in literal else literal.replace(b"\0", _NO_NUL)


def exactly(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """A literal's bytes, neither more nor less than was announced."""
    left = size
    pending: list[bytes] = []
    gathered = 0
    try:
        for chunk in chunks:
            if b"\0" in chunk:
                chunk = chunk.replace(b"\0", _NO_NUL)
            left -= len(chunk)
            if left < 0:
                raise Broken("a message is longer than it was")
            pending.append(chunk)
            gathered += len(chunk)
            if gathered >= CHUNK:
                yield b"".join(pending)
                pending, gathered = [], 0
    except (OSError, StoreError, MailError) as error:
        raise Broken(str(error)) from error
    if left:
        raise Broken("a message is shorter than it was")
    yield b"".join(pending)


def _each(uids: Sequence[int], ranges: Ranges) -> Iterator[int]:
    for low, high in ranges:
        yield from uids[bisect_left(uids, low) : bisect_right(uids, high)]


# ---- the command

def fetch(client: Client, command: Command) -> Result:
    asked = cast(Fetch, command.args)
    box = client.selected
    items = _items(client, asked)
    for item in items:
        if item.section is not None and not is_known_part(item.section):
            raise Refusal("Bad section", "", "BAD")
    if asked.vanished and "QRESYNC" not in client.enabled:
        raise Refusal("ENABLE QRESYNC first", "", "BAD")
    places = box.places(asked.messages, asked.uid, client.saved)
    if asked.partial is not None:
        places = runs(window([at for start, stop in places for at in range(start, stop)], *asked.partial))
    if not places and not asked.vanished:
        return completed(command.name)
    count = sum(stop - start for start, stop in places)
    plan = _Plan(client, items)
    marks = not box.read_only and any(not item.peek for item in plan.texts)
    if count <= NEAR and plan.quick and not marks and asked.changed_since is None:
        return _near(client, command, plan, box.ranges(places))
    return _far(client, command, asked, items, places, marks)


def _items(client: Client, asked: Fetch) -> list[Item]:
    items = list(asked.items)
    if (asked.uid or "QRESYNC" in client.enabled) and _UID not in items:
        items.insert(0, _UID)
    if asked.changed_since is not None and _MODSEQ not in items:
        items.append(_MODSEQ)
    if _MODSEQ in items:
        client.enabled.add("CONDSTORE")
    return items


def _answers(plan: _Plan, ranges: Ranges, changed_since: int) -> Iterator[bytes]:
    if not plan.texts:
        return plan.rows(ranges, changed_since)
    if changed_since:
        found = plan.box.store.fetch(plan.box.folder, ranges, (Column.MODSEQ,), changed_since=changed_since)
        ranges = ranges_of(row[0] for rows in found for row in rows)
    return plan.wholes(ranges) if plan.whole else plan.sections(ranges)


def _near(client: Client, command: Command, plan: _Plan, ranges: Ranges) -> Result:
    """At once; what is longer than one chunk goes on in a thread."""
    chunks = _generator(_answers(plan, ranges, 0))
    first = next(chunks, b"")
    client.send(first)
    if len(first) < CHUNK:
        second = next(chunks, None)
        if second is None:
            return _completed(command, plan)
        client.send(second)

    async def rest() -> Answer:
        await client.stream(chunks)
        return _completed(command, plan)

    return rest()


async def _far(
    client: Client, command: Command, asked: Fetch, items: list[Item], places: Slices, marks: bool
) -> Answer:
    box = client.selected
    ranges = box.ranges(places)
    if asked.vanished and asked.changed_since is not None:
        client.send(encode.vanished(await client.thread(_vanished, client, asked), earlier=True))
    if not places:
        return completed(command.name)
    if marks:
        told = await client.thread(_mark_seen, client, ranges)
        if told and _FLAGS not in items:
            items = [*items, _FLAGS]
            if "CONDSTORE" in client.enabled and _MODSEQ not in items:
                items.append(_MODSEQ)
    plan = _Plan(client, items)
    await client.stream(_generator(_answers(plan, ranges, asked.changed_since or 0)))
    return _completed(command, plan)


def _completed(command: Command, plan: _Plan) -> Answer:
    if plan.lost:
        return Answer(b"Some of the messages are gone", b"EXPUNGEISSUED")
    return completed(command.name)


def _vanished(client: Client, asked: Fetch) -> tuple[int, ...]:
    box = client.selected
    last = max(box.uidnext - 1, 1)
    ranges = asked.messages.numbers(last) if not asked.messages.saved else []
    return box.store.vanished(box.folder, asked.changed_since or 0, ranges)


def _mark_seen(client: Client, ranges: Ranges) -> bool:
    """Set \\Seen where it is missing; whether it was anywhere."""
    box: Box = client.selected
    unseen: list[int] = []
    for rows in box.store.fetch(box.folder, ranges, (Column.FLAGS,)):
        unseen.extend(row[0] for row in rows if not row[1] & SEEN)
    if not unseen:
        return False
    stored = box.store.store_flags(box.folder, ranges_of(unseen), "+", ["\\Seen"])
    if stored.touched:
        box.own(stored.highestmodseq, stored.changed)
    return True


def _generator(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Without empty chunks."""
    for chunk in chunks:
        if chunk:
            yield chunk


HANDLERS: dict[str, Callable[[Client, Command], Result]] = {"FETCH": fetch, "UID FETCH": fetch}
