"""Submission, AUTH, STARTTLS, implicit TLS and LMTP: S08, S09, S20, S21, S34, sec-S04, -S05, -S06, -S26, -S28, -A17."""
import asyncio
import base64
import re
import socket
import ssl
import time
from typing import Any

import pytest

from bridge.intake.session import Visit
from bridge.intake.smtp import Edge


def plain(login: str = "eloy", password: str = "secreto", identity: str = "") -> str:
    return base64.b64encode(f"{identity}\0{login}\0{password}".encode()).decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def logged_in(host: Any, service: str = "submissions") -> Any:
    one = host.call(service)
    one.say("EHLO client")
    if service == "submission":
        assert one.say("STARTTLS").startswith("220 2.0.0 ")
        one.tls()
        one.say("EHLO client")
    assert one.say(f"AUTH PLAIN {plain()}") == "235 2.7.0 Authentication successful"
    return one


# --- TLS ---


def test_s08_starttls_and_trace(strangers: Any) -> None:
    one = strangers.call()
    assert "STARTTLS" in one.say("EHLO client")
    assert one.say("STARTTLS").startswith("220 ")
    one.tls()
    capabilities = one.say("EHLO client.example.com")
    assert "STARTTLS" not in capabilities
    assert "AUTH" not in capabilities, "port 25 is not for logins"
    one.say("MAIL FROM:<a@example.com>", "RCPT TO:<u@example.org>", "DATA")
    queue_id = one.body("A: b\r\n\r\n")[-16:]
    raw = b"".join(strangers.spool.chunks(strangers.spool.open(queue_id))).decode()
    assert re.search(r"\r\n\t\(using TLSv1\.3 with cipher [A-Z0-9_]+\)\r\n\tby mx.example.org with ESMTPS id ", raw)


def test_sec_s04_what_follows_starttls_in_the_clear_is_not_executed(strangers: Any) -> None:
    one = strangers.call()
    one.say("EHLO client")
    one.send("STARTTLS\r\nNOOP\r\nEHLO evil\r\n")
    assert one.hear() == ""
    assert one.closed()


def test_sec_s04_injected_after_the_220(strangers: Any) -> None:
    """Bytes that slip in between 220 and the handshake break the handshake; they are never commands."""
    one = strangers.call()
    one.say("EHLO client", "STARTTLS")
    one.send("MAIL FROM:<evil@example.com>\r\n")
    with pytest.raises((ssl.SSLError, ConnectionResetError, OSError)):
        one.tls()


def test_sec_s05_state_is_dropped_and_tls_is_on_once(host: Any) -> None:
    one = host.start().call("submission")
    one.say("EHLO client")
    assert one.say(f"AUTH PLAIN {plain()}").startswith("235 ")
    assert one.say("MAIL FROM:<eloy@example.org>").startswith("250 ")
    assert one.say("STARTTLS").startswith("220 ")
    one.tls()
    assert one.say("RCPT TO:<u@example.org>").startswith("503 ")
    assert one.say("MAIL FROM:<eloy@example.org>").startswith("503 ")
    assert "AUTH PLAIN LOGIN" in one.say("EHLO client")
    assert one.say("STARTTLS").startswith("503 ")
    assert one.say("STARTTLS x").startswith("501 ")


def test_no_tls_without_a_certificate(host: Any) -> None:
    host.changes["tls"] = None
    one = host.start(networks=()).call()
    assert "STARTTLS" not in one.say("EHLO x")
    assert one.say("STARTTLS").startswith("502 ")


def test_sec_s06_tls_ends_within_data(strangers: Any) -> None:
    """After close_notify the connection is dead and the message with it."""
    one = strangers.call()
    one.say("EHLO x", "STARTTLS")
    one.tls()
    assert one.begin().startswith("354")
    one.send("A: b\r\n")
    plainly = one.socket.unwrap()
    try:
        plainly.sendall(b"\r\nc\r\n.\r\nNOOP\r\n")
        plainly.recv(100)
    except OSError:
        pass
    plainly.close()
    time.sleep(0.1)
    assert strangers.files() == []


def test_implicit_tls_handshake_that_never_begins_does_not_stop_others(strangers: Any) -> None:
    one = strangers.call("submissions")
    port = one.socket.getpeername()[1]
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as noisy:
        noisy.sendall(b"EHLO plain\r\n")
        assert strangers.call("submissions").say("NOOP").startswith("250 ")


def test_implicit_tls_connections_count_before_the_handshake(host: Any) -> None:
    """sec-R01."""
    host.start(networks=(), connections_per_address=2)
    one = host.call("submissions")
    port = one.socket.getpeername()[1]
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as third:
        third.settimeout(5)
        assert third.recv(10) == b""


@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_the_standard_loop_does_as_well(host: Any, service: str) -> None:
    """Where uvloop is not to be had."""
    host.loop.close()
    host.loop = asyncio.new_event_loop()
    host.start(networks=())
    one = logged_in(host, service)
    one.say("MAIL FROM:<eloy@example.org>", "RCPT TO:<a@elsewhere.example>", "DATA")
    assert one.body(b"From: eloy@example.org\r\n\r\n" + b"x" * 70_000 * 10 + b"\r\n").startswith("250 ")
    assert one.say("QUIT").startswith("221 ")
    assert one.closed()


# --- who may submit ---


def test_submission_needs_tls_and_login(strangers: Any) -> None:
    one = strangers.call("submission")
    assert "AUTH" not in one.say("EHLO x")
    assert one.say("MAIL FROM:<eloy@example.org>") == "530 5.7.0 Must issue a STARTTLS command first"
    assert one.say(f"AUTH PLAIN {plain()}") == "538 5.7.11 Encryption required for authentication"
    one.say("STARTTLS")
    one.tls()
    one.say("EHLO x")
    assert one.say("MAIL FROM:<eloy@example.org>") == "530 5.7.0 Authentication required"


def test_own_networks_submit_without(host: Any) -> None:
    """S09: only under TLS unless local."""
    one = host.start().call("submission")
    assert "AUTH PLAIN LOGIN" in one.say("EHLO x")
    assert one.say("MAIL FROM:<any@example.com>").startswith("250 ")


@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_s09_login_and_relay(strangers: Any, service: str) -> None:
    one = logged_in(strangers, service)
    one.say("MAIL FROM:<eloy@example.org>", "RCPT TO:<a@elsewhere.example>", "DATA")
    assert one.body("From: eloy@example.org\r\n\r\n").startswith("250 ")
    envelope = strangers.spool.open(next(strangers.spool.scan())).envelope
    assert (envelope.origin.door, envelope.origin.login, envelope.origin.protocol) == ("submission", "eloy", "ESMTPSA")


def test_auth_dialogues(strangers: Any) -> None:
    one = strangers.call("submissions")
    assert one.say("AUTH PLAIN").startswith("503 ")
    one.say("EHLO x")
    assert one.say("AUTH CRAM-MD5").startswith("504 ")
    assert one.say("AUTH").startswith("504 ")
    assert one.say("AUTH PLAIN a b").startswith("504 ")
    assert one.say("AUTH PLAIN !!!").startswith("501 ")
    assert one.say("AUTH PLAIN =").startswith("501 ")
    assert one.say("AUTH PLAIN ñ").startswith("501 ")
    assert one.say(f"AUTH PLAIN {b64('no nul at all')}").startswith("501 ")
    assert one.say("AUTH PLAIN") == "334 "
    assert one.say("*") == "501 5.7.0 Authentication cancelled"
    assert one.say(f"AUTH PLAIN {plain(password='wrong')}") == "535 5.7.8 Authentication credentials invalid"
    assert one.say(f"AUTH PLAIN {plain(identity='root')}").startswith("535 ")
    assert one.say(f"AUTH PLAIN {plain(login='broken')}") == "454 4.7.0 Temporary authentication failure"
    assert one.say("AUTH LOGIN") == f"334 {b64('Username:')}"
    assert one.say(b64("eloy")) == f"334 {b64('Password:')}"
    assert one.say(b64("secreto")).startswith("235 ")
    assert one.say("AUTH LOGIN").startswith("503 ")


def test_auth_login_with_initial_response(strangers: Any) -> None:
    one = strangers.call("submissions")
    one.say("EHLO x")
    assert one.say(f"auth login {b64('eloy')}") == f"334 {b64('Password:')}"
    assert one.say(b64("secreto")).startswith("235 ")


def test_auth_lines_may_be_long_but_not_endless(strangers: Any) -> None:
    """SECURITY 0.7: 12,288 bytes."""
    one = strangers.call("submissions")
    one.say("EHLO x")
    assert one.say("AUTH PLAIN " + plain(password="x" * 8000)).startswith("535 ")
    assert one.say("AUTH PLAIN " + plain(password="x" * 12_000)).startswith("500 ")
    one.say("AUTH PLAIN")
    assert one.say("A" * 12_200).startswith("501 ")


def test_wrong_passwords_end_the_connection(host: Any) -> None:
    host.start(networks=(), errors_slow=2, errors_most=4)
    one = host.call("submissions")
    one.say("EHLO x")
    for _ in range(4):
        assert one.say(f"AUTH PLAIN {plain(password='wrong')}").startswith("535 ")
    assert one.hear().startswith("421 ")


def test_port_25_and_lmtp_take_no_logins(strangers: Any) -> None:
    one = strangers.call()
    one.say("EHLO x")
    assert one.say(f"AUTH PLAIN {plain()}").startswith("502 ")


# --- what may be submitted ---


def test_s34_sender_belongs_to_login(strangers: Any) -> None:
    one = logged_in(strangers)
    assert one.say("MAIL FROM:<u@example.org>") == "550 5.7.1 Sender address does not belong to this login"
    assert one.say("MAIL FROM:<ELOY@Example.ORG>").startswith("250 ")
    assert one.say("RSET").startswith("250 ")
    assert one.say("MAIL FROM:<>").startswith("250 ")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("From: eloy@example.org", "250"),
        ("From: Eloy <ELOY@example.org>", "250"),
        ("From:\r\n\tEloy R. Sanz\r\n <eloy@example.org>", "250"),
        ("X-Nothing: a", "250"),
        ("From: rector@example.org", "550"),
        ("From: eloy@example.org, rector@example.org", "550"),
        ("From: eloy@example.org\r\nFrom: rector@example.org", "550"),
        ("FROM: eloy@example.org (rector@example.org", "550"),
        ('From: "eloy@example.org" <rector@example.org>', "550"),
        ("From: eloy@example.org)rector@example.com", "550"),
        ("From:", "550"),
    ],
)
def test_sec_s26_from_belongs_to_login(strangers: Any, header: str, code: str) -> None:
    one = logged_in(strangers)
    one.say("MAIL FROM:<eloy@example.org>", "RCPT TO:<u@example.org>", "DATA")
    assert one.body(header + "\r\n\r\nb\r\n")[:3] == code
    assert len(strangers.stored()) == (code == "250")


def test_s21_missing_fields_and_bcc(strangers: Any) -> None:
    """sec-S28."""
    one = logged_in(strangers)
    one.say("MAIL FROM:<eloy@example.org>", "RCPT TO:<u@example.org>", "RCPT TO:<secret@elsewhere.example>", "DATA")
    queue_id = one.body("Subject: a\r\nBcc: secret@elsewhere.example\r\nTo: u@example.org\r\n\r\nb\r\n")[-16:]
    (message,) = strangers.stored()
    assert re.fullmatch(
        r"Subject: a\r\nTo: u@example\.org\r\nDate: \w{3}, .* [+-]\d{4}\r\n"
        rf"Message-ID: <{queue_id}@mx\.example\.org>\r\nFrom: eloy@example\.org\r\n\r\nb\r\n",
        message,
    )


def test_what_comes_from_outside_is_not_completed(strangers: Any) -> None:
    one = strangers.call()
    one.begin()
    one.body("Subject: a\r\nBcc: b@example.com\r\n\r\n")
    assert strangers.stored() == ["Subject: a\r\nBcc: b@example.com\r\n\r\n"]


# --- LMTP ---


def test_s20_lmtp_one_reply_per_recipient(strangers: Any) -> None:
    one = strangers.call("lmtp")
    assert one.say("EHLO x").startswith("500 ")
    assert one.say("LHLO x").startswith("250")
    one.say("MAIL FROM:<a@example.com>")
    assert one.say("RCPT TO:<u@example.org>").startswith("250 ")
    assert one.say("RCPT TO:<nobody@example.org>").startswith("550 ")
    assert one.say("RCPT TO:<margarita@bar.com>").startswith("250 ")
    assert one.say("RCPT TO:<u@example.org>").startswith("250 ")
    one.say("DATA")
    one.send("A: b\r\n\r\n.\r\n")
    replies = [one.hear() for _ in range(3)]
    assert len(set(replies)) == 1
    assert replies[0].startswith("250 2.0.0 OK queued as ")
    assert one.say("NOOP").startswith("250 ")
    envelope = strangers.spool.open(next(strangers.spool.scan())).envelope
    assert [one.address for one in envelope.recipients] == ["u@example.org", "margarita@bar.com"]
    assert (envelope.origin.door, envelope.origin.protocol) == ("lmtp", "LMTP")


def test_lmtp_on_a_unix_socket_is_ours_but_carries_nothing_elsewhere(host: Any, tmp_path: Any) -> None:
    host.start(networks=())
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "lmtp"))
    host.run(lambda: host.server.listen(sock, "lmtp"))
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / "lmtp"))
    one = type(host.call())(client)
    assert one.hear() == "220 mx.example.org LMTP Estafeta"
    one.say("LHLO x", "MAIL FROM:<a@example.com>")
    assert one.say("RCPT TO:<a@elsewhere.example>") == "554 5.7.1 Relaying denied"
    assert one.say("RCPT TO:<u@example.org>").startswith("250 ")
    one.say("DATA")
    assert one.body("A: b\r\n\r\n").startswith("250 ")
    assert host.stored() == ["A: b\r\n\r\n"]
    one.close()


def test_lhlo_is_for_lmtp(strangers: Any) -> None:
    assert strangers.call().say("LHLO x").startswith("500 ")


def test_edge_is_still_an_aiosmtpd_server() -> None:
    from aiosmtpd.smtp import SMTP

    assert issubclass(Edge, SMTP)


def test_restart_forgets_everything_but_the_connection() -> None:
    visit = Visit("submission", "192.0.2.1", False, helo="x", extended=True, login="eloy", errors=3)
    visit.restart("TLSv1.3")
    assert visit == Visit("submission", "192.0.2.1", False, tls="TLSv1.3", errors=3)
