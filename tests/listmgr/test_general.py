"""L28: each of the 32 options of the category "general" is obeyed by the engine."""

import re
from pathlib import Path

import pytest

from bridge.wire import headers
from listmgr import holding, registry, roster, subscriptions
from listmgr.describe import Wrong
from listmgr.disguise import shown_name
from listmgr.options import Options, of_category
from listmgr.pattern import BadPattern
from listmgr.post import read
from listmgr.subscriptions import Wish
from listmgr.upkeep import daily

HEAD = b"From: Ann Lee <ann@example.org>\r\nTo: test@example.org\r\nSubject: hello\r\n"
POST = HEAD + b"Message-ID: <1@pc.example.org>\r\n\r\nHi all.\r\n"
DAY = 86400


def value(message: bytes, name: bytes) -> str:
    raw = headers.first(message[: headers.body_start(message)], name)
    return "" if raw is None else headers.decode(raw)


def posted(house, which, message: bytes = POST) -> bytes:
    """What members get."""
    house.sent()
    house.mail(message, f"{which.name}:post")
    return house.sent()[0][1]


def test_all_32_are_here() -> None:
    names = [one.name for one in of_category("general")]
    assert len(names) == 32
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in names if not re.search(rf"\b{name}\b", tests)] == []


def test_real_name(house) -> None:
    """Only its case may change; it stands in pages, mails and the prefix."""
    which = house.make(real_name="TEST")
    assert which.title == "TEST"
    with pytest.raises(Wrong, match="real_name"):
        registry.prepared(which, {"real_name": "Other"})


@pytest.mark.parametrize("name", ["owner", "moderator"])
def test_owner_and_moderator_hear_of_held_posts(house, name: str) -> None:
    which = house.make(**{name: ["boss@example.net"], "emergency": True})
    house.join(which, "ann@example.org")
    house.mail(POST, "test:post")
    people = {one.address for envelope, _ in house.sent() for one in envelope.recipients}
    assert "boss@example.net" in people
    for address in ("test@example.org", "test-owner@example.org", "TEST-request@Example.org"):
        with pytest.raises(Wrong, match=name):  # sec-L25
            registry.prepared(which, {name: [address]})


def test_subject_prefix_and_description(house) -> None:
    which = house.make(subject_prefix="[T]", description="About tests")
    house.join(which, "ann@example.org")
    got = posted(house, which)
    assert value(got, b"subject") == "[T] hello"
    assert "About tests" in value(got, b"list-id")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (b"Ann Lee", "Ann Lee via Test"),
        (b'"Boss <boss@bank.example>"', "Boss via Test"),
        (b'"boss@bank.example"', "ann via Test"),
        (b"=?utf-8?q?=EF=BC=A0ceo=EF=BC=A0bank.example?=", "ann via Test"),
        (b'"x\\"y, (z) \\\\ [w]"', "x y z w via Test"),
        (b"", "ann via Test"),
    ],
)
def test_from_is_list_munge(house, shown: bytes, expected: str) -> None:
    """sec-L08, sec-L09: the name stays, nothing in it reads like an address."""
    which = house.make(from_is_list="munge")
    house.join(which, "ann@example.org")
    got = posted(house, which, POST.replace(b"Ann Lee", shown))
    mailbox = read(None, got, len(got)).author  # type: ignore[arg-type]
    assert (mailbox.name, mailbox.address) == (expected, "test@example.org")
    assert value(got, b"reply-to") == "ann@example.org"
    assert value(got, b"bcc") == ""


def test_shown_name() -> None:
    assert shown_name("a\r\nBcc: b@c.example \u2028 <d>") == "a Bcc d"
    assert len(shown_name("x" * 5000)) == 80


def test_munge_keeps_the_author_reachable(house) -> None:
    """Replies to the list: the author goes to Cc."""
    which = house.make(from_is_list="munge", reply_goes_to_list="list")
    house.join(which, "ann@example.org")
    got = posted(house, which)
    assert value(got, b"reply-to") == "test@example.org"
    assert "ann@example.org" in value(got, b"cc")


def test_from_is_list_wrap(house) -> None:
    """The post travels inside a message of the list's own, byte for byte but for secrets."""
    which = house.make(from_is_list="wrap")
    house.join(which, "ann@example.org")
    got = posted(house, which, b"DKIM-Signature: v=1\r\nApproved: secret\r\n" + POST)
    outer, _, rest = got.partition(b"\r\n\r\n")
    assert value(got, b"content-type") == "message/rfc822"
    assert value(got, b"from") == "Ann Lee via Test <test@example.org>"
    assert b"DKIM" not in outer
    assert rest.startswith(b"Received:")
    assert rest.endswith(b"DKIM-Signature: v=1\r\n" + POST)
    assert value(got, b"subject") == "[Test] hello"


def test_anonymous_list(house) -> None:
    """L67: nothing of the author is left, neither for members nor in the archive."""
    which = house.make(anonymous_list=True)
    house.join(which, "ann@example.org", "bob@example.org")
    traces = (
        b"X-Originating-IP: 192.0.2.77\r\nReceived: from pc.example.org\r\nOrganization: Ann Inc\r\n"
        b"Reply-To: ann@home.example\r\nReferences: <0@pc.example.org> <anonymous.%s@example.org>\r\n" % (b"0" * 32)
    )
    got = posted(house, which, traces + POST)
    kept = b"".join(path.read_bytes() for path in (house.root / "archives/incoming").rglob("*") if path.is_file())
    assert b"hello" in kept
    assert value(got, b"from") == "Test <test@example.org>"
    assert value(got, b"subject") == "[Test] hello"
    assert value(got, b"references") == f"<anonymous.{'0' * 32}@example.org>"
    header = got[: headers.body_start(got)]
    for text in (b"ann", b"Lee", b"192.0.2.77", b"pc.example.org", b"home.example", b"Inc"):
        assert text not in header.replace(b"anonymous.", b"")
        assert text not in kept.replace(b"anonymous.", b"")
    assert value(got, b"x-beenthere") == "test@example.org"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"first_strip_reply_to": True}, ""),
        ({"reply_goes_to_list": "list"}, "a@example.net, test@example.org"),
        ({"reply_goes_to_list": "address", "reply_to_address": "x@example.org", "first_strip_reply_to": True},
         "x@example.org"),
    ],
)  # fmt: skip
def test_replies(house, options: dict[str, object], expected: str) -> None:
    which = house.make(**options)
    house.join(which, "ann@example.org")
    assert value(posted(house, which, b"Reply-To: a@example.net\r\n" + POST), b"reply-to") == expected
    with pytest.raises(Wrong, match="reply_to_address"):
        Options().changed({"reply_goes_to_list": "address"})


def test_umbrella_list(house) -> None:
    """Members are lists: questions go to their owners (umbrella_member_suffix), posts to them."""
    which = house.make(umbrella_list=True, umbrella_member_suffix="-admin", generic_nonmember_action="accept")
    subscriptions.ask_to_join(house.office, which, Wish("sub@lists.example.net", "x"))
    assert [one.address for one in house.sent()[0][0].recipients] == ["sub-admin@lists.example.net"]
    house.join(which, "sub@lists.example.net")
    house.mail(POST, "test:post")
    assert [one.address for one in house.sent()[0][0].recipients] == ["sub@lists.example.net"]


def test_a_list_is_never_asked_by_its_posting_address(house) -> None:
    """A confirmation or login link in everybody's mailbox would let anybody in."""
    which = house.make()
    house.make("other")
    subscriptions.ask_to_join(house.office, which, Wish("Other@example.org", "x"))
    assert [one.address for one in house.sent()[0][0].recipients] == ["Other-owner@example.org"]


def test_send_reminders(house) -> None:
    """L75: once a month, one mail for all lists, links and no password."""
    first, second = house.make(send_reminders=True), house.make("other", send_reminders=True)
    silent = house.make("silent")
    for which in (first, second, silent):
        house.join(which, "ann@example.org")
    house.join(first, "gone@example.net", delivery="bybounce")
    daily(house.office)
    assert house.sent() == []  # the site is new; the month has begun long ago
    house.now[0] += 20 * DAY
    daily(house.office)
    daily(house.office)
    [(envelope, message)] = house.sent()
    assert [one.address for one in envelope.recipients] == ["ann@example.org"]
    for text in (b"/mailman/options/test/ann--at--example.org", b"/mailman/listinfo/other", b"no password"):
        assert text in message
    assert b"silent" not in message
    house.now[0] += DAY
    daily(house.office)
    assert house.sent() == []


@pytest.mark.parametrize("wanted", [True, False])
def test_welcome_and_goodbye(house, wanted: bool) -> None:
    which = house.make(
        send_welcome_msg=wanted, welcome_msg="Be nice.", send_goodbye_msg=wanted, goodbye_msg="Farewell."
    )
    for joined, text in ((True, b"Be nice."), (False, b"Farewell.")):
        subscriptions.tell_member(house.office, which, "a@example.net", joined=joined, language="en", cause=str(joined))
        assert [text in message for _, message in house.sent()] == ([True] if wanted else [])


@pytest.mark.parametrize("wanted", [True, False])
def test_notices_about_held_posts(house, wanted: bool) -> None:
    which = house.make(admin_immed_notify=wanted, respond_to_post_requests=wanted, emergency=True)
    house.join(which, "ann@example.org")
    house.mail(POST, "test:post")
    people = {one.address for envelope, _ in house.sent() for one in envelope.recipients}
    assert people == ({"ann@example.org", "owner@example.org"} if wanted else set())
    daily(house.office)
    assert [b"wait for a decision" in message for _, message in house.sent()] == [True]
    daily(house.office)
    assert house.sent() == []


@pytest.mark.parametrize("wanted", [True, False])
def test_admin_notify_mchanges(house, wanted: bool) -> None:
    which = house.make(admin_notify_mchanges=wanted)
    subscriptions.tell_owners(house.office, which, "a@example.net", joined=True, cause="c")
    assert len(house.sent()) == wanted


def test_new_member_options(house) -> None:
    which = house.make(new_member_options=["hide", "ack", "notmetoo"])
    house.join(which, "ann@example.org")
    with house.office.core.read() as connection:
        member = roster.find(connection, which, "ann@example.org")
    assert (member.hide, member.ack, member.notmetoo, member.nodupes) == (True, True, True, False)


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({"emergency": True}, POST, "emergency"),
        ({"administrivia": True}, POST.replace(b"hello", b"unsubscribe"), "administrivia"),
        ({"max_message_size": 1}, POST + b"x" * 2000 + b"\r\n", "size"),
    ],
)
def test_what_is_held(house, options: dict[str, object], text: bytes, reason: str) -> None:
    which = house.make(**options)
    house.join(which, "ann@example.org")
    house.mail(text, "test:post")
    with house.office.core.read() as connection:
        assert [held.reason for held in holding.waiting(connection, which)] == [reason]


def test_admin_member_chunksize(house) -> None:
    which = house.make(admin_member_chunksize=2)
    house.join(which, *(f"u{number}@example.org" for number in range(5)))
    with house.office.core.read() as connection:
        pages = [roster.chunk(connection, which, number) for number in range(3)]
        assert roster.chunk(connection, which, 0, search="u3")[1] == 1
    assert [len(found) for found, _ in pages] == [2, 2, 1]
    assert {total for _, total in pages} == {5}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ann", True), ("^ann", True), ("ann$", False), (r"example\.org$", True), ("^a.*org$", True), ("x?n@", True),
        ("Ann Lee", True), ("[a-z]", True), ("(a+)+$", False), ("", True), ("lee$", True), ("^(ann|eve)@", True),
    ],
)  # fmt: skip
def test_search(house, search: str, found: bool) -> None:
    """L31: regular expressions on address and name; a wrong one is told (sec-M15)."""
    which = house.make()
    house.join(which, "ann@example.org", name="Ann Lee")
    with house.office.core.read() as connection:
        assert (roster.chunk(connection, which, 0, search=search)[1] == 1) is found
        with pytest.raises(BadPattern):
            roster.chunk(connection, which, 0, search="(ann")


def test_host_name(house) -> None:
    """The domain of all the list's addresses; only one that this server serves."""
    which = house.make()
    with pytest.raises(Wrong, match="host_name"):
        registry.prepared(which, {"host_name": "elsewhere.example"}, serves=lambda host: host == "example.org")
    house.office.core.write_now(lambda c: registry.change(c, which, {"host_name": "Lists.example.org"}))
    with house.office.core.read() as connection:
        assert registry.posting_addresses(connection) == {"test@lists.example.org": "test"}
        assert registry.find(connection, "test").options.host_name == "lists.example.org"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("include_rfc2369_headers", b"list-help"), ("include_list_post_header", b"list-post"),
        ("include_sender_header", b"sender"),
    ],
)  # fmt: skip
def test_include_headers(house, name: str, field: bytes) -> None:
    which, other = house.make(), house.make("other", **{name: False})
    house.join(which, "ann@example.org")
    house.join(other, "ann@example.org")
    assert value(posted(house, which), field)
    assert not value(posted(house, other, POST.replace(b"test@", b"other@")), field)


def test_max_days_to_hold(house) -> None:
    """Held posts expire; where the option is 0, never."""
    for name, days in (("test", 5), ("other", 0)):
        house.make(name, max_days_to_hold=days)
        text = POST.replace(b"test@", b"%s@" % name.encode())
        house.mail(text, f"{name}:post", sender="eve@example.net")
    house.now[0] += 5 * DAY - 60
    daily(house.office)

    def waiting() -> list[int]:
        with house.office.core.read() as connection:
            lists = [registry.find(connection, name) for name in ("test", "other")]
            return [len(holding.waiting(connection, one)) for one in lists]

    assert waiting() == [1, 1]
    house.now[0] += 120
    daily(house.office)
    assert waiting() == [0, 1]
    assert not list((house.office.held / "test").iterdir())


@pytest.mark.parametrize(
    ("drop", "cc", "expected"),
    [
        (True, b"bob@example.org, Eve <eve@example.net>", "Eve <eve@example.net>"),
        (False, b"bob@example.org, Eve <eve@example.net>", "bob@example.org, Eve <eve@example.net>"),
        (True, b"bob@example.org", ""),
        (True, b"dupes@example.org", "dupes@example.org"),
        (True, b"bob@example.org, broken <", "bob@example.org, broken <"),
    ],
)
def test_drop_cc(house, drop: bool, cc: bytes, expected: str) -> None:
    which = house.make(drop_cc=drop)
    house.join(which, "ann@example.org", "bob@example.org")
    house.join(which, "dupes@example.org", nodupes=False)
    assert value(posted(house, which, b"Cc: " + cc + b"\r\n" + POST), b"cc") == expected


def test_info_stands_on_the_page() -> None:
    """`info` is shown by /mailman/listinfo/LIST: see test_web."""
    assert Options(info="x").info
