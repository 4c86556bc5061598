"""Responses: examples of the RFCs, and hostile content read back by the strict reader (sec-I14)."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap import encode
from tests.bridge.wire.imap.reader import Data, Status, read

ANY_BYTES = st.binary(max_size=80)
ANY_TEXT = st.text(max_size=60)


def one(data: bytes, utf8: bool = False) -> list:
    (response,) = read(data, utf8)
    assert isinstance(response, Data)
    return response.values


def test_examples() -> None:
    assert encode.tagged(b"a1", b"OK", b"done", b"READ-WRITE") == b"a1 OK [READ-WRITE] done\r\n"
    assert encode.flags_line(["\\Answered", "$Junk"]) == b"* FLAGS (\\Answered $Junk)\r\n"
    assert encode.permanent_flags(["\\Seen"], True) == b"* OK [PERMANENTFLAGS (\\Seen \\*)] Flags that are kept\r\n"
    assert encode.list_line("Año", ["\\HasNoChildren"]) == b'* LIST (\\HasNoChildren) "/" A&APE-o\r\n'
    assert encode.list_line("Año", utf8=True) == '* LIST () "/" "Año"\r\n'.encode()
    assert encode.list_line("", ["\\Noselect"]) == b'* LIST (\\Noselect) "/" ""\r\n'
    assert encode.list_line("nil", separator=None) == b'* LIST () NIL "nil"\r\n'
    assert (
        encode.list_line("Foo", children=["SUBSCRIBED"], old_name="a b")
        == b'* LIST () "/" Foo ("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("a b"))\r\n'
    )
    assert (
        encode.status_line("blurdybloop", [("MESSAGES", 231), ("MAILBOXID", "F22"), ("APPENDLIMIT", None)])
        == b"* STATUS blurdybloop (MESSAGES 231 MAILBOXID (F22) APPENDLIMIT NIL)\r\n"
    )
    assert encode.namespace([("", "/")]) == b'* NAMESPACE (("" "/")) NIL NIL\r\n'
    assert encode.search([2, 84, 882]) == b"* SEARCH 2 84 882\r\n"
    assert encode.search([]) == b"* SEARCH\r\n"
    assert encode.search([2, 5], 917162500) == b"* SEARCH 2 5 (MODSEQ 917162500)\r\n"
    assert encode.append_uid(38505, [3955]) == b"APPENDUID 38505 3955"
    assert encode.copy_uid(38505, [304, 319, 320], [3956, 3957, 3958]) == b"COPYUID 38505 304,319:320 3956:3958"
    assert encode.vanished([41, 43, 44, 45]) == b"* VANISHED 41,43:45\r\n"
    assert encode.vanished([300], earlier=True) == b"* VANISHED (EARLIER) 300\r\n"
    assert encode.vanished([]) == b""
    assert encode.vanished_ranges([(1, 5), (9, 9)], earlier=True) == b"* VANISHED (EARLIER) 1:5,9\r\n"
    assert encode.quota("", [("STORAGE", 10, 512)]) == b'* QUOTA "" (STORAGE 10 512)\r\n'
    assert encode.quota_root("INBOX", [""]) == b'* QUOTAROOT INBOX ""\r\n'
    assert encode.enabled(["CONDSTORE"]) == b"* ENABLED CONDSTORE\r\n"
    assert encode.ident([("name", "Estafeta"), ("url", None)]) == b'* ID ("name" "Estafeta" "url" NIL)\r\n'
    assert encode.ident([]) == b"* ID NIL\r\n"


def test_esearch() -> None:
    """I14, I27."""
    assert encode.esearch(b"A282", False, least=2, count=3) == b'* ESEARCH (TAG "A282") MIN 2 COUNT 3\r\n'
    assert encode.esearch(b"A", True, everything=[4, 5, 6, 9]) == b'* ESEARCH (TAG "A") UID ALL 4:6,9\r\n'
    assert encode.esearch(b"A", True, everything=[]) == b'* ESEARCH (TAG "A") UID\r\n'
    assert encode.esearch(b"A", True, partial=((-1, -100), [7])) == b'* ESEARCH (TAG "A") UID PARTIAL (-1:-100 7)\r\n'
    assert encode.esearch(b"A", True, partial=((1, 9), [])) == b'* ESEARCH (TAG "A") UID PARTIAL (1:9 NIL)\r\n'
    assert (
        encode.esearch(b"A", True, mailbox_name=("a b", 7), modseq=3)
        == b'* ESEARCH (TAG "A" MAILBOX "a b" UIDVALIDITY 7) UID MODSEQ 3\r\n'
    )


def test_access_lists_annotations_and_contexts() -> None:
    """I23, I24, I29."""
    assert encode.acl("INBOX", [("Fred", "rwipslxetad"), ("a b", "")]) == b'* ACL INBOX Fred rwipslxetad "a b" ""\r\n'
    assert encode.list_rights("a", "smith", "la", ["r", "s"]) == b"* LISTRIGHTS a smith la r s\r\n"
    assert encode.my_rights("INBOX", "rwiptsldaex") == b"* MYRIGHTS INBOX rwiptsldaex\r\n"
    values = [("/shared/comment", b"x"), ("/private/a", None), ("/shared/b", b"a\0")]
    assert encode.metadata("", values) == (
        b'* METADATA "" (/shared/comment "x" /private/a NIL /shared/b ~{2}\r\na\0)\r\n'
    )
    assert encode.context_update(b"B", True, True, 0, [3, 4]) == b'* ESEARCH (TAG "B") UID ADDTO (0 3:4)\r\n'
    assert encode.context_update(b"B", False, False, 1, [9]) == b'* ESEARCH (TAG "B") REMOVEFROM (1 9)\r\n'


def test_thread() -> None:
    """I16; RFC 5256 section 4, and a thread deeper than Python's stack."""
    tree = [(2, []), (3, [(6, [(4, [(23, [])]), (44, [(7, [(96, [])])])])])]
    assert encode.thread(tree) == b"* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"
    assert encode.thread([(None, [(3, []), (5, [])])]) == b"* THREAD ((3)(5))\r\n"
    assert encode.thread([]) == b"* THREAD\r\n"
    deep: encode.Thread = (1, [])
    for number in range(2, 20_000):
        deep = (number, [deep])
    assert encode.thread([deep]).endswith(b" 3 2 1)\r\n")


@given(ANY_BYTES)
def test_any_bytes_as_a_string(raw: bytes) -> None:
    assert one(b"* X " + encode.string(raw) + b"\r\n")[1] == raw.replace(b"\0", b"\x80")
    assert one(b"* X " + encode.literal8(raw).replace(b"\0", b"\x80") + b"\r\n")[1] == raw.replace(b"\0", b"\x80")
    assert one(b"* X " + encode.string(raw, utf8=True) + b"\r\n", True)[1] == raw.replace(b"\0", b"\x80")


@given(ANY_TEXT)
def test_any_mailbox_name(name: str) -> None:
    """sec-I04, sec-I14."""
    wire = one(encode.list_line(name))[3]
    assert len(one(encode.status_line(name, [("MESSAGES", 1)]))) == 3
    assert wire is not None
    assert len(one(encode.list_line(name, utf8=True), True)) == 4


@given(ANY_BYTES, ANY_BYTES)
def test_any_text_in_a_status_line(text: bytes, code: bytes) -> None:
    for data in (encode.tagged(b"a", b"NO", text), encode.status(b"BYE", text)):
        (response,) = read_lenient(data)
        assert isinstance(response, Status)
        assert response.code == ""
    assert encode.tagged(b"a", b"NO", text, code).count(b"\r\n") == 1


def read_lenient(data: bytes) -> list:
    """Texts may be UTF-8 or worse; what matters is that they stay on their line."""
    return read(bytes(char if char < 128 else 63 for char in data))


@given(st.lists(st.tuples(ANY_BYTES, st.none() | ANY_BYTES), max_size=4))
def test_fetch_with_any_content(pairs: list[tuple[bytes, bytes | None]]) -> None:
    items = [b"ENVELOPE " + encode.parenthesised([encode.string(a), encode.string(b)]) for a, b in pairs]
    found = one(encode.fetch(7, [b"UID 9", *items]))
    assert found[:2] == [7, "FETCH"]
    assert found[2][2:] == [
        value
        for a, b in pairs
        for value in (
            "ENVELOPE",
            [a.replace(b"\0", b"\x80"), None if b is None else b.replace(b"\0", b"\x80")],
        )
    ]


def test_fetch_rows_join_ready_bytes() -> None:
    template = encode.fetch_template([(b"UID", b"%d"), (b"FLAGS", b"(%b)"), (b"BODY[100%]", b"%b")])
    rows = [(1, 10, b"\\Seen", b"{3}\r\na%b"), (2, 11, b"", b"NIL")]
    assert encode.fetch_rows(template, rows) == (
        b"* 1 FETCH (UID 10 FLAGS (\\Seen) BODY[100%] {3}\r\na%b)\r\n* 2 FETCH (UID 11 FLAGS () BODY[100%] NIL)\r\n"
    )
    assert encode.fetch_rows(template, []) == b""
    assert encode.fetch_template([(b"FLAGS", b"%b")], uidfetch=True) == b"* %d UIDFETCH (FLAGS %b)\r\n"


def test_streamed_literals() -> None:
    body = b"x" * 10
    data = b"* 3 FETCH (UID 4 BODY[] " + encode.literal_header(10) + body + encode.FETCH_CLOSE
    assert one(data) == [3, "FETCH", ["UID", 4, "BODY[]", body]]
    assert encode.literal_header(5, binary=True) == b"~{5}\r\n"


def test_other_lines() -> None:
    assert encode.exists(3) + encode.recent(1) == b"* 3 EXISTS\r\n* 1 RECENT\r\n"
    assert encode.capability(b"IMAP4rev1") == b"* CAPABILITY IMAP4rev1\r\n"
    assert encode.untagged(b"1 EXISTS") == b"* 1 EXISTS\r\n"
