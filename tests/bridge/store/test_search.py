"""SEARCH, SORT and THREAD over a real folder."""
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.config.store import Store
from bridge.store import order, threads
from bridge.store.mailbox import Mailstore
from bridge.store.search import Cancelled
from bridge.wire.imap.args.searchkey import (
    Age,
    All,
    And,
    Day,
    EmailId,
    Flag,
    Header,
    ModSeq,
    Not,
    Numbers,
    Or,
    Size,
    Text,
    ThreadId,
    Uids,
)
from bridge.wire.imap.seqset import SAVED, parse

MAILS = [
    b"From: Ana <ana@example.org>\nTo: l@example.org\nSubject: =?utf-8?q?Reuni=C3=B3n?=\nMessage-ID: <1@x>\n"
    b"Date: Mon, 02 Mar 2026 10:00:00 +0100\nList-Id: <devel.example.org>\n\nplain words here\n",
    b"From: Bea <bea@example.org>\nTo: l@example.org\nSubject: Re: =?utf-8?q?Reuni=C3=B3n?=\nMessage-ID: <2@x>\n"
    b"References: <1@x>\nDate: Mon, 02 Mar 2026 12:00:00 +0100\nContent-Transfer-Encoding: base64\n"
    b"Content-Type: text/plain; charset=utf-8\n\nw4FyYm9sIGdyYW5kZQo=\n",
    b"From: Carl <carl@example.org>\nCc: ana@example.org\nSubject: other\nMessage-ID: <3@x>\n"
    b"Date: Sun, 01 Mar 2026 10:00:00 +0000\nContent-Type: text/html\n\n<p>some <b>pl</b>ain &amp; text</p>\n",
    b"From: Bea <bea@example.org>\nSubject: Re: other\nMessage-ID: <4@x>\nReferences: <gone@x> <3@x>\n"
    b"Date: Tue, 03 Mar 2026 10:00:00 +0000\n\n" + b"long " * 500 + b"\n",
]


@dataclass(frozen=True)
class Person:
    maildir: Path
    address: str = "ana@example.org"


@pytest.fixture
def box(tmp_path):
    path = tmp_path / "Maildir"
    for sub in ("new", "cur", "tmp"):
        (path / sub).mkdir(parents=True)
    for number, mail in enumerate(MAILS, 1):
        name = path / "new" / f"{1_700_000_000 + number * 86_400}.{number}.host"
        name.write_bytes(mail)
        os.utime(name, (1_700_000_000 + number * 86_400,) * 2)
    account = Mailstore(Store(), background=False).open(Person(path))
    yield account
    account.close()


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize(("key", "hits"), [
    (All(), [1, 2, 3, 4]),
    (Header("SUBJECT", "REUNION"), [1, 2]),
    (Header("SUBJECT", "reunión"), [1, 2]),
    (Header("FROM", "bea@"), [2, 4]),
    (Header("CC", "ana"), [3]),
    (Header("BCC", "ana"), []),
    (Header("CC", ""), [3]),
    (Header("LIST-ID", "DEVEL"), [1]),
    (Header("X-NOTHING", ""), []),
    (Header("MESSAGE-ID", "<3@x>"), [3]),
    (Text("arbol", True), [2]),
    (Text("ÁRBOL GRANDE", True), [2]),
    (Text("plain & text", True), [3]),
    (Text("plain", True), [1, 3]),
    (Text("here\nplain", True), []),
    (Text("reunion", True), []),
    (Text("reunion", False), [1, 2]),
    (Text("devel.example", False), [1]),
    (Text("", True), [1, 2, 3, 4]),
    (Flag("\\Seen", False), [1, 2, 3, 4]),
    (Flag("\\Seen", True), []),
    (Flag("$Nope", False), [1, 2, 3, 4]),
    (Flag("\\Recent", True), [3, 4]),
    (Flag("\\Recent", False), [1, 2]),
    (Day("INTERNAL", "<", day("2023-11-16")), [1]),
    (Day("INTERNAL", "=", day("2023-11-16")), [2]),
    (Day("INTERNAL", ">=", day("2023-11-16")), [2, 3, 4]),
    (Day("SENT", "=", day("2026-03-02")), [1, 2]),
    (Day("SENT", "<", day("2026-03-02")), [3]),
    (Day("SAVED", ">=", day("2026-01-01")), [1, 2, 3, 4]),
    (Size(True, 1000), [4]),
    (Size(False, 1000), [1, 2, 3]),
    (Age(True, 60), [1, 2, 3, 4]),
    (Age(False, 60), []),
    (Numbers(parse(b"2:3")), [2, 3]),
    (Numbers(SAVED), [1, 4]),
    (Uids(parse(b"3:*")), [3, 4]),
    (ModSeq(1), [1, 2, 3, 4]),
    (ModSeq(99), []),
    (EmailId("M0000000000000001"), []),
    (ThreadId("nonsense"), []),
    (Not(Header("FROM", "bea")), [1, 3]),
    (Or(Text("arbol", True), Header("FROM", "carl")), [2, 3]),
    (And((Text("plain", True), Flag("\\Seen", False), Header("FROM", "ana"))), [1]),
])
def test_keys(box, key, hits, described):
    """I36, I14: each key finds the same before and after messages are described."""
    view = box.select("INBOX")
    if described:
        box.tidy("INBOX")
    assert box.search(view.folder, key, view.uids, recent=3, saved=(1, 4)) == hits


def test_a_search_can_be_stopped(box):
    """sec-I05"""
    view = box.select("INBOX")
    with pytest.raises(Cancelled):
        box.search(view.folder, Text("words", True), view.uids, cancelled=lambda: True)


def test_sequence_numbers_are_those_of_the_view(box):
    view = box.select("INBOX")
    box.expunge(view.folder, ((1, 1),), marked=False)
    assert box.search(view.folder, Numbers(parse(b"1:2")), view.uids) == [2]


@pytest.mark.parametrize(("criteria", "result"), [
    ([("DATE", False)], [3, 1, 2, 4]),
    ([("DATE", True)], [4, 2, 1, 3]),
    ([("SUBJECT", False), ("DATE", True)], [4, 3, 2, 1]),
    ([("SUBJECT", False)], [3, 4, 1, 2]),
    ([("FROM", True), ("ARRIVAL", True)], [3, 4, 2, 1]),
    ([("SIZE", False)], sorted(range(1, 5), key=lambda n: len(MAILS[n - 1].replace(b"\n", b"\r\n")))),
    ([("DISPLAYFROM", False)], [1, 2, 4, 3]),
])
@pytest.mark.parametrize("few", [0, 200])
def test_sort(box, criteria, result, few, monkeypatch):
    """I16, I29: the same from a glance at the headers and from the index."""
    monkeypatch.setattr(order, "FEW", few)
    view = box.select("INBOX")
    assert box.sort(view.folder, criteria, view.uids) == result
    assert box.sort(view.folder, criteria, [2, 3]) == [uid for uid in result if uid in (2, 3)]


@pytest.mark.parametrize("few", [0, 200])
def test_thread(box, few, monkeypatch):
    """I16: the same from a glance at the headers and from the index."""
    monkeypatch.setattr(order, "FEW", few)
    view = box.select("INBOX")
    assert box.thread(view.folder, "REFERENCES", view.uids) == [(3, [(4, [])]), (1, [(2, [])])]
    assert box.thread(view.folder, "ORDEREDSUBJECT", view.uids) == [(3, [(4, [])]), (1, [(2, [])])]
    assert box.thread(view.folder, "REFERENCES", [2, 4], {2: 1, 4: 2}) == [(1, []), (2, [])]
    box.expunge(view.folder, ((3, 3),), marked=False)
    assert box.thread(view.folder, "REFERENCES", [1, 2, 4]) == [(1, [(2, [])]), (4, [])]


def message(uid: int, refs: str = "", base: str = "", reply: int = 0, sent: int = 0) -> threads.Message:
    return threads.Message(uid, sent or uid, f"<{uid}>", refs, base, reply)


def test_missing_parents_and_loops():
    """RFC 5256: a parent that isn't there, references in a circle, the same id twice."""
    assert threads.build("REFERENCES", [message(1, "<9>"), message(2, "<9>")]) == [(None, [(1, []), (2, [])])]
    assert threads.build("REFERENCES", [message(1, "<9>")]) == [(1, [])]
    flat = threads.build("REFERENCES", [message(1, "<2>"), message(2, "<1>")])
    assert sum(len(str(node)) > 0 for node in flat) == 1
    twice = [threads.Message(1, 1, "<a>", "", "", 0), threads.Message(2, 2, "<a>", "", "", 0)]
    assert threads.build("REFERENCES", twice) == [(1, []), (2, [])]
    assert threads.build("REFERENCES", [message(1, "<1>")]) == [(1, [])]


def test_subjects_join_threads():
    """RFC 5256 step 5"""
    assert threads.build("REFERENCES", [message(1, base="x"), message(2, base="x", reply=1)]) == [(1, [(2, [])])]
    assert threads.build("REFERENCES", [message(1, base="x", reply=1), message(2, base="x")]) == [(2, [(1, [])])]
    assert threads.build("REFERENCES", [message(1, base="x"), message(2, base="x")]) == [(None, [(1, []), (2, [])])]
    assert threads.build("REFS", [message(1, base="x"), message(2, base="x")]) == [(1, []), (2, [])]


def test_a_very_long_thread_costs_no_stack():
    chain = [message(n, f"<{n - 1}>" if n > 1 else "") for n in range(1, 3001)]
    node = threads.build("REFERENCES", chain)
    depth = 0
    while node:
        (_, node), = node
        depth += 1
    assert depth == 3000
