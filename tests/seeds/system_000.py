"""Seed 000, sections 1, 2 and 3.1.1: agents, how a message passes from one to the next, how mailboxes are kept and by whom."""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import DOMAIN, PASSWORD, Lab, until
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, dictate, home, mutt, mutt_sends, run, smtp, telnet, wait
from tests.seeds.site import NEIGHBOUR, SERVER, add_users, given, neighbour, neighbours_mails

D = "000"


def _with(lab: Lab, user: str, mark: str) -> str:
    """The text of the neighbour's mail that has `mark`, when it is there."""
    found: list[str] = []

    def look() -> bool:
        found.extend(text for path in neighbours_mails(lab, user) if mark in (text := path.read_text()))
        return bool(found)

    until(look, 20, f"{mark} at {user}@foo.net\n{lab.tail()}")
    return found[0]


@sentence(D, "1 Working", "a message goes from its writer to the MTA, by SMTP to the MTA of the recipient, and there into a mailbox, from which POP and IMAP fetch it",
          "un mensaje va de quien lo escribe a su MTA, por SMTP al MTA del destinatario, y allí a un buzón, de donde lo sacan POP e IMAP",
          "S01 S79 I01 I48", tried="mutt -s ... eloy@foo.net; curl pop3://eloy@mail.foo.net/1; curl imap://eloy@mail.foo.net/INBOX;MAILINDEX=1")  # fmt: skip
def from_end_to_end(world: World) -> str:
    there = neighbour(world)
    mutt_sends(world, "ana", "-s", "de punta a punta", "eloy@foo.net", text="hola eloy\n")
    _with(there, "eloy", "de punta a punta")
    where, who = home(world, "curl"), f"eloy@foo.net:{PASSWORD}"
    pop = run(where, "curl", "-sS", "-u", who, f"pop3://{NEIGHBOUR}/1")
    imap = run(where, "curl", "-sS", "-u", who, f"imap://{NEIGHBOUR}/INBOX;MAILINDEX=1")
    assert pop == imap
    assert pop.endswith("hola eloy\r\n")
    assert pop.count("Received:") == 2, pop
    return "2 MTAs, the same text by POP and IMAP"


@sentence(D, "1 Working", "who reads may use a program on another machine", "quien lee puede usar un programa en otra máquina",
          "I01", tried="mutt -f imap://ana@.../INBOX; mutt -f pop://ana@.../")  # fmt: skip
def user_agents(world: World) -> str:
    with smtp(world) as line:
        dictate(line, "eva@foo.net", [f"ana@{DOMAIN}"], "Subject: por dos caminos\n\nleído desde lejos")
    arrived(world.lab, "ana", "por dos caminos")
    keys = "<search>~s caminos<enter><pipe-message>cat >{out}<enter>"
    texts = [
        mutt(world, f"{kind}://{{login}}@localhost:{world.port(port)}/{box}", keys)
        for kind, port, box in (("imap", "imap", "INBOX"), ("pop", "pop3", ""))
    ]
    assert all("leído desde lejos" in text for text in texts), texts
    return "mutt shows it by IMAP and by POP3"


@sentence(D, "2.1 MTA", "an MTA is a server for other MTAs and a client of other MTAs",
          "un MTA es servidor de otros MTAs y cliente de otros MTAs", "S01 S79",
          tried="sendmail eloy@foo.net -> mail.foo.net; sendmail margarita@bar.com -> mail.example.org")  # fmt: skip
def server_and_client(world: World) -> str:
    there = neighbour(world)
    world.lab.command("sendmail", "-f", f"ana@{DOMAIN}", "eloy@foo.net", text="Subject: de ida\n\n")
    there.command("sendmail", "-f", "eloy@foo.net", "margarita@bar.com", text="Subject: de vuelta\n\n")
    out, back = _with(there, "eloy", "de ida"), arrived(world.lab, "margarita", "de vuelta").read_text()
    assert all(one in out for one in ("by mail.foo.net", f"from mail.{DOMAIN}")), out
    assert all(one in back for one in (f"by mail.{DOMAIN}", "from mail.foo.net")), back
    return "ours was client, then server"


@sentence(D, "3.1.1 Structure", "a server may be on the way only: it becomes the client of the next one, until the last",
          "un servidor puede ser solo intermediario: pasa a ser cliente del siguiente, hasta el último", "S30",
          tried="telnet mail.foo.net 25; RCPT TO:<luis@final.example.net> -> mail.example.org")  # fmt: skip
def on_the_way(world: World) -> str:
    neighbour(world)
    with telnet(25, NEIGHBOUR) as line:
        line.hear_reply()
        line.ask("HELO client.example.org")
        assert dictate(line, "a@dominio1.com", ["luis@final.example.net"], "Subject: tres saltos\n\n").startswith("250")
    text = arrived(world.lab, "luis", "tres saltos").read_text()
    assert text.count("\nReceived:") == 2, text
    assert "by mail.foo.net" in text
    return "two Received fields"


@sentence(D, "3.1.1 Structure", "a client that can't connect reports it", "un cliente que no puede conectar informa de ello", "S75",
          tried="sendmail a@espera.example.net; mailq -> Connection refused")  # fmt: skip
def reports(world: World) -> str:
    world.lab.command("sendmail", "-f", f"ana@{DOMAIN}", "a@espera.example.net", text="Subject: no llega\n\n")
    said = ""

    def told() -> bool:
        nonlocal said
        said = world.lab.command("mailq")
        return "refused" in said.lower()

    assert wait(told), said
    world.lab.command("queue", "delete", "--all")
    return next(line.strip() for line in said.splitlines() if "refused" in line.lower())


@sentence(D, "3.1.1 Structure", "the channel goes both ways, and after a message the client may begin another or quit",
          "el canal va en ambos sentidos, y tras un mensaje el cliente puede empezar otro o terminar", "S01",
          tried="MAIL RCPT DATA . MAIL RCPT DATA . QUIT")  # fmt: skip
def one_after_the_other(world: World) -> str:
    with smtp(world) as line:
        for number in (1, 2):
            assert dictate(line, "a@b.example", [f"luis@{DOMAIN}"], f"Subject: seguido {number}\n\n").startswith("250")
        line.ask("QUIT")
    for number in (1, 2):
        arrived(world.lab, "luis", f"seguido {number}")
    return "2 messages, 1 session"


# ---- 2.2: mailboxes, and the agents that fill them -------------------------------------------------

_KINDS = ("pm", "pd", "mm", "md", "om", "od")   # procmail, maildrop or our own; mbox or Maildir


@contextmanager
def _mdas(world: World) -> Iterator[Lab]:
    """One appliance: six users, each with an MDA and a format of their own."""
    folder = world.folder / "mdas-spool"
    folder.mkdir(exist_ok=True)
    given(folder)
    stores = "\n".join(f'"{user}@{DOMAIN}" = "mbox"' for user in _KINDS if user[1] == "m")
    commands = {
        "pm": f"/usr/bin/procmail -t -f %f HOME=%h DEFAULT={folder}/%u %h/.procmailrc",
        "pd": "/usr/bin/procmail -t -f %f HOME=%h DEFAULT=%m/ %h/.procmailrc",
        "mm": "/usr/bin/maildrop %h/.mailfilter", "md": "/usr/bin/maildrop %h/.mailfilter",
    }  # fmt: skip
    more = f'mbox = "{folder}/{{user}}"\n[accounts.stores]\n{stores}\n[delivery]\n'
    more += "[delivery.mailbox_commands]\n" + "\n".join(f'"{u}@{DOMAIN}" = "{c}"' for u, c in commands.items()) + "\n"
    lab = Lab(world.folder / "mdas", more=more, server=SERVER)
    lab.folder.chmod(0o755)
    add_users(lab, *(f"{user}@{DOMAIN}" for user in _KINDS))
    for user in _KINDS[:4]:
        _dotfiles(lab, user, folder)
    try:
        lab.start(60)
        yield lab
    finally:
        lab.kill()


def _dotfiles(lab: Lab, user: str, folder: Path) -> None:
    """The user's filter: what a spam filter has marked goes into a folder of its own."""
    maildir = lab.maildir(user)
    where = maildir.parent
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True, exist_ok=True)
    inbox = f"{folder}/{user}" if user[1] == "m" else str(maildir)
    if user[0] == "p":
        (where / ".procmailrc").write_text("MAILDIR=$HOME/Maildir\n:0\n* ^X-Spam-Flag: YES\n.spam/\n")
    else:
        run_make = shutil.which("maildirmake.maildrop") or shutil.which("maildirmake")
        made = f"`{run_make} -f spam {maildir} 2>/dev/null`\n" if run_make else ""
        text = f'SHELL="/bin/sh"\n{made}if (/^X-Spam-Flag: YES/)\n{{\n  to "{maildir}/.spam"\n}}\nto "{inbox}"\n'
        (where / ".mailfilter").write_text(text)
        (where / ".mailfilter").chmod(0o600)
    given(where.parent, where, *where.rglob("*"))


def _mda(world: World) -> Lab:
    return world.keep("mdas", lambda: _mdas(world))


def _send(lab: Lab, user: str, subject: str, more: str = "") -> None:
    with lab.smtp() as client:
        client.sendmail("eva@foo.net", [f"{user}@{DOMAIN}"], f"{more}Subject: {subject}\r\n\r\nFrom here on\r\n")


def _read(lab: Lab, user: str, count: int, box: str = "INBOX") -> list[str]:
    """Subjects over IMAP, when there are `count`."""
    with lab.imap(user) as client:
        there = wait(lambda: client.select(box) == ("OK", [str(count).encode()]))
        assert there, f"{count} in {box} of {user}\n{lab.command('mailq')}\n{lab.tail()}"
        parts = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    return [part[1].decode().strip().removeprefix("Subject: ") for part in parts if isinstance(part, tuple)]


@sentence(D, "2.2 mbox", "in mbox form all messages of a mailbox are in one file, one after the other",
          "con mbox todos los mensajes de un buzón están en un solo fichero, uno tras otro", "D01",
          tried="grep '^From ' /var/mail/USER; mail -f FILE")  # fmt: skip
def mbox(world: World) -> str:
    lab = _mda(world)
    for number in (1, 2, 3):
        _send(lab, "om", f"n{number}")
    assert sorted(_read(lab, "om", 3)) == ["n1", "n2", "n3"]
    file = world.folder / "mdas-spool" / "om"
    lines = file.read_text().splitlines()
    assert sum(line.startswith("From ") for line in lines) == 3
    assert ">From here on" in lines
    said = run(home(world, "mail"), "mail", "-f", file, text="x\n")
    assert "3 messages" in said, said
    return said.splitlines()[1]


@sentence(D, "2.2 Maildir", "in Maildir form each message is a file of its own with a name that no other has",
          "con Maildir cada mensaje es un fichero propio con un nombre único", "D02",
          tried="ls Maildir/new; mutt -f Maildir")  # fmt: skip
def maildir(world: World) -> str:
    lab = _mda(world)
    for number in (1, 2, 3):
        _send(lab, "od", f"n{number}")
    until(lambda: len(lab.mails("od")) == 3)
    names = [path.name for path in lab.mails("od")]
    assert len(set(names)) == 3
    text = mutt(world, str(lab.maildir("od")), "<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >>{out}<enter>")
    assert all(f"Subject: n{number}" in text for number in (1, 2, 3)), text
    return names[0]


@sentence(D, "2.2 formats", "the form of the mailboxes is a matter of settings, here for single users or domains",
          "el formato de los buzones se elige en la configuración, aquí por usuario o dominio", "D01 D02 D03",
          tried='[accounts] store = "maildir", [accounts.stores] "om@example.org" = "mbox"')  # fmt: skip
def by_settings(world: World) -> str:
    lab = _mda(world)
    assert (world.folder / "mdas-spool" / "om").is_file()
    assert not lab.mails("om")
    assert not (world.folder / "mdas-spool" / "od").exists()
    return "om: a file; od: a folder"


def _through(world: World, user: str, other: str) -> str:
    """A plain and a marked message through the MDA of `user`; where they are, over IMAP."""
    lab = _mda(world)
    _send(lab, user, "bueno")
    _send(lab, user, "malo", "X-Spam-Flag: YES\r\n")
    assert _read(lab, user, 1) == ["bueno"]
    until(lambda: list((lab.maildir(user) / ".spam").glob("new/*")) or list((lab.maildir(user) / ".spam").glob("cur/*")))
    assert _read(lab, user, 1, "spam") == ["malo"]
    if user[1] == "m":
        text = (world.folder / "mdas-spool" / user).read_text()
        assert re.match(r"From [^\0]*\nSubject: bueno\n", text), text
        assert "malo" not in text, text
    else:
        assert len(lab.mails(user)) == 1
    return f"bueno in {other}, malo in spam"


@sentence(D, "2.2 MDA", "procmail delivers into an mbox file, and filters", "procmail entrega en un fichero mbox, y filtra", "D06 D01",
          tried='[delivery.mailbox_commands] "..." = "/usr/bin/procmail -t ... DEFAULT=/var/mail/%u %h/.procmailrc"')  # fmt: skip
def procmail_mbox(world: World) -> str:
    return _through(world, "pm", "the file")


@sentence(D, "2.2 MDA", "procmail delivers into a Maildir, and filters", "procmail entrega en un Maildir, y filtra", "D06 D02",
          tried='[delivery.mailbox_commands] "..." = "/usr/bin/procmail -t ... DEFAULT=%m/ %h/.procmailrc"')  # fmt: skip
def procmail_maildir(world: World) -> str:
    return _through(world, "pd", "the Maildir")


@sentence(D, "2.2 MDA", "maildrop delivers into an mbox file, and filters", "maildrop entrega en un fichero mbox, y filtra", "D06 D01",
          tried='[delivery.mailbox_commands] "..." = "/usr/bin/maildrop %h/.mailfilter"; to "/var/mail/USER"')  # fmt: skip
def maildrop_mbox(world: World) -> str:
    return _through(world, "mm", "the file")


@sentence(D, "2.2 MDA", "maildrop delivers into a Maildir, and filters", "maildrop entrega en un Maildir, y filtra", "D06 D02",
          tried='[delivery.mailbox_commands] "..." = "/usr/bin/maildrop %h/.mailfilter"; to "$HOME/Maildir"')  # fmt: skip
def maildrop_maildir(world: World) -> str:
    return _through(world, "md", "the Maildir")


@sentence(D, "2.2 MDA", "mail hands over what is written, and it ends in an mbox as well as in a Maildir",
          "mail entrega lo que se escribe, y acaba tanto en un mbox como en un Maildir", "D01 D02 S77",
          tried="mail -s 'con mail' om od (~/.mailrc: set sendmail=/usr/sbin/sendmail)")  # fmt: skip
def mail(world: World) -> str:
    lab = _mda(world)
    where = home(world, "mail-writes")
    ours = where / "sendmail"
    ours.write_text(f'#!/bin/sh\nexec {sys.executable} -m bridge sendmail "$@"\n')
    ours.chmod(0o755)
    (where / ".mailrc").write_text(f"set sendmail={ours}\n")
    tree = str(Path(__file__).resolve().parents[2])
    run(where, "mail", "-s", "con mail", f"om@{DOMAIN}", f"od@{DOMAIN}", text="escrito con mail\n",
        ESTAFETA_CONFIG=str(lab.config), PYTHONPATH=tree)  # fmt: skip
    arrived(lab, "od", "Subject: con mail")
    file = world.folder / "mdas-spool" / "om"
    until(lambda: "Subject: con mail" in file.read_text())
    return "in both"
