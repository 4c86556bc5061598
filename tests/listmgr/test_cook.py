"""The header that members get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.envelope import Envelope, Origin
from bridge.wire import headers
from listmgr.cook import cook, stripped
from listmgr.links import Links
from listmgr.options import Options
from listmgr.post import Post, read
from listmgr.registry import MailingList

LINKS = Links("https://lists.example.org")
ENVELOPE = Envelope("id", "id", "ann@example.org", (), Origin("smtp"), 0.0)


def post(header: bytes) -> Post:
    message = header + b"\r\nbody\r\n"
    return read(ENVELOPE, message, len(message))


def cooked(header: bytes, **options: object) -> bytes:
    which = MailingList(1, "test", "example.org", Options().changed({"subject_prefix": "[Test]", **options}))
    block = cook(post(header), which, LINKS)
    assert block.endswith(b"\r\n\r\n")
    assert b"\n" not in block.replace(b"\r\n", b"")
    return block


def value(block: bytes, name: bytes) -> str:
    found = headers.first(block, name)
    return "" if found is None else headers.decode(found)


PLAIN = b"From: Ann <ann@example.org>\r\nTo: test@example.org\r\nSubject: hello\r\n"


def test_the_list_fields() -> None:
    """L45; RFC 2369, RFC 2919."""
    block = cooked(PLAIN, description="All about tests")
    assert value(block, b"list-id") == '"All about tests" <test.example.org>'
    assert value(block, b"list-post") == "<mailto:test@example.org>"
    assert value(block, b"list-help") == "<mailto:test-request@example.org?subject=help>"
    assert value(block, b"list-archive") == "<https://lists.example.org/pipermail/test/>"
    assert "mailto:test-request@example.org?subject=unsubscribe" in value(block, b"list-unsubscribe")
    assert value(block, b"x-beenthere") == "test@example.org"
    assert value(block, b"precedence") == "list"
    assert value(block, b"sender") == value(block, b"errors-to") == "test-bounces@example.org"


def test_switches() -> None:
    block = cooked(
        b"Sender: ann@example.org\r\n" + PLAIN,
        include_rfc2369_headers=False,
        include_sender_header=False,
        subject_prefix="",
    )
    assert value(block, b"list-post") == "" == value(block, b"list-help")
    assert value(block, b"sender") == "ann@example.org"
    assert value(block, b"subject") == "hello"
    assert value(cooked(PLAIN, include_list_post_header=False), b"list-post") == ""
    assert value(cooked(PLAIN, archive=False), b"list-archive") == ""
    assert "mailman/private" in value(cooked(PLAIN, archive_private=True), b"list-archive")


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b"hello", "[Test] hello"),
        (b"Re: [Test] hello", "Re: [Test] hello"),
        (b"Re: [TEST] hello", "Re: [TEST] hello"),
        (b"=?utf-8?q?=C3=B1and=C3=BA?=", "[Test] ñandú"),
        (b"", "[Test] (no subject)"),
        (b"a\r\n folded subject", "[Test] a folded subject"),
    ],
)
def test_prefix(subject: bytes, expected: str) -> None:
    assert value(cooked(b"Subject: " + subject + b"\r\nFrom: a@example.org\r\n"), b"subject") == expected


def test_a_missing_subject_gets_one() -> None:
    assert value(cooked(b"From: a@example.org\r\n"), b"subject") == "[Test] (no subject)"


def test_a_prefix_with_accents_is_encoded() -> None:
    block = cooked(PLAIN, subject_prefix="[Año]")
    assert block.isascii()
    assert value(block, b"subject") == "[Año] hello"


@pytest.mark.parametrize(
    ("options", "before", "expected"),
    [
        ({}, b"", ""),
        ({}, b"Reply-To: a@example.org\r\n", "a@example.org"),
        ({"first_strip_reply_to": True}, b"Reply-To: a@example.org\r\n", ""),
        ({"reply_goes_to_list": "list"}, b"", "test@example.org"),
        ({"reply_goes_to_list": "list"}, b"Reply-To: a@example.org\r\n", "a@example.org, test@example.org"),
        (
            {"reply_goes_to_list": "list", "first_strip_reply_to": True},
            b"Reply-To: a@example.org\r\n",
            "test@example.org",
        ),
        ({"reply_goes_to_list": "address", "reply_to_address": "x@example.org"}, b"", "x@example.org"),
    ],
)
def test_reply_to(options: dict[str, object], before: bytes, expected: str) -> None:
    assert value(cooked(before + PLAIN, **options), b"reply-to") == expected


def test_secrets_and_receipts_go_nowhere() -> None:
    """sec-L06."""
    block = cooked(
        b"Approved: secret\r\nX-Approved: secret\r\nUrgent: secret\r\nDisposition-Notification-To: a@example.org\r\n"
        b"Return-Receipt-To: a@example.org\r\nBcc: hidden@example.org\r\n" + PLAIN
    )
    assert b"secret" not in block
    assert b"hidden" not in block
    assert value(block, b"disposition-notification-to") == ""
    assert b"secret" not in stripped(post(b"Approved: secret\r\n" + PLAIN).header)


def test_fields_of_another_list_are_replaced_but_its_mark_stays() -> None:
    """P10: X-BeenThere of every list on the way is kept."""
    block = cooked(b"X-BeenThere: other@example.net\r\nList-Id: <other.example.net>\r\nPrecedence: bulk\r\n" + PLAIN)
    assert headers.every(block, b"x-beenthere") == [b" other@example.net", b" test@example.org"]
    assert value(block, b"list-id") == "<test.example.org>"
    assert headers.every(block, b"precedence") == [b" list"]


def test_what_is_not_named_stays_byte_for_byte() -> None:
    odd = b"X-Odd:  two  spaces\r\n\tand a tab \r\nDKIM-Signature: v=1; b=abc\r\n"
    assert odd in cooked(odd + PLAIN)


@given(st.text(max_size=120).filter(str.isprintable))
def test_no_option_can_add_a_field(text: str) -> None:
    """sec-L10, sec-M06."""
    plain = cooked(PLAIN, description="x", subject_prefix="y")
    block = cooked(PLAIN, description=text, subject_prefix=text)
    assert {name.lower() for _, name, _ in headers.triples(block)} == {
        name.lower() for _, name, _ in headers.triples(plain)
    }
    assert b"\nBcc:" not in block


@given(st.binary(max_size=300))
def test_no_message_can_add_a_field_of_ours(junk: bytes) -> None:
    header = junk.replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\r\n\r\n", b"\r\n") + b"\r\n" + PLAIN
    block = cook(post(header), MailingList(1, "test", "example.org", Options(subject_prefix="[T]")), LINKS)
    assert headers.every(block, b"list-id") == [b" <test.example.org>"]


def test_the_subject_of_an_attacker_stays_one_field() -> None:
    """sec-M06: the corpus of fact 0.11."""
    block = cooked(b"From: a@example.org\r\nSubject: x =?utf-8?q?=0D=0ABcc=3A_evil=40x?= y\r\n")
    assert headers.first(block, b"bcc") is None
    assert len(headers.every(block, b"subject")) == 1
