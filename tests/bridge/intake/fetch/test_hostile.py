"""Remote servers as attackers: SECURITY group F."""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.config.fetch import FetchAccount
from bridge.intake.fetch.source import Status
from tests.bridge.intake.fetch.conftest import Collector, account_at
from tests.bridge.intake.fetch.fakes import PASSWORD, FakeImap, FakePop3, Session, certificate, mail


def password_heard(server: FakeImap | FakePop3) -> bool:
    return any(PASSWORD in line for line in server.heard)


# ---- sec-F01: no TLS, no password ----------------------------------------------------------------


def test_f01_preauth_is_not_trusted(collector: Collector, tmp_path: Path) -> None:
    context, pem, _ = certificate(tmp_path)
    for tls in ("starttls", "none"):
        with FakeImap({1: mail(1)}, tls=context) as server:
            server.greeting = "* PREAUTH welcome back"
            result = collector.poll(account_at(server, tls=tls, tls_ca_file=str(pem)))
            assert "PREAUTH" in result.error
            assert not password_heard(server)
            assert not collector.messages()


@pytest.mark.parametrize("kind", [FakeImap, FakePop3])
def test_f01_no_starttls_no_password(collector: Collector, kind: type[FakeImap | FakePop3]) -> None:
    """Also F13: the seeds' plain entries; the message says what to write."""
    with kind() as server:
        result = collector.poll(account_at(server, tls="starttls"))
        assert result.status == Status.CONNECTION
        assert "sslproto ''" in result.error
        assert not password_heard(server)
        assert not server.said("LOGIN")
        assert not server.said("USER")


@pytest.mark.parametrize("kind", [FakeImap, FakePop3])
def test_f01_starttls_refused_or_lied_about(
    collector: Collector, kind: type[FakeImap | FakePop3], tmp_path: Path
) -> None:
    context, pem, _ = certificate(tmp_path)
    for answer in ("{tag} NO not now", "{tag} OK begin"):
        with kind(tls=context) as server:

            def refuse(session: Session, tag: str, arguments: str, answer: str = answer) -> bool:
                pop3 = answer.replace("{tag} NO", "-ERR").replace("{tag} ", "+")
                session.line(answer.format(tag=tag) if tag else pop3)
                return True

            server.twist["STARTTLS"] = server.twist["STLS"] = refuse
            result = collector.poll(account_at(server, tls="starttls", tls_ca_file=str(pem)))
            assert result.error
            assert not password_heard(server)


@pytest.mark.parametrize("kind", [FakeImap, FakePop3])
def test_f01_words_before_tls_end_the_session(
    collector: Collector, kind: type[FakeImap | FakePop3], tmp_path: Path
) -> None:
    context, pem, _ = certificate(tmp_path)

    def inject(session: Session, tag: str, arguments: str) -> bool:
        session.say(f"{tag} OK begin\r\n{tag} OK LOGIN done\r\n" if tag else "+OK begin\r\n+OK logged in\r\n")
        session.start_tls(context)
        return True

    with kind(tls=context) as server:
        server.twist["STARTTLS"] = server.twist["STLS"] = inject
        result = collector.poll(account_at(server, tls="starttls", tls_ca_file=str(pem)))
        assert "before TLS" in result.error
        assert not password_heard(server)


@pytest.mark.parametrize("kind", [FakeImap, FakePop3])
@pytest.mark.parametrize("how", ["implicit", "starttls"])
def test_f02_certificates(collector: Collector, kind: type[FakeImap | FakePop3], how: str, tmp_path: Path) -> None:
    """sec-F02: self-signed fails, trusted or pinned works, another name or pin fails."""
    context, pem, der = certificate(tmp_path)
    other, other_pem, _ = certificate(tmp_path, "mail.example.net")
    digests = [hashlib.new(kind_, der).hexdigest() for kind_ in ("sha256", "sha1", "md5")]
    colons = ":".join(digests[2][n : n + 2] for n in range(0, 32, 2)).upper()
    cases = [
        (context, {}, False),
        (context, {"tls_ca_file": str(pem)}, True),
        (context, {"tls_fingerprint": digests[0]}, True),
        (context, {"tls_fingerprint": digests[1]}, True),
        (context, {"tls_fingerprint": colons}, True),
        (context, {"tls_fingerprint": digests[0][::-1]}, False),
        (context, {"tls_verify": False}, True),
        (other, {"tls_ca_file": str(other_pem)}, False),
        (other, {"tls_ca_file": str(other_pem), "tls_name": "mail.example.net"}, True),
    ]
    for number, (server_side, more, good) in enumerate(cases):
        with kind(tls=server_side, implicit=how == "implicit") as server:
            result = collector.poll(account_at(server, tls=how, name=str(number), **more))
            assert (result.error == "") == good, (more, result.error)
            assert password_heard(server) == good
            if not good and "tls_fingerprint" in more:
                assert digests[0] in result.error


def test_f02_old_tls_is_refused(collector: Collector, tmp_path: Path) -> None:
    from bridge.intake.fetch.source import tls_context

    assert tls_context(FetchAccount()).minimum_version.name == "TLSv1_2"


# ---- sec-F03 -------------------------------------------------------------------------------------


def test_f03_apop_only_where_asked(collector: Collector) -> None:
    with FakePop3({"a": mail(1)}) as server:
        assert collector.poll(account_at(server)).new == 1
        assert not server.said("APOP")
        server.twist["APOP"] = lambda session, tag, arguments: session.line("+OK") or True
        server.heard.clear()
        assert collector.poll(account_at(server, auth="apop")).error == ""
        digest = hashlib.md5(b"<1.2@localhost>" + PASSWORD.encode()).hexdigest()
        assert server.heard[0] == f"APOP ana {digest}"
        assert not password_heard(server)
        server.greeting = "+OK no stamp"
        assert collector.poll(account_at(server, auth="apop")).status == Status.LOGIN


def test_f03_cram_only_where_asked_and_bad_challenges(collector: Collector) -> None:
    with FakePop3() as server:
        server.twist["AUTH"] = lambda session, tag, arguments: session.line("+ %%%not base64") or True
        assert collector.poll(account_at(server, auth="cram-md5")).status == Status.LOGIN
    with FakeImap() as server:
        server.capabilities += " AUTH=CRAM-MD5"
        collector.poll(account_at(server))
        assert not server.said("CRAM")


def test_a_password_beyond_ascii(collector: Collector) -> None:
    """AUTHENTICATE PLAIN carries what LOGIN can't."""
    import base64

    seen: list[bytes] = []

    def plain(session: Session, tag: str, arguments: str) -> bool:
        session.line("+ ")
        seen.append(base64.b64decode(session.file.readline()))
        session.line(f"{tag} OK in")
        return True

    with FakeImap({1: mail(1)}) as server:
        server.twist["AUTHENTICATE"] = plain
        assert collector.poll(account_at(server, password="contraseña")).new == 1
    assert seen == ["\0ana\0contraseña".encode()]


# ---- sec-F04: nobody waits for ever --------------------------------------------------------------


def stalled(step: str) -> Callable[[Session, str, str], bool]:
    def trickle(session: Session, tag: str, arguments: str) -> bool:
        for _ in range(400):  # a byte now and then, so that no single wait is long
            session.say(b"*")
            time.sleep(0.05)
        return True

    return trickle


@pytest.mark.parametrize("step", ["CAPABILITY", "LOGIN", "UID SEARCH", "UID FETCH"])
def test_f04_a_trickle_ends_at_the_deadline(collector: Collector, step: str) -> None:
    collector.poller.poll_seconds = 1.0
    with FakeImap({1: mail(1)}) as server:
        server.twist[step] = stalled(step)
        start = time.monotonic()
        result = collector.poll(account_at(server, timeout=10))
        assert time.monotonic() - start < 10
        assert result.status == Status.CONNECTION
        assert "no answer in time" in result.error


@pytest.mark.parametrize("step", ["USER", "UIDL", "RETR"])
def test_f04_pop3_too(collector: Collector, step: str) -> None:
    collector.poller.poll_seconds = 1.0
    with FakePop3({"a": mail(1)}) as server:
        server.twist[step] = stalled(step)
        start = time.monotonic()
        assert collector.poll(account_at(server, timeout=10)).status == Status.CONNECTION
        assert time.monotonic() - start < 10
    assert "failed" not in collector.states().values(), "the end of our time is no message's fault"


def test_f04_a_handshake_that_never_ends(collector: Collector) -> None:
    with FakeImap() as server:  # speaks no TLS, says its greeting and waits
        start = time.monotonic()
        assert collector.poll(account_at(server, tls="implicit", timeout=1)).status == Status.CONNECTION
        assert time.monotonic() - start < 10


def test_f04_silence(collector: Collector) -> None:
    with FakePop3({"a": mail(1)}) as server:
        server.twist["LIST"] = lambda session, tag, arguments: True
        assert collector.poll(account_at(server, timeout=1)).status == Status.CONNECTION


# ---- sec-F05, F06: bounded answers ---------------------------------------------------------------


def test_f05_a_huge_literal_is_never_read(collector: Collector) -> None:
    def huge(session: Session, tag: str, arguments: str) -> bool | None:
        uids = server.asked(arguments)
        if "BODY.PEEK[]" not in arguments or 2 not in uids:
            return None
        for uid in uids:
            if uid == 2:
                session.say(b"* 2 FETCH (UID 2 BODY[] {9999999999}\r\n" + b"x" * 100)
                return True
            session.say(server.row(uid, uid, arguments))
        return True

    with FakeImap({n: mail(n) for n in range(1, 6)}) as server:
        server.twist["UID FETCH"] = huge
        account = account_at(server)
        first = collector.poll(account)
        assert "9999999999" in first.error
        assert first.status == Status.PROTOCOL
        results = [collector.poll(account) for _ in range(4)]
        assert sorted(collector.numbers()) == [1, 3, 4, 5], "one bad message must not block the others"
        assert collector.states()["2"] == "poison"
        assert results[-1].error == ""
        assert list(server.messages) == [2], "what we couldn't collect stays"


def test_f05_more_than_the_size_said(collector: Collector) -> None:
    def liar(session: Session, tag: str, arguments: str) -> bool | None:
        if "RFC822.SIZE" not in arguments:
            return None
        for uid in server.asked(arguments):
            session.line(f"* {uid} FETCH (UID {uid} RFC822.SIZE 100)")
        session.line(f"{tag} OK done")
        return True

    with FakeImap({1: mail(1), 2: mail(2, 4_800_000)}) as server:
        server.twist["UID FETCH"] = liar
        account = account_at(server)
        results = [collector.poll(account) for _ in range(3)]
        assert [one.error for one in results] == ["", "", ""]
        assert collector.states()["2"] == "poison"
        assert sorted(collector.numbers()) == [1]
    assert len(list((collector.folder / "quarantine").iterdir())) == 1


@pytest.mark.parametrize("step", ["CAPABILITY", "LOGIN", "SELECT", "UID SEARCH", "UID FETCH"])
def test_f06_untagged_answers_without_end(collector: Collector, step: str) -> None:
    def flood(session: Session, tag: str, arguments: str) -> bool:
        junk = b"* 1 EXISTS\r\n" * 20_000
        while not session.gone:
            session.say(junk)
        return True

    with FakeImap({1: mail(1)}) as server:
        server.twist[step] = flood
        result = collector.poll(account_at(server, timeout=20))
        assert result.status == Status.PROTOCOL, result.error
        assert "without end" in result.error or "far more" in result.error


def test_f06_a_line_without_end(collector: Collector) -> None:
    def endless(session: Session, tag: str, arguments: str) -> bool:
        while not session.gone:
            session.say(b"* SEARCH " + b"1 " * 500_000)
        return True

    for kind, step in ((FakeImap, "UID SEARCH"), (FakePop3, "LIST")):
        with kind() as server:
            server.twist[step] = endless
            assert collector.poll(account_at(server, timeout=20)).status == Status.PROTOCOL


@pytest.mark.parametrize("step", ["LIST", "UID FETCH", "UID SEARCH"])
def test_f06_nesting(collector: Collector, step: str) -> None:
    deep = b"(" * 100_000 + b")" * 100_000

    def nested(session: Session, tag: str, arguments: str) -> bool:
        word = {"LIST": b"* LIST ", "UID FETCH": b"* 1 FETCH ", "UID SEARCH": b"* SEARCH 1 "}[step]
        session.say(word + deep + b"\r\n" + f"{tag} OK done\r\n".encode())
        return True

    with FakeImap({1: mail(1)}) as server:
        server.twist[step] = nested
        result = collector.poll(account_at(server, folders=("*",)))
        assert result.status in (Status.PROTOCOL, Status.SERVER), result.error
        assert result.error


@pytest.mark.parametrize("folder", ["INBOX\r\nA1 DELETE INBOX", "a\0b"])
def test_f07_no_line_breaks_in_arguments(collector: Collector, folder: str) -> None:
    with FakeImap({1: mail(1)}) as server:
        assert "line breaks" in collector.poll(account_at(server, folders=(folder,))).error
        assert not server.said("DELETE")
        assert not server.said("SELECT")
        assert "line breaks" in collector.poll(account_at(server, password="x\r\nA1 NOOP")).error
    with FakePop3() as server:
        assert "line breaks" in collector.poll(account_at(server, user="x\r\nQUIT")).error
        assert not server.heard


# ---- sec-F08: only what was asked for ------------------------------------------------------------


def body_row(uid: int, text: bytes, number: int = 1) -> bytes:
    return b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (number, uid, len(text), text)


FORGED: dict[str, Callable[[bytes], bytes]] = {
    "not asked": lambda text: body_row(999, text),
    "twice": lambda text: body_row(1, text) * 2,
    "no uid": lambda text: b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\n" % (len(text), text),
    "two uids": lambda text: b"* 1 FETCH (UID 1 UID 2 BODY[] {%d}\r\n%b)\r\n" % (len(text), text),
    "giant uid": lambda text: body_row(1 << 33, text),
}


@pytest.mark.parametrize("what", FORGED)
def test_f08_answers_for_other_messages_end_the_session(collector: Collector, what: str) -> None:
    def forged(session: Session, tag: str, arguments: str) -> bool | None:
        if "BODY.PEEK[]" not in arguments:
            return None
        session.say(FORGED[what](mail(66)) + f"{tag} OK done\r\n".encode())
        return True

    with FakeImap({1: mail(1), 2: mail(2)}) as server:
        server.twist["UID FETCH"] = forged
        result = collector.poll(account_at(server))
        assert result.status == Status.PROTOCOL
        assert not server.said("STORE")
        assert len(server.messages) == 2
    assert not collector.messages()


def test_f08_sizes_for_other_messages(collector: Collector) -> None:
    def forged(session: Session, tag: str, arguments: str) -> bool | None:
        session.say(f"* 1 FETCH (UID 4000000000 RFC822.SIZE 7)\r\n{tag} OK done\r\n")
        return True

    with FakeImap({1: mail(1)}) as server:
        server.twist["UID FETCH"] = forged
        assert collector.poll(account_at(server)).status == Status.PROTOCOL


def test_f08_order_and_other_peoples_flags_do_not_matter(collector: Collector) -> None:
    def swapped(session: Session, tag: str, arguments: str) -> bool | None:
        if "BODY.PEEK[]" not in arguments:
            return None
        for uid in reversed(server.asked(arguments)):
            session.say(f"* {uid} FETCH (FLAGS (\\Seen))\r\n* 9 EXISTS\r\n")
            text = server.messages[uid]
            head = b'* %d FETCH (FLAGS (\\Seen "UID 3") BODY[] {%d}\r\n' % (uid, len(text))
            session.say(head + text + b" UID %d)\r\n" % uid)
        session.line(f"{tag} OK done")
        return True

    with FakeImap({n: mail(n) for n in range(1, 6)}) as server:
        server.twist["UID FETCH"] = swapped
        assert collector.poll(account_at(server)).new == 5
    assert collector.numbers() == dict.fromkeys(range(1, 6), 1)
    by_key = {spooled.envelope.key: b"".join(collector.spool.chunks(spooled))
              for spooled in map(collector.spool.open, collector.spool.scan())}  # fmt: skip
    assert all(f"X-Number: {key.rpartition(':')[2]}\r\n".encode() in text for key, text in by_key.items())


def test_f08_quoted_and_missing_bodies(collector: Collector) -> None:
    """Short bodies may come in quotes; NIL is no body."""

    def odd(session: Session, tag: str, arguments: str) -> bool | None:
        if "BODY.PEEK[]" not in arguments:
            return None
        for uid in server.asked(arguments):
            text = {1: b'"Subject: \\"hi\\" UID 7 x"', 2: b'""', 3: b"NIL"}[uid]
            session.say(b"* %d FETCH (UID %d BODY[] %b)\r\n" % (uid, uid, text))
        session.line(f"{tag} OK done")
        return True

    with FakeImap({n: mail(n) for n in range(1, 4)}) as server:
        server.twist["UID FETCH"] = odd
        assert collector.poll(account_at(server, keep=True)).new == 2
    assert any(text.startswith(b'Subject: "hi" UID 7 x\r\n') for text in collector.messages())
    assert collector.states()["3"] == "failed"


# ---- sec-F09: other people's mail ----------------------------------------------------------------


def test_f09_only_ours_is_expunged(collector: Collector) -> None:
    with FakeImap({n: mail(n) for n in range(1, 6)}) as server:
        server.flags[99] = {"\\Deleted"}
        arrived: list[int] = []

        def late(session: Session, tag: str, arguments: str) -> None:
            if not arrived:  # somebody else marks a message while we tidy
                arrived.append(99)
                server.messages[99] = mail(99)

        server.twist["UID STORE"] = late
        result = collector.poll(account_at(server))
        assert result.removed == 5
        assert sorted(server.expunged) == [1, 2, 3, 4, 5]
        assert list(server.messages) == [99]
        assert not server.said("CLOSE")
        assert server.said("EXPUNGE") == ["UID EXPUNGE 1,2,3,4,5"]


def test_f09_without_uidplus_nothing_is_expunged_unless_told(collector: Collector) -> None:
    with FakeImap({1: mail(1), 2: mail(2)}) as server:
        server.capabilities = "IMAP4rev1"
        server.add(3, mail(3), ("\\Deleted",))
        account = account_at(server)
        assert collector.poll(account).removed == 0
        assert not server.said("EXPUNGE")
        assert server.flags[1] == {"\\Deleted"}
        assert set(collector.states().values()) == {"delete_sent"}
        assert collector.poll(account).new == 0
        assert collector.poll(account_at(server, expunge_all=True)).removed == 3


# ---- sec-F10, F11: names that change -------------------------------------------------------------


def test_f10_new_uidvalidity_no_duplicate_no_loss(collector: Collector) -> None:
    """P21: again and again, with new mail each time, in keep mode."""
    with FakeImap({n: mail(n) for n in range(1, 31)}) as server:
        account = account_at(server, keep=True)
        collector.poll(account)
        for turn in range(1, 5):
            server.uidvalidity = 77 + turn % 3
            server.messages = {1000 * turn + n: text for n, text in enumerate(server.messages.values())}
            server.add(1000 * turn + 500, mail(100 + turn))
            result = collector.poll(account)
            assert (result.error, result.new) == ("", 1), turn
    assert collector.numbers() == dict.fromkeys([*range(1, 31), 101, 102, 103, 104], 1)


def test_f10_the_first_poll_after_it_may_be_cut_short(collector: Collector) -> None:
    with FakeImap({n: mail(n) for n in range(1, 21)}) as server:
        account = account_at(server, keep=True)
        collector.poll(account)
        server.uidvalidity = 80
        server.messages = {n + 100: text for n, text in server.messages.items()}
        for n in range(30, 33):
            server.add(n + 200, mail(n))
        assert collector.poll(account_at(server, keep=True, most=2)).new == 2
        assert collector.poll(account).new == 1
    assert set(collector.numbers().values()) == {1}
    assert len(collector.numbers()) == 23


def test_f10_sizes_that_the_new_server_counts_otherwise(collector: Collector) -> None:
    """After a move to another server: the whole message is compared (SECURITY D-6)."""

    def other_sizes(session: Session, tag: str, arguments: str) -> bool | None:
        if "RFC822.SIZE" not in arguments:
            return None
        for uid in server.asked(arguments):
            session.line(f"* 1 FETCH (UID {uid} RFC822.SIZE {len(server.messages[uid]) + 9})")
        session.line(f"{tag} OK done")
        return True

    with FakeImap({n: mail(n) for n in range(1, 6)}) as server:
        account = account_at(server, keep=True)
        collector.poll(account)
        server.uidvalidity = 80
        server.twist["UID FETCH"] = other_sizes
        result = collector.poll(account)
        assert (result.new, result.known) == (0, 5)
        again = collector.poll(account)
        assert (again.new, again.known) == (0, 5)
    assert set(collector.numbers().values()) == {1}


def test_f11_uidl_missing_or_repeated(collector: Collector) -> None:
    box = {f"u{n}": mail(n) for n in range(8)}
    box["twin"] = mail(3)  # the same message twice is two messages
    with FakePop3(box) as server:
        server.uidl = lambda uid: "same" if uid < "u5" else uid
        account = account_at(server, keep=True)
        assert collector.poll(account).new == 9
        assert collector.poll(account).new == 0
        server.uidl = lambda uid: ""
        assert collector.poll(account).new == 0, "content is compared when names change"
    assert collector.numbers() == {**dict.fromkeys(range(8), 1), 3: 2}


@pytest.mark.parametrize("top", [True, False])
def test_f11_no_uidl_at_all(collector: Collector, top: bool) -> None:
    with FakePop3({f"u{n}": mail(n) for n in range(6)}) as server:
        for word in ("UIDL",) if top else ("UIDL", "TOP"):
            server.twist[word] = lambda session, tag, arguments: session.line("-ERR unknown") or True
        account = account_at(server, keep=True)
        assert collector.poll(account).new == 6
        assert collector.poll(account).new == 0
        assert collector.poll(account_at(server)).removed == 6
    assert set(collector.numbers().values()) == {1}


def test_f11_uidl_new_in_each_session(collector: Collector) -> None:
    turn = [0]
    with FakePop3({f"u{n}": mail(n) for n in range(20)}) as server:
        server.uidl = lambda uid: f"{uid}-{turn[0]}"
        account = account_at(server, keep=True)
        for turn[0] in range(4):
            server.messages[f"new{turn[0]}"] = mail(100 + turn[0])
            assert collector.poll(account).new == (21 if turn[0] == 0 else 1)
    assert set(collector.numbers().values()) == {1}


def test_f11_quit_fails_after_dele(collector: Collector) -> None:
    with FakePop3({f"u{n}": mail(n) for n in range(5)}) as server:
        server.quit_fails = True
        account = account_at(server)
        first = collector.poll(account)
        assert (first.new, first.removed, first.status) == (5, 0, Status.SERVER)
        assert set(collector.states().values()) == {"delete_sent"}
        server.quit_fails = False
        second = collector.poll(account)
        assert (second.new, second.removed) == (0, 5)
    assert set(collector.numbers().values()) == {1}


def test_f11_strange_listings(collector: Collector) -> None:
    """Numbers that are none, sizes of a thousand digits, superscripts, lines without numbers."""

    def strange(session: Session, tag: str, arguments: str) -> bool:
        session.say("+OK\r\n1 \u00b2\r\n2 " + "9" * 5000 + "\r\n\u00b2 3\r\n0 1\r\n99999999999 1\r\nx\r\n\r\n.\r\n")
        return True

    with FakePop3({"a": mail(1), "b": mail(2)}) as server:
        server.twist["LIST"] = strange
        result = collector.poll(account_at(server))
        assert result.error == ""
        assert result.new + result.skipped == 2


# ---- sec-F12: a poisoned message -----------------------------------------------------------------


def poison_pop3(server: FakePop3) -> Callable[[Session, str, str], bool | None]:
    def drop(session: Session, tag: str, arguments: str) -> bool | None:
        if arguments == "3":
            session.say(b"+OK\r\nSubject: half of it\r\n\r\nand then")
            session.drop()
            return True
        return None

    return drop


@pytest.mark.parametrize("ahead", [True, False])
def test_f12_pop3_server_that_dies_on_one_message(collector: Collector, ahead: bool) -> None:
    with FakePop3({f"u{n}": mail(n) for n in range(1, 7)}) as server:
        if not ahead:
            server.capabilities.remove("PIPELINING")
        server.twist["RETR"] = poison_pop3(server)
        account = account_at(server, keep=True)
        results = [collector.poll(account) for _ in range(4)]
        assert [one.new for one in results] == [2, 3, 0, 0]
        assert [bool(one.error) for one in results] == [True, True, True, False]
        assert collector.states()["u3"] == "poison"
        assert sorted(collector.numbers()) == [1, 2, 4, 5, 6]
        assert len(collector.notices()) == 1
        assert b"estafeta fetch --retry remote" in collector.notices()[0]
        server.twist.clear()
        assert collector.ledger.retry("remote") == 1
        assert collector.poll(account).new == 1


def test_f12_imap_server_that_drops_a_batch(collector: Collector) -> None:
    def drop(session: Session, tag: str, arguments: str) -> bool | None:
        if "BODY.PEEK[]" in arguments and 3 in server.asked(arguments):
            session.drop()
            return True
        return None

    with FakeImap({n: mail(n) for n in range(1, 7)}) as server:
        server.twist["UID FETCH"] = drop
        account = account_at(server, keep=True)
        for _ in range(5):
            collector.poll(account)
        assert sorted(collector.numbers()) == [1, 2, 4, 5, 6]
        assert collector.states()["3"] == "poison"
        assert collector.poll(account).error == ""


def test_f12_long_lines_are_no_poison(collector: Collector) -> None:
    """SECURITY 0.14: what stops poplib and getmail."""
    text = b"Subject: long\r\nX-Number: 1\r\n\r\n" + b"y" * 2_000_000 + b"\r\nend\r\n"
    for kind in (FakePop3({"a": text}), FakeImap({1: text})):
        with kind as server:
            assert collector.poll(account_at(server, name=str(server.port))).new == 1
    assert collector.messages() == [text, text]


def test_f12_a_refused_message_is_set_aside_whole(collector: Collector) -> None:
    looping = b"Received: from a by b\r\n" * 60 + mail(2)
    with FakeImap({1: mail(1), 2: looping}) as server:
        account = account_at(server)
        for _ in range(3):
            assert collector.poll(account).error == ""
        assert list(server.messages) == [2]
    (path,) = (collector.folder / "quarantine").iterdir()
    assert path.read_bytes() == looping
    assert path.stat().st_mode & 0o777 == 0o600


def test_dots_and_bare_line_ends_inside_a_pop3_message(collector: Collector) -> None:
    """sec-S01's cousin: only CRLF.CRLF ends a message, so none can smuggle replies."""
    inner = b"Subject: x\r\nX-Number: 1\r\n\r\nfirst\n.\n+OK\r\n..\r\nlast\r\n"
    with FakePop3({"a": inner, "b": mail(2)}) as server:
        assert collector.poll(account_at(server)).new == 2
    assert sorted(collector.numbers()) == [1, 2]
    assert any(b"last\r\n" in text for text in collector.messages())


# ---- sec-F13 and the rest ------------------------------------------------------------------------


def test_f13_four_billion_messages(collector: Collector) -> None:
    def many(session: Session, tag: str, arguments: str) -> bool:
        session.say(f"* 4000000000 EXISTS\r\n* OK [UIDVALIDITY 1] v\r\n{tag} OK [READ-WRITE] done\r\n")
        return True

    with FakeImap({1: mail(1)}) as server:
        server.twist["SELECT"] = many
        assert "claims to have 4000000000" in collector.poll(account_at(server)).error

    def uids(session: Session, tag: str, arguments: str) -> bool:
        session.say("* SEARCH 0 4294967296 99999999999999999999 -1 7\r\n" + f"{tag} OK done\r\n")
        return True

    with FakeImap({7: mail(7)}) as server:
        server.twist["UID SEARCH"] = uids
        collector.poll(account_at(server))
        assert not [line for line in server.said("FETCH") if "4294967296" in line or "999999" in line]


def test_f15_fetched_mail_is_marked_as_such(collector: Collector) -> None:
    """The queue sends no bounce outside for the door `fetch`; our own notices have no sender at all."""
    with FakeImap({1: mail(1), 2: mail(2, 90_000)}) as server:
        collector.poll(account_at(server, limit=1000))
    opened = [collector.spool.open(ident).envelope for ident in collector.spool.scan()]
    assert {one.origin.door for one in opened} == {"fetch"}
    assert {one.sender for one in opened} == {"", "writer1@example.net"}


def test_f15_a_forged_return_path_is_no_address(collector: Collector) -> None:
    bad = [b"Return-Path: <a@b\0c>\r\n", b"Return-Path: <>\r\n", b"Return-Path: <@@>\r\n", b"X: <a@b.example>\r\n", b""]
    with FakeImap({n: one + b"Subject: x\r\n\r\nx\r\n" for n, one in enumerate(bad, 1)}) as server:
        assert collector.poll(account_at(server)).new == len(bad)
    assert {collector.spool.open(ident).envelope.sender for ident in collector.spool.scan()} == {""}


def test_f17_the_password_is_in_no_log(
    collector: Collector, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(session: Session, tag: str, arguments: str) -> bool:
        session.line(f"{tag} BAD what is {arguments} {PASSWORD}" if tag else f"-ERR {arguments} {PASSWORD}")
        return True

    for kind, words in ((FakeImap, ["LOGIN", "SELECT", "UID FETCH"]), (FakePop3, ["PASS", "LIST", "RETR"])):
        for word in words:
            with kind() as server:
                if isinstance(server, FakeImap):
                    server.add(1, mail(1))
                else:
                    server.messages["a"] = mail(1)
                server.twist[word] = echo
                account = account_at(server, name=word)
                assert PASSWORD not in repr(account)
                result = collector.poll(account)
                assert PASSWORD not in result.error
    with FakeImap({1: mail(1)}) as server:
        assert collector.poll(account_at(server)).new == 1
    told = caplog.text + str(collector.events) + "".join(capsys.readouterr()) + repr(collector.notices())
    assert PASSWORD not in told
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_f18_no_log_bombs(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    def bomb(session: Session, tag: str, arguments: str) -> bool:
        session.say(f"{tag} NO " + "\x1b[31m\t%s%n" * 100_000 + "\r\n")
        return True

    caplog.set_level(logging.DEBUG)
    for word in ("LOGIN", "SELECT", "UID FETCH"):
        with FakeImap({1: mail(1)}) as server:
            server.twist[word] = bomb
            result = collector.poll(account_at(server, name=word))
            assert 10 < len(result.error) < 1000
            assert "\x1b" not in result.error
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)
    assert all(len(event["line"]) < 3000 for event in collector.events)


def test_answers_to_the_next_command_may_come_early(collector: Collector) -> None:
    """RFC 3501 5.5: a server may work on two FETCH commands at once; Dovecot does when its output is full."""
    held: list[tuple[str, str]] = []

    def together(session: Session, tag: str, arguments: str) -> bool | None:
        if "BODY.PEEK[]" not in arguments:
            return None
        held.append((tag, arguments))
        if len(held) == 2:
            rows = [server.row(uid, uid, words) for _, words in held for uid in server.asked(words)]
            session.say(b"".join(rows[::-1]))
            for tag, _ in reversed(held):
                session.line(f"{tag} OK done")
            held.clear()
        return True

    with FakeImap({n: mail(n) for n in range(1, 201)}) as server:
        server.twist["UID FETCH"] = together
        result = collector.poll(account_at(server))
        assert (result.error, result.new) == ("", 200)
    assert collector.numbers() == dict.fromkeys(range(1, 201), 1)
