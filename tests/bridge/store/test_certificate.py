"""The server's certificate: made once, private, and refused with a reason when it is wrong (sec-A13, sec-A15)."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from bridge.config.server import Pair, Tls
from bridge.model.errors import ConfigError
from bridge.store import certificate


def test_a_self_signed_pair_is_made_once_and_private(tmp_path: Path) -> None:
    first = certificate.ensure(Tls(), tmp_path / "tls", "mail.example.org")
    content = [path.read_bytes() for path in first]
    assert first[1].stat().st_mode & 0o777 == 0o600
    assert certificate.ensure(Tls(), tmp_path / "tls", "mail.example.org") == first
    assert [path.read_bytes() for path in first] == content


def test_clients_get_the_name_and_no_old_tls(tmp_path: Path) -> None:
    pair = certificate.ensure(Tls(), tmp_path, "mail.example.org")
    context = certificate.context(*pair)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    ours, theirs = socket.socketpair()

    def serve() -> None:
        context.wrap_socket(ours, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    trust = ssl.create_default_context(cafile=str(pair[0]))
    client = trust.wrap_socket(theirs, server_hostname="mail.example.org")
    assert client.version() in ("TLSv1.2", "TLSv1.3")
    client.close()
    thread.join()


def asked(context: ssl.SSLContext, name: str, trusted: Path) -> str:
    """The certificate's names for a client that asks for `name`, over memory only."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    trust = ssl.create_default_context(cafile=str(trusted))
    trust.check_hostname = False
    client = trust.wrap_bio(back, there, server_hostname=name)
    server = context.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    found = client.getpeercert()
    assert found
    return " ".join(value for _, value in found["subjectAltName"] if value != "localhost")


def test_several_certificates_by_name(tmp_path: Path) -> None:
    """S08: who asks for a name gets the certificate that has it, who asks for none the usual one."""
    hosts = ("a.example", "b.example", "*.c.example")
    made = {name: certificate.ensure(Tls(), tmp_path / name[0], name) for name in hosts}
    more = [Pair(certificate=str(public), key=str(key)) for public, key in list(made.values())[1:]]
    context = certificate.context(*made["a.example"], more)
    for name, expected in (
        ("a.example", "a.example"), ("b.example", "b.example"), ("B.EXAMPLE", "b.example"),
        ("x.c.example", "*.c.example"),
        ("y.x.c.example", "a.example"), ("other.example", "a.example"),
    ):
        assert asked(context, name, made[expected][0]) == expected


def test_a_wrong_pair_is_named(tmp_path: Path) -> None:
    public, _ = certificate.ensure(Tls(), tmp_path / "a", "a.example.org")
    _, key = certificate.ensure(Tls(), tmp_path / "b", "b.example.org")
    with pytest.raises(ConfigError, match="belong together"):
        certificate.context(public, key)
    with pytest.raises(ConfigError, match="belong together"):
        certificate.context(tmp_path / "none.pem", key)


def test_a_readable_key_is_warned_of(tmp_path: Path) -> None:
    _, key = certificate.ensure(Tls(), tmp_path, "a.example.org")
    key.chmod(0o644)
    assert "chmod 600" in certificate.warnings(Tls(certificate="x", key=str(key)))[0]
