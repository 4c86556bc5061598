"""Logging in and out, states, capabilities, bugs and trouble of the disk (I01, I02, I10, I41, sec-I01 to sec-I03)."""
import base64
import json
import logging

import pytest

from bridge.config.imap import Imap
from bridge.model.errors import DiskFull, StoreError
from bridge.serve.auth import Busy
from bridge.serve.imap import auth
from bridge.serve.imap.session import HANDLERS
from bridge.serve.imap.shared import OFFERED
from bridge.wire.imap.states import COMMANDS
from tests.bridge.serve.imap.world import PASSWORD, Talk, World
from tests.bridge.wire.imap.reader import Continue


def test_greeting_and_login(world, talk):
    """I01, I02: capabilities come with the greeting and with the login; the journal hears of it."""
    one = talk()
    assert one.greeting.word == "OK"
    assert "AUTH=PLAIN" in one.greeting.code
    assert "LOGINDISABLED" not in one.greeting.code
    one.ok(f"LOGIN ana@example.org {{{len(PASSWORD)}+}}\r\n{PASSWORD}")
    assert one.end.code.startswith("CAPABILITY IMAP4rev1")
    assert "MOVE" in one.end.code.split()
    events = [json.loads(line) for line in world.journal_lines]
    assert [(e["e"], e["login"]) for e in events] == [("login", "ana@example.org")]
    assert PASSWORD not in str(world.journal_lines)


def test_sasl(talk):
    """PLAIN with and without initial response, LOGIN, cancelled, nonsense, somebody else's name."""
    plain = base64.b64encode(b"\0ana\0" + PASSWORD.encode()).decode()
    talk().ok(f"AUTHENTICATE PLAIN {plain}")
    one = talk()
    one.send(b"a AUTHENTICATE PLAIN\r\n")
    assert one.response() == Continue(b"")
    one.send(b"*\r\n")
    assert one.response().word == "BAD"
    one.send(b"b AUTHENTICATE PLAIN\r\n")
    one.response()
    one.send(b"!!!\r\n")
    assert one.response().word == "BAD"
    assert one.no("AUTHENTICATE PLAIN " + base64.b64encode(b"luis\0ana\0" + PASSWORD.encode()).decode()).code == (
        "AUTHORIZATIONFAILED")
    assert one.no("AUTHENTICATE GSSAPI").word == "NO"
    one.send(b"c AUTHENTICATE LOGIN\r\n")
    assert base64.b64decode(one.response().text) == b"Username:"
    one.send(base64.b64encode(b"ana") + b"\r\n")
    assert base64.b64decode(one.response().text) == b"Password:"
    one.send(base64.b64encode(PASSWORD.encode()) + b"\r\n")
    assert one.response().word == "OK"
    one.ok("SELECT INBOX")


def test_wrong_passwords_end_the_connection(talk):
    """I41, sec-A01: the same answer for wrong and unknown, and not for ever."""
    one = talk()
    ends = [one.no(f"LOGIN {name} nope") for name in ("ana", "nobody", "ana", "luis")]
    assert len({(end.code, end.text) for end in ends}) == 1
    assert one.no("LOGIN ana nope").code == "AUTHENTICATIONFAILED"
    assert one.response().word == "BYE"
    with pytest.raises(ConnectionError):
        one.response()


def test_states(talk):
    one = talk()
    assert one.no("SELECT INBOX", "BAD").text == "Log in first"
    assert one.no("COMPRESS DEFLATE", "BAD")
    one.ok(f"LOGIN ana {PASSWORD}")
    assert one.no(f"LOGIN ana {PASSWORD}", "BAD").text == "Already logged in"
    assert one.no("FETCH 1 FLAGS", "BAD").text == "Select a mailbox first"
    assert one.no("COMPRESS DEFLATE", "BAD")      # sec-I12
    assert one.no("GETACL INBOX", "BAD")          # sec-I07
    one.ok("NOOP")
    assert [r.word for r in one.ok("LOGOUT")] == ["BYE"]


def test_every_command_is_announced_or_unknown():
    """The table of handlers is what the capability line says."""
    assert HANDLERS.keys() <= COMMANDS.keys()
    for name, capability in (("MOVE", "MOVE"), ("SORT", "SORT"), ("THREAD", "THREAD=REFERENCES"), ("ID", "ID"),
                             ("ENABLE", "ENABLE"), ("IDLE", "IDLE"), ("UNSELECT", "UNSELECT"),
                             ("COMPRESS", "COMPRESS=DEFLATE"), ("NOTIFY", "NOTIFY"), ("GETACL", "ACL"),
                             ("GETMETADATA", "METADATA"), ("REPLACE", "REPLACE"), ("GETQUOTA", "QUOTA")):
        assert (name in HANDLERS) == (capability in OFFERED), name


def test_id_is_kept_not_trusted(world, talk):
    """sec-I09."""
    one = talk("ana")
    assert one.data('ID ("name" "Thunder\\"bird" "version" NIL)')[0] == ["ID", [b"name", b"Estafeta"]]
    assert next(iter(world.service.sessions)).client.ident == 'name=Thunder"bird'


def test_without_tls_passwords_only_from_near(tmp_path):
    """sec-I02: LOGINDISABLED, and no look at the password."""
    with World(tmp_path, settings=Imap(plain_from=("192.0.2.0/24",))) as world, Talk(world) as one:
        assert "LOGINDISABLED" in one.greeting.code.split()
        assert "AUTH=" not in one.greeting.code
        assert one.no(f"LOGIN ana {PASSWORD}").code == "PRIVACYREQUIRED"
        assert one.no("AUTHENTICATE PLAIN AGFuYQB4").code == "PRIVACYREQUIRED"
        assert one.no("STARTTLS", "BAD")


def test_capabilities_can_be_switched_off(tmp_path):
    """I39."""
    with World(tmp_path, settings=Imap(without=("qresync", "IMAP4rev2"))) as world, Talk(world, "ana") as one:
        names = [str(name) for name in one.data("CAPABILITY")[0]]
        assert "QRESYNC" not in names
        assert "IMAP4rev2" not in names
        assert one.data("ENABLE QRESYNC CONDSTORE") == [["ENABLED", "CONDSTORE"]]


@pytest.mark.parametrize(("error", "word", "code"), [
    (StoreError("/secret/path"), "NO", "UNAVAILABLE"), (DiskFull("/secret/path"), "NO", "OVERQUOTA"),
])
def test_trouble_is_temporary_and_names_no_path(world, talk, monkeypatch, error, word, code):
    """P12: nothing permanent is said, nothing inside is shown."""
    one = talk("ana")

    def broken(*args, **named):
        raise error

    monkeypatch.setattr(world.mail(), "status", broken, raising=False)
    end = one.no("STATUS INBOX (MESSAGES)", word)
    assert end.code == code
    assert "secret" not in end.text
    monkeypatch.undo()
    one.ok("STATUS INBOX (MESSAGES)")


def test_a_bug_ends_one_session(world, talk, monkeypatch, caplog):
    one, other = talk("ana"), talk("luis")
    monkeypatch.setitem(HANDLERS, "NOOP", lambda client, command: 1 // 0)
    with caplog.at_level(logging.CRITICAL, "bridge.serve.imap.session"):
        assert one.no("NOOP").code == "SERVERBUG"
    assert one.response().word == "BYE"
    monkeypatch.setitem(HANDLERS, "NOOP", auth.noop)
    other.ok("NOOP")


def test_two_users_never_meet(world, talk):
    """sec-I06: the same names, UIDs and sequence numbers lead each user to their own mail only."""
    for number in range(3):
        world.put(number, "ana", body=b"Subject: de ana\r\n\r\nsecreto de ana\r\n")
        world.put(number, "luis", body=b"Subject: de luis\r\n\r\nsecreto de luis\r\n")
    ana, luis = talk("ana"), talk("luis")
    ana.ok("CREATE Privado")
    assert luis.no("SELECT Privado").code == "NONEXISTENT"
    for name in ("../../ana/Maildir/INBOX", "../ana", "/etc", "#user/ana/INBOX", "ana@example.org/INBOX"):
        assert luis.command(f'SELECT "{name}"')[1].word in ("NO", "BAD")
    for one, mine, theirs in ((ana, b"de ana", b"de luis"), (luis, b"de luis", b"de ana")):
        one.ok("SELECT INBOX")
        one.ok("UID FETCH 1:* (EMAILID BODY.PEEK[])")
        assert mine in one.raw
        assert theirs not in one.raw
        assert one.data(f'SEARCH TEXT "secreto {theirs.decode()}"') == [["SEARCH"]]
    ana.ok("IDLE\r\nDONE")
    world.put(9, "luis")
    assert ana.data("NOOP") == []
    assert [4, "EXISTS"] in luis.data("NOOP")


def test_pipelined_commands_are_answered_in_order(world, talk):
    world.put(1)
    one = talk("ana")
    one.send(b"a SELECT INBOX\r\nb FETCH 1 (BODY.PEEK[])\r\nc NOOP\r\nd STORE 1 +FLAGS (\\Seen)\r\ne UNSELECT\r\n")
    assert [one.until(tag)[1].word for tag in "abcde"] == ["OK"] * 5


def test_limits_before_login(talk):
    """sec-I01."""
    one = talk()
    one.send(b"a LOGIN {4294967295}\r\n")
    assert one.response().word == "BAD"
    one.send(b"b LOGIN ((((((((((\r\n")
    assert one.response().word == "BAD"
    one.send(b"c " + b"x" * 100_000 + b"\r\n")
    assert one.response().word in ("BAD", "BYE")


def test_who_is_there(world, talk):
    """I42: sessions are listed while they last."""
    one = talk("ana")
    assert [session.client.user for session in world.service.sessions] == ["ana@example.org"]
    one.ok("LOGOUT")
    with pytest.raises(ConnectionError):
        one.response()
    assert not world.service.sessions




def test_connections_of_one_user(tmp_path):
    """sec-I11."""
    with World(tmp_path, settings=Imap(connections_user=2)) as world:
        with Talk(world, "ana"), Talk(world, "ana") as two, Talk(world) as three:
            assert three.no(f"LOGIN ana {PASSWORD}").code == "LIMIT"
            three.ok(f"LOGIN luis {PASSWORD}")
            two.ok("LOGOUT")
        with Talk(world) as four:
            four.ok(f"LOGIN ana {PASSWORD}")


def test_too_busy_is_temporary(world, talk):
    """sec-A04: nothing is said about the password."""
    async def check(*args):
        raise Busy("too many logins at once")

    world.service.shared.check = check
    assert talk().no(f"LOGIN ana {PASSWORD}").code == "UNAVAILABLE"


def test_shutdown(tmp_path):
    """Who waits is told; what runs is finished."""
    with World(tmp_path) as world:
        waiting, idling = Talk(world, "ana"), Talk(world, "ana")
        idling.send(b"i IDLE\r\n")
        idling.response()
    for one in (waiting, idling):
        assert one.response().word == "BYE"
        one.close()


def test_a_flood_of_commands_leaves_room_for_others(world, talk):
    world.put(1)
    one, other = talk("ana"), talk("luis")
    one.ok("SELECT INBOX")
    one.send(b"".join(b"x%d FETCH 1 (UID BODY.PEEK[])\r\n" % n for n in range(1500)))
    other.ok("NOOP")
    for number in range(1500):
        assert one.until(f"x{number}")[1].word == "OK"
