"""Several clients on one mailbox, and news for those in IDLE (I03, I34)."""
import os
import time

from bridge.config.imap import Imap
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.store.copies import Copy, Letter
from bridge.store.delivery import Maildirs
from bridge.store.spool import Spool
from tests.bridge.serve.imap.world import Talk, World, fetched, letter
from tests.bridge.wire.imap.reader import Data


def idle(one, tag=b"i"):
    one.send(tag + b" IDLE\r\n")
    assert one.response().text == b"idling"


def words(talked):
    return [tuple(values[:2]) for values in talked]


def test_two_sessions_see_each_other(world, talk):
    """I34: flags, expunges and new mail of one are told to the other, with numbers that fit."""
    for number in range(5):
        world.put(number)
    one, two = talk("ana"), talk("ana")
    one.ok("SELECT INBOX")
    two.ok("SELECT INBOX")
    one.ok("STORE 2,4 +FLAGS (\\Deleted $Tarea)")
    told = two.ok("NOOP")
    lines = [one.values for one in told if isinstance(one, Data)]
    flags = {values[0]: values[2][1] for values in lines if values[1] == "FETCH"}
    assert sorted(flags) == [2, 4]
    assert {"\\Deleted", "$Tarea"} <= set(flags[2])
    assert told[0].values[0] == "FLAGS"
    assert "$Tarea" in told[0].values[1]
    assert words(one.data("EXPUNGE")) == [(4, "EXPUNGE"), (2, "EXPUNGE")]
    assert words(two.data("FETCH 1 UID")) == [(1, "FETCH")]              # not told inside of FETCH
    assert words(two.data("STORE 5 +FLAGS.SILENT (\\Answered)")) == []   # still counts as before
    assert words(two.data("NOOP"))[:2] == [(4, "EXPUNGE"), (2, "EXPUNGE")]
    assert [fetched(v)["UID"] for v in two.data("FETCH 1:* UID")] == [1, 3, 5]
    world.put(9)
    assert (4, "EXISTS") in words(one.data("NOOP"))
    assert [fetched(v)["UID"] for v in one.data("FETCH 4 UID")] == [6]
    assert one.no("FETCH 5 UID", "BAD")


def test_expunge_by_uid_commands_may_be_told(world, talk):
    for number in range(3):
        world.put(number)
    one, two = talk("ana"), talk("ana")
    one.ok("SELECT INBOX")
    two.ok("SELECT INBOX")
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    one.ok("EXPUNGE")
    assert (1, "EXPUNGE") in words(two.data("UID FETCH 3 FLAGS"))


def deliver(world, tmp_path, number, name="ana"):
    """What the queue does with a message for a local user."""
    spool = Spool(tmp_path / "spool", threads=1)
    one = f"00000000000{number:05d}"
    draft = spool.begin(Envelope(one, one, "x@example.org", (Recipient("ana@example.org"),), Origin("smtp"), 17e8))
    draft.write(letter(number))
    spooled = spool.commit(draft).result()
    spool.close()
    person = world.people[name]
    maildirs = Maildirs(world.folder, "mx.example.org")
    copy = Copy(1, str(person.maildir), person.address, person.address, "x@example.org")
    assert maildirs.put([Letter(spooled, (copy,))]) == {1: str(person.maildir)}
    maildirs.close()


def exists(one):
    """The next EXISTS."""
    while True:
        values = one.response().values
        if values[1] == "EXISTS":
            return values[0]


def test_idle_hears_of_a_delivery(tmp_path):
    """I03: a file that the queue delivers, and its hint, reach everybody who waits, long before any poll."""
    with World(tmp_path, settings=Imap(poll_seconds=600)) as world:
        waiting = [Talk(world, "ana") for _ in range(3)]
        for one in waiting:
            one.ok("SELECT INBOX")
            idle(one)
        for number in (1, 2):
            deliver(world, tmp_path, number)
            world.store.hints.hint("mailbox", "ana@example.org\nINBOX")
            assert [exists(one) for one in waiting] == [number] * 3
        for one in waiting:
            one.send(b"DONE\r\n")
            assert one.until("i")[1].word == "OK"
            assert fetched(one.data("FETCH 2 ENVELOPE")[0])["ENVELOPE"][1] == b"Carta 2"
            one.close()


def test_idle_without_any_hint(tmp_path):
    """I03 and the design's rule: with all hints lost it is slower, and nothing else."""
    with World(tmp_path, settings=Imap(poll_seconds=0.1), hints=False) as world, Talk(world, "ana") as one:
        one.ok("SELECT INBOX")
        idle(one)
        deliver(world, tmp_path, 1)
        assert exists(one) == 1
        world.mail().store_flags(world.mail().folder("INBOX"), [(1, 1)], "+", ["\\Flagged"])
        while True:
            values = one.response().values
            if values[1] == "FETCH":
                assert "\\Flagged" in values[2][1]
                break


def test_idle_hears_of_flags_and_expunges(world, talk):
    for number in range(3):
        world.put(number)
    one, two = talk("ana"), talk("ana")
    for each in (one, two):
        each.ok("SELECT INBOX")
    idle(one)
    two.ok("STORE 2 +FLAGS (\\Deleted)")
    values = one.response().values
    assert values[:2] == [2, "FETCH"]
    two.ok("EXPUNGE")
    assert one.response().values == [2, "EXPUNGE"]
    one.send(b"DONE\r\n")
    assert one.until("i")[1].word == "OK"


def test_foreign_programs(tmp_path):
    """What mutt or procmail do, without hints: new files, flags in names, removals."""
    with World(tmp_path, settings=Imap(poll_seconds=0.1)) as world, Talk(world, "ana") as one:
        one.ok("SELECT INBOX")
        maildir = world.people["ana"].maildir
        (maildir / "tmp" / "1.a.host").write_bytes(letter(1).replace(b"\r\n", b"\n"))
        os.rename(maildir / "tmp" / "1.a.host", maildir / "new" / "1.a.host")
        assert [1, "EXISTS"] in one.data("NOOP")
        idle(one)
        found, = (maildir / "new").iterdir()
        os.rename(found, maildir / "cur" / (found.name + ":2,FS"))
        while True:
            values = one.response().values
            if values[1] == "FETCH":
                assert {"\\Flagged", "\\Seen"} <= set(values[2][1])
                break
        for path in (maildir / "cur").iterdir():
            path.unlink()
        while (values := one.response().values)[1] != "EXPUNGE":
            pass
        assert values[0] == 1


def test_idle_ends_only_with_done(talk):
    one = talk("ana")
    idle(one)       # without a mailbox
    one.send(b"NOOP\r\n")
    assert one.until("i")[1].word == "BAD"
    one.ok("NOOP")


def test_still_here(tmp_path):
    with World(tmp_path, settings=Imap(poll_seconds=0.05, still_here=1)) as world, Talk(world, "ana") as one:
        idle(one)
        assert one.response().text == "Still here"


def test_a_client_that_only_sleeps_is_sent_away(tmp_path):
    """P27: a stopped program still answers TCP: it's the protocol's time that ends its IDLE, however much we say."""
    settings = Imap(poll_seconds=0.05, still_here=1, idle_seconds=2)
    with World(tmp_path, settings=settings) as world, Talk(world, "ana") as one:
        idle(one)
        while (last := one.response()).word != "BYE":
            assert last.text == "Still here"


def test_deleted_mailbox(world, talk):
    """Who has it open is sent away; who removes it isn't."""
    one, two, three = talk("ana"), talk("ana"), talk("ana")
    one.ok("CREATE Temporal")
    for each in (one, two, three):
        each.ok("SELECT Temporal")
    idle(two)
    assert [r.code for r in one.ok("DELETE Temporal")] == ["CLOSED"]
    assert two.response().word == "BYE"
    assert three.no("NOOP")
    assert three.response().word == "BYE"
    one.ok("SELECT INBOX")


def test_renamed_mailbox_is_followed(world, talk):
    one = talk("ana")
    one.ok("CREATE Vieja/Hija")
    one.append(letter(1), "Vieja/Hija")
    one.ok("SELECT Vieja/Hija")
    one.ok("RENAME Vieja Nueva")
    assert fetched(one.data("FETCH 1 ENVELOPE")[0])["ENVELOPE"][1] == b"Carta 1"
    one.ok("STORE 1 +FLAGS (\\Seen)")
    one.ok("NOOP")


def test_many_idlers_learn_at_once(tmp_path):
    """I03: 60 sessions of 20 users, one look per mailbox; a message for each user reaches its three sessions."""
    names = [f"u{n}" for n in range(20)]
    settings = Imap(poll_seconds=600, connections_address=100)
    with World(tmp_path, settings=settings, users=names) as world:
        waiting = {name: [Talk(world, name) for _ in range(3)] for name in names}
        for each in waiting.values():
            for one in each:
                one.ok("SELECT INBOX")
                idle(one)
        before = time.monotonic()
        for name in names:
            world.put(1, name)
        for each in waiting.values():
            for one in each:
                assert exists(one) == 1
                one.close()
        assert time.monotonic() - before < 20


def test_slow_idler_is_not_flooded(world, talk):
    """sec-I17: news for who doesn't read wait in the view, not in memory."""
    one = talk("ana")
    one.ok("SELECT INBOX")
    idle(one)
    session = next(iter(world.service.sessions))
    session._link.congested = True
    world.put(1)
    deadline = time.monotonic() + 10
    while not session.client.box.view.pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert session.client.box.view.pending
    session._link.congested = False
    world.put(2)
    assert exists(one) == 2
