"""POP3 over sockets with a mailbox in memory (I48 to I55, sec-I15, sec-I17)."""
import asyncio
import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import uvloop

from bridge.config.login import Login
from bridge.config.pop3 import Pop3
from bridge.model.errors import StoreError
from bridge.serve.auth import Authenticator
from bridge.serve.listener import Crowd, Limits, Listener
from bridge.serve.pop3.apop import digest, verifier
from bridge.serve.pop3.session import CROWDED, Service, deadlines
from bridge.store.mail import Drop, Folder, MessageGone

LETTER = b"Return-Path: <a@example.org>\r\nSubject: hola\r\n\r\n.uno\r\ndos\r\n"
BIG = b"Subject: big\r\n\r\n" + (b"." * 200 + b"\r\n") * 4_000


class Body:
    def __init__(self, data):
        self.data, self.size, self.closed = data, len(data), False

    def read(self, start=0, length=None):
        return self.data

    def chunks(self, start=0, length=None):
        for i in range(0, len(self.data), 65_536):
            if self.data is BIG or not self.closed:
                yield self.data[i : i + 65_536]

    def close(self):
        self.closed = True


class Mailbox:
    def __init__(self, *messages):
        self.messages = {10 * n: message for n, message in enumerate(messages, 1)}
        self.seen, self.lock = set(), threading.Lock()
        self.gate, self.broken = threading.Event(), None
        self.gate.set()

    def maildrop(self, name="INBOX"):
        drops = [Drop(uid, len(message), f"u{uid}") for uid, message in self.messages.items()]
        return Folder(1, "INBOX", 7), drops

    def lock_maildrop(self, name="INBOX"):
        return self.lock.release if self.lock.acquire(blocking=False) else None

    def body(self, folder, uid):
        if self.broken:
            raise self.broken
        if uid not in self.messages:
            raise MessageGone(uid)
        return Body(self.messages[uid])

    def bodies(self, folder, uids):
        self.groups = getattr(self, "groups", 0) + 1
        low, high = uids[0]
        for uid in [uid for uid in self.messages if low <= uid <= high]:
            if self.broken:
                raise self.broken
            message = self.messages.get(uid)
            yield [] if message is None else [(uid, message if message is not BIG else Body(message))]

    def store_flags(self, folder, uids, mode, flags):
        assert (mode, flags) == ("+", ["\\Seen"])
        self.seen |= {uid for uid in self.messages for low, high in uids if low <= uid <= high}

    def expunge(self, folder, uids, *, marked):
        assert marked is False
        self.gate.wait(10)
        if self.broken:
            raise self.broken
        self.messages = {
            uid: m for uid, m in self.messages.items() if not any(low <= uid <= high for low, high in uids)}


@asynccontextmanager
async def serving(mailbox, settings=None, crowd=None, **more):
    settings = settings or Pop3()
    accounts = {"eloy": "clave"}

    def verify(login, password, protocol, ip):
        return SimpleNamespace(address=f"{login}@example.org") if accounts.get(login) == password else None

    auth = Authenticator(verify, lambda: 1, settings=Login(delay=0))
    with ThreadPoolExecutor(2) as threads:
        service = Service(auth.check, lambda account: mailbox, threads, settings, **more)
        listener = Listener(service.session, crowd=crowd, crowded=CROWDED, deadlines=deadlines(settings))
        listening = socket.create_server(("127.0.0.1", 0))
        await listener.start([listening])
        clients = []

        async def connect(login=True):
            client = Client(*await asyncio.open_connection(*listening.getsockname()))
            clients.append(client)
            client.greeting = await client.line()
            if login:
                assert (await client.say(b"USER eloy")).startswith(b"+OK")
                client.welcome = await client.say(b"PASS clave")
            return client

        try:
            yield SimpleNamespace(connect=connect, listener=listener, service=service)
        finally:
            for client in clients:
                client.writer.transport.abort()
            await listener.stop(0.2)
            await asyncio.sleep(0.01)
    auth.close()


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def line(self):
        return await asyncio.wait_for(self.reader.readline(), 10)

    async def say(self, command):
        self.writer.write(command + b"\r\n")
        return await self.line()

    async def lines(self, command=b""):
        """A multi-line answer as a client understands it."""
        head = await self.say(command) if command else await self.line()
        assert head.startswith(b"+OK"), head
        answer = []
        while (line := await self.line()) != b".\r\n":
            assert line
            answer.append(line[1:] if line.startswith(b".") else line)
        return b"".join(answer)


def run(test, loop=asyncio.new_event_loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), 30))


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_I48_I49_the_dialogue_of_the_seed(loop):
    async def test():
        mailbox = Mailbox(LETTER, BIG, LETTER + b"no line end")
        async with serving(mailbox) as server:
            client = await server.connect()
            assert client.greeting == b"+OK POP3 ready\r\n"
            assert client.welcome.startswith(b"+OK 3 ")
            assert await client.say(b"STAT") == b"+OK 3 %d\r\n" % sum(map(len, mailbox.messages.values()))
            sizes = tuple(map(len, mailbox.messages.values()))
            assert await client.lines(b"LIST") == b"1 %d\r\n2 %d\r\n3 %d\r\n" % sizes
            assert await client.lines(b"RETR 1") == LETTER
            assert await client.lines(b"RETR 2") == BIG
            assert await client.lines(b"RETR 3") == LETTER + b"no line end\r\n"
            assert await client.lines(b"TOP 3 0") == LETTER[: LETTER.index(b"\r\n\r\n") + 4]
            assert await client.say(b"TOP 1 0") == b"+OK top of message follows\r\n"      # whose size nobody has asked
            while await client.line() != b".\r\n":
                pass
            assert await client.lines(b"TOP 3 1") == LETTER[: LETTER.index(b"dos")]
            assert await client.lines(b"TOP 2 2") == BIG[: 16 + 2 * 202]
            assert await client.lines(b"UIDL") == b"1 u10\r\n2 u20\r\n3 u30\r\n"
            assert await client.say(b"DELE 1") == b"+OK marked for deletion\r\n"
            assert await client.say(b"DELE 2") == b"+OK marked for deletion\r\n"
            assert len(mailbox.messages) == 3
            assert await client.say(b"QUIT") == b"+OK bye\r\n"
            assert await client.line() == b""
        assert list(mailbox.messages) == [30]
        assert mailbox.seen == {30}

    run(test, loop)


def test_I54_a_hundred_pipelined_with_big_ones_among_them():
    async def test():
        mailbox = Mailbox(*[LETTER, LETTER, BIG] * 10)
        async with serving(mailbox) as server:
            client = await server.connect()
            client.writer.write(b"".join(b"RETR %d\r\n" % n for n in range(1, 31)) + b"NOOP\r\nQUIT\r\n")
            for n in range(30):
                assert await client.lines() == (BIG if n % 3 == 2 else LETTER)
            assert await client.line() == b"+OK\r\n"
            assert await client.line() == b"+OK bye\r\n"

    run(test)


def test_messages_in_turn_are_read_ahead_and_jumps_are_not():
    async def test():
        letters = [b"Subject: %d\r\n\r\n" % n for n in range(9)]
        mailbox = Mailbox(*letters)
        async with serving(mailbox) as server:
            client = await server.connect()
            for n in (1, 2, 3, 4, 2, 7, 8, 9, 1):
                assert await client.lines(b"RETR %d" % n) == letters[n - 1]
            assert mailbox.groups == 2
            assert not server.service.ahead
            await client.lines(b"RETR 2")
            assert len(server.service.ahead) == 1
            del mailbox.messages[30]
            assert await client.say(b"RETR 3") == b"-ERR message is gone, another program removed it\r\n"
            mailbox.broken = StoreError("disk")
            assert (await client.say(b"RETR 4")).startswith(b"-ERR [SYS/TEMP]")
            mailbox.broken = None
            assert await client.lines(b"RETR 5") == letters[4]
            client.writer.transport.abort()
            await asyncio.sleep(0.05)
            assert not server.service.ahead

    run(test)


def test_I53_a_broken_line_deletes_nothing():
    async def test():
        mailbox = Mailbox(LETTER, LETTER)
        async with serving(mailbox) as server:
            client = await server.connect()
            await client.say(b"DELE 1")
            client.writer.transport.abort()
            await asyncio.sleep(0.05)
            again = await server.connect()
            assert again.welcome.startswith(b"+OK 2 "), "and the lock is free again"

    run(test)


def test_sec_I15_what_quit_began_is_finished_without_the_peer():
    async def test():
        mailbox = Mailbox(LETTER, LETTER)
        mailbox.gate.clear()
        async with serving(mailbox) as server:
            client = await server.connect()
            await client.say(b"DELE 1")
            client.writer.write(b"QUIT\r\n")
            await asyncio.sleep(0.05)
            client.writer.transport.abort()
            await asyncio.sleep(0.05)
            other = await server.connect()
            assert other.welcome == b"-ERR [IN-USE] another session has this mailbox open\r\n"
            mailbox.gate.set()
            await asyncio.sleep(0.05)
            assert list(mailbox.messages) == [20]
            assert (await server.connect()).welcome.startswith(b"+OK 1 ")

    run(test)


def test_I55_one_session_or_shared_access():
    async def test():
        async with serving(Mailbox(LETTER)) as server:
            await server.connect()
            second = await server.connect()
            assert second.welcome.startswith(b"-ERR [IN-USE]")
            assert await second.line() == b""
        shared = Mailbox(LETTER)
        shared.lock_maildrop = lambda: lambda: None
        async with serving(shared) as server:
            for _ in range(3):
                assert (await server.connect()).welcome.startswith(b"+OK")

    run(test)


def test_wrong_passwords_and_the_limit_on_them():
    async def test():
        async with serving(Mailbox(LETTER)) as server:
            client = await server.connect(login=False)
            await client.say(b"USER eloy")
            assert await client.say(b"PASS no") == b"-ERR [AUTH] wrong user name or password\r\n"
            for n in range(20):
                client = await server.connect(login=False)
                await client.say(b"USER eloy")
                answer = await client.say(b"PASS no%d" % n)
            assert answer == b"-ERR [SYS/TEMP] too many wrong passwords, try again later\r\n"

    run(test)


def test_our_own_trouble_is_temporary():
    async def test():
        mailbox = Mailbox(LETTER, LETTER)
        async with serving(mailbox) as server:
            client = await server.connect()
            mailbox.broken = StoreError("disk")
            assert await client.say(b"RETR 1") == b"-ERR [SYS/TEMP] message can't be read just now\r\n"
            mailbox.broken = None
            del mailbox.messages[20]
            assert await client.say(b"RETR 2") == b"-ERR message is gone, another program removed it\r\n"
            await client.say(b"DELE 1")
            mailbox.broken = OSError(5, "EIO")
            assert await client.say(b"QUIT") == b"-ERR [SYS/TEMP] some messages were not removed\r\n"
        assert list(mailbox.messages) == [10]

    run(test)


def test_I50_apop():
    class Secrets:
        def any(self):
            return True

        def find(self, login):
            return (SimpleNamespace(address="eloy@example.org"), "tanstaaf") if login == "eloy" else None

    assert digest("<1896.697170952@dbc.mtview.ca.us>", "tanstaaf") == "c4c9334bac560ecc979e58001b3e22fb"  # RFC 1939

    async def test():
        apop = Authenticator(verifier(Secrets()), lambda: 1, settings=Login(delay=0))
        async with serving(Mailbox(LETTER), apop=apop.check, apop_offered=Secrets().any, hostname="h.org") as server:
            client = await server.connect(login=False)
            challenge = client.greeting.split()[-1]
            assert challenge.endswith(b"@h.org>")
            answer = hashlib.md5(challenge + b"tanstaaf").hexdigest().encode()
            assert (await client.say(b"APOP eloy " + answer[:-1] + b"x")).startswith(b"-ERR [AUTH]")
            assert (await client.say(b"APOP nobody " + answer)).startswith(b"-ERR [AUTH]")
            assert (await client.say(b"APOP eloy " + answer.upper())).startswith(b"+OK 1 ")
        apop.close()

    run(test)


def test_sec_I02_plain_passwords_only_from_where_it_is_allowed():
    async def test():
        async with serving(Mailbox(LETTER), Pop3(plain_from=("192.0.2.0/24",))) as server:
            client = await server.connect(login=False)
            assert (await client.say(b"USER eloy")).startswith(b"-ERR [AUTH]")

    run(test)


def test_too_many_connections():
    async def test():
        async with serving(Mailbox(LETTER), crowd=Crowd(Limits(total=1))) as server:
            await server.connect(login=False)
            assert (await server.connect(login=False)).greeting == CROWDED

    run(test)
