"""SEARCH with RETURN, SORT and THREAD; the keys by themselves are in test_searchkey."""

import pytest

from bridge.wire.imap.args.search import Search, Sort, Thread
from bridge.wire.imap.args.searchkey import All, Flag, Numbers
from bridge.wire.imap.grammar import arguments, name
from bridge.wire.imap.seqset import parse
from bridge.wire.imap.tokens import BadCommand, Scanner


def read(line: bytes) -> object:
    scan = Scanner((b" " + line,))
    return arguments(scan, name(scan))


def test_return_options() -> None:
    """I14, I27."""
    assert read(b"SEARCH RETURN () SEEN") == Search(False, Flag("\\Seen", True), "", frozenset({"ALL"}))
    assert read(b"UID SEARCH RETURN (MIN COUNT save) SEEN") == Search(
        True, Flag("\\Seen", True), "", frozenset({"MIN", "COUNT", "SAVE"})
    )
    assert read(b"UID SEARCH RETURN (PARTIAL -1:-100) ALL") == Search(
        True, All(), "", frozenset({"PARTIAL"}), (-1, -100)
    )


def test_sort_and_thread() -> None:
    """I16, I29."""
    assert read(b"SORT (SUBJECT REVERSE DATE) UTF-8 ALL") == Sort(
        False, (("SUBJECT", False), ("DATE", True)), All(), "UTF-8"
    )
    assert read(b"UID SORT RETURN (COUNT) (DISPLAYFROM) US-ASCII SEEN") == Sort(
        True, (("DISPLAYFROM", False),), Flag("\\Seen", True), "US-ASCII", frozenset({"COUNT"})
    )
    assert read(b"UID THREAD REFERENCES UTF-8 1:5") == Thread(True, "REFERENCES", Numbers(parse(b"1:5")), "UTF-8")


@pytest.mark.parametrize(
    "line",
    [
        b"SEARCH RETURN (FOO) ALL",
        b"SEARCH RETURN (ALL PARTIAL 1:2) ALL",
        b"SEARCH RETURN (PARTIAL 1:-2) ALL",
        b"SORT () UTF-8 ALL",
        b"SORT (FOO) UTF-8 ALL",
        b"SORT (REVERSE) UTF-8 ALL",
        b"SORT (DATE) ALL",
        b"THREAD FOO UTF-8 ALL",
    ],
)
def test_refuses(line: bytes) -> None:
    """sec-I05: options and criteria that nobody knows, or that exclude each other."""
    with pytest.raises(BadCommand):
        read(line)
