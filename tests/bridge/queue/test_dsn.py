"""Reports: who gets one, what is in it, and that nothing from outside can bend it."""
import asyncio
import email
import email.policy
import os

import pytest

from bridge.model.envelope import Envelope, Origin, Recipient
from bridge.model.outcome import Deferred, Delivered, Failed
from bridge.model.reply import Reply
from bridge.queue import dsn
from bridge.queue.dsn import Composer, House, Report
from bridge.queue.enter import Door
from bridge.queue.reports import Reporter, is_here
from bridge.store import failpoints
from bridge.store.queuetables import PENDING, QUARANTINED, Row
from bridge.store.spool import Spool

NO = Reply(550, "5.1.1", "no such user")
EVIL = "<script>\r\nBcc: evil@example.com\r\n\r\n--x\x1b[2J" + "y" * 2000


def row(**changes):
    values = {
        "id": 1, "message": "M", "address": "bob@far.example", "original": "bob@far.example", "orcpt": "", "notify": "",
        "kind": "remote", "target": "", "nexthop": "", "sender": "", "state": PENDING, "next_try": 0.0, "attempts": 1,
        "priority": 0, "expires_at": 1_700_432_000.0, "code": 550, "enhanced": "5.1.1", "reply": "no such user",
        "place": "mx.far.example",
    }
    return Row(**(values | changes))


def composed(kind="failed", rows=(), header=b"Subject: hi\r\n\r\n", original=None, language="en", **changes):
    to = "ann@here.example"
    recipients = (Recipient("bob@far.example"),)
    envelope = Envelope("ID0", "ID0", to, recipients, Origin("smtp"), 1_700_000_000.0, **changes)
    report = Report(kind, "1", envelope, tuple(rows) or (row(),), to, 1_700_000_100.0, 1_700_432_000.0, "why")
    composer = Composer(House("mx.here.example", "postmaster@here.example", language))
    raw = b"".join(composer.compose(report, header, original))
    assert raw.count(b"\n") == raw.count(b"\r\n")
    return email.message_from_bytes(raw, policy=email.policy.default), raw


def test_failure_report():
    """S82, RFC 3464: three parts, of which a program can read the second."""
    found, _ = composed(rows=(row(original="robert@here.example", orcpt="rfc822;Robert@x"),), envid="E-1")
    assert found["From"] == "Mail Delivery System <MAILER-DAEMON@mx.here.example>"
    assert found["To"] == "ann@here.example"
    assert found["Auto-Submitted"] == "auto-replied"
    assert found.get_content_type() == "multipart/report"
    assert found["Content-Type"].params["report-type"] == "delivery-status"
    text, status, original = found.iter_parts()
    assert "bob@far.example (sent to robert@here.example)" in text.get_content()
    assert "550 5.1.1 no such user" in text.get_content()
    message, recipient = status.get_payload()
    assert message["Reporting-MTA"] == "dns; mx.here.example"
    assert message["Original-Envelope-Id"] == "E-1"
    assert recipient["Original-Recipient"] == "rfc822;Robert@x"
    assert recipient["Final-Recipient"] == "rfc822; bob@far.example"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Remote-MTA"] == "dns; mx.far.example"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert original.get_content_type() == "text/rfc822-headers"
    assert "Subject: hi" in original.as_string()


def test_delay_warning():
    found, _ = composed("delayed", (row(code=451, enhanced="", reply="later"),))
    text, status, _ = found.iter_parts()
    recipient = status.get_payload()[1]
    assert (recipient["Action"], recipient["Status"]) == ("delayed", "4.0.0")
    assert "2023" in recipient["Will-Retry-Until"]
    assert found["Subject"].startswith("Your mail is delayed")
    assert "need do nothing" in text.get_content()


@pytest.mark.parametrize("kind", ["failed", "delayed", "double"])
def test_in_spanish(kind):
    """S83."""
    found, _ = composed(kind, language="es")
    assert found["Subject"].split()[0] in ("Correo", "Su")
    assert "sistema de correo" in next(found.iter_parts()).get_content()


def test_own_templates(tmp_path):
    """S83: a file of the same name replaces the shipped one."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail/dsn.failed.en.txt").write_text("Subject: ours\n{{ recipients[0].address }} {{ 7 * 7 }}\n")
    composer = Composer(House("h", "p@h"), tmp_path)
    envelope = Envelope("I", "I", "ann@h", (), Origin("smtp"), 0.0)
    raw = b"".join(composer.compose(Report("failed", "1", envelope, (row(),), "ann@h", 0.0), b"", None))
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert found["Subject"] == "ours"
    assert next(found.iter_parts()).get_content().strip() == "bob@far.example 49"


def test_hostile_texts():
    """sec-M06, sec-O05, sec-D03: replies, addresses and headers of others stay what they are: text, on one line."""
    hostile = row(address=EVIL + "@far.example", original=EVIL, orcpt=EVIL, reply=EVIL + "{{ 7*7 }}", place=EVIL,
                  enhanced="5.1.1")
    header = b"Subject: =?utf-8?q?x=0D=0ABcc=3A_evil=40x?= {{ 7*7 }}\r\nMessage-ID: <a\x00b>\r\n--evil\r\n\r\nbody"
    found, raw = composed(rows=(hostile,), header=header, envid=EVIL)
    assert sorted(found.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "References", "Content-Type"]
    )
    assert "{{ 7*7 }}" in found["Subject"]
    parts = list(found.iter_parts())
    assert len(parts) == 3
    assert b"\x1b" not in raw
    assert b"--evil" not in raw
    assert not [line for line in raw.split(b"\r\n") if line.lower().startswith(b"bcc")]
    assert len(parts[1].get_payload()) == 2
    assert max(map(len, raw.split(b"\r\n"))) < 1200
    assert "<script>" in parts[0].get_content()


def test_addresses_beyond_ascii():
    """RFC 6533: the machine part stays ASCII."""
    found, raw = composed(rows=(row(address="peña@far.example", reply="no está"),))
    status = list(found.iter_parts())[1].get_payload()[1]
    assert status["Final-Recipient"] == "utf-8; pe\\x{F1}a@far.example"
    assert "peña" in next(found.iter_parts()).get_content()
    assert raw.isascii()


def test_whole_original():
    found, _ = composed(original=iter([b"Subject: hi\r\n\r\nthe ", b"body\r\n"]))
    attached = list(found.iter_parts())[2]
    assert attached.get_content_type() == "message/rfc822"
    assert attached.get_payload()[0].get_content().strip() == "the body"


@pytest.mark.parametrize(
    ("ret", "full", "size", "expected"),
    [
        ("", False, 9, False), ("", True, 9, True), ("FULL", False, 9, True), ("HDRS", True, 9, False),
        ("full", True, 99, False),
    ],
)
def test_ret(ret, full, size, expected):
    envelope = Envelope("I", "I", "", (), Origin("smtp"), 0.0, ret=ret)
    assert dsn.choose_full(envelope, size, full=full, limit=50) is expected


@pytest.mark.parametrize(
    ("notify", "failure", "delay"),
    [("", True, True), ("NEVER", False, False), ("FAILURE", True, False), ("delay, SUCCESS", False, True)],
)
def test_notify(notify, failure, delay):
    """S13: RFC 3461 4.1."""
    assert dsn.wants(row(notify=notify), "FAILURE") is failure
    assert dsn.wants(row(notify=notify), "DELAY") is delay


# --- with the mover


def reporter(world, **changes):
    door = Door(world.spool, hostname="mx.here.example", journal=world.journal, clock=world.clock, ids=world.ids)
    world.settings = type(world.settings)(**({"scan_seconds": 0.2} | changes))
    made = Reporter(
        door=door, spool=world.spool, composer=Composer(House("mx.here.example", "postmaster@here.example")),
        is_local=is_here(world.resolve), settings=world.settings, journal=world.journal,
    )
    world.reports = made
    return made


def mails(world, account):
    found = []
    for name in world.inbox(account):
        with open(f"{world.maildir(account)}/new/{name}", "rb") as file:
            found.append(email.message_from_binary_file(file, policy=email.policy.default))
    return found


def settle(world):
    async def go():
        async with world.running() as mover:
            await world.drained(mover)

    asyncio.run(go())


def test_one_report_for_all_that_failed(world):
    """S82: failed and refused recipients of one message in one report, to its sender; the message is done."""
    reporter(world)
    world.remote.answer = lambda job, target: Failed(NO) if target.address[0] != "g" else Delivered("mx")
    one = world.put("a@far.example", "b@far.example", "good@far.example", "bad@here.example", sender="ann@here.example")
    settle(world)
    (mail,) = mails(world, "ann@here.example")
    status = list(mail.iter_parts())[1].get_payload()
    assert {part["Final-Recipient"] for part in status[1:]} == {
        "rfc822; a@far.example", "rfc822; b@far.example", "rfc822; bad@here.example",
    }
    assert mail["Return-Path"] == "<>"
    assert world.journal.of("bounced")[0][0] == one
    assert world.rows() == []


def test_double_bounce(world):
    """P11: a report that fails goes to the postmaster, once; one to the postmaster that fails goes to quarantine."""
    reporter(world)
    world.remote.answer = lambda job, target: Failed(NO)
    world.put("a@far.example", sender="forged@far.example", door="submission")
    settle(world)
    (mail,) = mails(world, "postmaster@here.example")
    assert "null sender" in next(mail.iter_parts()).get_content()
    assert world.remote.addresses == ["a@far.example", "forged@far.example"]
    reporter(world)
    world.reports._postmaster = "bad@here.example"
    lost = world.put("a@far.example", sender="")
    settle(world)
    assert len(mails(world, "postmaster@here.example")) == 1
    (child,) = [fields["child"] for one, fields in world.journal.of("bounced") if one == lost]
    queue = world.queue()
    assert queue.known([child]) == {child: QUARANTINED}
    queue.close()


@pytest.mark.parametrize("door", ["fetch", "list"])
def test_fetched_and_list_mail_answers_nobody_elsewhere(world, door):
    """sec-F15: the postmaster hears, the (forged) sender doesn't; a local sender does."""
    reporter(world)
    world.remote.answer = lambda job, target: Failed(NO)
    world.put("bad@here.example", sender="victim@far.example", door=door)
    world.put("bad@here.example", sender="owner@here.example", door=door)
    settle(world)
    assert world.remote.addresses == []
    assert len(mails(world, "postmaster@here.example")) == 1
    assert len(mails(world, "owner@here.example")) == 1


def test_the_forged_are_not_told(world):
    """sec-S21: SPF or DMARC failed: the message is set aside, nobody hears of it."""
    reporter(world)
    one = world.put("bad@here.example", sender="victim@far.example", trust="mx; spf=fail; dkim=none; dmarc=none")
    settle(world)
    assert (world.root / "spool/quarantine" / one).exists()
    assert "forged" in (world.root / "spool/quarantine" / f"{one}.txt").read_text()
    assert world.remote.addresses == []
    assert world.journal.of("bounced") == []


def test_backscatter_is_limited(world):
    """sec-S21: strangers get so many reports an hour; who logged in always gets them."""
    reporter(world, foreign_reports=2)
    for number in range(5):
        world.put("bad@here.example", sender=f"v{number}@far.example")
    world.put("bad@here.example", sender="u@other.example", door="submission")
    settle(world)
    assert len(world.remote.addresses) == 3
    assert "u@other.example" in world.remote.addresses
    assert len(mails(world, "postmaster@here.example")) == 3


def test_sender_who_wants_to_hear_nothing(world):
    reporter(world)
    one = world.put("bad@here.example", sender="ann@here.example", notify="NEVER")
    settle(world)
    assert mails(world, "ann@here.example") == []
    assert world.journal.of("unreported")[0][0] == one


def test_delay_is_told_once(world):
    """S82: after four hours the sender hears of it, once; bulk and null sender never."""
    reporter(world)
    world.remote.answer = lambda job, target: Deferred(Reply(451, "4.2.0", "later"))
    old = world.clock.now() - 5 * 3600
    world.put("a@far.example", sender="ann@here.example", received=old)
    world.put("b@far.example", sender="", received=old)
    world.put("c@far.example", sender="ann@here.example", received=old, priority=1)

    async def go():
        async with world.running():
            await world.until(lambda: mails(world, "ann@here.example"))
            await asyncio.sleep(1.3)

    asyncio.run(go())
    (mail,) = mails(world, "ann@here.example")
    assert mail["Subject"].startswith("Your mail is delayed")
    assert len(world.rows()) == 3


def test_report_survives_a_death(world):
    """P13: between the report in the spool and the end of the rows: one report."""
    world.put("bad@here.example", sender="ann@here.example")
    for hit in (1, 2, 3, 4, 5, 6):
        child = os.fork()
        if child == 0:
            world.spool = Spool(world.root / "spool")      # threads don't survive a fork
            reporter(world, poison=99)
            failpoints.arm(f"queuedb.commit+=kill@{hit}")
            try:
                settle(world)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    reporter(world, poison=99)
    settle(world)
    assert len(mails(world, "ann@here.example")) == 1


def test_door_that_refuses_delays_the_report(world):
    """P12: no room for a report: the failed recipients stay until there is."""
    made = reporter(world)
    made._door.limits = type(made._door.limits)(free_bytes=1 << 60)
    world.put("bad@here.example", sender="ann@here.example")

    async def go():
        async with world.running() as mover:
            await world.until(lambda: len(world.rows()) == 1)
            await asyncio.sleep(0.2)
            made._door.limits = type(made._door.limits)()
            await world.drained(mover)

    asyncio.run(go())
    assert len(mails(world, "ann@here.example")) == 1
