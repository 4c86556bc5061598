"""The view against a naive client: whatever happens, the lines we send keep the client's list right (I34)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap.view import Dialect, View
from tests.bridge.wire.imap.reader import Data, read

DIALECTS = {
    "rev1": Dialect(),
    "rev2": Dialect(recent=False, with_uid=True),
    "condstore": Dialect(modseq=True),
    "qresync": Dialect(vanished=True, modseq=True),
    "uidonly": Dialect(uidonly=True, vanished=True, recent=False),
}


class Client:
    """What a client makes of the lines: a list that may hold unknown UIDs (None), and flags by place or UID."""

    def __init__(self, uids: list[int]) -> None:
        self.uids: list[int | None] = list(uids)
        self.flags: dict[int, frozenset[str]] = {}

    def apply(self, data: bytes, server: list[int]) -> None:
        for response in read(data):
            assert isinstance(response, Data)
            values = response.values
            if response.word == "EXISTS":
                assert values[0] > len(self.uids), "EXISTS never shrinks, nor tells nothing"
                self.uids += [None] * (values[0] - len(self.uids))
            elif response.word == "EXPUNGE":
                del self.uids[values[0] - 1]
            elif response.word == "VANISHED":
                gone = numbers(str(values[1]))
                self.uids = [uid for uid in self.uids if uid not in gone]
            elif response.word in ("FETCH", "UIDFETCH"):
                self.fetch(response.word, values, server)
            else:
                assert response.word == "RECENT"

    def fetch(self, word: str, values: list, server: list[int]) -> None:
        items = dict(zip(values[2][::2], values[2][1::2]))
        if word == "UIDFETCH":
            uid = values[0]
        else:
            assert 1 <= values[0] <= len(self.uids), "FETCH of a message the client doesn't count"
            place = values[0] - 1
            if self.uids[place] is None:
                self.uids[place] = server[place]
            uid = self.uids[place]
            assert items.get("UID", uid) == uid
        self.flags[uid] = frozenset(str(flag) for flag in items["FLAGS"])

    def learn(self, server: list[int]) -> None:
        """The client asks for the UIDs it doesn't know (FETCH n UID)."""
        self.uids = [server[place] if uid is None else uid for place, uid in enumerate(self.uids)]


def numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition(":")
        found |= set(range(int(low), int(high or low) + 1))
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("expunge"), st.lists(st.integers(0, 30), min_size=1, max_size=25)),
        st.tuples(st.just("flags"), st.tuples(st.integers(0, 30), st.sampled_from(["", "\\Seen", "a b"]))),
        st.tuples(st.just("flush"), st.booleans()),
    ),
    max_size=30,
)


@pytest.mark.parametrize("name", DIALECTS)
@given(start=st.integers(0, 25), steps=STEPS)
def test_the_client_ends_with_the_servers_list(name: str, start: int, steps: list) -> None:
    dialect = DIALECTS[name]
    server = [uid * 2 for uid in range(1, start + 1)]
    told_flags: dict[int, frozenset[str]] = {}
    view, client = View(server), Client(server)
    next_uid, modseq = start * 2 + 3, 1
    for kind, value in [*steps, ("flush", True)]:
        modseq += 1
        if kind == "append":
            fresh = list(range(next_uid, next_uid + value))
            next_uid += value + 1
            server += fresh
            view.appended(fresh, recent=True)
        elif kind == "expunge":
            gone = {server[place] for place in value if place < len(server)}
            server = [uid for uid in server if uid not in gone]
            view.expunged([*gone, 999_999])
        elif kind == "flags" and value[0] < len(server):
            uid = server[value[0]]
            view.flags(uid, b"(" + value[1].encode() + b")", modseq)
            told_flags[uid] = frozenset(value[1].split())
        elif kind == "flush":
            lines = view.flush(value, dialect)
            if not value:
                assert not re.search(rb"EXPUNGE|VANISHED", lines)
            client.apply(lines, list(view.uids))
            client.learn(list(view.uids))
            assert client.uids == list(view.uids)
    assert list(view.uids) == server
    assert not view.pending
    for uid in server:
        assert view.uid(view.number(uid)) == uid
        if uid in told_flags:
            assert client.flags[uid] - {"\\Recent"} == told_flags[uid]


def test_expunges_are_told_from_the_end() -> None:
    view = View([1, 2, 3, 4, 5])
    view.expunged([2, 4])
    view.appended([9])
    assert view.flush() == b"* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n* 4 EXISTS\r\n* 0 RECENT\r\n"


def test_held_back_while_numbers_are_in_use() -> None:
    view = View([1, 2, 3])
    view.expunged([1])
    view.appended([4], recent=True)
    view.flags(3, b"(\\Seen)")
    assert view.flush(expunge=False) == b"* 4 EXISTS\r\n* 1 RECENT\r\n* 3 FETCH (FLAGS (\\Seen))\r\n"
    assert view.gone(1)
    assert view.flush(expunge=True) == b"* 1 EXPUNGE\r\n"
    assert view.flush() == b""


def test_qresync_and_uidonly() -> None:
    """I13, I27."""
    view = View([1, 2, 3, 7])
    view.expunged([2, 3])
    view.flags(7, b"()", 99)
    assert view.flush(dialect=DIALECTS["qresync"]) == b"* VANISHED 2:3\r\n* 2 FETCH (UID 7 FLAGS () MODSEQ (99))\r\n"
    view.flags(7, b"(\\Seen)", 100)
    assert view.flush(dialect=DIALECTS["uidonly"]) == b"* 7 UIDFETCH (FLAGS (\\Seen))\r\n"


def test_messages_that_came_and_went_are_never_told() -> None:
    view = View([1])
    view.appended([2, 3], recent=True)
    view.flags(2, b"(\\Seen)")
    view.expunged([2, 3])
    assert not view.pending
    assert view.recent_count == 0


def test_old_news_changes_nothing() -> None:
    view = View([1, 5])
    view.appended([1, 3, 5])
    view.expunged([2, 77])
    view.flags(5, b"(b)", 7)
    view.flags(5, b"(a)", 6)
    assert view.flush() == b"* 2 FETCH (FLAGS (b))\r\n"


def test_recent_shows_in_the_flags_of_rev1_only() -> None:
    view = View([1, 2], recent=[1, 2])
    view.flags(1, b"()")
    view.flags(2, b"(\\Seen)")
    assert view.flush() == b"* 1 FETCH (FLAGS (\\Recent))\r\n* 2 FETCH (FLAGS (\\Seen \\Recent))\r\n"
    view.flags(1, b"()")
    assert view.flush(dialect=DIALECTS["rev2"]) == b"* 1 FETCH (UID 1 FLAGS ())\r\n"
    assert view.recent(1)


def test_flags_told_in_another_way_are_not_told_again() -> None:
    view = View([1, 2])
    view.flags(1, b"(\\Seen)")
    view.forget_flags([1])
    assert view.flush() == b""


def test_large_mailboxes() -> None:
    """I40: half of 100,000 messages expunged; a quadratic way would take minutes."""
    view = View(range(1, 100_001))
    view.expunged(range(1, 100_001, 2))
    assert view.flush().count(b"EXPUNGE") == 50_000
    assert len(view) == 50_000
    assert view.number(100_000) == 50_000
    assert view.number(99_999) == 0
    assert (view.uid(0), view.uid(50_001)) == (0, 0)
