"""Mail from programs of this machine: who may say to be whom, what is completed, what goes back, and only once."""
import os
import pwd

import pytest

from bridge.intake import drop
from bridge.intake.drop import DropIntake, Rules
from bridge.model.clock import Clock, Ids
from bridge.queue.enter import Door, Limits
from bridge.store import dropfolder, failpoints
from bridge.store.spool import Spool
from bridge.watch.trace import Journal

ME = pwd.getpwuid(os.geteuid()).pw_name
TEXT = b"To: ana@example.org\nSubject: hi\n\nbody\n.\n"


class World:
    def __init__(self, root, monkeypatch):
        self.folder = root / "drop"
        dropfolder.prepare(self.folder)
        self.now = 1_800_000_000.0
        clock = Clock(lambda: self.now)
        self.spool = Spool(root / "spool", threads=1)
        self.door = Door(self.spool, hostname="mx.example.org", journal=Journal.silent(), clock=clock,
                         limits=Limits(message_size=100_000), ids=Ids(clock))
        self.owned = {("juan@example.org", "info@example.org")}
        self.trusted = ("root",)
        self.clock, self.monkeypatch = clock, monkeypatch
        self.user("juan", "Juan Núñez,,,")

    def user(self, login, gecos="", uid=1234):
        entry = pwd.struct_passwd((login, "x", uid, uid, gecos, f"/home/{login}", "/bin/sh"))
        self.monkeypatch.setattr(drop.pwd, "getpwuid", lambda number: entry)

    def put(self, text=TEXT, **record):
        record.setdefault("recipients", [])
        return dropfolder.put(str(self.folder), record, [text] if isinstance(text, bytes) else text)

    def intake(self):
        rules = Rules("example.org", lambda mine, other: (mine, other) in self.owned, self.trusted)
        return DropIntake(self.folder, self.door, rules, Journal.silent(), self.clock)

    def taken(self):
        """Take everything; envelope and message of each, oldest first."""
        self.intake().take()
        found = [self.spool.open(one) for one in self.spool.scan()]
        return [(one.envelope, self.spool.read(one, 1 << 20)) for one in found]


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path, monkeypatch)
    yield made
    failpoints.arm("")
    made.spool.close()


def test_plain(world):
    """S77, S78: envelope and completed header; the file goes."""
    name = world.put(recipients=["ana@Example.org", "pedro"])
    ((envelope, text),) = world.taken()
    assert envelope.sender == "juan@example.org"
    assert [one.address for one in envelope.recipients] == ["ana@example.org", "pedro@example.org"]
    assert (envelope.key, envelope.origin.door, envelope.origin.login) == (f"drop:{name}", "sendmail", "juan")
    head, _, body = text.partition(b"\r\n\r\n")
    assert body == b"body\r\n.\r\n"
    assert head.startswith(b"Received: from userid-")
    assert b"\r\n\tby mx.example.org with local id " in head
    assert b"\r\nFrom: =?utf-8?" in head.lower().replace(b"from", b"From")
    assert b"<juan@example.org>" in head
    assert b"\r\nDate: " in head
    assert b"\r\nMessage-ID: <" in head
    assert not list(world.folder.iterdir())


def test_recipients_from_the_header(world):
    """S77: -t takes To, Cc and Bcc and removes Bcc; groups and comments are understood."""
    world.put(b"To: Ana <ana@example.org>,\n \"Q, R\" <q@example.net>\nCc: friends: pedro, eva (x)@example.org;\n"
              b"Bcc: secret@example.com\nFrom: other@example.org\n\nx\n", extract=True)
    ((envelope, text),) = world.taken()
    assert [one.address for one in envelope.recipients] == [
        "ana@example.org", "q@example.net", "pedro@example.org", "eva@example.org", "secret@example.com"]
    assert b"secret" not in text
    assert text.count(b"From:") == 1


def test_resent_fields_come_first(world):
    world.put(b"To: old@example.org\nResent-To: new@example.org\nResent-Bcc: hid@example.org\n\n", extract=True)
    ((envelope, text),) = world.taken()
    assert [one.address for one in envelope.recipients] == ["new@example.org", "hid@example.org"]
    assert b"hid@" not in text


@pytest.mark.parametrize(("login", "asked", "sender", "warned"), [
    ("juan", None, "juan@example.org", False),
    ("juan", "juan", "juan@example.org", False),
    ("juan", "info@example.org", "info@example.org", False),
    ("juan", "", "", False),
    ("juan", "<>", "", False),
    ("juan", "ana@example.org", "juan@example.org", True),
    ("juan", "rector@uco.example", "juan@example.org", True),
    ("root", "rector@uco.example", "rector@uco.example", False),
    ("www-data", "web@example.org", "www-data@example.org", True),
])  # fmt: skip
def test_the_owner_bounds_the_sender(world, login, asked, sender, warned):
    """sec-Q11: nobody sends as somebody else, and no mail is lost for trying."""
    world.user(login)
    world.put(sender=asked, recipients=["ana"])
    ((envelope, text),) = world.taken()
    assert envelope.sender == sender
    warning = f"\r\nX-Authentication-Warning: mx.example.org: {login} set sender to {asked} using -f\r\n".encode()
    assert (warning in text) is warned


def test_trusted_users_are_a_setting(world):
    """sec-Q11: a web server may be trusted."""
    world.user("www-data")
    world.trusted = ("root", "www-data")
    world.put(sender="web@example.org", recipients=["ana"], name="The Web")
    ((envelope, text),) = world.taken()
    assert envelope.sender == "web@example.org"
    assert b'\r\nFrom: The Web <web@example.org>\r\n' in text


def test_dsn_options(world):
    """S77: -N -R -V -B reach the envelope; nonsense doesn't."""
    world.put(recipients=["ana"], notify="failure,delay", ret="hdrs", envid="abc", body="8bitmime")
    world.put(recipients=["ana"], notify="x\ny", ret="ALL", envid="a b", body=7)
    two, one = sorted((envelope for envelope, _ in world.taken()), key=lambda envelope: envelope.ret)
    assert (one.recipients[0].notify, one.ret, one.envid, one.body) == ("FAILURE,DELAY", "HDRS", "abc", "8BITMIME")
    assert (two.recipients[0].notify, two.ret, two.envid, two.body) == ("", "", "", "")


@pytest.mark.parametrize(("text", "record", "why"), [
    (TEXT, {}, "no recipients / sin destinatarios"),
    (b"Subject: x\n\n", {"extract": True}, "no recipients"),
    (TEXT, {"recipients": ["a b@example.org"]}, "'a b@example.org': malformed local part"),
    (TEXT, {"recipients": ["x\r\nRCPT TO:<y>"]}, "malformed"),
    (TEXT, {"recipients": [f"u{n}" for n in range(10_001)]}, "more than 10000"),
    (TEXT, {"recipients": ["ana"], "sender": "a b"}, "(-f)"),
    (b"Subject: big\n\n" + b"x" * 200_000, {"recipients": ["ana"]}, "552 5.3.4"),
    (b"Received: x\n" * 60 + b"Subject: big\n\n", {"recipients": ["ana"]}, "5.4.6"),
])  # fmt: skip
def test_what_can_not_be_sent_goes_back(world, text, record, why):
    """S77, sec-Q11: the owner gets a notice in both languages; the null sender; nothing stays."""
    world.put(text, **record)
    ((envelope, notice),) = world.taken()
    assert envelope.sender == ""
    assert [one.address for one in envelope.recipients] == ["juan@example.org"]
    assert why.encode() in notice
    assert b"No se pudo enviar" in notice
    assert not list(world.folder.iterdir())


def test_trouble_of_ours_leaves_it(world):
    """P12: a full disk is no reason to refuse; the next look takes it, once."""
    world.put(recipients=["ana"])
    intake = world.intake()
    failpoints.arm("spool.fdatasync=ENOSPC@1")
    assert intake.take() == 0
    failpoints.arm("")
    assert len(list(world.folder.iterdir())) == 1
    assert intake.take() == 1
    assert len(list(world.spool.scan())) == 1


def test_crash_between_door_and_removal(world):
    """S78: taken twice under one key, so that the queue drops the second."""
    world.put(recipients=["ana"])
    failpoints.arm("drop.unlink=EIO@1")
    intake = world.intake()
    intake.take()
    failpoints.arm("")
    assert intake.take() == 1
    keys = {world.spool.open(one).envelope.key for one in world.spool.scan()}
    assert len(keys) == 1


def test_idle_looks_are_cheap_and_miss_nothing(world):
    """A folder that hasn't changed isn't listed; one that changed in the same tick is."""
    intake = world.intake()
    os.utime(world.folder, ns=(1, int((world.now - 100) * 1e9)))
    assert intake.take() == 0
    listed = []
    world.monkeypatch.setattr(dropfolder, "waiting", lambda folder: listed.append(1) or [])
    assert intake.take() == 0
    assert not listed
    os.utime(world.folder, ns=(1, int(world.now * 1e9)))
    intake.take()
    intake.take()
    assert len(listed) == 2


def test_hostile_files_are_refused(world, tmp_path):
    """sec-Q11: links and garbage are removed, the rest is taken."""
    victim = tmp_path / "victim"
    victim.write_text("{}\nsecret")
    (world.folder / ("0" * 32)).symlink_to(victim)
    os.link(victim, world.folder / ("1" * 32))
    (world.folder / ("2" * 32)).write_bytes(b"no json\n")
    (world.folder / "README").write_bytes(b"")
    world.put(recipients=["ana"])
    assert len(world.taken()) == 1
    assert [path.name for path in world.folder.iterdir()] == ["README"]
    assert victim.exists()


def test_user_without_a_name(world):
    world.monkeypatch.setattr(drop.pwd, "getpwuid", lambda number: {}[number])
    world.put(recipients=["ana"])
    ((envelope, _),) = world.taken()
    assert envelope.sender == f"uid{os.geteuid()}@example.org"


def test_a_real_user_of_this_machine(tmp_path, monkeypatch):
    """S78: the passwd database says who the owner is."""
    real = World(tmp_path, monkeypatch)
    monkeypatch.undo()
    real.put(recipients=["ana"])
    ((envelope, _),) = real.taken()
    assert envelope.origin.login == ME
    real.spool.close()
