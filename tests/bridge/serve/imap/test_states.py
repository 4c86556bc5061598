"""Three sessions do random things to one mailbox; each keeps books by what it is told, as clients do (I34, P17).

The books must never contradict a line of the server (a number beyond EXISTS, an EXPUNGE inside of a FETCH), and in the
end all books are the same and are what a new session sees; a UID never means another message.
"""
import random

import pytest

from tests.bridge.serve.imap.world import Talk, fetched, letter
from tests.bridge.wire.imap.reader import Data

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Deleted", "$Uno", "$Dos")
HOLDING = ("FETCH", "STORE", "SEARCH")


class Books:
    """What one client believes."""

    def __init__(self, world, qresync, contents):
        self.talk = Talk(world, "ana")
        self.contents = contents            # UID -> subject, shared: what a UID was when it was first seen
        self.qresync = qresync
        if qresync:
            self.talk.ok("ENABLE QRESYNC")
        self.messages: list[list] = []      # [uid or 0, flags or None]
        self.do("SELECT INBOX")
        self.learn_uids()

    def do(self, text):
        if ".SILENT" in text:       # the client knows what it does
            row = self.messages[int(text.split()[1]) - 1]
            row[1] = row[1] | {"\\Deleted"}
        out, end = self.talk.command(text)
        word = text.split()[0]
        for one in out:
            if isinstance(one, Data):
                self.apply(one.values, word)
        assert end.word in ("OK", "NO"), (text, end)
        return out

    def apply(self, values, word):
        if values[0] == "VANISHED":
            assert word not in HOLDING
            assert self.qresync
            gone = {n for part in str(values[1]).split(",") for n in span(part)}
            assert gone <= {uid for uid, _ in self.messages}
            self.messages = [one for one in self.messages if one[0] not in gone]
        elif not isinstance(values[0], int):
            return
        elif values[1] == "EXISTS":
            assert values[0] >= len(self.messages)
            self.messages += [[0, None] for _ in range(values[0] - len(self.messages))]
        elif values[1] == "EXPUNGE":
            assert word not in HOLDING, word
            assert not self.qresync
            assert 1 <= values[0] <= len(self.messages)
            del self.messages[values[0] - 1]
        elif values[1] == "FETCH":
            assert 1 <= values[0] <= len(self.messages)
            row, items = self.messages[values[0] - 1], fetched(values)
            if "UID" in items:
                assert row[0] in (0, items["UID"])
                row[0] = items["UID"]
            if "FLAGS" in items:
                row[1] = frozenset(items["FLAGS"]) - {"\\Recent"}
            if "ENVELOPE" in items:
                assert self.contents.setdefault(row[0], items["ENVELOPE"][1]) == items["ENVELOPE"][1]

    def learn_uids(self):
        if self.messages and not all(uid and flags is not None for uid, flags in self.messages):
            self.do("FETCH 1:* (UID FLAGS)")
            self.do("FETCH 1:* (UID ENVELOPE)")

@pytest.fixture
def opened():
    found = []

    def keep(books):
        found.append(books)
        return books

    yield keep
    for books in found:
        books.talk.close()


def span(text):
    low, _, high = text.partition(":")
    return range(int(low), int(high or low) + 1)


def step(rng, books, world, number):
    count = len(books.messages)
    choice = rng.random()
    if choice < 0.12:
        world.put(number)
    elif choice < 0.2:
        books.talk.append(letter(number))   # what is told on the way is told again by the next command at the latest
        books.do("UNSELECT")
        books.messages = []
        books.do("SELECT INBOX")
        books.learn_uids()
    elif not count or choice < 0.32:
        books.do("NOOP")
        books.learn_uids()
    else:
        low, high = sorted((rng.randint(1, count), rng.randint(1, count)))
        flags = " ".join(rng.sample(FLAGS, rng.randint(1, 2)))
        books.do(rng.choice((
            f"STORE {low}:{high} {rng.choice('+-')}FLAGS ({flags})", f"STORE {low} +FLAGS.SILENT (\\Deleted)",
            f"STORE {low} FLAGS ({flags})", "EXPUNGE", f"FETCH {low}:{high} (UID FLAGS)", f"FETCH {low} BODY[TEXT]",
            f"COPY {low} INBOX", f"MOVE {low}:{min(low + 1, high)} Otra", "SEARCH UNSEEN", "CHECK",
            f"UID SEARCH {low}:{high} FLAGGED", f"UID STORE 1:* -FLAGS ({flags})",
        )))
        books.learn_uids()


@pytest.mark.parametrize("seed", [1, 2, 12])
def test_books_agree(world, opened, seed):
    rng = random.Random(seed)
    world.mail().create("Otra")
    for number in range(6):
        world.put(number)
    contents = {}
    all_books = [opened(Books(world, index == 2, contents)) for index in range(3)]
    for number in range(120):
        step(rng, rng.choice(all_books), world, 100 + number)
    for books in all_books:
        books.do("NOOP")
        books.learn_uids()
    fresh = opened(Books(world, False, contents))
    for books in all_books:
        assert [uid for uid, _ in books.messages] == [uid for uid, _ in fresh.messages]
        assert books.messages == fresh.messages
