"""SORT and THREAD: orders of a whole folder, made from sort keys in the index and kept while its membership lasts.

Promises: an order is computed once for all messages of a folder and then only filtered, until a message comes or goes;
what is kept is bounded. Nothing recurses over the length of a thread.
Fails by: FolderGone, StoreError.
RFC: 5256 (SORT, THREAD=ORDEREDSUBJECT, THREAD=REFERENCES), 5957 (SORT=DISPLAY).
"""
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bridge.store import content, threads
from bridge.store.home import Home, current
from bridge.store.mail import Folder
from bridge.store.search import describe_words
from bridge.wire import dates, headers, structure

KEPT: Final = 8             # orders kept per process
FEW: Final = 200            # messages that are described for an order; more are only glanced at
_SENT = "coalesce(s.sent, m.date)"
_CRITERIA: Final = {
    "ARRIVAL": "m.date", "DATE": _SENT, "SIZE": "m.size", "SUBJECT": "s.base", "FROM": "s.sender", "TO": "s.receiver",
    "CC": "s.cc", "DISPLAYFROM": "s.display", "DISPLAYTO": "s.display_to", "RELEVANCY": "0",
}

_lock = threading.Lock()
_kept: dict[tuple[Any, ...], Any] = {}


def sort(
    home: Home, folder: Folder, criteria: Sequence[tuple[str, bool]], uids: Sequence[int],
    check: Callable[[], None] = lambda: None,
) -> list[int]:
    """These UIDs in order; what is equal stays in UID order."""
    order = _remembered(home, folder, ("sort", *criteria), lambda: _sorted(home, folder, criteria, check))
    if len(uids) == len(order):
        return list(order)
    wanted = set(uids)
    return [uid for uid in order if uid in wanted]


def _sorted(home: Home, folder: Folder, criteria: Sequence[tuple[str, bool]], check: Callable[[], None]) -> list[int]:
    names = {name for name, _ in criteria}
    if "SIZE" in names:
        content.measure(home, folder, check)
    if names <= {"ARRIVAL", "DATE", "SUBJECT"} and names != {"ARRIVAL"}:
        glanced = _glance(home, folder, check)
        if glanced is not None:
            return _by_glance(home, folder, criteria, glanced)
    if names - {"ARRIVAL", "SIZE", "RELEVANCY"}:
        _describe(home, folder, check)
    terms = ", ".join(f"{_CRITERIA[name]} {'DESC' if reverse else 'ASC'}" for name, reverse in criteria)
    with home.index.read() as db:
        return [uid for uid, in db.execute(
            "SELECT m.uid FROM message m LEFT JOIN sorting s ON s.content=m.content WHERE m.folder=?"  # noqa: S608
            f" ORDER BY {terms}, m.uid", (folder.id,),
        )]


def _by_glance(
    home: Home, folder: Folder, criteria: Sequence[tuple[str, bool]], glanced: list[threads.Message]
) -> list[int]:
    with home.index.read() as db:
        arrived = dict(db.execute("SELECT uid, date FROM message WHERE folder=?", (folder.id,)).fetchall())
    keys: dict[str, Callable[[threads.Message], Any]] = {
        "ARRIVAL": lambda one: arrived.get(one.uid, 0), "DATE": lambda one: one.sent, "SUBJECT": lambda one: one.base,
    }
    for name, reverse in reversed(criteria):    # stable both ways: what is equal stays in UID order
        glanced.sort(key=keys[name], reverse=reverse)
    return [one.uid for one in glanced]


def _glance(home: Home, folder: Folder, check: Callable[[], None]) -> list[threads.Message] | None:
    """Dates, subjects and ids right from the headers, where much isn't described yet; None: the index knows enough."""
    with home.index.read() as db:
        total, known = db.execute(
            "SELECT count(*), count(s.content) FROM message m LEFT JOIN sorting s ON s.content=m.content"
            " WHERE m.folder=?", (folder.id,),
        ).fetchone()
        if total - known <= FEW:
            return None
        rows = db.execute("SELECT uid, date FROM message WHERE folder=? ORDER BY uid", (folder.id,)).fetchall()
    dates_of = dict(rows)
    found: list[threads.Message] = []
    for start in range(0, len(rows), content.BATCH):
        check()
        messages = content.locate(home, folder, [uid for uid, _ in rows[start : start + content.BATCH]])
        for message, data in content.each(home, folder, messages, head=True):
            found.append(_glanced(message.uid, dates_of[message.uid], headers.block(data)))
    found.sort(key=lambda one: one.uid)
    return found


def _glanced(uid: int, arrived: int, block: bytes) -> threads.Message:
    sent = dates.parse(headers.unfold(headers.first(block, b"date") or b""))
    base, reply = structure.base_subject(headers.decode(headers.first(block, b"subject") or b""))
    ids = structure.references(headers.first(block, b"references") or b"")
    if not ids:
        before = structure.message_id(headers.first(block, b"in-reply-to") or b"")
        ids = (before,) if before else ()
    own = structure.message_id(headers.first(block, b"message-id") or b"")
    return threads.Message(uid, sent[0] if sent else arrived, own, " ".join(ids), base, int(reply))


def thread(
    home: Home, folder: Folder, algorithm: str, uids: Sequence[int], numbers: Mapping[int, int] | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[threads.Node]:
    """Threads of these messages. `numbers`: what to put for a UID (sequence numbers); None: UIDs."""
    rows = _remembered(home, folder, ("thread",), lambda: _thread_rows(home, folder, check))
    if len(uids) != len(rows):
        wanted = set(uids)
        rows = [row for row in rows if row.uid in wanted]
        found = threads.build(algorithm, rows)
    else:
        found = _remembered(home, folder, ("threads", algorithm), lambda: threads.build(algorithm, rows))
    return threads.numbered(found, numbers) if numbers is not None else found


def _thread_rows(home: Home, folder: Folder, check: Callable[[], None]) -> list[threads.Message]:
    glanced = _glance(home, folder, check)
    if glanced is not None:
        return glanced
    _describe(home, folder, check)
    with home.index.read() as db:
        return [threads.Message(*row) for row in db.execute(
            f"SELECT m.uid, {_SENT}, coalesce(t.id,''), coalesce(t.refs,''), coalesce(s.base,''), coalesce(s.reply,0)"  # noqa: S608
            " FROM message m LEFT JOIN sorting s ON s.content=m.content LEFT JOIN threading t ON t.content=m.content"
            " WHERE m.folder=? ORDER BY m.uid", (folder.id,),
        )]


def _describe(home: Home, folder: Folder, check: Callable[[], None]) -> None:
    with home.index.read() as db:
        everything = {uid for uid, in db.execute("SELECT uid FROM message WHERE folder=?", (folder.id,))}
    describe_words(home, folder, everything, check)


def _remembered(home: Home, folder: Folder, what: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """The kept result for a folder with the members that it has now."""
    with home.index.read() as db:
        membership = current(db, folder).membership
    key = (str(home.path), home.index.generation, folder.id, folder.uidvalidity, membership, what)
    with _lock:
        if key in _kept:
            _kept[key] = found = _kept.pop(key)
            return found
    found = make()
    with home.index.read() as db:
        if current(db, folder).membership != membership:
            return found
    with _lock:
        _kept[key] = found
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return found
