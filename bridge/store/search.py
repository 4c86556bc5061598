"""SEARCH: a tree of keys becomes sets of UIDs, by SQL where the index knows and by reading files where it doesn't.

Promises: cheap keys are asked first and narrow what dear ones must look at; what isn't described yet is described for
the key that needs it; comparison ignores case and accents, and looks at decoded headers and bodies (I36). No lock is
held while files are read; `cancelled` is asked between messages (sec-I05).
Fails by: FolderGone, StoreError. A message that vanishes meanwhile doesn't match.
RFC: 9051 6.4.4, 5032 (WITHIN), 7162 (MODSEQ), 8474, 8514.
"""
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from sqlite3 import Connection

from bridge.model.errors import PeerError
from bridge.store import content
from bridge.store.flags import bits_of
from bridge.store.home import FolderRow, Home, current
from bridge.store.mail import Folder
from bridge.wire import charset, headers, structure
from bridge.wire.imap.args import searchkey as keys
from bridge.wire.imap.args.searchkey import Key
from bridge.wire.imap.seqset import SequenceSet

DAY = 86_400
_COLUMNS = {"SUBJECT": "subject", "FROM": "sender", "TO": "receiver", "CC": "cc", "BCC": "bcc"}
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class Cancelled(PeerError):
    """The client went away, or the search took too long."""


@dataclass(slots=True)
class Query:
    """One search over one folder. `uids`: the session's view (sequence numbers count in it), ascending; `recent`: see
    `Selected`; `saved`: the UIDs of `$`."""

    home: Home
    folder: Folder
    uids: Sequence[int]
    recent: int = 0
    saved: Sequence[int] = ()
    cancelled: Callable[[], bool] = field(default=lambda: False)

    def run(self, key: Key) -> list[int]:
        """Matching UIDs, ascending."""
        with self.home.index.read() as db:
            current(db, self.folder)
            there = {uid for uid, in db.execute("SELECT uid FROM message WHERE folder=?", (self.folder.id,))}
        return sorted(self._match(key, there.intersection(self.uids)))

    def _match(self, key: Key, among: set[int]) -> set[int]:
        """Those of `among` that match; the depth of a key is bounded where it is parsed."""
        match key:
            case _ if not among:
                return set()
            case keys.All() | keys.SaveDateSupported():
                return among
            case keys.And(parts):
                for part in sorted(parts, key=_cost):
                    among = self._match(part, among)
                return among
            case keys.Or(left, right):
                first, second = sorted((left, right), key=_cost)
                found = self._match(first, among)
                return found | self._match(second, among - found)
            case keys.Not(inner):
                return among - self._match(inner, among)
            case keys.Fuzzy(inner):
                return self._match(inner, among)
            case keys.Numbers(messages):
                return among & self._numbered(messages)
            case keys.Uids(messages):
                return among & self._named(messages)
            case keys.Header(name, value):
                return self._header(name, charset.fold(value), among)
            case keys.Text(value, body_only):
                return self._text(charset.fold(value), body_only, among)
            case _:
                return among & self._sql(key)

    # -- numbers

    def _numbered(self, messages: SequenceSet) -> set[int]:
        if messages.saved:
            return set(self.saved)
        found: set[int] = set()
        for low, high in messages.numbers(len(self.uids)):
            found.update(self.uids[low - 1 : high])
        return found

    def _named(self, messages: SequenceSet) -> set[int]:
        if messages.saved:
            return set(self.saved)
        found: set[int] = set()
        for start, stop in messages.slices(self.uids):
            found.update(self.uids[start:stop])
        return found

    # -- what the index knows

    def _sql(self, key: Key) -> set[int]:
        with self.home.index.read() as db:
            row = current(db, self.folder)
            if isinstance(key, keys.Flag):
                return self._flag(db, row, key)
            if (isinstance(key, keys.Day) and key.which == "SENT") or isinstance(key, keys.ThreadId):
                everything = self._every(db)
            else:
                everything = set()
        if everything:
            self._describe(everything)
        if isinstance(key, keys.Size):
            content.measure(self.home, self.folder, self._check)
        condition, values = self._condition(key)
        with self.home.index.read() as db:
            statement = f"SELECT m.uid FROM message m WHERE m.folder=? AND {condition}"  # noqa: S608
            return {uid for uid, in db.execute(statement, (self.folder.id, *values))}

    def _every(self, db: Connection) -> set[int]:
        return {uid for uid, in db.execute("SELECT uid FROM message WHERE folder=?", (self.folder.id,))}

    def _flag(self, db: Connection, row: FolderRow, key: keys.Flag) -> set[int]:
        if key.flag.lower() == "\\recent":
            operator = ">=" if key.present else "<"
            statement = f"SELECT uid FROM message WHERE folder=? AND uid {operator} ?"  # noqa: S608
            return {uid for uid, in db.execute(statement, (row.id, self.recent or row.uidnext))}
        bits, _ = bits_of((key.flag,), row.names)
        if not bits:
            return set() if key.present else self._every(db)
        wanted = bits if key.present else 0
        return {uid for uid, in db.execute(
            "SELECT uid FROM message WHERE folder=? AND flags&?=?", (row.id, bits, wanted)
        )}

    def _condition(self, key: Key) -> tuple[str, tuple[int | None, ...]]:
        match key:
            case keys.Day("SENT", compare, day):
                sent = "coalesce((SELECT sent+zone*60 FROM sorting s WHERE s.content=m.content), m.date)"
                return _days(sent, compare, day)
            case keys.Day(which, compare, day):
                return _days("m.date" if which == "INTERNAL" else "m.saved", compare, day)
            case keys.Size(larger, octets):
                return ("m.size>?" if larger else "m.size<?"), (octets,)
            case keys.Age(older, seconds):
                limit = int(self.home.clock.now()) - seconds
                return ("m.date<=?" if older else "m.date>=?"), (limit,)
            case keys.ModSeq(least):
                return "m.modseq>=?", (least,)
            case keys.EmailId(value):
                return "m.content=?", (content.content_of(self.folder.uidvalidity, value),)
            case keys.ThreadId(value):
                number = content.thread_of(value)
                return "(SELECT thread FROM threading t WHERE t.content=m.content)=?", (number,)
            case _:
                raise TypeError(f"no such search key: {key}")

    def _describe(self, among: set[int]) -> None:
        """Make sure that words and sort keys of these are in the index."""
        describe_words(self.home, self.folder, among, self._check)

    # -- headers

    def _header(self, name: str, value: str, among: set[int]) -> set[int]:
        column = _COLUMNS.get(name)
        field = name.encode("ascii", "replace").lower()
        if not column or not value:
            return self._read_headers(field, value, among)
        with self.home.index.read() as db:
            statement = (
                f"SELECT m.uid, w.content IS NOT NULL FROM message m LEFT JOIN words w ON w.content=m.content"  # noqa: S608
                f" WHERE m.folder=? AND (w.content IS NULL OR instr(w.{column}, ?)>0)"
            )
            rows = db.execute(statement, (self.folder.id, value)).fetchall()
        found = among & {uid for uid, known in rows if known}
        return found | self._read_headers(field, value, among & {uid for uid, known in rows if not known})

    def _read_headers(self, name: bytes, value: str, among: set[int]) -> set[int]:
        """Fields that have no column: from the common headers where they are kept, else from the files."""
        found: set[int] = set()
        ordered = sorted(among)
        for start in range(0, len(ordered), content.BATCH):
            self._check()
            messages = content.locate(self.home, self.folder, ordered[start : start + content.BATCH])
            blocks: dict[int, bytes] = {}
            if structure.covered((name,)):
                blocks = content.kept_headers(self.home, self.folder, messages)
            missing = [message for message in messages if message.uid not in blocks]
            blocks.update(content.header_blocks(self.home, self.folder, missing))
            plain = value.encode("ascii") if value.isascii() and " " not in value else b""
            for uid, block in blocks.items():
                if plain and block.isascii() and b"=?" not in block and plain not in block.lower():
                    continue
                if any(value in charset.fold(headers.decode(one)) for one in headers.every(block, name)):
                    found.add(uid)
        return found

    # -- bodies

    def _text(self, value: str, body_only: bool, among: set[int]) -> set[int]:
        """By the texts that the index keeps; what it doesn't (or not in full) is read."""
        if not value:
            return among
        found, unsure = self._kept_text(value, body_only, sorted(among))
        quick = value.isascii() and (body_only or " " not in value)     # a header may be folded at a blank
        plain = value.encode("ascii") if quick else b""
        for start in range(0, len(unsure), content.BATCH):
            messages = content.locate(self.home, self.folder, unsure[start : start + content.BATCH])
            for message, head, body in content.texts(
                self.home, self.folder, messages, lambda data: self._without(plain, data)
            ):
                if value in body or (not body_only and value in head):
                    found.add(message.uid)
        return found

    def _kept_text(self, value: str, body_only: bool, uids: list[int]) -> tuple[set[int], list[int]]:
        """(those that match, those that must be read)."""
        found: set[int] = set()
        unsure: list[int] = []
        test = "instr(p.body, ?1)>0" if body_only else "(instr(p.body, ?1)>0 OR instr(p.head, ?1)>0)"
        statement = (
            f"SELECT m.uid, CASE WHEN p.content IS NULL THEN 0 WHEN {test} THEN 1 WHEN p.whole THEN 2 ELSE 0 END state"  # noqa: S608
            " FROM message m LEFT JOIN plain p ON p.content=m.content WHERE m.folder=?2 AND m.uid BETWEEN ?3 AND ?4"
            " AND state<2"
        )
        wanted = set(uids)
        for start in range(0, len(uids), content.BATCH):
            self._check()
            last = uids[min(start + content.BATCH, len(uids)) - 1]
            with self.home.index.read() as db:
                for uid, state in db.execute(statement, (value, self.folder.id, uids[start], last)):
                    if uid not in wanted:
                        continue
                    if state:
                        found.add(uid)
                    else:
                        unsure.append(uid)
        return found, unsure

    def _without(self, plain: bytes, data: bytes) -> bool:
        self._check()
        return bool(plain) and _surely_without(plain, data)

    def _check(self) -> None:
        if self.cancelled():
            raise Cancelled("search cancelled")


def describe_words(home: Home, folder: Folder, among: set[int], check: Callable[[], None]) -> None:
    """Put words, sort keys and thread references of these messages into the index."""
    with home.index.read() as db:
        missing = [uid for uid, in db.execute(
            "SELECT uid FROM message m WHERE folder=? AND NOT EXISTS"
            "(SELECT 1 FROM words w WHERE w.content=m.content) ORDER BY uid", (folder.id,),
        ) if uid in among]
    for start in range(0, len(missing), content.BATCH):
        check()
        messages = content.locate(home, folder, missing[start : start + content.BATCH])
        content.describe(home, folder, messages, {"words"})


def _surely_without(value: bytes, data: bytes) -> bool:
    """True where a message is plain ASCII without any encoding and doesn't have the text: no need to decode it."""
    if not data.isascii():
        return False
    low = data.lower()
    if value in low or b"text/html" in low:
        return False
    return not (b"base64" in low or b"quoted-printable" in low or b"uuencode" in low or b"=?" in low or b"utf-" in low)


def _days(source: str, compare: str, day: datetime.date) -> tuple[str, tuple[int, ...]]:
    """A comparison by day, as the index has dates: in UTC."""
    start = (day.toordinal() - _EPOCH) * DAY
    if compare == "<":
        return f"{source}<?", (start,)
    if compare == ">=":
        return f"{source}>=?", (start,)
    return f"{source} BETWEEN ? AND ?", (start, start + DAY - 1)


def _cost(key: Key) -> int:
    """How dear a key is: index, headers, bodies."""
    match key:
        case keys.Text():
            return 3
        case keys.Header(name, _):
            return 1 if name in _COLUMNS else 2
        case keys.And(parts):
            return max(map(_cost, parts), default=0)
        case keys.Or(left, right):
            return max(_cost(left), _cost(right))
        case keys.Not(inner) | keys.Fuzzy(inner):
            return _cost(inner)
        case _:
            return 0
