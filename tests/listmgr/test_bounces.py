"""Reports that come back (RFC 3464): read, counted, and nothing more (sec-O16, sec-L19)."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from bridge.model.outcome import Delivered
from listmgr import tables
from listmgr.bounces import Bounce, bounces

REPORT = b"""From: MAILER-DAEMON@example.net
To: test-bounces@example.org
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; %s
Action: %s
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b--
"""


def test_a_failure_is_found() -> None:
    found = bounces(REPORT % (b"Bob@Example.net", b"failed"))
    assert found == (Bounce("bob@example.net", "5.1.1", "smtp; 550 5.1.1 no such user"),)


def test_a_delay_is_no_bounce() -> None:
    assert bounces(REPORT % (b"bob@example.net", b"delayed")) == ()


def test_other_mail_is_no_bounce() -> None:
    assert bounces(b"Subject: failed\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\n") == ()


@given(st.binary(max_size=2000))
def test_anything_can_be_read(junk: bytes) -> None:
    bounces(junk)
    bounces((REPORT % (b"x", b"failed")).replace(b"Status", junk))


def test_forged_reports_take_nobody_off(house) -> None:
    which = house.make()
    house.join(which, "bob@example.net")
    for _ in range(20):
        outcome = house.mail(REPORT % (b"bob@example.net", b"failed"), "test:bounces", sender="")
        assert isinstance(outcome, Delivered)
    assert house.members(which) == ["bob@example.net"]
    assert house.sent() == []
    with house.office.core.read() as connection:
        assert len(connection.execute(select(tables.bounce)).all()) == 20


def test_a_report_is_counted_once_and_for_members_only(house) -> None:
    which = house.make()
    house.join(which, "bob@example.net")
    spooled = house.spool(REPORT % (b"bob@example.net", b"failed"), sender="", to="test-bounces@example.org")
    house.serve(spooled, "test:bounces")
    house.serve(spooled, "test:bounces")
    house.mail(REPORT % (b"stranger@example.net", b"failed"), "test:bounces", sender="")
    with house.office.core.read() as connection:
        assert len(connection.execute(select(tables.bounce)).all()) == 1
