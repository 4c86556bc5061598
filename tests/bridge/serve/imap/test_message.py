"""STORE, COPY, MOVE, EXPUNGE (I05, I08, I13, I34, I38, sec-I18)."""
import json

import pytest

from tests.bridge.serve.imap.world import fetched, letter


@pytest.fixture
def one(world, talk):
    for number in range(5):
        world.put(number)
    connected = talk("ana")
    connected.ok("CREATE Otra")
    connected.ok("SELECT INBOX")
    return connected


def flags(talked):
    lines = [values for values in talked if values[1] == "FETCH"]
    return {values[0]: set(fetched(values).get("FLAGS", ())) - {"\\Recent"} for values in lines}


def test_store(one):
    assert flags(one.data("STORE 1:2 FLAGS (\\Seen $Junk)")) == {1: {"\\Seen", "$Junk"}, 2: {"\\Seen", "$Junk"}}
    assert flags(one.data("STORE 2 +FLAGS \\Flagged")) == {2: {"\\Seen", "$Junk", "\\Flagged"}}
    assert flags(one.data("STORE 2 -FLAGS (\\Seen nada)")) == {2: {"$Junk", "\\Flagged"}}
    assert flags(one.data("UID STORE 3 +FLAGS.SILENT (\\Draft)")) == {}
    assert flags(one.data("FETCH 3 FLAGS")) == {3: {"\\Draft"}}
    assert flags(one.data("STORE 4 +FLAGS (\\Recent)")) == {4: set()}
    assert one.data("NOOP") == []       # told once
    assert one.data("UID STORE 4 +FLAGS (\\Seen)")[0][2][:2] == ["UID", 4]
    assert one.data("UID STORE 99 +FLAGS (\\Seen)") == []
    assert one.no("STORE 9 +FLAGS (\\Seen)", "BAD")


def test_keywords_have_limits(one):
    """sec-I18, I38."""
    assert one.no("STORE 1 +FLAGS (" + "k" * 51 + ")").code == "LIMIT"
    assert one.no("STORE 1 +FLAGS (" + " ".join(f"k{n}" for n in range(100)) + ")").code == "LIMIT"
    one.ok("STORE 1 +FLAGS (" + " ".join(f"k{n}" for n in range(40)) + ")")
    assert len(flags(one.data("FETCH 1 FLAGS"))[1]) == 40


def test_conditional_store(one, talk):
    """I13: UNCHANGEDSINCE names what it left alone; MODSEQ is told also when silent."""
    since = fetched(one.data("FETCH 5 (MODSEQ)")[0])["MODSEQ"][0]
    talk_two = talk("ana")
    talk_two.ok("SELECT INBOX")
    talk_two.ok("STORE 2 +FLAGS (\\Flagged)")
    done = one.data(f"STORE 1:3 (UNCHANGEDSINCE {since}) +FLAGS.SILENT (\\Deleted)")
    assert one.end.code == "MODIFIED 2"
    changed = [(v[0], "MODSEQ" in fetched(v)) for v in done if "\\Flagged" not in str(v)]
    assert changed == [(1, True), (3, True)]
    assert "\\Deleted" not in flags(one.data("FETCH 2 FLAGS"))[2]
    one.data(f"UID STORE 1:3 (UNCHANGEDSINCE {since}) +FLAGS (\\Answered)")
    assert one.end.code == "MODIFIED 1:3"
    assert "MODSEQ" in fetched(one.data("STORE 4 +FLAGS (\\Seen)")[0])


def test_copy(world, one):
    """I05: COPYUID; flags and dates come along."""
    one.ok("STORE 2 +FLAGS.SILENT (\\Flagged Mio)")
    one.ok("COPY 2:3 Otra")
    code = one.end.code.split()
    assert (code[0], code[2:]) == ("COPYUID", ["2:3", "1:2"])
    assert one.no("COPY 1 Nada").code == "TRYCREATE"
    assert one.no("UID COPY 77 Nada").code == "TRYCREATE"
    one.ok("UID COPY 77 Otra")
    dates = [fetched(v)["INTERNALDATE"] for v in one.data("FETCH 2:3 INTERNALDATE")]
    one.ok("SELECT Otra")
    assert flags(one.data("FETCH 1:* FLAGS")) == {1: {"\\Flagged", "Mio"}, 2: set()}
    assert [fetched(v)["INTERNALDATE"] for v in one.data("FETCH 1:* INTERNALDATE")] == dates


def test_move(one, talk):
    """I08: COPYUID first, then EXPUNGE from the last to the first; the other session follows."""
    two = talk("ana")
    two.ok("SELECT INBOX")
    told = one.ok("MOVE 2,4 Otra")
    assert told[0].code.split()[2:] == ["2,4", "1:2"]
    assert [r.values for r in told[1:]] == [[4, "EXPUNGE"], [2, "EXPUNGE"]]
    assert two.data("NOOP") == [[4, "EXPUNGE"], [2, "EXPUNGE"]]
    assert one.no("MOVE 1 Nada").code == "TRYCREATE"
    assert len(one.ok("UID MOVE 99 Otra")) == 0
    assert one.data("STATUS Otra (MESSAGES)") == [["STATUS", "Otra", ["MESSAGES", 2]]]


def test_expunge(world, one):
    one.ok("STORE 1,3:4 +FLAGS.SILENT (\\Deleted)")
    assert one.data("UID EXPUNGE 3,5") == [[3, "EXPUNGE"]]
    assert one.data("EXPUNGE") == [[3, "EXPUNGE"], [1, "EXPUNGE"]]
    assert one.data("EXPUNGE") == []
    assert [fetched(v)["UID"] for v in one.data("FETCH 1:* UID")] == [2, 5]
    events = [json.loads(line) for line in world.journal_lines]
    assert [(e["folder"], e["uids"]) for e in events if e["e"] == "expunged"] == [("INBOX", "3"), ("INBOX", "1,4")]


def test_uids_are_not_used_again(world, one):
    """P17: the last message goes, the next one gets a new UID; so after reopening everything."""
    one.ok("STORE 5 +FLAGS.SILENT (\\Deleted)")
    one.ok("EXPUNGE")
    world.put(9)
    assert [5, "EXISTS"] in one.data("NOOP")
    assert fetched(one.data("FETCH 5 UID")[0])["UID"] == 6
    assert fetched(one.data("FETCH 5 ENVELOPE")[0])["ENVELOPE"][1] == b"Carta 9"
    assert letter(9)


def test_what_was_expunged_stays_gone(world, one):
    """P19, as far as a client sees it."""
    one.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    one.ok("CLOSE")
    world.mail().tidy("INBOX")
    world.mail().close()
    one.ok("SELECT INBOX")
    assert one.data("STATUS INBOX (MESSAGES UIDNEXT)") == [["STATUS", "INBOX", ["MESSAGES", 0, "UIDNEXT", 6]]]


def test_own_changes_dont_hide_those_of_others(one, talk):
    """Two sessions change flags in turn: each hears of what the other did, also between two changes of its own."""
    two = talk("ana")
    two.ok("SELECT INBOX")
    one.ok("STORE 1 +FLAGS (\\Seen)")
    two.ok("STORE 2 +FLAGS (\\Seen)")
    told = flags(one.data("STORE 3 +FLAGS (\\Seen)"))
    assert told.keys() >= {2, 3}
    assert flags(two.data("NOOP")).keys() >= {3}
    assert one.data("NOOP") == two.data("NOOP") == []


def test_a_store_that_changes_nothing_hides_nothing(one, talk):
    """What another session did just before is told, not taken for our own doing."""
    two = talk("ana")
    two.ok("SELECT INBOX")
    one.ok("STORE 1 +FLAGS (\\Seen)")
    two.ok("NOOP")
    two.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
    two.ok("EXPUNGE")
    one.ok("STORE 1 +FLAGS (\\Seen)")
    assert one.data("NOOP") == [[2, "EXPUNGE"]]
