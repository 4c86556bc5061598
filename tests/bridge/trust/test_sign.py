"""S38, sec-O13: what we sign, dkimpy verifies; what somebody adds or changes, it doesn't."""
import functools

import dkim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.trust import key as keys
from bridge.trust import sign
from bridge.trust.canonical import RelaxedBody
from bridge.wire import headers

MESSAGE = (
    b"Received: from a by b;\r\n\tSun, 22 Nov 2026 10:00:00 +0000\r\nFrom: =?utf-8?q?Pe=C3=B1a?= <ana@example.org>\r\n"
    b"To: luis@example.net\r\nSubject:  una   prueba\r\n larga  \r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nList-Id: <a.example.org>\r\n\r\n"
    b"Hola  \r\n\r\n  dos  espacios \t\r\n.\r\n\r\n\r\n"
)
NOW = 1_790_000_000


@functools.cache
def key(algorithm):
    return keys.read("example.org", f"s-{algorithm}", keys.generate(algorithm))


def signed(message=MESSAGE, chunk=7, lifetime=0, algorithms=("rsa", "ed25519")):
    start = headers.body_start(message)
    body = RelaxedBody()
    for at in range(start, len(message), chunk):
        body.feed(message[at : at + chunk])
    return sign.signatures(message[:start], body.digest(), [key(one) for one in algorithms], NOW, lifetime) + message


def verify(message, number=0):
    """dkimpy's word; it raises where a field is forged in a way that it names."""
    def answer(name, timeout=5):
        for algorithm in ("rsa", "ed25519"):
            if name.decode().rstrip(".") == key(algorithm).name:
                return key(algorithm).record.encode()
        return None

    try:
        return dkim.DKIM(message).verify(idx=number, dnsfunc=answer)
    except dkim.DKIMException:
        return False


@pytest.mark.parametrize("number", [0, 1])
def test_dkimpy_agrees(number):
    assert verify(signed(), number)


@pytest.mark.parametrize(("old", "new"), [
    (b"prueba", b"estafa"), (b"Hola", b"Hole"), (b"espacios", b"espa cios"), (b"\r\n\r\nHola", b"\r\n\r\n\r\nHola"),
    (b"To: luis", b"To: mara@example.net\r\nTo: luis"), (b"Date:", b"Subject: otra\r\nDate:"),
    (b"From:", b"From: x@example.com\r\nFrom:"), (b"MIME-Version", b"Reply-To: x@example.com\r\nMIME-Version"),
    (b".\r\n", b".\r\n<b>more</b>\r\n"),
])
def test_what_is_changed_or_added_breaks_it(old, new):
    message = signed()
    assert MESSAGE.count(old) == 1
    head, _, tail = message.rpartition(old)
    assert not verify(head + new + tail)
    assert verify(message)


@pytest.mark.parametrize(("old", "new"), [
    (b"Subject:  una   prueba\r\n larga  \r\n", b"SUBJECT: una prueba larga\r\n"), (b"Hola  \r\n", b"Hola\r\n"),
    (b"\r\n\r\n\r\n", b"\r\n"), (b"Received:", b"Received: from c by d; now\r\nReceived:"),
])
def test_small_changes_of_servers_do_not(old, new):
    head, _, tail = signed().rpartition(old)
    assert verify(head + new + tail)


PIECES = (b"a", b" ", b"  ", b"\t", b"\r\n", b"b c", b"x \r\n", b"\r\n \r\n")


@given(st.lists(st.sampled_from(PIECES)), st.integers(1, 9))
def test_any_body_in_any_pieces(parts, chunk):
    message = b"From: ana@example.org\r\n\r\n" + b"".join(parts).rstrip(b"\r\n") + b"\r\n"
    assert verify(signed(message, chunk, algorithms=("ed25519",)))


def test_a_body_of_white_space_costs_no_memory_and_little_time():
    body = RelaxedBody()
    for _ in range(5000):
        body.feed(b" \r\n" * 1000)
    assert body.digest() == RelaxedBody().digest()
    body = RelaxedBody()
    for _ in range(2000):
        body.feed(b"x" * 5000)      # no line end at all
    assert body.digest()


def test_it_ends_and_nothing_is_cut_short():
    field = signed(lifetime=7 * 86400).split(b"\r\nReceived", 1)[0]
    assert b"x=%d;" % (NOW + 7 * 86400) in field
    assert b"l=" not in field
    assert max(map(len, field.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(("header", "domain"), [
    (b"From: a@Example.ORG\r\n", "example.org"), (b"From: a@x.org, b@x.org\r\n", "x.org"),
    (b"From: a@x.org, b@y.org\r\n", ""), (b"From: a@x.org\r\nFrom: b@x.org\r\n", ""), (b"To: a@x.org\r\n", ""),
    (b'From: "a@y.org" <b@x.org>\r\n', "x.org"), (b"From:\r\n", ""),
])
def test_the_author_s_domain(header, domain):
    assert sign.author_domain(header + b"\r\n") == domain


def test_without_an_author_nothing_is_signed():
    assert sign.signatures(b"To: a@x.org\r\n\r\n", b"", [key("rsa")], NOW, 0) == b""
