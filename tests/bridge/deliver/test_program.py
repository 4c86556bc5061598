"""Programs of aliases and commands that fill mailboxes: what they get, what their end means, what can't be smuggled."""
import asyncio
import json
import os
import pwd
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.config.delivery import Delivery
from bridge.deliver import program
from bridge.deliver.base import Job, Target
from bridge.deliver.program import ProgramTransport, Unfit, by_command, command_of, filled, identity_of
from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.outcome import Deferred, Delivered, Failed
from bridge.route.resolver import Kind, Route
from bridge.store.accounts import Account
from bridge.store.spool import Spool

ROOT = os.geteuid() == 0
USER = "nobody" if ROOT else pwd.getpwuid(os.geteuid()).pw_name
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") if ROOT else sys.executable    # nobody may run it
DUMP = (
    "import os,sys,json; found = [sys.argv[1:], dict(os.environ), sys.stdin.read(), os.getuid()]; "
    "json.dump(found, open(sys.argv[1],'w'))"
)


@pytest.fixture
def world():
    tmp_path = Path(tempfile.mkdtemp(prefix="estafeta-program."))      # where the other user may go
    tmp_path.chmod(0o755)
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    spool = Spool(tmp_path / "spool", threads=1)
    envelope = Envelope("0" * 16, "0" * 16, "ann@example.org", (Recipient("log@example.org"),), Origin("smtp"), 1.0)
    draft = spool.begin(envelope)
    draft.write(b"Return-Path: <other@x>\r\nSubject: hi\r\n\r\nbody $(id)\r\n")
    spooled = spool.commit(draft).result()
    made, told = [], []

    def transport(account=None, **settings):
        settings.setdefault("program_user", USER if ROOT else "")
        one = ProgramTransport(Delivery(**settings), account_of=lambda address: account, hint=told.extend)
        made.append(one)
        return one

    def send(target, sender="ann@example.org", address="log+x@example.org", account=None, **settings):
        text = target if isinstance(target, str) else json.dumps([str(word) for word in target])
        asked = (Target(1, address, "orig@example.org", text, sender),)
        found = asyncio.run(transport(account, **settings).deliver([Job(spooled, Kind.PROGRAM, "", asked)]))
        return found[1]

    yield SimpleNamespace(send=send, out=out, root=tmp_path, told=told, transport=transport, spooled=spooled)
    for one in made:
        one.close()
    spool.close()
    shutil.rmtree(tmp_path)


def dumped(world):
    return json.loads((world.out / "dump").read_text())


def dump(world, *words):
    return [PYTHON, "-c", DUMP, world.out / "dump", *words]


def test_what_a_program_gets(world):
    """S56: message on standard input with LF and our fields, environment, arguments, never root."""
    outcome = world.send(dump(world, "two words", "", "$HOME"))
    assert outcome == Delivered(PYTHON)
    arguments, environ, text, uid = dumped(world)
    assert arguments[1:] == ["two words", "", "$HOME"]
    assert text == (
        "Return-Path: <ann@example.org>\nX-Original-To: orig@example.org\nDelivered-To: log+x@example.org\n"
        "Subject: hi\n\nbody $(id)\n"
    )
    wanted = {"SENDER": "ann@example.org", "RECIPIENT": "log+x@example.org", "EXTENSION": "x", "LOCAL": "log+x",
              "DOMAIN": "example.org", "USER": USER, "LOGNAME": USER, "PATH": "/usr/local/bin:/usr/bin:/bin",
              "ORIGINAL_RECIPIENT": "orig@example.org"}
    assert wanted.items() <= environ.items()
    assert not {"ESTAFETA_CONFIG", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST"} & environ.keys()
    assert uid != 0


def test_from_line_only_where_asked(world):
    """S56: the mbox separator is a setting."""
    world.send(dump(world), program_from_line=True, sender="")
    assert dumped(world)[2].startswith("From MAILER-DAEMON ")
    assert "\nReturn-Path: <>\n" in dumped(world)[2]


@pytest.mark.parametrize("sender", ["() { :;}; echo@example.org", "$(id)`id`;|&@x", "a\nPATH=/tmp@x", "ñ@example.org"])
def test_values_can_not_become_code(world, sender):
    """sec-D02: Shellshock and its family: what doesn't belong into an address is replaced."""
    world.send(dump(world), sender=sender)
    value = dumped(world)[1]["SENDER"]
    assert not set(value) & set("(){};$`|& \n\"'<>*?\\")
    assert value.endswith(sender[-2:])


@pytest.mark.parametrize(("status", "kind", "enhanced"), [
    (75, Deferred, "4.3.0"), (67, Failed, "5.1.1"), (69, Failed, "5.2.1"), (70, Failed, "5.3.0"), (77, Failed, "5.7.0"),
    (71, Deferred, "4.3.0"), (1, Failed, "5.3.0"),
])  # fmt: skip
def test_exit_status_and_words(world, status, kind, enhanced):
    """S56: sysexits; what the program said is quoted."""
    code = f"import sys; print('no such\\x1b\\nmember', file=sys.stderr); sys.exit({status})"
    outcome = world.send([PYTHON, "-c", code])
    assert isinstance(outcome, kind)
    assert outcome.reply.status == enhanced
    assert outcome.reply.text.endswith(": no such member")
    assert outcome.where == PYTHON


def test_time_out_signal_and_missing_program_are_temporary(world):
    """S56: none of this is the recipient's fault."""
    late = world.send([PYTHON, "-c", "import time; print('well', flush=True); time.sleep(60)"],
                      program_seconds=1)
    assert isinstance(late, Deferred)
    assert "not ended after 1 seconds: well" in late.reply.text
    killed = world.send([PYTHON, "-c", "import os; os.kill(os.getpid(), 11)"])
    assert isinstance(killed, Deferred)
    missing = world.send(["/nonexistent/x"])
    assert isinstance(missing, Deferred)
    assert missing.reply.text == "/nonexistent/x can't be run: No such file or directory"


def test_never_as_root(world, monkeypatch):
    """S56: with root's rights and no other user nothing is run."""
    monkeypatch.setattr(program.os, "geteuid", lambda: 0)
    for user in ("", "root", "0:0", "1000:0", "nobody-at-all"):
        outcome = world.send(dump(world), program_user=user)
        assert isinstance(outcome, Deferred)
        assert "program_user" in outcome.reply.text
    assert not (world.out / "dump").exists()
    assert identity_of("12345:12346").switch
    monkeypatch.setattr(program.os, "geteuid", lambda: 4321)
    assert not identity_of("").switch
    with pytest.raises(Unfit, match="can't become"):
        identity_of("12345:12346")


def test_so_many_at_once(world):
    """S56: the limit of the settings."""
    spans = world.root / "out"
    code = (
        "import time,os; a=time.time(); time.sleep(0.2); "
        f"open('{spans}/'+str(os.getpid()),'w').write(f'{{a}} {{time.time()}}')"
    )
    target = json.dumps([PYTHON, "-c", code])
    asked = tuple(Target(n, "log@example.org", "", target, "") for n in range(5))
    one = world.transport(programs_at_once=2)
    found = asyncio.run(one.deliver([Job(world.spooled, Kind.PROGRAM, "", asked)]))
    assert all(isinstance(outcome, Delivered) for outcome in found.values())
    times = [tuple(map(float, path.read_text().split())) for path in spans.iterdir()]
    assert len(times) == 5
    assert max(sum(a <= start < b for a, b in times) for start, _ in times) <= 2


def test_broken_off_delivery_ends_its_program(world):
    """A mover that stops leaves no program behind."""
    async def scene():
        asked = (Target(1, "log@example.org", "", json.dumps(["/bin/sleep", "60"]), ""),)
        await asyncio.wait_for(world.transport().deliver([Job(world.spooled, Kind.PROGRAM, "", asked)]), 0.3)

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(scene())
    for one in [world.transport()]:
        one.close()
    assert time.monotonic() - start < 20


# --- mailbox commands (D06)


def person(world, name="ana"):
    home = world.root / "home" / name
    (home / "Maildir").mkdir(parents=True)
    for folder in ("new", "cur", "tmp"):
        (home / "Maildir" / folder).mkdir()
    home.chmod(0o700)
    given(home)
    return Account(1, f"{name}@example.org", name, home, home / "Maildir")


def given(folder):
    """The mail belongs to the user that programs run as."""
    if ROOT:
        found = pwd.getpwnam(USER)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, found.pw_uid, found.pw_gid)


def test_which_command():
    """D06: site, domain, address; an empty one is ours."""
    settings = Delivery(mailbox_command="/bin/a 'b c'", mailbox_commands={
        "example.net": "/bin/n", "ana@example.net": "", "example.com": "",
    })
    assert command_of("x@example.org", settings) == ("/bin/a", "b c")
    assert command_of("x@example.net", settings) == ("/bin/n",)
    assert command_of("ana@example.net", settings) is None
    assert command_of("x@example.com", settings) is None
    assert command_of("x@example.org", Delivery()) is None


def test_mailboxes_become_programs():
    """D06: only routes to mailboxes change, and say why."""
    box, far = Route(Kind.MAILBOX, "ana+x@e.org", "ana@e.org"), Route(Kind.REMOTE, "x@y", "y")
    assert by_command((box, far), Delivery()) == (box, far)
    changed, same = by_command((box, far), Delivery(mailbox_command="/bin/a %u"))
    assert (changed.kind, changed.target, changed.address) == (Kind.PROGRAM, '"ana@e.org"', "ana+x@e.org")
    assert changed.why == ("/bin/a",)
    assert same == far


def test_places_are_filled_once(world):
    """D06, sec-D03: %u %f %d %h %m %e %a %%; values are never looked at again; an empty one stays an argument."""
    values = {"u": "ana", "d": "e.org", "h": "/home", "m": "/home/Maildir", "e": "", "a": "ana@e.org", "f": "%u@x"}
    assert filled(("/x", "%u@%d", "%e", "%%u", "%f", "-a%e", "%h/%m"), values) == [
        "/x", "ana@e.org", "", "%u", "%u@x", "-a", "/home//home/Maildir"]
    assert filled(("/x", "%f"), {"f": ""}) == ["/x", "MAILER-DAEMON"]
    assert filled(("/x", "%f", "-f%f"), {"f": "-X/tmp/x@y"}) == ["/x", "_X/tmp/x@y", "-f-X/tmp/x@y"]


def test_mailbox_command_gets_the_account(world):
    """D06: home, Maildir, user; the reader is told of new mail."""
    ana = person(world)
    command = f"{PYTHON} -c \"{DUMP}\" {world.out}/dump %u %d %h %m %e %f"
    assert isinstance(world.send('"ana@example.org"', account=ana, address="ana+x@example.org",
                                 mailbox_command=command), Delivered)
    arguments, environ, _, _ = dumped(world)
    assert arguments[1:] == ["ana", "example.org", str(ana.home), str(ana.maildir), "x", "ann@example.org"]
    assert (environ["HOME"], environ["USER"]) == (str(ana.home), "ana")
    assert world.told == ["ana@example.org"]


def test_account_that_has_gone_or_can_not_be_named(world):
    """D06, sec-D02: temporary, nothing is run."""
    assert isinstance(world.send('"ana@example.org"', mailbox_command="/bin/true"), Deferred)
    odd = Account(1, "-x@example.org", "x", Path("/h"), Path("/h/M"))
    outcome = world.send('"-x@example.org"', account=odd, mailbox_command="/bin/true")
    assert isinstance(outcome, Deferred)
    assert "can't be given" in outcome.reply.text


PROCMAIL = "/usr/bin/procmail -t -f %f HOME=%h DEFAULT=%m/ DETAIL=%e %h/.procmailrc"


@pytest.mark.skipif(not shutil.which("procmail"), reason="needs procmail")
def test_procmail(world):
    """D06: Debian's procmail with a .procmailrc of the account, or without one; the status that it is told to give."""
    ana = person(world)
    send = lambda: world.send('"ana@example.org"', account=ana, mailbox_command=PROCMAIL)  # noqa: E731
    assert isinstance(send(), Delivered)
    assert len(list((ana.maildir / "new").iterdir())) == 1
    rc = ana.home / ".procmailrc"
    rc.write_text(":0\n* ^Subject: hi\n* DETAIL ?? x\n$HOME/Maildir/.sorted/\n")
    given(ana.home)
    assert isinstance(send(), Delivered)
    (found,) = (ana.maildir / ".sorted" / "new").iterdir()
    assert "Delivered-To: log+x@example.org\n" in found.read_text()
    for status, kind in ((75, Deferred), (67, Failed)):
        rc.write_text(f"EXITCODE={status}\n:0\n/dev/null\n")
        assert isinstance(send(), kind)


@pytest.mark.skipif(not shutil.which("maildrop"), reason="needs maildrop")
def test_maildrop(world):
    """D06: Debian's maildrop delivers to the folder that its filter names."""
    ana = person(world)
    filters = ana.home / "filter"
    filters.write_text(f'if (/^Subject: hi/)\n{{\n  to "{ana.maildir}"\n}}\n')
    filters.chmod(0o600)
    given(ana.home)
    outcome = world.send('"ana@example.org"', account=ana, mailbox_command="/usr/bin/maildrop %h/filter")
    assert isinstance(outcome, Delivered), outcome
    (found,) = (ana.maildir / "new").iterdir()
    assert "Subject: hi\n" in found.read_text()
