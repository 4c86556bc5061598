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

KEPT: Final = 8             # orders kept per process
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
    if names - {"ARRIVAL", "SIZE", "RELEVANCY"}:
        _describe(home, folder, check)
    if "SIZE" in names:
        _measure(home, folder, check)
    terms = ", ".join(f"{_CRITERIA[name]} {'DESC' if reverse else 'ASC'}" for name, reverse in criteria)
    with home.index.read() as db:
        return [uid for uid, in db.execute(
            "SELECT m.uid FROM message m LEFT JOIN sorting s ON s.content=m.content WHERE m.folder=?"  # noqa: S608
            f" ORDER BY {terms}, m.uid", (folder.id,),
        )]


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


def _measure(home: Home, folder: Folder, check: Callable[[], None]) -> None:
    with home.index.read() as db:
        unknown = [uid for uid, in db.execute(
            "SELECT uid FROM message WHERE folder=? AND size=-1 ORDER BY uid", (folder.id,)
        )]
    for start in range(0, len(unknown), 200):
        check()
        content.describe(home, folder, content.locate(home, folder, unknown[start : start + 200]), {"size"})


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
