"""TLS from the start and by STARTTLS; what was said in the clear doesn't live on (I01, sec-I02, sec-I03, sec-A17)."""
import socket
import ssl

import pytest

from bridge.config.imap import Imap
from bridge.config.server import Tls
from bridge.model.clock import SYSTEM
from bridge.store import certificate
from tests.bridge.serve.imap.world import PASSWORD, Talk, World


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return certificate.context(*certificate.ensure(Tls(), tmp_path_factory.mktemp("tls"), "mx.example.org", SYSTEM))


def trusting():
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return client


def secure(one):
    one.stream.close()
    one.socket = trusting().wrap_socket(one.socket)
    one.stream = one.socket.makefile("rb")


def test_starttls(tmp_path, context):
    with World(tmp_path, settings=Imap(plain_from=()), tls=context) as world, Talk(world) as one:
        assert {"STARTTLS", "LOGINDISABLED"} <= set(one.greeting.code.split())
        assert one.no(f"LOGIN ana {PASSWORD}").code == "PRIVACYREQUIRED"
        one.ok('ID ("name" "en claro")')
        one.ok("STARTTLS")
        secure(one)
        names = {str(name) for name in one.data("CAPABILITY")[0]}
        assert "AUTH=PLAIN" in names
        assert not {"STARTTLS", "LOGINDISABLED"} & names
        session = next(iter(world.service.sessions))
        assert session.client.ident == ""
        assert one.no("STARTTLS", "BAD")
        one.ok(f"LOGIN ana {PASSWORD}")
        one.ok("SELECT INBOX")


def test_commands_behind_starttls_are_never_run(tmp_path, context):
    """sec-I03."""
    with World(tmp_path, tls=context) as world, Talk(world) as one:
        one.send(f"a STARTTLS\r\nb LOGIN ana {PASSWORD}\r\n".encode())
        assert one.response().word == "BYE"
        with pytest.raises(ConnectionError):
            one.response()
        assert world.journal_lines == []


def test_implicit(tmp_path, context):
    with World(tmp_path, settings=Imap(plain_from=()), tls=context, implicit=True) as world:
        connected = trusting().wrap_socket(socket.create_connection(("127.0.0.1", world.port), timeout=10))
        with connected, connected.makefile("rb") as stream:
            assert b"AUTH=PLAIN" in stream.readline()
            connected.sendall(f"a LOGIN ana {PASSWORD}\r\n".encode())
            assert stream.readline().startswith(b"a OK [CAPABILITY ")
