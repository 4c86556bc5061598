"""Types and parameters as people send them; file names of whole parts are in test_mime."""

import pytest

from bridge.wire import mimefields


def params(raw: bytes) -> dict[bytes, bytes]:
    return dict(mimefields.parse_params(b"; " + raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a=b", {b"a": b"b"}),
        (b'A="b c"; d = e ', {b"a": b"b c", b"d": b"e"}),
        (b'a="b\\"c;d"; e=f', {b"a": b'b"c;d', b"e": b"f"}),
        (b"a=1; a=2", {b"a": b"1"}),
        (b"a*0=x; a*1=y; a*2=z", {b"a": b"xyz"}),
        (b"a*1=y; a*0=x", {b"a": b"xy"}),
        (b"a*0=x; a*2=z", {b"a": b"x"}),
        (b"a*1=y; a*2=z", {}),
        (b"a*0=x; a*0=q; a*1=y", {b"a": b"xy"}),
        (b"a*=utf-8''%C3%B1", {b"a*": b"utf-8''%C3%B1"}),
        (b"a*0*=utf-8''%C3; a*1*=%B1; a*2=%z", {b"a*": b"utf-8''%C3%B1%25z"}),
        (b"a=plain; a*=utf-8''%C3%B1", {b"a": b"plain", b"a*": b"utf-8''%C3%B1"}),
        (b'a="open', {b"a": b"open"}),
        (b"a=; b=c", {b"a": b"", b"b": b"c"}),
        (b";;; a=b;;;", {b"a": b"b"}),
        (b"noequals; a=b", {b"a": b"b"}),
        (b"a*99999=x", {b"a*99999": b"x"}),
        (b"a b=c; d=e", {b"d": b"e"}),
    ],
)
def test_parameters(raw: bytes, expected: dict[bytes, bytes]) -> None:
    """sec-M04"""
    assert params(raw) == expected


def test_parameters_are_bounded() -> None:
    """sec-M04"""
    assert len(params(b"; ".join(b"p%d=x" % n for n in range(5000)))) == mimefields.MAX_PARAMS


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"text/html", (b"text", b"html")),
        (b" TEXT / HTML ; a=b", (b"text", b"html")),
        (b"text/html (x) ; charset=utf-8", (b"text", b"html")),
        (b"text", None),
        (b"/html", None),
        (b"te xt/html", None),
        (b"text/html/x", None),
        (b"", None),
        (b'"text/html"', None),
        (b"text/ht\0ml", (b"text", b"ht")),
    ],
)
def test_types(value: bytes, kind: tuple[bytes, bytes] | None) -> None:
    parsed = mimefields.parse_type(value)
    assert (parsed and parsed[:2]) == kind
