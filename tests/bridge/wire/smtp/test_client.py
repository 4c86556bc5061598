"""The client's side of SMTP without a connection (S03, S04, sec-O01 to sec-O04, sec-O10)."""
import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.errors import PeerError
from bridge.model.reply import Reply
from bridge.wire.smtp.client import STEPS, Client
from bridge.wire.smtp.dialogue import (
    Broken,
    Done,
    Mail,
    Protection,
    Ready,
    SendBody,
    StartTls,
    Step,
    needs_utf8,
)

EHLO = b"250-mx.example.org hello\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
PLAIN_EHLO = b"250 mx.example.org\r\n"
MAIL = Mail("a@example.org", ("x@example.net", "y@example.net", "z@example.net"), size=99)


def client(ehlo=EHLO, **options):
    machine = Client("me.example.org", **options)
    assert machine.feed(b"220 mx.example.org ESMTP\r\n") == []
    assert machine.take().split() == [b"LHLO" if options.get("lmtp") else b"EHLO", b"me.example.org"]
    return machine, machine.feed(ehlo)


def ready(ehlo=EHLO, **options):
    machine, events = client(ehlo, **options)
    assert events == [Ready()]
    return machine


def outcomes(events):
    done, = (event for event in events if isinstance(event, Done))
    return [(result.step, result.reply.code) for result in done.results]


def test_S04_the_envelope_goes_out_at_once():
    machine = ready()
    machine.begin(MAIL)
    assert machine.take() == (
        b"MAIL FROM:<a@example.org> SIZE=99\r\nRCPT TO:<x@example.net>\r\nRCPT TO:<y@example.net>\r\n"
        b"RCPT TO:<z@example.net>\r\nDATA\r\n")
    assert machine.step is Step.MAIL
    assert machine.feed(b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n") == [SendBody()]
    machine.dotted()
    assert machine.step is Step.DOT
    assert machine.seconds == 600
    events = machine.feed(b"250 2.0.0 queued as 1\r\n")
    assert outcomes(events) == [(Step.DOT, 250)] * 3
    assert events[-1] == Ready()
    machine.begin(Mail("", ("b@example.net",)))
    assert machine.take().startswith(b"MAIL FROM:<>\r\n")
    assert machine.transactions == 2


def test_step_by_step_without_pipelining():
    machine = ready(PLAIN_EHLO)
    machine.begin(MAIL)
    said = [machine.take()]
    for answer in (b"250 ok\r\n", b"250 ok\r\n", b"550 no\r\n", b"450 later\r\n"):
        assert machine.feed(answer) == []
        said.append(machine.take())
    recipients = [b"RCPT TO:<%c@example.net>\r\n" % letter for letter in b"xyz"]
    assert said == [b"MAIL FROM:<a@example.org>\r\n", *recipients, b"DATA\r\n"]
    assert machine.feed(b"354 go\r\n") == [SendBody()]
    machine.dotted()
    assert outcomes(machine.feed(b"250 ok\r\n")) == [(Step.DOT, 250), (Step.RCPT, 550), (Step.RCPT, 450)]


@pytest.mark.parametrize(("answers", "expected"), [
    (b"250 ok\r\n550 5.1.1 no\r\n450 later\r\n250 ok\r\n354 go\r\n", [(Step.RCPT, 550), (Step.RCPT, 450), None]),
    (b"550 no\r\n503 no\r\n503 no\r\n503 no\r\n503 no\r\n", [(Step.MAIL, 550)] * 3),
    (b"250 ok\r\n550 a\r\n551 b\r\n552 c\r\n503 no\r\n", [(Step.RCPT, 550), (Step.RCPT, 551), (Step.RCPT, 552)]),
    (b"250 ok\r\n250 a\r\n250 b\r\n552 c\r\n451 no\r\n", [(Step.DATA, 451), (Step.DATA, 451), (Step.RCPT, 552)]),
])
def test_sec_O10_each_recipient_has_its_own_result(answers, expected):
    machine = ready()
    machine.begin(MAIL)
    machine.take()
    events = machine.feed(answers)
    if None in expected:
        assert events == [SendBody()]
        machine.dotted()
        events = machine.feed(b"250 ok\r\n")
        assert outcomes(events) == [one or (Step.DOT, 250) for one in expected]
        assert machine.ready
        return
    assert outcomes(events) == expected
    assert machine.take() == b"RSET\r\n"
    assert not machine.ready
    assert machine.feed(b"250 ok\r\n") == [Ready()]


def test_354_although_nobody_was_accepted():
    machine = ready()
    machine.begin(MAIL)
    machine.take()
    assert machine.feed(b"250 ok\r\n550 a\r\n550 b\r\n550 c\r\n354 go\r\n") == []
    assert machine.take() == b".\r\n"
    events = machine.feed(b"554 no valid recipients\r\n")
    assert outcomes(events) == [(Step.RCPT, 550)] * 3
    assert events[-1] == Ready()


def test_S03_helo_where_ehlo_is_refused():
    machine, events = client(b"502 what?\r\n")
    assert events == []
    assert machine.take() == b"HELO me.example.org\r\n"
    assert machine.feed(b"250 hello\r\n") == [Ready()]
    assert not machine.offer.pipelining
    machine, events = client(b"421 busy\r\n")
    assert events == [Broken(Step.HELLO, Reply(421, "", "busy"))]
    machine, events = client(b"502 what?\r\n", protection=Protection.MUST)
    assert isinstance(events[0], Broken)


def test_greetings_that_refuse():
    for greeting in (b"554 no\r\n", b"421 later\r\n"):
        machine = Client("me")
        event, = machine.feed(greeting)
        assert event.step is Step.GREETING
        assert machine.broken
        assert machine.take() == b""


def test_sec_O02_bytes_behind_the_answer_to_starttls_are_forgotten():
    ehlo = b"250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
    machine, _ = client(ehlo, login=("ana", "secreto"))
    assert machine.take() == b"STARTTLS\r\n"
    assert machine.feed(b"220 go\r\n250-evil\r\n250 AUTH LOGIN\r\n235 in\r\n") == [StartTls()]
    machine.secured()
    assert machine.offer.auth == frozenset()
    assert machine.take() == b"EHLO me.example.org\r\n"
    assert machine.feed(ehlo) == []
    line = machine.take()
    assert base64.b64decode(line.split()[2]) == b"\0ana\0secreto"
    assert machine.feed(b"235 in\r\n") == [Ready()]


def test_sec_O01_protection_that_must_be():
    assert client(protection=Protection.MUST)[1] == [Broken(Step.TLS, None)]
    ehlo = b"250-mx\r\n250 STARTTLS\r\n"
    machine, _ = client(ehlo, protection=Protection.MUST)
    assert machine.feed(b"454 no\r\n") == [Broken(Step.TLS, Reply(454, "", "no"))]
    machine, _ = client(ehlo)
    assert machine.feed(b"454 no\r\n") == [Ready()]
    machine, events = client(ehlo, protection=Protection.NONE)
    assert events == [Ready()]
    machine, events = client(ehlo, secure=True)
    assert events == [Ready()]


def test_passwords_only_inside_tls():
    assert client(b"250-mx\r\n250 AUTH PLAIN\r\n", login=("a", "b"))[1] == [Broken(Step.TLS, None)]
    assert client(login=("a", "b"), secure=True)[1] == [Broken(Step.AUTH, None)]
    machine, _ = client(b"250-mx\r\n250 AUTH=LOGIN\r\n", login=("ana", "b"), clear_login=True)
    assert machine.take() == b"AUTH LOGIN\r\n"
    assert machine.feed(b"334 VXNlcm5hbWU6\r\n") == []
    assert machine.take() == base64.b64encode(b"ana") + b"\r\n"
    machine.feed(b"334 x\r\n")
    machine.take()
    event, = machine.feed(b"535 5.7.8 no\r\n")
    assert event == Broken(Step.AUTH, Reply(535, "5.7.8", "no"))


def test_lmtp_answers_once_per_recipient():
    machine = ready(lmtp=True)
    machine.begin(MAIL)
    machine.take()
    assert machine.feed(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n") == [SendBody()]
    machine.dotted()
    assert machine.feed(b"250 in\r\n") == []
    events = machine.feed(b"452 4.2.2 full\r\n")
    assert outcomes(events) == [(Step.DOT, 250), (Step.RCPT, 550), (Step.DOT, 452)]
    assert events[-1] == Ready()


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
def test_421_at_any_time_leaves_nobody_without_a_result(before):
    machine = ready()
    machine.begin(MAIL)
    machine.take()
    answers = [b"250 ok\r\n"] * 4 + [b"354 go\r\n"]
    events = machine.feed(b"".join(answers[:before]) + b"421 bye\r\n")
    assert {code for _, code in outcomes(events)} == {421}
    assert isinstance(events[-1], Broken)
    assert not machine.ready


def test_a_server_that_speaks_in_the_middle_of_the_body():
    machine = ready()
    machine.begin(MAIL)
    machine.take()
    machine.feed(b"250 ok\r\n" * 4 + b"354 go\r\n")
    events = machine.feed(b"552 too big\r\n")
    assert outcomes(events) == [(Step.DOT, 552)] * 3
    assert isinstance(events[-1], Broken)
    machine.dotted()
    assert machine.broken
    machine = ready()
    with pytest.raises(PeerError):
        machine.feed(b"250 surprise\r\n")
    assert ready().feed(b"421 idle\r\n") == [Broken(Step.RSET, Reply(421, "", "idle"))]


def test_a_lost_connection_leaves_what_is_known():
    machine = ready()
    machine.begin(MAIL)
    machine.feed(b"250 ok\r\n550 no\r\n")
    first, second, third = machine.abandon()
    assert (first.step, first.reply.code) == (Step.RCPT, 550)
    assert second is third is None
    assert not machine.ready


@pytest.mark.parametrize(
    "bad", ["a\r\nRCPT TO:<b>@x.org", "a\0@x.org", "a\n@x.org", "a@x.org\r", "a\x85@x", "a\ud800@x"])
def test_sec_O03_nothing_with_control_characters_goes_out(bad):
    with pytest.raises(ValueError):
        Client(bad).feed(b"220 x\r\n")
    for mail in (Mail(bad, ("a@example.org",)), Mail("", ("a@example.org", bad))):
        machine = ready()
        with pytest.raises(ValueError):
            machine.begin(mail)
        assert machine.take() == b""
        assert machine.ready


def test_parameters_follow_the_offer():
    machine = ready()
    assert machine.offer.size == 1000
    machine.begin(Mail("ñ@example.org", ("x@españa.example",), 5, eight_bit=True))
    assert machine.take().split(b"\r\n")[:2] == [
        "MAIL FROM:<ñ@example.org> SIZE=5 BODY=8BITMIME SMTPUTF8".encode(), "RCPT TO:<x@españa.example>".encode()]
    machine = ready(PLAIN_EHLO)
    machine.begin(Mail("a@españa.example", ("b@x.org",), 5, eight_bit=True, utf8=True))
    assert machine.take() == b"MAIL FROM:<a@xn--espaa-rta.example>\r\n"
    assert needs_utf8("ñ@x.org", ("a@x.org",))
    assert not needs_utf8("a@españa.example", ("b@x.org",))
    with pytest.raises(ValueError):
        ready(PLAIN_EHLO).begin(Mail("ñ@x.org", ("b@x.org",)))


def test_every_step_has_a_row():
    assert set(STEPS) == set(Step)


answers = st.lists(st.one_of(
    st.sampled_from([b"250 ok\r\n", b"220 go\r\n", b"354 go\r\n", b"550 no\r\n", b"421 bye\r\n", b"334 x\r\n", EHLO,
                     b"250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n", b"235 in\r\n", b"452 full\r\n"]),
    st.binary(max_size=12)), max_size=25)


@settings(deadline=None)
@given(answers, st.booleans(), st.booleans())
def test_any_server_gives_one_result_per_recipient_or_peer_error(answers, lmtp, login):
    machine = Client("me", lmtp=lmtp, login=("a", "b") if login else None, clear_login=True)
    begun = done = 0
    try:
        for answer in answers:
            for event in machine.feed(answer):
                if isinstance(event, StartTls):
                    machine.secured()
                elif isinstance(event, Ready):
                    assert machine.ready
                    machine.begin(MAIL)
                    begun += 1
                elif isinstance(event, SendBody):
                    machine.dotted()
                elif isinstance(event, Done):
                    done += 1
                    assert len(event.results) == 3
            machine.take()
    except PeerError:
        pass
    rest = machine.abandon()
    assert begun - done in (0, 1)
    assert (begun - done == 1) == bool(rest)
