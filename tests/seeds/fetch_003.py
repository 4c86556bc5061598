"""Seed 003, section 9: fetchmail, on demand and as a daemon, with the printed .fetchmailrc; fetchmailconf.

The printed providers are fake ones of this machine. Once the file stands as printed: a hosts file of that command alone
leads to them, and they know TLS. Elsewhere `via 127.0.0.1 port N` leads there, and `sslproto ''` is added, without
which an old server that knows no TLS is refused: that is a sentence of its own.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bridge.intake.fetch.fakes import FakePop3, Session, certificate, mail
from tests.lab import DOMAIN, PASSWORD, until
from tests.seeds.book import World, sentence
from tests.seeds.programs import address, surfer, visit
from tests.seeds.site import NEIGHBOUR, NET, neighbour

D = "003"
OLD = " sslproto ''"
PRINTED = """poll bing.fubar.net via 127.0.0.1 proto pop3 port {0} user "MaiVega" pass "scr70"{old}
poll mail.xyzy.com via 127.0.0.1 with proto pop3 port {1}:
    user "ersanz" there has password "mi clave"
    is eloy here{old}
poll correo.frob.edu via 127.0.0.1 proto pop3 port {2}
    user "juanito" password juan{old}
    user "carmen" password menchu{old}
"""
AS_IT_STANDS = """poll bing.fubar.net proto pop3 user "MaiVega" pass "scr70"
poll mail.xyzy.com with proto pop3:
    user "ersanz" there has password "mi clave"
    is eloy here
poll correo.frob.edu proto pop3
    user "juanito" password juan
    user "carmen" password menchu
"""
HOSTS = {"bing.fubar.net": f"{NET}.101", "mail.xyzy.com": f"{NET}.102", "correo.frob.edu": f"{NET}.103"}
POSTMASTER = "ana"  # whoever runs this is root here, whose mail is the first account's


class Provider(FakePop3):
    """A POP3 server of 2003 with several users: `passwords` by name; mail named `user:anything` is theirs."""

    def __init__(self, messages: dict[str, bytes], **passwords: str) -> None:
        super().__init__(messages)
        self.passwords = passwords

    def serve(self, session: Session) -> None:
        session.line(self.greeting)
        user, box, gone = "", list[tuple[str, bytes]](), set[str]()
        while not session.gone and (raw := session.file.readline()):
            text = raw.decode().rstrip("\r\n")
            self.heard.append(text)
            word, _, rest = text.partition(" ")
            if word == "USER":
                user = rest
            if word != "PASS":
                self.answer(session, word, rest, box, gone)
            elif self.passwords.get(user) == rest:
                box = [one for one in self.messages.items() if one[0].startswith(user + ":")]
                session.line("+OK")
            else:
                session.line("-ERR no")


class Here(Provider):
    """One at the trade's port of an address of its own, with a certificate for its name."""

    def __init__(self, folder: Path, name: str, messages: dict[str, bytes], **passwords: str) -> None:
        super().__init__(messages, **passwords)
        self.tls, self.authority, _ = certificate(folder, name)
        self._listening.close()
        self._listening = socket.create_server((HOSTS[name], 110))


@contextmanager
def _providers(first: int) -> Iterator[tuple[Provider, Provider, Provider]]:
    """The three printed ones; four messages, numbered from `first`."""
    with (
        Provider({"MaiVega:1": mail(first)}, MaiVega="scr70") as bing,
        Provider({"ersanz:1": mail(first + 1)}, ersanz="mi clave") as xyzy,
        Provider({"juanito:1": mail(first + 2), "carmen:1": mail(first + 3)}, juanito="juan", carmen="menchu") as frob,
    ):
        yield bing, xyzy, frob


def _home(world: World, name: str, text: str = "") -> Path:
    """A home folder with a .fetchmailrc."""
    home = world.folder / name
    home.mkdir(exist_ok=True)
    if text:
        (home / ".fetchmailrc").write_text(text)
        (home / ".fetchmailrc").chmod(0o600)
    return home


def _fetchmail(world: World, home: Path, *words: str) -> str:
    return world.lab.command("fetchmail", "--pidfile", str(home / "pid"), *words, check=False, HOME=str(home))


def _arrived(world: World, user: str, number: int) -> None:
    wanted = re.compile(rb"^X-Number: %d\r?$" % number, re.M)
    until(lambda: any(wanted.search(one.read_bytes()) for one in world.lab.mails(user)), what=f"{number} at {user}")


@sentence(D, "9 .fetchmailrc", "the printed .fetchmailrc, not a letter changed, with servers of those names that know TLS",
          "el .fetchmailrc impreso, sin cambiar una letra, con servidores de esos nombres que conocen TLS", "F01 F03 F04 F05 F06 F07",
          tried="unshare -m (/etc/hosts); fetchmail")  # fmt: skip
def as_it_stands(world: World) -> str:
    folder = world.folder / "providers"
    folder.mkdir()
    with (
        Here(folder, "bing.fubar.net", {"MaiVega:1": mail(941)}, MaiVega="scr70") as bing,
        Here(folder, "mail.xyzy.com", {"ersanz:1": mail(942)}, ersanz="mi clave") as xyzy,
        Here(folder, "correo.frob.edu", {"juanito:1": mail(943), "carmen:1": mail(944)}, juanito="juan", carmen="menchu") as frob,
    ):
        servers = (bing, xyzy, frob)
        trusted, hosts = folder / "authorities.pem", folder / "hosts"
        trusted.write_text("".join(one.authority.read_text() for one in servers))
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{where} {name}\n" for name, where in HOSTS.items()))
        home = _home(world, "as-it-stands", AS_IT_STANDS)
        command = shlex.join([sys.executable, "-m", "bridge", "fetchmail", "--pidfile", str(home / "pid")])
        words = ["unshare", "-m", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec {command}"]
        environ = {**os.environ, "HOME": str(home), "SSL_CERT_FILE": str(trusted), "ESTAFETA_CONFIG": str(world.lab.config), "LANG": "C.UTF-8"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environ)
        said = done.stdout + done.stderr
        assert not [one for server in servers for one in server.messages], f"deleted there: {said}"
        heard = [server.heard[:3] for server in servers]
    assert all("STLS" in words for words in heard), heard
    _arrived(world, "eloy", 942)
    for number in (941, 943, 944):
        _arrived(world, POSTMASTER, number)
    assert done.returncode == 0, said
    return said.strip().replace("\n", " | ")


@sentence(D, "9 fetchmail", "other protocols than POP3 will do", "sirve otro protocolo que no sea POP3", "F07", tried="poll mail.foo.net proto imap ...")
def by_imap(world: World) -> str:
    there = neighbour(world)
    there.command("sendmail", "-f", "ana@foo.net", "ana@foo.net", text="Subject: por imap\nX-Number: 951\n\n")
    until(lambda: list((Path(there.mail) / "foo.net/ana/Maildir/new").glob("*")))
    text = f"poll {NEIGHBOUR} proto imap user ana@foo.net pass \"{PASSWORD}\" is eloy here sslproto ''\n"
    said = _fetchmail(world, _home(world, "by-imap", text))
    _arrived(world, "eloy", 951)
    return said.strip()


@sentence(D, "9 fetchmail", "fetchmail, called without more, collects as the printed .fetchmailrc says",
          "fetchmail, llamado sin más, recoge lo que dice el .fetchmailrc impreso", "F01 F03 F04 F05 F06 F07",
          tried="fetchmail; fetchmail -> No mail")  # fmt: skip
def on_demand(world: World) -> str:
    with _providers(901) as servers:
        home = _home(world, "on-demand", PRINTED.format(*(one.port for one in servers), old=OLD))
        said = _fetchmail(world, home)
        assert not [one for server in servers for one in server.messages], f"deleted there: {said}"
        _arrived(world, "eloy", 902)
        for number in (901, 903, 904):
            _arrived(world, POSTMASTER, number)
        again = _fetchmail(world, home)
        assert again.count("No mail for") == 4, again
    return said.splitlines()[0]


@sentence(D, "9 fetchmail", "a server of 2003 without TLS is refused, and the line to add is named",
          "un servidor de 2003 sin TLS se rechaza, y se nombra la línea que hay que añadir", "F04 F51",
          tried="fetchmail -> sslproto ''")  # fmt: skip
def without_tls(world: World) -> str:
    with _providers(911) as servers:
        home = _home(world, "plain", PRINTED.format(*(one.port for one in servers), old=""))
        said = _fetchmail(world, home)
        heard = [line for one in servers for line in one.heard]
    assert not [line for line in heard if line.startswith(("USER", "PASS"))], heard
    hints = [line for line in said.splitlines() if line.endswith("sslproto ''")]
    assert [re.search(r"fetchmailrc:(\d+): ", line)[1] for line in hints] == ["1", "3", "6", "7"], said  # type: ignore[index]
    return hints[0].partition(".fetchmailrc")[2]


@sentence(D, "9 fetchmail", "fetchmail --daemon N goes on in the background and looks every N seconds",
          "fetchmail --daemon N sigue en segundo plano y mira el correo cada N segundos", "F01 F02 F49",
          tried="fetchmail --daemon 2; fetchmail -> awakened; fetchmail --quit")  # fmt: skip
def daemon(world: World) -> str:
    with Provider({"eva:1": mail(921)}, eva="p") as server:
        text = f"poll there.example.org via 127.0.0.1 proto pop3 port {server.port} user eva pass p is eloy here{OLD}\n"
        home = _home(world, "daemon", text)
        _fetchmail(world, home, "--daemon", "2")
        try:
            _arrived(world, "eloy", 921)
            until(lambda: not server.messages)
            server.messages["eva:2"] = mail(922)
            _arrived(world, "eloy", 922)
            woken = _fetchmail(world, home)
            assert "awakened" in woken, woken
        finally:
            ended = _fetchmail(world, home, "--quit")
    assert "killed" in ended, ended
    return woken.strip()


@sentence(D, "9 .fetchmailrc", "the printed file as one of the site: who gets the mail must be said, with the line",
          "el fichero impreso como fichero del sitio: hay que decir de quién es el correo, con la línea", "F03 F06",
          tried='[fetch] rcfiles = [".fetchmailrc"]; estafeta check')  # fmt: skip
def site_file(world: World) -> str:
    home = _home(world, "site", PRINTED.format(1, 2, 3, old=OLD))
    config = world.folder / "site.toml"
    config.write_text(world.lab.config.read_text().replace("[fetch]\n", f'[fetch]\nrcfiles = ["{home}/.fetchmailrc"]\n'))
    said = world.lab.command("check", "--config", str(config), check=False)
    lines = [line for line in said.splitlines() if line.endswith("in a site file add: is NAME here")]
    assert [line.partition(".fetchmailrc:")[2].partition(":")[0] for line in lines] == ["1", "6", "7"], said
    return lines[0].partition(".fetchmailrc")[2]


@sentence(D, "9 .fetchmailrc", "a mistake in the file is named with its line, and a file that others may read is refused",
          "un error en el fichero se nombra con su línea, y se rechaza un fichero que otros pueden leer", "F03 F04 F51",
          tried="ist eloy here; chmod 644 .fetchmailrc; fetchmail")  # fmt: skip
def mistakes(world: World) -> str:
    home = _home(world, "mistakes", PRINTED.format(1, 2, 3, old=OLD).replace("is eloy", "ist eloy"))
    said = _fetchmail(world, home)
    assert ".fetchmailrc:4: " in said, said
    (home / ".fetchmailrc").chmod(0o644)
    assert "chmod 600" in _fetchmail(world, home)
    return said.strip().partition(".fetchmailrc")[2]


@sentence(D, "9 fetchmailconf", "fetchmailconf makes the file; Debian's fetchmail reads it and means the same",
          "fetchmailconf crea el fichero; el fetchmail de Debian lo lee y entiende lo mismo", "F55 F49",
          tried="fetchmailconf --expert; fetchmail; /usr/bin/fetchmail --configdump")  # fmt: skip
def wizard(world: World) -> str:
    home = _home(world, "wizard")
    with Provider({"MaiVega:1": mail(931)}, MaiVega='scr"70') as server:
        answers = ("127.0.0.1", "?", "pop3", "none", str(server.port), "MaiVega", 'scr"70', "n", "eloy", "0", "")
        said = world.lab.command("fetchmailconf", "--expert", text="\n".join(answers) + "\n", HOME=str(home))
        assert "It works." in said, said
        collected = _fetchmail(world, home)
        _arrived(world, "eloy", 931)
    file = home / ".fetchmailrc"
    dump = ["fetchmail", "-f", str(file), "--configdump"]
    theirs = subprocess.run(dump, capture_output=True, text=True, timeout=20).stdout.splitlines()
    ours = _fetchmail(world, home, "--configdump").splitlines()
    kept = [[line for line in dump if not re.search("idfile|feature", line)] for dump in (theirs, ours)]
    assert kept[0] == kept[1]
    assert file.stat().st_mode & 0o777 == 0o600
    return collected.splitlines()[0]


@sentence(D, "9 fetchmailconf", "the same as a page: where the mail waits, the login tried, and the mail comes",
          "lo mismo como página: dónde espera el correo, se prueba la clave, y el correo llega", "F55",
          tried="chromium /fetchmailconf?mode=expert: host, protocol, port, user, password; estafeta fetch")  # fmt: skip
def page(world: World) -> str:
    there, one = neighbour(world), surfer(world)
    there.command("sendmail", "-f", "eloy@foo.net", "ana@foo.net", text="Subject: por la página\nX-Number: 961\n\n")
    one.call("Network.clearBrowserCookies")
    one.go(address(world, "/fetchmailconf?mode=expert"))
    one.fill(account=f"luis@{DOMAIN}", password=PASSWORD)
    one.press("form.card button")
    assert visit(world, "/fetchmailconf?mode=expert")
    fields = {"host": NEIGHBOUR, "protocol": "imap", "tls": "none", "port": "143", "user": "ana@foo.net"}
    one.fill(**fields, password="no es esta")
    one.press("form.card p > button[value=save]")
    refused = one.run("document.querySelector('[role=alert]').innerText")
    one.fill(**fields, password=PASSWORD)
    status = one.press("form.card p > button[value=save]")
    assert status == 200, (status, refused, one.run("document.body.innerText"))
    shown = one.run("document.querySelector('ul.lists').innerText")
    assert NEIGHBOUR in shown, shown
    world.lab.command("fetch", check=False)
    _arrived(world, "luis", 961)
    return f"{refused} | {shown}"
