"""LIST and its kin, SELECT, STATUS, QRESYNC (I04 to I14, I20 to I22, I35, I37)."""
from tests.bridge.serve.imap.world import fetched, letter
from tests.bridge.wire.imap.reader import Data, Status


def lines(talked):
    return [(values[3] if isinstance(values[3], str) else values[3].decode(), set(values[1])) for values in talked]


def test_list(talk):
    """I06, I11, I12, I35."""
    one = talk("ana")
    one.ok("CREATE Archivo/2025")
    one.ok("CREATE Archivo/2026")
    one.ok("CREATE Enviados (USE (\\Sent))")
    one.ok("SUBSCRIBE Archivo/2026")
    one.ok("SUBSCRIBE Borrada")
    assert one.data('LIST "" ""') == [["LIST", ["\\Noselect"], b"/", b""]]
    assert dict(lines(one.data('LIST "" %'))) == {
        "INBOX": {"\\HasNoChildren"}, "Archivo": {"\\Noselect", "\\HasChildren"},
        "Enviados": {"\\HasNoChildren", "\\Sent"}}
    assert [name for name, _ in lines(one.data('LIST "" *'))] == [
        "INBOX", "Archivo", "Archivo/2025", "Archivo/2026", "Enviados"]
    assert [name for name, _ in lines(one.data("LIST Archivo/ *26"))] == ["Archivo/2026"]
    assert [name for name, _ in lines(one.data('LIST (SPECIAL-USE) "" *'))] == ["Enviados"]
    subscribed = dict(lines(one.data('LIST (SUBSCRIBED) "" *')))
    assert subscribed.keys() == {"Archivo/2026", "Borrada"}
    assert "\\NonExistent" in subscribed["Borrada"]
    above = one.data('LIST (SUBSCRIBED RECURSIVEMATCH) "" %')
    assert ["CHILDINFO", [b"SUBSCRIBED"]] in [[v[4][0].decode(), v[4][1]] for v in above if len(v) > 4]
    assert [name for name, _ in lines(one.data('LSUB "" *'))] == ["Archivo/2026", "Borrada"]
    assert ("Archivo", {"\\Noselect"}) in lines(one.data('LSUB "" %'))
    one.ok("UNSUBSCRIBE Borrada")
    assert [name for name, _ in lines(one.data('LSUB "" *'))] == ["Archivo/2026"]
    assert one.data("NAMESPACE") == [["NAMESPACE", [[b"", b"/"]], None, None]]
    assert len(lines(one.data('LIST "" (INBOX Env%)'))) == 2
    assert one.ok('LIST "" "%*%*%*%*%*%*%*%*%*y"') == []    # sec-I05


def test_list_with_status(world, talk):
    """I12, I20."""
    one = talk("ana")
    one.ok("CREATE Otra")
    world.put(1)
    found = one.data('LIST "" * RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN SIZE))')
    assert ["STATUS", "INBOX", ["MESSAGES", 1, "UNSEEN", 1, "SIZE", len(letter(1))]] in found
    assert ["STATUS", "Otra", ["MESSAGES", 0, "UNSEEN", 0, "SIZE", 0]] in found


def test_names_with_accents(talk):
    """I37: modified UTF-7 and, once enabled, UTF-8; the same folder."""
    one = talk("ana")
    one.ok("CREATE Borradores/A&APE-o")
    assert ["LIST", ["\\HasNoChildren"], b"/", b"Borradores/A&APE-o"] in [
        [v[0], v[1], v[2], str(v[3]).encode()] for v in one.data('LIST "" Borr*/*')]
    assert one.data("ENABLE UTF8=ACCEPT") == [["ENABLED", "UTF8=ACCEPT"]]
    one.utf8 = True
    found = one.data('LIST "" Borr*/*')
    assert found[0][3] == "Borradores/Año".encode()
    one.ok('SELECT "Borradores/Año"'.encode())
    assert one.no("CREATE \"A\xf1o\"".encode("latin-1")).code == "CANNOT"


def test_create_delete_rename(talk):
    """I35, sec-I04: refused names have their codes."""
    one = talk("ana")
    assert one.ok("CREATE Uno/Dos") is not None
    assert one.end.code.startswith("MAILBOXID (F")
    assert one.no("CREATE Uno/Dos").code == "ALREADYEXISTS"
    assert one.no("CREATE INBOX").code == "ALREADYEXISTS"
    assert one.no("DELETE INBOX").code == "CANNOT"
    assert one.no("DELETE Nada").code == "NONEXISTENT"
    assert one.no("RENAME Nada Algo").code == "NONEXISTENT"
    for name in ("../x", "a//b", "a/../b", ".", "/".join("a" * 30), "x" * 300, "&AAA-"):
        assert one.command(f'CREATE "{name}"')[1].word in ("NO", "BAD"), name
    one.append(letter(1), "Uno/Dos")
    one.ok("RENAME Uno Tres")
    assert one.data("STATUS Tres/Dos (MESSAGES)") == [["STATUS", "Tres/Dos", ["MESSAGES", 1]]]
    assert one.no("SELECT Uno/Dos").code == "NONEXISTENT"
    one.ok("DELETE Tres/Dos")
    assert one.no("STATUS Tres/Dos (MESSAGES)").code == "NONEXISTENT"
    assert one.no("STATUS INBOX (DELETED-STORAGE)", "BAD")


def test_select(world, talk):
    world.put(1, flags=("\\Seen", "Etiqueta"))
    world.put(2)
    one, two = talk("ana"), talk("ana")
    told = one.ok("SELECT INBOX")
    codes = [r.code.split()[0] for r in told if isinstance(r, Status)]
    assert codes == ["PERMANENTFLAGS", "UNSEEN", "UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ", "MAILBOXID"]
    assert one.end.code == "READ-WRITE"
    assert [2, "EXISTS"] in [r.values for r in told if isinstance(r, Data)]
    assert [2, "RECENT"] in [r.values for r in told if isinstance(r, Data)]
    assert "UNSEEN 2" in [r.code for r in told if isinstance(r, Status)]
    told = two.ok("EXAMINE INBOX")
    assert two.end.code == "READ-ONLY"
    assert [0, "RECENT"] in [r.values for r in told if isinstance(r, Data)]
    for command in ("STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 INBOX"):
        assert two.no(command).code == "NOPERM"
    two.ok("FETCH 2 BODY[]")        # sets nothing in a mailbox that is open for reading only
    assert fetched(one.data("FETCH 2 FLAGS")[0])["FLAGS"] == ["\\Recent"]
    assert next(r.code for r in one.ok("SELECT INBOX") if isinstance(r, Status)) == "CLOSED"
    assert one.no("SELECT Nada").code == "NONEXISTENT"
    assert one.no("FETCH 1 FLAGS", "BAD")       # a failed SELECT leaves nothing open


def test_close_and_unselect(world, talk):
    """I09."""
    for number in range(3):
        world.put(number)
    one = talk("ana")
    one.ok("SELECT INBOX")
    one.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    one.ok("UNSELECT")
    one.ok("SELECT INBOX")
    assert one.ok("CLOSE") == []
    assert one.data("STATUS INBOX (MESSAGES)") == [["STATUS", "INBOX", ["MESSAGES", 1]]]


def test_rev2(world, talk):
    """I21: no RECENT, LIST in SELECT, ESEARCH for SEARCH, UTF-8."""
    world.put(1)
    one = talk("ana")
    assert one.data("ENABLE IMAP4rev2") == [["ENABLED", "IMAP4rev2"]]
    one.utf8 = True
    told = [r.values for r in one.ok("SELECT INBOX") if isinstance(r, Data)]
    assert [1, "EXISTS"] in told
    assert "LIST" in [values[0] for values in told]
    assert "RECENT" not in str(told)
    assert one.data("SEARCH ALL") == [["ESEARCH", ["TAG", f"t{next(one.tags) - 1}".encode()], "ALL", 1]]
    assert fetched(one.data("FETCH 1 FLAGS")[0])["FLAGS"] == []


def test_qresync(world, talk):
    """I13: a client that comes back learns what changed and what went, in the SELECT."""
    for number in range(6):
        world.put(number)
    one = talk("ana")
    one.ok("SELECT INBOX (CONDSTORE)")
    assert "MODSEQ" in str(one.data("FETCH 1 (FLAGS MODSEQ)"))
    codes = [r.code.split() for r in one.ok("SELECT INBOX") if isinstance(r, Status)]
    told = {code[0]: code[1] for code in codes if len(code) == 2}
    one.ok("STORE 2 +FLAGS (\\Flagged)")
    one.ok("STORE 4:5 +FLAGS.SILENT (\\Deleted)")
    one.ok("EXPUNGE")
    two = talk("ana")
    back = f"SELECT INBOX (QRESYNC ({told['UIDVALIDITY']} {told['HIGHESTMODSEQ']}))"
    assert two.no(back, "BAD")
    assert two.data("ENABLE QRESYNC") == [["ENABLED", "QRESYNC"]]
    values = [r.values for r in two.ok(back) if isinstance(r, Data)]
    assert ["VANISHED", ["EARLIER"], "4:5"] in values
    changed = [fetched(v) for v in values if v[1] == "FETCH"]
    assert [(c["UID"], "\\Flagged" in c["FLAGS"]) for c in changed] == [(2, True)]
    known = back.replace("))", " 1:3))")
    values = [r.values for r in two.ok(known) if isinstance(r, Data)]
    assert "VANISHED" not in [v[0] for v in values]
    matched = back.replace("))", " 1:6 (1:3 1:3)))")
    assert ["VANISHED", ["EARLIER"], "4:5"] in [r.values for r in two.ok(matched) if isinstance(r, Data)]
    other = back.replace(told["UIDVALIDITY"], "1")
    assert "VANISHED" not in str(two.ok(other))
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    one.ok("EXPUNGE")
    assert ["VANISHED", 1] in two.data("NOOP")
    two.ok("STORE 1 +FLAGS (\\Deleted)")
    assert two.data("EXPUNGE") == [["VANISHED", 2]]
    assert two.end.code.startswith("HIGHESTMODSEQ")
    assert two.data(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {told['HIGHESTMODSEQ']} VANISHED)")[0] == [
        "VANISHED", ["EARLIER"], "1:2,4:5"]
