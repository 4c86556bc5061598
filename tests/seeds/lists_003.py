"""Seed 003, section 10: mailman."""

import re
import time
from collections.abc import Callable
from email import message_from_bytes
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from tests.lab import DOMAIN, PASSWORD
from tests.seeds.book import World, sentence

D = "003"
LIST_PASSWORD = "clave de lista 1"


class Surfer:
    """A browser without pictures: keeps cookies, follows redirects, sends forms with their token."""

    def __init__(self, world: World) -> None:
        self._base = f"http://127.0.0.1:{world.port('http')}"
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> str:
        return self._read(path, None)

    def send(self, path: str, fields: dict[str, str], *, form: str = "") -> str:
        """Fill the form that the page `form` (or `path`) holds and send it to `path`."""
        found = re.search(r'name="token" value="([^"]+)"', self.get(form or path))
        assert found, "a form"
        return self._read(path, urlencode({"token": found[1], **fields}).encode())

    def _read(self, path: str, data: bytes | None) -> str:
        try:
            with self._opener.open(self._base + path, data, timeout=20) as answer:
                return str(answer.read().decode("utf-8"))
        except HTTPError as error:
            return error.read().decode("utf-8")


def _administrator(world: World) -> Surfer:
    surfer = Surfer(world)
    fields = {"page": "admin", "do": "list", "password": LIST_PASSWORD}
    page = surfer.send("/mailman/login/prueba", fields, form="/mailman/admin/prueba")
    assert 'name="description"' in page, page[:500]
    return surfer


def _text(path: Path) -> str:
    """The text of a mail as a program shows it."""
    payload = message_from_bytes(path.read_bytes()).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode("utf-8", "replace")


def _wait(what: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _members(world: World) -> list[str]:
    return world.lab.command("list_members", "prueba").split()


def _get(world: World, path: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{world.port('http')}{path}", timeout=20) as answer:
        return str(answer.read().decode("utf-8"))


@sentence(D, "10 newlist", "newlist asks for the name, prints the mail aliases, and a mail is sent to the owner",
          "newlist pide el nombre, muestra los alias de correo, y se envía un mensaje al responsable", "L01 L02 L03")  # fmt: skip
def newlist(world: World) -> str:
    said = world.lab.command("newlist", text=f"prueba\nmargarita@{DOMAIN}\n{LIST_PASSWORD}\n\n")
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


@sentence(D, "10 admin", "http://host/mailman/admin: choose the list, set its options, subscribe members there",
          "http://máquina/mailman/admin: se selecciona la lista, se configuran sus opciones y se dan altas", "W02 L28 L31")  # fmt: skip
def admin(world: World) -> str:
    assert 'href="../mailman/admin/prueba"' in _get(world, "/mailman/admin")
    surfer = _administrator(world)
    page = surfer.get("/mailman/admin/prueba/general")
    shown = set(re.findall(r"<code>(\w+)</code>", page))
    assert len(shown) == 32, len(shown)
    page = surfer.send("/mailman/admin/prueba/general", {"description": "Lista de la práctica"})
    assert "Lista de la práctica" in page
    assert "Lista de la práctica" in _get(world, "/mailman/listinfo/prueba")
    page = surfer.send("/mailman/admin/prueba/general", {"max_message_size": "muchos"})
    assert 'href="#max_message_size"' in page
    surfer.send("/mailman/admin/prueba/members/add", {"people": f"luis@{DOMAIN}", "how": "add"})
    assert f"luis@{DOMAIN}" in _members(world)
    return "32 options, 1 member more"


@sentence(D, "10 listinfo", "a subscription by the page of the list: form, mail, confirmation",
          "un alta por la página de la lista: formulario, mensaje, confirmación", "W01 L18")  # fmt: skip
def subscribe_by_page(world: World) -> str:
    surfer, before = Surfer(world), set(world.lab.mails("margarita"))
    page = surfer.get("/mailman/listinfo/prueba")
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    time.sleep(6)  # a person reads the page first
    fields = {"token": found[1], "email": f"margarita@{DOMAIN}", "fullname": "Margarita", "language": "es"}
    surfer._read("/mailman/subscribe/prueba", urlencode(fields).encode())
    link: list[str] = []

    def came() -> bool:
        for path in set(world.lab.mails("margarita")) - before:
            link.extend(re.findall(r"/mailman/confirm/prueba/[0-9a-f]{32}", _text(path)))
        return bool(link)

    assert _wait(came), "no confirmation came"
    assert f"margarita@{DOMAIN}" not in _members(world)
    surfer.send(link[0], {"do": "yes"})
    assert f"margarita@{DOMAIN}" in _members(world)
    return link[0][:28] + "..."


@sentence(D, "10 listinfo", "a member's own data are reached from the page of the list",
          "desde la página de la lista se llega a los datos del usuario", "W03")  # fmt: skip
def options(world: World) -> str:
    assert "mailman/options/prueba" in _get(world, "/mailman/listinfo/prueba")
    surfer, address = Surfer(world), f"margarita@{DOMAIN}"
    fields = {"page": "options", "do": "account", "email": address, "password": PASSWORD}
    page = surfer.send("/mailman/login/prueba", fields, form="/mailman/options/prueba")
    assert address in page, page[:500]
    path = f"/mailman/options/prueba/margarita--at--{DOMAIN}"
    surfer.send(path, {"do": "save", "delivery": "off", "fullname": "Margarita", "memberlanguage": "es"})
    paused = world.lab.command("list_members", "-n", "byuser", "prueba").split()
    assert paused == [address]
    surfer.send(path, {"do": "save", "delivery": "on", "fullname": "Margarita", "memberlanguage": "es"})
    return f"{path}: delivery off and on"


@sentence(D, "10 request", "a mail to LIST-request with the word unsubscribe ends the subscription, after a confirmation",
          "un mensaje a LISTA-request con la palabra unsubscribe da de baja, tras confirmarlo", "L19")  # fmt: skip
def unsubscribe(world: World) -> str:
    address, before = f"margarita@{DOMAIN}", set(world.lab.mails("margarita"))
    with world.lab.smtp() as client:
        client.sendmail(
            address, [f"prueba-request@{DOMAIN}"], f"From: {address}\r\nSubject: unsubscribe\r\n\r\n\r\n"
        )
    token: list[str] = []

    def came() -> bool:
        for path in set(world.lab.mails("margarita")) - before:
            token.extend(re.findall(r"^Subject: confirm ([0-9a-f]{32})", path.read_text(), re.M))
        return bool(token)

    assert _wait(came), "no confirmation came"
    assert address in _members(world)
    with world.lab.smtp() as client:
        client.sendmail(address, [f"prueba-confirm+{token[0]}@{DOMAIN}"],
                        f"From: {address}\r\nSubject: Re: confirm {token[0]}\r\n\r\n\r\n")  # fmt: skip
    assert _wait(lambda: address not in _members(world)), "still a member"
    return "confirmed and gone"


@sentence(D, "10 moderation", "posts of strangers wait on the administration pages until somebody decides",
          "los mensajes de extraños esperan en las páginas de administración a que alguien decida", "L47 W04")  # fmt: skip
def held(world: World) -> str:
    stranger = "extra@client.example.org"
    with world.lab.smtp() as client:
        client.sendmail(stranger, [f"prueba@{DOMAIN}"],
                        f"From: {stranger}\r\nTo: prueba@{DOMAIN}\r\nSubject: de fuera\r\n\r\nhola\r\n")  # fmt: skip
    surfer = _administrator(world)
    assert _wait(lambda: "de fuera" in surfer.get("/mailman/admindb/prueba")), "nothing waits"
    parent = re.search(r'name="do\.(\w+)" value="accept"', surfer.get("/mailman/admindb/prueba"))
    assert parent
    before = set(world.lab.mails("ana"))
    surfer.send("/mailman/admindb/prueba", {f"do.{parent[1]}": "accept"})

    def came() -> bool:
        return any("de fuera" in path.read_text() for path in set(world.lab.mails("ana")) - before)

    assert _wait(came), "not distributed"
    return "held, accepted, distributed"
