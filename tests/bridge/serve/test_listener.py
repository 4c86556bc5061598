"""The shell around sessions: back-pressure, deadlines, limits, TLS, stopping (P26, sec-I03, sec-I11, sec-I17)."""
import asyncio
import datetime
import socket
import ssl
from contextlib import asynccontextmanager

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.serve.listener import Crowd, Deadlines, Limits, Link, Listener

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """A server context with a made-up certificate and a client context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example.org")]), False)
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


class Echo:
    """Answers each line with itself; a few words make it do other things."""

    def __init__(self, link: Link) -> None:
        self.link, self.buffer, self.gone, self.done = link, b"", False, []

    def opened(self):
        self.link.write(b"hello\r\n")

    def received(self, data):
        self.buffer += data
        while not self.link.busy and b"\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\n")
            getattr(self, "do_" + line.strip().decode(), lambda line=line: self.link.write(line + b"\n"))()

    def do_tls(self):
        if self.buffer:
            self.link.close(b"early\r\n")
        else:
            self.link.start_tls(b"go\r\n")

    def do_login(self):
        self.link.write(b"in\r\n" if self.link.admit("ana") else b"crowd\r\n")

    def do_big(self):
        self.link.run(self.big())

    def do_slow(self):
        self.link.run(self.slow())

    def do_bug(self):
        raise LookupError("made up")

    def do_latebug(self):
        self.link.run(self.late())

    def do_bye(self):
        self.link.close(b"bye\r\n")

    async def big(self):
        await self.link.stream(b"x" * 65536 for _ in range(200))
        self.link.write(b"\r\nend\r\n")

    async def slow(self):
        await asyncio.sleep(0.2)
        self.link.write(b"done\r\n")

    async def late(self):
        await asyncio.sleep(0)
        raise LookupError("made up")

    def secured(self):
        self.link.write(b"secured\r\n")

    def farewell(self, why):
        return why.name.encode() + b"\r\n"

    def closed(self):
        self.gone = True


@asynccontextmanager
async def serving(**options):
    sessions = []

    def session(link):
        sessions.append(Echo(link))
        return sessions[-1]

    listening = socket.create_server(("127.0.0.1", 0))
    listener = Listener(session, **options)
    listener.writers, listener.sessions, listener.port = [], sessions, listening.getsockname()[1]
    await listener.start([listening])
    try:
        yield listener
    finally:
        await listener.stop(0.1)
        for writer in listener.writers:
            writer.transport.abort()
        await asyncio.sleep(0.02)


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def line(self):
        return (await asyncio.wait_for(self.reader.readline(), 10)).strip()

    async def say(self, data):
        self.writer.write(data)
        return await self.line()

    async def rest(self):
        return await asyncio.wait_for(self.reader.read(), 10)


async def connect(listener, greeting=True, **options):
    client = Client(*await asyncio.open_connection("127.0.0.1", listener.port, **options))
    listener.writers.append(client.writer)
    if greeting:
        assert await client.line() == b"hello"
    return client


def run(test, loop=asyncio.new_event_loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), 30))


@pytest.mark.parametrize("loop", LOOPS)
def test_lines_in_order_also_around_slow_work(loop):
    async def test():
        async with serving() as listener:
            client = await connect(listener)
            assert await client.say(b"a\r\nslow\r\nb\r\nslow\r\nc\r\n") == b"a"
            assert [await client.line() for _ in range(4)] == [b"done", b"b", b"done", b"c"]

    run(test, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_sec_I17_a_slow_reader_holds_little_and_gets_everything(loop):
    async def test():
        async with serving() as listener:
            client = await connect(listener)
            client.writer.write(b"big\r\n")
            await asyncio.sleep(0.3)
            assert listener.sessions[0].link.congested
            assert listener.sessions[0].link._transport.get_write_buffer_size() <= 256 * 1024 + 65536
            assert len(await client.reader.readexactly(65536 * 200)) == 65536 * 200
            assert [await client.line(), await client.line()] == [b"", b"end"]

    run(test, loop)


def test_sec_I17_who_never_reads_is_cut_off():
    async def test():
        async with serving(deadlines=Deadlines(stall=0.2), tick=0.05) as listener:
            client = await connect(listener)
            client.writer.write(b"login\r\nbig\r\n")
            await asyncio.sleep(0.6)
            assert listener.sessions[0].gone
            assert not listener.links

    run(test)


def test_a_fast_writer_is_held_back():
    async def test():
        async with serving() as listener:
            client = await connect(listener)
            client.writer.write(b"slow\r\n")
            client.writer.write(b"x" * 100 + b"\r\n")
            await asyncio.sleep(0.05)
            client.writer.write((b"y" * 1000 + b"\r\n") * 5000)
            await asyncio.sleep(0.1)
            assert len(listener.sessions[0].buffer) < 1_000_000
            assert await client.line() == b"done"
            await client.line()
            for _ in range(5000):
                assert await client.line() == b"y" * 1000

    run(test)


def test_P26_deadlines_for_login_and_silence():
    async def test():
        async with serving(deadlines=Deadlines(login=0.2, idle=0.5), tick=0.05) as listener:
            stranger, known = await connect(listener), await connect(listener)
            assert await known.say(b"login\r\n") == b"in"
            assert await stranger.say(b"a\r\n") == b"a"
            assert await stranger.rest() == b"LOGIN\r\n"
            assert await known.say(b"slow\r\n") == b"done"
            assert await known.rest() == b"IDLE\r\n"
            assert listener.sessions[0].gone
            assert listener.crowd.total == 0

    run(test)


def test_sec_I11_limits_in_all_by_address_and_by_user():
    async def test():
        crowd = Crowd(Limits(total=3, address=3, user=1))
        async with serving(crowd=crowd, crowded=b"too many\r\n") as listener:
            clients = [await connect(listener) for _ in range(3)]
            fourth = await connect(listener, greeting=False)
            assert await fourth.rest() == b"too many\r\n"
            assert await clients[0].say(b"login\r\n") == b"in"
            assert await clients[0].say(b"login\r\n") == b"in", "once more on the same connection"
            assert await clients[1].say(b"login\r\n") == b"crowd"
            assert await clients[0].say(b"bye\r\n") == b"bye"
            await clients[0].rest()
            assert await clients[1].say(b"login\r\n") == b"in"
            await connect(listener)
        assert crowd.total == 0
        assert not crowd.users
        assert not crowd.addresses

    run(test)


@pytest.mark.parametrize("loop", LOOPS)
def test_upgrade_to_tls(loop, contexts):
    async def test():
        async with serving(tls=contexts[0]) as listener:
            client = await connect(listener)
            assert await client.say(b"tls\r\n") == b"go"
            await client.writer.start_tls(contexts[1], server_hostname="mail.example.org")
            assert await client.say(b"first\r\n") == b"secured"
            assert await client.line() == b"first"
            assert listener.sessions[0].link.secure
            assert not listener.sessions[0].link.tls_offered
            assert await client.say(b"slow\r\n") == b"done"

    run(test, loop)


def test_sec_I03_bytes_behind_the_upgrade_command_end_the_session(contexts):
    async def test():
        async with serving(tls=contexts[0]) as listener:
            client = await connect(listener)
            assert await client.say(b"tls\r\nevil\r\n") == b"early"
            assert await client.rest() == b""

    run(test)


@pytest.mark.parametrize("loop", LOOPS)
def test_implicit_tls_and_handshakes_that_never_end(loop, contexts):
    async def test():
        async with serving(tls=contexts[0], implicit=True, deadlines=Deadlines(login=0.3), tick=0.05) as listener:
            client = await connect(listener, ssl=contexts[1], server_hostname="mail.example.org")
            assert await client.say(b"a\r\n") == b"a"
            silent = await connect(listener, greeting=False)  # says nothing, not even ClientHello
            await asyncio.sleep(0.05)
            assert listener.crowd.total == 2, "a handshake counts as a connection"
            assert await silent.rest() == b""
            rubbish = await connect(listener, greeting=False)
            rubbish.writer.write(b"GET / HTTP/1.0\r\n\r\n")
            await rubbish.rest()

    run(test, loop)


def test_a_bug_ends_one_session_only(caplog):
    async def test():
        async with serving() as listener:
            clients = [await connect(listener) for _ in range(3)]
            assert await clients[0].say(b"bug\r\n") == b"BUG"
            assert await clients[0].rest() == b""
            assert await clients[1].say(b"latebug\r\n") == b"BUG"
            assert await clients[2].say(b"a\r\n") == b"a"

    run(test)
    assert caplog.text.count("LookupError: made up") == 2


def test_stop_lets_work_end_and_says_goodbye():
    async def test():
        async with serving() as listener:
            idle, working, stuck = [await connect(listener) for _ in range(3)]
            working.writer.write(b"slow\r\n")
            stuck.writer.write(b"big\r\n")
            await asyncio.sleep(0.1)
            await listener.stop(1)
            assert await idle.rest() == b"SHUTDOWN\r\n"
            assert await working.rest() == b"done\r\nSHUTDOWN\r\n"
            assert not listener.links

    run(test)


def test_a_peer_that_says_no_more_still_gets_its_answer():
    async def test():
        async with serving() as listener:
            client = await connect(listener)
            client.writer.write(b"slow\r\na\r\n")
            client.writer.write_eof()
            assert await client.rest() == b"done\r\na\r\n"

    run(test)
