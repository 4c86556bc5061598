"""Seed 003, section 10: mailman, by command, by mail and in Debian's Chromium."""

import gzip
import re
import sys
import time
from email import message_from_bytes
from pathlib import Path
from urllib.request import urlopen

from tests.chromium import Chromium
from tests.lab import DOMAIN, PASSWORD
from tests.seeds.book import World, sentence
from tests.seeds.programs import address, arrived, keyboard, surfer, visit, wait

D = "003"
LIST_PASSWORD = "clave de lista 1"
COMMANDS = ("newlist", "add_members", "list_members")


def _text(path: Path) -> str:
    """The text of a mail as a program shows it."""
    payload = message_from_bytes(path.read_bytes()).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8", "replace")


def _members(world: World) -> list[str]:
    return world.lab.command("list_members", "prueba").split()


def _terminal(world: World, typed: str, *steps: tuple[str, str]) -> str:
    """A shell in a terminal that knows the commands by their names."""
    folder = world.folder / "commands"
    if not folder.exists():
        folder.mkdir()
        for name in COMMANDS:
            (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m bridge {name} "$@"\n')
            (folder / name).chmod(0o755)
    environ = {"ESTAFETA_CONFIG": str(world.lab.config), "PATH": f"{folder}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return keyboard(["sh", "-c", typed], steps, environ)


def _by_mail(world: World, who: str, to: str, subject: str, text: str = "") -> None:
    mail = f"From: {who}\r\nTo: {to}@{DOMAIN}\r\nSubject: {subject}\r\n\r\n{text}\r\n"
    with world.lab.smtp() as client:
        client.sendmail(who, [f"{to}@{DOMAIN}"], mail.encode())


def _fresh(world: World) -> Chromium:
    """The browser as somebody who hasn't come in."""
    one = surfer(world)
    one.call("Network.clearBrowserCookies")
    return one


def _seen(one: Chromium) -> str:
    assert not one.complaints, one.complaints
    return str(one.run("document.body.innerText"))


@sentence(D, "10 newlist", "newlist asks for the name, shows the mail aliases, and writes to who runs the list",
          "newlist pide el nombre, muestra los alias de correo, y escribe al responsable", "L01 L03",
          tried="newlist: prueba; margarita@example.org; ********; Intro")  # fmt: skip
def newlist(world: World) -> str:
    said = _terminal(
        world, "newlist", ("name of the list: ", "prueba\n"), ("running the list: ", f"margarita@{DOMAIN}\n"),
        ("password", LIST_PASSWORD + "\n"), ("Hit enter", "\n"),
    )  # fmt: skip
    assert LIST_PASSWORD not in said, "the password is not shown"
    block = said[said.index("## prueba mailing list") :].split("\n\n")[0]
    names = re.findall(r"^(prueba[\w-]*):", block, re.M)
    assert {"prueba", "prueba-request", "prueba-admin", "prueba-owner", "prueba-join", "prueba-leave"} <= set(names), said
    world.notes["block"] = block
    mail = _text(arrived(world.lab, "margarita", "/mailman/admin/prueba"))
    assert "/mailman/listinfo/prueba" in mail, mail
    return f"{len(names)} aliases; mail to margarita"


@sentence(D, "10 newlist", "the aliases are added to /etc/aliases and newaliases is run; here they are known as what works already",
          "los alias se añaden a /etc/aliases y se ejecuta newaliases; aquí se reconocen como algo que ya funciona", "L02 S58",
          tried="prueba: \"|/var/lib/mailman/mail/mailman post prueba\" ... >> /etc/aliases; newaliases; estafeta explain prueba@example.org")  # fmt: skip
def pasted(world: World) -> str:
    before = world.lab.command("explain", f"prueba@{DOMAIN}").splitlines()[-1]
    with (world.folder / "aliases").open("a") as file:
        file.write(world.notes["block"] + "\n")
    said = world.lab.command("newaliases").strip()
    assert "warning" not in said, said
    after = world.lab.command("explain", f"prueba@{DOMAIN}").splitlines()[-1]
    assert all("list" in one for one in (before, after)), (before, after)
    return said.partition("aliases: ")[2] + "; " + after.strip()


@sentence(D, "10 request", "a mail to LIST-request with the word subscribe asks for a confirmation; the answer subscribes",
          "un mensaje a LISTA-request con la palabra subscribe pide confirmación; la respuesta da de alta", "L17 L18",
          tried="mail prueba-request@example.org: subscribe; Re: confirm 1a2b3c...")  # fmt: skip
def subscribe(world: World) -> str:
    _by_mail(world, f"eloy@{DOMAIN}", "prueba-request", "", "subscribe")
    path = arrived(world.lab, "eloy", "prueba-confirm+")
    found = re.search(r"confirm[ +]([0-9a-f]{20,})", path.read_text())
    assert found
    assert f"eloy@{DOMAIN}" not in _members(world)
    _by_mail(world, f"eloy@{DOMAIN}", f"prueba-confirm+{found[1]}", f"Re: confirm {found[1]}", "ok")
    assert wait(lambda: f"eloy@{DOMAIN}" in _members(world)), "no member"
    return f"confirm {found[1][:6]}...; member"


@sentence(D, "10 add_members", "add_members -n FILE LIST adds the addresses of a file", "add_members -n FICHERO LISTA añade las "
          "direcciones de un fichero", "L06 L07", tried="add_members -n direcciones prueba")  # fmt: skip
def add_members(world: World) -> str:
    path = world.folder / "direcciones"
    path.write_text(f"ana@{DOMAIN}\njuan@client.example.org\n")
    said = world.lab.command("add_members", "-n", str(path), "prueba")
    assert {f"ana@{DOMAIN}", "juan@client.example.org"} <= set(_members(world))
    return said.strip().splitlines()[0]


@sentence(D, "10 add_members", "with - for the file the addresses are typed; Ctrl-D twice ends them, and not the shell",
          "con - como fichero las direcciones se teclean; se acaba con Ctrl-D dos veces, sin cerrar la sesión", "L06 L07",
          tried="add_members -n - prueba: teclado@client.example.org, Intro, otra@client.example.org, Intro, Ctrl-D, Ctrl-D")  # fmt: skip
def add_members_typed(world: World) -> str:
    typed = "teclado@client.example.org\notra@client.example.org\n"
    said = _terminal(world, "add_members -n - prueba && read rest && echo still here: $rest",
                     ("Ctrl-D", typed + "\x04\x04"), (r"Subscribed: otra@\S+\n", "y sigue\n"), ("still here: y sigue", ""))  # fmt: skip
    assert {"teclado@client.example.org", "otra@client.example.org"} <= set(_members(world)), said
    return "2 members; the shell goes on"


@sentence(D, "10 list_members", "list_members LIST prints the subscribers", "list_members LISTA muestra los suscriptores", "L08",
          tried="list_members prueba")  # fmt: skip
def list_members(world: World) -> str:
    members = _members(world)
    wanted = {f"ana@{DOMAIN}", f"eloy@{DOMAIN}", "juan@client.example.org", "teclado@client.example.org"}
    assert wanted <= set(members), members
    return " ".join(members)


@sentence(D, "10 listinfo", "http://host/mailman/listinfo shows the lists, in either language",
          "http://máquina/mailman/listinfo muestra las listas, en cualquiera de los dos idiomas", "W01",
          tried="chromium http://host/mailman/listinfo; ?language=es")  # fmt: skip
def listinfo(world: World) -> str:
    assert "prueba" in visit(world, "/mailman/listinfo").lower()
    one = surfer(world)
    titles = []
    for language in ("en", "es"):
        visit(world, f"/mailman/listinfo?language={language}")
        assert one.run("document.documentElement.lang") == language
        titles.append(one.run("document.title"))
    assert titles[0] != titles[1]
    _seen(one)
    return " / ".join(titles)


@sentence(D, "10 listinfo", "a subscription by the page of the list: form, mail, confirmation",
          "un alta por la página de la lista: formulario, mensaje, confirmación", "W01 L18",
          tried="chromium /mailman/listinfo/prueba; /mailman/confirm/prueba/1a2b3c...")  # fmt: skip
def subscribe_by_page(world: World) -> str:
    before, one = set(world.lab.mails("margarita")), _fresh(world)
    visit(world, "/mailman/listinfo/prueba?language=es")
    one.fill(address=f"margarita@{DOMAIN}", name="Margarita")
    time.sleep(2)  # a person reads the page first
    assert one.press('form[action$="subscribe/prueba"] button') == 200
    assert f"margarita@{DOMAIN}" not in _members(world)
    link: list[str] = []

    def came() -> bool:
        for path in set(world.lab.mails("margarita")) - before:
            link.extend(re.findall(r"/mailman/confirm/prueba/[0-9a-f]{32}", _text(path)))
        return bool(link)

    assert wait(came), f"no confirmation came: {_seen(one)}"
    visit(world, link[0])
    assert one.press("main form button[value=yes]") == 200
    assert wait(lambda: f"margarita@{DOMAIN}" in _members(world)), _seen(one)
    return link[0][:28] + "..."


@sentence(D, "10 listinfo", "a member's own data are reached from the page of the list",
          "desde la página de la lista se llega a los datos del usuario", "W03",
          tried="chromium /mailman/listinfo/prueba; /mailman/options/prueba/margarita--at--example.org: delivery.off, delivery.on")  # fmt: skip
def options(world: World) -> str:
    one, who = _fresh(world), f"margarita@{DOMAIN}"
    visit(world, "/mailman/listinfo/prueba")
    assert one.press('a[href$="mailman/options/prueba"]') == 200
    one.fill(account=who, password=PASSWORD)
    assert one.press("button[value=account]") == 200
    assert who in _seen(one)
    for choice, paused in (("delivery.off", [who]), ("delivery.on", [])):
        visit(world, f"/mailman/options/prueba/margarita--at--{DOMAIN}")
        one.fill(**{choice: True})
        assert one.press("main form button") == 200
        assert world.lab.command("list_members", "-n", "byuser", "prueba").split() == paused, _seen(one)
    return f"/mailman/options/prueba/margarita--at--{DOMAIN}: delivery off and on"


@sentence(D, "10 admin", "http://host/mailman/admin: the list is chosen and its options are set",
          "http://máquina/mailman/admin: se selecciona la lista y se configuran sus opciones", "W02 L28",
          tried="chromium /mailman/admin; /mailman/admin/prueba/general: description = Lista de la práctica, max_message_size = muchos")  # fmt: skip
def admin(world: World) -> str:
    one = _fresh(world)
    visit(world, "/mailman/admin")
    one.press('a[href$="mailman/admin/prueba"]')
    one.fill(listpassword=LIST_PASSWORD)
    assert one.press("button[value=list]") == 200
    visit(world, "/mailman/admin/prueba/general")
    shown = one.run("[...document.querySelectorAll('main code')].map(e => e.textContent)")
    assert len(set(shown)) == 32, shown
    one.fill(description="Lista de la práctica")
    assert one.press("p.bar button") == 200
    assert "Lista de la práctica" in visit(world, "/mailman/listinfo/prueba")
    visit(world, "/mailman/admin/prueba/general")
    one.fill(max_message_size="muchos")
    one.press("p.bar button")
    alert = one.run("document.querySelector('[role=alert]').innerText")
    assert "max_message_size" in alert, alert
    return f"{len(set(shown))} options; {' '.join(alert.split())}"


@sentence(D, "10 admin", "members are subscribed there, too", "allí también se da de alta a miembros", "W02 L31",
          tried="chromium /mailman/admin/prueba/members/add: luis@example.org; /mailman/admin/prueba/members")  # fmt: skip
def admin_members(world: World) -> str:
    one = surfer(world)
    visit(world, "/mailman/admin/prueba/members/add")
    one.fill(people=f"luis@{DOMAIN}", **{"how.add": True})
    assert one.press("main form button[type=submit]") == 200
    assert f"luis@{DOMAIN}" in _members(world), _seen(one)
    assert f"luis@{DOMAIN}" in visit(world, "/mailman/admin/prueba/members")
    return "one more, and in the table"


@sentence(D, "10 archive", "http://host/pipermail/LIST is the archive of what was sent to the list",
          "http://máquina/pipermail/LISTA es el histórico de lo enviado a la lista", "A01 A02",
          tried="mail prueba@example.org; chromium /pipermail/prueba, .../thread.html, subject.html, author.html, date.html, 000000.html, ....txt.gz")  # fmt: skip
def pipermail(world: World) -> str:
    _by_mail(world, f"ana@{DOMAIN}", "prueba", "primer mensaje", "hola lista, ¿qué tal?")
    arrived(world.lab, "eloy", "hola lista")
    one = surfer(world)

    def shown() -> bool:
        one.go(address(world, "/pipermail/prueba/"))
        return bool(one.run("!!document.querySelector('a[href$=\"thread.html\"]')"))

    assert wait(shown, 20), one.run("document.body.innerText")
    volume = one.run("document.querySelector('a[href$=\"thread.html\"]').getAttribute('href')").split("/")[0]
    for view in ("thread", "subject", "author", "date"):
        assert "primer mensaje" in visit(world, f"/pipermail/prueba/{volume}/{view}.html"), view
    assert one.press("main li a") == 200
    assert "hola lista, ¿qué tal?" in _seen(one)
    with urlopen(address(world, f"/pipermail/prueba/{volume}.txt.gz"), timeout=20) as answer:
        text = gzip.decompress(answer.read()).decode()
    assert "Subject: " in text
    assert "hola lista, ¿qué tal?" in text
    return f"{volume}: 4 views, the article, the text"


@sentence(D, "10 request", "a mail to LIST-request with the word unsubscribe ends the subscription, after a confirmation",
          "un mensaje a LISTA-request con la palabra unsubscribe da de baja, tras confirmarlo", "L19",
          tried="mail prueba-request@example.org: unsubscribe; Re: confirm 1a2b3c...")  # fmt: skip
def unsubscribe(world: World) -> str:
    who, before = f"margarita@{DOMAIN}", set(world.lab.mails("margarita"))
    _by_mail(world, who, "prueba-request", "unsubscribe")
    token: list[str] = []

    def came() -> bool:
        for path in set(world.lab.mails("margarita")) - before:
            token.extend(re.findall(r"^Subject: confirm ([0-9a-f]{32})", path.read_text(), re.M))
        return bool(token)

    assert wait(came), "no confirmation came"
    assert who in _members(world)
    _by_mail(world, who, f"prueba-confirm+{token[0]}", f"Re: confirm {token[0]}")
    assert wait(lambda: who not in _members(world)), "still a member"
    return "confirmed and gone"


@sentence(D, "10 admin", "posts of strangers wait on the administration pages until somebody decides",
          "los mensajes de extraños esperan en las páginas de administración a que alguien decida", "L47 W04",
          tried="mail prueba@example.org; chromium /mailman/admindb/prueba: accept")  # fmt: skip
def held(world: World) -> str:
    _by_mail(world, "extra@client.example.org", "prueba", "de fuera", "hola")
    one = surfer(world)
    assert wait(lambda: "de fuera" in visit(world, "/mailman/admindb/prueba")), _seen(one)
    assert one.run("(() => { const r = document.querySelector('main input[value=accept]'); r.click(); return r.checked; })()")
    assert one.press("p.bar button") == 200
    arrived(world.lab, "ana", "de fuera")
    return "held, accepted, distributed"
