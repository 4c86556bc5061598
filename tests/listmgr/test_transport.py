"""Posts, owners and trouble, as the queue sees them."""

import asyncio
import time
from dataclasses import replace

import pytest

from bridge.model.errors import DiskFull, StoreError
from bridge.model.outcome import Deferred, Delivered, Expanded, Failed
from bridge.store import failpoints
from bridge.wire import headers
from listmgr import roster
from listmgr.transport import ListTransport

POST = (
    b"From: Ann <ann@example.org>\r\nTo: test@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\n"
    b"Hi all.\r\n"
)


@pytest.fixture
def which(house):
    made = house.make()
    house.join(made, "ann@example.org", "bob@example.org", "carol@example.org")
    return made


def archived(house) -> list[bytes]:
    incoming = house.office.incoming
    return [incoming.read(name, one) for name in incoming.names() for one in incoming.ids(name)]


def test_a_post_becomes_one_message_for_all_members(house, which) -> None:
    """D-8: one spool file that names its recipients."""
    spooled = house.spool(POST, to="test@example.org")
    outcome = house.serve(spooled, "test:post")
    assert outcome == Expanded((f"list:test:{spooled.envelope.id}",), "list test")
    sent = house.sent()
    assert len(sent) == 1
    envelope, message = sent[0]
    assert [one.address for one in envelope.recipients] == ["ann@example.org", "bob@example.org", "carol@example.org"]
    assert (envelope.key, envelope.parent, envelope.priority) == (outcome.children[0], spooled.envelope.id, 1)
    assert envelope.sender == "test-bounces@example.org"
    assert message.endswith(b"\r\n\r\nHi all.\r\n")
    assert headers.first(message, b"subject") == b" [Test] hello"


def test_the_archive_has_the_post_as_it_came(house, which) -> None:
    house.mail(POST, "test:post")
    entries = archived(house)
    assert len(entries) == 1
    assert entries[0].startswith(b"From ann@example.org Tue Nov 14 22:13:20 2023\nReceived: ")
    assert entries[0].endswith(POST.replace(b"\r\n", b"\n") + b"\n")


@pytest.mark.parametrize("mark", [b"X-No-Archive: yes", b"X-Archive: No"])
def test_who_wants_no_archive_gets_none(house, which, mark: bytes) -> None:
    house.mail(mark + b"\r\n" + POST, "test:post")
    assert archived(house) == []
    assert len(house.sent()) == 1


def test_doing_it_again_makes_the_same_message(house, which) -> None:
    """P13: killed anywhere and repeated, the key is the same and the queue takes one."""
    spooled = house.spool(POST, to="test@example.org")
    house.serve(spooled, "test:post")
    house.serve(spooled, "test:post")
    sent = house.sent()
    assert [envelope.key for envelope, _ in sent] == [f"list:test:{spooled.envelope.id}"] * 2
    assert sent[0][1] == sent[1][1]
    assert len(archived(house)) == 1


@pytest.mark.parametrize(
    "point", ["archive.put", "archive.put+", "spool.create", "spool.write", "spool.fdatasync", "spool.rename+"]
)
@pytest.mark.parametrize("trouble", ["ENOSPC", "EIO"])
def test_trouble_with_the_disk_defers_and_the_repetition_is_whole(house, which, point: str, trouble: str) -> None:
    """P12: ours is temporary."""
    spooled = house.spool(POST, to="test@example.org")
    failpoints.arm(f"{point}={trouble}@1")
    try:
        outcome = house.serve(spooled, "test:post")
    finally:
        failpoints.arm("")
    assert isinstance(outcome, Deferred)
    assert outcome.reply.temporary
    assert outcome.scope == "node"
    assert house.sent() == []
    house.now[0] += 120
    assert isinstance(house.serve(spooled, "test:post"), Expanded)
    assert len(archived(house)) == 1


def test_ten_thousand_members(house) -> None:
    """L80. The bound is ten times what it takes."""
    big = house.make("big")

    def fill(connection) -> None:
        rows = [
            {
                "list_id": big.id,
                "key": f"u{n:05}@example.net",
                "address": f"u{n:05}@example.net",
                "joined_at": 0.0,
                "changed_at": 0.0,
            }
            for n in range(10_000)
        ]
        connection.execute(roster.tables.member.insert(), rows)

    house.office.core.write_now(fill)
    house.join(big, "ann@example.org")
    spooled = house.spool(POST.replace(b"test@", b"big@"), to="big@example.org")
    began = time.perf_counter()
    assert isinstance(house.serve(spooled, "big:post"), Expanded)
    took = time.perf_counter() - began
    envelope, _ = house.sent()[0]
    assert len(envelope.recipients) == 10_001
    assert len({one.address for one in envelope.recipients}) == 10_001
    assert took < 2.0


def test_who_was_written_to_directly_gets_no_second_copy(house, which) -> None:
    """L54."""
    house.mail(POST.replace(b"To: test@example.org", b"To: test@example.org, Bob <BOB@example.org>"), "test:post")
    assert [one.address for one in house.sent()[0][0].recipients] == ["ann@example.org", "carol@example.org"]


def test_two_lists_that_are_members_of_each_other_end(house, which) -> None:
    """P10."""
    other = house.make("other", require_explicit_destination=False, accept_these_nonmembers=("ann@example.org",))
    house.join(other, "test@example.org", "dave@example.org")
    house.join(which, "other@example.org")
    house.mail(POST, "test:post")
    rounds = 0
    while sent := house.sent():
        rounds += 1
        assert rounds < 5
        for envelope, message in sent:
            for one in envelope.recipients:
                name = one.address.partition("@")[0]
                if name in ("test", "other"):
                    house.mail(message, f"{name}:post", sender=envelope.sender)
    assert rounds == 2


def test_a_fetched_account_feeds_a_list(house, which) -> None:
    """A fetched account whose target is a list works as a post; what the list sent itself doesn't come round again."""
    text = POST.replace(b"To: test@", b"To: department@")
    spooled = house.spool(text, to="test@example.org", key="fetch:a:INBOX:1:7")
    fetched = replace(
        spooled, envelope=replace(spooled.envelope, origin=replace(spooled.envelope.origin, door="fetch"))
    )
    assert isinstance(house.serve(fetched, "test:post"), Expanded)
    _, copy = house.sent()[0]
    again = house.spool(copy, to="test@example.org")
    assert house.serve(again, "test:post") == Delivered("list test: discarded (loop)")
    assert house.sent() == []


def test_a_list_that_is_gone(house) -> None:
    assert isinstance(house.mail(POST, "gone:post"), Failed)


def test_nobody_to_send_to(house) -> None:
    house.make("empty", generic_nonmember_action="accept")
    assert house.mail(POST.replace(b"test@", b"empty@"), "empty:post") == Delivered("list empty: no members to send to")
    assert house.sent() == []


@pytest.mark.parametrize("verb", ["owner", "admin"])
def test_mail_to_the_owner(house, which, verb: str) -> None:
    spooled = house.spool(POST, sender="", to="test-owner@example.org")
    assert house.serve(spooled, f"test:{verb}") == Expanded((f"owner:test:{spooled.envelope.id}",), "list test: owner")
    envelope, message = house.sent()[0]
    assert [one.address for one in envelope.recipients] == ["owner@example.org"]
    assert envelope.sender == "test-bounces@example.org"
    again = house.spool(message, to="test-owner@example.org")
    assert isinstance(house.serve(again, f"test:{verb}"), Delivered)
    assert house.sent() == []


def test_a_list_without_owner_has_the_postmaster(house) -> None:
    house.make("free", owner=())
    house.mail(POST, "free:owner")
    assert [one.address for one in house.sent()[0][0].recipients] == ["postmaster@example.org"]


@pytest.mark.parametrize("error", [StoreError("x"), DiskFull("x"), OSError(5, "x"), RuntimeError("bug"), KeyError("x")])
def test_every_trouble_of_ours_is_temporary(house, which, error: Exception) -> None:
    """P12."""
    spooled = house.spool(POST, to="test@example.org")

    def broken(*arguments: object) -> None:
        raise error

    house.office.door.spool.read = broken
    outcome = house.serve(spooled, "test:post")
    assert isinstance(outcome, Deferred)
    assert outcome.reply.temporary


def test_too_many_hops_fail(house, which) -> None:
    """P10: finite, and the sender hears of it."""
    limits = house.office.door.limits
    house.office.door.limits = replace(limits, hops=100)
    spooled = house.spool(b"Received: x\r\n" * 60 + POST, to="test@example.org")
    house.office.door.limits = limits
    outcome = house.serve(spooled, "test:post")
    assert isinstance(outcome, Failed)
    assert outcome.reply.status == "5.4.6"


def test_the_transport_answers_for_each_target(house, which) -> None:
    transport = ListTransport(house.office)
    jobs = [house.job(house.spool(POST, to="test@example.org"), "test:post")]
    jobs.append(replace(house.job(house.spool(POST, to="gone@example.org"), "gone:post")))
    jobs[1] = replace(jobs[1], targets=(replace(jobs[1].targets[0], id=8),))
    outcomes = asyncio.run(transport.deliver(jobs))
    transport.close()
    assert isinstance(outcomes[7], Expanded)
    assert isinstance(outcomes[8], Failed)


def test_rejected_posts_come_back_once_with_the_owners_words(house) -> None:
    house.make(generic_nonmember_action="reject", nonmember_rejection_notice="Members only, {{ 7*7 }}!")
    spooled = house.spool(POST, to="test@example.org")
    assert house.serve(spooled, "test:post") == Delivered("list test: rejected (nonmember)")
    envelope, message = house.sent()[0]
    assert [one.address for one in envelope.recipients] == ["ann@example.org"]
    assert b"Members only, {{ 7*7 }}!" in message  # sec-L21: text, not a template
    assert b"Hi all." not in message


def test_members_who_want_it_get_an_acknowledgement(house, which) -> None:
    house.office.core.write_now(lambda c: roster.change(c, which, "ann@example.org", now=0.0, ack=True))
    house.mail(POST, "test:post")
    keys = [envelope.key.split(":")[:3] for envelope, _ in house.sent()]
    assert ["notice", "test", "acknowledge"] in keys
