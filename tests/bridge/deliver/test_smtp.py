"""Mail to other servers, good ones and bad ones (S03, S79, S80, S90, S92; sec-O01 to sec-O10; P08, P12, P26, P28)."""
import asyncio
from types import SimpleNamespace

import pytest
import uvloop

from bridge.config.outbound import Destination, Outbound
from bridge.deliver.base import Job, Target
from bridge.deliver.connect import Connector
from bridge.deliver.destination import Networks, Policies, Policy, contexts, hop, sort_addresses
from bridge.deliver.pool import Pool
from bridge.deliver.smtp import SmtpTransport
from bridge.model.envelope import Envelope, Origin
from bridge.model.errors import StoreError
from bridge.model.outcome import Deferred, Delivered, Failed
from bridge.route.resolver import Kind
from bridge.store.spool import Damaged, Spooled
from bridge.trust.names import NameTrouble, NoDomain

LOOPBACK = Outbound(private=("127.0.0.0/8",), ipv6=False)
BODY = b"Received: x\r\nSubject: hola\r\n\r\n.uno\r\ndos\r\n"
SIZE = len(BODY)


class Names:
    """A name service in memory: what is missing does not exist."""

    def __init__(self, mx=None, hosts=None):
        self.records, self.hosts = mx or {}, hosts or {}

    async def mx(self, domain):
        return self._get(self.records, domain)

    async def addresses(self, host):
        return self._get(self.hosts, host)

    async def machine(self, host):
        if host not in self.hosts:
            raise NameTrouble(host)
        return self.hosts[host]

    @staticmethod
    def _get(table, name):
        if name not in table:
            raise NoDomain(name)
        if isinstance(table[name], Exception):
            raise table[name]
        return table[name]


SIMPLE = Names({"example.net": [(10, "mx.example.net.")]}, {"mx.example.net": ["127.0.0.1"]})


class Bodies:
    def __init__(self, body=BODY):
        self.body = body

    def chunks(self, spooled):
        if isinstance(self.body, Exception):
            raise self.body
        for start in range(0, len(self.body), 100_000):
            yield self.body[start : start + 100_000]


numbers = iter(range(1, 1 << 30))


def job(*addresses, nexthop="example.net", sender="ana@example.org", size=SIZE, utf8=False, senders=()):
    identity = f"{next(numbers):016}"
    envelope = Envelope(identity, identity, sender, (), Origin("smtp"), 0.0, body="8BITMIME", smtputf8=utf8)
    targets = tuple(
        Target(next(numbers), address, address, nexthop, senders[n] if senders else sender)
        for n, address in enumerate(addresses))
    return Job(Spooled(envelope, None, 0, size), Kind.REMOTE, nexthop, targets)


def transport(server, names=SIMPLE, settings=LOOPBACK, *, bodies=None, tls=None, patience=1.0, chunk=50, **pool):
    connector = Connector(
        settings, names, hostname="me.example.org", tls=tls, shuffle=lambda hosts: None, port=server.port,
        patience=patience)
    return SmtpTransport(Pool(connector.open, **pool), bodies or Bodies(), chunk=chunk)


def run(test, loop=asyncio.new_event_loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), 30))


def values(outcomes):
    """Outcomes in order of their targets, short: type, code, scope."""
    return [(type(one).__name__, one.reply.code, getattr(one, "scope", "")) for _, one in sorted(outcomes.items())]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_message_arrives_as_it_was(loop, fake):
    async def test():
        async with fake() as server:
            one = transport(server)
            outcomes = await one.deliver([job("a@example.net", "b@example.net")])
            assert values(outcomes) == [("Delivered", 250, "")] * 2
            assert {outcome.where for outcome in outcomes.values()} == {f"mx.example.net[127.0.0.1]:{server.port}"}
            mail, = server.mails
            assert (mail.sender, mail.body) == ("ana@example.org", BODY)
            assert mail.recipients == ["a@example.net", "b@example.net"]
            assert b"BODY=8BITMIME" in server.said[1]
            one.close()

    run(test, loop)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_big_message_flows(loop, fake):
    async def test():
        body = b"Subject: big\r\n\r\n" + (b"." * 198 + b"\r\n") * 20_000
        async with fake() as server:
            one = transport(server, bodies=Bodies(body))
            await one.deliver([job("a@example.net", size=len(body))])
            assert server.mails[0].body == body
            one.close()

    run(test, loop)


def test_S90_connections_are_used_again_and_limited(fake):
    async def test():
        async with fake() as server:
            one = transport(server, each=3)
            settled = []
            jobs = [job("a@example.net") for _ in range(30)]
            outcomes = await one.deliver(jobs, settled.append)
            assert len(outcomes) == len(settled) == len(server.mails) == 30
            assert server.connections == server.most == 3
            await one.deliver([job("a@example.net")])
            assert server.connections == 3
            one.close()
            await asyncio.sleep(0.05)
            assert server.open == 0
            assert server.said[-1] == b"QUIT\r\n"
        async with fake() as server:
            one = transport(server, each=1, messages=2)
            await one.deliver([job("a@example.net") for _ in range(5)])
            assert server.connections == 3
            one.close()

    run(test)


def test_transactions_by_sender_and_chunk(fake):
    async def test():
        async with fake() as server:
            one = transport(server, chunk=2, each=1)
            await one.deliver([
                job("a@x", "b@x", "c@x", senders=("s@y", "t@y", "s@y")), job("d@x", "e@x", "f@x")])
            assert sorted((mail.sender, tuple(mail.recipients)) for mail in server.mails) == [
                ("ana@example.org", ("d@x", "e@x")), ("ana@example.org", ("f@x",)), ("s@y", ("a@x", "c@x")),
                ("t@y", ("b@x",))]
            one.close()

    run(test)


def test_sec_O10_every_recipient_for_itself(fake):
    async def test():
        async with fake(answers={"RCPT": ["250 ok", "450 4.2.1 later", "550 5.1.1 no", "552 too many"]}) as server:
            one = transport(server)
            outcomes = await one.deliver([job("a@example.net", "b@example.net", "c@example.net", "d@example.net")])
            assert values(outcomes) == [
                ("Delivered", 250, ""), ("Deferred", 450, "recipient"), ("Failed", 550, ""),
                ("Deferred", 552, "recipient")]
            assert server.mails[0].recipients == ["a@example.net"]
            one.close()

    run(test)


@pytest.mark.parametrize(("answers", "expected"), [
    ({"MAIL": "550 no"}, ("Failed", 550, "")),
    ({"MAIL": "451 later"}, ("Deferred", 451, "message")),
    ({"DATA": "554 no"}, ("Failed", 554, "")),
    ({"DOT": "554 spam"}, ("Failed", 554, "")),
    ({"DOT": "452 full"}, ("Deferred", 452, "message")),
    ({"GREETING": "554 not you"}, ("Deferred", 554, "host")),
    ({"GREETING": "421 later"}, ("Deferred", 421, "host")),
    ({"EHLO": "421 later"}, ("Deferred", 421, "host")),
    ({"MAIL": "421 later"}, ("Deferred", 421, "host")),
    ({"DOT": "421 later"}, ("Deferred", 421, "host")),
    ({"RCPT": "550 a\r\n250 b\r\n250 c\r\n250 d"}, ("Failed", 550, "")),
    ({"GREETING": "x" * 20_000}, ("Deferred", 451, "host")),
    ({"GREETING": "220-x\r\n" * 200}, ("Deferred", 451, "host")),
    ({"GREETING": "SSH-2.0"}, ("Deferred", 451, "host")),
    ({"DOT": "250-" + "x" * 70_000}, ("Deferred", 451, "message")),
])
def test_P12_sec_O04_replies_and_what_they_mean(answers, expected, fake):
    async def test():
        async with fake(answers=answers) as server:
            one = transport(server)
            assert values(await one.deliver([job("a@example.net")])) == [expected]
            one.close()

    run(test)


@pytest.mark.parametrize("where", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
def test_a_server_that_hangs_up(where, fake):
    async def test():
        async with fake(answers={where: fake.DROP}) as server:
            one = transport(server)
            outcome, = (await one.deliver([job("a@example.net")])).values()
            assert isinstance(outcome, Deferred)
            assert outcome.scope == ("message" if where == "DOT" else "host")
            assert server.connections == 1
            one.close()

    run(test)


@pytest.mark.parametrize("where", ["GREETING", "EHLO", "MAIL", "DATA", "DOT", "STARTTLS"])
def test_P26_a_server_that_is_silent_holds_one_place_for_a_time(where, fake, authority):
    async def test():
        async with fake(answers={where: fake.HANG}, tls=authority.server("mx.example.net")) as server:
            one = transport(server, patience=0.0008, tls=contexts(authority.file))
            outcome, = (await one.deliver([job("a@example.net")])).values()
            assert isinstance(outcome, Deferred)
            assert "timed out" in outcome.reply.text
            one.close()

    run(test)


def test_P26_a_trickle_does_not_move_the_deadline(fake):
    async def trickle(writer):
        while True:
            writer.write(b"2")
            await asyncio.sleep(0.02)

    async def test():
        async with fake(answers={"GREETING": trickle}) as server:
            one = transport(server, patience=0.0008)
            outcome, = (await one.deliver([job("a@example.net")])).values()
            assert "timed out" in outcome.reply.text
            one.close()

    run(test)


def test_sec_O09_an_answer_lost_after_the_dot_is_not_repeated_by_us(fake):
    async def test():
        async with fake(answers={"DOT": ["250 ok", fake.DROP]}) as server:
            one = transport(server)
            assert values(await one.deliver([job("a@example.net")])) == [("Delivered", 250, "")]
            assert values(await one.deliver([job("a@example.net")])) == [("Deferred", 451, "message")]
            assert len(server.mails) == 2, "one transaction per delivery, also over a used connection"
            one.close()

    run(test)


def test_a_stale_connection_is_replaced_once(fake):
    async def test():
        for trouble in (fake.DROP, "421 idle for too long"):
            async with fake(answers={"MAIL": ["250 ok", trouble, "250 ok"]}) as server:
                one = transport(server)
                for _ in range(2):
                    assert values(await one.deliver([job("a@example.net")])) == [("Delivered", 250, "")]
                assert server.connections == 2
                one.close()

    run(test)


def test_S03_a_server_that_knows_no_ehlo(fake):
    async def test():
        async with fake(answers={"EHLO": "502 what"}) as server:
            one = transport(server)
            assert values(await one.deliver([job("a@example.net", "b@example.net")])) == [("Delivered", 250, "")] * 2
            assert server.said[1].startswith(b"HELO me.example.org")
            one.close()

    run(test)


def test_lmtp(fake):
    async def test():
        settings = Outbound(destinations=(Destination("lmtp.example.org", protocol="lmtp"),))
        async with fake(lmtp=True, answers={"DOT": ["250 in", "452 4.2.2 full"]}) as server:
            one = transport(server, Names(hosts={"lmtp.example.org": ["127.0.0.1"]}), settings)
            outcomes = await one.deliver([job("a@x.org", "b@x.org", nexthop=f"[lmtp.example.org]:{server.port}")])
            assert values(outcomes) == [("Delivered", 250, ""), ("Deferred", 452, "message")]
            assert server.said[0] == b"LHLO me.example.org\r\n"
            one.close()

    run(test)


def test_S79_hosts_in_turn(fake):
    names = Names(
        {"example.net": [(10, "dead.example.net"), (20, "gone.example.net"), (30, "mx.example.net")]},
        {"dead.example.net": ["127.0.0.9"], "mx.example.net": ["127.0.0.1"]})

    async def test():
        async with fake() as server:
            one = transport(server, names)
            assert values(await one.deliver([job("a@example.net")])) == [("Delivered", 250, "")]
            one.close()
        async with fake() as server:  # no MX: the domain itself
            one = transport(server, Names({"example.net": []}, {"example.net": ["127.0.0.1"]}))
            assert values(await one.deliver([job("a@example.net")])) == [("Delivered", 250, "")]
            one.close()

    run(test)


@pytest.mark.parametrize(("names", "expected"), [
    (Names(), ("Failed", 550, "")),
    (Names({"example.net": [(0, ".")]}), ("Failed", 556, "")),
    (Names({"example.net": NameTrouble("servfail")}), ("Deferred", 451, "host")),
    (Names({"example.net": [(1, "mx.example.net")]}, {"mx.example.net": NameTrouble("x")}), ("Deferred", 451, "host")),
    (Names({"example.net": [(1, "mx.example.net")]}), ("Deferred", 450, "host")),
    (Names({"example.net": []}, {"example.net": []}), ("Deferred", 450, "host")),
    (Names({"example.net": [(1, "me.example.org")]}), ("Failed", 554, "")),
    (Names({"example.net": [(1, "mx.example.net")]}, {"mx.example.net": ["127.0.0.1"]}), ("Failed", 550, "")),
])
def test_P28_sec_O06_names_and_where_mail_never_goes(names, expected, fake):
    async def test():
        async with fake() as server:
            one = transport(server, names, Outbound())
            assert values(await one.deliver([job("a@example.net")])) == [expected]
            assert server.connections == 0
            one.close()

    run(test)


def test_sec_O07_five_addresses_and_no_more(fake):
    names = Names(
        {"example.net": [(n, f"h{n}.example.net") for n in range(9)]},
        {f"h{n}.example.net": [f"127.0.0.{n + 10}"] for n in range(9)})

    async def test():
        async with fake() as server:
            connector = Connector(LOOPBACK, names, hostname="me.example.org", port=server.port)
            tried = []
            session = connector._session
            connector._session = lambda host, *rest: tried.append(host) or session(host, *rest)
            one = SmtpTransport(Pool(connector.open), Bodies())
            assert values(await one.deliver([job("a@example.net")])) == [("Deferred", 451, "host")]
            assert len(tried) == 5
            one.close()

    run(test)


@pytest.mark.parametrize("address", [
    "10.1.2.3", "192.168.1.1", "172.16.0.1", "127.0.0.1", "0.0.0.0", "169.254.1.1", "100.64.0.1", "224.0.0.1", "::1",
    "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2001:db8::1", "255.255.255.255",
    "nonsense",
])
def test_sec_O06_private_places(address):
    assert not Networks(Outbound()).allowed(address)
    assert Networks(Outbound()).allowed("9.9.9.9")
    assert Networks(Outbound()).allowed("2620:fe::9")
    assert Networks(Outbound(private=("10.0.0.0/8",))).allowed("10.1.2.3")


def test_P10_a_server_that_has_our_name(fake):
    async def test():
        async with fake(answers={"EHLO": "250 ME.example.org"}) as server:
            one = transport(server)
            assert values(await one.deliver([job("a@example.net")])) == [("Failed", 554, "")]
            one.close()

    run(test)


def test_sec_O01_tls_where_offered_and_clear_where_it_is_broken(fake, authority):
    async def test():
        async with fake(tls=authority.server("other.example.net")) as server:
            one = transport(server)
            assert values(await one.deliver([job("a@example.net")])) == [("Delivered", 250, "")]
            assert server.mails[0].secure, "any certificate will do"
            one.close()
        async with fake(tls=authority.server("mx.example.net"), answers={"STARTTLS": "220 go now"}) as server:
            one = transport(server, patience=0.01)  # says yes and then goes on in the clear
            assert values(await one.deliver([job("a@example.net")])) == [("Delivered", 250, "")]
            assert not server.mails[0].secure
            one.close()

    run(test)


@pytest.mark.parametrize("policy", ["encrypt", "verify"])
def test_sec_O01_no_tls_no_mail_where_the_policy_says_so(policy, fake):
    async def test():
        settings = Outbound(private=("127.0.0.0/8",), destinations=(Destination("example.net", tls=policy),))
        for answers in ({}, {"STARTTLS": "454 no"}, {"EHLO": "502 what"}):
            async with fake(answers=answers) as server:
                one = transport(server, settings=settings)
                outcome, = (await one.deliver([job("a@example.net")])).values()
                assert isinstance(outcome, Deferred)
                assert not server.mails
                one.close()

    run(test)


@pytest.mark.parametrize(("name", "days", "delivered"), [
    ("mx.example.net", 1, True), ("evil.example.net", 1, False), ("mx.example.net", -1, False)])
def test_sec_O11_certificates_are_looked_at(name, days, delivered, fake, authority):
    async def test():
        settings = Outbound(tls="verify", private=("127.0.0.0/8",), ipv6=False)
        async with fake(tls=authority.server(name, days)) as server:
            one = transport(server, settings=settings, tls=contexts(authority.file))
            outcome, = (await one.deliver([job("a@example.net")])).values()
            assert isinstance(outcome, Delivered if delivered else Deferred)
            assert len(server.mails) == delivered
            one.close()

    run(test)


@pytest.mark.parametrize("implicit", [False, True])
def test_S80_a_smarthost_with_tls_and_login(implicit, fake, authority):
    async def test():
        tls = authority.server("smtp.example.com")
        options = {"implicit": tls} if implicit else {"tls": tls}
        async with fake(offers=("AUTH PLAIN LOGIN",), **options) as server:
            settings = Outbound(destinations=(
                Destination("smtp.example.com", login="ana", password="secreto", implicit=implicit),))
            names = Names(hosts={"smtp.example.com": ["127.0.0.1"]})
            one = transport(server, names, settings, tls=contexts(authority.file))
            nexthop = f"[smtp.example.com]:{server.port}"
            assert values(await one.deliver([job("a@example.net", nexthop=nexthop)])) == [("Delivered", 250, "")]
            assert b"AUTH PLAIN AGFuYQBzZWNyZXRv\r\n" in server.said
            one.close()

    run(test)


def test_a_password_never_goes_out_in_the_clear_by_itself(fake):
    async def test():
        async with fake(offers=("AUTH PLAIN",)) as server:
            settings = Outbound(destinations=(Destination("127.0.0.1", tls="may", login="ana", password="secreto"),))
            one = transport(server, settings=settings)
            nexthop = f"[127.0.0.1]:{server.port}"
            outcome, = (await one.deliver([job("a@example.net", nexthop=nexthop)])).values()
            assert isinstance(outcome, Deferred)
            assert not any(line.startswith(b"AUTH") for line in server.said)
            one.close()
            settings = Outbound(destinations=(Destination("127.0.0.1", tls="none", login="ana", password="secreto"),))
            one = transport(server, settings=settings)
            assert values(await one.deliver([job("a@example.net", nexthop=nexthop)])) == [("Delivered", 250, "")]
            one.close()

    run(test)


def test_wrong_login_at_the_smarthost_waits(fake):
    async def test():
        async with fake(offers=("AUTH PLAIN",), answers={"AUTH": "535 5.7.8 no"}) as server:
            settings = Outbound(destinations=(Destination("127.0.0.1", tls="none", login="a", password="b"),))
            one = transport(server, settings=settings)
            outcomes = await one.deliver([job("a@example.net", nexthop=f"[127.0.0.1]:{server.port}")])
            assert values(outcomes) == [("Deferred", 535, "host")]
            one.close()

    run(test)


def test_what_a_server_does_not_take(fake):
    async def test():
        async with fake(offers=("SIZE 100",)) as server:
            one = transport(server)
            assert values(await one.deliver([job("a@example.net", size=101)])) == [("Failed", 552, "")]
            assert values(await one.deliver([job("ñ@example.net", utf8=True)])) == [("Failed", 553, "")]
            assert values(await one.deliver([job("a@example.net", utf8=True)])) == [("Delivered", 250, "")]
            assert server.connections == 1
            one.close()

    run(test)


def test_P12_our_own_trouble_is_temporary(fake):
    async def test():
        cases = ((StoreError("disk"), "node"), (Damaged("short"), "message"), (RuntimeError("bug"), "message"))
        for error, scope in cases:
            async with fake() as server:
                one = transport(server, bodies=Bodies(error))
                outcome, = (await one.deliver([job("a@example.net")])).values()
                assert isinstance(outcome, Deferred)
                assert outcome.scope == scope
                assert not server.mails
                one.close()

    run(test)


def test_sec_O08_a_tar_pit_holds_its_own_places_only(fake):
    async def test():
        async with fake(answers={"GREETING": fake.HANG}) as pit, fake() as good:
            names = Names(hosts={"pit": ["127.0.0.1"], "good": ["127.0.0.1"]})
            one = transport(good, names, each=2, total=3)
            slow = [asyncio.create_task(one.deliver([job("a@x.org", nexthop=f"[pit]:{pit.port}")])) for _ in range(20)]
            while pit.connections < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert pit.connections == 2
            for _ in range(20):
                await asyncio.wait_for(one.deliver([job("a@x.org", nexthop=f"[good]:{good.port}")]), 5)
            assert len(good.mails) == 20
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
            one.close()

    run(test)


def test_a_dead_destination_is_left_alone_for_a_moment(fake):
    async def test():
        async with fake() as server:
            pass
        one = transport(server)
        for _ in range(3):
            assert values(await one.deliver([job("a@example.net")])) == [("Deferred", 451, "host")]
        server = SimpleNamespace(port=server.port)
        place = one._pool._places["example.net"]
        assert place.error is not None
        one._pool.forget()
        assert place.error is None
        one.close()

    run(test)


def test_next_hops_and_policies():
    assert hop("Example.NET").host == "example.net"
    assert hop("[mx.example.net]:2525") == hop("[mx.example.net]:2525")
    assert (hop("[::1]:25").literal, hop("[::1]:25").chosen) == (True, True)
    assert (hop("[IPv6:::1]").host, hop("[192.0.2.1]").chosen) == ("::1", False)
    table = Policies(Outbound(tls="may", destinations=(
        Destination("[smtp.example.com]:587", login="a", password="b"), Destination("smtp.example.com", tls="encrypt"),
        Destination(".example.net", tls="none"), Destination("special.example.net", tls="verify", protocol="lmtp"))))
    assert table.of(hop("[smtp.example.com]:587")) == Policy("verify", login=("a", "b"))
    assert table.of(hop("[smtp.example.com]:465")) == Policy("encrypt", implicit=True)
    assert table.of(hop("a.b.example.net")) == Policy("none")
    assert table.of(hop("special.example.net")) == Policy("verify", lmtp=True)
    assert table.of(hop("example.net")) == Policy("may")
    assert table.of(hop("[other.example.com]:465")) == Policy("may", implicit=True)
    assert sort_addresses(["192.0.2.1", "192.0.2.2", "2001:db8::1"], True) == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]


def test_results_are_told_at_once(fake):
    async def test():
        gate = asyncio.Event()

        async def slow(writer):
            await gate.wait()
            return "250 ok"

        async with fake(answers={"DOT": ["250 ok", slow]}) as server:
            one = transport(server, each=1)
            settled = []
            task = asyncio.create_task(one.deliver([job("a@example.net"), job("b@example.net")], settled.append))
            while len(server.mails) < 2:
                await asyncio.sleep(0.01)
            assert len(settled) == 1
            gate.set()
            assert len(await task) == 2
            one.close()

    run(test)


def test_failed_is_only_what_the_other_side_said(fake):
    """No outcome but Delivered without a positive answer to the dot."""
    async def test():
        async with fake(answers={"DOT": "354 more"}) as server:
            one = transport(server)
            outcome, = (await one.deliver([job("a@example.net")])).values()
            assert not isinstance(outcome, Delivered | Failed)
            one.close()

    run(test)
