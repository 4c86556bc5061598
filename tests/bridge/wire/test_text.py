"""Readable text: I36 (SEARCH BODY and TEXT), sec-M10, sec-M12."""

import base64
import binascii
import quopri
import time

import pytest
from broken_mail import BROKEN, multipart
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import mime, text


def leaf(kind: bytes, encoding: bytes, body: bytes) -> bytes:
    return b"Content-Type: " + kind + b"\nContent-Transfer-Encoding: " + encoding + b"\n\n" + body


@pytest.mark.parametrize(
    ("kind", "encoding", "body", "expected"),
    [
        (b"text/plain; charset=utf-8", b"8bit", "año\n".encode(), "año\n"),
        (b"text/plain; charset=iso-8859-1", b"quoted-printable", b"a=F1o=\n b\n", "año b\n"),
        (b"text/plain; charset=utf-8", b"BASE64", base64.encodebytes("año".encode()), "año"),
        (b"text/plain; charset=utf-8", b"base64", b"YcOx-@\nbw", "año"),
        (b"text/plain; charset=bz2", b"8bit", b"a\xf1o", "año"),
        (b"text/html; charset=utf-8", b"8bit", b"<p>a&ntilde;o<p>b", "año\nb"),
        (b"text/plain", b"x-unknown", b"as it is", "as it is"),
        (b"text/plain", b"8bit", b"a\r\nb\rc", "a\nb\nc"),
        (b"text/plain", b"quoted-printable", b"100% = no =ZZ =4", "100% = no =ZZ =4"),
        (b"application/pdf", b"8bit", b"secret", ""),
    ],
)
def test_bodies_are_decoded(kind: bytes, encoding: bytes, body: bytes, expected: str) -> None:
    assert text.body_text(leaf(kind, encoding, body)) == expected


def test_uuencode() -> None:
    lines = b"".join(binascii.b2a_uu(b"uno dos tres " * 3) for _ in range(3))
    data = leaf(b"text/plain", b"x-uuencode", b"noise\nbegin 644 a.txt\n" + lines + b"`\nend\nmore\n")
    assert text.body_text(data) == "uno dos tres " * 9
    assert isinstance(text.body_text(leaf(b"text/plain", b"uuencode", b"begin 644 a\n\xff\xff\n#\n\nzz")), str)


def test_all_text_parts_are_searched_and_headers_too() -> None:
    data = (
        b"Subject: =?utf-8?q?b=C3=BAsqueda?=\n" + multipart(b"b") + b"--b\n\nuno\n"
        b"--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\ndos\n"
        b"--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?=C3=B1?=\n\ntres\n--b--\n"
    )
    assert text.body_text(data) == "uno\ndos\ntres"
    structure = mime.scan(data)
    assert list(text.texts(data, structure)) == ["uno", "tres"]
    found = text.search_text(data, structure)
    assert "búsqueda" in found
    assert "ñ" in found
    assert "tres" in found


def test_size_is_capped() -> None:
    assert len(text.body_text(b"\n" + b"x" * (text.MAX_PART + 1000))) == text.MAX_PART
    many = multipart(b"b") + (b"--b\n\n" + b"y" * 1000 + b"\n") * 100
    assert text.body_text(many, limit=5000).count("y") == 5000


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>a</p><p>b</p>", "a\nb"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<b>a</b><i>b</i>", "ab"),
        ("<td>a</td><td>b</td>", "a b"),
        ("a &lt;b&gt; &amp; &ntilde; &#241; &bogus;", "a <b> & ñ ñ &bogus;"),
        ("<style>p{}</style>a<script>if (a<b) x()</script>b<!-- c -->d", "a b d"),
        ("<title>t</title>x", "x"),
        ("a < b", "a < b"),
        ("a\n  b\tc", "a b c"),
        ("<p>open", "open"),
        ("x<p", "x"),
        ("x<!-- open", "x"),
        ("x<script>open", "x"),
        ("", ""),
        ("plain & simple", "plain & simple"),
        ("a\0b", "a b"),
    ],
)
def test_html_to_text(source: str, expected: str) -> None:
    assert text.html_to_text(source) == expected


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from([b"base64", b"quoted-printable", b"uuencode", b"7bit"]),
    st.sampled_from([b"text/plain", b"text/html; charset=utf-16"]),
)
def test_garbage_never_raises(body: bytes, encoding: bytes, kind: bytes) -> None:
    """sec-M12"""
    assert isinstance(text.search_text(leaf(kind, encoding, body)), str)


@given(st.binary(max_size=200))
def test_good_encodings_are_undone(body: bytes) -> None:
    assert text.transfer_decode(base64.encodebytes(body), b"base64") == body
    assert text.transfer_decode(quopri.encodestring(body, quotetabs=True), b"quoted-printable") == body


@pytest.mark.parametrize("name", BROKEN)
def test_broken_mail_has_some_text(name: str) -> None:
    assert isinstance(text.search_text(BROKEN[name]()), str)


@pytest.mark.parametrize(
    "piece",
    ["<", "<p", "<style>", "&", "&amp", "<!--", "</style ", "<style></style ", "\0 ", " ", "<script></script>", "<td"],
)
def test_html_floods(piece: str) -> None:
    """sec-M05"""
    start = time.process_time()
    text.html_to_text(piece * (text.MAX_HTML // len(piece)))
    assert time.process_time() - start < 4


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"uuencode"])
@pytest.mark.parametrize("piece", [b"=", b"=\n", b"A=A", b"\xff", b"\n", b"begin 644 a\n", b" "])
def test_encoding_floods(encoding: bytes, piece: bytes) -> None:
    """sec-M12"""
    start = time.process_time()
    text.body_text(leaf(b"text/plain", encoding, piece * (3_000_000 // len(piece))))
    assert time.process_time() - start < 10
