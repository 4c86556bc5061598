"""The rules and their order."""

from dataclasses import replace

import pytest

from bridge.model.envelope import Envelope, Origin
from listmgr import rules
from listmgr.options import Options
from listmgr.post import Post, read
from listmgr.registry import MailingList
from listmgr.roster import Member
from listmgr.rules import About, Do, Verdict, judge

MEMBER = Member(1, "ann@example.org", "ann@example.org", "", "enabled", False, False, False, False, True, "")
MODERATED = Member(1, "ann@example.org", "ann@example.org", "", "enabled", True, False, False, False, True, "")
GOOD = b"From: ann@example.org\r\nTo: test@example.org\r\nSubject: hello\r\n"


def post(
    header: bytes = GOOD, body: bytes = b"text\r\n", *, sender: str = "ann@example.org", door: str = "smtp"
) -> Post:
    message = header + b"\r\n" + body
    return read(Envelope("id", "id", sender, (), Origin(door), 0.0), message, len(message))


def verdict(message: Post, member: Member | None = MEMBER, banned: bool = False, **options: object) -> Verdict:
    which = MailingList(1, "test", "example.org", Options().changed(options))
    return judge(message, About(which, member, banned))


def test_a_member_posts() -> None:
    assert verdict(post()) == Verdict(Do.ACCEPT)


@pytest.mark.parametrize(
    "mark",
    [b"X-BeenThere: TEST@example.org", b"List-Id: Tests <test.example.org>", b"List-ID: test.example.org",
     b"X-BeenThere: other@example.net\r\nX-BeenThere: test@example.org"],
)  # fmt: skip
def test_loops_are_cut(mark: bytes) -> None:
    """P10, L79."""
    assert verdict(post(mark + b"\r\n" + GOOD)) == Verdict(Do.DISCARD, "loop")


@pytest.mark.parametrize(("trust", "do"), [
    ("mx; spf=fail; dkim=none; dmarc=fail policy.dmarc=quarantine", Do.HOLD), ("mx; spf=fail; dmarc=none", Do.HOLD),
    ("mx; spf=fail; dkim=pass; dmarc=pass", Do.ACCEPT), ("mx; spf=softfail; dmarc=none", Do.ACCEPT),
    ("mx; spf=temperror; dmarc=temperror", Do.ACCEPT), ("", Do.ACCEPT),
    ("mx; spf=none smtp.mailfrom=dmarc=fail@example.org; dmarc=none", Do.ACCEPT),
])  # fmt: skip
def test_who_is_forged_is_no_member(trust: str, do: Do) -> None:
    """sec-L07: held, and answered by nobody (sec-L02)."""
    given = post()
    given = replace(given, envelope=replace(given.envelope, trust=trust))
    assert verdict(given).do is do
    assert given.unanswerable is (do is Do.HOLD)


def test_another_list_is_no_loop() -> None:
    assert verdict(post(b"X-BeenThere: test@example.net\r\nList-Id: <test2.example.org>\r\n" + GOOD)).do is Do.ACCEPT


@pytest.mark.parametrize(
    "mark",
    [b"Auto-Submitted: auto-replied", b"Auto-Submitted: auto-generated (x)", b"Precedence: bulk", b"Precedence: JUNK"],
)
def test_robots_are_not_distributed(mark: bytes) -> None:
    """sec-L17."""
    assert verdict(post(mark + b"\r\n" + GOOD)) == Verdict(Do.DISCARD, "automatic")


def test_the_null_sender_is_not_distributed() -> None:
    assert verdict(post(sender="")) == Verdict(Do.DISCARD, "automatic")


@pytest.mark.parametrize("mark", [b"Auto-Submitted: no", b"Auto-Submitted: No; x=y", b"Precedence: list"])
def test_people_are(mark: bytes) -> None:
    assert verdict(post(mark + b"\r\n" + GOOD)).do is Do.ACCEPT


@pytest.mark.parametrize(
    "value",
    [
        b"ann@example.org)bob@evil.example", b"ann@example.org, eve@evil.example", b"x: ann@example.org;",
        b"<@relay.example:ann@example.org>", b"ann@example.org@evil.example", b"", b"=?utf-8?q?ann=40example.org?=",
    ],
)  # fmt: skip
def test_an_ambiguous_author_is_no_member(value: bytes) -> None:
    """sec-M07."""
    message = post(GOOD.replace(b"From: ann@example.org", b"From: " + value))
    assert message.from_address == ""
    assert verdict(message) == Verdict(Do.HOLD, "author")


def test_two_from_fields_are_ambiguous() -> None:
    assert verdict(post(b"From: eve@evil.example\r\n" + GOOD)) == Verdict(Do.HOLD, "author")


@pytest.mark.parametrize("action", ["hold", "reject", "discard", "accept"])
def test_strangers(action: str) -> None:
    assert verdict(post(), None, generic_nonmember_action=action).do is Do(action)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("accept_these_nonmembers", Do.ACCEPT), ("hold_these_nonmembers", Do.HOLD),
        ("reject_these_nonmembers", Do.REJECT), ("discard_these_nonmembers", Do.DISCARD),
    ],
)  # fmt: skip
def test_strangers_that_the_owner_named(option: str, expected: Do) -> None:
    assert verdict(post(), None, **{option: ("*@EXAMPLE.org",)}).do is expected
    assert verdict(post(), None, **{option: ("*@example.net",)}).reason == "nonmember"


def test_the_rest() -> None:
    assert verdict(post(), banned=True) == Verdict(Do.DISCARD, "banned")
    assert verdict(post(), emergency=True) == Verdict(Do.HOLD, "emergency")
    assert verdict(post(), MODERATED) == Verdict(Do.HOLD, "moderated")
    assert verdict(post(), MODERATED, member_moderation_action="discard") == Verdict(Do.DISCARD, "moderated")
    assert verdict(post(GOOD, b"unsubscribe\r\n")) == Verdict(Do.HOLD, "administrivia")
    assert verdict(post(GOOD, b"unsubscribe\r\n"), administrivia=False).do is Do.ACCEPT
    assert verdict(post(GOOD, b"x" * 3000), max_message_size=2) == Verdict(Do.HOLD, "size")
    assert verdict(post(GOOD, b"x" * 3000), max_message_size=0).do is Do.ACCEPT


def test_explicit_destination() -> None:
    elsewhere = post(GOOD.replace(b"To: test@", b"To: other@"))
    assert verdict(elsewhere) == Verdict(Do.HOLD, "destination")
    assert verdict(elsewhere, acceptable_aliases=("other@example.org",)).do is Do.ACCEPT
    assert verdict(elsewhere, require_explicit_destination=False).do is Do.ACCEPT


def test_fetched_mail_for_a_list_is_a_post() -> None:
    fetched = post(GOOD.replace(b"To: test@example.org", b"To: dept@provider.example"), door="fetch")
    assert verdict(fetched).do is Do.ACCEPT
    again = post(b"X-BeenThere: test@example.org\r\n" + GOOD, door="fetch")
    assert verdict(again) == Verdict(Do.DISCARD, "loop")


def test_too_many_recipients() -> None:
    many = b", ".join(b"u%d@example.net" % i for i in range(9))
    header = GOOD + b"Cc: " + many + b"\r\n"
    assert verdict(post(header)) == Verdict(Do.HOLD, "recipients")
    assert verdict(post(header), max_num_recipients=0).do is Do.ACCEPT


def test_every_reason_has_words() -> None:
    for reason in rules.REASONS:
        assert rules.explain(reason, "en") != rules.explain(reason, "es")
