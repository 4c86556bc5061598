"""The appliance that the sentences are tried on: the domains that the documents print, an alias file, roads out.

Also its neighbour: the machine of another domain at the trade's own ports (25, 110, 143) of an address in 127/8, found
by the MX and address records of a name server of ours. That needs root, as those ports do.
"""

import os
import pwd
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.lab import DOMAIN, PASSWORD, Lab, free_ports, until
from tests.seeds.book import World

USERS = ("ana", "eloy", "margarita", "luis", "destino", "origen")
OWNER = pwd.getpwnam("nobody")  # as whom everything but the supervisor runs where root tries this
SERVER = f'user = "{OWNER.pw_uid}:{OWNER.pw_gid}"' if os.getuid() == 0 else ""
NET = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"  # so that two runs don't meet
NAMESERVER, NEIGHBOUR, NOBODY_HERE = f"{NET}.53", f"{NET}.25", f"{NET}.9"
DOMAINS = (DOMAIN, "dominio2.com", "bar.com", "final.example.net")
ZONE: dict[tuple[str, str], list[str]] = {
    ("foo.net.", "MX"): ["10 muerto.foo.net.", "20 mail.foo.net."],
    ("muerto.foo.net.", "A"): [NOBODY_HERE],
    ("mail.foo.net.", "A"): [NEIGHBOUR],
    ("verne.foo.net.", "A"): [NEIGHBOUR],
}


def amend(lab: Lab, **changed: str) -> None:
    """Other values for settings that the lab writes itself, by the start of their line."""
    lines = lab.config.read_text().splitlines()
    for name, value in changed.items():
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{name} ="))
        lines[number] = f"{name} = {value}"
    lab.config.write_text("\n".join(lines) + "\n")


def given(*paths: Path) -> None:
    """These belong to the appliance's user."""
    for path in paths if os.getuid() == 0 else ():
        os.chown(path, OWNER.pw_uid, OWNER.pw_gid)


def appliance(folder: Path) -> tuple[Lab, dict[str, str]]:
    """Settings and accounts; and notes: the ports of servers that a sentence may start."""
    folder.chmod(0o755)
    for name in ("files", "bin"):
        (folder / name).mkdir()
        (folder / name).chmod(0o755)
    (folder / "aliases").write_text("postmaster: ana\n")
    (folder / "aliases").chmod(0o644)
    waiting, old = map(str, free_ports(2))
    more = (
        f'[mail.transports]\n"espera.example.net" = "127.0.0.1:{waiting}"\n"viejo.example.net" = "127.0.0.1:{old}"\n'
        f'[outbound]\nnameservers = ["{NAMESERVER}"]\nprivate = ["{NET}.0/24"]\nconnect_seconds = 5\n'
        f'[lists]\nform_seconds = 1\n[fetch]\npage_hosts = ["{NEIGHBOUR}:143", "{NEIGHBOUR}:110"]\n'
    )
    given(folder / "files")
    lab = Lab(folder / "estafeta", more=more, server=SERVER)
    (folder / "estafeta").chmod(0o755)
    domains = ", ".join(f'"{one}"' for one in DOMAINS)
    permitted = f'["{folder}/aliases"]\nprograms = ["{folder}/bin/"]\nfile_folders = ["{folder}/files"]'
    amend(lab, domains=f"[{domains}]", aliases=permitted)
    return lab, {"waiting": waiting, "old": old}


_ADD = """
import io, sys
from bridge.cli import main
for address in sys.argv[2:]:
    sys.stdin = io.StringIO(sys.argv[1] + chr(10))
    try:
        main(["estafeta", "user", "add", address, "--password-stdin"])
    except SystemExit as end:
        if end.code:
            raise
"""


def add_users(lab: Lab, *addresses: str) -> None:
    """`estafeta user add` for each, in one process."""
    environ = {**os.environ, "ESTAFETA_CONFIG": str(lab.config)}
    words = [sys.executable, "-c", _ADD, PASSWORD, *addresses]
    subprocess.run(words, env=environ, check=True, capture_output=True, timeout=60)


class NameServer:
    """Answers from ZONE over UDP, and NXDOMAIN for the rest."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAMESERVER, 53))
        self.asked: list[str] = []

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                data, who = self._socket.recvfrom(4096)
                if not data:  # closed
                    return
                self._socket.sendto(self._answer(dns.message.from_wire(data)), who)

    def _answer(self, query: dns.message.Message) -> bytes:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        one = query.question[0]
        name, kind = one.name.to_text().lower(), dns.rdatatype.to_text(one.rdtype)
        self.asked.append(f"{kind} {name}")
        values = ZONE.get((name, kind))
        soa = dns.rrset.from_text(".", 60, "IN", "SOA", "ns. root. 1 60 60 60 60")
        if values:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *values))
        else:
            if not any(known == name for known, _ in ZONE):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            answer.authority.append(soa)
        return answer.to_wire()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def _name_server() -> Iterator[NameServer]:
    made = NameServer()
    threading.Thread(target=made.serve, daemon=True).start()
    try:
        yield made
    finally:
        made.close()


def name_server(world: World) -> NameServer:
    return world.keep("names", _name_server)


@contextmanager
def _neighbour(world: World) -> Iterator[Lab]:
    """mail.foo.net, with the users ana and eloy; it passes mail for bar.com and final.example.net on to ours."""
    ports = dict.fromkeys(("submission", "submissions", "lmtp", "imaps", "pop3s", "http"), 0)
    here = f"127.0.0.1:{world.port('smtp')}"
    more = f'[mail.transports]\n"bar.com" = "{here}"\n"final.example.net" = "{here}"\n'
    lab = Lab(world.folder / "foo.net", more=more, server=SERVER, ports={"smtp": 25, "imap": 143, "pop3": 110, **ports})
    amend(lab, hostname='"mail.foo.net"', addresses=f'["{NEIGHBOUR}"]', base_url='"http://mail.foo.net"',
          domains='["foo.net", "verne.foo.net"]\nrelay_domains = ["final.example.net"]')  # fmt: skip
    add_users(lab, "ana@foo.net", "eloy@foo.net")
    try:
        lab.start(wait=False)
        until(lambda: _greets(25) and _greets(110) and _greets(143), 60, lab.tail())
        yield lab
    finally:
        lab.kill()


def _greets(port: int) -> bool:
    with suppress(OSError), socket.create_connection((NEIGHBOUR, port), 2) as one:
        return bool(one.recv(1))
    return False


def neighbour(world: World) -> Lab:
    name_server(world)
    return world.keep("neighbour", lambda: _neighbour(world))


def neighbours_mails(lab: Lab, user: str) -> list[Path]:
    box = Path(lab.mail) / "foo.net" / user / "Maildir"
    return [path for part in ("new", "cur") if (box / part).is_dir() for path in (box / part).iterdir()]
