"""Charsets and search folding: I36, sec-M10."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire import charset


@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        ("ñandú".encode(), "utf-8", "ñandú"),
        ("ñandú".encode("latin-1"), "ISO-8859-1", "ñandú"),
        ("ñ€".encode("iso8859-15"), b"iso-8859-15", "ñ€"),
        ("“ñ”".encode("cp1252"), "iso-8859-1", "“ñ”"),
        ("Привет".encode("koi8-r"), "KOI8-R", "Привет"),
        ("日本語".encode("iso2022_jp"), "iso-2022-jp", "日本語"),
        ("日本語".encode("shift_jis"), "Shift_JIS", "日本語"),
        ("中文".encode("gb2312"), "gb2312", "中文"),
        ("한국어".encode("euc_kr"), "ks_c_5601-1987", "한국어"),
        ("añ".encode("utf-16"), "utf-16", "añ"),
        ("ñ".encode(), None, "ñ"),
        ("ñ".encode("latin-1"), None, "ñ"),
        ("ñ".encode(), "us-ascii", "ñ"),
        (b"\xf1", "utf-8", "\ufffd"),
        ("ñ".encode(), "utf-8*es", "ñ"),
        (b"a", "x" * 1000, "a"),
        (b"\x81", None, "\ufffd"),
    ],
)
def test_known_charsets(data: bytes, name: str | bytes | None, text: str) -> None:
    assert charset.decode(data, name) == text


@pytest.mark.parametrize(
    "name",
    [
        "bz2",
        "zip",
        "zlib",
        "rot13",
        "rot_13",
        "base64",
        "hex",
        "uu",
        "quopri",
        "utf-7",
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "undefined",
        "mbcs",
        "../x",
        "",
        "\0",
    ],
)
def test_codecs_that_are_no_charsets_are_not_used(name: str) -> None:
    """sec-M10"""
    assert charset.known(name) is None
    assert charset.decode(b"+AGE- \xe1", name) == "+AGE- á"


@given(st.binary(max_size=40), st.sampled_from([*sorted(charset._ALIASES), "none-such"]))
def test_decode_never_raises(data: bytes, name: str) -> None:
    assert isinstance(charset.decode(data, name), str)


def test_every_codec_on_the_list_exists() -> None:
    for codec in charset._CODECS:
        assert isinstance(b"abcd".decode(codec, "replace"), str)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("arbol", "Árbol"),
        ("nandu", "ÑANDÚ"),
        ("strasse", "Straße"),
        ("lodz", "Łódź"),
        ("file", "ﬁle"),
        ("aegir", "Ægir"),
        ("елка", "Ёлка"),
        ("σοφια", "Σοφία"),
        ("istanbul", "İstanbul"),
        ("cafe", "cafe\u0301"),
    ],
)
def test_search_is_blind_to_case_and_accents(typed: str, written: str) -> None:
    """I36"""
    assert charset.fold(typed) == charset.fold(written)


def test_letters_that_look_like_marks_stay() -> None:
    assert charset.fold("हिन्दी") == "हिन्दी"
    assert charset.fold("한국어") == "한국어"


@given(st.text(max_size=30))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert charset.fold(charset.fold(text)) == charset.fold(text)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=255)))
def test_the_table_for_latin_1_folds_as_the_long_way_does(text: str) -> None:
    """I36: stored words must not depend on which way they were folded."""
    assert charset.fold(text) == (text.lower() if text.isascii() else charset._fold(text))
