"""ENVELOPE, BODYSTRUCTURE and the description of a message: I35, sec-I14."""

from bridge.wire import structure

PLAIN = (
    b"From: =?utf-8?q?Jos=C3=A9?= <jose@example.org>\nTo: \"Smith, Bob\" <bob@example.org>\n"
    b"Subject: Re: [devel] hola\nDate: Mon, 02 Jan 2023 10:00:00 +0100\nMessage-ID: <1@example.org>\n\nUno\ndos\n"
)


def test_a_plain_message_is_described() -> None:
    told = structure.describe(PLAIN)
    assert told.body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2)'
    assert told.bodystructure == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2 NIL NIL NIL NIL)'
    assert told.envelope == (
        b'("Mon, 02 Jan 2023 10:00:00 +0100" "Re: [devel] hola" (("=?utf-8?q?Jos=C3=A9?=" NIL "jose" "example.org")) '
        b'(("=?utf-8?q?Jos=C3=A9?=" NIL "jose" "example.org")) (("=?utf-8?q?Jos=C3=A9?=" NIL "jose" "example.org")) '
        b'(("Smith, Bob" NIL "bob" "example.org")) NIL NIL NIL "<1@example.org>")'
    )
    assert (told.disk_size, told.wire_size) == (len(PLAIN), len(PLAIN.replace(b"\n", b"\r\n")))
    assert told.headers == PLAIN[: told.header_end - 1].replace(b"\n", b"\r\n")
    assert (told.base_subject, told.is_reply, told.preview) == ("hola", True, "Uno dos")
    assert told.from_folded == "jose <jose@example.org>"
