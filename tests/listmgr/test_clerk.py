"""Dialogues by mail: subscribe, confirm, leave, ask."""

import re

import pytest

from bridge.model.outcome import Delivered
from bridge.wire import headers

TOKEN = re.compile(rb"^Subject: confirm ([0-9a-f]{32})\r$", re.M)


def ask(
    house, text: bytes, *, who: str = "eve@example.net", to: str = "test:request", extra: bytes = b"", address: str = ""
):
    message = b"From: Eve <%s>\r\nTo: x@example.org\r\nSubject: %s\r\n%s\r\n\r\n" % (
        who.encode(),
        text,
        extra or b"X: y",
    )
    outcome = house.mail(message, to, sender=who, address=address)
    assert isinstance(outcome, Delivered)
    return house.sent()


def token_of(sent) -> str:
    assert len(sent) == 1
    found = TOKEN.search(sent[0][1])
    assert found
    return found[1].decode()


def test_subscribe_by_mail_and_confirm_by_reply(house) -> None:
    """L17, L18: the seeds' dialogue."""
    which = house.make()
    sent = ask(house, b"subscribe")
    token = token_of(sent)
    envelope, message = sent[0]
    assert [one.address for one in envelope.recipients] == ["eve@example.net"]
    assert envelope.sender == "test-bounces@example.org"
    assert headers.first(message, b"reply-to") == f" test-confirm+{token}@example.org".encode()
    assert headers.first(message, b"auto-submitted") == b" auto-generated"
    assert house.members(which) == []
    answer = ask(
        house, b"Re: confirm " + token.encode(), to="test:confirm", address=f"test-confirm+{token}@example.org"
    )
    assert house.members(which) == ["eve@example.net"]
    assert b'Welcome to the "Test" mailing list' in answer[0][1]
    with house.office.core.read() as connection:
        from listmgr import roster

        member = roster.find(connection, which, "eve@example.net")
    assert member is not None
    assert member.name == "Eve"


@pytest.mark.parametrize("verb", ["join", "subscribe"])
def test_join_without_any_text(house, verb: str) -> None:
    """L20."""
    which = house.make()
    token = token_of(ask(house, b"whatever", to=f"test:{verb}"))
    ask(house, b"confirm " + token.encode())
    assert house.members(which) == ["eve@example.net"]


@pytest.mark.parametrize(
    ("verb", "text"), [("leave", b"x"), ("unsubscribe", b"x"), ("request", b"unsubscribe"), ("request", b"baja")]
)
def test_leaving(house, verb: str, text: bytes) -> None:
    """L19, and sec-L03: the mail alone changes nothing."""
    which = house.make()
    house.join(which, "eve@example.net")
    token = token_of(ask(house, text, to=f"test:{verb}"))
    assert house.members(which) == ["eve@example.net"]
    answer = ask(house, b"confirm " + token.encode())
    assert house.members(which) == []
    assert b"no longer subscribed" in answer[0][1]


def test_a_token_is_used_up(house) -> None:
    which = house.make()
    token = token_of(ask(house, b"subscribe"))
    ask(house, b"confirm " + token.encode())
    answer = ask(house, b"confirm " + token.encode())
    assert b"not valid" in answer[0][1]
    assert house.members(which) == ["eve@example.net"]


def test_a_crash_after_the_welcome_repeats_both(house) -> None:
    which = house.make()
    token = token_of(ask(house, b"subscribe"))
    text = b"From: eve@example.net\r\nSubject: confirm %s\r\n\r\n" % token.encode()
    spooled = house.spool(text, sender="eve@example.net", to="test-request@example.org")

    def broken(unit):
        raise OSError("the machine stops here")

    whole = house.office.core.write_now
    house.office.core.write_now = broken
    house.serve(spooled, "test:request")
    house.office.core.write_now = whole
    first = house.sent()
    assert house.members(which) == []
    house.serve(spooled, "test:request")
    second = house.sent()
    assert house.members(which) == ["eve@example.net"]
    assert [envelope.key for envelope, _ in first] == [envelope.key for envelope, _ in second]


def test_robots_get_no_answer(house) -> None:
    """sec-L17, RFC 3834."""
    house.make()
    for extra in (b"Auto-Submitted: auto-replied", b"Precedence: bulk", b"X-Auto-Response-Suppress: All"):
        assert ask(house, b"help", extra=extra) == []
    house.mail(b"From: eve@example.net\r\nSubject: help\r\n\r\n", "test:request", sender="")
    assert house.sent() == []


def test_our_own_mails_get_no_answer(house) -> None:
    house.make()
    _, notice = ask(house, b"help")[0]
    for target in ("test:request", "test:join", "test:confirm", "test:post"):
        house.mail(notice, target, sender="test-bounces@example.org")
    assert house.sent() == []


def test_few_answers_a_day_to_one_address(house) -> None:
    """sec-L02: nobody is bombed with our help text."""
    house.make()
    answers = [ask(house, b"help") for _ in range(10)]
    assert sum(map(len, answers)) == house.office.settings.answers_per_day
    house.now[0] += 86400
    assert len(ask(house, b"help")) == 1


def test_one_confirmation_a_day_to_one_address(house) -> None:
    """sec-L01 by mail."""
    house.make()
    assert len(ask(house, b"subscribe address=victim@example.com", who="eve@example.net")) == 1
    second = ask(house, b"subscribe address=victim@example.com", who="mallory@example.net")
    assert [one.address for one in second[0][0].recipients] == ["mallory@example.net"]
    assert b"lately" in second[0][1]


def test_nothing_of_a_stranger_is_repeated(house) -> None:
    """sec-L02."""
    house.make()
    text = b"From: Eve <eve@example.net>\r\nSubject: CHEAP PILLS\r\n\r\nhttp://evil.example/\nsubscribe address=<x>\n"
    house.mail(text, "test:request", sender="eve@example.net")
    sent = house.sent()
    assert len(sent) == 1
    assert b"PILLS" not in sent[0][1]
    assert b"evil.example" not in sent[0][1]
    assert b"<x>" not in sent[0][1]


def test_who_follows_the_roster_rule(house) -> None:
    """L22, sec-L15."""
    which = house.make()
    house.join(which, "ann@example.org")
    house.join(which, "hidden@example.org", hide=True)
    assert b"not allowed" in ask(house, b"who")[0][1]
    text = ask(house, b"who", who="ann@example.org")[0][1]
    assert b"ann@example.org" in text.partition(b"\r\n\r\n")[2]
    assert b"hidden@example.org" not in text
    assert b"hidden@example.org" in ask(house, b"who", who="owner@example.org")[0][1]


def test_the_answer_of_who_goes_to_the_member_not_to_who_forged_it(house) -> None:
    which = house.make()
    house.join(which, "ann@example.org")
    house.mail(
        b"From: ann@example.org\r\nReply-To: eve@evil.example\r\nSubject: who\r\n\r\n",
        "test:request",
        sender="eve@evil.example",
    )
    assert [one.address for envelope, _ in house.sent() for one in envelope.recipients] == ["ann@example.org"]


def test_lists_info_help(house) -> None:
    """L21; a list that isn't advertised stays unnamed."""
    house.make(description="About tests", info="Long story.")
    house.make("secret", advertised=False)
    text = ask(house, b"lists", extra=b"X: y\r\n\r\ninfo\r\nhelp")[0][1]
    assert b"test@example.org  About tests" in text
    assert b"secret" not in text
    assert b"Long story." in text
    assert b"unsubscribe [address=" in text


def test_spanish(house) -> None:
    """L25, L82."""
    which = house.make(preferred_language="es")
    sent = ask(house, b"suscribir")
    assert b"alguien, probablemente usted" in sent[0][1]
    ask(house, b"confirmar " + token_of(sent).encode())
    assert house.members(which) == ["eve@example.net"]
    assert b"Resultado_de_sus_=C3=B3rdenes" in ask(house, b"ayuda")[0][1]


def test_html_mail_is_understood(house) -> None:
    house.make()
    text = (
        b"From: eve@example.net\r\nSubject: hi\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n"
        b"<html><body><div>subscribe</div><div>-- </div></body></html>\r\n"
    )
    house.mail(text, "test:request", sender="eve@example.net")
    assert TOKEN.search(house.sent()[0][1])


def test_members_hear_that_they_are(house) -> None:
    which = house.make()
    house.join(which, "eve@example.net")
    assert b"is a member already" in ask(house, b"subscribe")[0][1]
    assert b"is not a member" in ask(house, b"unsubscribe", who="x@example.net")[0][1]


def test_owners_hear_of_changes_if_they_want(house) -> None:
    house.make(admin_notify_mchanges=True)
    token = token_of(ask(house, b"subscribe"))
    sent = ask(house, b"confirm " + token.encode())
    assert [one.address for envelope, _ in sent for one in envelope.recipients] == [
        "eve@example.net",
        "owner@example.org",
    ]


def test_an_unclear_sender_gets_nothing(house) -> None:
    """sec-M07."""
    house.make()
    house.mail(b"From: a@example.net, b@example.net\r\nSubject: help\r\n\r\n", "test:request")
    house.mail(b"From: a@example.net)b@evil.example\r\nSubject: subscribe\r\n\r\n", "test:request")
    assert house.sent() == []
