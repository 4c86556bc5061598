"""Arguments of the commands about mailboxes."""

import pytest

from bridge.wire.imap.args import mailbox
from bridge.wire.imap.args.mailbox import Create, List, Qresync, Rename, Select
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.grammar import arguments, name
from bridge.wire.imap.seqset import parse
from bridge.wire.imap.tokens import BadCommand, Scanner


def read(line: bytes, utf8: bool = False) -> object:
    scan = Scanner((b" " + line,), utf8)
    return arguments(scan, name(scan))


def test_select() -> None:
    assert read(b"SELECT inbox") == Select("INBOX", False)
    assert read(b'EXAMINE "Borradores/A&APE-o"') == Select("Borradores/Año", True)
    assert read(b"SELECT x (CONDSTORE)") == Select("x", False, True)


def test_select_qresync() -> None:
    """I13; the examples of RFC 7162 section 3.2.5."""
    plain = read(b"SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))")
    assert plain == Select(
        "INBOX", False, False, Qresync(67890007, 20050715194045000, parse(b"41,43:211,214:541"), None)
    )
    full = read(b"SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,3 5,7)) CONDSTORE)")
    assert isinstance(full, Select)
    assert full.condstore
    assert full.qresync
    assert full.qresync.match == (parse(b"1,3"), parse(b"5,7"))
    no_known = read(b"SELECT INBOX (QRESYNC (1 2 (1,3 5,7)))")
    assert isinstance(no_known, Select)
    assert no_known.qresync == Qresync(1, 2, None, (parse(b"1,3"), parse(b"5,7")))


@pytest.mark.parametrize(
    "line",
    [
        b"SELECT",
        b"SELECT ",
        b"SELECT a b",
        b"SELECT a (QRESYNC)",
        b"SELECT a (QRESYNC (0 1))",
        b"SELECT a (QRESYNC (1 1 1:*))",
        b"SELECT a (QRESYNC (1 1) QRESYNC (1 1))",
        b"SELECT a (FOO)",
        b"CREATE a (USE (\\Foo))",
        b"CREATE a (FOO)",
        b"RENAME a",
        b"STATUS a ()",
        b"STATUS a (FOO)",
        b"STATUS a MESSAGES",
        b'LIST ""',
        b'LIST (FOO) "" *',
        b'LIST (RECURSIVEMATCH) "" *',
        b'LIST "" * RETURN',
        b'LIST "" * RETURN (FOO)',
        b'LIST "" * FOO ()',
        b'LIST "" () ',
        b"CREATE a*b",
        b"CREATE a%",
    ],
)
def test_refuses(line: bytes) -> None:
    with pytest.raises(BadCommand):
        read(line)


def test_create_rename_and_others() -> None:
    assert read(b"CREATE Enviados (USE (\\sent \\Drafts))") == Create("Enviados", ("\\Sent", "\\Drafts"))
    assert read(b"CREATE foo/") == Create("foo/")
    assert read(b"RENAME INBOX old-mail") == Rename("INBOX", "old-mail")
    assert read(b"DELETE x") == mailbox.Delete("x")
    assert read(b"SUBSCRIBE x") == mailbox.Subscribe("x")
    assert read(b"UNSUBSCRIBE x") == mailbox.Unsubscribe("x")
    assert read(b'LSUB "#news." "comp.mail.*"') == mailbox.Lsub("#news.", "comp.mail.*")


def test_list_of_rfc_3501() -> None:
    assert read(b'LIST "" *') == List("", ("*",))
    assert read(b'LIST "/usr/" %/&APE-') == List("/usr/", ("%/ñ",))
    assert read(b'LIST "" ""') == List("", ("",))


def test_list_extended() -> None:
    """I12: examples of RFC 5258, 5819, 6154."""
    assert read(b'LIST (SUBSCRIBED) "" "*"') == List("", ("*",), frozenset({"SUBSCRIBED"}), extended=True)
    assert read(b'LIST () "" "%" RETURN (CHILDREN)') == List("", ("%",), returns=frozenset({"CHILDREN"}), extended=True)
    found = read(
        b'LIST (SUBSCRIBED RECURSIVEMATCH) "" ("INBOX" "Drafts" "Sent/%") RETURN (STATUS (MESSAGES UNSEEN) SUBSCRIBED)'
    )
    assert isinstance(found, List)
    assert found.patterns == ("INBOX", "Drafts", "Sent/%")
    assert found.status == ("MESSAGES", "UNSEEN")
    assert found.returns == {"STATUS", "SUBSCRIBED"}
    assert read(b'LIST "" % RETURN (METADATA ("/shared/color") SPECIAL-USE)').metadata == ("/shared/color",)  # type: ignore[attr-defined]


def test_mailbox_names() -> None:
    """I37: modified UTF-7 and UTF-8; sec-I04: no control characters, no second spelling."""
    assert read('CREATE "Año"'.encode()) == Create("Año")
    assert read('CREATE "Tom & Año"'.encode(), True) == Create("Tom & Año")
    assert read(b'CREATE "A&APE-o"', True) == Create("A&APE-o")
    for raw in (
        b"CREATE &AAA-",
        b'CREATE "a\x01b"',
        b"CREATE &",
        b'CREATE "\xf1"',
        '"&ñ"'.encode(),
        b"CREATE " + b"x" * 1001,
    ):
        with pytest.raises(BadCommand) as refusal:
            read(raw if raw.startswith(b"CREATE") else b"CREATE " + raw)
        assert refusal.value.status == "NO"


def test_a_name_may_be_a_literal() -> None:
    frame = (b" ", Literal(5, True, False, b"INBOX"), b" (MESSAGES)")
    assert mailbox.status(Scanner(frame)) == mailbox.Status("INBOX", ("MESSAGES",))
