"""What FETCH gives of messages: rows of ready wire bytes, described on demand.

Promises: what is cached comes by one SELECT per chunk; what isn't is computed for exactly the columns that were asked,
kept, and answered in the same chunk; chunks are bounded, and no lock is held between two of them. Results for lists of
header fields are kept too, for the few lists that clients use again and again.
Fails by: FolderGone, StoreError. A message whose file is gone is left out; the next `refresh` will report it.
"""
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from sqlite3 import Connection
from typing import Any

from bridge.model.errors import StoreError
from bridge.store import body, reconcile
from bridge.store.driver import Place
from bridge.store.home import Home, current
from bridge.store.index import CONTENT_TABLES
from bridge.store.mail import Column, Fields, Folder, Ranges
from bridge.wire import charset, dates, headers, lines, mime, structure, text
from bridge.wire.imap.seqset import ranges_of

CHUNK = 500             # rows of one chunk
BATCH = 200             # messages read between two looks at the index
MEASURED = 1000         # the same where only their size is wanted
KINDS = 8               # lists of header fields of which the results are kept
MAX_KEPT = 16 * 1024    # bytes of one such result
MAX_PLAIN = 32 * 1024   # characters of text kept for search, and of headers

Row = tuple[Any, ...]
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Message:
    """Where a message is, for describing it."""

    uid: int
    content: int
    name: str
    info: str | None
    size: int


# ---- ready forms of small things

@lru_cache(maxsize=512)
def _day(number: int) -> bytes:
    return b'"' + dates.internaldate(number * _DAY)[:11].replace(" ", "0", 1).encode("ascii")


@lru_cache(maxsize=20_000)
def date_time(epoch: int) -> bytes:
    """A date-time as FETCH sends it, in UTC."""
    day, second = divmod(epoch, _DAY)
    return b'%b %02d:%02d:%02d +0000"' % (_day(day), second // 3600, second // 60 % 60, second % 60)


def object_id(letter: bytes, number: int) -> bytes:
    return b"(%b%016x)" % (letter, number & 0xFFFFFFFFFFFFFFFF)


def email_id(uidvalidity: int, content: int) -> bytes:
    """EMAILID: copies have the same; another index gives other ones."""
    return b"(M%08x%08x)" % (uidvalidity, content)


def content_of(uidvalidity: int, value: str) -> int:
    """The content that an EMAILID names, -1: none of ours."""
    found = re.fullmatch(r"M([0-9a-f]{8})([0-9a-f]{8})", value)
    return int(found[2], 16) if found and int(found[1], 16) == uidvalidity else -1


def thread_of(value: str) -> int | None:
    """The number that a THREADID names; None equals nothing in SQL."""
    if not re.fullmatch(r"T[0-9a-f]{16}", value):
        return None
    number = int(value[1:], 16)
    return number - (1 << 64) if number >> 63 else number


def thread_number(root: str) -> int:
    """A number for a thread from the id of its first message, fit for SQLite."""
    return int.from_bytes(blake2b(root.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)


# ---- fetch

_SOURCES = {
    Column.FLAGS: "m.flags", Column.MODSEQ: "m.modseq", Column.SIZE: "nullif(m.size,-1)", Column.INTERNALDATE: "m.date",
    Column.SAVEDATE: "m.saved", Column.EMAILID: "m.content", Column.THREADID: "threading.thread",
    Column.ENVELOPE: "envelope.data", Column.BODY: "body.data", Column.BODYSTRUCTURE: "structure.data",
    Column.PREVIEW: "preview.data", Column.HEADER: "NULL",
}
_NEEDS = {
    Column.SIZE: "size", Column.THREADID: "words", Column.ENVELOPE: "envelope", Column.BODY: "body",
    Column.BODYSTRUCTURE: "structure", Column.PREVIEW: "preview",
}


def fetch(
    home: Home, folder: Folder, uids: Ranges, columns: Sequence[Column | Fields], changed_since: int = 0
) -> Iterator[list[Row]]:
    """Chunks of rows (uid, value ...) in UID order."""
    plan = _Plan(home, folder, columns, changed_since)
    waiting: list[Row] = []
    for low, high in uids:
        at = low
        while at <= high:
            rows, at = plan.chunk(at, high)
            waiting = waiting + rows if waiting else rows
            if len(waiting) >= CHUNK:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


class _Plan:
    """One FETCH: the statement, what needs another form, what may have to be computed."""

    def __init__(self, home: Home, folder: Folder, columns: Sequence[Column | Fields], changed_since: int) -> None:
        self.home, self.folder, self.columns = home, folder, columns
        self.kinds: dict[int, tuple[Fields, int]] = {}      # position -> (column, number of its kind, 0: not kept)
        self.forms: list[tuple[int, Callable[[Any], Any]]] = []
        sources, joins = ["m.uid"], {}
        for position, column in enumerate(columns, 1):
            source, join = self._source(position, column)
            sources.append(source)
            joins[join] = True
        self.limit = CHUNK if any(joins) else 2 * CHUNK
        self.statement = (
            f"SELECT {', '.join(sources)} FROM message m {' '.join(joins)} WHERE m.folder=? AND m.uid BETWEEN ? AND ?"  # noqa: S608
            f" AND m.modseq>? ORDER BY m.uid LIMIT {self.limit}"
        )
        self.since = changed_since if changed_since > 0 else -1

    def _source(self, position: int, column: Column | Fields) -> tuple[str, str]:
        """What to select for a column, and the table to join."""
        if isinstance(column, Fields):
            kind = kind_of(self.home, column)
            self.kinds[position] = column, kind
            if not kind:
                return "NULL", ""
            table = f"f{position}"
            return f"{table}.data", f"LEFT JOIN fields {table} ON {table}.kind={kind} AND {table}.content=m.content"
        if column in (Column.INTERNALDATE, Column.SAVEDATE):
            self.forms.append((position, date_time))
        elif column is Column.EMAILID:
            self.forms.append((position, lambda content: email_id(self.folder.uidvalidity, content)))
        elif column is Column.THREADID:
            self.forms.append((position, lambda number: object_id(b"T", number)))
        source = _SOURCES[column]
        table = source.partition(".")[0]
        return source, f"LEFT JOIN {table} ON {table}.content=m.content" if table in CONTENT_TABLES else ""

    def chunk(self, low: int, high: int) -> tuple[list[Row], int]:
        """Rows, and the UID to go on with."""
        with self.home.index.read() as db:
            current(db, self.folder)
            rows = db.execute(self.statement, (self.folder.id, low, high, self.since)).fetchall()
        after = rows[-1][0] + 1 if len(rows) == self.limit else high + 1
        missing = [row[0] for row in rows if None in row]
        if missing:
            rows = self._completed(rows, missing)
        if self.forms and rows:
            parts: list[Any] = list(zip(*rows))
            for position, form in self.forms:
                parts[position] = map(form, parts[position])
            rows = list(zip(*parts))
        return rows, after

    def _completed(self, rows: list[Row], missing: list[int]) -> list[Row]:
        lacking = [p for p in range(1, len(self.columns) + 1) if any(row[p] is None for row in rows)]
        needs = {_NEEDS[c] for p in lacking if isinstance(c := self.columns[p - 1], Column) and c in _NEEDS}
        wanted = set(missing)
        messages = [one for one in locate(self.home, self.folder, missing) if one.uid in wanted]
        if needs:
            describe(self.home, self.folder, messages, needs)
        with self.home.index.read() as db:
            again = {row[0]: row for row in self._select(db, missing)}
        for position in lacking:
            column = self.columns[position - 1]
            values: dict[int, bytes] = {}
            if isinstance(column, Fields):
                values = header_fields(self.home, self.folder, messages, column, self.kinds[position][1])
            elif column is Column.HEADER:
                values = header_blocks(self.home, self.folder, messages)
            for uid, value in values.items():
                row = again.get(uid)
                if row is not None and row[position] is None:
                    again[uid] = (*row[:position], value, *row[position + 1:])
        out = (again.get(row[0], row) if None in row else row for row in rows)
        return [row for row in out if None not in row]

    def _select(self, db: Connection, uids: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        for low, high in ranges_of(uids):
            found.extend(db.execute(self.statement, (self.folder.id, low, high, -1)).fetchall())
        return found


def locate(home: Home, folder: Folder, uids: Sequence[int]) -> list[Message]:
    """Where these messages (ascending UIDs) are."""
    found: list[Message] = []
    with home.index.read() as db:
        for low, high in ranges_of(uids):
            found.extend(Message(*row) for row in db.execute(
                "SELECT uid, content, name, info, size FROM message WHERE folder=? AND uid BETWEEN ? AND ?"
                " ORDER BY uid", (folder.id, low, high),
            ))
    return found


# ---- reading what was moved meanwhile

def each(
    home: Home, folder: Folder, messages: Sequence[Message], *, head: bool = False
) -> Iterator[tuple[Message, bytes]]:
    """(message, its bytes on disk) for all that are still there; `head`: only the start, with the whole header."""
    lost: list[int] = []
    with home.folder_dirs(folder.name) as dirs:
        for message in messages:
            data = _read(home, dirs, message, head)
            if data is None:
                lost.append(message.uid)
            else:
                yield message, data
    if not lost:
        return
    reconcile.refresh(home, folder.name, force=True)
    with home.folder_dirs(folder.name) as dirs:
        for message in locate(home, folder, lost):
            data = _read(home, dirs, message, head)
            if data is not None:
                yield message, data


def _read(home: Home, dirs: Place, message: Message, head: bool) -> bytes | None:
    """The bytes of a message, None where the file isn't where we think."""
    try:
        if head:
            return body.read_head(dirs, message.name, message.info)
        return body.read_file(dirs, message.name, message.info, message.size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{home.path}, {message.name}: {error}") from error


# ---- describing

def describe(home: Home, folder: Folder, messages: Sequence[Message], needs: set[str]) -> int:
    """Compute what is needed of these messages and keep it; of how many."""
    kept: dict[str, list[Row]] = {name: [] for name in CONTENT_TABLES}
    sizes: list[Row] = []
    whole = bool(needs & {"size", "structure", "body", "preview", "plain", "all"})
    done = 0
    for message, data in each(home, folder, messages, head=not whole):
        done += 1
        if "all" in needs:
            _describe_all(message, data, kept, sizes)
            continue
        if needs & {"structure", "body", "preview"}:
            _keep_structure(message, data, needs, kept)
            if message.size < 0:
                sizes.append((body.wire_size(data), message.uid))
        elif "size" in needs:
            sizes.append((body.wire_size(data), message.uid))
        if "envelope" in needs:
            kept["envelope"].append((message.content, structure.envelope(headers.block(data))))
        if "plain" in needs:
            _keep_plain(message, data, kept)
        if "words" in needs:
            _keep_words(message, structure.describe(headers.block(data)), kept)
    _write(home, folder, kept, sizes)
    return done


def _keep_structure(message: Message, data: bytes, needs: set[str], kept: dict[str, list[Row]]) -> None:
    scanned = mime.scan(data)
    if "structure" in needs:
        kept["structure"].append((message.content, structure.bodystructure(scanned, data)))
    if "body" in needs:
        kept["body"].append((message.content, structure.body(scanned, data)))
    if "preview" in needs:
        start = structure.preview(data, scanned)
        kept["preview"].append((message.content, structure.nstring(start.encode("utf-8", "replace"))))


def _describe_all(message: Message, data: bytes, kept: dict[str, list[Row]], sizes: list[Row]) -> None:
    about = structure.describe(data)
    kept["envelope"].append((message.content, about.envelope))
    kept["structure"].append((message.content, about.bodystructure))
    kept["body"].append((message.content, about.body))
    kept["preview"].append((message.content, structure.nstring(about.preview.encode("utf-8", "replace"))))
    _keep_words(message, about, kept)
    _keep_plain(message, data, kept)
    sizes.append((about.wire_size, message.uid))


def _keep_plain(message: Message, data: bytes, kept: dict[str, list[Row]]) -> tuple[str, str]:
    """Keep the folded text of a message for search; (headers, body) in full."""
    scanned = mime.scan(data)
    head = charset.fold(text.search_text(data, scanned, limit=0))
    whole = charset.fold(text.body_text(data, scanned))
    complete = len(head) <= MAX_PLAIN and len(whole) <= MAX_PLAIN and not scanned.truncated
    kept["plain"].append((message.content, complete, head[:MAX_PLAIN], whole[:MAX_PLAIN]))
    return head, whole


def _keep_words(message: Message, about: structure.Description, kept: dict[str, list[Row]]) -> None:
    content = message.content
    kept["header"].append((content, about.headers if about.headers_complete else b""))
    kept["words"].append((
        content, about.subject_folded, about.from_folded, about.to_folded, about.cc_folded, about.bcc_folded,
    ))
    kept["sorting"].append((
        content, about.sent, about.sent_offset, about.base_subject, about.is_reply, about.sort_from, about.sort_to,
        about.sort_cc, about.display_from, about.display_to,
    ))
    references = about.references or ((about.in_reply_to,) if about.in_reply_to else ())
    root = references[0] if references else about.message_id or f"{content}@{message.name}"
    kept["threading"].append((content, thread_number(root), about.message_id, about.in_reply_to, " ".join(references)))


_INSERT = {
    "envelope": 2, "structure": 2, "body": 2, "preview": 2, "header": 2, "words": 6, "sorting": 10, "threading": 5,
    "plain": 4,
}


def texts(
    home: Home, folder: Folder, messages: Sequence[Message], skip: Callable[[bytes], bool]
) -> Iterator[tuple[Message, str, str]]:
    """(message, folded headers, folded text) from the files, for all but those that `skip` says no to; kept as well."""
    kept: dict[str, list[Row]] = {"plain": []}
    for message, data in each(home, folder, messages):
        if not skip(data):
            yield message, *_keep_plain(message, data, kept)
    if kept["plain"]:
        _write(home, folder, kept, [])


def _write(home: Home, folder: Folder, kept: dict[str, list[Row]], sizes: list[Row]) -> None:
    with home.index.write() as db:
        current(db, folder)
        for table, rows in kept.items():
            if rows:
                marks = ",".join("?" * _INSERT[table])
                db.executemany(f"INSERT OR REPLACE INTO {table} VALUES({marks})", rows)
        db.executemany(
            "UPDATE message SET size=? WHERE folder=? AND uid=? AND size=-1",
            [(size, folder.id, uid) for size, uid in sizes],
        )


def undescribed(home: Home, folder: Folder, limit: int) -> list[Message]:
    """Messages of which the index doesn't know everything yet, oldest first: that keeps its pages full."""
    with home.index.read() as db:
        return [Message(*row) for row in db.execute(
            "SELECT uid, content, name, info, size FROM message m WHERE folder=? AND (size=-1 OR NOT EXISTS"
            "(SELECT 1 FROM plain p WHERE p.content=m.content) OR NOT EXISTS (SELECT 1 FROM preview p WHERE"
            " p.content=m.content)) ORDER BY uid LIMIT ?", (folder.id, limit),
        )]


def measure(home: Home, folder: Folder, check: Callable[[], None] = lambda: None) -> None:
    """Make sure that all wire sizes are known, but of messages that have gone. `check` may raise now and then."""
    with home.index.read() as db:
        unknown = [uid for uid, in db.execute(
            "SELECT uid FROM message WHERE folder=? AND size=-1 ORDER BY uid", (folder.id,)
        )]
    for start in range(0, len(unknown), MEASURED):
        check()
        describe(home, folder, locate(home, folder, unknown[start : start + MEASURED]), {"size"})


# ---- header fields

def kind_of(home: Home, column: Fields) -> int:
    """The number under which results for this list of fields are kept; 0: they aren't."""
    names = sorted({name.lower() for name in column.names})
    if column.negate or not structure.covered(names):
        return 0
    key = json.dumps([name.decode("ascii", "replace") for name in names])
    with home.index.read() as db:
        found = db.execute("SELECT id FROM kind WHERE names=?", (key,)).fetchone()
    if found:
        return int(found[0])
    now = int(home.clock.now())
    with home.index.write() as db:
        surplus = "SELECT id FROM kind ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?"
        for old, in db.execute(surplus, (KINDS - 1,)).fetchall():
            db.execute("DELETE FROM fields WHERE kind=?", (old,))
            db.execute("DELETE FROM kind WHERE id=?", (old,))
        made = db.execute("INSERT OR REPLACE INTO kind(names, used) VALUES(?, ?)", (key, now)).lastrowid
        assert made
        return made


@lru_cache(maxsize=64)
def _selector(names: tuple[bytes, ...]) -> "re.Pattern[bytes]":
    """Whole fields of these names in a header with CRLF."""
    choice = b"|".join(re.escape(name) for name in names)
    return re.compile(rb"^(?:" + choice + rb")[ \t]*+:.*+(?:\n[ \t].*+)*\n?", re.M | re.I)


def selected(block: bytes, column: Fields) -> bytes:
    """The literal for HEADER.FIELDS from a header block with CRLF."""
    if column.negate:
        block = block.removesuffix(b"\r\n") if block.endswith(b"\r\n\r\n") or block == b"\r\n" else block
        found = headers.select(block, column.names, exclude=True) + b"\r\n"
    else:
        found = b"".join(_selector(column.names).findall(block)) + b"\r\n"
    return b"{%d}\r\n%b" % (len(found), found)


def header_fields(
    home: Home, folder: Folder, messages: Sequence[Message], column: Fields, kind: int
) -> dict[int, bytes]:
    """Literals by UID; from the cached headers where they suffice, else from the files."""
    values: dict[int, bytes] = {}
    rest = list(messages)
    if kind:
        for uid, block in kept_headers(home, folder, messages).items():
            values[uid] = selected(block, column)
        rest = [message for message in messages if message.uid not in values]
    for uid, block in header_blocks(home, folder, rest).items():
        values[uid] = selected(block, column)
    if kind:
        by_uid = {message.uid: message.content for message in messages}
        kept = [(kind, by_uid[uid], value) for uid, value in values.items() if len(value) <= MAX_KEPT]
        with home.index.write() as db:
            db.executemany("INSERT OR REPLACE INTO fields VALUES(?,?,?)", kept)
    return values


def kept_headers(home: Home, folder: Folder, messages: Sequence[Message]) -> dict[int, bytes]:
    """The common fields of header blocks with CRLF, by UID, where the index has them whole."""
    found: dict[int, bytes] = {}
    with home.index.read() as db:
        for low, high in ranges_of(message.uid for message in messages):
            found.update(db.execute(
                "SELECT m.uid, h.data FROM message m JOIN header h ON h.content=m.content"
                " WHERE m.folder=? AND m.uid BETWEEN ? AND ? AND h.data<>x''", (folder.id, low, high),
            ))
    return found


def header_blocks(home: Home, folder: Folder, messages: Sequence[Message]) -> dict[int, bytes]:
    """Whole header blocks with CRLF and the empty line, by UID, from the files."""
    values: dict[int, bytes] = {}
    for message, data in each(home, folder, messages, head=True):
        values[message.uid] = lines.to_wire(headers.block(data))
    return values
