"""Which names an account may have, and which part of a path a name becomes.

Promises: pure functions. `skeleton` is equal for names that a person can't tell apart (sec-D13); a reserved name is
said to be one (sec-D14, RFC 2142); `part` is always one safe path component, whatever comes in (sec-D07).
"""

import re
import unicodedata

from bridge.model.language import tr

_WORDS = (
    "abuse admin administrator daemon ftp hostmaster info is it list listmaster lists mail mailer-daemon mailman "
    "marketing news nobody noc noreply no-reply owner postmaster root sales security ssladmin ssladministrator "
    "sslwebmaster support sysadmin trouble usenet uucp webmaster www"
)
RESERVED = frozenset(_WORDS.split())
LIST_VERBS = (
    "admin", "bounces", "confirm", "join", "leave", "owner", "request", "subscribe", "unsubscribe",
)
LOCAL_BYTES = 64
_RESERVED_FORM = re.compile(rf"owner-.+|.+-(?:{'|'.join(LIST_VERBS)})\Z")
_LOCAL = re.compile(r"[^\W_](?:[\w'&=.-]*[\w])?\Z")
_SAFE = re.compile(r"[\w@+='&][\w.@+='&-]*\Z")
_INVISIBLE = ("Cc", "Cf", "Cs", "Cn", "Co", "Zs", "Zl", "Zp")

# Letters of other scripts that look like Latin ones in common fonts, each before its double (a part of the data of
# Unicode TS 39: Cyrillic, Greek, Armenian, odd Latin).
_PAIRS = (
    "аa еe оo рp сc уy хx ѕs іi јj һh ԁd ԛq ԝw ӏl кk мm тt гr "
    "οo αa νv ρp ιi υu κk εe τt χx γy ωw ηn σo "
    "ոn սu օo ցg հh զq յj "
    "ıi ɡg ɩi ɑa ᴏo ᴜu ᴠv ᴡw ᴢz"
)
_ALIKE = str.maketrans({pair[0]: pair[1] for pair in _PAIRS.split()})


def problem_of(local: str) -> str:
    """Why this folded local part can't be the name of a new account; "" if it can."""
    if not local:
        return tr("the name is empty", "el nombre está vacío")
    if len(local.encode()) > LOCAL_BYTES:
        return tr(f"the name is longer than {LOCAL_BYTES} bytes", f"el nombre tiene más de {LOCAL_BYTES} bytes")
    for char in local:
        if unicodedata.category(char) in _INVISIBLE:
            return tr(
                "the name has an invisible character or a blank", "el nombre tiene un carácter invisible o un espacio"
            )
    if unicodedata.normalize("NFKC", local) != local:
        return tr(
            "the name has characters that are variants of others, such as full-width letters; use the plain ones",
            "el nombre tiene variantes de otros caracteres, como letras de doble ancho; use los corrientes",
        )
    if ".." in local or not _LOCAL.match(local):
        return tr(
            "the name may have letters, digits and . _ - ' & = and must start and end with a letter or digit",
            "el nombre puede tener letras, cifras y . _ - ' & = y debe empezar y acabar por letra o cifra",
        )
    if len(_scripts(local)) > 1:
        return tr("the name mixes alphabets", "el nombre mezcla alfabetos")
    return ""


def reserved(local: str) -> bool:
    """True for names that belong to a function, not to a person (sec-D14)."""
    return local in RESERVED or bool(_RESERVED_FORM.match(local))


def skeleton(address: str) -> str:
    """What an address looks like: two addresses of one skeleton may be taken for each other."""
    if address.isascii():
        return address
    plain = unicodedata.normalize("NFKC", address).casefold().translate(_ALIKE)
    return unicodedata.normalize("NFC", plain.replace("i\u0307", "i"))


def part(text: str) -> str:
    """One component of a path: what could leave the folder, hide or confuse is written as %XX."""
    if _SAFE.match(text) and len(text.encode()) <= 200:
        return text
    quoted = re.sub(r"[^\w@+='&.-]|^[.-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
    return quoted.encode()[:200].decode("utf-8", "ignore") or "%"


def _scripts(text: str) -> set[str]:
    """The alphabets of the letters, by the first word of their Unicode names."""
    return {unicodedata.name(char, "?").partition(" ")[0] for char in text if char.isalpha()}
