"""SEARCH, SORT, THREAD (I14, I16, I29, I36)."""
import pytest

from tests.bridge.serve.imap.world import fetched

MAIL = (
    b"From: %b <%b@example.org>\r\nTo: luis@example.org\r\nSubject: %b\r\nDate: %b Nov 2026 08:00:00 +0000\r\n"
    b"Message-ID: <%b@example.org>\r\n%b\r\n%b\r\n"
)


@pytest.fixture
def one(world, talk):
    world.put(0, body=MAIL % (b"Zoe", b"zoe", b"plan", b"3", b"a", b"", b"camino"), flags=["\\Seen"])
    answer = b"In-Reply-To: <a@example.org>\r\n"
    world.put(0, body=MAIL % (b"Ana", b"ana", b"Re: plan", b"2", b"b", answer, b"ni\xc3\xb1o"))
    world.put(0, body=MAIL % (b"Eva", b"eva", b"=?utf-8?q?A=C3=B1o?=", b"1", b"c", b"", b"camino"), flags=["$X"])
    connected = talk("ana")
    connected.ok("SELECT INBOX")
    return connected


@pytest.mark.parametrize(("key", "found"), [
    ("ALL", [1, 2, 3]), ("SEEN", [1]), ("UNSEEN 2:3", [2, 3]), ("KEYWORD $X", [3]), ("UNKEYWORD $X", [1, 2]),
    ("FROM zoe", [1]), ("SUBJECT PLAN", [1, 2]), ('TEXT "camino"', [1, 3]), ("BODY nino", [2]),
    ("NOT BODY camino", [2]),
    ("OR FROM zoe FROM eva", [1, 3]), ("SENTBEFORE 2-Nov-2026", [3]), ("SENTON 3-Nov-2026", [1]), ("UID 2:*", [2, 3]),
    ("LARGER 10 SMALLER 100000", [1, 2, 3]), ("HEADER In-Reply-To a@example", [2]), ("NEW", [2, 3]),
    ("OLDER 3600", []), ("YOUNGER 3600", [1, 2, 3]), ("RECENT", [1, 2, 3]), ('HEADER In-Reply-To ""', [2]),
])
def test_search(one, key, found):
    assert one.data(f"SEARCH {key}") == [["SEARCH", *found]]
    assert one.data(f"UID SEARCH {key}") == [["SEARCH", *found]]


def test_charsets(one):
    """I36."""
    word = "año".encode()
    assert one.data(b"SEARCH CHARSET UTF-8 SUBJECT {4+}\r\n" + word) == [["SEARCH", 3]]
    assert one.data(b"SEARCH CHARSET ISO-8859-1 SUBJECT {3+}\r\n" + "año".encode("latin-1")) == [["SEARCH", 3]]
    assert one.no("SEARCH CHARSET X-NADA ALL").code.startswith("BADCHARSET")


def test_esearch(one):
    """I14."""
    def search(text):
        values, = one.data(text)
        return values[2:]

    assert search("SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN") == ["MIN", 2, "MAX", 3, "COUNT", 2, "ALL", "2:3"]
    assert search("UID SEARCH RETURN () FROM zoe") == ["UID", "ALL", 1]
    assert search("SEARCH RETURN (COUNT) FROM nadie") == ["COUNT", 0]
    assert search("SEARCH RETURN (PARTIAL 2:5) ALL") == ["PARTIAL", ["2:5", "2:3"]]
    assert one.no("SEARCH RETURN (UPDATE) ALL", "BAD")


def test_saved_result(one):
    """I14, SEARCHRES: $ follows what is gone, and is empty for a new mailbox."""
    assert one.data("SEARCH RETURN (SAVE) UNSEEN") == []
    assert [v[0] for v in one.data("FETCH $ UID")] == [2, 3]
    assert one.data("SEARCH $ FROM eva") == [["SEARCH", 3]]
    one.ok("SEARCH RETURN (SAVE MIN) UNSEEN")
    assert [fetched(v)["UID"] for v in one.data("UID FETCH $ FLAGS")] == [2]
    one.ok("STORE $ +FLAGS.SILENT (\\Deleted)")
    one.ok("EXPUNGE")
    assert one.ok("FETCH $ UID") == []
    one.ok("SELECT INBOX")
    assert one.ok("FETCH $ UID") == []


def test_modseq(one):
    """I13."""
    one.ok("STORE 2 +FLAGS (\\Flagged)")
    since = fetched(one.data("FETCH 2 MODSEQ")[0])["MODSEQ"][0]
    assert one.data(f"SEARCH MODSEQ {since}") == [["SEARCH", 2, ["MODSEQ", since]]]
    assert one.data(f"SEARCH RETURN (COUNT) MODSEQ {since}")[0][2:] == ["COUNT", 1, "MODSEQ", since]


def test_sort(one):
    """I16, I29."""
    assert one.data("SORT (DATE) UTF-8 ALL") == [["SORT", 3, 2, 1]]
    assert one.data("UID SORT (REVERSE FROM) UTF-8 ALL") == [["SORT", 1, 3, 2]]
    assert one.data("SORT (SUBJECT REVERSE DATE) UTF-8 UNSEEN") == [["SORT", 3, 2]]
    assert one.data("SORT (DISPLAYFROM) UTF-8 ALL") == [["SORT", 2, 3, 1]]
    assert one.data("SORT RETURN (ALL COUNT MIN) (DATE) UTF-8 ALL")[0][2:] == [
        "MIN", 3, "COUNT", 3, "ALL", "3,2,1"]
    assert one.no("SORT (RELEVANCY) UTF-8 ALL", "BAD")


def test_thread(one):
    """I16."""
    assert sorted(map(str, one.data("THREAD REFERENCES UTF-8 ALL")[0][1:])) == ["[1, 2]", "[3]"]
    assert sorted(map(str, one.data("UID THREAD ORDEREDSUBJECT UTF-8 ALL")[0][1:])) == ["[2, 1]", "[3]"]
    assert one.data("THREAD REFERENCES UTF-8 FROM nadie") == [["THREAD"]]
    assert one.no("THREAD REFS UTF-8 ALL", "BAD")


def test_only_what_the_client_knows(world, one):
    """A message that came meanwhile is found once the client was told of it."""
    world.put(7)
    assert one.data("SEARCH ALL") == [["SEARCH", 1, 2, 3], [4, "EXISTS"], [4, "RECENT"]]
    assert one.data("SEARCH ALL") == [["SEARCH", 1, 2, 3, 4]]
