"""S37, S38, S39, S42, sec-M09, sec-S20: what a stranger's message is told of itself, and when it is refused."""

import asyncio
import time
from typing import Any

import dkim
import pytest

from bridge.intake.authenticate import Inspector
from bridge.model.clock import SYSTEM
from bridge.store.spool import SMALL
from bridge.trust.key import generate, read
from bridge.trust.names import NameTrouble, NoDomain

PEM = generate("rsa")
RECORDS = {
    "uno._domainkey.good.example": read("good.example", "uno", PEM).record,
    "_dmarc.good.example": "v=DMARC1; p=reject", "good.example": "v=spf1 ip4:127.0.0.1 -all",
    "bad.example": "v=spf1 -all", "_dmarc.bad.example": "v=DMARC1; p=reject",
    "soft.example": "v=spf1 ~all", "_dmarc.soft.example": "v=DMARC1; p=quarantine",
}  # fmt: skip


class Names:
    def __init__(self) -> None:
        self.seconds, self.trouble = 0.0, False

    async def texts(self, name: str) -> list[str]:
        await asyncio.sleep(self.seconds)
        if self.trouble:
            raise NameTrouble(name)
        if name not in RECORDS:
            raise NoDomain(name)
        return [RECORDS[name]]

    async def addresses(self, host: str) -> list[str]:
        raise NoDomain(host)

    mx = names_of = addresses


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def begin(host: Any, names: Names) -> Any:
    def start(mode: str = "enforce", **settings: Any) -> Any:
        inspector = Inspector(names, hostname="mx.example.org", mode=mode, clock=SYSTEM)  # type: ignore[arg-type]
        host.changes["inspector"] = inspector
        return host.start(**{"networks": (), **settings})

    return start


def put(host: Any, author: str, sender: str = "", extra: str = "", body: str = "hola\r\n", signed: bool = False) -> str:
    message = f"{extra}From: {author}\r\nTo: u@example.org\r\nSubject: x\r\n\r\n{body}".encode()
    if signed:
        message = dkim.sign(message, b"uno", b"good.example", PEM) + message
    one = host.call()
    assert one.begin(sender=f"<{sender or author}>").startswith("354")
    reply: str = one.body(message)
    return reply


def results(host: Any) -> list[str]:
    return [host.spool.open(one).envelope.trust for one in host.spool.scan()]


def test_what_is_right_passes(begin: Any) -> None:
    host = begin()
    assert put(host, "ana@good.example", signed=True).startswith("250")
    (found,) = results(host)
    assert found.startswith("mx.example.org; spf=pass smtp.mailfrom=ana@good.example; dkim=pass header.d=good.example")
    assert found.endswith("dmarc=pass policy.dmarc=reject header.from=good.example")


def test_a_signature_alone_is_enough(begin: Any) -> None:
    """As through a mailing list or a forward that keeps the message whole."""
    host = begin()
    assert put(host, "ana@good.example", sender="x@bad.example", signed=True).startswith("250")
    assert "spf=fail" in results(host)[0]
    assert "dmarc=pass" in results(host)[0]


@pytest.mark.parametrize(("author", "sender"), [
    ("ana@bad.example", ""), ("ana@bad.example", "x@good.example"), ("ana@sub.bad.example", "x@good.example"),
    ("ana@bad.example, b@good.example", "x@good.example"),
])
def test_what_dmarc_says_to_reject_is_refused(begin: Any, author: str, sender: str) -> None:
    host = begin()
    assert put(host, author, sender or author).startswith("550 5.7.1 Rejected by the DMARC policy")
    assert host.stored() == []
    assert host.files() == []


def test_quarantine_and_trouble_are_noted(begin: Any, names: Names) -> None:
    host = begin()
    assert put(host, "ana@soft.example").startswith("250")
    assert "spf=softfail" in results(host)[0]
    assert "dmarc=fail policy.dmarc=quarantine" in results(host)[0]
    names.trouble = True
    assert put(host, "ana@bad.example").startswith("250")
    assert "spf=temperror" in results(host)[1]
    assert "dmarc=temperror" in results(host)[1]


def test_note_refuses_nothing_and_off_says_nothing(begin: Any, host: Any) -> None:
    begin("note")
    assert put(host, "ana@bad.example").startswith("250")
    assert "dmarc=fail" in results(host)[0]
    host.server.inspector.mode = "off"
    assert put(host, "ana@bad.example").startswith("250")
    assert results(host)[1] == ""


def test_our_own_networks_are_not_asked(begin: Any, host: Any) -> None:
    begin(networks=("127.0.0.0/8",))
    assert put(host, "ana@bad.example").startswith("250")
    assert results(host) == [""]


def test_sec_m09_several_authors(begin: Any) -> None:
    host = begin()
    assert put(host, "ana@good.example", extra="From: x@nowhere.example\r\n").startswith("550 5.7.1")


def test_a_forged_result_goes_and_a_large_message_has_its_own(begin: Any) -> None:
    """The envelope of a large message is on the disk before its body: the result is written over its slack."""
    host = begin()
    body = "0123456789abcdef" * 4 + "\r\n"
    forged = "Authentication-Results: mx.example.org; dmarc=pass\r\nX-Kept: a\r\n"
    long = body * (3 * SMALL // len(body))
    assert put(host, "ana@good.example", extra=forged, body=long, signed=True).startswith("250")
    (found,) = results(host)
    assert "dkim=pass" in found
    (message,) = host.stored()
    assert "Authentication-Results" not in message
    assert "X-Kept: a\r\n" in message
    (one,) = host.spool.scan()
    assert host.spool.verify(host.spool.path(one)).envelope.trust == found


def test_a_name_service_that_hangs_costs_a_few_seconds_and_no_message(
    begin: Any, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.intake.authenticate._SECONDS", 0.3)
    host = begin()
    names.seconds = 30.0
    before = time.monotonic()
    assert put(host, "ana@bad.example").startswith("250")
    assert time.monotonic() - before < 5
    assert "spf=temperror" in results(host)[0]
    assert "dmarc=temperror" in results(host)[0]


def test_who_leaves_leaves_nothing(begin: Any, names: Names) -> None:
    host = begin()
    names.seconds = 30.0
    one = host.call()
    assert one.begin(sender="<ana@bad.example>").startswith("354")
    one.send("From: ana@bad.example\r\n\r\nhol")
    one.close()
    host.clients.remove(one)
    host.run(lambda: asyncio.sleep(0.3))
    assert host.run(_checks) == 0
    assert host.files() == []


async def _checks() -> int:
    return sum("/trust/" in repr(task) for task in asyncio.all_tasks())
