"""Bytes to text for mail: an allow-list of charsets, and the folding that makes search blind to case and accents.

Promise: `decode` never raises and never hands a name from a message to the codec registry (`bz2`, `utf-7`, `idna` and
their kind are not text charsets, sec-M10); what the list does not know is read as UTF-8 where it is that, else as
Latin-1.  `fold` is deterministic and idempotent, so folded text can be stored and compared (RFC 2046 4.1.2, RFC 5051).
"""

from __future__ import annotations

import re
import unicodedata

_CODECS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 utf-8-mac cp65001",
    # Mail that says ASCII or Latin-1 and has bytes in 0x80..0x9f means Windows-1252 (WHATWG does the same).
    "cp1252": "iso-8859-1 iso8859-1 latin1 latin-1 l1 iso_8859-1 iso-ir-100 cp819 windows-1252 cp1252 x-cp1252 8859-1",
    "iso8859-2": "iso-8859-2 iso8859-2 latin2 latin-2 l2 iso_8859-2",
    "iso8859-3": "iso-8859-3 iso8859-3 latin3 latin-3",
    "iso8859-4": "iso-8859-4 iso8859-4 latin4 latin-4",
    "iso8859-5": "iso-8859-5 iso8859-5 cyrillic",
    "iso8859-6": "iso-8859-6 iso8859-6 arabic iso-8859-6-e iso-8859-6-i",
    "iso8859-7": "iso-8859-7 iso8859-7 greek",
    "iso8859-8": "iso-8859-8 iso8859-8 hebrew iso-8859-8-e iso-8859-8-i",
    "iso8859-9": "iso-8859-9 iso8859-9 latin5 latin-5",
    "iso8859-10": "iso-8859-10 iso8859-10 latin6 latin-6",
    "iso8859-11": "iso-8859-11 iso8859-11",
    "iso8859-13": "iso-8859-13 iso8859-13 latin7 latin-7",
    "iso8859-14": "iso-8859-14 iso8859-14 latin8 latin-8",
    "iso8859-15": "iso-8859-15 iso8859-15 latin9 latin-9 l9",
    "iso8859-16": "iso-8859-16 iso8859-16 latin10 latin-10",
    "cp1250": "windows-1250 cp1250 x-cp1250",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "cp1253": "windows-1253 cp1253",
    "cp1254": "windows-1254 cp1254",
    "cp1255": "windows-1255 cp1255",
    "cp1256": "windows-1256 cp1256",
    "cp1257": "windows-1257 cp1257",
    "cp1258": "windows-1258 cp1258",
    "cp437": "cp437 ibm437 437",
    "cp850": "cp850 ibm850 850",
    "cp852": "cp852 ibm852 852",
    "cp858": "cp858 ibm00858",
    "cp866": "cp866 ibm866 866",
    "cp874": "windows-874 cp874 tis-620 tis620",
    "koi8-r": "koi8-r koi8r koi8 cskoi8r",
    "koi8-u": "koi8-u koi8u",
    "mac-roman": "macintosh mac macroman mac-roman x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic maccyrillic mac-cyrillic",
    "gb18030": "gb18030 gb2312 gbk cp936 windows-936 gb_2312-80 euc-cn x-gbk csgb2312 x-euc-cn",
    "hz": "hz-gb-2312 hz",
    "big5hkscs": "big5 big5-hkscs cp950 csbig5 x-x-big5 big-5",
    "cp932": "shift_jis shift-jis sjis cp932 windows-31j ms_kanji x-sjis csshiftjis",
    "euc_jp": "euc-jp eucjp x-euc-jp",
    "iso2022_jp_2": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 csiso2022jp iso-2022-jp-ms",
    "iso2022_jp_3": "iso-2022-jp-3",
    "cp949": "euc-kr euckr ks_c_5601-1987 ks_c_5601-1989 ksc5601 cp949 windows-949 uhc korean cseuckr",
    "iso2022_kr": "iso-2022-kr",
    "johab": "johab",
    "utf-16": "utf-16 utf16 unicode iso-10646-ucs-2 ucs-2",
    "utf-16-le": "utf-16le utf-16-le",
    "utf-16-be": "utf-16be utf-16-be",
    "utf-32": "utf-32 utf32",
}
_ALIASES = {alias: codec for codec, aliases in _CODECS.items() for alias in aliases.split()}
# ASCII is in no entry on purpose: a message that says so and has 8-bit bytes is guessed like one that says nothing.

MAX_CHARSET_NAME = 60


def known(name: str | bytes) -> str | None:
    """The Python codec for a charset name from a message, or None where it is not on the list."""
    if isinstance(name, bytes):
        name = name[: MAX_CHARSET_NAME + 1].decode("latin-1")
    if len(name) > MAX_CHARSET_NAME:
        return None
    codec = _ALIASES.get(name)
    return codec if codec else _ALIASES.get(name.strip(" \t\"'").lower().partition("*")[0])


def decode(data: bytes, charset: str | bytes | None = None) -> str:
    """Text of `data`; charset None, ASCII or unknown: UTF-8 if valid, else Latin-1 (in its Windows form)."""
    if data.isascii():
        codec = known(charset) if charset else None
        if codec is None or codec in _ASCII_SUPERSETS:
            return data.decode("ascii")
    else:
        codec = known(charset) if charset else None
    if codec is None:
        return guess(data)
    try:
        return data.decode(codec, "replace")
    except (UnicodeError, LookupError, ValueError):
        return data.decode("latin-1")


def guess(data: bytes) -> str:
    """Text of bytes that declare nothing: UTF-8 if valid, else Windows-1252, whose holes become U+FFFD."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


_ASCII_SUPERSETS = frozenset(_CODECS) - {
    "hz", "iso2022_jp_2", "iso2022_jp_3", "iso2022_kr", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp932", "johab",
}  # fmt: skip

# Accents and vocalisation that people leave out when they type; vowel signs of Indic scripts are letters and stay.
_MARKS = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_NO_DECOMPOSITION = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ŧ": "t"}
)


def fold(text: str) -> str:
    """Text as search compares it: no case, no accents, compatibility forms made plain."""
    if text.isascii():
        return text.lower()
    try:
        plain = text.encode("latin-1")
    except UnicodeEncodeError:
        return _fold(text)
    return _fold(text) if _WIDER.search(plain) else plain.translate(_FOLDED).decode("latin-1")


def _fold(text: str) -> str:
    text = _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold())
    if text.isascii():
        return text
    text = _MARKS.sub("", unicodedata.normalize("NFKD", text)).translate(_NO_DECOMPOSITION)
    return unicodedata.normalize("NFC", text)


# Most mail that isn't ASCII is Latin-1, where nearly every character folds to one character: a table does it forty
# times as fast. What becomes several (a sharp s, fractions) takes the long way.
_SINGLE = {char: _fold(chr(char)) for char in range(256)}
_FOLDED = bytes(ord(to) if len(to) == 1 and ord(to) < 256 else char for char, to in _SINGLE.items())
_WIDER = re.compile(b"[" + re.escape(bytes(c for c, to in _SINGLE.items() if len(to) != 1 or ord(to) > 255)) + b"]")
