"""Seed 000, section 3.2: what MIME adds, carried through byte for byte and described right."""

import base64
import re

from tests.lab import DOMAIN
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, home, mutt, mutt_sends, run

D = "000"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
HEAD = f"From: =?utf-8?q?Jos=C3=A9_=C3=91u?= <jose@foo.net>\r\nTo: luis@{DOMAIN}\r\nMessage-ID: <{{0}}@foo.net>\r\n" \
       "Date: Sun, 22 Nov 2026 10:00:00 +0100\r\nSubject: {1}\r\nMIME-Version: 1.0\r\n"  # fmt: skip
ADDRESSES = '(("=?utf-8?q?Jos=C3=A9_=C3=91u?=" NIL "jose" "foo.net"))'


def _through(world: World, name: str, subject: str, rest: str | bytes) -> tuple[bytes, str]:
    """A message sent by SMTP, and what IMAP gives: the bytes after the trace headers; ENVELOPE and BODYSTRUCTURE."""
    raw = HEAD.format(name, subject).encode() + (rest.encode() if isinstance(rest, str) else rest)
    with world.lab.smtp() as client:
        client.sendmail("jose@foo.net", [f"luis@{DOMAIN}"], raw, ["BODY=8BITMIME"])
    file = arrived(world.lab, "luis", f"<{name}@foo.net>").read_bytes()
    assert file.endswith(raw.replace(b"\r\n", b"\n")), "the file is what was sent"
    with world.lab.imap("luis") as client:
        client.select("INBOX")
        number = client.search(None, "HEADER", "Message-ID", f'"{name}@foo.net"')[1][0].decode()
        body = client.fetch(number, "(BODY.PEEK[])")[1][0][1]
        told = client.fetch(number, "(ENVELOPE BODYSTRUCTURE)")[1]
    assert body.endswith(raw), "what IMAP gives is what was sent"
    return body, b"".join(b"".join(one) if isinstance(one, tuple) else one for one in told).decode()


@sentence(D, "3.2 MIME", "text in the body that isn't ASCII", "texto en el cuerpo que no es ASCII", "I35 S24",
          tried="8bit UTF-8; 8bit Latin-1; quoted-printable; FETCH BODY[] BODYSTRUCTURE")  # fmt: skip
def not_ascii(world: World) -> str:
    text = "El niño comió en la cañería. ¿Sí?\r\n"
    for name, charset, encoding, body in (
        ("utf8", "utf-8", "8bit", text.encode()),
        ("latin1", "iso-8859-1", "8bit", text.encode("latin-1")),
        ("qp", "utf-8", "quoted-printable", b"El ni=C3=B1o comi=C3=B3 en la ca=C3=B1er=C3=ADa. =C2=BFS=C3=AD?\r\n"),
    ):
        head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        _, told = _through(world, f"cuerpo.{name}", f"cuerpo {name}", head + body)
        wanted = f'("TEXT" "PLAIN" ("CHARSET" "{charset}") NIL NIL "{encoding}" {len(body)} 1'
        assert wanted.lower() in told.lower(), told
    shown = mutt(world, f"imap://{{login}}@localhost:{world.port('imap')}/INBOX",
                 "<tag-pattern>~s cuerpo<enter><tag-prefix><pipe-message>cat >>{out}<enter>", "luis")  # fmt: skip
    assert shown.count("El niño comió en la cañería. ¿Sí?") == 3, shown
    return "mutt shows the same sentence three times"


@sentence(D, "3.2 MIME", "a body of several parts, also parts within parts", "un cuerpo de varias partes, también partes dentro de partes", "I35",
          tried="multipart/mixed (multipart/alternative (text, html), image/png); FETCH BODYSTRUCTURE BODY[1.2] BODY[2]")  # fmt: skip
def parts(world: World) -> str:
    image = base64.encodebytes(PICTURE).decode().replace("\n", "\r\n")
    rest = (
        'Content-Type: multipart/mixed; boundary="uno"\r\n\r\n--uno\r\nContent-Type: multipart/alternative; boundary="dos"'
        "\r\n\r\n--dos\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\naño\r\n--dos\r\n"
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>año</p>\r\n--dos--\r\n--uno\r\n"
        'Content-Type: image/png; name="foto.png"\r\nContent-Transfer-Encoding: base64\r\n'
        f'Content-Disposition: attachment; filename="foto.png"\r\n\r\n{image}--uno--\r\n'
    )
    _, told = _through(world, "partes", "partes", rest)
    assert re.search(
        r'BODYSTRUCTURE \(\(\("TEXT" "PLAIN" \("CHARSET" "utf-8"\) NIL NIL "8bit" 4 0.*?\)\("TEXT" "HTML" .*? "8bit" 11 0.*?\) '
        r'"ALTERNATIVE" .*?\)\("IMAGE" "PNG" \("NAME" "foto.png"\) NIL NIL "base64" (\d+) .*?\("ATTACHMENT" \("FILENAME" '
        r'"foto.png"\)\).*?\) "MIXED"', told, re.I,
    ), told  # fmt: skip
    with world.lab.imap("luis") as client:
        client.select("INBOX")
        number = client.search(None, "SUBJECT", "partes")[1][0].decode().split()[-1]
        html = client.fetch(number, "(BODY.PEEK[1.2])")[1][0][1]
        attached = client.fetch(number, "(BODY.PEEK[2])")[1][0][1]
    assert html == "<p>año</p>".encode(), html
    assert base64.decodebytes(attached) == PICTURE
    return told.partition("BODYSTRUCTURE ")[2][:120]


@sentence(D, "3.2 MIME", "contents that are no text at all, as files added to a message", "contenidos que no son texto, como ficheros adjuntos", "I35",
          tried="mutt -s 'con adjunto' -a sonido.wav -- luis@...; mutt -f imap://luis@.../INBOX: <save-entry>")  # fmt: skip
def attachments(world: World) -> str:
    sound = b"RIFF" + bytes(reversed(range(256))) * 30
    where = home(world, "mutt-ana")
    (where / "sonido.wav").write_bytes(sound)
    mutt_sends(world, "ana", "-s", "con adjunto", "-a", where / "sonido.wav", "--", f"luis@{DOMAIN}", text="ahí va\n")
    arrived(world.lab, "luis", "Subject: con adjunto")
    saved = home(world, "mutt-luis") / "guardado.wav"
    saved.unlink(missing_ok=True)
    keys = f"<search>~s adjunto<enter><view-attachments><last-entry><save-entry><kill-line>{saved}<enter><exit>"
    mutt(world, f"imap://{{login}}@localhost:{world.port('imap')}/INBOX", keys, "luis")
    assert saved.read_bytes() == sound
    return f"{len(sound)} bytes of sound saved as they were"


@sentence(D, "3.2 MIME", "text in the header that isn't ASCII", "texto en las cabeceras que no es ASCII", "I35",
          tried="Subject: =?utf-8?B?...?= =?iso-8859-1?Q?...?=; FETCH ENVELOPE; SEARCH SUBJECT")  # fmt: skip
def encoded_words(world: World) -> str:
    word = base64.b64encode("Reunión el mañana".encode()).decode()
    subject = f"=?utf-8?B?{word}?= =?iso-8859-1?Q?_a_las_cinco_y_pico_=F1?="
    _, told = _through(world, "palabras", subject, "\r\nhola\r\n")
    assert f'"{subject}" {ADDRESSES}' in told, told
    assert f'((NIL NIL "luis" "{DOMAIN}"))' in told, told
    with world.lab.imap("luis") as client:
        client.select("INBOX")
        client.literal = "Reunión el mañana a las cinco y pico ñ".encode()
        found = client.search("UTF-8", "SUBJECT")[1][0].split()
    assert len(found) == 1, found
    where, who = home(world, "curl"), f"luis@{DOMAIN}:correct horse 42"
    curl = run(where, "curl", "-sS", "-u", who, f"imap://127.0.0.1:{world.port('imap')}/INBOX;MAILINDEX={found[0].decode()}"
               ";SECTION=HEADER.FIELDS%20(SUBJECT)")  # fmt: skip
    assert subject in curl, curl
    return f"kept as written, found as read: {subject}"
