"""Arguments of SEARCH, SORT and THREAD: what to do with what a search key finds.

Fails by: `BadCommand`.
RFC: 3501 and 9051 section 6.4.4; 4731 (ESEARCH), 5182 (SEARCHRES), 9394 (PARTIAL), 5256 (SORT, THREAD),
5957 (SORT=DISPLAY), 5267 (ESORT, CONTEXT).
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.wire.imap.args.searchkey import Key, search_key
from bridge.wire.imap.tokens import BadCommand, Scanner


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH and UID SEARCH; `returns` is None without RETURN."""

    uid: bool
    key: Key
    charset: str = ""
    returns: frozenset[str] | None = None
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """SORT and UID SORT; a criterion is (name, reverse)."""

    uid: bool
    criteria: tuple[tuple[str, bool], ...]
    key: Key
    charset: str
    returns: frozenset[str] | None = None
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """THREAD and UID THREAD."""

    uid: bool
    algorithm: str
    key: Key
    charset: str


_RETURNS = frozenset(("MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL", "CONTEXT", "UPDATE", "RELEVANCY"))
_CRITERIA = frozenset(
    ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO", "RELEVANCY")
)
_THREADS = frozenset(("REFERENCES", "ORDEREDSUBJECT", "REFS"))


def search(scan: Scanner) -> Search:
    """SEARCH."""
    return _search(scan, False)


def uid_search(scan: Scanner) -> Search:
    """UID SEARCH."""
    return _search(scan, True)


def _search(scan: Scanner, uid: bool) -> Search:
    scan.space()
    returns, partial = _returns(scan)
    charset = ""
    if scan.peek_keyword() == "CHARSET":
        scan.keyword()
        scan.space()
        charset = _charset(scan)
        scan.space()
    return Search(uid, search_key(scan, charset), charset, returns, partial)


def _returns(scan: Scanner) -> tuple[frozenset[str] | None, tuple[int, int] | None]:
    if scan.peek_keyword() != "RETURN":
        return None, None
    found = return_options(scan)
    scan.space()
    return found


def _charset(scan: Scanner) -> str:
    return scan.astring().decode("ascii", "replace").upper()


def return_options(scan: Scanner) -> tuple[frozenset[str], tuple[int, int] | None]:
    """RETURN (...); an empty list means ALL."""
    scan.keyword()
    scan.space()
    scan.expect(b"(")
    if scan.accept(b")"):
        return frozenset(("ALL",)), None
    options: set[str] = set()
    partial = None
    count = 1
    while True:
        option = scan.keyword()
        if option not in _RETURNS:
            raise BadCommand("Unknown return option of SEARCH")
        if option == "PARTIAL":
            if partial is not None:
                raise BadCommand("PARTIAL twice")
            scan.space()
            partial = scan.partial()
        options.add(option)
        if not scan.more(count, 16):
            break
        count += 1
    if partial is not None and "ALL" in options:
        raise BadCommand("ALL and PARTIAL exclude each other")
    return frozenset(options), partial


def sort(scan: Scanner) -> Sort:
    """SORT."""
    return _sort(scan, False)


def uid_sort(scan: Scanner) -> Sort:
    """UID SORT."""
    return _sort(scan, True)


def _sort(scan: Scanner, uid: bool) -> Sort:
    scan.space()
    returns, partial = _returns(scan)
    scan.expect(b"(")
    criteria: list[tuple[str, bool]] = []
    while True:
        word = scan.keyword()
        reverse = word == "REVERSE"
        if reverse:
            scan.space()
            word = scan.keyword()
        if word not in _CRITERIA:
            raise BadCommand("Unknown sort criterion")
        criteria.append((word, reverse))
        if not scan.more(len(criteria), 16):
            break
    scan.space()
    charset = _charset(scan)
    scan.space()
    return Sort(uid, tuple(criteria), search_key(scan, charset), charset, returns, partial)


def thread(scan: Scanner) -> Thread:
    """THREAD."""
    return _thread(scan, False)


def uid_thread(scan: Scanner) -> Thread:
    """UID THREAD."""
    return _thread(scan, True)


def _thread(scan: Scanner, uid: bool) -> Thread:
    scan.space()
    algorithm = scan.keyword()
    if algorithm not in _THREADS:
        raise BadCommand("Unknown threading algorithm")
    scan.space()
    charset = _charset(scan)
    scan.space()
    return Thread(uid, algorithm, search_key(scan, charset), charset)
