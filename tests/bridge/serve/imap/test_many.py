"""A mailbox of ten thousand messages: every command ends, and others needn't wait for it (I40, sec-I16)."""
import os
import threading
import time

import pytest

from tests.bridge.serve.imap.world import Talk, World, fetched, letter

COUNT = 10_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    inbox = folder / "ana" / "Maildir"
    for name in ("new", "cur", "tmp"):
        (inbox / name).mkdir(parents=True)
    for kind in range(20):
        (inbox / "tmp" / f"{kind}").write_bytes(letter(kind).replace(b"\r\n", b"\n"))
    for number in range(COUNT):
        os.link(inbox / "tmp" / f"{number % 20}", inbox / "new" / f"{1_700_000_000 + number}.M{number}.host")
    with World(folder) as running:
        yield running


def test_reading(world):
    with Talk(world, "ana", wait=60) as one:
        assert [COUNT, "EXISTS"] in one.data("SELECT INBOX")
        for items in ("(UID FLAGS RFC822.SIZE INTERNALDATE)", "ENVELOPE", "BODYSTRUCTURE", "(BODY.PEEK[HEADER.FIELDS "
                      "(SUBJECT)])", "(BODY.PEEK[])", "(BODY.PEEK[TEXT])"):
            one.send(b"a FETCH 1:* %s\r\n" % items.encode())
            lines = 0
            while not (line := one.line()).startswith(b"a "):
                lines += 1
            assert (lines, line[:4]) == (COUNT, b"a OK"), items
        assert len(one.data("UID SEARCH SUBJECT 7")[0]) == 1 + COUNT // 10
        assert len(one.data("SORT (REVERSE DATE) UTF-8 ALL")[0]) == 1 + COUNT
        assert one.data("UID SEARCH RETURN (COUNT) BODY Hola")[0][-1] == COUNT
        odd = ",".join(map(str, range(1, COUNT, 2)))
        assert len(one.data(f"FETCH {odd} UID")) == COUNT // 2
        assert fetched(one.data(f"UID FETCH {odd[-9:]} (UID)")[-1])["UID"] == COUNT - 1


def test_others_are_served_meanwhile(world):
    """One session reads everything, another one pings: no ping waits anything like the whole."""
    done = threading.Event()

    def read_all():
        with Talk(world, "ana", wait=60) as busy:
            busy.ok("SELECT INBOX")
            for _ in range(3):
                busy.send(b"a FETCH 1:* (ENVELOPE BODY.PEEK[])\r\n")
                while not busy.line().startswith(b"a "):
                    pass
        done.set()

    with Talk(world, "luis") as other:
        reader = threading.Thread(target=read_all)
        reader.start()
        longest = 0.0
        while not done.is_set():
            before = time.monotonic()
            other.ok("NOOP")
            longest = max(longest, time.monotonic() - before)
        reader.join()
        assert longest < 2


def test_writing(world):
    with Talk(world, "ana", wait=60) as one:
        one.ok("SELECT INBOX")
        one.send(b"a STORE 1:* +FLAGS (\\Seen)\r\n")
        assert len(one.until("a")[0]) == COUNT
        one.ok("CREATE Copia")
        one.ok("COPY 1:2000 Copia")
        assert len(one.ok("MOVE 1:2000 Copia")) == 2001
        one.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        assert len(one.ok("EXPUNGE")) == COUNT - 2000
        assert one.data("STATUS Copia (MESSAGES)") == [["STATUS", "Copia", ["MESSAGES", 4000]]]
