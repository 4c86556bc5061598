"""Real-looking mail of our own making: English and Spanish, threads, attachments, odd encodings. Deterministic.

Each message carries X-Demo-Id; what a stage must not change is the body, compared by SHA-256 with LF line ends.
"""

import base64
import hashlib
import quopri
import random
from collections.abc import Iterator
from dataclasses import dataclass

_SPANISH = [
    "El departamento reúne el jueves a las diez en el seminario.",
    "Adjunto el acta de la última reunión; faltan las firmas.",
    "¿Podéis mirar la impresora de la tercera planta? No imprime eñes.",
    "Las notas de prácticas ya están en el tablón; revisad las vuestras.",
    "Mañana habrá un corte de luz entre las ocho y las nueve.",
    "Gracias, José: el presupuesto está aprobado.",
]
_ENGLISH = [
    "The seminar on queueing theory moves to room B-12.",
    "Please find the minutes attached; comments until Friday.",
    "The new mail server goes live on Monday at noon.",
    "Could somebody bring a spare network cable to the lab?",
    "I agree with what was said above, except for the second point.",
    "From here on the old address is no longer read.",
]
_PEOPLE = [
    ("Ana Núñez", "ana@example.org"),
    ("Luis Peña", "luis@example.org"),
    ("Grace Miller", "grace@partner.example.org"),
    ("José Ángel Gil", "jose@uni.example.org"),
]


@dataclass(frozen=True)
class Mail:
    """One message. `raw`: CRLF bytes; `digest`: SHA-256 of its body with LF line ends."""

    ident: str
    raw: bytes
    digest: str
    sender: str


def body_digest(raw: bytes) -> str:
    """SHA-256 of everything after the header, line ends as LF."""
    text = raw.replace(b"\r\n", b"\n")
    return hashlib.sha256(text.partition(b"\n\n")[2]).hexdigest()


def mails(prefix: str, count: int, to: str, *, seed: int = 7, senders: list[str] | None = None) -> Iterator[Mail]:
    """`count` messages to `to`; every third answers an earlier one."""
    rng = random.Random(f"{seed}{prefix}")
    earlier: list[tuple[str, str]] = []
    for number in range(count):
        name, address = rng.choice(_PEOPLE)
        address = rng.choice(senders) if senders else address
        ident = f"{prefix}-{number}"
        message_id = f"<{ident}@demo.example.org>"
        spanish = rng.random() < 0.6
        subject = rng.choice(
            ["Reunión del jueves", "Presupuesto de año", "Prácticas"] if spanish else ["Minutes", "Lab"]
        )
        thread = ""
        if earlier and number % 3 == 0:
            parent, subject = rng.choice(earlier)
            thread = f"In-Reply-To: {parent}\r\nReferences: {parent}\r\n"
            subject = subject if subject.startswith("Re: ") else f"Re: {subject}"
        earlier.append((message_id, subject))
        kind, content = _content(rng, _SPANISH if spanish else _ENGLISH)
        head = (
            f"From: {_word(name)} <{address}>\r\nTo: {to}\r\nSubject: {_word(subject)}\r\n"
            f"Date: Thu, 20 Feb 2003 {8 + number // 60:02d}:{number % 60:02d}:04 +0100\r\n"
            f"Message-ID: {message_id}\r\n{thread}MIME-Version: 1.0\r\n{kind}X-Demo-Id: {ident}\r\n\r\n"
        )
        raw = head.encode("ascii") + content
        yield Mail(ident, raw, body_digest(raw), address)


def _word(text: str) -> str:
    return text if text.isascii() else "=?utf-8?b?" + base64.b64encode(text.encode()).decode() + "?="


def _content(rng: random.Random, sentences: list[str]) -> tuple[str, bytes]:
    """(content headers, body) of one of six kinds."""
    lines = [rng.choice(sentences) for _ in range(rng.randint(2, 12))]
    text = "\n".join(["Hola:" if sentences is _SPANISH else "Hello,", "", *lines, "", ".", "-- ", "demo"]) + "\n"
    kind = rng.randrange(6)
    plain = text.encode("utf-8")
    if kind == 0:
        return _type("text/plain; charset=utf-8", "8bit"), _crlf(plain)
    if kind == 1:
        return _type("text/plain; charset=iso-8859-15", "quoted-printable"), _crlf(
            quopri.encodestring(text.encode("iso-8859-15", "replace"))
        )
    if kind == 2:
        return _type("text/plain; charset=utf-8", "base64"), _crlf(base64.encodebytes(plain))
    html = "<html><body><p>" + text.replace("\n", "<br>\n") + "</p><script>alert(1)</script></body></html>\n"
    if kind == 3:
        return _multipart("alternative", [(_type("text/plain; charset=utf-8", "8bit"), plain),
                                          (_type("text/html; charset=utf-8", "8bit"), html.encode())])  # fmt: skip
    data = rng.randbytes(rng.randint(500, 30_000))
    name = "acta año 2003.pdf" if kind == 4 else "data.bin"
    attached = (
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment; filename*=utf-8''{_percent(name)}\r\n"
    )
    return _multipart(
        "mixed", [(_type("text/plain; charset=utf-8", "8bit"), plain), (attached, base64.encodebytes(data))]
    )


def _percent(name: str) -> str:
    return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02X}" for b in name.encode())


def _type(kind: str, encoding: str) -> str:
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"


def _multipart(kind: str, parts: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    mark = "=_demo_0b5c"
    body = b"A message in parts.\r\n"
    for head, content in parts:
        body += f"--{mark}\r\n{head}\r\n".encode() + _crlf(content)
    return f'Content-Type: multipart/{kind}; boundary="{mark}"\r\n', body + f"--{mark}--\r\n".encode()


def _crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
