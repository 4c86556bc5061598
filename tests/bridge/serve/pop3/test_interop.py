"""Against a client that we didn't write: poplib, in the clear, with STLS, with TLS from the start, with APOP."""
import asyncio
import poplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from bridge.config.login import Login
from bridge.config.pop3 import Pop3
from bridge.config.server import Tls
from bridge.config.store import Store
from bridge.serve.auth import Authenticator
from bridge.serve.listener import Listener
from bridge.serve.pop3.apop import verifier
from bridge.serve.pop3.session import Service
from bridge.store import certificate
from bridge.store.mailbox import Mailstore

LETTERS = [b"Subject: %d\n\n.dot\nbody %d\n" % (number, number) for number in range(5)]


class Secrets:
    def __init__(self, owner):
        self.owner = owner

    def any(self):
        return True

    def find(self, login):
        return (self.owner, "tanstaaf") if login == "eloy" else None


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """The server's certificate and a client's context that trusts it."""
    files = certificate.ensure(Tls(), tmp_path_factory.mktemp("tls"), "localhost")
    client = ssl.create_default_context(cafile=str(files[0]))
    client.check_hostname = False
    return certificate.context(*files), client


@pytest.fixture
def owner(tmp_path):
    maildir = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    for number, letter in enumerate(LETTERS):
        (maildir / "new" / f"17000000{number:02}.Q{number}.host").write_bytes(letter)
    return SimpleNamespace(address="eloy@example.org", maildir=maildir)


@contextmanager
def serving(owner, tls, *, implicit=False, settings=None):
    """A port that is served in another thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    loop, store = asyncio.new_event_loop(), Mailstore(Store(), background=False)
    threads = ThreadPoolExecutor(2)

    def verify(login, password, protocol, ip):
        return owner if (login, password) == ("eloy", "clave usuario") else None

    async def start():
        auth = Authenticator(verify, lambda: 1, settings=Login(delay=0))
        apop = Authenticator(verifier(Secrets(owner)), lambda: 1, settings=Login(delay=0))
        service = Service(auth.check, store.open, threads, settings or Pop3(), apop=apop.check)
        listener = Listener(service.session, tls=tls[0], implicit=implicit)
        await listener.start([listening])
        return listener, auth, apop

    with ThreadPoolExecutor(1) as runner:
        listener, auth, apop = loop.run_until_complete(start())
        running = runner.submit(loop.run_forever)
        try:
            yield listening.getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(listener.stop(1), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            running.result(10)
    auth.close()
    apop.close()
    threads.shutdown()
    store.close()
    loop.close()


def read_all(client):
    """Everything a mail client asks for; deletes the first message."""
    assert client.stat() == (5, sum(len(letter) + letter.count(b"\n") for letter in LETTERS))
    assert len(client.list()[1]) == len(client.uidl()[1]) == 5
    for number, letter in enumerate(LETTERS, 1):
        assert b"\n".join(client.retr(number)[1]) + b"\n" == letter
        assert client.top(number, 0)[1] == [b"Subject: %d" % (number - 1), b""]
    client.dele(1)
    assert client.quit().startswith(b"+OK")


def test_in_the_clear_from_this_machine(owner, tls):
    with serving(owner, tls) as port:
        client = poplib.POP3("127.0.0.1", port, timeout=10)
        assert {"TOP", "UIDL", "STLS", "USER", "PIPELINING"} <= set(client.capa())
        client.user("eloy")
        client.pass_("clave usuario")
        read_all(client)


def test_I51_stls(owner, tls):
    with serving(owner, tls, settings=Pop3(plain_from=())) as port:
        client = poplib.POP3("127.0.0.1", port, timeout=10)
        with pytest.raises(poplib.error_proto, match="without TLS"):
            client.user("eloy")
        client.stls(tls[1])
        assert "STLS" not in client.capa()
        client.user("eloy")
        client.pass_("clave usuario")
        read_all(client)


def test_I51_tls_from_the_start(owner, tls):
    with serving(owner, tls, implicit=True, settings=Pop3(plain_from=())) as port:
        client = poplib.POP3_SSL("127.0.0.1", port, context=tls[1], timeout=10)
        client.user("eloy")
        with pytest.raises(poplib.error_proto, match="AUTH"):
            client.pass_("wrong")
        client.user("eloy")
        client.pass_("clave usuario")
        read_all(client)


def test_I50_apop(owner, tls):
    with serving(owner, tls, settings=Pop3(plain_from=())) as port:
        client = poplib.POP3("127.0.0.1", port, timeout=10)
        with pytest.raises(poplib.error_proto):
            client.apop("eloy", "wrong")
        client.apop("eloy", "tanstaaf")
        read_all(client)
