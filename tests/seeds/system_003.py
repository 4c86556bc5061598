"""Seed 003, sections 2 to 5 and 8: how mail finds its way between machines and domains, the printed message, the ports."""

import re

from tests.lab import DOMAIN, PASSWORD, until
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, dictate, home, run, smtp, telnet
from tests.seeds.site import NEIGHBOUR, name_server, neighbour, neighbours_mails

D = "003"
PRINTED = """\
From: SLA <yh91-22pa89@naver.com>
To: <ersanz@uco.es>
Subject: Test
Sender: SLA <yh91-22pa89@naver.com>
Mime-Version: 1.0
Content-Type: text/plain
Date: Thu, 20 Feb 2003 01:42:04 +0900
Message-Id: <20030219164312.976EA13CA9@zipi.uco.es>

Saludos, chico.

      Te escribo para decirte...
"""


def _sent(world: World, to: str, subject: str) -> str:
    """The text of a message at the neighbour's, sent from here."""
    there, user = neighbour(world), to.partition("@")[0]
    world.lab.command("sendmail", "-f", f"ana@{DOMAIN}", to, text=f"Subject: {subject}\n\nhola\n")
    found: list[str] = []

    def look() -> bool:
        found.extend(text for path in neighbours_mails(there, user) if subject in (text := path.read_text()))
        return bool(found)

    until(look, 30, f"{subject}\n{world.lab.command('mailq')}\n{there.tail()}")
    return found[0]


@sentence(D, "2 MTA", "mail for a machine goes straight to it", "el correo para un ordenador va directamente a él", "S79",
          tried="sendmail eloy@verne.foo.net: MX -> NODATA, A -> verne.foo.net:25")  # fmt: skip
def to_a_machine(world: World) -> str:
    text = _sent(world, "eloy@verne.foo.net", "a la máquina")
    assert "Delivered-To: eloy@verne.foo.net\n" in text, text
    assert "MX verne.foo.net." in name_server(world).asked
    return "found by its A record"


@sentence(D, "2 MTA", "mail for a domain goes to the exchangers that its MX records name, in their order",
          "el correo para un dominio va a los intercambiadores que dicen sus registros MX, por orden", "S79",
          tried="sendmail eloy@foo.net: MX 10 muerto.foo.net -> Connection refused, MX 20 mail.foo.net -> 250")  # fmt: skip
def to_a_domain(world: World) -> str:
    text = _sent(world, "eloy@foo.net", "al dominio")
    assert "by mail.foo.net" in text, text
    asked = name_server(world).asked
    assert {"MX foo.net.", "A muerto.foo.net.", "A mail.foo.net."} <= set(asked), asked
    return "MX 10 muerto.foo.net (nobody there), MX 20 mail.foo.net"


@sentence(D, "2 MTA", "mail for a user of a served domain is handed to the delivery agent",
          "el correo para un usuario de un dominio servido se pasa al agente de entrega", "S30 D02",
          tried="RCPT TO:<margarita@bar.com>; estafeta trace margarita@bar.com")  # fmt: skip
def to_the_mda(world: World) -> str:
    with smtp(world) as line:
        dictate(line, "a@foo.net", ["margarita@bar.com"], "Subject: a casa\n\n")
    arrived(world.lab, "margarita", "Subject: a casa")
    told = world.lab.command("trace", "margarita@bar.com")
    assert "deliver" in told.lower(), told
    return next(row.strip() for row in told.splitlines() if "deliver" in row.lower())


@sentence(D, "3 Format", "the printed message, sent and read again: the same headers in the same order, the same text",
          "el mensaje impreso, enviado y leído de nuevo: las mismas cabeceras en el mismo orden, el mismo texto", "S24 D05 I35",
          tried="sendmail -i -f yh91-22pa89@naver.com margarita@bar.com; FETCH ENVELOPE BODY[]")  # fmt: skip
def the_message(world: World) -> str:
    world.lab.command("sendmail", "-i", "-f", "yh91-22pa89@naver.com", "margarita@bar.com", text=PRINTED)
    text = arrived(world.lab, "margarita", "Te escribo para decirte").read_text()
    assert text.endswith(PRINTED), text
    assert text.startswith("Return-Path: <yh91-22pa89@naver.com>\n"), text
    with world.lab.imap("margarita") as client:
        client.select("INBOX")
        number = client.search(None, "HEADER", "Message-Id", "976EA13CA9")[1][0].decode()
        told = client.fetch(number, "(ENVELOPE)")[1][0].decode()
        body = client.fetch(number, "(BODY.PEEK[])")[1][0][1]
    who = '(("SLA" NIL "yh91-22pa89" "naver.com"))'
    wanted = f'("Thu, 20 Feb 2003 01:42:04 +0900" "Test" {who} {who} {who} ((NIL NIL "ersanz" "uco.es")) NIL NIL NIL ' \
             '"<20030219164312.976EA13CA9@zipi.uco.es>")'  # fmt: skip
    assert wanted in told, told
    assert body.endswith(PRINTED.replace("\n", "\r\n").encode())
    return "ENVELOPE " + wanted


@sentence(D, "4 Transfer", "the reader's program gives the message to the MTA that it has as outgoing server; the last MTA's agent puts it into the mailbox",
          "el MUA entrega el mensaje al MTA que tiene como servidor saliente; el MDA del último lo deja en el buzón", "S01 D02",
          tried="curl smtp://... --mail-rcpt eloy@foo.net; mail.foo.net: ls Maildir/new")  # fmt: skip
def transfer(world: World) -> str:
    there, where = neighbour(world), home(world, "curl")
    (where / "carta").write_text(f"From: ana@{DOMAIN}\r\nTo: eloy@foo.net\r\nSubject: con curl\r\n\r\nhola\r\n")
    run(where, "curl", "-sS", f"smtp://127.0.0.1:{world.port('smtp')}", "--mail-from", f"ana@{DOMAIN}", "--mail-rcpt",
        "eloy@foo.net", "-T", "carta")  # fmt: skip
    until(lambda: any("con curl" in path.read_text() for path in neighbours_mails(there, "eloy")), 30, there.tail())
    return "in eloy's mailbox at foo.net"


@sentence(D, "4 Reading", "a mailbox elsewhere is read by POP3 or IMAP", "un buzón remoto se lee por POP3 o IMAP", "I01 I48",
          tried="curl pop3://eloy@mail.foo.net/; curl imap://eloy@mail.foo.net/INBOX?ALL")  # fmt: skip
def reading(world: World) -> str:
    neighbour(world)
    where, who = home(world, "curl"), f"eloy@foo.net:{PASSWORD}"
    listed = run(where, "curl", "-sS", "-u", who, f"pop3://{NEIGHBOUR}/").split("\n")
    found = run(where, "curl", "-sS", "-u", who, f"imap://{NEIGHBOUR}/INBOX?ALL").split()
    assert found[:2] == ["*", "SEARCH"]
    count = sum(1 for row in listed if re.match(r"\d+ \d+", row))
    assert count == len(found) - 2 > 0
    return f"{count} messages by both"


@sentence(D, "5 Ports", "SMTP is on TCP port 25, POP3 on 110, IMAP on 143", "SMTP está en el puerto TCP 25, POP3 en el 110, IMAP en el 143", "S01 I01 I48",
          tried="telnet mail.foo.net 25; telnet mail.foo.net 110; telnet mail.foo.net 143")  # fmt: skip
def ports(world: World) -> str:
    neighbour(world)
    said = []
    for port in (25, 110, 143):
        with telnet(port, NEIGHBOUR) as line:
            said.append(line.hear())
    assert [row[:4] for row in said] == ["220 ", "+OK ", "* OK"], said
    return " | ".join(row[:60] for row in said)


@sentence(D, "8 POP3", "a POP3 server needs no settings beyond being there", "un servidor POP3 no necesita más configuración que estar instalado", "I48",
          tried="[listen] pop3 = 110; USER; PASS; STAT")  # fmt: skip
def plain_pop3(world: World) -> str:
    there = neighbour(world)
    assert "[pop3]" not in there.config.read_text()
    with telnet(110, NEIGHBOUR) as line:
        line.hear()
        for text in ("USER eloy", f"PASS {PASSWORD}", "STAT"):
            line.type(text)
            assert line.hear().startswith("+OK"), line.said
    return line.said[-1]


@sentence(D, "8 POP3", "some servers know virtual domains", "algunos servidores permiten dominios virtuales", "S30 D04",
          tried='[mail] virtual_domains = ["uno.example", "dos.example"]; USER ana@uno.example; USER ana@dos.example')  # fmt: skip
def virtual_domains(world: World) -> str:
    from tests.lab import Lab
    from tests.seeds.site import SERVER, add_users, amend

    lab = Lab(world.folder / "virtual", server=SERVER)
    amend(lab, domains=f'["{DOMAIN}"]\nvirtual_domains = ["uno.example", "dos.example"]')
    add_users(lab, "ana@uno.example", "ana@dos.example")
    try:
        lab.start(60)
        with lab.smtp() as client:
            for name in ("uno", "dos"):
                client.sendmail("a@foo.net", [f"ana@{name}.example"], f"Subject: para {name}\r\n\r\n")
        found = []
        for name in ("uno", "dos"):
            with telnet(lab.ports["pop3"]) as line:
                line.hear()
                until(lambda name=name: list((lab.folder / "data/mail" / f"{name}.example/ana/Maildir/new").glob("*")))
                for text in (f"USER ana@{name}.example", f"PASS {PASSWORD}", "RETR 1"):
                    line.type(text)
                    assert line.hear().startswith("+OK"), line.said
                found += [row for row in line.hear_lines() if row.startswith("Subject:")]
    finally:
        lab.kill()
    assert found == ["Subject: para uno", "Subject: para dos"], found
    return "; ".join(found)
