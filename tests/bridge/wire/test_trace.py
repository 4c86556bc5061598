"""S24 and sec-S19: the Received field is ours, whatever the peer calls itself."""
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.trace import received

SHAPE = re.compile(
    rb"Received: from [!-~]+ [^\r\n]*\r\n(?:\t\(using [^\r\n]*\)\r\n)?"
    rb"\tby mx\.example\.org with [A-Z]+ id [0-9A-Z]+(?:\r\n\tfor <[!-~]+>)?; [A-Z][^\r\n]+\r\n\Z"
)
PARTS = {
    "helo": "client.example.com",
    "client": "192.0.2.7",
    "hostname": "mx.example.org",
    "protocol": "ESMTPS",
    "queue_id": "0SGDHN111ZFGEH03",
    "recipient": "u@example.org",
    "tls": "TLSv1.3 X",
    "date": "Tue, 14 Nov 2023 22:13:20 +0000",
}


def test_the_whole_field() -> None:
    lines = received(**PARTS).split(b"\r\n")  # type: ignore[arg-type]
    assert lines[:3] == [
        b"Received: from client.example.com ([192.0.2.7])",
        b"\t(using TLSv1.3 X)",
        b"\tby mx.example.org with ESMTPS id 0SGDHN111ZFGEH03",
    ]
    assert lines[3] == b"\tfor <u@example.org>; Tue, 14 Nov 2023 22:13:20 +0000"


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"client": "2001:db8::7"}, b"from client.example.com ([IPv6:2001:db8::7])"),
        ({"helo": "[192.0.2.7]"}, b"from [192.0.2.7] ([192.0.2.7])"),
        ({"helo": "a b"}, b"from [192.0.2.7] (HELO a?b)"),
        ({"helo": ""}, b"from [192.0.2.7]"),
        ({"helo": "", "client": "work"}, b"from work"),
        ({"helo": "", "client": ""}, b"from local"),
    ],
)
def test_who_it_came_from(change: dict[str, str], first: bytes) -> None:
    assert received(**{**PARTS, **change}).split(b"\r\n")[0] == b"Received: " + first  # type: ignore[arg-type]


@given(st.text(max_size=400), st.text(max_size=80), st.text(max_size=80))
def test_sec_s19_nothing_can_be_injected(helo: str, recipient: str, tls: str) -> None:
    field = received(**{**PARTS, "helo": "x" + helo, "recipient": recipient, "tls": tls})  # type: ignore[arg-type]
    assert SHAPE.match(field), field
