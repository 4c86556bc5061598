"""Seed 000, sections 3.1.2 and 3.1.3: every SMTP command that it lists, the reply classes, the printed dialogue, ESMTP."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.lab import DOMAIN
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, dictate, mutt, run, smtp, telnet

D = "000"
PRINTED = (
    "Asunto: Prueba de correo electrónico",
    "De: Origen@Dominio1.com ",
    "Para: Destino@Dominio2.com",
    "",
    "Hola",
    "Ejemplo de transmisión entre servidores SMTP",
    "chao ",
    "",
)


@sentence(D, "3.1.2 dialogue", "the printed conversation, as it stands: a bare HELO, addresses after a blank and without brackets, headers in Spanish with raw accents",
          "la conversación impresa, tal cual: HELO sin nombre, direcciones tras un espacio y sin ángulos, cabeceras en español con acentos sin codificar",
          "S01", tried="HELO; MAIL FROM: Origen@Dominio1.com; RCPT TO: Destino@Dominio2.com; DATA; Asunto: ...; .; QUIT")  # fmt: skip
def the_dialogue(world: World) -> str:
    with telnet(world.port("smtp")) as line:
        codes = [line.hear_reply()[:3]]
        for text in ("HELO", "MAIL FROM: Origen@Dominio1.com ", "RCPT TO: Destino@Dominio2.com", "DATA"):
            codes.append(line.ask(text)[:3])
        for text in PRINTED:
            line.type(text)
        taken = line.ask(".")
        codes += [taken[:3], line.ask("QUIT")[:3]]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"], line.said
    arrived(world.lab, "destino", "Asunto: Prueba de correo electrónico\n")
    return f"{' '.join(codes)}; {taken}"


@sentence(D, "3.1.2 dialogue", "that message is in the mailbox byte for byte, with no Date, From or Message-ID made up for it",
          "ese mensaje está en el buzón byte a byte, sin que se le invente Date, From o Message-ID",
          "S01 S24 D05", tried="cat Maildir/new/*")  # fmt: skip
def kept(world: World) -> str:
    text = arrived(world.lab, "destino", "Asunto:").read_text()
    head, _, body = text.partition("\n\n")
    assert text.endswith("\n".join(PRINTED) + "\n"), text
    names = re.findall(r"^([\w-]+):", head, re.M)
    assert names == ["Return-Path", "X-Original-To", "Delivered-To", "Received", "Asunto", "De", "Para"], names
    assert "return-path: <origen@dominio1.com>\n" in text.lower(), text
    return f"{' '.join(names)}; {len(body.encode())} bytes of body"


@sentence(D, "3.1.2 dialogue", "it is shown by a mail reader over IMAP", "un lector de correo la muestra por IMAP",
          "S01 I35", tried="mutt -f imap://destino@.../INBOX")  # fmt: skip
def shown(world: World) -> str:
    text = mutt(world, f"imap://{{login}}@localhost:{world.port('imap')}/INBOX", "<pipe-message>cat >{out}<enter>", "destino",
                "ignore *\nunignore asunto de para")  # fmt: skip
    assert "Ejemplo de transmisión entre servidores SMTP\nchao" in text, text
    assert "Asunto: Prueba de correo electrónico" in text, text
    return next(line for line in text.split("\n") if line.startswith("Asunto"))


@sentence(D, "3.1.2 dialogue", "it is found by its accented words, in the header and in the body, also where they were typed in Latin-1",
          "se encuentra por sus palabras con acento, en la cabecera y en el cuerpo, también si se teclearon en Latin-1",
          "S01 I35", tried='UID SEARCH CHARSET UTF-8 HEADER Asunto "electrónico"; TEXT "transmisión"')  # fmt: skip
def found(world: World) -> str:
    with smtp(world, "HELO") as line:
        rows = "\n".join(PRINTED).replace("Hola", "Hola (Latin-1)").encode("latin-1")
        assert dictate(line, "Origen@Dominio1.com", ["Destino@Dominio2.com"], rows).startswith("250")
    arrived(world.lab, "destino", b"(Latin-1)")
    with world.lab.imap("destino") as client:
        client.select("INBOX")
        answers = []
        for key, words in (("HEADER Asunto", "electrónico"), ("TEXT", "transmisión"), ("BODY", "chao")):
            client.literal = words.encode()
            status, data = client.uid("SEARCH", "CHARSET", "UTF-8", *key.split())
            assert status == "OK", data
            answers.append(data[0].split())
        client.literal = None
    assert [len(one) for one in answers[:2]] == [2, 2], answers
    assert set(answers[0]) <= set(answers[2]), answers
    return f"{len(answers[0])} messages each"


@sentence(D, "3.1.2 HELO", "HELO opens the session, and the server says who it is", "HELO abre la sesión y el servidor se identifica",
          "S01", tried="HELO; HELO verne.foo.net")  # fmt: skip
def helo(world: World) -> str:
    with telnet(world.port("smtp")) as line:
        line.hear_reply()
        assert line.ask("HELO").startswith("250 ")
        named = line.ask("HELO verne.foo.net")
    assert named.startswith(f"250 mail.{DOMAIN} Hello verne.foo.net"), named
    return named


@sentence(D, "3.1.2 MAIL RCPT DATA", "MAIL FROM names the sender, RCPT TO who gets it, DATA begins the message that ends with a dot on a line",
          "MAIL FROM indica quién envía, RCPT TO a quién va, DATA comienza el mensaje que acaba con un punto en una línea",
          "S01", tried="MAIL FROM:<origen@...>; RCPT TO:<destino@...>; DATA; ..dot; .")  # fmt: skip
def mail_rcpt_data(world: World) -> str:
    with smtp(world) as line:
        taken = dictate(line, f"origen@{DOMAIN}", [f"destino@{DOMAIN}"], "Subject: punto\n\n..una línea con punto\nfin")
    text = arrived(world.lab, "destino", "Subject: punto").read_text()
    assert text.endswith("\n\n.una línea con punto\nfin\n"), text
    return taken


@sentence(D, "3.1.2 RCPT", "there may be several recipients, each with a RCPT TO and an answer of its own: 250, or 550 for who doesn't exist",
          "puede haber varios destinatarios, cada uno con su RCPT TO y su respuesta: 250, o 550 si no existe",
          "S01 S31", tried="RCPT TO: destino@dominio2.com; RCPT TO: nadie@dominio2.com; RCPT TO: ana@dominio2.com")  # fmt: skip
def several(world: World) -> str:
    with smtp(world) as line:
        line.ask("MAIL FROM: origen@dominio1.com")
        replies = [line.ask(f"RCPT TO: {name}@dominio2.com") for name in ("destino", "nadie", "ana")]
        assert [one[:3] for one in replies] == ["250", "550", "250"], replies
        line.ask("DATA")
        line.type("Subject: varios\r\n\r\nhola")
        assert line.ask(".").startswith("250")
    for name in ("destino", "ana"):
        arrived(world.lab, name, "Subject: varios")
    return " | ".join(replies)


@sentence(D, "3.1.2 RSET", "RSET ends the transaction and forgets what was said in it", "RSET aborta la transacción y borra lo dicho en ella",
          "S01", tried="MAIL FROM:<a@b.example>; RCPT TO:<destino@...>; RSET; DATA")  # fmt: skip
def rset(world: World) -> str:
    with smtp(world) as line:
        line.ask("MAIL FROM:<a@b.example>")
        line.ask(f"RCPT TO:<destino@{DOMAIN}>")
        reset, after = line.ask("RSET"), line.ask("DATA")
        assert (reset[:3], after[:3]) == ("250", "503"), line.said
        assert line.ask("MAIL FROM:<c@d.example>").startswith("250")
    return f"{reset}; DATA: {after}"


@sentence(D, "3.1.2 SEND SOML SAML", "SEND, SOML and SAML bring a message to a terminal: known, and answered as not implemented",
          "SEND, SOML y SAML llevan un mensaje a una terminal: se conocen y se responde que no están implementados",
          "S02", tried="SEND FROM:<a@b.example>; SOML FROM:...; SAML FROM:...")  # fmt: skip
def terminals(world: World) -> str:
    with smtp(world) as line:
        replies = [line.ask(f"{verb} FROM:<a@b.example>") for verb in ("SEND", "SOML", "SAML")]
        assert [one[:3] for one in replies] == ["502"] * 3, replies
        assert line.ask("NOOP").startswith("250"), "the session goes on"
    return replies[0]


@sentence(D, "3.1.2 VRFY", "VRFY asks whether a name is somebody's: 252 says neither yes nor no",
          "VRFY pregunta si un nombre existe: 252 no dice ni sí ni no", "S02", tried="VRFY destino; VRFY nadie")  # fmt: skip
def vrfy(world: World) -> str:
    with smtp(world) as line:
        known, unknown = line.ask("VRFY destino"), line.ask("VRFY nadie")
    assert known == unknown
    assert known.startswith("252 ")
    return known


@sentence(D, "3.1.2 EXPN", "EXPN asks what is behind a name: refused unless the settings allow it",
          "EXPN pregunta qué hay tras un nombre: se rechaza si los ajustes no lo permiten", "S02", tried="EXPN postmaster")  # fmt: skip
def expn(world: World) -> str:
    with smtp(world) as line:
        reply = line.ask("EXPN postmaster")
    assert reply.startswith("502 "), reply
    return reply


@sentence(D, "3.1.2 HELP", "HELP tells of the commands, or of one", "HELP informa de las órdenes, o de una", "S02",
          tried="HELP; HELP RCPT")  # fmt: skip
def help_(world: World) -> str:
    with smtp(world) as line:
        assert line.ask("HELP").startswith("214")
        listed = " ".join(line.said)
        for verb in ("HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP", "NOOP", "QUIT"):
            assert verb in listed, verb
        one = line.ask("HELP RCPT")
    assert "RCPT TO" in one
    return one


@sentence(D, "3.1.2 NOOP", "NOOP does nothing but restart the clocks", "NOOP no hace más que reiniciar los temporizadores", "S01",
          tried="NOOP")  # fmt: skip
def noop(world: World) -> str:
    with smtp(world) as line:
        line.ask("MAIL FROM:<a@b.example>")
        reply = line.ask("NOOP")
        assert line.ask(f"RCPT TO:<destino@{DOMAIN}>").startswith("250"), "the transaction goes on"
    assert reply.startswith("250 ")
    return reply


@sentence(D, "3.1.2 TURN", "TURN asks to exchange the roles: known, and answered as not implemented",
          "TURN pide intercambiar los papeles: se conoce y se responde que no está implementada", "S02", tried="TURN")  # fmt: skip
def turn(world: World) -> str:
    with smtp(world) as line:
        reply = line.ask("TURN")
    assert reply.startswith("502 ")
    return reply


@sentence(D, "3.1.2 QUIT", "QUIT closes the session", "QUIT cierra la sesión", "S01", tried="QUIT")
def quit_(world: World) -> str:
    with smtp(world) as line:
        reply = line.ask("QUIT")
        assert line.hear() == "", "closed"
    assert reply.startswith("221 ")
    return reply


@sentence(D, "3.1.2 codes", "answers have three digits: 2 done, 3 go on, 4 not now, 5 never; each provoked",
          "las respuestas tienen tres dígitos: 2 hecho, 3 siga, 4 ahora no, 5 nunca; todas provocadas",
          "S01 S31", tried="NOOP -> 2xx; DATA -> 354; MAIL FROM:<...> ([smtp] free_space) -> 452; RCPT TO:<nadie@...> -> 550")  # fmt: skip
def classes(world: World) -> str:
    with smtp(world) as line:
        done = line.ask("NOOP")
        line.ask("MAIL FROM:<a@b.example>")
        never = line.ask(f"RCPT TO:<nadie@{DOMAIN}>")
        line.ask(f"RCPT TO:<destino@{DOMAIN}>")
        go_on = line.ask("DATA")
        line.ask(".")
    with world.lab.variant("full", f"[smtp]\nfree_space = {10**15}\n") as other, telnet(other.ports["smtp"]) as line:
        line.hear_reply()
        line.ask("HELO")
        not_now = line.ask("MAIL FROM:<a@b.example>")
    codes = [one[:1] for one in (done, go_on, not_now, never)]
    assert codes == ["2", "3", "4", "5"], (done, go_on, not_now, never)
    return " | ".join((done, go_on, not_now, never))


@sentence(D, "3.1.2 greeting", "whoever connects hears 220 when the server is ready and 421 when it isn't available",
          "quien conecta oye 220 si el servidor está listo y 421 si no está disponible",
          "S01", tried="telnet host 25 -> 220; kill -TERM -> 421")  # fmt: skip
def greeting(world: World) -> str:
    with world.lab.variant("stops", "") as other, telnet(other.ports["smtp"]) as line:
        ready = line.hear_reply()
        assert line.ask("HELO").startswith("250")
        other.signal(15)
        gone = line.hear_reply()
        assert line.hear() == ""
    assert (ready[:4], gone[:4]) == ("220 ", "421 "), line.said
    return f"{ready} | {gone}"


# ---- 3.1.3 ESMTP ----------------------------------------------------------------------------------


class OldServer:
    """An SMTP server from before EHLO; what it heard and took."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        self.heard: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                with client, client.makefile("rb") as lines, suppress(OSError):
                    self._talk(client, lines)

    def _talk(self, client: socket.socket, lines: Iterator[bytes]) -> None:
        client.sendall(b"220 viejo.example.net SMTP\r\n")
        body = False
        for raw in lines:
            text = raw.decode().rstrip("\r\n")
            self.heard.append(text)
            verb = text[:4].upper()
            if body:
                body = text != "."
                if body:
                    continue
                answer = "250 OK"
            elif verb == "EHLO":
                answer = "500 Command unrecognized"
            elif verb == "DATA":
                body, answer = True, "354 Start mail input"
            else:
                answer = "221 bye" if verb == "QUIT" else "250 OK"
            client.sendall(answer.encode() + b"\r\n")
            if verb == "QUIT" and not body:
                return

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def old_server(port: int) -> Iterator[OldServer]:
    made = OldServer(port)
    try:
        yield made
    finally:
        made.close()


@sentence(D, "3.1.3 ESMTP", "a client says EHLO first; a server without extensions answers 500, and HELO goes on from there",
          "un cliente dice primero EHLO; un servidor sin extensiones responde 500, y se sigue con HELO",
          "S03", tried="sendmail pepe@viejo.example.net: EHLO -> 500, HELO -> 250, MAIL, RCPT, DATA")  # fmt: skip
def refused(world: World) -> str:
    with old_server(int(world.notes["old"])) as server:
        world.lab.command("sendmail", "-f", f"ana@{DOMAIN}", "pepe@viejo.example.net", text="Subject: al viejo\n\nhola\n")
        end = time.monotonic() + 20
        while "." not in server.heard:
            assert time.monotonic() < end, server.heard
            time.sleep(0.05)
    verbs = [text.split(" ")[0] for text in server.heard[:5]]
    assert verbs == ["EHLO", "HELO", "MAIL", "RCPT", "DATA"], server.heard
    assert not {"SIZE", "BODY"} & set(re.findall("[A-Z]+", server.heard[2])), server.heard[2]
    assert "Subject: al viejo" in server.heard
    return " / ".join(server.heard[:5])


@sentence(D, "3.1.3 ESMTP", "a server with extensions answers EHLO with 250 and their list",
          "un servidor con extensiones responde a EHLO con 250 y la lista de ellas", "S01", tried="EHLO verne.foo.net")  # fmt: skip
def extensions(world: World) -> str:
    with telnet(world.port("smtp")) as line:
        line.hear_reply()
        assert line.ask("EHLO verne.foo.net").startswith("250 ")
        words = [text[4:] for text in line.said[2:]]
    assert {"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "STARTTLS"} <= set(words), words
    return ", ".join(words)


@sentence(D, "3.1.3 ESMTP", "with the extensions, images and files of any kind can be sent",
          "con las extensiones se pueden enviar imágenes y ficheros de todo tipo", "S01 I35",
          tried="curl smtp://... --mail-from ... --mail-rcpt ... -F '=texto' -F 'file=@foto.png;encoder=base64'")  # fmt: skip
def multimedia(world: World) -> str:
    where = world.folder
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
    (where / "foto.png").write_bytes(picture)
    run(where, "curl", "-sS", f"smtp://127.0.0.1:{world.port('smtp')}", "--mail-from", f"origen@{DOMAIN}", "--mail-rcpt",
        f"destino@{DOMAIN}", "-H", "Subject: con foto", "-F", "=una imagen;type=text/plain", "-F",
        "file=@foto.png;type=image/png;encoder=base64")  # fmt: skip
    arrived(world.lab, "destino", "Subject: con foto")
    with world.lab.imap("destino") as client:
        client.select("INBOX")
        number = client.search(None, "SUBJECT", '"con foto"')[1][0].decode()
        assert number
        binary = client.fetch(number, "(BINARY.PEEK[2])")[1][0]
    assert binary[1] == picture, binary[:2]
    return f"{len(picture)} bytes came out as they went in"
