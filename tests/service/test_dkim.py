"""S38, sec-O13, sec-O14: outgoing mail of the running program is signed, and dkimpy verifies what arrives elsewhere."""

import re
from pathlib import Path

import dkim
import pytest

from tests.lab import DOMAIN, running, until
from tests.sink import Sink

pytestmark = pytest.mark.service
TEXT = f"From: Ana <ana@{DOMAIN}>\r\nTo: luis@far.example.net\r\nSubject: hola\r\n\r\n.\r\nHola  \r\n\r\n\r\n"


def _answers(zone: str) -> dict[str, bytes]:
    """What `estafeta dkim dns` prints, as a name service would answer."""
    found = {}
    for line in zone.splitlines():
        if " IN TXT " in line:
            found[line.split()[0]] = "".join(re.findall(r'"([^"]*)"', line)).encode()
    return found


def test_signed_from_the_moment_a_key_is_in_use(tmp_path: Path) -> None:
    with Sink() as sink:
        more = f'[mail.transports]\n"far.example.net" = "127.0.0.1:{sink.port}"\n'
        more += '[outbound]\nnameservers = ["127.0.0.1"]\n'
        with running(tmp_path, "ana", more=more) as lab:

            def sent(count: int) -> bytes:
                with lab.smtp() as client:
                    client.sendmail(f"ana@{DOMAIN}", ["luis@far.example.net"], TEXT)
                until(lambda: sum(sink.copies.values()) == count, what="the message is elsewhere")
                return sink.last

            assert "keygen" in lab.command("dkim", "list", check=False, LANG="en")
            assert "IN TXT" in lab.command("dkim", "keygen", DOMAIN, "--selector", "uno")
            lab.command("dkim", "keygen", DOMAIN, "--selector", "dos", "--type", "ed25519")
            zone = _answers(lab.command("dkim", "dns"))
            assert len(zone) == 2
            assert len([line for line in lab.command("dns").splitlines() if "_domainkey" in line]) == 2
            assert b"DKIM-Signature" not in sent(1)
            refused = lab.command("dkim", "use", DOMAIN, "uno", check=False, LANG="es_ES.UTF-8")
            assert "no se cambia nada" in refused
            for selector in ("uno", "dos"):
                lab.command("dkim", "use", DOMAIN, selector, "--force")
            until(lambda: b"DKIM-Signature" in sent(sum(sink.copies.values()) + 1), what="signed")
            arrived = sink.last
            for number in (0, 1):
                assert dkim.DKIM(arrived).verify(idx=number, dnsfunc=lambda name, timeout=5: zone.get(name.decode()))
            lab.command("dkim", "keygen", DOMAIN, "--selector", "tres")
            assert "uno" in lab.command("dkim", "use", DOMAIN, "tres", "--force", LANG="en")
            states = {line.split()[1]: line.split(maxsplit=3)[3] for line in lab.command("dkim", "list").splitlines()}
            assert states["uno"].startswith(("old", "antigua"))
            assert states["dos"] == states["tres"]
            private = tmp_path / "data" / "dkim" / DOMAIN / "tres.active"
            assert private.stat().st_mode & 0o777 == 0o600
            assert "--selector da otro" in lab.command(
                "dkim", "keygen", DOMAIN, "--selector", "dos", check=False, LANG="es_ES.UTF-8"
            )
