"""Seed 000, sections 3.3 and 3.4: what IMAP and POP do."""

import re
import time

from tests.lab import DOMAIN, PASSWORD
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, dictate, home, mutt, run, smtp, telnet, wait

D = "000"


def _mail(world: World, user: str, *subjects: str) -> None:
    with smtp(world) as line:
        for subject in subjects:
            dictate(line, "eva@foo.net", [f"{user}@{DOMAIN}"], f"From: eva@foo.net\nSubject: {subject}\n\ntexto de {subject}")
    for subject in subjects:
        arrived(world.lab, user, f"Subject: {subject}\n")


@sentence(D, "3.3 IMAP", "the mail that a server keeps is reached from any machine, and from several at once",
          "al correo guardado en un servidor se accede desde cualquier equipo, y desde varios a la vez", "I01",
          tried=r"SELECT INBOX (3x); STORE 1 +FLAGS (\Flagged); NOOP, FETCH 1 (FLAGS) (2x)")  # fmt: skip
def several_at_once(world: World) -> str:
    _mail(world, "origen", "compartido")
    clients = [world.lab.imap("origen") for _ in range(3)]
    try:
        for client in clients:
            assert client.select("INBOX")[0] == "OK"
        assert clients[0].store("1", "+FLAGS", r"(\Flagged)")[0] == "OK"
        seen = [wait(lambda client=client: (client.noop(), rb"\Flagged" in client.fetch("1", "(FLAGS)")[1][0])[1])
                for client in clients[1:]]  # fmt: skip
    finally:
        for client in clients:
            client.logout()
    assert seen == [True, True]
    return "3 sessions, one set the flag, 2 saw it"


@sentence(D, "3.3 IMAP", "it handles folders on the server: create, rename, delete", "maneja carpetas en el servidor: crear, renombrar, borrar", "I35",
          tried="CREATE Trabajo/2026; RENAME Trabajo Archivo; LIST; DELETE Archivo/2026")  # fmt: skip
def folders(world: World) -> str:
    def names() -> set[str]:
        return {row.decode().rpartition(" ")[2].strip('"') for row in client.list('""', "*")[1] if row}

    with world.lab.imap("origen") as client:
        assert client.create("Trabajo")[0] == client.create("Trabajo/2026")[0] == "OK"
        assert {"Trabajo", "Trabajo/2026"} <= names()
        assert client.rename("Trabajo", "Archivo")[0] == "OK"
        assert {"Archivo", "Archivo/2026"} <= names()
        assert "Trabajo" not in names()
        assert client.delete("Archivo/2026")[0] == client.delete("Archivo")[0] == "OK"
        left = names()
    assert not {"Archivo", "Trabajo"} & left, left
    return "made, renamed with what is below, deleted"


@sentence(D, "3.3 IMAP", "it removes messages for good", "borra mensajes de forma permanente", "I35",
          tried=r"STORE 1 +FLAGS (\Deleted); EXPUNGE")  # fmt: skip
def expunge(world: World) -> str:
    _mail(world, "origen", "para borrar")
    with world.lab.imap("origen") as client:
        client.select("INBOX")
        number = client.search(None, "SUBJECT", '"para borrar"')[1][0].decode()
        client.store(number, "+FLAGS", r"(\Deleted)")
        status, gone = client.expunge()
    assert (status, gone) == ("OK", [number.encode()])
    assert wait(lambda: not any(b"para borrar" in path.read_bytes() for path in world.lab.mails("origen")))
    return f"* {number} EXPUNGE, and the file is gone"


@sentence(D, "3.3 IMAP", "it tells of new mail, when asked and by itself", "avisa del correo nuevo, si se le pregunta y por sí solo", "I35",
          tried="NOOP -> * n EXISTS; IDLE -> * n EXISTS")  # fmt: skip
def new_mail(world: World) -> str:
    with telnet(world.port("imap")) as line:
        line.hear()
        for tag, text in (("a", f'LOGIN origen "{PASSWORD}"'), ("b", "SELECT INBOX")):
            line.type(f"{tag} {text}")
            before = line.hear_tagged(tag)
        count = int(next(m[1] for row in before if (m := re.match(r"\* (\d+) EXISTS", row))))
        _mail(world, "origen", "nuevo uno")
        end, rows = time.monotonic() + 20, [""]
        while f"* {count + 1} EXISTS" not in rows:
            assert time.monotonic() < end, rows
            line.type("c NOOP")
            rows = line.hear_tagged("c")
        line.type("d IDLE")
        assert line.hear_tagged("d")[-1].startswith("+ ")
        _mail(world, "origen", "nuevo dos")
        while (told := line.hear()) != f"* {count + 2} EXISTS":
            assert told.startswith("* "), told
        line.type("DONE")
        line.hear_tagged("d")
    return f"{rows[-2]}; {told} in IDLE"


@sentence(D, "3.3 IMAP", "it gives attributes of messages, and their text in whole or in part", "da los atributos de los mensajes, y su texto entero o en parte", "I35 I01",
          tried="FETCH n (FLAGS INTERNALDATE RFC822.SIZE UID ENVELOPE); BODY[HEADER]; BODY[TEXT]; BODY[TEXT]<0.5>")  # fmt: skip
def attributes(world: World) -> str:
    _mail(world, "origen", "atributos")
    with world.lab.imap("origen") as client:
        client.select("INBOX")
        number = client.search(None, "SUBJECT", "atributos")[1][0].decode()
        told = client.fetch(number, "(FLAGS INTERNALDATE RFC822.SIZE UID ENVELOPE)")[1][0].decode()
        parts = [client.fetch(number, f"({what})")[1][0][1] for what in ("BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "BODY.PEEK[TEXT]<0.5>")]
    assert re.search(r"RFC822.SIZE (\d+)", told)[1] == str(len(parts[0])), told  # type: ignore[index]
    assert '"atributos" ((NIL NIL "eva" "foo.net"))' in told, told
    assert parts[1] + parts[2] == parts[0]
    assert (parts[2], parts[3]) == (b"texto de atributos\r\n", b"texto")
    return told[:160]


@sentence(D, "3.3 IMAP", "it is version 4 revision 1, and understands the words of earlier ones", "es la versión 4 revisión 1, y entiende las palabras de las anteriores", "I01",
          tried="CAPABILITY; FETCH 1 (RFC822.HEADER); FETCH 1 RFC822.TEXT; LSUB; CHECK; select inbox")  # fmt: skip
def versions(world: World) -> str:
    with world.lab.imap("origen") as client:
        words = client.capability()[1][0].decode().split()
        assert client.select("inbox")[0] == "OK", "INBOX in any case"
        old = [client.fetch("1", item)[1][0][1] for item in ("(RFC822.HEADER)", "(RFC822.TEXT)", "(RFC822)")]
        assert old[0] + old[1] == old[2]
        assert client.check()[0] == client.lsub()[0] == "OK"
    assert "IMAP4rev1" in words
    return " ".join(words[:6])


@sentence(D, "3.4 POP", "the server speaks first, with a greeting; then command and answer take turns until the connection is closed",
          "el servidor habla primero, con un saludo; después se alternan órdenes y respuestas hasta el cierre", "I48",
          tried="telnet host 110; USER; PASS; STAT; NOOP; QUIT")  # fmt: skip
def greeting(world: World) -> str:
    with telnet(world.port("pop3")) as line:
        hello = line.hear()
        assert hello.startswith("+OK ")
        for text in ("USER origen", f"PASS {PASSWORD}", "STAT", "NOOP", "QUIT"):
            line.type(text)
            assert line.hear().startswith("+OK"), (text, line.said)
        assert line.hear() == "", "closed"
    return hello


@sentence(D, "3.4 POP", "messages are copied to the machine of who reads, and deleted on the server",
          "los mensajes se copian en el equipo de quien lee, y se borran del servidor", "I48",
          tried="/usr/bin/fetchmail --mda 'cat >>mbox'")  # fmt: skip
def download_and_delete(world: World) -> str:
    _mail(world, "origen", "se va una", "se va otra")
    before = len(world.lab.mails("origen"))
    box = world.folder / "homes" / "origen-pc" / "mbox"
    where = home(world, "origen-pc", {".fetchmailrc": (
        f'poll 127.0.0.1 proto pop3 port {world.port("pop3")} user origen pass "{PASSWORD}" is someone here\n'
        f"    sslproto '' fetchall mda \"sh -c '(echo From x Thu Jan  1 00:00:00 2026; cat; echo) >>{box}'\"\n"
    )})  # fmt: skip
    run(where, "/usr/bin/fetchmail", "-f", where / ".fetchmailrc", "--idfile", where / "ids")
    assert not world.lab.mails("origen"), "deleted"
    text = box.read_text()
    assert text.count("\nSubject: ") == before
    return f"{before} messages here, none there"


@sentence(D, "3.4 POP", "they can be read later, with no connection at all", "se pueden leer después, sin conexión alguna", "I48",
          tried="mutt -f ~/mbox")  # fmt: skip
def offline(world: World) -> str:
    box = world.folder / "homes" / "origen-pc" / "mbox"
    text = mutt(world, str(box), "<search>~s otra<enter><pipe-message>cat >{out}<enter>", "origen")
    assert "texto de se va otra" in text, text
    return "read from the file"


@sentence(D, "3.4 POP", "the version in use is 3; it changes nothing on the server but what is deleted",
          "la versión en uso es la 3; no modifica nada en el servidor salvo lo que se borra", "I48",
          tried="RETR 1; DELE 1; RSET; QUIT; IMAP: SEARCH SUBJECT intacto")  # fmt: skip
def changes_nothing(world: World) -> str:
    _mail(world, "origen", "intacto")
    pop3 = world.lab.pop3("origen")
    number = pop3.stat()[0]
    pop3.retr(number)
    pop3.dele(number)
    pop3.rset()
    pop3.quit()
    with world.lab.imap("origen") as client:
        client.select("INBOX", readonly=True)
        assert client.search(None, "SUBJECT", "intacto")[1][0]
    return "DELE and RSET: still there"
