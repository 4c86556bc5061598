"""imaplib and imapclient against the service: the basic calls that scripts and mail programs make (I39)."""
import imaplib
import time
from datetime import datetime

import pytest
from imapclient import DELETED, IMAPClient

from tests.bridge.serve.imap.world import PASSWORD, World, letter


@pytest.fixture
def world(tmp_path):
    with World(tmp_path) as running:
        yield running


def test_imaplib(world):
    with imaplib.IMAP4("127.0.0.1", world.port) as box:
        assert box.login("ana", PASSWORD)[0] == "OK"
        assert box.create("Archivo")[0] == "OK"
        assert box.append("INBOX", "(\\Seen)", imaplib.Time2Internaldate(time.time()), letter(1))[0] == "OK"
        assert box.append("INBOX", None, None, letter(2))[0] == "OK"
        assert box.select("INBOX") == ("OK", [b"2"])
        assert box.search(None, "UNSEEN") == ("OK", [b"2"])
        assert box.fetch("1", "(RFC822)")[1][0][1] == letter(1)
        assert box.uid("FETCH", "2", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1] == b"Subject: Carta 2\r\n\r\n"
        assert box.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
        assert box.copy("2", "Archivo")[0] == "OK"
        assert box.expunge() == ("OK", [b"1"])
        assert box.sort("REVERSE DATE", "UTF-8", "ALL") == ("OK", [b"1"])
        assert box.thread("REFERENCES", "UTF-8", "ALL")[0] == "OK"
        assert box.status("Archivo", "(MESSAGES UIDNEXT)")[1] == [b"Archivo (MESSAGES 1 UIDNEXT 2)"]
        assert sorted(box.list()[1]) == [b'(\\HasNoChildren) "/" Archivo', b'(\\HasNoChildren) "/" INBOX']
        assert box.rename("Archivo", "Antiguo")[0] == "OK"
        assert box.delete("Antiguo")[0] == "OK"
        assert box.namespace()[0] == "OK"
        assert box.noop()[0] == "OK"
        assert box.close()[0] == "OK"


def test_imapclient(world):
    with IMAPClient("127.0.0.1", world.port, ssl=False) as box:
        box.login("ana", PASSWORD)
        assert {b"MOVE", b"IDLE", b"CONDSTORE"} <= set(box.capabilities())
        box.create_folder("Año/Correo")
        assert "Año/Correo" in [name for _, _, name in box.list_folders()]
        box.subscribe_folder("Año/Correo")
        assert [name for _, _, name in box.list_sub_folders()] == ["Año/Correo"]
        for number in range(5):
            box.append("INBOX", letter(number), flags=["Proyecto"], msg_time=datetime(2026, 11, 22, 8, number))
        chosen = box.select_folder("INBOX")
        assert (chosen[b"EXISTS"], chosen[b"READ-WRITE"]) == (5, True)
        uids = box.search(["SUBJECT", "Carta", "KEYWORD", "Proyecto"])
        assert len(uids) == 5
        found = box.fetch(uids, ["ENVELOPE", "FLAGS", "BODYSTRUCTURE", "RFC822.SIZE", "INTERNALDATE", "BODY.PEEK[]"])
        assert found[uids[0]][b"BODY[]"] == letter(0)
        assert found[uids[1]][b"ENVELOPE"].subject == b"Carta 1"
        assert found[uids[1]][b"ENVELOPE"].from_[0].mailbox == b"ana"
        assert found[uids[2]][b"BODYSTRUCTURE"].is_multipart is False
        assert box.add_flags(uids[:2], [DELETED])[uids[0]]
        assert box.get_flags(uids[2:3])[uids[2]] == (b"Proyecto", b"\\Recent")
        box.copy(uids[2:3], "Año/Correo")
        box.move(uids[3:4], "Año/Correo")
        box.expunge()
        assert box.search() == [uids[2], uids[4]]
        assert box.sort("REVERSE ARRIVAL") == [uids[4], uids[2]]
        assert box.thread() == ((uids[2],), (uids[4],))
        assert box.folder_status("Año/Correo", ["MESSAGES", "UIDNEXT"]) == {b"MESSAGES": 2, b"UIDNEXT": 3}
        assert box.namespace().personal == (("", "/"),)
        box.idle()
        world.put(9)
        assert (3, b"EXISTS") in box.idle_check(timeout=10)
        box.idle_done()
        box.multiappend("INBOX", [letter(7), letter(8)])
        box.rename_folder("Año/Correo", "Año/Viejo")
        assert box.find_special_folder(b"\\Sent") is None
        box.delete_folder("Año/Viejo")
        assert box.id_({"name": "prueba"})[0] == (b"name", b"Estafeta")
        box.noop()
        box.unselect_folder()
