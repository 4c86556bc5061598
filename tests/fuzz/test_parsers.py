"""Every parser of strangers' bytes, on mutated samples: only its own complaint escapes, and no input takes long (P32).

A fraction of a second each in the short form; `make fuzz` sets ESTAFETA_FUZZ_SECONDS to ten minutes each. Seeded by the
clock where it runs long; a failure prints the input.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable

import pytest

from bridge.model import address
from bridge.model.errors import PeerError
from bridge.route import aliases
from bridge.trust import dmarc, spf, verify
from bridge.wire import addresses, autodiscover, charset, dates, dots, fetchmailrc, headers, mime, sasl, structure, text
from bridge.wire.imap import utf7
from bridge.wire.smtp import commands
from listmgr import bounces, request

SECONDS = float(os.environ.get("ESTAFETA_FUZZ_SECONDS", "0.3"))
LONGEST = 2.0       # CPU seconds for one small input: tenfold slack over what any of them needs

MAIL = b"""From: =?utf-8?q?Ana_N=C3=BA=C3=B1ez?= <ana@example.org>, "x, y" <b@[127.0.0.1]>
To: undisclosed:;, a@b (c (d) e)
Subject: =?iso-8859-1?b?4e4=?= Re: [x] Re: hola
Date: Thu, 20 Feb 2003 01:42:04 +0900 (KST)
Message-ID: <1@example.org>
References: <1@a> <2@b>
Content-Type: multipart/mixed; boundary="=_b"; x*0*=utf-8''%41; x*1=b

pre
--=_b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>a=C3=B1<script>x</script>
--=_b
Content-Type: message/rfc822

Subject: inner
Content-Type: text/plain
Content-Transfer-Encoding: base64

aG9sYQ==
--=_b
Content-Type: message/delivery-status

Reporting-MTA: dns; x

Final-Recipient: rfc822; a@b
Action: failed
Status: 5.1.1
--=_b--
"""
BITS = [b"\r\n", b"\n", b"\r", b"\0", b"\xff", b'"', b"\\", b"(", b")", b"<", b">", b"@", b",", b";", b":", b"=?", b"?=",
        b"&", b"-", b"--=_b", b"=", b"%", b"*", b"{9999999999}", b"a" * 300, b"((((((((", b";;;;;;;;", b"=_b", b"||",
        b":include:/", b"\xc3\xb1", b"'", b"!", b".", b"..", b"\t"]  # fmt: skip

Parse = Callable[[bytes], object]
SIGNED = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.example; s=uno; h=from:to;\r\n\tbh=AAAA; b=BBBB\r\n"
SPF = b"v=spf1 ip4:192.0.2.0/24 a:x.example/24//64 mx include:%{d2}.x.example exists:%{ir}.x.example redirect=y.example"


class _Names:
    """A name service whose every answer is the same rubbish."""

    def __init__(self, data: bytes) -> None:
        self._text = data.decode("utf-8", "replace")

    async def texts(self, name: str) -> list[str]:
        return [self._text]

    async def addresses(self, host: str) -> list[str]:
        return ["192.0.2.9", "2001:db8::9"]

    async def mx(self, domain: str) -> list[tuple[int, str]]:
        return [(1, self._text)]

    async def names_of(self, address: str) -> list[str]:
        return [self._text]


def _dkim(data: bytes) -> None:
    one = verify.Verifier(data, 0.0)
    one.feed(data)
    asyncio.run(one.results(_Names(data)))


def _dots(data: bytes) -> None:
    decoder, rest, done = dots.Decoder(normalize=True), data + b"\r\n.\r\n", False
    while rest and not done:
        piece, rest = rest[:7], rest[7:]
        _, done, _ = decoder.feed(piece)


PARSERS: dict[str, tuple[Parse, list[bytes], tuple[type[Exception], ...]]] = {
    "smtp path": (lambda d: address.path(d), [b"<a@b.example>", b'<"a b"@[1.2.3.4]> SIZE=1', b"<@x,@y:a@b>", b"<>"], (PeerError,)),
    "smtp mail": (lambda d: commands.mail(d.decode("latin-1")), [b"FROM:<a@b> SIZE=9 BODY=8BITMIME", b"FROM: a@b"], (PeerError,)),
    "smtp rcpt": (lambda d: commands.rcpt(d.decode("latin-1"), utf8=True), [b"TO:<a@b>", b"TO: a@b"], (PeerError,)),
    "dkim signature": (_dkim, [SIGNED + b"From: a@a.example\r\n\r\nhola\r\n"], ()),
    "spf": (lambda d: asyncio.run(spf.check("192.0.2.1", "h", "a@b.example", _Names(d))), [SPF], ()),
    "dmarc": (
        lambda d: asyncio.run(dmarc.check("a.b.example", "c.example", ["d.example"], _Names(d))),
        [b"v=DMARC1; p=reject; sp=none; np=reject; adkim=s; aspf=r; psd=n; t=y"], (),
    ),
    "dots": (_dots, [b"a\r\n..b\r\n", b".\r\n"], (PeerError,)),
    "sasl": (lambda d: sasl.plain(sasl.decode(d)), [b"AGEAYg==", b"="], (PeerError,)),
    "headers": (lambda d: [headers.decode(f.value) for f in headers.fields(d)], [MAIL], ()),
    "addresses": (lambda d: (addresses.strict(d), addresses.lenient(d)), [MAIL.split(b"\n")[0][6:], b"a@b", b"x: a@b, c;"], ()),
    "dates": (lambda d: dates.parse(d), [b"Thu, 20 Feb 2003 01:42:04 +0900", b"1 Jan 70 0:0 EST"], ()),
    "mime": (lambda d: mime.scan(d), [MAIL], ()),
    "describe": (lambda d: structure.describe(d), [MAIL], ()),
    "body text": (lambda d: text.search_text(d, mime.scan(d)), [MAIL], ()),
    "html": (lambda d: text.html_to_text(d.decode("latin-1")), [b"<p>a<b>c</b><!-- x --><style>y</style>&amp;&#65;"], ()),
    "charset": (lambda d: charset.decode(d, "utf-7"), [b"+AOE-", b"abc\xff"], ()),
    "utf7": (lambda d: utf7.decode(d), [b"&AOE-", b"INBOX.&-", b"a&b"], (ValueError,)),
    "aliases": (lambda d: aliases.parse(d.decode("latin-1"), "f"), [b'root: ana\nx: "|/bin/a b", :include:/x, /f\n  more\n'], ()),
    "fetchmailrc": (lambda d: fetchmailrc.parse(d.decode("latin-1")), [b'poll a proto pop3 user "x" pass y is z here\n'], (fetchmailrc.RcError,)),
    "autodiscover": (lambda d: autodiscover.asked(d), [b"<?xml version='1.0'?><Autodiscover xmlns='x'><Request><EMailAddress>a&#64;b</EMailAddress><a:b/></Request></Autodiscover>"], (PeerError,)),
    "bounce": (lambda d: bounces.bounces(d), [MAIL], ()),
    "request": (lambda d: request.parse("", d.decode("latin-1")), [b"subscribe digest address=a@b\n> confirm x\nend\n"], ()),
}  # fmt: skip


def mutated(wild: random.Random, samples: list[bytes]) -> bytes:
    data = bytearray(wild.choice(samples))
    for _ in range(wild.randrange(1, 9)):
        at = wild.randrange(len(data) + 1)
        match wild.randrange(5):
            case 0 if data:
                data[at % len(data)] = wild.randrange(256)
            case 1:
                del data[at : at + wild.randrange(1, 30)]
            case 2:
                data[at:at] = wild.choice(BITS) * wild.choice((1, 1, 1, 40))
            case 3:
                data[at:at] = data[wild.randrange(len(data) + 1) :][: wild.randrange(200)]
            case _:
                data[at:at] = wild.randbytes(wild.randrange(12))
    return bytes(data[:20_000])


@pytest.mark.parametrize("name", PARSERS)
def test_only_its_own_complaint_escapes(name: str) -> None:
    parse, samples, complaints = PARSERS[name]
    wild = random.Random(time.time() if SECONDS > 1 else name)
    for sample in samples:
        parse(sample) if not complaints else _tolerant(parse, sample, complaints)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = mutated(wild, samples)
        begin = time.process_time()
        try:
            parse(data)
        except complaints:
            pass
        except Exception as error:
            raise AssertionError(f"{name} let {error!r} out for {data!r}") from error
        took = time.process_time() - begin
        assert took < LONGEST, f"{name} took {took:.1f} s for {data!r}"


def _tolerant(parse: Parse, sample: bytes, complaints: tuple[type[Exception], ...]) -> None:
    try:
        parse(sample)
    except complaints:
        pass
