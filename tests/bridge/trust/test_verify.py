"""S38, sec-M20: signatures of strangers, judged as dkimpy judges them, and what they may cost."""
import asyncio
import base64
import functools

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.trust import key as keys
from bridge.trust.names import NameTrouble, NoDomain
from bridge.trust.verify import SIGNATURES, Verifier
from bridge.wire import headers

NOW = 1_790_000_000
HEADER = b"From: ana@example.org\r\nTo: luis@example.net\r\nSubject:  una \t prueba\r\n larga\r\n"
BODY = b"Hola  \r\n\r\n dos \t\r\n\r\n\r\n"


@functools.cache
def private(kind):
    pem = keys.generate(kind)
    return pem, keys.read("example.org", "uno", pem)


class Names:
    def __init__(self, **records):
        self.records = {"uno._domainkey.example.org": private("rsa")[1].record, **records}
        self.asked = 0

    async def texts(self, name):
        self.asked += 1
        found = self.records.get(name, NoDomain())
        if isinstance(found, Exception):
            raise found
        return [found]


def signed(body=BODY, header=HEADER, form=b"relaxed/relaxed", kind="rsa", **more):
    pem, one = private(kind)
    if kind == "rsa":
        material, algorithm = pem, b"rsa-sha256"
    else:
        raw = one.private.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        material, algorithm = base64.b64encode(raw), b"ed25519-sha256"
    field = dkim.sign(
        header + b"\r\n" + body, b"uno", b"example.org", material, canonicalize=tuple(form.split(b"/")),
        signature_algorithm=algorithm, **more)
    return field + header + b"\r\n" + body


def judged(message, names=None, chunk=5, now=NOW):
    start = headers.body_start(message)
    one = Verifier(message[:start], now)
    for at in range(start, len(message), chunk):
        one.feed(message[at : at + chunk])
    return asyncio.run(one.results(names or Names()))


def word(message, names=None, **more):
    (result,) = judged(message, names, **more)
    return result.word


@pytest.fixture(autouse=True)
def the_clock(monkeypatch):
    monkeypatch.setattr(dkim.time, "time", lambda: NOW)


@pytest.mark.parametrize("form", [b"simple/simple", b"simple/relaxed", b"relaxed/simple", b"relaxed/relaxed"])
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_what_dkimpy_signs(form, kind):
    names = Names(**{"uno._domainkey.example.org": private(kind)[1].record})
    message = signed(form=form, kind=kind)
    (result,) = judged(message, names)
    assert (result.word, result.domain, result.selector) == ("pass", "example.org", "uno")
    assert result.algorithm == f"{kind}-sha256"
    assert word(message.replace(b"dos", b"tres"), names) == "fail"
    assert word(message.replace(b"luis@", b"mara@"), names) == "fail"
    squeezed = message.replace(b"Hola  ", b"Hola")
    assert word(squeezed, names) == ("pass" if form.endswith(b"relaxed") else "fail")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from((b"a", b" ", b"\t", b"\r\n", b"b  c", b"\r\n\r\n"))), st.integers(1, 7),
    st.sampled_from((b"simple/simple", b"relaxed/relaxed")),
)
def test_bodies_of_all_kinds(parts, chunk, form):
    body = b"".join(parts)
    body += b"" if body.endswith(b"\r\n") or not body else b"\r\n"
    assert word(signed(body, form=form, kind="rsa"), chunk=chunk) == "pass"


def _edited(old, new):
    message = signed()
    assert old in message
    return message.replace(old, new)


@pytest.mark.parametrize(("old", "new", "expected"), [
    (b"v=1;", b"v=2;", "permerror"), (b"a=rsa-sha256", b"a=rsa-sha1", "policy"),
    (b"a=rsa-sha256", b"a=dsa-sha256", "permerror"), (b"c=relaxed/relaxed", b"c=loose", "permerror"),
    (b"d=example.org;", b"", "permerror"), (b"d=example.org;", b"d=example.org; i=x@example.net;", "permerror"),
    (b"v=1;", b"v=1; l=3;", "policy"), (b"v=1;", b"v=1; x=17;", "fail"), (b"v=1;", b"v=1; x=later;", "permerror"),
    (b"v=1;", b"v=1; v=1;", "permerror"), (b"v=1;", b"v=1; rubbish;", "permerror"), (b" bh=", b" bh=!", "permerror"),
    (b"from", b"form", "permerror"), (b"t=1790000000", b"t=1800000000", "neutral"),
])
def test_signatures_that_prove_nothing(old, new, expected):
    assert word(_edited(old, new)) == expected


@pytest.mark.parametrize(("record", "expected"), [
    ("v=DKIM1; p=", "permerror"), ("v=DKIM2; p=AAAA", "permerror"), ("k=rsa; p=AAAA", "permerror"),
    ("rubbish", "permerror"), ("", "permerror"), (NoDomain(), "permerror"), (NameTrouble(), "temperror"),
    ("k=ed25519; p=AAAA", "permerror"),
])
def test_keys_that_are_none(record, expected):
    assert word(signed(), Names(**{"uno._domainkey.example.org": record})) == expected


@pytest.mark.parametrize(("more", "expected"), [
    ("", "pass"), ("h=sha256:sha1; ", "pass"), ("h=sha1; ", "permerror"), ("s=email; ", "pass"),
    ("s=other; ", "permerror"), ("t=y:s; ", "pass"), ("n=a note; ", "pass"),
])
def test_what_a_key_is_for(more, expected):
    names = Names(**{"uno._domainkey.example.org": more + private("rsa")[1].record.partition("; ")[2]})
    assert word(signed(), names) == expected


def test_a_short_key_is_none():
    """RFC 8301: fewer than 1,024 bits prove nothing, whatever they sign."""
    weak = rsa.RSAPublicNumbers(65537, (1 << 767) + 1).public_key()
    der = weak.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = "k=rsa; p=" + base64.b64encode(der).decode()
    assert word(signed(), Names(**{"uno._domainkey.example.org": record})) in ("policy", "permerror")


def test_a_thousand_signatures_cost_as_much_as_five():
    message = b"".join([signed().partition(b"From:")[0]] * 1000) + HEADER + b"\r\n" + BODY
    names = Names()
    assert len(judged(message, names)) == SIGNATURES
    assert names.asked <= SIGNATURES


def test_without_a_signature_the_body_is_not_needed():
    assert not Verifier(HEADER + b"\r\n", NOW).signed
    assert judged(HEADER + b"\r\n" + BODY) == []


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_raises_nothing(rubbish):
    field = b"DKIM-Signature: " + rubbish.replace(b"\n", b"").replace(b"\r", b"") + b"\r\n"
    for one in judged(field + HEADER + b"\r\n" + BODY):
        assert one.word != "pass"
