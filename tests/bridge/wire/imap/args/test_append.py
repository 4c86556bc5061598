"""APPEND and REPLACE, and what is known of their literals before they come."""

from datetime import datetime, timedelta, timezone

import pytest

from bridge.wire.imap.args.append import Announcer, Append, AppendMessage, MessageLiteral, Replace
from bridge.wire.imap.fragment import Frame, Literal
from bridge.wire.imap.grammar import arguments, name
from bridge.wire.imap.tokens import BadCommand, Scanner

WHEN = datetime(1994, 2, 7, 21, 52, 25, tzinfo=timezone(-timedelta(hours=8)))


def lit(data: bytes, binary: bool = False) -> Literal:
    return Literal(len(data), True, binary, data)


def read(*frame: bytes | Literal) -> object:
    scan = Scanner(frame)
    scan.tag()
    return arguments(scan, name(scan))


def announced(*frame: bytes | Literal) -> list[MessageLiteral | None]:
    """What the announcer says at each literal of a frame."""
    announcer = Announcer()
    found = []
    for at, piece in enumerate(frame):
        if isinstance(piece, Literal):
            so_far: Frame = frame[:at]
            found.append(announcer.announce(so_far, False, piece.size, piece.sync, piece.binary))
    return found


SINGLE = (b"A003 APPEND saved-messages (\\Seen) ", lit(b"x" * 310), b"")
DATED = (b'A APPEND INBOX (\\seen $a) " 7-Feb-1994 21:52:25 -0800" ', lit(b"x"), b"")
NAMED = (b"A APPEND ", lit(b"INBOX"), b" ", lit(b"x"), b"")
MANY = (b"A APPEND x (\\Seen) ", lit(b"one"), b' " 7-Feb-1994 21:52:25 -0800" ', lit(b"two"), b" ", lit(b"3"), b" ")
EIGHT = (b"A APPEND x UTF8 (", lit(b"\xc3\xb1", True), b")")
CATENATE = (
    b'A APPEND Drafts (\\Draft) CATENATE (URL "/Drafts;UIDVALIDITY=3/;UID=30" TEXT ', lit(b"a"), b" URL ", lit(b"/b"),
    b" TEXT ", lit(b"c"), b")",
)  # fmt: skip


def test_append() -> None:
    """I35, I17, I18, I19, I28."""
    assert read(*SINGLE) == Append("saved-messages", (AppendMessage(("\\Seen",), None, lit(b"x" * 310)),))
    assert read(*DATED) == Append("INBOX", (AppendMessage(("\\Seen", "$a"), WHEN, lit(b"x")),))
    assert read(*NAMED) == Append("INBOX", (AppendMessage((), None, lit(b"x")),))
    assert read(*MANY) == Append(
        "x",
        (
            AppendMessage(("\\Seen",), None, lit(b"one")),
            AppendMessage((), WHEN, lit(b"two")),
            AppendMessage((), None, lit(b"3")),
        ),
    )
    assert read(*EIGHT) == Append("x", (AppendMessage((), None, lit(b"\xc3\xb1", True), (), True),))
    parts = ("/Drafts;UIDVALIDITY=3/;UID=30", lit(b"a"), "/b", lit(b"c"))
    assert read(*CATENATE) == Append("Drafts", (AppendMessage(("\\Draft",), None, None, parts),))


def test_replace() -> None:
    """I27."""
    message = AppendMessage(("\\Seen",), None, lit(b"x"))
    assert read(b"A REPLACE 4 Drafts (\\Seen) ", lit(b"x"), b"") == Replace(False, 4, "Drafts", message)
    assert read(b"A UID REPLACE * Drafts (\\Seen) ", lit(b"x"), b"") == Replace(True, 0, "Drafts", message)
    with pytest.raises(BadCommand):
        read(b"A REPLACE 4 Drafts ", lit(b"x"), b" ", lit(b"y"), b"")


def test_announcements() -> None:
    (one,) = announced(*SINGLE)
    assert one == MessageLiteral(b"A003", "APPEND", "saved-messages", 0, ("\\Seen",), None, 310, True, False, False)
    name_first = announced(*NAMED)
    assert name_first[0] is None
    assert name_first[1] is not None
    assert name_first[1].mailbox == "INBOX"
    many = announced(*MANY)
    assert [(m.index, m.flags, m.date) for m in many if m] == [(0, ("\\Seen",), None), (1, (), WHEN), (2, (), None)]
    (eight,) = announced(*EIGHT)
    assert eight is not None
    assert eight.binary
    pieces = announced(*CATENATE)
    assert [m is not None and m.catenate for m in pieces] == [True, False, True]
    (replaced,) = announced(b"A UID REPLACE 7 x ", lit(b"y"), b"")
    assert replaced is not None
    assert (replaced.command, replaced.mailbox) == ("UID REPLACE", "x")


def test_other_commands_have_no_messages() -> None:
    assert announced(b"A LOGIN ", lit(b"a"), b" ", lit(b"b"), b"") == [None, None]
    assert announced(b"APPEND ", lit(b"a"), b"") == [None]


@pytest.mark.parametrize(
    "line", [b"A APPEND x (\\Foo) ", b"A APPEND x y ", b'A APPEND x "1994" ', b"A APPEND (x) ", b"A APPEND x   "]
)
def test_bad_options_are_known_before_the_message_comes(line: bytes) -> None:
    with pytest.raises(BadCommand):
        Announcer().announce((line,), False, 100, True, False)


def test_thousand_literals_cost_thousand_steps() -> None:
    announcer = Announcer()
    frame: list[bytes | Literal] = [b"A APPEND x CATENATE (TEXT "]
    for at in range(499):
        found = announcer.announce(tuple(frame), False, 1, False, False)
        assert found is not None
        assert found.catenate
        frame += [lit(b"x"), b" TEXT "]
        assert at < 499


@pytest.mark.parametrize(
    "frame",
    [
        (b"A APPEND x",),
        (b"A APPEND x ",),
        (b"A APPEND x (\\Seen)",),
        (b"A APPEND x UTF8 (", lit(b"a"), b")"),
        (b"A APPEND x UTF8 (", lit(b"a", True), b""),
        (b"A APPEND x CATENATE ()",),
        (b"A APPEND x CATENATE (FOO a)",),
        (b"A APPEND x CATENATE (TEXT ", lit(b"a"), b""),
        (b"A APPEND x ", lit(b"a"), b"b"),
        (b'A APPEND x "31-Feb-1994 21:52:25 -0800" ', lit(b"a"), b""),
        (b'A APPEND x "01-Feb-1994 21:52:25 -9900" ', lit(b"a"), b""),
    ],
)
def test_refuses(frame: Frame) -> None:
    with pytest.raises(BadCommand):
        read(*frame)


def test_a_second_space_where_flags_and_date_could_be():
    """As programs send it that leave both empty; Dovecot takes it, too."""
    assert read(b"A APPEND INBOX  ", lit(b"x"), b"") == read(b"A APPEND INBOX ", lit(b"x"), b"")
