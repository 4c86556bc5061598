"""POP3 on a real Maildir: the dialogue of seed 003 typed by hand, and what it leaves behind (I48 to I53, I55)."""
import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from bridge.config.store import Store
from bridge.serve.listener import Listener
from bridge.serve.pop3.session import Service
from bridge.store.mailbox import Mailstore

HEAD = b"Return-Path: <a@example.org>\nSubject: mensaje %d\n\n"
BODIES = (b"uno\n", b".punto\n..dos\n.\n", b"Saludos, Eloy.\nTe escribo para pedirte que me env\xc3\xades\nalgo\n")
LETTERS = [HEAD % n + body for n, body in enumerate(BODIES, 1)]
WIRE = [letter.replace(b"\n", b"\r\n") for letter in LETTERS]


@pytest.fixture
def maildir(tmp_path):
    for name in ("cur", "new", "tmp"):
        (tmp_path / "Maildir" / name).mkdir(parents=True)
    for number, letter in enumerate(LETTERS):
        (tmp_path / "Maildir" / "new" / f"17000000{number:02}.Q{number}.host").write_bytes(letter)
    return tmp_path / "Maildir"


@asynccontextmanager
async def serving(maildir):
    owner = SimpleNamespace(address="eloy@example.org", maildir=maildir)

    async def check(login, password, protocol, ip):
        return owner if (login, password) == ("eloy", "claveusuario") else None

    store = Mailstore(Store(), background=False)
    with ThreadPoolExecutor(2) as threads:
        listener = Listener(Service(check, store.open, threads).session)
        listening = socket.create_server(("127.0.0.1", 0))
        await listener.start([listening])
        writers = []

        async def connect():
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writers.append(writer)

            async def say(command, multi=False):
                if command:
                    writer.write(command + b"\r\n")
                end = b"\r\n.\r\n" if multi else b"\r\n"
                return await asyncio.wait_for(reader.readuntil(end), 10)

            say.writer, say.greeting = writer, await say(b"")
            return say

        try:
            yield connect
        finally:
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(0.01)
            await listener.stop(0.2)
    store.close()


def run(test):
    asyncio.run(asyncio.wait_for(test(), 30))


def names(maildir):
    return sorted(path.name for folder in ("new", "cur") for path in (maildir / folder).iterdir())


def test_the_dialogue_of_seed_003(maildir):
    sizes = [len(letter) for letter in WIRE]

    async def test():
        async with serving(maildir) as connect:
            say = await connect()
            assert say.greeting.startswith(b"+OK")
            assert (await say(b"USER eloy")).startswith(b"+OK")
            assert (await say(b"PASS claveusuario")).startswith(b"+OK 3 messages")
            assert await say(b"STAT") == b"+OK 3 %d\r\n" % sum(sizes)
            listing = b"".join(b"%d %d\r\n" % pair for pair in enumerate(sizes, 1))
            assert (await say(b"LIST", True)).partition(b"\r\n")[2] == listing + b".\r\n"
            ids = await say(b"UIDL", True)
            for number in (1, 2):
                answer = await say(b"RETR %d" % number, True)
                head, _, body = answer.partition(b"\r\n")
                assert head == b"+OK %d octets" % sizes[number - 1]
                assert (b"\r\n" + body[:-3]).replace(b"\r\n.", b"\r\n")[2:] == WIRE[number - 1]
                assert (await say(b"DELE %d" % number)).startswith(b"+OK")
            assert await say(b"STAT") == b"+OK 1 %d\r\n" % sizes[2]
            assert (await say(b"LIST", True)).endswith(b"\r\n3 %d\r\n.\r\n" % sizes[2])
            top = await say(b"TOP 3 2", True)
            assert top.partition(b"\r\n")[2] == WIRE[2][: WIRE[2].index(b"algo")] + b".\r\n"
            assert (await say(b"TOP 3 0", True)).endswith(b"\r\n\r\n.\r\n")
            assert len(names(maildir)) >= 3
            assert (await say(b"QUIT")).startswith(b"+OK")
            again = await connect()
            await again(b"USER eloy")
            assert (await again(b"PASS claveusuario")).startswith(b"+OK 1 messages")
            assert await again(b"UIDL 1") == b"+OK 1 " + ids.split(b"\r\n")[3].split()[1] + b"\r\n", "I52"

    run(test)


def test_I53_nothing_changes_without_quit_and_I55_the_lock_is_free_then(maildir):
    async def test():
        async with serving(maildir) as connect:
            say = await connect()
            await say(b"USER eloy")
            await say(b"PASS claveusuario")
            await say(b"DELE 1")
            other = await connect()
            await other(b"USER eloy")
            assert (await other(b"PASS claveusuario")).startswith(b"-ERR [IN-USE]")
            say.writer.transport.abort()
            await asyncio.sleep(0.05)
            again = await connect()
            await again(b"USER eloy")
            assert (await again(b"PASS claveusuario")).startswith(b"+OK 3 messages")

    run(test)


def test_pipelined_and_in_turn_over_a_real_store(maildir):
    for number in range(3, 203):
        (maildir / "new" / f"17000{number:05}.Q{number}.host").write_bytes(LETTERS[number % 3])

    async def test():
        async with serving(maildir) as connect:
            say = await connect()
            await say(b"USER eloy")
            await say(b"PASS claveusuario")
            count = int((await say(b"STAT")).split()[1])
            assert count == 203
            lock_step = [await say(b"RETR %d" % number, True) for number in range(1, count + 1)]
            say.writer.write(b"".join(b"RETR %d\r\n" % number for number in range(1, count + 1)))
            assert [await say(b"", True) for _ in range(count)] == lock_step
            assert sorted(set(lock_step)) == sorted({
                b"+OK %d octets\r\n" % len(letter) + letter.replace(b"\r\n.", b"\r\n..") + b".\r\n" for letter in WIRE})

    run(test)
