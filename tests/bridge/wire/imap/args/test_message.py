"""Arguments of FETCH, STORE, COPY, MOVE."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap.args.message import MACROS, Copy, Fetch, Item, Move, Section, Store, UidExpunge
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.grammar import arguments, name
from bridge.wire.imap.seqset import parse
from bridge.wire.imap.tokens import BadCommand, Scanner


def read(line: bytes) -> object:
    scan = Scanner((b" " + line,))
    return arguments(scan, name(scan))


def items(raw: bytes) -> tuple[Item, ...]:
    found = read(b"FETCH 1 " + raw)
    assert isinstance(found, Fetch)
    return found.items


def test_macros_and_simple_items() -> None:
    assert [item.name for item in items(b"all")] == ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"]
    assert items(b"FULL") == MACROS["FULL"]
    assert [item.label for item in items(b"(uid Flags BODY BODYSTRUCTURE MODSEQ EMAILID THREADID SAVEDATE UID)")] == [
        b"UID", b"FLAGS", b"BODY", b"BODYSTRUCTURE", b"MODSEQ", b"EMAILID", b"THREADID", b"SAVEDATE",
    ]  # fmt: skip
    with pytest.raises(BadCommand):
        items(b"(ALL)")


def test_sections() -> None:
    assert items(b"BODY[]") == (Item("BODY[]", b"BODY[]", Section(), None, False),)
    assert items(b"body.peek[1.2.mime]<0.100>") == (
        Item("BODY[]", b"BODY[1.2.MIME]<0>", Section((1, 2), "MIME"), (0, 100), True),
    )
    (fields,) = items(b'BODY[HEADER.FIELDS (From "X-Spam")]')
    assert fields.label == b"BODY[HEADER.FIELDS (From X-Spam)]"
    assert fields.section == Section((), "HEADER.FIELDS", ("FROM", "X-SPAM"))
    (but,) = items(b"(BODY.PEEK[4.1.HEADER.FIELDS.NOT (RECEIVED)])")
    assert but.section == Section((4, 1), "HEADER.FIELDS.NOT", ("RECEIVED",))
    assert items(b"BODY[3]")[0].section == Section((3,))
    assert items(b"BODY[TEXT]")[0].section == Section((), "TEXT")


def test_old_names_keep_their_labels() -> None:
    """RFC822.HEADER doesn't set \\Seen, the other two do."""
    assert [(item.label, item.peek) for item in items(b"(RFC822 RFC822.HEADER RFC822.TEXT)")] == [
        (b"RFC822", False),
        (b"RFC822.HEADER", True),
        (b"RFC822.TEXT", False),
    ]


def test_binary_and_preview() -> None:
    """I18, I20."""
    assert items(b"(BINARY.PEEK[1.2]<5.10> BINARY.SIZE[1] BINARY[])") == (
        Item("BINARY[]", b"BINARY[1.2]<5>", Section((1, 2)), (5, 10), True),
        Item("BINARY.SIZE[]", b"BINARY.SIZE[1]", Section((1,)), None, True),
        Item("BINARY[]", b"BINARY[]", Section(), None, False),
    )
    assert items(b"PREVIEW (LAZY)") == (Item("PREVIEW", b"PREVIEW", lazy=True),)
    assert items(b"(PREVIEW UID)")[0] == Item("PREVIEW", b"PREVIEW")


def test_a_field_name_may_be_a_literal() -> None:
    frame = (b" FETCH 1 BODY[HEADER.FIELDS (", Literal(4, True, False, b"From"), b")]")
    scan = Scanner(frame)
    found = arguments(scan, name(scan))
    assert isinstance(found, Fetch)
    assert found.items[0].label == b"BODY[HEADER.FIELDS (From)]"


def test_modifiers() -> None:
    """I13, I27."""
    assert read(b"UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)") == Fetch(
        True, parse(b"300:500"), items(b"FLAGS"), 12345, True
    )
    assert read(b"UID FETCH 1:* FLAGS (PARTIAL -1:-30)") == Fetch(
        True, parse(b"1:*"), items(b"FLAGS"), partial=(-1, -30)
    )


@pytest.mark.parametrize(
    "line",
    [
        b"FETCH 1",
        b"FETCH 1 ()",
        b"FETCH 0 FLAGS",
        b"FETCH FLAGS",
        b"FETCH 1 (FLAGS",
        b"FETCH 1 (FLAGS))",
        b"FETCH 1 (FLAGS  UID)",
        b"FETCH 1 FOO",
        b"FETCH 1 BODY[",
        b"FETCH 1 BODY[0]",
        b"FETCH 1 BODY[1.]",
        b"FETCH 1 BODY[MIME]",
        b"FETCH 1 BODY[FOO]",
        b"FETCH 1 BODY[HEADER.FIELDS]",
        b"FETCH 1 BODY[HEADER.FIELDS ()]",
        b'FETCH 1 BODY[HEADER.FIELDS ("a b")]',
        b'FETCH 1 BODY[HEADER.FIELDS ("a]b]\r")]',
        b"FETCH 1 BODY[]<1>",
        b"FETCH 1 BODY[]<1.0>",
        b"FETCH 1 BODY[]<1.99999999999999999999>",
        b"FETCH 1 BINARY[TEXT]",
        b"FETCH 1 BODY[" + b"1." * 60 + b"1]",
        b"FETCH 1 FLAGS (VANISHED)",
        b"UID FETCH 1 FLAGS (VANISHED)",
        b"FETCH 1 FLAGS (CHANGEDSINCE x)",
        b"FETCH 1 (" + b" ".join(b"BODY[%d]" % n for n in range(1, 150)) + b")",
        b"STORE 1 FLAGS",
        b"STORE 1 FLAGS (\\Foo)",
        b"STORE 1 FLAGS (a(b)",
        b"STORE 1 *FLAGS (a)",
        b"STORE 1 FLAGS (a",
        b"STORE 1 (UNCHANGEDSINCE) FLAGS (a)",
        b"STORE 1 FLAGS (" + b"k" * 51 + b")",
        b"COPY 1",
        b"COPY x y",
        b"UID EXPUNGE",
    ],
)
def test_refuses(line: bytes) -> None:
    with pytest.raises(BadCommand):
        read(line)


def test_store() -> None:
    assert read(b"STORE 2:4 +FLAGS (\\deleted)") == Store(False, parse(b"2:4"), "+", False, ("\\Deleted",))
    assert read(b"UID STORE 7 -flags.silent $Junk \\Seen") == Store(True, parse(b"7"), "-", True, ("$Junk", "\\Seen"))
    assert read(b"STORE 1 FLAGS ()") == Store(False, parse(b"1"), "", False, ())
    assert read(b"STORE 7 (UNCHANGEDSINCE 320162338) FLAGS.SILENT (\\Seen \\Recent)") == Store(
        False, parse(b"7"), "", True, ("\\Seen",), 320162338
    )
    assert read(b"UID STORE $ +FLAGS (\\Seen)") == Store(True, parse(b"$"), "+", False, ("\\Seen",))


def test_copy_move_expunge() -> None:
    assert read(b"COPY 2:4 MEETING") == Copy(False, parse(b"2:4"), "MEETING")
    assert read(b"UID MOVE 42:69 foo") == Move(True, parse(b"42:69"), "foo")
    assert read(b"UID EXPUNGE 3000:3002") == UidExpunge(parse(b"3000:3002"))


PARTS = st.lists(st.integers(1, 99), max_size=4)
KINDS = st.sampled_from(["", "HEADER", "TEXT", "MIME"])


@given(PARTS, KINDS, st.booleans(), st.none() | st.tuples(st.integers(0, 10**9), st.integers(1, 10**9)))
def test_the_label_is_the_section_without_peek_and_length(
    part: list[int], kind: str, peek: bool, partial: tuple[int, int] | None
) -> None:
    if kind == "MIME" and not part:
        kind = ""
    inside = ".".join([*map(str, part), *([kind] if kind else [])])
    asked = f"BODY{'.PEEK' if peek else ''}[{inside}]" + (f"<{partial[0]}.{partial[1]}>" if partial else "")
    label = f"BODY[{inside}]" + (f"<{partial[0]}>" if partial else "")
    assert items(asked.encode()) == (Item("BODY[]", label.encode(), Section(tuple(part), kind), partial, peek),)
    assert items(b"(" + asked.encode() + b")") == items(asked.encode())
