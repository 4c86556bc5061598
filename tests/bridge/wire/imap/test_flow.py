"""Whole conversations: what goes in, what comes out, what the shell hears."""

import base64
import dataclasses

import pytest

from bridge.wire.imap.args.append import Append, MessageLiteral
from bridge.wire.imap.args.auth import BARE, Authenticate, Login
from bridge.wire.imap.flow import AuthLine, Bad, Command, Done, Fatal, Flow, LiteralWaiting
from bridge.wire.imap.fragment import LATER, POST_AUTH, PRE_AUTH, Decision, Later, Literal, Refuse
from bridge.wire.imap.states import COMMANDS, State
from tests.bridge.wire.imap.reader import read


class Box:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.data = b""
        self.state = "open"

    def write(self, data: bytes | memoryview) -> None:
        self.data += bytes(data)

    def end(self) -> None:
        self.state = "ended"

    def abandon(self) -> None:
        self.state = "abandoned"


def logged_in(decision: Decision | Later = None) -> Flow:
    flow = Flow(on_message=lambda message: decision)
    flow.authenticated()
    return flow


def events(flow: Flow, data: bytes) -> list[object]:
    flow.feed(data)
    found = []
    while (event := flow.next_event()) is not None:
        found.append(event)
    return found


def test_greeting() -> None:
    flow = Flow()
    flow.greet(b"IMAP4rev1 ID", b"Estafeta ready")
    assert flow.take_output() == b"* OK [CAPABILITY IMAP4rev1 ID] Estafeta ready\r\n"
    assert flow.take_output() == b""
    flow.greet(b"IMAP4rev1", b"hello", preauth=True)
    assert flow.take_output().startswith(b"* PREAUTH ")
    assert flow.state is State.AUTHENTICATED


def test_commands_come_one_at_a_time() -> None:
    flow = Flow()
    flow.feed(b"a LOGIN ana secret\r\nb SELECT INBOX\r\n")
    assert flow.next_event() == Command(b"a", "LOGIN", Login("ana", b"secret"), COMMANDS["LOGIN"])
    flow.authenticated()
    second = flow.next_event()
    assert isinstance(second, Command)
    assert second.name == "SELECT"
    assert flow.next_event() is None
    assert flow.take_output() == b""


def test_go_ahead_comes_behind_the_answer_before() -> None:
    flow = Flow()
    flow.feed(b"a NOOP\r\nb LOGIN {3}\r\n")
    flow.next_event()
    flow.send(b"a OK done\r\n")
    assert flow.next_event() is None
    assert flow.take_output() == b"a OK done\r\n+ OK\r\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"a FOO\r\n", b"a BAD Unknown command\r\n"),
        (b"a\r\n", b"a BAD Missing argument\r\n"),
        (b"\r\n", b"* BAD Tag expected\r\n"),
        (b"* NOOP\r\n", b"* BAD Tag expected\r\n"),
        (b"GET / HTTP/1.1\r\n", b"GET BAD Unknown command\r\n"),
        (b"a SELECT x\r\n", b"a BAD Log in first\r\n"),
        (b"a NOOP x\r\n", b"a BAD Unexpected text after the command's arguments\r\n"),
        (b"a LOGIN \xf1 x\r\n", b"a BAD String expected\r\n"),
        (b'a LOGIN "\xf1" x\r\n', b"a NO [AUTHENTICATIONFAILED] Invalid credentials\r\n"),
        (b"a LOGIN {4097}\r\n", b"a BAD [TOOBIG] Literal too big\r\n"),
        (b"a " + b"x" * 9000 + b"\r\n", b"a BAD [LIMIT] Command line too long\r\n"),
        (b"x" * 9000 + b"\r\n", b"* BAD [LIMIT] Command line too long\r\n"),
        (b"a ID " + b"(" * 5000 + b"\r\n", b"a BAD String expected\r\n"),
    ],
)
def test_bad_commands_are_answered(line: bytes, answer: bytes) -> None:
    flow = Flow()
    (bad,) = events(flow, line)
    assert isinstance(bad, Bad)
    assert flow.take_output() == answer
    read(answer)
    (good,) = events(flow, b"b NOOP\r\n")
    assert isinstance(good, Command)


def test_states() -> None:
    flow = logged_in()
    events(flow, b"a LOGIN a b\r\nb FETCH 1 FLAGS\r\n")
    assert flow.take_output() == b"a BAD Already logged in\r\nb BAD Select a mailbox first\r\n"
    flow.selected()
    (fetch,) = events(flow, b"c FETCH 1 FLAGS\r\n")
    assert isinstance(fetch, Command)
    flow.unselected()
    assert isinstance(events(flow, b"d FETCH 1 FLAGS\r\n")[0], Bad)
    flow.unauthenticated()
    assert isinstance(events(flow, b"e LOGIN a b\r\n")[0], Command)


def test_smuggling_is_impossible() -> None:
    """sec-I01: refused {n+} literals, small and large, hold commands; none of them runs."""
    evil = b"z LOGIN root root\r\n" * 250
    flow = Flow()
    found = events(flow, b"a LOGIN {%d+}\r\n%b x\r\nb NOOP\r\n" % (len(evil), evil))
    assert [type(one) for one in found] == [Bad, Command]
    assert found[1].name == "NOOP"
    flow = logged_in(Refuse("Over quota", "OVERQUOTA"))
    found = events(flow, b"a APPEND INBOX {%d+}\r\n%b\r\nb NOOP\r\n" % (len(evil), evil))
    assert [type(one) for one in found] == [Bad, Command]
    assert flow.take_output() == b"a NO [OVERQUOTA] Over quota\r\n"


def test_endless_literals_and_lines_hang_up() -> None:
    """sec-I01."""
    for data, code in ((b"a LOGIN {4294967295+}\r\n", b"TOOBIG"), (b"a " + b"x" * 80_000, b"LIMIT")):
        flow = Flow()
        last = events(flow, data)[-1]
        assert isinstance(last, Fatal)
        assert flow.take_output().startswith(b"* BYE [%b] " % code)
        assert events(flow, b"b NOOP\r\n") == []
        assert flow.buffered == 0


def test_too_many_bad_commands_hang_up() -> None:
    flow = Flow()
    found = events(flow, b"a FOO\r\n" * (PRE_AUTH.bad + 5))
    assert [type(one) for one in found] == [Bad] * (PRE_AUTH.bad - 1) + [Fatal]
    flow = Flow()
    found = events(flow, (b"a FOO\r\n" * (PRE_AUTH.bad - 1) + b"b NOOP\r\n") * 3)
    assert not any(isinstance(one, Fatal) for one in found)


# -- AUTHENTICATE ------------------------------------------------------------------------------------------------


def test_authenticate_with_challenges() -> None:
    flow = Flow()
    (command,) = events(flow, b"a AUTHENTICATE LOGIN\r\n")
    assert isinstance(command, Command)
    assert command.args == Authenticate("LOGIN", None)
    flow.challenge(b"Username:")
    assert flow.take_output() == b"+ VXNlcm5hbWU6\r\n"
    assert events(flow, base64.b64encode(b"ana") + b"\r\n") == [AuthLine(b"ana")]
    flow.challenge(b"")
    assert flow.take_output() == b"+ \r\n"
    assert events(flow, b"\r\n") == [AuthLine(b"")]
    (after,) = events(flow, b"b NOOP\r\n")
    assert isinstance(after, Command)


@pytest.mark.parametrize("line", [b"*", b"!!!", b"a NOOP", b"{5+}", b"A" * 13_000, b"AA=A"])
def test_authenticate_cancelled_or_nonsense(line: bytes) -> None:
    """sec-I08: whatever comes is one failed line, and the next one is a command again."""
    for chunks in ([line + b"\r\n"], [line[:5], line[5:], b"\r", b"\n"]):
        flow = Flow()
        events(flow, b"a AUTHENTICATE PLAIN\r\n")
        flow.challenge(b"")
        found = [event for chunk in chunks for event in events(flow, chunk)]
        assert found == [AuthLine(None)]
        (after,) = events(flow, b"b NOOP\r\n")
        assert isinstance(after, Command)


def test_secrets_are_not_in_the_repr_of_events() -> None:
    flow = Flow()
    flow.challenge(b"")
    (event,) = events(flow, base64.b64encode(b"\0ana\0hunter2") + b"\r\n")
    assert "hunter2" not in repr(event)


# -- IDLE, STARTTLS ----------------------------------------------------------------------------------------------


def test_idle() -> None:
    """I03."""
    flow = logged_in()
    flow.feed(b"a IDLE\r\ndone\r\nb NOOP\r\n")
    first = flow.next_event()
    assert isinstance(first, Command)
    assert first.args is BARE
    flow.idle()
    assert flow.take_output() == b"+ idling\r\n"
    assert flow.next_event() == Done(True)
    assert isinstance(flow.next_event(), Command)


@pytest.mark.parametrize("line", [b"b NOOP", b"", b"x" * 2000, b"DONE "])
def test_idle_ended_wrongly(line: bytes) -> None:
    flow = logged_in()
    flow.idle()
    assert events(flow, line + b"\r\n") == [Done(False)]
    assert isinstance(events(flow, b"c NOOP\r\n")[0], Command)


def test_nothing_survives_starttls() -> None:
    """sec-I03: commands behind STARTTLS in clear are noticed and forgotten."""
    flow = Flow()
    flow.feed(b"a STARTTLS\r\nb LOGIN root root\r\n")
    assert isinstance(flow.next_event(), Command)
    assert not flow.begin_tls()
    assert flow.next_event() is None
    events(flow, b"c STARTTLS\r\n")
    assert flow.begin_tls()
    assert isinstance(events(flow, b"d NOOP\r\n")[0], Command)


def test_compressed_input_can_be_taken_back() -> None:
    flow = logged_in()
    flow.feed(b"a COMPRESS DEFLATE\r\n\x78\x9c\n")
    assert isinstance(flow.next_event(), Command)
    assert flow.take_input() == b"\x78\x9c\n"
    assert flow.buffered == 0


def test_after_logout_nothing_is_read() -> None:
    flow = logged_in()
    flow.feed(b"a LOGOUT\r\nb NOOP\r\n")
    flow.next_event()
    flow.logout()
    assert flow.next_event() is None
    assert events(flow, b"c NOOP\r\n") == []


# -- APPEND ------------------------------------------------------------------------------------------------------


def test_append_streams() -> None:
    """I35, I17."""
    box = Box()
    flow = logged_in(box)
    assert events(flow, b"a APPEND INBOX (\\Seen) {200000}\r\n") == []
    assert flow.take_output() == b"+ OK\r\n"
    for _ in range(20):
        assert events(flow, b"x" * 10_000) == []
        assert flow.buffered == 0
    (command,) = events(flow, b"\r\n")
    assert isinstance(command, Command)
    assert isinstance(command.args, Append)
    body = command.args.messages[0].body
    assert body is not None
    assert body.sink is box
    assert (len(box.data), box.state) == (200_000, "ended")


def test_append_hears_about_the_message_first() -> None:
    heard: list[MessageLiteral] = []

    def listen(message: MessageLiteral) -> Decision:
        heard.append(message)
        return None

    flow = Flow(on_message=listen)
    flow.authenticated()
    (command,) = events(flow, b"a APPEND {1+}\r\nx (\\Seen) {5+}\r\nhello {3+}\r\nyou\r\n")
    assert [(one.mailbox, one.index, one.size) for one in heard] == [("x", 0, 5), ("x", 1, 3)]
    assert isinstance(command, Command)
    assert isinstance(command.args, Append)
    assert command.args.messages[1].body == Literal(3, False, False, b"you")


def test_append_refused_before_a_byte_comes() -> None:
    flow = logged_in(Refuse("Message too big", "TOOBIG"))
    (bad,) = events(flow, b"a APPEND INBOX {5000000000}\r\n")
    assert isinstance(bad, Bad)
    assert flow.take_output() == b"a NO [TOOBIG] Message too big\r\n"
    assert isinstance(events(flow, b"b NOOP\r\n")[0], Command)


def test_append_decided_later() -> None:
    box = Box()
    flow = logged_in(LATER)
    (waiting,) = events(flow, b"a APPEND INBOX {5}\r\n")
    assert isinstance(waiting, LiteralWaiting)
    assert flow.next_event() is None
    assert flow.take_output() == b""
    flow.decide(box)
    assert flow.next_event() is None
    assert flow.take_output() == b"+ OK\r\n"
    (command,) = events(flow, b"hello\r\n")
    assert isinstance(command, Command)
    flow.feed(b"b APPEND INBOX {5}\r\n")
    assert isinstance(flow.next_event(), LiteralWaiting)
    flow.decide(Refuse("No such mailbox", "TRYCREATE"))
    assert isinstance(flow.next_event(), Bad)
    assert flow.take_output() == b"b NO [TRYCREATE] No such mailbox\r\n"


@pytest.mark.parametrize("rest", [b" junk\r\n", b" {6}\r\n", b" (\\Foo) {6}\r\n"])
def test_sinks_of_refused_commands_are_abandoned(rest: bytes) -> None:
    box = Box()
    answers: list[Decision] = [box, Refuse("no")]
    flow = Flow(on_message=lambda message: answers.pop(0))
    flow.authenticated()
    (bad,) = events(flow, b"a APPEND INBOX {5+}\r\nhello" + rest)
    assert isinstance(bad, Bad)
    assert box.state == "abandoned"


def test_a_lost_connection_abandons_the_sink() -> None:
    box = Box()
    flow = logged_in(box)
    events(flow, b"a APPEND INBOX {5+}\r\nhel")
    flow.abandon()
    assert box.state == "abandoned"
    assert flow.next_event() is None


def test_bad_append_options_get_no_go_ahead() -> None:
    flow = logged_in()
    (bad,) = events(flow, b"a APPEND INBOX (\\Foo) {5}\r\n")
    assert isinstance(bad, Bad)
    assert flow.take_output() == b"a BAD Unknown system flag\r\n"
    (bad,) = events(flow, b"b REPLACE 1 INBOX {5}\r\n")
    assert flow.take_output() == b"b BAD Select a mailbox first\r\n"


def test_before_login_a_message_is_just_a_literal() -> None:
    flow = Flow(on_message=lambda message: pytest.fail("asked before login"))
    events(flow, b"a APPEND INBOX {5}\r\nhello\r\n")
    assert flow.take_output() == b"+ OK\r\na BAD Log in first\r\n"


def test_limits_can_be_set() -> None:
    """I07: LITERAL- after login."""
    flow = Flow(post_auth=dataclasses.replace(POST_AUTH, nonsync=4096))
    flow.authenticated()
    (bad,) = events(flow, b"a CREATE {4097+}\r\n" + b"x" * 4097 + b"\r\n")
    assert isinstance(bad, Bad)


# -- every split -------------------------------------------------------------------------------------------------

TALK = (
    b'a ID ("name" "x")\r\nb FOO\r\nc STATUS {3+}\r\nabc (MESSAGES)\r\nd APPEND x {5+}\r\nhello {2+}\r\nyo\r\n'
    b"e SELECT &\r\n\r\nf LIST (\r\ng " + b"y" * 66_000 + b"{12+}\r\nz LOGOUT  \r\n tail\r\nh NOOP\r\n"
)


def test_any_cut_gives_the_same_events_and_output() -> None:
    def run(size: int) -> tuple[list[object], bytes]:
        flow = logged_in()
        found = [event for at in range(0, len(TALK), size) for event in events(flow, TALK[at : at + size])]
        return found, flow.take_output()

    whole = run(len(TALK))
    assert len(whole[0]) == 9
    read(whole[1])
    for size in (1, 2, 3, 7, 64, 1000):
        assert run(size) == whole


def test_the_sample_session_of_rfc_3501() -> None:
    """Section 8, the client's side."""
    flow = Flow()
    lines = [
        b"a001 login mrc secret",
        b"a002 select inbox",
        b"a003 fetch 12 full",
        b"a004 fetch 12 body[header]",
        b"a005 store 12 +flags \\deleted",
        b"a006 logout",
    ]
    found = []
    for line in lines:
        (event,) = events(flow, line + b"\r\n")
        assert isinstance(event, Command)
        found.append((event.tag, event.name))
        {"LOGIN": flow.authenticated, "SELECT": flow.selected, "LOGOUT": flow.logout}.get(event.name, lambda: None)()
    assert found == [
        (b"a001", "LOGIN"),
        (b"a002", "SELECT"),
        (b"a003", "FETCH"),
        (b"a004", "FETCH"),
        (b"a005", "STORE"),
        (b"a006", "LOGOUT"),
    ]


def test_literals_of_rfc_3501_and_7888() -> None:
    """The same LOGIN with and without waiting."""
    for first in (b"A001 LOGIN {11}\r\n", b"A001 LOGIN {11+}\r\n"):
        flow = Flow()
        waits = not first.endswith(b"+}\r\n")
        assert events(flow, first) == []
        assert flow.take_output() == (b"+ OK\r\n" if waits else b"")
        assert events(flow, b"FRED FOOBAR" + b" {7%b}\r\n" % (b"" if waits else b"+")) == []
        (command,) = events(flow, b"fat man\r\n")
        assert isinstance(command, Command)
        assert command.args == Login("FRED FOOBAR", b"fat man")
