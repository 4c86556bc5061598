"""A real Dovecot as the remote server, where the machine has one: IMAP and POP3, plain and TLS, keep and delete."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.config.fetch import FetchAccount
from tests.bridge.intake.fetch.conftest import Collector
from tests.bridge.intake.fetch.fakes import PASSWORD, USER, certificate, mail
from tests.lab import free_ports

COUNT = 1000
CONF = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
listen = 127.0.0.1
protocols = imap pop3
ssl = yes
ssl_cert = <{base}/localhost.pem
ssl_key = <{base}/localhost.key
disable_plaintext_auth = no
auth_failure_delay = 0
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 0
first_valid_gid = 0
mail_location = maildir:{base}/mail/%n
passdb {{
  driver = passwd-file
  args = {base}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/home
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
"""


@dataclass
class Dovecot:
    base: Path
    ports: dict[str, int]
    uid: int
    gid: int

    def fill(self, folder: str, numbers: range, size: int = 2000) -> None:
        box = self.base / "mail" / USER / folder
        for part in ("new", "cur", "tmp"):
            (box / part).mkdir(parents=True, exist_ok=True)
            for old in (box / part).iterdir():
                old.unlink()
        for number in numbers:
            path = box / "new" / f"{time.time_ns()}.M{number}.host"
            path.write_bytes(mail(number, size).replace(b"\r\n", b"\n"))
            os.chown(path, self.uid, self.gid)
        for path in (self.base / "mail", *(self.base / "mail").rglob("*")):
            if path.is_dir():
                os.chown(path, self.uid, self.gid)

    def left(self, folder: str = "") -> int:
        box = self.base / "mail" / USER / folder
        return sum(len(list((box / part).iterdir())) for part in ("new", "cur"))

    def account(self, service: str, tls: str = "none", **more: Any) -> FetchAccount:
        values: dict[str, Any] = {
            "name": "remote", "protocol": service.rstrip("s"), "host": "localhost", "port": self.ports[service],
            "tls": tls, "user": USER, "password": PASSWORD, "to": "ana@example.org", "keep": False, "timeout": 20,
        }  # fmt: skip
        if tls != "none":
            values["tls_ca_file"] = str(self.base / "localhost.pem")
        return FetchAccount(**{**values, **more})


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    if not shutil.which("dovecot"):
        pytest.skip("no Dovecot on this machine")
    base = Path("/tmp") / f"dc{os.getpid()}"  # its socket names must be short
    for part in ("run", "state", "home", "mail"):
        (base / part).mkdir(parents=True)
    base.chmod(0o755)
    who = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    certificate(base)
    (base / "passwd").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    ports = dict(zip(("imap", "imaps", "pop3", "pop3s"), free_ports(4), strict=True))
    group = __import__("grp").getgrgid(who.pw_gid).gr_name
    config = CONF.format(base=base, user=who.pw_name, group=group, uid=who.pw_uid, gid=who.pw_gid, **ports)
    (base / "dovecot.conf").write_text(config)
    os.chown(base / "home", who.pw_uid, who.pw_gid)
    log = (base / "out").open("w")
    process = subprocess.Popen(["dovecot", "-F", "-c", base / "dovecot.conf"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", ports["imap"]), 1).close()
                break
            except OSError:
                told = (base / "out").read_text() + ((base / "log").read_text() if (base / "log").exists() else "")
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"Dovecot does not start: {told}")
                time.sleep(0.05)
        yield Dovecot(base, ports, who.pw_uid, who.pw_gid)
    finally:
        process.terminate()
        process.wait(10)
        log.close()
        shutil.rmtree(base)


SERVICES = [("imap", "none"), ("imap", "starttls"), ("imaps", "implicit"), ("pop3", "none"), ("pop3s", "implicit")]


@pytest.mark.service
@pytest.mark.parametrize(("service", "tls"), SERVICES)
def test_a_thousand_messages(dovecot: Dovecot, collector: Collector, service: str, tls: str) -> None:
    dovecot.fill("", range(COUNT))
    account = dovecot.account(service, tls)
    first = collector.poll(account)
    assert (first.error, first.new, first.removed) == ("", COUNT, COUNT)
    second = collector.poll(account)
    assert (second.error, second.new) == ("", 0)
    assert dovecot.left() == 0
    assert collector.numbers() == dict.fromkeys(range(COUNT), 1)


@pytest.mark.service
@pytest.mark.parametrize("service", ["imap", "pop3"])
def test_keep(dovecot: Dovecot, collector: Collector, service: str) -> None:
    dovecot.fill("", range(50))
    account = dovecot.account(service, keep=True)
    assert collector.poll(account).new == 50
    assert collector.poll(account).known == 50
    assert dovecot.left() == 50
    assert collector.messages()[0] in [mail(n, 2000) for n in range(50)]


@pytest.mark.service
def test_folders_and_large_messages(dovecot: Dovecot, collector: Collector) -> None:
    dovecot.fill("", range(3))
    dovecot.fill(".Lists.uno", range(10, 15))
    dovecot.fill(".Lists.dos", range(20, 21), 3_500_000)
    result = collector.poll(dovecot.account("imap", folders=("INBOX", "Lists.*")))
    assert (result.error, result.new, result.removed) == ("", 9, 9)
    assert mail(20, 3_500_000) in collector.messages()
    assert dovecot.left(".Lists.dos") == 0


@pytest.mark.service
def test_a_new_uidvalidity(dovecot: Dovecot, collector: Collector) -> None:
    """P21 with a real server: its lists of UIDs are thrown away between two polls."""
    dovecot.fill("", range(40))
    account = dovecot.account("imap", keep=True)
    assert collector.poll(account).new == 40
    time.sleep(1.1)  # UIDVALIDITY is made from the time
    for path in (dovecot.base / "mail" / USER).glob("dovecot*"):
        path.unlink()
    again = collector.poll(account)
    assert (again.error, again.new, again.known) == ("", 0, 40)


@pytest.mark.service
def test_wrong_password(dovecot: Dovecot, collector: Collector) -> None:
    for service in ("imap", "pop3"):
        result = collector.poll(dovecot.account(service, password="wrong"))
        assert result.status == 3
