"""Seed 000, section 2.2: the first contact of Outlook, Thunderbird and Evolution, in the words that they use on the wire."""

import base64
import re
from xml.etree import ElementTree

from tests.lab import DOMAIN, PASSWORD
from tests.seeds.book import World, sentence
from tests.seeds.programs import Typed, address, arrived, dictate, home, run, smtp, telnet

D = "000"
_PLAIN = base64.b64encode(f"\0ana@{DOMAIN}\0{PASSWORD}".encode()).decode()


def _imap(line: Typed, *commands: str) -> dict[str, list[str]]:
    """Each command with a tag of its own; its answer by its first words."""
    said = {}
    for number, text in enumerate(commands):
        tag = f"A{number:05}"
        line.type(f"{tag} {text}")
        said[text] = line.hear_tagged(tag)
        assert said[text][-1].startswith((f"{tag} OK", "+ ")), (text, said[text])
    return said


def _letter(world: World, subject: str) -> None:
    with smtp(world) as line:
        dictate(line, "eva@foo.net", [f"ana@{DOMAIN}"], f"From: eva@foo.net\nSubject: {subject}\n\nhola")
    arrived(world.lab, "ana", f"Subject: {subject}")


def _submit(world: World, who: str, subject: str, *, implicit: bool, mechanism: str) -> str:
    """What a client does when the first message is sent."""
    with telnet(world.port("submissions" if implicit else "submission")) as line:
        if implicit:
            line.start_tls()
        line.hear_reply()
        line.ask(f"EHLO [{who}]")
        if not implicit:
            assert line.ask("STARTTLS").startswith("220")
            line.start_tls()
            line.ask(f"EHLO [{who}]")
        if mechanism == "PLAIN":
            assert line.ask(f"AUTH PLAIN {_PLAIN}").startswith("235"), line.said
        else:
            assert line.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
            assert line.ask(base64.b64encode(f"ana@{DOMAIN}".encode())) == "334 UGFzc3dvcmQ6"
            assert line.ask(base64.b64encode(PASSWORD.encode())).startswith("235"), line.said
        text = f"From: ana@{DOMAIN}\nTo: luis@{DOMAIN}\nSubject: {subject}\n\nhola"
        assert line.ask(f"MAIL FROM:<ana@{DOMAIN}> BODY=8BITMIME SIZE={len(text) + 20}").startswith("250"), line.said
        assert line.ask(f"RCPT TO:<luis@{DOMAIN}>").startswith("250")
        assert line.ask("DATA").startswith("354")
        for row in text.split("\n"):
            line.type(row)
        taken = line.ask(".")
        line.ask("QUIT")
    arrived(world.lab, "luis", f"Subject: {subject}")
    return taken


@sentence(D, "2.2 Thunderbird", "Thunderbird and Evolution find their settings by the address alone",
          "Thunderbird y Evolution encuentran su configuración con solo la dirección", "W20",
          tried="curl http://host/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=ana@example.org")  # fmt: skip
def autoconfig(world: World) -> str:
    where = home(world, "curl")
    said = run(where, "curl", "-sSf", address(world, f"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=ana@{DOMAIN}"))
    provider = ElementTree.fromstring(said).find("emailProvider")
    assert provider is not None
    found = {(one.get("type"), one.findtext("port")) for one in provider if one.tag.endswith("Server")}
    wanted = {("imap", str(world.port("imaps"))), ("pop3", str(world.port("pop3s"))), ("smtp", str(world.port("submissions")))}
    assert wanted <= found, (wanted, found)
    return ", ".join(sorted(f"{kind} {port}" for kind, port in found if kind))


@sentence(D, "2.2 Outlook", "Outlook finds its settings by the address alone", "Outlook encuentra su configuración con solo la dirección", "W20",
          tried="curl -d '<Autodiscover>...' http://host/autodiscover/autodiscover.xml")  # fmt: skip
def autodiscover(world: World) -> str:
    schema = "http://schemas.microsoft.com/exchange/autodiscover/outlook"
    asked = (
        f'<?xml version="1.0"?><Autodiscover xmlns="{schema}/requestschema/2006"><Request><EMailAddress>ana@{DOMAIN}</EMailAddress>'
        f"<AcceptableResponseSchema>{schema}/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>"
    )
    said = run(home(world, "curl"), "curl", "-sSf", "-H", "Content-Type: text/xml", "-d", asked,
               address(world, "/autodiscover/autodiscover.xml"))  # fmt: skip
    kinds = re.findall(r"<Type>(\w+)</Type>", said)
    assert {"IMAP", "SMTP"} <= set(kinds), said
    return " ".join(kinds)


@sentence(D, "2.2 Thunderbird", "Thunderbird reads and sends", "Thunderbird lee y envía", "I01 I35 I51 S01",
          tried="143: STARTTLS, AUTHENTICATE PLAIN, ID, NAMESPACE, LSUB, LIST, SELECT, UID FETCH, IDLE; 587: STARTTLS, AUTH PLAIN")  # fmt: skip
def thunderbird(world: World) -> str:
    _letter(world, "para thunderbird")
    with telnet(world.port("imap")) as line:
        assert line.hear().startswith("* OK")
        offered = _imap(line, "CAPABILITY")["CAPABILITY"][0]
        assert "STARTTLS" in offered
        _imap(line, "STARTTLS")
        version = line.start_tls()
        _imap(line, "CAPABILITY")
        line.type("t1 AUTHENTICATE PLAIN")
        assert line.hear_tagged("t1")[-1].startswith("+")
        line.type(_PLAIN)
        assert line.hear_tagged("t1")[-1].startswith("t1 OK"), line.said
        wanted = "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority " \
                 "References Newsgroups In-Reply-To Content-Type Reply-To)]"  # fmt: skip
        said = _imap(
            line, 'ID ("name" "Thunderbird" "version" "128.5.0")', "NAMESPACE", 'LSUB "" "*"', 'LIST "" "%"', 'LIST "" "%/%"',
            'CREATE "Trash"', 'SUBSCRIBE "Trash"', 'SELECT "INBOX"', 'GETQUOTAROOT "INBOX"' if "QUOTA" in offered else "NOOP",
            "UID FETCH 1:* (FLAGS)", f"UID FETCH 1:* ({wanted})", "UID FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])", "IDLE",
        )  # fmt: skip
        line.type("DONE")
        line.hear()
        assert any("Subject: para thunderbird" in row for row in said[f"UID FETCH 1:* ({wanted})"])
        assert any(row.startswith("* NAMESPACE ((") for row in said["NAMESPACE"])
    taken = _submit(world, "192.168.1.20", "de thunderbird", implicit=False, mechanism="PLAIN")
    return f"{version}; {taken}"


@sentence(D, "2.2 Outlook", "Outlook reads and sends", "Outlook lee y envía", "I01 I35 I51 S01",
          tried='993: LOGIN, LIST "" "", LSUB, SELECT, UID FETCH (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER] INTERNALDATE); 465: AUTH LOGIN')  # fmt: skip
def outlook(world: World) -> str:
    _letter(world, "para outlook")
    with telnet(world.port("imaps")) as line:
        version = line.start_tls()
        line.hear()
        said = _imap(
            line, "CAPABILITY", f'LOGIN "ana@{DOMAIN}" "{PASSWORD}"', 'LIST "" ""', 'LIST "" "*"', 'LSUB "" "*"',
            'CREATE "Sent Items"', 'SUBSCRIBE "Sent Items"', 'STATUS "INBOX" (UNSEEN MESSAGES UIDNEXT UIDVALIDITY)',
            'SELECT "INBOX"', "UID SEARCH 1:*", "UID FETCH 1:* (UID FLAGS)",
            "UID FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER] INTERNALDATE)", "UID FETCH 1:* (BODYSTRUCTURE)", "NOOP",
        )  # fmt: skip
        separator = next(row for row in said['LIST "" ""'] if row.startswith("* LIST"))
        assert re.match(r'\* LIST \(\\No[sS]elect.*\) "/" ""', separator), separator
        line.type('b1 APPEND "Sent Items" (\\Seen) {33}')
        assert line.hear().startswith("+")
        line.type("Subject: copia\r\n\r\nde lo enviado\r\n")
        assert line.hear_tagged("b1")[-1].startswith("b1 OK"), line.said
    taken = _submit(world, "OFICINA-PC", "de outlook", implicit=True, mechanism="LOGIN")
    return f"{version}; {taken}"


@sentence(D, "2.2 Outlook", "Outlook with POP3, leaving copies on the server", "Outlook con POP3, dejando copia en el servidor", "I48 I51",
          tried="995: CAPA, USER, PASS, STAT, UIDL, LIST, RETR, QUIT")  # fmt: skip
def outlook_pop3(world: World) -> str:
    with telnet(world.port("pop3s")) as line:
        line.start_tls()
        line.hear()
        for text in ("CAPA", f"USER ana@{DOMAIN}", f"PASS {PASSWORD}", "STAT", "UIDL", "LIST", "RETR 1", "QUIT"):
            line.type(text)
            assert line.hear().startswith("+OK"), (text, line.said)
            if text.split()[0] in ("CAPA", "UIDL", "LIST", "RETR"):
                rows = line.hear_lines()
                assert rows, text
            if text == "UIDL":
                ids = [row.split()[1] for row in rows]
    assert len(set(ids)) == len(ids)
    assert world.lab.mails("ana"), "nothing was deleted"
    return f"{len(ids)} messages, each with an id of its own"


@sentence(D, "2.2 Evolution", "Evolution reads and sends", "Evolution lee y envía", "I01 I35 I51 S01",
          tried="143: CAPABILITY, STARTTLS, AUTHENTICATE PLAIN AGFuYQ..., NAMESPACE, LIST, SELECT, UID FETCH, NOOP; 587")  # fmt: skip
def evolution(world: World) -> str:
    _letter(world, "para evolution")
    with telnet(world.port("imap")) as line:
        line.hear()
        _imap(line, "CAPABILITY", "STARTTLS")
        version = line.start_tls()
        said = _imap(
            line, "CAPABILITY", f"AUTHENTICATE PLAIN {_PLAIN}", "CAPABILITY", "NAMESPACE", 'LIST "" "*"', 'LSUB "" "*"',
            "STATUS INBOX (MESSAGES UNSEEN UIDVALIDITY UIDNEXT)", "SELECT INBOX", "UID SEARCH ALL", "UID FETCH 1:* (UID FLAGS)",
            "UID FETCH 1:* (RFC822.SIZE RFC822.HEADER FLAGS)", "UID FETCH 1:* (BODY.PEEK[]<0.2048>)", "NOOP",
        )  # fmt: skip
        assert any("Subject: para evolution" in row for row in said["UID FETCH 1:* (RFC822.SIZE RFC822.HEADER FLAGS)"])
    taken = _submit(world, "127.0.0.1", "de evolution", implicit=False, mechanism="PLAIN")
    return f"{version}; {taken}"


@sentence(D, "2.2 MUA", "machines inside send through port 25 without a login", "las máquinas de dentro envían por el puerto 25 sin clave", "S29",
          tried="EHLO; MAIL FROM:<ana@...>; RCPT TO:<luis@bar.com>; DATA")  # fmt: skip
def inside(world: World) -> str:
    with telnet(world.port("smtp")) as line:
        line.hear_reply()
        line.ask("EHLO [127.0.0.1]")
        assert dictate(line, f"ana@{DOMAIN}", ["luis@bar.com"], "Subject: por el 25\n\ndesde dentro").startswith("250")
    arrived(world.lab, "luis", "Subject: por el 25")
    return "sent by port 25 from a machine inside, without a login"
