"""S38: whose mail is signed, with whose key, and how often it is read for that."""
import asyncio
from pathlib import Path

import pytest

from bridge.deliver.signing import Signer
from bridge.model.clock import Clock
from bridge.model.envelope import Envelope, Origin
from bridge.store.spool import Spooled
from bridge.trust.key import generate, read

KEY = read("example.org", "uno", generate("ed25519"))
MESSAGE = b"From: ana@example.org\r\nSubject: hola\r\n\r\n" + b"texto\r\n" * 1000


class Bodies:
    def __init__(self, message=MESSAGE):
        self.message, self.readings = message, 0

    def chunks(self, spooled):
        self.readings += 1
        return (self.message[at : at + 100] for at in range(0, len(self.message), 100))


class Keys:
    def __init__(self):
        self.asked = []

    def some(self):
        return True

    def signing(self, domain):
        self.asked.append(domain)
        return (KEY,) if domain == "example.org" else ()


def signer(bodies, keys=None):
    return Signer(bodies, keys or Keys(), trusted=["192.0.2.0/24"], days=7, clock=Clock(now=lambda: 1_790_000_000.0))


def spooled(one="A", sender="ana@example.org", **origin):
    origin = Origin(**{"door": "submission", "login": "ana", **origin})
    return Spooled(Envelope(one, one, sender, (), origin, 0.0), None, 0, 0)


@pytest.mark.parametrize(("origin", "ours"), [
    ({"door": "submission", "login": "ana"}, True), ({"door": "smtp", "login": "", "client": "198.51.100.7"}, False),
    ({"door": "smtp", "login": "", "client": "192.0.2.7"}, True), ({"door": "list", "login": ""}, True),
    ({"door": "dsn", "login": ""}, True), ({"door": "sendmail", "login": ""}, True),
    ({"door": "fetch", "login": "", "client": "far"}, False), ({"door": "lmtp", "login": ""}, True),
    ({"door": "lmtp", "login": "", "client": "198.51.100.7"}, False), ({"door": "smtp", "login": ""}, False),
])
def test_whose_mail(origin, ours):
    """A stranger's mail under our domain, which an alias sends on, must not get our name."""
    field = asyncio.run(signer(Bodies()).signature(spooled(**origin)))
    assert field.startswith(b"DKIM-Signature: v=1;") is ours


def test_without_keys_nothing_is_read():
    bodies, keys = Bodies(), Keys()
    keys.some = lambda: False
    assert asyncio.run(signer(bodies, keys).signature(spooled())) == b""
    assert bodies.readings == 0


def test_read_once_for_all_transactions():
    async def work():
        bodies = Bodies()
        this = signer(bodies)
        found = await asyncio.gather(*(this.signature(spooled()) for _ in range(20)))
        assert len(set(found)) == bodies.readings == 1
        await this.signature(spooled("B"))
        assert bodies.readings == 2

    asyncio.run(work())


def test_trouble_is_told_each_time_and_not_kept():
    async def work():
        bodies = Bodies()
        bodies.chunks = lambda spooled: [Path("/nonexistent/spool").read_bytes()]
        this = signer(bodies)
        with pytest.raises(OSError, match="nonexistent"):
            await this.signature(spooled())
        del bodies.chunks
        assert await this.signature(spooled())

    asyncio.run(work())


def test_the_author_s_key_else_the_sender_s():
    keys = Keys()
    message = MESSAGE.replace(b"example.org", b"example.net", 1)
    field = asyncio.run(signer(Bodies(message), keys).signature(spooled(sender="list-bounces@example.org")))
    assert keys.asked == ["example.net", "example.org"]
    assert b"d=example.org;" in field
