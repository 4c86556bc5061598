"""Held posts and what is decided about them."""

import pytest
from sqlalchemy import select

from bridge.model.outcome import Delivered
from listmgr import holding, pending, tables
from listmgr.moderation import Decision, decide

POST = b"From: Eve <eve@example.net>\r\nTo: test@example.org\r\nSubject: <b>hello</b>\r\n\r\nHi all.\r\n"


@pytest.fixture
def which(house):
    made = house.make()
    house.join(made, "ann@example.org")
    return made


def hold(house) -> None:
    assert house.mail(POST, "test:post", sender="eve@example.net") == Delivered("list test: held (nonmember)")


def waiting(house, which):
    with house.office.core.read() as connection:
        return holding.waiting(connection, which)


def test_author_and_owner_hear_of_it(house, which) -> None:
    hold(house)
    sent = house.sent()
    assert [one.address for envelope, _ in sent for one in envelope.recipients] == [
        "eve@example.net",
        "owner@example.org",
    ]
    assert b"Hi all." in sent[1][1]
    assert b"https://lists.example.org/mailman/confirm/test/" in sent[1][1]
    held = waiting(house, which)
    assert [(one.author, one.reason, one.subject) for one in held] == [("eve@example.net", "nonmember", "<b>hello</b>")]


def test_switches(house, which) -> None:
    quiet = house.make("quiet", respond_to_post_requests=False, admin_immed_notify=False)
    house.mail(POST.replace(b"test@", b"quiet@"), "quiet:post", sender="eve@example.net")
    assert house.sent() == []
    assert len(waiting(house, quiet)) == 1


def test_holding_twice_is_holding_once(house, which) -> None:
    spooled = house.spool(POST, sender="eve@example.net", to="test@example.org")
    house.serve(spooled, "test:post")
    house.serve(spooled, "test:post")
    assert len(waiting(house, which)) == 1
    keys = [envelope.key for envelope, _ in house.sent()]
    assert len(keys) == 4
    assert len(set(keys)) == 2


def test_accepted(house, which) -> None:
    spooled = house.spool(POST, sender="eve@example.net", to="test@example.org")
    house.serve(spooled, "test:post")
    house.sent()
    held = waiting(house, which)[0]
    decide(house.office, which, held, Decision.ACCEPT)
    envelope, message = house.sent()[0]
    assert envelope.key == f"list:test:{spooled.envelope.id}"
    assert message.endswith(b"\r\n\r\nHi all.\r\n")
    assert waiting(house, which) == []
    assert house.office.incoming.ids("test") == [spooled.envelope.id]
    with pytest.raises(LookupError):
        decide(house.office, which, held, Decision.ACCEPT)
    assert house.sent() == []
    with house.office.core.read() as connection:
        assert connection.execute(select(tables.post.c.verdict)).scalar_one() == "accept"


def test_rejected_with_words(house, which) -> None:
    hold(house)
    house.sent()
    decide(house.office, which, waiting(house, which)[0], Decision.REJECT, text="Not here, please.")
    envelope, message = house.sent()[0]
    assert [one.address for one in envelope.recipients] == ["eve@example.net"]
    assert b"Not here, please." in message
    assert waiting(house, which) == []


def test_discarded(house, which) -> None:
    hold(house)
    house.sent()
    held = waiting(house, which)[0]
    decide(house.office, which, held, Decision.DISCARD)
    assert house.sent() == []
    assert not (house.office.held / "test" / held.parent).exists()
    with house.office.core.read() as connection:
        assert connection.execute(select(tables.pending)).all() == []


def test_the_owners_token_is_no_subscription(house, which) -> None:
    hold(house)
    token = house.sent()[1][1].partition(b"/mailman/confirm/test/")[2][:32].decode()
    with house.office.core.read() as connection:
        found = pending.look(connection, which, token, now=house.now[0])
    assert found is not None
    assert found.action is pending.Action.HELD
    house.mail(
        b"From: eve@example.net\r\nSubject: confirm %s\r\n\r\n" % token.encode(),
        "test:request",
        sender="eve@example.net",
    )
    assert len(waiting(house, which)) == 1
