"""The envelope grammar: sec-S10 (byte-exact table), sec-S09, sec-S11, sec-M11, sec-D13."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.address import BadAddress, fold, fold_domain, mailbox, path, split

GOOD = [
    (b"<a@b>", "a@b"),
    (b"<>", ""),
    (b" <a@b>", "a@b"),
    (b"<eloy@foo.net>", "eloy@foo.net"),
    (b" eloy@foo.net", "eloy@foo.net"),
    (b"margarita@bar.com", "margarita@bar.com"),
    (b"<Origen@Dominio1.COM>", "Origen@dominio1.com"),
    (b"<first.last@example.org>", "first.last@example.org"),
    (b"<user+detail@example.org>", "user+detail@example.org"),
    (b"<a%b@us.example.org>", "a%b@us.example.org"),
    (b"<host!user@example.org>", "host!user@example.org"),
    (b"<#$&'*/=?^_`{|}~-@example.org>", "#$&'*/=?^_`{|}~-@example.org"),
    (b"<-f@example.org>", "-f@example.org"),
    (b'<"a b"@c>', '"a b"@c'),
    (b'<"abc"@d>', "abc@d"),
    (b'<"a.b"@d>', "a.b@d"),
    (b'<"a\\.b"@d>', "a.b@d"),
    (b'<"a..b"@d>', '"a..b"@d'),
    (b'<"a@b"@us>', '"a@b"@us'),
    (b'<"a>b"@us>', '"a>b"@us'),
    (b'<"a\\"b|c"@b>', '"a\\"b|c"@b'),
    (b'<"\\\\"@b>', '"\\\\"@b'),
    (b'<""@d>', '""@d'),
    (b'"a b"@c', '"a b"@c'),
    (b"<@x,@y:a@b>", "a@b"),
    (b"<@us.example.org:a@b.example.com>", "a@b.example.com"),
    (b"<a@[192.0.2.1]>", "a@[192.0.2.1]"),
    (b"<a@[IPv6:2001:DB8::1]>", "a@[IPv6:2001:db8::1]"),
    (b"<a@[ipv6:2001:db8:0::1]>", "a@[IPv6:2001:db8::1]"),
    (b"<a@x_y.example.org>", "a@x_y.example.org"),
    (b"<a@xn--pea-8ma.example>", "a@xn--pea-8ma.example"),
    (b"<postmaster>", "postmaster"),
    (b"<Postmaster>", "Postmaster"),
    (b"<" + b"l" * 128 + b"@d>", "l" * 128 + "@d"),
    (b"<a@" + b"d" * 63 + b".org>", "a@" + "d" * 63 + ".org"),
]
BAD = [
    b"",
    b"<",
    b">",
    b"<a@b",
    b"a@b>",
    b"<<a@b>>",
    b"<a@b>x",
    b"<a@b>SIZE=1",
    b"<@b>",
    b"<a@>",
    b"<a>",
    b"<a@b@c>",
    b"<a b@c>",
    b"<a@b c>",
    b"<a@b.>",
    b"<a@.b>",
    b"<a@b..c>",
    b"<a@-b>",
    b"<a@b->",
    b"<.a@b>",
    b"<a.@b>",
    b"<a..b@c>",
    b"<a(c)@b>",
    b"<a@b(c)>",
    b"<(c)a@b>",
    b"<=?utf-8?q?a=40b?=@c d>",
    b"<Name <a@b>>",
    b"Name <a@b>",
    b"<a@b,c@d>",
    b"<a:b@c;>",
    b"<a\x00@b>",
    b"<a\x1b[2J@b>",
    b"<a\r@b>",
    b"<a\n@b>",
    b"<a\t@b>",
    b'<"a@b>',
    b'<"a"b@c>',
    b'<a"b"@c>',
    b'<"a\r\n"@b>',
    b'<"a\x00"@b>',
    b'<"a\\"@b>',
    b"<a@[127.0.0.256]>",
    b"<a@[127.1]>",
    b"<a@[IPv6:fe80::1%eth0]>",
    b"<a@[x:y]>",
    b"<a@[192.0.2.1>",
    b"<a@[]>",
    b"<@x:>",
    b"<@x a@b>",
    b"<@x,:a@b>",
    b"<@:a@b>",
    b"<pe\xc3\xb1a@example.org>",
    b"<a@pe\xc3\xb1a.example>",
    b"<\xff@example.org>",
    b"<" + b"l" * 129 + b"@d>",
    b"<a@" + b"d" * 64 + b".org>",
    b"<a@" + b"d.d" * 90 + b">",
    b"<" + b"@x," * 400 + b"@x:a@b>",
    b'<"' + b"q" * 5000 + b'"@d>',
    b"<" + b"l" * 100_000 + b"@d>",
]


@pytest.mark.parametrize(("raw", "address"), GOOD)
def test_sec_s10_accepted_byte_exact(raw: bytes, address: str) -> None:
    assert path(raw) == (address, b"")
    assert path(raw + b" SIZE=10") == (address, b" SIZE=10")


@pytest.mark.parametrize("raw", BAD)
def test_sec_s10_refused(raw: bytes) -> None:
    with pytest.raises(BadAddress):
        path(raw)


def test_encoded_word_is_only_a_strange_local_part() -> None:
    """aiosmtpd's parser decodes this to another mailbox."""
    assert path(b"<=?utf-8?q?a=40b?=@c>") == ("=?utf-8?q?a=40b?=@c", b"")


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("<Peña@EXAMPLE.org>", "Peña@example.org"),
        ("<a@Peña.example>", "a@peña.example"),
        ("<Pen\u0303a@example.org>", "Peña@example.org"),
        ('<"ñ ñ"@example.org>', '"ñ ñ"@example.org'),
    ],
)
def test_smtputf8_where_declared(raw: str, address: str) -> None:
    assert path(raw.encode(), utf8=True) == (address, b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"<\xc3@example.org>",
        b"<a\xed\xa0\x80@example.org>",
        "<a\u202eb@example.org>".encode(),
        "<a\u00a0b@example.org>".encode(),
        "<a\u2028@example.org>".encode(),
        "<a@b。c>".encode(),
        "<a＠b>".encode(),
        "<a@-ñ.example>".encode(),
        b"<a@" + "ñ".encode() * 50_000 + b">",
        "<a@ñ..example>".encode(),
    ],
)
def test_smtputf8_refused(raw: bytes) -> None:
    """sec-S11, sec-M11: cut UTF-8, surrogates, invisible characters, dots that are none, endless labels."""
    with pytest.raises(BadAddress):
        path(raw, utf8=True)


def test_bare_local_part_gets_the_default_domain() -> None:
    assert path(b"<root>", domain="example.org") == ("root@example.org", b"")
    assert path(b"postmaster", domain="example.org")[0] == "postmaster@example.org"


@given(st.binary(max_size=60), st.booleans())
def test_nothing_but_bad_address_escapes(raw: bytes, utf8: bool) -> None:
    for text in (raw, b"<" + raw + b">", b'<"' + raw + b'"@example.org>', b"<a@" + raw + b">"):
        try:
            address, rest = path(text, utf8=utf8)
        except BadAddress:
            continue
        assert not set(address) & set("\r\n\0")
        assert not rest or rest[:1] in b" \t"
        assert address == "" or path(b"<" + address.encode() + b">", utf8=True) == (address, b"")
        assert fold(fold(address)) == fold(address)


@given(st.text(max_size=30))
def test_fold_is_idempotent_and_never_raises(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_fold_compares_what_is_the_same_mailbox() -> None:
    """sec-D13."""
    assert fold("PEÑA@Example.ORG") == fold("pen\u0303a@example.org")
    assert fold("a@PEÑA.example") == fold("a@xn--pea-8ma.example") == "a@xn--pea-8ma.example"
    assert fold_domain("STRAßE.example") == "xn--strae-oqa.example"


def test_split() -> None:
    assert split('"a@b"@c') == ('"a@b"', "c")
    assert split("postmaster") == ("postmaster", "")
    assert split("") == ("", "")


def test_mailbox_takes_text() -> None:
    assert mailbox("Peña@Example.org") == "Peña@example.org"
    with pytest.raises(BadAddress):
        mailbox("<a@b>")
    with pytest.raises(BadAddress):
        mailbox("a@b\ud800")
