"""Ways in, addresses of strangers, DNS records."""

import pytest

from bridge.wire.ways import Kind, Tls, best, records, target, ways

PORTS = {"imaps": 993, "imap": 0, "pop3s": 995, "submissions": 465, "submission": 587, "smtp": 25, "http": 8080}


def test_ways_are_what_is_switched_on_best_first() -> None:
    """I46: TLS from the first byte before STARTTLS (RFC 8314); other ports are nobody's business."""
    found = ways("mail.example.org", PORTS)
    assert [(one.kind, one.port, one.tls) for one in found] == [
        (Kind.IMAP, 993, Tls.IMPLICIT), (Kind.POP3, 995, Tls.IMPLICIT), (Kind.SMTP, 465, Tls.IMPLICIT),
        (Kind.SMTP, 587, Tls.STARTTLS),
    ]  # fmt: skip
    assert best(found, Kind.SMTP) == found[2]
    assert best((), Kind.IMAP) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana@example.org", ("ana", "example.org")),
        ("ana+x@ñandú.example", ("ana+x", "ñandú.example")),
        ("a@b@example.org", ("a@b", "example.org")),
        *((bad, None) for bad in (
            "", "ana", "@example.org", "ana@", "ana@-x.org", "ana@example..org", "a na@example.org",
            "ana@exa\nmple.org", "ana@<b>", "\ufffe@example.org", "a\x00@example.org",
            "ana@example.org\r\nX: y", "a" * 400 + "@example.org",
            "ana@" + "a." * 4000 + "org", "\ud800@example.org", "ana@[127.0.0.1]",
        )),
    ],
)  # fmt: skip
def test_an_address_is_one_or_none(text: str, found: tuple[str, str] | None) -> None:
    assert target(text) == found


def test_records_say_also_what_is_not_there() -> None:
    """RFC 6186 3.4: a target of "." for a service that isn't offered; W09."""
    lines = [line.split() for line in records("example.org", "mail.example.org", ways("imap.example.org", PORTS), "")]
    assert lines[0] == ["example.org.", "3600", "IN", "MX", "10", "mail.example.org."]
    srv = {line[0].removesuffix(".example.org."): line[4:] for line in lines[1:]}
    assert srv["_imaps._tcp"] == ["0", "1", "993", "imap.example.org."]
    assert srv["_imap._tcp"] == ["0", "0", "0", "."]
    assert srv["_submissions._tcp"] == ["0", "1", "465", "imap.example.org."]
    assert srv["_submission._tcp"] == ["10", "1", "587", "imap.example.org."]
    assert not [line for line in lines if line[3] == "CNAME"]
    pages = [line.split() for line in records("example.org", "mail.example.org", (), "www.example.org")]
    assert ["autoconfig.example.org.", "3600", "IN", "CNAME", "www.example.org."] in pages
    assert ["_autodiscover._tcp.example.org.", "3600", "IN", "SRV", "0", "1", "443", "www.example.org."] in pages
