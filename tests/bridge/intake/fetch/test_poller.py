"""Whole polls of servers that behave: new mail once, keep and delete, folders, limits, suspects, notices."""

import hashlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.intake.fetch.source import Status
from bridge.store import failpoints
from tests.bridge.intake.fetch.conftest import Collector, account_at
from tests.bridge.intake.fetch.fakes import Fake, FakeImap, FakePop3, Session, mail


def server_of(kind: str, count: int, size: int = 300) -> Fake:
    if kind == "imap":
        return FakeImap({n + 10: mail(n, size) for n in range(count)})
    return FakePop3({f"uid{n}": mail(n, size) for n in range(count)})


@pytest.mark.parametrize("kind", ["imap", "pop3"])
def test_everything_comes_once_and_as_it_was(collector: Collector, kind: str) -> None:
    """F56, F57, P20: collected whole, deleted there, nothing twice."""
    with server_of(kind, 250) as server:
        first = collector.poll(account_at(server))
        assert (first.error, first.new, first.removed, first.status) == ("", 250, 250, Status.MAIL)
        assert not server.messages
        second = collector.poll(account_at(server))
        assert (second.error, second.new, second.status) == ("", 0, Status.NO_MAIL)
    assert sorted(collector.messages()) == sorted(mail(n) for n in range(250))
    assert set(collector.states().values()) == {"gone"}


@pytest.mark.parametrize("kind", ["imap", "pop3"])
def test_keep_leaves_everything_and_remembers(collector: Collector, kind: str) -> None:
    with server_of(kind, 30) as server:
        account = account_at(server, keep=True)
        assert collector.poll(account).new == 30
        again = collector.poll(account)
        assert (again.new, again.known, again.removed) == (0, 30, 0)
        assert len(server.messages) == 30
        assert not server.said("STORE")
        assert not server.said("DELE")
        assert not server.said("SELECT")
        # later the account says: delete what is older than a day
        collector.ledger._database.write_now(lambda c: c.exec_driver_sql("UPDATE fetch_seen SET at = at - 90000"))
        assert collector.poll(replace(account, delete_days=1)).removed == 30


def test_the_envelope_says_where_it_came_from(collector: Collector) -> None:
    with FakeImap({5: mail(1)}) as server:
        collector.poll(account_at(server))
    spooled = collector.spool.open(next(collector.spool.scan()))
    envelope = spooled.envelope
    assert envelope.key == "fetch:remote:INBOX:77:5"
    assert envelope.sender == "writer1@example.net"
    assert [one.address for one in envelope.recipients] == ["ana@example.org"]
    assert envelope.origin.door == "fetch"


@pytest.mark.parametrize("kind", ["imap", "pop3"])
def test_large_messages_stream_in_pieces(collector: Collector, kind: str) -> None:
    big = mail(1, 3_300_000)
    with server_of(kind, 3) as server:
        server.messages[77 if kind == "imap" else "big"] = big
        if kind == "imap":
            server.flags[77] = set()
        assert collector.poll(account_at(server)).new == 4
        assert not server.messages
    assert big in collector.messages()
    if kind == "imap":
        assert len(server.said("BODY.PEEK[]<")) == 4


def test_over_the_limit_stays_and_the_owner_hears_once(collector: Collector) -> None:
    """F25: left there, a mail with the list, collected when the limit rises."""
    with FakeImap({1: mail(1), 2: mail(2, 90_000)}) as server:
        account = account_at(server, limit=50_000)
        first = collector.poll(account)
        assert (first.new, first.skipped, first.error) == (1, 1, "")
        assert list(server.messages) == [2]
        collector.poll(account)
        assert len(collector.notices()) == 1
        assert b"90" in collector.notices()[0]
        assert b"siguen en el servidor remoto" in collector.notices()[0]
        assert collector.poll(replace(account, limit=0)).new == 1
        assert not server.messages


def test_larger_than_this_server_takes_stays_there(collector: Collector) -> None:
    with FakeImap({1: mail(1), 2: mail(2, 6_000_000)}) as server:
        assert collector.poll(account_at(server)).skipped == 1
        assert list(server.messages) == [2]


def test_so_many_at_a_time(collector: Collector) -> None:
    """F26: the fetch limit, with its exit status."""
    with server_of("imap", 25) as server:
        account = account_at(server, most=10)
        results = [collector.poll(account) for _ in range(3)]
    assert [(one.new, one.status) for one in results] == [(10, 13), (10, 13), (5, 0)]


def test_folders_by_name_and_pattern(collector: Collector) -> None:
    """F28; sec-F07: a name with a line break in it is passed over."""

    def listed(session: Session, tag: str, arguments: str) -> bool:
        session.say(b'* LIST () "/" INBOX\r\n* LIST () "/" "Lists/a"\r\n* LIST () "/" "Lists/b"\r\n')
        session.say(b'* LIST () "/" {11}\r\nLists/x\r\nyz\r\n* LIST (\\Noselect) "/" "Lists/no"\r\n')
        session.line(f"{tag} OK done")
        return True

    with FakeImap({1: mail(1)}) as server:
        server.names = ["INBOX", "Lists/a", "Lists/b"]
        server.twist["LIST"] = listed
        result = collector.poll(account_at(server, folders=("INBOX", "Lists/*"), keep=True))
        assert (result.error, result.new) == ("", 3)
        asked = server.said("EXAMINE")
    assert [line.split(" ")[1] for line in asked] == ['"INBOX"', '"Lists/a"', '"Lists/b"']


def test_a_missing_folder_does_not_keep_the_others(collector: Collector) -> None:
    with FakeImap({1: mail(1)}) as server:
        result = collector.poll(account_at(server, folders=("Nowhere", "INBOX")))
        assert result.new == 1
        assert "no such folder" in result.error
        assert result.status == Status.SERVER


def test_auto_tries_imap_then_pop3(collector: Collector) -> None:
    """F07."""
    with FakeImap({1: mail(1)}) as server:
        assert collector.poll(account_at(server, protocol="auto")).new == 1
    with FakePop3({"a": mail(2)}) as server:
        # IMAP on POP3's port: what answers is no IMAP server, which is no reason to try something else
        assert collector.poll(account_at(server, protocol="auto")).status == Status.PROTOCOL


def test_login_refused_says_so_and_the_owner_hears(collector: Collector) -> None:
    """sec-F17: the server repeats the password; we don't."""
    for kind in ("imap", "pop3"):
        with server_of(kind, 1) as server:
            server.password = "another"
            account = account_at(server, name=kind)
            results = [collector.poll(account) for _ in range(3)]
            assert {one.status for one in results} == {Status.LOGIN}
            assert all("canario" not in one.error and "refuses the login of ana" in one.error for one in results)
    notices = collector.notices()
    assert len(notices) == 2
    assert all(b"canario" not in one and b"polls failed" in one for one in notices)


def test_nobody_there(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeImap() as server:
        account = account_at(server)
    assert collector.poll(account).status == Status.CONNECTION


    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    assert collector.poll(account).status == Status.DNS
    row = collector.ledger.accounts()[0]
    assert row.failures == 2
    assert row.error


def test_disk_full_is_our_trouble_and_the_next_poll_goes_on(collector: Collector) -> None:
    """P12: nothing is deleted there that isn't safe here."""
    with server_of("imap", 40) as server:
        failpoints.arm("spool.fdatasync=ENOSPC@p0.3")
        try:
            result = collector.poll(account_at(server))
        finally:
            failpoints.arm("")
        assert result.status == Status.LOCAL
        assert "no room" in result.error
        assert len(server.messages) == 40
        assert collector.poll(account_at(server)).error == ""
        assert not server.messages
    assert set(collector.numbers().values()) == {1}


def test_ledger_trouble_leaves_everything_there(collector: Collector) -> None:
    with server_of("imap", 5) as server:
        failpoints.arm("test.ledger=EIO")
        try:
            result = collector.poll(account_at(server))
        finally:
            failpoints.arm("")
        assert result.status == Status.LOCAL
        assert len(server.messages) == 5


def test_one_poll_at_a_time(collector: Collector, tmp_path: Path) -> None:
    from bridge.store.flock import FileLock

    with FakeImap({1: mail(1)}) as server:
        account = account_at(server)
        name = hashlib.sha256(account.name.encode()).hexdigest()[:16]
        (tmp_path / "run").mkdir(exist_ok=True)
        with FileLock(tmp_path / "run" / f"fetch-{name}.lock"):
            result = collector.poll(account)
            assert (result.new, result.status) == (0, Status.EXCLUDED)
        assert collector.poll(account).new == 1


def test_a_bug_is_told_and_does_not_escape(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bridge.intake.fetch.folder.FolderPoll._tidy", bug)
    with FakeImap({1: mail(1)}) as server:
        result = collector.poll(account_at(server))
    assert result.status == Status.INTERNAL
    assert "ZeroDivisionError" in result.error


def test_a_name_used_again_for_another_message(collector: Collector) -> None:
    """P21: UIDs that start again without a new UIDVALIDITY lose nothing."""
    with FakeImap({1: mail(1)}) as server:
        account = account_at(server)
        assert collector.poll(account).new == 1
        server.add(1, mail(2))
        assert collector.poll(account).new == 1
        server.add(1, mail(2))  # offered again although it was deleted
        again = collector.poll(account)
        assert (again.new, again.removed) == (0, 1)
    assert collector.numbers() == {1: 1, 2: 1}
    keys = [collector.spool.open(ident).envelope.key for ident in collector.spool.scan()]
    assert len(set(keys)) == 2


def test_a_message_that_changed_is_not_deleted(collector: Collector) -> None:
    """F82: before deleting, the size must be that of what was collected."""
    with FakeImap({1: mail(1)}) as server:
        account = account_at(server, keep=True)
        collector.poll(account)
        server.messages[1] = mail(9, 4000)
        assert collector.poll(replace(account, keep=False)).removed == 0
        assert list(server.messages) == [1]


def test_what_went_out_from_here_does_not_come_in_again(collector: Collector) -> None:
    """sec-F16, F79: the token of the account ends a loop; the message stays there."""
    with FakeImap({1: mail(1)}) as server:
        account = account_at(server)
        collector.poll(account)
        spooled = collector.spool.open(next(collector.spool.scan()))
        forwarded = b"Received: from elsewhere\r\n" + b"".join(collector.spool.chunks(spooled))
        server.add(2, forwarded)
        result = collector.poll(account)
        assert (result.new, result.error) == (0, "")
        assert list(server.messages) == [2]
    assert collector.states()["2"] == "looped"


def test_stop_ends_a_poll_that_waits(collector: Collector) -> None:
    import threading
    import time

    with server_of("imap", 3) as server:
        server.twist["UID FETCH"] = lambda session, tag, arguments: True  # never answers
        done: list[object] = []
        thread = threading.Thread(target=lambda: done.append(collector.poll(account_at(server, timeout=60))))
        thread.start()
        while not server.said("FETCH"):
            time.sleep(0.01)
        collector.poller.stop()
        thread.join(10)
        assert done
        assert not thread.is_alive()
    assert "failed" not in collector.states().values()
