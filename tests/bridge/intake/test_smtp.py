"""SMTP dialogues over real sockets: S01, S02, S04-S07, S22-S25, S29-S31, sec-S01, -S07, -S08, -S12..-S19, -S30, P12."""
import asyncio
import re
import socket
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.store import failpoints
from tests.bridge.intake.forms import FORMS

ENHANCED = re.compile(r"(2|4|5)\d\d[ -]\1\.\d\.\d{1,2} ")
BARE_REPLIES = ("220 mx", "250-mx", "250 mx", "354 ")


# --- the seeds' dialogues, typed by hand ---


def test_s01_dialogue_of_seed_003(host: Any) -> None:
    """HELO, MAIL FROM: with a space and no brackets, RCPT, DATA, QUIT."""
    one = host.start().call()
    assert one.say("HELO verne.foo.net") == "250 mx.example.org Hello verne.foo.net [127.0.0.1]"
    assert one.say("MAIL FROM: eloy@foo.net").startswith("250 ")
    assert one.say("RCPT TO: margarita@bar.com").startswith("250 ")
    assert one.say("DATA") == "354 Enter message. End with '.' on a line by itself"
    one.send("cabecera: valor\r\ncabecera2: valor\r\n\r\neste es el texto del mensaje.\r\nsaludos.\r\n")
    assert re.match(r"250 2\.0\.0 OK queued as [0-9A-Z]{16}$", one.say("."))
    assert one.say("QUIT") == "221 2.0.0 mx.example.org closing connection"
    assert one.closed()
    assert host.stored() == ["cabecera: valor\r\ncabecera2: valor\r\n\r\neste es el texto del mensaje.\r\nsaludos.\r\n"]


def test_s01_dialogue_of_seed_000(host: Any) -> None:
    """A bare HELO, an address in capitals, a body with accents, an empty line before the dot."""
    one = host.start().call()
    assert one.say("HELO") == "250 mx.example.org Hello you [127.0.0.1]"
    assert one.say("MAIL FROM: Origen@Dominio1.com").startswith("250 ")
    assert one.say("RCPT TO: u@Example.ORG").startswith("250 ")
    assert one.say("DATA").startswith("354 ")
    one.send("Asunto: Prueba de correo electrónico\r\nDe: Origen@Dominio1.com\r\n\r\nHola\r\nchao\r\n\r\n")
    assert one.say(".").startswith("250 ")
    assert one.say("QUIT").startswith("221 ")
    assert host.stored()[0].endswith("electrónico\r\nDe: Origen@Dominio1.com\r\n\r\nHola\r\nchao\r\n\r\n")


def test_s02_the_command_list_of_the_thesis_in_order(host: Any) -> None:
    one = host.start().call()
    said = {word: one.say(word) for word in ("HELO x", "SEND FROM:<a@b>", "SOML FROM:<a@b>", "SAML FROM:<a@b>",
                                             "VRFY eloy", "EXPN lista", "HELP", "NOOP", "TURN", "RSET")}  # fmt: skip
    assert [said[word][:3] for word in said] == ["250", "502", "502", "502", "252", "502", "214", "250", "502", "250"]
    assert "MAIL RCPT DATA RSET NOOP QUIT HELP VRFY EXPN" in said["HELP"]
    assert one.say("HELP MAIL").startswith("214 2.0.0 Syntax: MAIL FROM: <address>")


def test_helo_before_anything(strangers: Any) -> None:
    one = strangers.call()
    assert one.say("MAIL FROM:<a@b>").startswith("503 ")
    assert one.say("EHLO").startswith("501 ")
    assert one.say("EHLO a\x07b").startswith("501 ")
    assert one.say("EHLO " + "x" * 256).startswith("501 ")


def test_capabilities(strangers: Any) -> None:
    """S04-S08, S16: what EHLO offers; nothing that isn't done (sec-S24, sec-S25)."""
    lines = strangers.call().say("EHLO client.example.com").split("\n")
    assert [line[4:] for line in lines[1:]] == [
        "PIPELINING", "SIZE 50000000", "8BITMIME", "ENHANCEDSTATUSCODES", "LIMITS RCPTMAX=1000", "SMTPUTF8", "STARTTLS",
    ]  # fmt: skip


def test_s04_replies_to_pipelined_commands_leave_together(strangers: Any) -> None:
    one = strangers.call()
    one.say("EHLO x")
    one.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<u@example.org>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n")
    time.sleep(0.2)
    assert one.socket.recv(65536).count(b"\r\n") == 4
    one.send("Subject: a\r\n\r\nb\r\n.\r\nMAIL FROM:<a@example.com>\r\nRSET\r\nQUIT\r\n")
    assert [one.hear()[:3] for _ in range(4)] == ["250", "250", "250", "221"]


def test_s07_every_reply_has_an_enhanced_code(strangers: Any) -> None:
    one = strangers.call()
    for line in ("EHLO x", "MAIL FROM:<a@b> SIZE=99999999", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>", "RCPT TO:<x@y>",
                 "RCPT TO:<nobody@example.org>", "RCPT TO:<u@example.org>", "RCPT TO:<>", "NOOP", "VRFY", "VRFY a",
                 "EXPN a", "HELP", "XYZZY", "TURN", "DATA x", "AUTH PLAIN", "STARTTLS x", "RSET", "DATA"):  # fmt: skip
        for reply in one.say(line).split("\n"):
            assert ENHANCED.match(reply) or reply.startswith(BARE_REPLIES) or line == "EHLO x", (line, reply)


# --- who may send what ---


@pytest.mark.parametrize("form", FORMS)
def test_sec_s08_no_open_relay(strangers: Any, form: str) -> None:
    """sec-S08, sec-S09: forty ways to ask a stranger's server to carry mail elsewhere."""
    one = strangers.call()
    one.say("EHLO x", "MAIL FROM:<a@example.com>")
    assert one.say(f"RCPT TO:<{form}>")[:3] in ("501", "550", "553", "554", "555")
    assert one.say("DATA").startswith(("503 ", "554 "))


def test_forty_forms() -> None:
    assert len(set(FORMS)) == 40


def test_s29_relaying_denied_and_granted(strangers: Any) -> None:
    one = strangers.call()
    one.say("EHLO x", "MAIL FROM:<a@example.com>")
    assert one.say("RCPT TO:<a@elsewhere.example>") == "554 5.7.1 Relaying denied"
    assert one.say("RCPT TO:<u@example.org>").startswith("250 ")
    assert one.say("RCPT TO:<any@backup.example>").startswith("250 ")
    assert one.say("RCPT TO:<alias@example.org>").startswith("250 ")
    assert one.say("RCPT TO:<postmaster>").startswith("250 ")
    assert one.say("RCPT TO:<root>").startswith("550 ")


def test_s29_own_networks_may_relay(host: Any) -> None:
    one = host.start().call()
    one.say("EHLO x", "MAIL FROM:<root>")
    assert one.say("RCPT TO:<a@elsewhere.example>").startswith("250 ")
    one.say("DATA")
    assert one.say(".").startswith("250 ")
    envelope = host.spool.open(next(host.spool.scan())).envelope
    assert (envelope.sender, envelope.recipients[0].address) == ("root@example.org", "a@elsewhere.example")


def test_s31_unknown_user_and_trouble(strangers: Any) -> None:
    """P12: what we can't look up is refused for now, never for good."""
    one = strangers.call()
    one.say("EHLO x", "MAIL FROM:<>")
    assert one.say("RCPT TO:<nobody@example.org>") == "550 5.1.1 No such user here"
    assert one.say("RCPT TO:<later@example.org>").startswith("451 4.")
    one.say("RSET", "MAIL FROM:<>")
    assert one.say("RCPT TO:<trouble@example.org>").startswith("451 4.3.0")
    one.say("RSET", "MAIL FROM:<>")
    assert one.say("RCPT TO:<bug@example.org>").startswith("451 4.3.0")
    assert one.say("RCPT TO:<u@example.org>").startswith("503 "), "the transaction is gone after a fault of ours (0.1)"
    assert one.say("MAIL FROM:<>").startswith("250 ")


def test_refusals_are_in_the_journal_escaped(strangers: Any) -> None:
    """sec-S19: nobody writes lines or control characters into it."""
    one = strangers.call()
    one.say("EHLO x", "MAIL FROM:<a@example.com>")
    one.say("RCPT TO:<nobody@example.org>")
    one.say("RCPT TO:<a\x1b[2J@b>")
    refused = [line for line in strangers.journal if line["e"] == "refused"]
    assert refused[0]["address"] == "nobody@example.org"
    assert refused[0]["reply"] == "550 5.1.1 No such user here"
    assert "\x1b" not in refused[1]["address"]


def test_sec_s17_recipient_limit(host: Any) -> None:
    one = host.start(recipients=50).call()
    one.say("EHLO x", "MAIL FROM:<a@example.com>")
    one.send("".join(f"RCPT TO:<u{n}@elsewhere.example>\r\n" for n in range(52)))
    replies = [one.hear() for _ in range(52)]
    assert [reply[:3] for reply in replies[:50]] == ["250"] * 50
    assert replies[50:] == ["452 4.5.3 Too many recipients"] * 2
    one.say("DATA")
    assert one.say(".").startswith("250 ")
    assert len(host.spool.open(next(host.spool.scan())).envelope.recipients) == 50


def test_the_same_recipient_twice_is_one(strangers: Any) -> None:
    one = strangers.call()
    one.begin()
    one.say(".")
    one.say("MAIL FROM:<a@example.com>", "RCPT TO:<u@example.org>", "RCPT TO:<u@example.org>", "DATA")
    one.say(".")
    assert [len(strangers.spool.open(i).envelope.recipients) for i in strangers.spool.scan()] == [1, 1]


def test_smtputf8_addresses(strangers: Any) -> None:
    """S12."""
    one = strangers.call()
    one.say("EHLO x")
    assert one.say("MAIL FROM:<ñ@example.com>").startswith("553 5.6.7")
    assert one.say("MAIL FROM:<ñ@example.com> SMTPUTF8").startswith("250 ")
    assert one.say("RCPT TO:<Peña@example.org>").startswith("250 ")
    one.say("DATA")
    assert one.say(".").startswith("250 ")
    envelope = strangers.spool.open(next(strangers.spool.scan())).envelope
    assert (envelope.sender, envelope.smtputf8, envelope.origin.protocol) == ("ñ@example.com", True, "UTF8SMTP")


def test_parameters(strangers: Any) -> None:
    one = strangers.call()
    one.say("EHLO x")
    for line, code in {
        "MAIL FROM:<a@b> SIZE=x": "501", "MAIL FROM:<a@b> BODY=9BIT": "501", "MAIL FROM:<a@b> FOO=1": "555",
        "MAIL FROM:<a@b> SIZE=1 SIZE=2": "501", "MAIL FROM:<a@b> =": "501", "MAIL <a@b>": "501", "MAIL": "501",
        "MAIL FROM:<a@b> SIZE=50000001": "552", "mail from:<a@b> body=8bitmime size=10 auth=<>": "250",
        "RCPT TO:<u@example.org> NOTIFY=NEVER": "555", "RCPT <u@example.org>": "501", "RCPT TO:<>": "553",
    }.items():  # fmt: skip
        assert one.say(line)[:3] == code, line


# --- the message ---


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n",
                                 b"\r\n.\0\r\n", b"\n.\r", b"\r.\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n"])  # fmt: skip
def test_sec_s01_smuggling(strangers: Any, end: bytes) -> None:
    """Twelve ways to hide a second message: 550, closed, nothing kept, nothing of the hidden one read as commands."""
    one = strangers.call()
    assert one.begin().startswith("354")
    hidden = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<u@example.org>\r\nDATA\r\nSubject: hidden\r\n\r\nx"
    one.send(b"Subject: a\r\n\r\nb" + end + hidden + b"\r\n.\r\nQUIT\r\n")
    assert one.hear().startswith("550 5.6.0 ")
    assert one.closed()
    assert strangers.files() == []


def test_bare_line_ends_of_own_networks_may_be_normalized(host: Any) -> None:
    one = host.start(bare_newlines="normalize").call()
    one.send("HELO x\nMAIL FROM:<a@b>\nRCPT TO:<u@example.org>\nDATA\n")
    assert [one.hear()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    one.send(b"Subject: a\n\nb\n.\nc\r\n.\r\n")
    assert one.hear().startswith("250 ")
    assert host.stored() == ["Subject: a\r\n\r\nb\r\n.\r\nc\r\n"]


def test_bare_line_ends_of_strangers_are_not(host: Any) -> None:
    one = host.start(networks=(), bare_newlines="normalize").call()
    one.send("HELO x\n")
    assert one.hear().startswith("500 5.5.2 Lines must end in CRLF")
    one.begin()
    one.send(b"a\nb\r\n.\r\n")
    assert one.hear().startswith("550 5.6.0 ")


def test_s24_trace_header(strangers: Any) -> None:
    one = strangers.call()
    one.begin()
    queue_id = one.body("Received: forged\r\n\r\n")[-16:]
    raw = b"".join(strangers.spool.chunks(strangers.spool.open(queue_id))).decode()
    assert re.match(
        r"Received: from client\.example\.com \(\[127\.0\.0\.1\]\)\r\n"
        rf"\tby mx\.example\.org with ESMTP id {queue_id}\r\n\tfor <u@example\.org>; .*\r\nReceived: forged\r\n",
        raw,
    )


def test_s06_eight_bits_stay(strangers: Any) -> None:
    one = strangers.call()
    one.begin()
    body = bytes(range(1, 256)).replace(b"\r", b"").replace(b"\n", b"")
    one.send(b"A: b\r\n\r\n" + body + b"\r\n.\r\n")
    assert one.hear().startswith("250 ")
    queue_id = next(strangers.spool.scan())
    assert body in b"".join(strangers.spool.chunks(strangers.spool.open(queue_id)))


def test_sec_s18_size(host: Any) -> None:
    """S05: announced too much, lied, and a lie so big that we stop listening."""
    one = host.start(message_size=100_000, free_space=1).call()
    one.say("EHLO x")
    assert one.say("MAIL FROM:<a@b> SIZE=100001").startswith("552 5.3.4")
    one.say("MAIL FROM:<a@b> SIZE=10", "RCPT TO:<u@example.org>", "DATA")
    one.send(b"x" * 70 + b"\r\n")
    one.send((b"x" * 70 + b"\r\n") * 2000 + b".\r\n")
    assert one.hear().startswith("552 5.3.4")
    assert one.begin().startswith("354")
    one.send((b"x" * 70 + b"\r\n") * 4000)
    assert one.hear().startswith("552 5.3.4")
    assert one.closed()
    assert host.files() == []


def test_s23_loop(strangers: Any) -> None:
    one = strangers.call()
    one.begin()
    one.send(b"Received: x\r\n" * 51 + b"\r\n.\r\n")
    assert one.hear().startswith("554 5.4.6")
    one.begin()
    one.send(b"A: b\r\n" * 1001 + b"\r\n.\r\n")
    assert one.hear().startswith("552 5.3.4")
    assert one.begin().startswith("354")
    assert one.say(".").startswith("250 ")


def test_forged_results_are_removed(strangers: Any) -> None:
    """sec-S20."""
    one = strangers.call()
    one.begin()
    assert one.body("Authentication-Results: mx.example.org; spf=pass\r\nA: b\r\n\r\n").startswith("250 ")
    assert strangers.stored() == ["A: b\r\n\r\n"]


def test_half_close_after_the_dot_still_gets_its_answer(strangers: Any) -> None:
    """SECURITY 0.2: the commit belongs to nobody's connection."""
    failpoints.arm("spool.fdatasync=sleep200")
    one = strangers.call()
    one.begin()
    one.send("A: b\r\n\r\nc\r\n.\r\n")
    one.socket.shutdown(socket.SHUT_WR)
    assert one.hear().startswith("250 ")
    assert strangers.stored() == ["A: b\r\n\r\nc\r\n"]


def test_a_client_that_vanishes_during_the_commit_does_not_stop_it(strangers: Any) -> None:
    failpoints.arm("spool.fdatasync=sleep200")
    one = strangers.call()
    one.begin()
    one.send("A: b\r\n\r\nc\r\n.\r\n")
    time.sleep(0.05)
    one.close()
    for _ in range(100):
        if strangers.stored():
            break
        time.sleep(0.02)
    assert strangers.stored() == ["A: b\r\n\r\nc\r\n"]


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_client_that_vanishes_before_the_dot_leaves_nothing(strangers: Any, size: int) -> None:
    one = strangers.call()
    one.begin()
    one.send(b"A: b\r\n\r\n" + b"x" * size)
    time.sleep(0.1)
    one.close()
    for _ in range(200):
        if not strangers.server.edges and not strangers.files():
            break
        time.sleep(0.02)
    assert strangers.files() == []
    assert not strangers.server.edges


POINTS = [name for name in failpoints.registered() if name.startswith("spool.") and name != "spool.quarantine"]


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("action", ["EIO", "ENOSPC", "EDQUOT", "EMFILE", "ENFILE"])
@pytest.mark.parametrize("point", POINTS)
def test_p12_every_failpoint_of_the_way_in(strangers: Any, point: str, action: str, size: int) -> None:
    """P05, P06, P07: a 4xx, nothing kept, and the session goes on."""
    failpoints.arm(f"{point}={action}")
    one = strangers.call()
    one.say("EHLO x")
    reply = one.say("MAIL FROM:<a@example.com>")  # where the first look at the free space may fail already
    if reply.startswith("250") and one.say("RCPT TO:<u@example.org>", "DATA").startswith("354"):
        one.send(b"A: b\r\n\r\n" + b"x" * size + b"\r\n.\r\n")
        reply = one.hear()
    if point != "spool.unlink":
        assert re.match(r"45[12] 4\.3\.[01] ", reply), reply
        assert ("452" in reply) == (action in ("ENOSPC", "EDQUOT")) or one.say("NOOP").startswith("250 ")
        assert strangers.files() == []
    failpoints.arm("")
    assert one.begin().startswith("354")
    assert one.body("A: b\r\n").startswith("250 ")


def test_low_disk(strangers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """S05."""
    monkeypatch.setattr(strangers.spool, "free", lambda: (1000, 1 << 30))
    one = strangers.call()
    one.say("EHLO x")
    assert one.say("MAIL FROM:<a@example.com>").startswith("452 4.3.1 ")


def test_twenty_megabytes_in_flat_memory(strangers: Any) -> None:
    """P25, 0.4: no body as one object; a chunk at a time."""
    one = strangers.call()
    one.begin()
    block = (b"0123456789" * 7 + b"\r\n") * 3640
    one.send(b"A: b\r\n\r\n" + block)
    tracemalloc.start()
    for _ in range(80):
        one.send(block)
    one.send(b".\r\n")
    assert one.hear().startswith("250 ")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20
    spooled = strangers.spool.open(next(strangers.spool.scan()))
    assert spooled.size > 20_000_000
    assert strangers.spool.verify(spooled.path)


def test_large_messages_at_once(host: Any) -> None:
    host.start(large_messages=1, networks=())
    first, second = host.call(), host.call()
    for one in (first, second):
        one.begin()
        one.send(b"A: b\r\n\r\n" + b"x" * 200_000)
        time.sleep(0.2)
    second.send(b"\r\n.\r\n")
    assert second.hear().startswith("452 4.3.1 ")
    first.send(b"\r\n.\r\n")
    assert first.hear().startswith("250 ")
    second.begin()
    second.send(b"A: b\r\n\r\n" + b"x" * 200_000 + b"\r\n.\r\n")
    assert second.hear().startswith("250 ")


# --- limits ---


def test_sec_s12_endless_line(strangers: Any) -> None:
    one = strangers.call()
    assert one.say("NOOP " + "x" * 2100).startswith("500 5.5.2 ")
    assert one.say("NOOP").startswith("250 ")
    assert one.say("NOOP " + "x" * 20_000).startswith("500 5.5.2 ")
    assert one.say("NOOP").startswith("250 ")
    block = b"x" * 65536
    with pytest.raises(OSError):  # noqa: PT012
        for _ in range(1000):
            one.send(block)
        one.socket.recv(1)
        raise ConnectionResetError


def test_sec_s12_endless_body_line(strangers: Any) -> None:
    one = strangers.call()
    one.begin()
    one.send(b"A: b\r\n\r\n" + b"x" * (1 << 20) + b"yyyyyyyyyy\r\n.\r\n")
    assert one.hear().startswith("550 5.6.0 ")
    one = strangers.call()
    one.begin()
    one.send(b"A: b\r\n\r\n" + b"x" * 900_000 + b"\r\n.\r\n")
    assert one.hear().startswith("250 ")


def test_sec_s13_errors(host: Any) -> None:
    one = host.start(networks=(), errors_slow=2, errors_most=6).call()
    assert [one.say("XYZZY")[:3] for _ in range(5)] == ["500"] * 5
    one.send("XYZZY\r\n")
    assert one.hear().startswith("500 ")
    assert one.hear() == "421 4.7.0 Too many errors"
    assert one.closed()


def test_sec_s13_junk(host: Any) -> None:
    one = host.start(networks=(), junk_commands=10).call()
    one.send("NOOP\r\nRSET\r\nVRFY a\r\nHELO x\r\nHELP NOOP\r\n" * 3)
    replies = [one.hear() for _ in range(11)]
    assert replies[10].startswith("421 4.7.0 ")
    assert one.closed()


def test_a_message_forgives(host: Any) -> None:
    one = host.start(networks=(), junk_commands=6, errors_most=4, errors_slow=4).call()
    for _ in range(5):
        one.begin()
        assert one.say(".").startswith("250 ")
        assert one.say("XYZZY").startswith("500 ")
        assert one.say("XYZZY").startswith("500 ")


def test_unknown_recipients_count_for_strangers_only(host: Any) -> None:
    host.start(errors_slow=2, errors_most=4)
    one = host.call()
    one.say("EHLO x", "MAIL FROM:<a@b>")
    assert [one.say(f"RCPT TO:<n{n}@example.org>")[:3] for n in range(8)] == ["550"] * 8


@pytest.mark.parametrize("word", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "CONNECT a:25 HTTP/1.1", "PRI * HTTP/2.0"])
def test_sec_s14_other_protocols(strangers: Any, word: str) -> None:
    """sec-S14: nothing of what they say comes back."""
    one = strangers.call()
    one.send(word + "\r\nHost: x\r\n\r\nEHLO a\r\nMAIL FROM:<a@b>\r\n")
    assert one.hear() == ""


@pytest.mark.parametrize("start", [b"\x16\x03\x01\x02\x00", b"\x00\x01", "ñ".encode(), b"\xff\xf4"])
def test_sec_s14_no_text(strangers: Any, start: bytes) -> None:
    one = strangers.call()
    one.send(start)
    assert one.hear() == ""


def test_p26_silence_slowness_and_length(host: Any) -> None:
    host.changes["rate_after"] = 0.5
    host.start(networks=(), idle_seconds=1, data_rate=1_000_000)
    silent, slow = host.call(), host.call()
    slow.begin()
    slow.send("A: b\r\n")
    assert silent.hear() == "421 4.4.2 Timeout exceeded"
    assert silent.closed()
    assert slow.hear() == "421 4.4.2 Timeout exceeded"
    assert slow.closed()
    assert host.files() == []


def test_p26_noop_does_not_keep_a_session_for_ever(host: Any) -> None:
    one = host.start(networks=(), session_seconds=1).call()
    for _ in range(40):
        one.send("NOOP\r\n")
        reply = one.hear()
        if not reply.startswith("250"):
            break
        time.sleep(0.1)
    assert reply == "421 4.4.2 Timeout exceeded"


def test_a_client_that_does_not_read_is_cut_off(host: Any) -> None:
    host.start(networks=(), idle_seconds=1, junk_commands=10**9)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    port = host.call().socket.getpeername()[1]
    sock.connect(("127.0.0.1", port))
    sock.settimeout(8)
    with sock, pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012
        for _ in range(400):
            sock.sendall(b"HELP\r\n" * 10_000)
        raise ConnectionResetError
    for _ in range(500):
        if not host.server.edges:
            break
        time.sleep(0.02)
    assert not host.server.edges


def test_sec_r01_connections_per_address(host: Any) -> None:
    host.start(networks=(), connections_per_address=3, connections=100)
    kept = [host.call() for _ in range(3)]
    assert host.call(greet=False).hear() == "421 4.7.0 Too many connections, try again later"
    kept[0].say("QUIT")
    kept[0].close()
    time.sleep(0.1)
    assert host.call().say("NOOP").startswith("250 ")


def test_sec_r01_connections_in_all(host: Any) -> None:
    host.start(connections=3)
    for _ in range(3):
        host.call()
    assert host.call(greet=False).hear().startswith("421 ")


def test_shutdown(strangers: Any) -> None:
    """S01: 421 to who waits; a message on its way in is finished first."""
    idle, busy = strangers.call(), strangers.call()
    idle.say("EHLO x")
    busy.begin()
    busy.send("A: b\r\n")
    stopping = asyncio.run_coroutine_threadsafe(strangers.server.stop(10), strangers.loop)
    assert idle.hear().startswith("421 4.3.2 ")
    assert idle.closed()
    time.sleep(0.1)
    busy.send("\r\nc\r\n.\r\n")
    assert busy.hear().startswith("250 ")
    assert busy.hear().startswith("421 4.3.2 ")
    stopping.result(10)
    assert strangers.stored() == ["A: b\r\n\r\nc\r\n"]


# --- state ---

VERBS = [
    "EHLO x", "HELO x", "MAIL FROM:<a@example.com>", "MAIL FROM:<a b>", "RCPT TO:<u@example.org>",
    "RCPT TO:<x@y.example>", "RCPT TO:<trouble@example.org>", "RCPT TO:<bug@example.org>", "RSET", "NOOP",
    "VRFY x", "AUTH PLAIN", "XYZZY",
]  # fmt: skip


class Model:
    """What the documented state machine does, in small."""

    def __init__(self) -> None:
        self.helo = self.mail = False
        self.recipients = 0

    def code(self, line: str) -> str:
        word = line.split()[0]
        if word in ("EHLO", "HELO", "RSET"):
            self.mail, self.recipients, self.helo = False, 0, self.helo or word != "RSET"
            return "250"
        if word == "MAIL":
            if not self.helo or self.mail:
                return "503"
            self.mail = "<a b>" not in line
            return "250" if self.mail else "553"
        if word == "RCPT":
            return self._rcpt(line)
        return {"NOOP": "250", "VRFY": "252", "AUTH": "502", "XYZZY": "500"}[word]

    def _rcpt(self, line: str) -> str:
        if not self.mail:
            return "503"
        if "trouble" in line or "bug" in line:
            self.mail, self.recipients = False, 0
            return "451"
        if "y.example" in line:
            return "554"
        self.recipients += 1
        return "250"

    @property
    def data(self) -> str:
        return "354" if self.recipients else "554" if self.mail else "503"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*VERBS, "DATA"]), max_size=12))
def test_sec_s07_state_is_what_the_model_says(strangers: Any, lines: list[str]) -> None:
    """After any sequence, with its errors: the same state, and a message has exactly its own recipients."""
    one, model = strangers.call(), Model()
    before = set(strangers.spool.scan())
    expected = 0
    for line in lines:
        if line != "DATA":
            assert one.say(line)[:3] == model.code(line), lines
            continue
        code, count = model.data, model.recipients
        assert one.say("DATA")[:3] == code, lines
        if code == "354":
            expected += 1
            queue_id = one.say(".")[-16:]
            assert len(strangers.spool.open(queue_id).envelope.recipients) == 1 <= count
            model.mail, model.recipients = False, 0
    one.close()
    assert len(set(strangers.spool.scan()) - before) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([line.encode() for line in VERBS])), max_size=10))
def test_sec_s30_any_bytes(strangers: Any, lines: list[bytes]) -> None:
    """sec-S11, sec-S30: never a traceback, never a reply that is none; afterwards the server is there."""
    one = strangers.call()
    said = []
    try:
        one.send(b"".join(line + b"\r\n" for line in lines) + b"QUIT\r\n")
        while not said or said[-1][:3] not in ("", "221"):
            said.append(one.hear())
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        one.close()
    for reply in said:
        assert not reply or re.match(r"[2345]\d\d[ -]", reply), (lines, said)
        assert "Internal trouble, closing" not in reply
    assert strangers.call().say("QUIT").startswith("221 ")
