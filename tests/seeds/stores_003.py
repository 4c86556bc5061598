"""Seed 003, sections 2, 4 and 7: where mail is kept and who reads it there; aliases."""

import contextlib
import re
import sqlite3
import time
from pathlib import Path

from tests.lab import DOMAIN, until
from tests.seeds.book import World, sentence
from tests.seeds.programs import arrived, home, mutt, run

D = "003"


@sentence(D, "7 MDA", "the mailbox of a user is the file /var/spool/mail/USER, and mail is appended at its end",
          "el buzón de un usuario es el fichero /var/spool/mail/USUARIO, y el correo se añade al final", "D01 D08",
          tried='[accounts] store = "mbox"; sendmail ana (2x); mail -f /var/spool/mail/ana; IMAP; POP3 DELE')  # fmt: skip
def an_mbox(world: World) -> str:
    spool = world.folder / "var-spool-mail"
    spool.mkdir(exist_ok=True)
    with world.lab.variant("mbox", f'store = "mbox"\nmbox = "{spool}/{{user}}"', "ana") as lab:
        file = spool / "ana"
        for number in (1, 2):
            with lab.smtp() as client:
                client.sendmail("eva@foo.net", [f"ana@{DOMAIN}"], f"Subject: n{number}\r\n\r\nFrom here\r\n")
            until(lambda number=number: file.exists() and f"Subject: n{number}" in file.read_text())
        text = file.read_text()
        assert text.startswith("From eva@foo.net ")
        assert text.index("Subject: n1") < text.index("Subject: n2")
        where = home(world, "mail")
        said = run(where, "mail", "-f", file, text="x\n")
        assert "2 messages" in said, said
        with lab.imap("ana") as client:
            assert client.select("INBOX") == ("OK", [b"2"])
            assert client.fetch("2", "(BODY[TEXT])")[1][0][1] == b"From here\r\n"
        pop3 = lab.pop3("ana")
        pop3.dele(1)
        pop3.quit()
        assert "Subject: n1" not in file.read_text()
        assert "1 message" in run(where, "mail", "-f", file, text="x\n")
    return text.splitlines()[0]


@sentence(D, "7 MDA", "where there are many users and much traffic, mail is put into a database",
          "donde hay muchos usuarios y mucho tráfico, el correo se inserta en una base de datos", "D03",
          tried='[accounts] store = "database"; IMAP; POP3; SELECT account, folder, size FROM mail_message')  # fmt: skip
def a_database(world: World) -> str:
    with world.lab.variant("rows", 'store = "database"', "ana", "luis") as lab:
        with lab.smtp() as client:
            names = [f"{name}@{DOMAIN}" for name in ("ana", "luis")]
            client.sendmail("eva@foo.net", names, "Subject: en filas\r\n\r\nHola\r\n")
        for name in ("ana", "luis"):
            with lab.imap(name) as reader:
                until(lambda reader=reader: reader.select("INBOX") == ("OK", [b"1"]))
        pop3 = lab.pop3("luis")
        assert b"Subject: en filas" in pop3.retr(1)[1]
        pop3.dele(1)
        pop3.quit()
        with contextlib.closing(sqlite3.connect(f"file:{lab.data}/db/mail.db?mode=ro", uri=True)) as rows:
            found = rows.execute("SELECT account, folder, size FROM mail_message").fetchall()
        assert [row[:2] for row in found] == [(f"ana@{DOMAIN}", "INBOX")], found
        assert not list(Path(str(lab.data)).glob("mail/**/new/*")), "no files"
    return f"one row, {found[0][2]} bytes"


@sentence(D, "7 mailbox format", "messages in the file have a line From sender date before them and an empty line behind",
          "los mensajes del fichero llevan delante una línea From remitente fecha y detrás una línea en blanco", "D01",
          tried="sendmail ana (3x); mail -f FILE; mutt -f FILE")  # fmt: skip
def the_format(world: World) -> str:
    spool = world.folder / "formato"
    spool.mkdir()
    with world.lab.variant("format", f'store = "mbox"\nmbox = "{spool}/{{user}}"', "ana") as lab:
        with lab.smtp() as client:
            for number in (1, 2, 3):
                client.sendmail(f"remitente{number}@foo.net", [f"ana@{DOMAIN}"], f"Subject: m{number}\r\n\r\nmensaje {number}\r\n")
        file = spool / "ana"
        until(lambda: file.exists() and re.search(r"mensaje \d\n\n\Z", text := file.read_text()) and text.count("\nmensaje ") == 3)
        text = file.read_text()
        said = run(home(world, "mail"), "mail", "-f", file, text="x\n")
        shown = mutt(world, str(file), "<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >>{out}<enter>")
    one = r"From remitente{0}@foo.net \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d \d{{4}}\n(?:.+\n)+\nmensaje {0}\n\n"
    numbers = list(re.findall(r"^mensaje (\d)$", text, re.M))
    assert sorted(numbers) == ["1", "2", "3"]
    assert re.fullmatch("".join(one.format(n) for n in numbers), text), text
    assert "3 messages" in said, said
    assert all(f"mensaje {number}" in shown for number in (1, 2, 3)), shown
    return text.splitlines()[0]


# ---- aliases --------------------------------------------------------------------------------------


def _alias(world: World, lines: str) -> str:
    """Write the lines into the alias file and say newaliases."""
    with (world.folder / "aliases").open("a") as file:
        file.write(lines)
    said = world.lab.command("newaliases")
    time.sleep(1.2)  # the server looks at most once a second
    return said.strip()


def _to(world: World, name: str, subject: str) -> None:
    world.lab.command("sendmail", "-i", name, text=f"Subject: {subject}\n\ntexto de {subject}\n")


@sentence(D, "7 aliases", "name: alias, alias...; an alias is an address, or another local user",
          "nombre: alias, alias...; un alias es una dirección, u otro usuario local", "S54 S58",
          tried="jefes: luis, ana@bar.com >> /etc/aliases; newaliases; sendmail jefes")  # fmt: skip
def alias_addresses(world: World) -> str:
    said = _alias(world, "jefes: luis, ana@bar.com\n")
    _to(world, "jefes", "alias de dos")
    for user in ("luis", "ana"):
        arrived(world.lab, user, "Subject: alias de dos")
    return said


@sentence(D, "7 aliases", "/path/to/file: the message is added at the end of the file", "/ruta/a/fichero: el mensaje se añade al final del fichero", "S55",
          tried="registro: /ruta/a/fichero; newaliases; sendmail registro (2x)")  # fmt: skip
def alias_file(world: World) -> str:
    file = world.folder / "files" / "registro"
    _alias(world, f"registro: {file}\n")
    for number in (1, 2):
        _to(world, "registro", f"al fichero {number}")
        until(lambda number=number: file.exists() and f"texto de al fichero {number}" in file.read_text())
    text = file.read_text()
    assert text.startswith("From ")
    assert text.index("fichero 1") < text.index("fichero 2")
    return text.splitlines()[0]


@sentence(D, "7 aliases", "| /path/to/program, with the blank: the program is run, the message is its standard input",
          "| /ruta/a/programa, con el espacio: se ejecuta el programa con el mensaje en su entrada estándar", "S56",
          tried="programa: | /ruta/a/programa; newaliases; sendmail programa")  # fmt: skip
def alias_program(world: World) -> str:
    program, out = world.folder / "bin" / "programa", world.folder / "files" / "salida"
    program.write_text(f"#!/bin/sh\nexec cat >{out}\n")
    program.chmod(0o755)
    _alias(world, f"programa: | {program}\n")
    _to(world, "programa", "al programa")
    until(lambda: out.exists() and "texto de al programa" in out.read_text(), 20, world.lab.tail())
    assert out.read_text().startswith("Return-Path: <")
    return f"{len(out.read_text())} bytes on standard input"


@sentence(D, "7 aliases", ":include:/path/to/file: the file has aliases, in lines or between commas",
          ":include:/ruta/a/fichero: el fichero contiene alias, por líneas o separados por comas", "S57",
          tried="varios: :include:/ruta/a/fichero; newaliases; sendmail varios")  # fmt: skip
def alias_include(world: World) -> str:
    file = world.folder / "incluidos"
    file.write_text("ana\nluis, margarita@bar.com\n")
    file.chmod(0o644)
    _alias(world, f"varios: :include:{file}\n")
    _to(world, "varios", "a los incluidos")
    for user in ("ana", "luis", "margarita"):
        arrived(world.lab, user, "Subject: a los incluidos")
    return "ana, luis, margarita"


@sentence(D, "7 aliases", "newaliases is run after each change; a mistake is named with its line and changes nothing",
          "newaliases se ejecuta tras cada cambio; un error se nombra con su línea y no cambia nada", "S58",
          tried="newaliases; esto no es un alias >> /etc/aliases; newaliases")  # fmt: skip
def newaliases(world: World) -> str:
    file = world.folder / "aliases"
    good = file.read_text()
    said = world.lab.command("newaliases").strip()
    assert f"{file}: {len([row for row in good.splitlines() if ':' in row])} aliases" in said, said
    file.write_text(good + "esto no es un alias\n")
    wrong = world.lab.command("newaliases", check=False, LANG="es_ES.UTF-8", LC_ALL="es_ES.UTF-8")
    time.sleep(1.2)
    _to(world, "jefes", "sigue en vigor")
    arrived(world.lab, "luis", "Subject: sigue en vigor")
    file.write_text(good)
    place = f"{file}:{len(good.splitlines()) + 1}: "
    assert place in wrong, wrong
    return f"{said.partition('aliases: ')[2]} | {wrong[wrong.index(place) :].splitlines()[0].partition('aliases:')[2]}"
