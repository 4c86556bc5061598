"""Seed 003, sections 5 and 6: the typed dialogue, the commands, relaying, the queue."""

import os
import re
import subprocess
import sys

from tests.lab import DOMAIN, Lab
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, smtp, telnet, wait

D = "003"


@sentence(D, "5 SMTP", "the printed dialogue, typed line by line, is answered 250 250 250 354 250 221",
          "el diálogo impreso, tecleado línea a línea, recibe 250 250 250 354 250 221", "S01",
          tried="HELO verne.foo.net; MAIL FROM: eloy@foo.net; RCPT TO: margarita@bar.com; DATA; cabecera: valor ... .; QUIT")  # fmt: skip
def the_dialogue(world: World) -> str:
    with telnet(world.port("smtp")) as line:
        codes = [line.hear_reply()[:3]]
        for text in ("HELO verne.foo.net", "MAIL FROM: eloy@foo.net", "RCPT TO: margarita@bar.com", "DATA"):
            codes.append(line.ask(text)[:3])
        hello = line.said[1]
        for text in ("cabecera: valor", "cabecera2: valor", "cabecera3: valor", "", "este es el texto del mensaje.", "saludos."):
            line.type(text)
        queued = line.ask(".")
        codes += [queued[:3], line.ask("QUIT")[:3]]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"], line.said
    assert hello == f"250 mail.{DOMAIN} Hello verne.foo.net [127.0.0.1]", hello
    arrived(world.lab, "margarita", "este es el texto del mensaje.\nsaludos.\n")
    return f"{' '.join(codes)}; {queued}"


@sentence(D, "5 SMTP", "the message is a group of headers, an empty line and the body, as typed",
          "el mensaje es un grupo de cabeceras, una línea en blanco y el cuerpo, como se tecleó", "S24 D05", tried="cat Maildir/new/*")  # fmt: skip
def as_typed(world: World) -> str:
    text = arrived(world.lab, "margarita", "cabecera: valor").read_text()
    head, _, body = text.partition("\n\n")
    names = [row.split(":")[0] for row in head.splitlines() if row[:1] not in " \t"]
    assert names[-3:] == ["cabecera", "cabecera2", "cabecera3"], names
    assert {"Return-Path", "Delivered-To", "X-Original-To", "Received"} == set(names[:-3]), names
    assert body == "este es el texto del mensaje.\nsaludos.\n"
    return " ".join(names)


@sentence(D, "5 SMTP", "EHLO opens a session with the extended protocol", "EHLO abre una sesión con el protocolo ampliado", "S01",
          tried="EHLO verne.foo.net")  # fmt: skip
def ehlo(world: World) -> str:
    with telnet(world.port("smtp")) as line:
        line.hear_reply()
        last = line.ask("EHLO verne.foo.net")
        words = [text[4:] for text in line.said[2:]]
    assert last.startswith("250 ")
    assert {"PIPELINING", "8BITMIME"} <= set(words)
    return ", ".join(words)


@sentence(D, "5 SMTP", "every answer is a code of three digits and a text that explains it",
          "cada respuesta es un código de tres dígitos y un texto que lo explica", "S01 S07",
          tried="HELO; MAIL FROM:<>; RCPT TO:<x; BLAH; DATA; RSET; HELP; QUIT")  # fmt: skip
def codes(world: World) -> str:
    with smtp(world) as line:
        for text in ("MAIL FROM:<>", "RCPT TO:<x", "BLAH", "DATA", "RSET", "HELP", "QUIT"):
            line.ask(text)
    assert all(row[:3].isdigit() and row[3:4] in ("-", " ") and len(row) > 6 for row in line.said), line.said
    return " | ".join(row for row in line.said if row[:1] == "5")


def _strangers(world: World) -> Lab:
    """One that trusts nobody, where loopback counts as ours otherwise; and tells everybody."""
    more = '[smtp]\nnetworks = []\nvrfy = "anybody"\nexpn = "anybody"\n'
    return world.keep("strangers", lambda: world.lab.variant("strangers", more, "ana"))


@sentence(D, "5 SMTP", "VRFY asks whether a recipient exists; he does or he doesn't, once a setting lets it say so",
          "VRFY pregunta si el destinatario existe; existe o no, una vez que un ajuste deja decirlo", "S02",
          tried='VRFY margarita -> 252; [smtp] vrfy = "anybody": VRFY ana -> 250, VRFY nadie -> 550, EXPN postmaster; estafeta check')  # fmt: skip
def vrfy(world: World) -> str:
    with smtp(world) as line:
        reply = line.ask("VRFY margarita")
    assert reply.startswith("252 ")
    other = _strangers(world)
    with telnet(other.ports["smtp"]) as line:
        line.hear_reply()
        line.ask("HELO x")
        told = [line.ask(text) for text in ("VRFY ana", "VRFY nadie", "EXPN postmaster")]
    assert [one[:3] for one in told] == ["250", "550", "250"], told
    warned = other.command("check", check=False)
    assert "smtp.vrfy" in warned, warned
    return " | ".join((reply, *told))


@sentence(D, "6 Domains", "the server knows the domains that it serves", "el servidor conoce los dominios que sirve", "S30 S31",
          tried='[mail] domains = ["example.org", "bar.com", ...]; RCPT TO:<ana@bar.com>; RCPT TO:<ana@example.org>')  # fmt: skip
def served(world: World) -> str:
    with smtp(world) as line:
        line.ask("MAIL FROM:<a@foo.net>")
        for domain in (DOMAIN, "bar.com", "Dominio2.COM"):
            assert line.ask(f"RCPT TO:<ana@{domain}>").startswith("250"), line.said
    return "three domains"


@sentence(D, "6 MTA", "mail from a machine of ours goes anywhere, mail for a served domain is taken from anybody, all else is 'Relaying denied'",
          "el correo de una máquina nuestra va a donde sea, el de un dominio servido se acepta de cualquiera, y lo demás es 'Relaying denied'",
          "S29 S30", tried="[smtp] networks: RCPT TO:<b@elsewhere.example.net> -> 250; networks = []: RCPT TO:<ana@example.org> -> 250, RCPT TO:<b@elsewhere.example.net> -> 554")  # fmt: skip
def relaying_denied(world: World) -> str:
    with smtp(world) as line:
        line.ask("MAIL FROM:<a@foo.net>")
        inside = line.ask("RCPT TO:<b@elsewhere.example.net>")
    assert inside.startswith("250 "), inside
    with telnet(_strangers(world).ports["smtp"]) as line:
        line.hear_reply()
        line.ask("HELO x")
        line.ask("MAIL FROM:<a@foo.net>")
        ours, theirs = line.ask(f"RCPT TO:<ana@{DOMAIN}>"), line.ask("RCPT TO:<b@elsewhere.example.net>")
    assert ours.startswith("250 "), ours
    assert re.match("554 .*Relaying denied", theirs), theirs
    return theirs


@sentence(D, "4 Delivery", "a local user is found, or the answer is 550", "se encuentra al usuario local, o se responde 550", "S31",
          tried="RCPT TO:<nadie@example.org>")  # fmt: skip
def unknown_user(world: World) -> str:
    with smtp(world) as line:
        line.ask("MAIL FROM:<a@foo.net>")
        reply = line.ask(f"RCPT TO:<nadie@{DOMAIN}>")
    assert reply.startswith("550 ")
    return reply


@sentence(D, "6 Queue", "mailq shows what waits to be delivered or sent", "mailq muestra lo que espera ser entregado o enviado", "S75",
          tried="sendmail a@espera.example.net; mailq")  # fmt: skip
def mailq(world: World) -> str:
    assert world.lab.command("mailq").strip() == "Mail queue is empty"
    world.lab.command("sendmail", "-f", f"ana@{DOMAIN}", "a@espera.example.net", text="Subject: espera\n\nhola\n")
    shown = ""

    def there() -> bool:
        nonlocal shown
        shown = world.lab.command("mailq")
        return "a@espera.example.net" in shown and "refused" in shown

    assert wait(there), shown
    assert f"ana@{DOMAIN}" in shown
    return shown.strip().splitlines()[-1]


@sentence(D, "6 Queue", "sendmail -q tries everything in the queue now; cron may do so every few minutes",
          "sendmail -q intenta ya todo lo que hay en la cola; cron puede hacerlo cada pocos minutos", "S76",
          tried="env -i sendmail -q; mailq")  # fmt: skip
def sendmail_q(world: World) -> str:
    from tests.seeds.smtp_000 import old_server

    with old_server(int(world.notes["waiting"])) as server:
        words = [sys.executable, "-m", "bridge", "sendmail", "-q"]
        environ = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "HOME": "/", "ESTAFETA_CONFIG": str(world.lab.config)}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, cwd=os.getcwd())
        assert done.returncode == 0, done.stderr
        came = wait(lambda: "Subject: espera" in server.heard)
        assert came, f"{server.heard} {done.stdout}{done.stderr}{world.lab.command('mailq')}{world.lab.tail()}"
        assert wait(lambda: world.lab.command("mailq").strip() == "Mail queue is empty"), world.lab.command("mailq")
    return "sent; " + world.lab.command("mailq").strip()
