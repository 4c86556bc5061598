"""Answers, plain noes and trouble (P28, sec-R09)."""
import asyncio
import socket
import struct
from types import SimpleNamespace

import dns.message
import dns.name
import dns.rcode
import dns.resolver
import pytest

from bridge.deliver.dns import Resolver
from bridge.trust.names import NameTrouble, NoDomain


class Records(list):
    rrset = SimpleNamespace(ttl=300)


def resolver(ask, **options):
    return Resolver(ask=ask, **options)


def mx(*pairs):
    return Records(SimpleNamespace(preference=preference, exchange=host) for preference, host in pairs)


def a(*addresses):
    return Records(SimpleNamespace(address=address) for address in addresses)


def no_answer(authority):
    response = SimpleNamespace(answer=[], authority=authority, question="example.net. IN MX")
    return dns.resolver.NoAnswer(response=response)


def test_records_and_the_cache():
    now, asked = [0.0], []

    async def ask(name, kind):
        asked.append((name, kind))
        return mx((10, "a.example.net."), (5, ".")) if kind == "MX" else a("192.0.2.1")

    async def test():
        one = resolver(ask, monotonic=lambda: now[0], ipv6=False)
        for _ in range(3):
            assert await one.mx("example.net") == ((10, "a.example.net."), (5, "."))
            assert await one.addresses("a.example.net") == ["192.0.2.1"]
        assert asked == [("example.net", "MX"), ("a.example.net", "A")]
        now[0] = 301
        await one.mx("example.net")
        assert len(asked) == 3

    asyncio.run(test())


@pytest.mark.parametrize(("error", "expected"), [
    (dns.resolver.NXDOMAIN(), NoDomain),
    (dns.resolver.NoNameservers(), NameTrouble),
    (dns.resolver.LifetimeTimeout(timeout=5, errors=[]), NameTrouble),
    (dns.resolver.YXDOMAIN(), NameTrouble),
    (dns.message.ChainTooLong(), NameTrouble),
    (dns.name.LabelTooLong(), NameTrouble),
    (OSError(101, "Network is unreachable"), NameTrouble),
    (no_answer([]), NameTrouble),
    (no_answer(["SOA"]), None),
])
def test_P28_only_nxdomain_is_a_no(error, expected):
    count = [0]

    async def ask(name, kind):
        count[0] += 1
        raise error

    async def test():
        one = resolver(ask)
        for _ in range(5):
            if expected is None:
                assert await one.mx("example.net") == ()
            else:
                with pytest.raises(expected):
                    await one.mx("example.net")
        assert count[0] == 1, "trouble is remembered, too"

    asyncio.run(test())


def test_one_family_in_trouble_does_not_hide_the_other():
    async def ask(name, kind):
        if kind == "AAAA":
            raise dns.resolver.NoNameservers()
        return a(*(f"192.0.2.{number}" for number in range(100)))

    async def test():
        assert len(await resolver(ask).addresses("h.example.net")) == 20

    asyncio.run(test())


def serve_dns(answer):
    """A name server on a loopback port; `answer(query)` gives the bytes to send, or None for silence."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.setblocking(False)
    loop = asyncio.get_running_loop()

    def readable():
        data, peer = server.recvfrom(4096)
        reply = answer(dns.message.from_wire(data))
        if reply is not None:
            server.sendto(reply, peer)

    loop.add_reader(server, readable)
    return server


@pytest.mark.parametrize(("code", "expected"), [
    (dns.rcode.NXDOMAIN, NoDomain), (dns.rcode.SERVFAIL, NameTrouble), (dns.rcode.REFUSED, NameTrouble),
])
def test_P28_against_a_real_socket(code, expected, monkeypatch):
    def answer(query):
        reply = dns.message.make_response(query)
        reply.set_rcode(code)
        return reply.to_wire()

    async def test():
        server = serve_dns(answer)
        one = Resolver(["127.0.0.1"])
        one._resolver()
        real = one._ask.__closure__[0].cell_contents
        real.port, real.lifetime = server.getsockname()[1], 2.0
        try:
            with pytest.raises(expected):
                await one.mx("example.net")
        finally:
            asyncio.get_running_loop().remove_reader(server)
            server.close()

    asyncio.run(test())


def test_a_wrong_id_is_no_answer():
    def answer(query):
        reply = dns.message.make_response(query)
        wire = reply.to_wire()
        return struct.pack("!H", query.id ^ 1) + wire[2:]

    async def test():
        server = serve_dns(answer)
        one = Resolver(["127.0.0.1"])
        one._resolver()
        real = one._ask.__closure__[0].cell_contents
        real.port, real.lifetime, real.timeout = server.getsockname()[1], 0.5, 0.2
        try:
            with pytest.raises(NameTrouble):
                await one.mx("example.net")
        finally:
            asyncio.get_running_loop().remove_reader(server)
            server.close()

    asyncio.run(test())


def test_names_of_this_machine():
    async def test():
        one = Resolver()
        assert "127.0.0.1" in await one.machine("localhost") or "::1" in await one.machine("localhost")
        with pytest.raises(NameTrouble):
            await one.machine("a" * 300)

    asyncio.run(test())
