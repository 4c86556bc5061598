"""Seed 003, section 10: mailman."""

import re
import time

from tests.lab import DOMAIN
from tests.seeds.book import World, sentence

D = "003"


def _get(world: World, path: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{world.port('http')}{path}", timeout=20) as answer:
        return str(answer.read().decode("utf-8"))


@sentence(D, "10 newlist", "newlist asks for the name, prints the mail aliases, and a mail is sent to the owner",
          "newlist pide el nombre, muestra los alias de correo, y se envía un mensaje al responsable", "L01 L02 L03")  # fmt: skip
def newlist(world: World) -> str:
    said = world.lab.command("newlist", text=f"prueba\nmargarita@{DOMAIN}\nclave de lista 1\n\n")
    assert "prueba-request:" in said
    before = len(world.lab.mails("margarita"))
    end = time.monotonic() + 10
    while time.monotonic() < end:
        mails = [path.read_text() for path in world.lab.mails("margarita")]
        if any("prueba" in mail.split("\n\n")[0] for mail in mails):
            return next(line for line in said.splitlines() if line.startswith("prueba:"))
        time.sleep(0.2)
    raise AssertionError(f"no mail to the owner ({before} mails)")


@sentence(D, "10 request", "a mail to LIST-request with the word subscribe asks for a confirmation; the answer subscribes",
          "un mensaje a LISTA-request con la palabra subscribe pide confirmación; la respuesta da de alta", "L17 L18")  # fmt: skip
def subscribe(world: World) -> str:
    with world.lab.smtp() as client:
        client.sendmail(
            f"eloy@{DOMAIN}", [f"prueba-request@{DOMAIN}"], f"From: eloy@{DOMAIN}\r\nSubject: \r\n\r\nsubscribe\r\n"
        )
    token = _token(world, "eloy")
    with world.lab.smtp() as client:
        client.sendmail(
            f"eloy@{DOMAIN}",
            [f"prueba-confirm+{token}@{DOMAIN}"],
            f"From: eloy@{DOMAIN}\r\nSubject: Re: confirm {token}\r\n\r\nok\r\n",
        )
    end = time.monotonic() + 15
    while time.monotonic() < end:
        members = world.lab.command("list_members", "prueba").split()
        if f"eloy@{DOMAIN}" in members:
            return f"confirm {token[:6]}...; member"
        time.sleep(0.2)
    raise AssertionError(members)


def _token(world: World, user: str) -> str:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        for path in world.lab.mails(user):
            found = re.search(r"confirm[ +]([0-9a-zA-Z_-]{20,})", path.read_text())
            if found:
                return found[1]
        time.sleep(0.2)
    raise AssertionError("no confirmation came")


@sentence(D, "10 add_members", "add_members -n FILE LIST adds the addresses of a file", "add_members -n FICHERO LISTA añade las "
          "direcciones de un fichero", "L06 L07")  # fmt: skip
def add_members(world: World) -> str:
    path = world.folder / "direcciones"
    path.write_text(f"ana@{DOMAIN}\njuan@client.example.org\n")
    said = world.lab.command("add_members", "-n", str(path), "prueba")
    assert f"ana@{DOMAIN}" in world.lab.command("list_members", "prueba")
    return said.strip().splitlines()[0]


@sentence(D, "10 add_members", "with - as the file the addresses are typed", "con - como fichero, las direcciones se teclean",
          "L06")  # fmt: skip
def add_members_typed(world: World) -> str:
    said = world.lab.command("add_members", "-n", "-", "prueba", text="teclado@client.example.org\n")
    assert "teclado@client.example.org" in world.lab.command("list_members", "prueba")
    return said.strip().splitlines()[0]


@sentence(
    D,
    "10 list_members",
    "list_members LIST prints the subscribers",
    "list_members LISTA muestra los suscriptores",
    "L08",
)
def list_members(world: World) -> str:
    members = world.lab.command("list_members", "prueba").split()
    assert {f"ana@{DOMAIN}", "juan@client.example.org", "teclado@client.example.org"} <= set(members)
    return " ".join(members)


@sentence(D, "10 archive", "http://host/pipermail/LIST is the archive of what was sent to the list",
          "http://máquina/pipermail/LISTA es el histórico de lo enviado a la lista", "A01 A02")  # fmt: skip
def pipermail(world: World) -> str:
    with world.lab.smtp() as client:
        client.sendmail(f"ana@{DOMAIN}", [f"prueba@{DOMAIN}"],
                        f"From: ana@{DOMAIN}\r\nTo: prueba@{DOMAIN}\r\nSubject: primer mensaje\r\n\r\nhola lista\r\n")  # fmt: skip
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            page = _get(world, "/pipermail/prueba/")
        except OSError:
            page = ""
        volume = re.search(r'href="([^"/]+)/thread\.html"', page)
        if volume:
            views = [
                _get(world, f"/pipermail/prueba/{volume[1]}/{view}.html")
                for view in ("thread", "subject", "author", "date")
            ]
            assert all("primer mensaje" in view for view in views)
            return f"{volume[1]}: 4 views"
        time.sleep(0.3)
    raise AssertionError(page[:500])


@sentence(D, "10 listinfo", "http://host/mailman/listinfo shows the lists, and listinfo/LIST one with its subscription form",
          "http://máquina/mailman/listinfo muestra las listas, y listinfo/LISTA una con su formulario de alta", "W01")  # fmt: skip
def listinfo(world: World) -> str:
    assert "prueba" in _get(world, "/mailman/listinfo").lower()
    page = _get(world, "/mailman/listinfo/prueba")
    assert "<form" in page
    return "form"
