"""The POP3 dialogue without a connection (I48 to I54, sec-I02, sec-I03)."""
import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.pop3.drop import Drop
from bridge.wire.pop3.machine import (
    COMMANDS,
    ERRORS,
    GUESSES,
    Login,
    Machine,
    Quit,
    Retrieve,
    Rules,
    StartTls,
    State,
)
from bridge.wire.sasl import LINE_LIMIT as SASL_LIMIT

OPEN = Rules(plain=True, stls=False)
SIZES, UIDLS = (3579, 4741, 3921), ("a1", "b2", "c3")


def talk(machine, data, user="eloy", secret="clave"):
    """Feed, answer events as an easy server would, return what was said."""
    machine.feed(data)
    events = []
    while (event := machine.next()) is not None:
        events.append(event)
        if isinstance(event, Login):
            if (event.user, event.secret) == (user, secret):
                machine.open(Drop(SIZES, UIDLS))
            else:
                machine.refuse()
        elif isinstance(event, Retrieve):
            machine.out.append(b"+OK %d octets\r\n<%d>\r\n.\r\n" % (SIZES[event.number - 1], event.number))
        elif isinstance(event, Quit):
            machine.leave()
        elif isinstance(event, StartTls):
            machine.out.append(event.reply)
            machine.secured(OPEN)
    said = b"".join(machine.out)
    machine.out = []
    return said, events


def opened():
    machine = Machine(OPEN)
    talk(machine, b"USER eloy\r\nPASS clave\r\n")
    assert machine.state is State.TRANSACTION
    return machine


def test_I48_the_session_of_seed_003():
    machine = Machine(OPEN)
    machine.greet()
    assert talk(machine, b"")[0].startswith(b"+OK ")
    steps = [
        (b"USER eloy", b"+OK password please\r\n"),
        (b"PASS clave", b"+OK 3 messages (12241 octets)\r\n"),
        (b"STAT", b"+OK 3 12241\r\n"),
        (b"LIST", b"+OK 3 messages (12241 octets)\r\n1 3579\r\n2 4741\r\n3 3921\r\n.\r\n"),
        (b"RETR 1", b"+OK 3579 octets\r\n<1>\r\n.\r\n"),
        (b"DELE 1", b"+OK marked for deletion\r\n"),
        (b"RETR 2", b"+OK 4741 octets\r\n<2>\r\n.\r\n"),
        (b"DELE 2", b"+OK marked for deletion\r\n"),
        (b"STAT", b"+OK 1 3921\r\n"),
        (b"LIST", b"+OK 1 messages (3921 octets)\r\n3 3921\r\n.\r\n"),
        (b"UIDL", b"+OK\r\n3 c3\r\n.\r\n"),
        (b"DELE 3", b"+OK marked for deletion\r\n"),
    ]
    for command, answer in steps:
        assert talk(machine, command + b"\r\n")[0] == answer
    said, events = talk(machine, b"QUIT\r\n")
    assert said == b"+OK bye\r\n"
    assert events == [Quit((1, 2, 3), ())]
    assert machine.state is State.CLOSED


def test_I49_top_asks_for_header_and_lines():
    said, events = talk(opened(), b"TOP 3 0\r\nTOP 3 2\r\nTOP 1\r\nTOP 1 x\r\nTOP 9 1\r\n")
    assert events == [Retrieve(3, 0), Retrieve(3, 2)]
    assert said.count(b"-ERR") == 3


def test_what_quit_reports_as_read():
    machine = opened()
    talk(machine, b"RETR 1\r\nRETR 2\r\nTOP 3 1\r\nDELE 1\r\n")
    assert talk(machine, b"QUIT\r\n")[1] == [Quit((1,), (2,))]


def test_reset_and_gone_numbers():
    machine = opened()
    said = talk(machine, b"DELE 2\r\nDELE 2\r\nRETR 2\r\nLIST 2\r\nUIDL 2\r\n")[0]
    assert said.count(b"-ERR message is deleted") == 4
    assert talk(machine, b"RSET\r\nLIST 2\r\nUIDL 2\r\n")[0].endswith(b"+OK 2 4741\r\n+OK 2 b2\r\n")
    for number in (b"0", b"4", b"-1", b"x", b"99999999999999999999", "٣".encode()):
        assert talk(machine, b"RETR " + number + b"\r\n")[0].startswith(b"-ERR")


@pytest.mark.parametrize("cut", range(1, 60))
def test_answers_do_not_depend_on_where_the_bytes_are_cut(cut):
    dialogue = b"CAPA\r\nUSER eloy\r\nPASS clave\r\nSTAT\r\nRETR 1\r\nLIST\r\nnonsense\r\nTOP 1 0\nQUIT\r\n"
    whole = talk(Machine(OPEN), dialogue)
    machine = Machine(OPEN)
    pieces = [talk(machine, dialogue[i : i + cut]) for i in range(0, len(dialogue), cut)]
    assert b"".join(said for said, _ in pieces) == whole[0]
    assert [event for _, events in pieces for event in events] == whole[1]


def test_sec_I02_no_password_on_an_open_line():
    closed = Rules(plain=False, stls=True)
    for command in (b"USER eloy", b"PASS clave", b"AUTH PLAIN AGVsb3kAY2xhdmU=", b"AUTH LOGIN"):
        machine = Machine(closed)
        said, events = talk(machine, command + b"\r\n")
        assert said.startswith(b"-ERR [AUTH] no passwords")
        assert not events
    capa = talk(Machine(closed), b"CAPA\r\n")[0]
    assert b"USER" not in capa
    assert b"SASL" not in capa
    assert b"STLS\r\n" in capa
    assert b"STLS" not in talk(Machine(OPEN), b"CAPA\r\n")[0]


def test_I51_stls_forgets_what_came_before():
    machine = Machine(Rules(plain=True, stls=True))
    assert talk(machine, b"USER eloy\r\nSTLS\r\n")[1] == [StartTls()]
    assert talk(machine, b"PASS clave\r\n")[0] == b"-ERR USER first\r\n"
    assert talk(machine, b"STLS\r\n")[0].startswith(b"-ERR TLS is not available")


def test_sec_I03_bytes_behind_stls_end_the_session():
    machine = Machine(Rules(plain=True, stls=True))
    said, events = talk(machine, b"STLS\r\nUSER evil\r\n")
    assert said.startswith(b"-ERR")
    assert not events
    assert machine.state is State.CLOSED


def test_I50_apop_only_where_there_is_a_challenge():
    machine = Machine(Rules(plain=False, stls=False, challenge="<1.2@h>"))
    machine.greet()
    assert talk(machine, b"")[0] == b"+OK POP3 ready <1.2@h>\r\n"
    assert talk(machine, b"APOP eloy 0123ABCD\r\n", secret="0123abcd")[1] == [Login("eloy", "0123abcd", "APOP")]
    assert talk(Machine(OPEN), b"APOP eloy 0123\r\n")[0].startswith(b"-ERR")


def b64(text):
    return base64.b64encode(text)


def test_I54_sasl():
    plain = b64(b"\0eloy\0cla ve")
    assert talk(Machine(OPEN), b"AUTH PLAIN " + plain + b"\r\n")[1] == [Login("eloy", "cla ve", "SASL")]
    machine = Machine(OPEN)
    assert talk(machine, b"auth plain\r\n")[0] == b"+ \r\n"
    assert talk(machine, plain + b"\r\n", secret="cla ve")[1] == [Login("eloy", "cla ve", "SASL")]
    machine = Machine(OPEN)
    assert talk(machine, b"AUTH LOGIN\r\n")[0] == b"+ VXNlcm5hbWU6\r\n"
    assert talk(machine, b64(b"eloy") + b"\r\n")[0] == b"+ UGFzc3dvcmQ6\r\n"
    assert talk(machine, b64(b"clave") + b"\r\n")[1] == [Login("eloy", "clave", "SASL")]
    machine = Machine(OPEN)
    assert talk(machine, b"AUTH LOGIN " + b64(b"eloy") + b"\r\n*\r\nUSER eloy\r\n")[0].endswith(
        b"-ERR cancelled\r\n+OK password please\r\n")
    for wrong in (b"!!", b64(b"eloy\0clave"), b64(b"other\0eloy\0clave")):
        assert not talk(Machine(OPEN), b"AUTH PLAIN " + wrong + b"\r\n")[1]
    assert talk(Machine(OPEN), b"AUTH\r\n")[0] == b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n"
    assert talk(Machine(OPEN), b"AUTH CRAM-MD5\r\n")[0].startswith(b"-ERR")


def test_a_password_may_have_spaces():
    assert talk(Machine(OPEN), b"USER eloy\r\nPASS  a b \r\n")[1] == [Login("eloy", " a b ", "USER")]


def test_guesses_and_errors_end_the_session():
    machine = Machine(OPEN)
    for _ in range(GUESSES):
        assert machine.state is State.AUTHORIZATION
        assert b"-ERR [AUTH]" in talk(machine, b"USER eloy\r\nPASS wrong\r\n")[0]
    assert machine.state is State.CLOSED
    machine = Machine(OPEN)
    assert talk(machine, b"x\r\n" * 100)[0].count(b"-ERR") == ERRORS
    assert talk(machine, b"CAPA\r\n")[0] == b""


def test_long_lines_are_read_to_their_end_and_refused():
    machine = Machine(OPEN)
    said, _ = talk(machine, b"NOOP" + b" " * 400 + b"\r\nUSER eloy\r\n")
    assert said == b"-ERR line is too long\r\n+OK password please\r\n"
    for _ in range(100):
        assert talk(machine, b"x" * 10_000)[0] == b""
        assert len(machine._buffer) <= SASL_LIMIT
    assert talk(machine, b"STAT\r\nUSER eloy\r\n")[0] == b"-ERR line is too long\r\n+OK password please\r\n"


def test_not_before_and_not_after_the_login():
    for command in (b"STAT", b"LIST", b"RETR 1", b"DELE 1", b"UIDL", b"TOP 1 0", b"RSET", b"NOOP"):
        assert talk(Machine(OPEN), command + b"\r\n")[0] == b"-ERR not now\r\n"
    for command in (b"USER a", b"PASS a", b"AUTH PLAIN", b"STLS", b"APOP a b"):
        assert talk(opened(), command + b"\r\n")[0] == b"-ERR not now\r\n"


lines = st.lists(st.one_of(
    st.binary(max_size=40), st.sampled_from(sorted(COMMANDS)),
    st.builds(lambda verb, rest: verb + b" " + rest, st.sampled_from(sorted(COMMANDS)), st.binary(max_size=12)),
    st.sampled_from([b"USER eloy", b"PASS clave", b"RETR 1", b"DELE 1", b"TOP 2 0", b"AUTH LOGIN"])), max_size=12)


@settings(deadline=None)
@given(lines, st.integers(1, 30))
def test_any_bytes_are_answered_and_nothing_escapes(lines, cut):
    machine = Machine(Rules(True, True, "<x@y>"))
    data = b"\r\n".join(lines)
    for start in range(0, len(data), cut):
        said, _ = talk(machine, data[start : start + cut])
        assert all(line[:1] in b"+-<.0123456789PLUTRASI" for line in said.split(b"\r\n"))
