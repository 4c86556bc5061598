"""IDLE watchers: new mail wakes, TLS hides nothing, servers that go away or can't are survived (F29)."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.idle import Watchers
from tests.bridge.intake.fetch.conftest import account_at
from tests.bridge.intake.fetch.fakes import FakeImap, Session, certificate, mail


class Scene:
    def __init__(self, accounts: list[FetchAccount], **more: Any) -> None:
        self.woken: list[str] = []
        values = {"pause": 0.05, "look": 0.05, "retry": 0.1, **more}
        self.accounts = accounts
        self.watchers = Watchers(lambda: self.accounts, self.woken.append, **values)

    def play(self, story: Callable[["Scene"], Awaitable[None]]) -> None:
        async def act() -> None:
            stop = asyncio.Event()
            running = asyncio.ensure_future(self.watchers.run(stop))
            try:
                await asyncio.wait_for(story(self), 20)
            finally:
                stop.set()
                await asyncio.wait_for(running, 10)

        asyncio.run(act())

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("tls", ["none", "implicit"])
def test_new_mail_wakes(tls: str, tmp_path: Path) -> None:
    context, pem, _ = certificate(tmp_path)
    with FakeImap({1: mail(1)}, tls=context if tls != "none" else None, implicit=tls == "implicit") as server:

        async def story(scene: Scene) -> None:
            await scene.until(lambda: server.said("IDLE"))
            await scene.until(lambda: scene.watchers.watched)
            assert not scene.woken
            for number in (2, 3):
                server.add(number, mail(number))
                await scene.until(lambda number=number: len(scene.woken) == number - 1)

        account = account_at(server, tls=tls, tls_ca_file=str(pem) if tls != "none" else "", idle=True)
        Scene([account]).play(story)
    assert not server.said("SELECT"), "watching changes nothing there"


def test_what_comes_in_one_tls_record_is_all_read(tmp_path: Path) -> None:
    """The end of a record that the socket doesn't tell of: bytes already inside TLS."""
    context, pem, _ = certificate(tmp_path)
    with FakeImap({1: mail(1)}, tls=context, implicit=True) as server:
        told: list[Session] = []

        def idle(session: Session, tag: str, arguments: str) -> bool:
            session.say("+ idling\r\n* OK still here\r\n* 1 EXPUNGE\r\n* 5 EXISTS\r\n")
            told.append(session)
            session.file.readline()
            return True

        server.twist["IDLE"] = idle

        async def story(scene: Scene) -> None:
            await scene.until(lambda: scene.woken)

        Scene([account_at(server, tls="implicit", tls_ca_file=str(pem), idle=True)]).play(story)


def test_a_connection_that_ends_is_made_again() -> None:
    with FakeImap({1: mail(1)}) as server:

        async def story(scene: Scene) -> None:
            for _ in range(2):
                await scene.until(lambda: scene.watchers.watched and server.sessions)
                for session in list(server.sessions):
                    session.drop()
                await scene.until(lambda: not scene.watchers.watched)
            await scene.until(lambda: len(scene.woken) == 2)

        Scene([account_at(server, idle=True)]).play(story)


def test_it_is_renewed_in_time() -> None:
    with FakeImap({1: mail(1)}) as server:

        async def story(scene: Scene) -> None:
            await scene.until(lambda: len(server.said("IDLE")) >= 3)
            assert not scene.woken
            assert scene.watchers.watched == 1

        Scene([account_at(server, idle=True)], renew=0.1).play(story)
    assert not [line for line in server.heard if line.startswith("LOGOUT")]
    assert len(server.said("LOGIN")) == 1


def test_without_idle_it_is_left_to_the_polls() -> None:
    with FakeImap() as server:
        server.capabilities = "IMAP4rev1"

        async def story(scene: Scene) -> None:
            await scene.until(lambda: server.said("LOGIN"))
            await asyncio.sleep(0.3)
            assert len(server.said("LOGIN")) == 1

        Scene([account_at(server, idle=True)]).play(story)


def test_a_flood_is_cut_and_one_account_does_not_block_another() -> None:
    with FakeImap({1: mail(1)}) as bad, FakeImap({1: mail(1)}) as good:

        def flood(session: Session, tag: str, arguments: str) -> bool:
            session.say("+ idling\r\n")
            while not session.gone:
                session.say(b"* 1 EXISTS\r\n" * 1000)
            return True

        bad.twist["IDLE"] = flood

        async def story(scene: Scene) -> None:
            await scene.until(lambda: scene.watchers.watched == 2)
            good.add(2, mail(2))
            await scene.until(lambda: "good" in scene.woken)
            assert scene.woken.count("bad") < 200

        Scene([account_at(bad, name="bad", idle=True), account_at(good, name="good", idle=True)]).play(story)


def test_accounts_come_and_go() -> None:
    with FakeImap({1: mail(1)}) as server:

        async def story(scene: Scene) -> None:
            account = account_at(server, idle=True, folders=("INBOX", "Other"))
            scene.accounts = [account, account_at(server, name="quiet")]
            await scene.until(lambda: scene.watchers.watched == 2)
            scene.accounts = []
            await scene.until(lambda: scene.watchers.watched == 0)

        Scene([]).play(story)
    assert len(server.said("LOGIN")) == 2
