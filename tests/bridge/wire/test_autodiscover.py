"""I46, sec-W15: Outlook's question read without an XML parser that could be bombed, and the answer."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.autodiscover import (
    DEPTH,
    ELEMENTS,
    INVALID,
    OUTLOOK,
    REQUEST_LIMIT,
    BadRequest,
    answer,
    asked,
    refusal,
)
from bridge.wire.ways import ways

REQUEST = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>{}</EMailAddress>
    <AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
  </Request>
</Autodiscover>
"""
INNER = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
OUTER = "{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_outlooks_question(encoding: str) -> None:
    assert asked(REQUEST.format("ana@ñandú.example").encode(encoding)) == ("ana@ñandú.example", OUTLOOK)


def test_other_forms_of_the_same() -> None:
    text = ("<a:Autodiscover xmlns:a='x'><a:Request><a:LegacyDN/><a:EMailAddress >\n ana&#64;x.org&amp;&#x41; \n"
            "</a:EMailAddress ></a:Request></a:Autodiscover >")  # fmt: skip
    assert asked(text.encode()) == ("ana@x.org&A", OUTLOOK)
    other = REQUEST.format("a@b").replace("outlook/responseschema/2006a", "mobilesync/responseschema/2006")
    assert "mobilesync" in asked(other.encode()).schema


BOMB = """<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>"""
BAD = {
    "nothing": b"",
    "no xml": b"hello",
    "text before": b"x<Autodiscover/>",
    "entities": (BOMB + REQUEST.format("&b;")).encode(),
    "an external entity": b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
    "an unknown entity": REQUEST.format("&x;").encode(),
    "a comment": REQUEST.format("<!-- a --> a@b").encode(),
    "CDATA": REQUEST.format("<![CDATA[a@b]]>").encode(),
    "an instruction inside": REQUEST.format("<?php x ?>a@b").encode(),
    "a character that is none": REQUEST.format("a&#0;@b").encode(),
    "half a character": REQUEST.format("a&#xD800;@b").encode(),
    "too long": REQUEST.format("a" * REQUEST_LIMIT).encode(),
    "too deep": b"<a>" * (DEPTH + 1) + b"</a>" * (DEPTH + 1),
    "too many": b"<a>" + b"<b/>" * (3 * ELEMENTS) + b"</a>",
    "unbalanced": b"<Autodiscover><Request><EMailAddress>a@b</Request></EMailAddress></Autodiscover>",
    "cut": REQUEST.format("a@b")[:200].encode(),
    "unclosed": b"<Autodiscover><Request><EMailAddress>a@b</EMailAddress>",
    "two roots": REQUEST.format("a@b").encode() + b"<a></a>",
    "another root": REQUEST.format("a@b").replace("Autodiscover", "Other").encode(),
    "no address": REQUEST.format("").encode(),
    "not text": b"\xff\xff<a/>",
}


@pytest.mark.parametrize("name", BAD)
def test_all_else_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        asked(BAD[name])


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["<", ">", "/", "a", "<a>", "</a>", "&", ";", "#x", "!", "?", " ", "<Request>", "\0"])))
def test_nothing_else_escapes(pieces: list[str]) -> None:
    try:
        asked("".join(pieces).encode())
    except BadRequest:
        pass


def test_the_answer() -> None:
    offered = ways("mail.example.org", {"imap": 143, "imaps": 993, "pop3": 110, "submission": 587})
    account = ET.fromstring(answer("a&b@example.org", offered)).find(f"{INNER}Response/{INNER}Account")
    assert account is not None
    assert account.findtext(f"{INNER}Action") == "settings"
    protocols = account.findall(f"{INNER}Protocol")
    found = [{child.tag.removeprefix(INNER): child.text for child in one} for one in protocols]
    assert [(one["Type"], one["Port"], one["Encryption"]) for one in found] == [
        ("IMAP", "993", "SSL"), ("POP3", "110", "TLS"), ("SMTP", "587", "TLS")
    ]  # fmt: skip
    assert {one["Server"] for one in found} == {"mail.example.org"}
    assert {one["LoginName"] for one in found} == {"a&b@example.org"}
    assert {(one["SPA"], one["SSL"], one["AuthRequired"]) for one in found} == {("off", "on", "on")}


def test_a_refusal_is_xml_too() -> None:
    error = ET.fromstring(refusal(INVALID, "10:00:00")).find(f"{OUTER}Response/{OUTER}Error")
    assert error is not None
    assert error.findtext(f"{OUTER}ErrorCode") == "600"
