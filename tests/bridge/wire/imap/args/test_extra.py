"""Arguments of the commands of extensions, mostly from the examples of their RFCs."""

import pytest

from bridge.wire.imap.args.extra import (
    CancelUpdate,
    DeleteAcl,
    Esearch,
    EventGroup,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    ListRights,
    MyRights,
    Notify,
    SetAcl,
    SetMetadata,
    SetQuota,
)
from bridge.wire.imap.args.message import Item
from bridge.wire.imap.args.searchkey import Flag
from bridge.wire.imap.fragment import Literal
from bridge.wire.imap.grammar import arguments, name
from bridge.wire.imap.tokens import BadCommand, Scanner

GOOD = {
    b'GETQUOTA ""': GetQuota(""),
    b"GETQUOTAROOT inbox": GetQuotaRoot("INBOX"),
    b'SETQUOTA "" (STORAGE 512)': SetQuota("", (("STORAGE", 512),)),
    b"SETQUOTA x ()": SetQuota("x", ()),
    b"SETACL INBOX/Drafts John +lrQswicda": None,
    b"SETACL INBOX/Drafts John +lrswi": SetAcl("INBOX/Drafts", "John", "+", "lrswi"),
    b'SETACL x y ""': SetAcl("x", "y", "", ""),
    b"DELETEACL INBOX Fred": DeleteAcl("INBOX", "Fred"),
    b"GETACL INBOX": GetAcl("INBOX"),
    b"LISTRIGHTS ~/Mail/saved smith": ListRights("~/Mail/saved", "smith"),
    b"MYRIGHTS INBOX": MyRights("INBOX"),
    b'GETMETADATA "" /shared/Comment': GetMetadata("", ("/shared/comment",)),
    b'GETMETADATA (DEPTH 1 MAXSIZE 1024) "INBOX" (/private/filters/values /shared/a)': GetMetadata(
        "INBOX", ("/private/filters/values", "/shared/a"), 1024, "1"
    ),
    b"GETMETADATA (DEPTH 2) x /shared/a": None,
    b"GETMETADATA x /foo/a": None,
    b"GETMETADATA x /shared/a*": None,
    b'SETMETADATA INBOX (/private/comment "My" /shared/comment NIL)': SetMetadata(
        "INBOX", (("/private/comment", b"My"), ("/shared/comment", None))
    ),
    b"SETMETADATA INBOX ()": None,
    b"NOTIFY NONE": Notify(False, None),
    b"NOTIFY SET STATUS (selected (MessageNew (UID BODY.PEEK[]) MessageExpunge))"
    b" (subtree (Lists a) (MessageNew))": Notify(
        True,
        (
            EventGroup("SELECTED", (), ("MessageNew", "MessageExpunge"), ()),
            EventGroup("SUBTREE", ("Lists", "a"), ("MessageNew",)),
        ),
    ),
    b"NOTIFY SET (personal NONE)": Notify(False, (EventGroup("PERSONAL", (), ()),)),
    b"NOTIFY SET": None,
    b"NOTIFY SET (foo (MessageNew))": None,
    b"NOTIFY SET (personal (Foo))": None,
    b"NOTIFY SET (personal)": None,
    b'ESEARCH IN (mailboxes "folder1" subtree "folder2") RETURN (COUNT) unseen': Esearch(
        (("MAILBOXES", ("folder1",)), ("SUBTREE", ("folder2",))), Flag("\\Seen", False), "", frozenset({"COUNT"}), None
    ),
    b"ESEARCH UNSEEN": Esearch((), Flag("\\Seen", False), "", frozenset({"ALL"}), None),
    b"ESEARCH IN () UNSEEN": None,
    b'CANCELUPDATE "A1" "B"': CancelUpdate((b"A1", b"B")),
    b"CANCELUPDATE A1": None,
}


def read(*frame: bytes | Literal) -> object:
    scan = Scanner(frame)
    return arguments(scan, name(scan))


@pytest.mark.parametrize("line", GOOD)
def test_examples(line: bytes) -> None:
    """I15, I23, I24, I25, I27."""
    wanted = GOOD[line]
    if wanted is None:
        with pytest.raises(BadCommand):
            read(b" " + line)
        return
    found = read(b" " + line)
    if isinstance(found, Notify) and found.groups and found.groups[0].items:
        group = found.groups[0]
        assert [item.name for item in group.items] == ["UID", "BODY[]"]
        assert isinstance(group.items[0], Item)
        found = Notify(found.status, (EventGroup(group.scope, (), group.events), *found.groups[1:]))
    assert found == wanted


def test_metadata_values_may_be_binary() -> None:
    found = read(b" SETMETADATA x (/shared/a ", Literal(3, True, True, b"a\0b"), b")")
    assert found == SetMetadata("x", (("/shared/a", b"a\0b"),))
