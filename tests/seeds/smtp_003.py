"""Seed 003, sections 2 to 7: transport, the typed dialogue, relaying, the queue, aliases, mailbox files."""

import time

from tests.lab import DOMAIN
from tests.seeds.book import Typed, World, sentence

D = "003"


@sentence(D, "5 SMTP", "the printed dialogue, typed line by line, is answered 250 250 250 354 250 221",
          "el diálogo impreso, tecleado línea a línea, recibe 250 250 250 354 250 221", "S01")  # fmt: skip
def the_dialogue(world: World) -> str:
    line = Typed(world.port("smtp"))
    codes = [line.hear_reply()[:3]]
    for text in ("HELO verne.foo.net", "MAIL FROM: eloy@foo.net", f"RCPT TO: margarita@{DOMAIN}", "DATA"):
        codes.append(line.ask(text)[:3])
    for text in ("cabecera: valor", "cabecera2: valor", "", "este es el texto del mensaje.", "saludos."):
        line.type(text)
    queued = line.ask(".")
    codes += [queued[:3], line.ask("QUIT")[:3]]
    line.close()
    assert codes == ["220", "250", "250", "250", "354", "250", "221"], line.said
    (mail,) = world.lab.wait_mails("margarita", 1)
    assert "este es el texto del mensaje." in mail.read_text()
    return f"{' '.join(codes)}; {queued}"


@sentence(D, "5 SMTP", "EHLO opens a session with the extended protocol", "EHLO abre una sesión con el protocolo ampliado",
          "S01")  # fmt: skip
def ehlo(world: World) -> str:
    line = Typed(world.port("smtp"))
    line.hear_reply()
    last = line.ask("EHLO verne.foo.net")
    words = [text[4:] for text in line.said[1:]]
    line.close()
    assert last.startswith("250 ")
    assert {"PIPELINING", "8BITMIME"} <= set(words)
    return ", ".join(words[1:])


@sentence(D, "5 SMTP", "VRFY asks whether a recipient exists", "VRFY pregunta si el destinatario existe", "S02")
def vrfy(world: World) -> str:
    line = Typed(world.port("smtp"))
    line.hear_reply()
    line.ask("HELO x")
    reply = line.ask("VRFY margarita")
    line.close()
    assert reply.startswith("252 ")
    return reply


@sentence(D, "6 MTA", "mail for a served domain is taken from anybody, mail for elsewhere from strangers is 'Relaying denied'",
          "el correo para un dominio servido se acepta de cualquiera; para otros, de extraños: 'Relaying denied'", "S29 S30")  # fmt: skip
def relaying_denied(world: World) -> str:
    """The stranger is made by trusting nobody: loopback counts as ours otherwise."""
    line = Typed(world.port("smtp"))
    line.hear_reply()
    line.ask("HELO x")
    line.ask("MAIL FROM:<a@foo.net>")
    ours = line.ask(f"RCPT TO:<margarita@{DOMAIN}>")
    line.close()
    assert ours.startswith("250 "), ours
    with world.lab.variant("strangers", "[smtp]\nnetworks = []\n") as other:
        line = Typed(other.ports["smtp"])
        line.hear_reply()
        line.ask("HELO x")
        line.ask("MAIL FROM:<a@foo.net>")
        theirs = line.ask("RCPT TO:<b@elsewhere.example.net>")
        line.close()
    assert theirs.startswith("554 "), theirs
    assert "elaying denied" in theirs
    return theirs


@sentence(D, "4 Delivery", "a local user is found, or the answer is 550", "se encuentra al usuario local, o se responde 550",
          "S31")  # fmt: skip
def unknown_user(world: World) -> str:
    line = Typed(world.port("smtp"))
    line.hear_reply()
    line.ask("HELO x")
    line.ask("MAIL FROM:<a@foo.net>")
    reply = line.ask(f"RCPT TO:<nadie@{DOMAIN}>")
    line.close()
    assert reply.startswith("550 ")
    return reply


@sentence(D, "3 Format", "a message is headers, an empty line and a body; trace headers are added on the way",
          "un mensaje son cabeceras, una línea en blanco y un cuerpo; por el camino se añaden cabeceras de traza", "S24 D05")  # fmt: skip
def trace_headers(world: World) -> str:
    (mail,) = world.lab.wait_mails("margarita", 1)[:1]
    head, _, body = mail.read_text().partition("\n\n")
    names = [text.split(":")[0] for text in head.splitlines() if text[:1] not in " \t"]
    for name in ("Return-Path", "Delivered-To", "X-Original-To", "Received"):
        assert name in names, names
    assert body.startswith("este es el texto")
    return " ".join(names)


@sentence(D, "6 MTA", "mailq shows what waits in the queue", "mailq muestra lo que espera en la cola", "S75")
def mailq(world: World) -> str:
    line = Typed(world.port("smtp"))
    line.hear_reply()
    line.ask("HELO x")
    line.ask(f"MAIL FROM:<eloy@{DOMAIN}>")
    line.ask("RCPT TO:<a@nowhere.invalid>")
    line.ask("DATA")
    line.type("Subject: espera\r\n\r\nhola")
    line.ask(".")
    line.close()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        shown = world.lab.command("mailq")
        if "a@nowhere.invalid" in shown:
            return shown.strip().splitlines()[-1]
        time.sleep(0.3)
    raise AssertionError(shown)


@sentence(D, "6 MTA", "sendmail -q tries everything in the queue now", "sendmail -q intenta ya todo lo que hay en la cola",
          "S76")  # fmt: skip
def sendmail_q(world: World) -> str:
    said = world.lab.command("sendmail", "-q")
    return said.strip() or "exit status 0"
