"""Against a server that we didn't write: aiosmtpd, with TLS and AUTH, the message from a real spool file."""
import asyncio

import pytest
import uvloop
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.config.outbound import Destination, Outbound
from bridge.deliver.base import Job, Target
from bridge.deliver.connect import Connector
from bridge.deliver.destination import contexts
from bridge.deliver.pool import Pool
from bridge.deliver.smtp import SmtpTransport
from bridge.model.clock import Ids
from bridge.model.envelope import Envelope, Origin
from bridge.model.outcome import Delivered, Failed
from bridge.route.resolver import Kind
from bridge.store.spool import Spool

HOST = "smtp.example.com"


class Names:
    async def machine(self, host):
        return ["127.0.0.1"]


class Handler:
    def __init__(self):
        self.mails = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 2.0.0 taken"


def job(spool, message, *addresses, port, sender="ana@example.org"):
    identity = Ids().new()
    draft = spool.begin(Envelope(identity, identity, sender, (), Origin("smtp"), 0.0, body="8BITMIME", smtputf8=True))
    draft.write(message)
    spooled = spool.commit(draft).result(10)
    nexthop = f"[{HOST}]:{port}"
    targets = tuple(Target(number, one, one, nexthop, sender) for number, one in enumerate(addresses, 1))
    return Job(spooled, Kind.REMOTE, nexthop, targets)


async def deliver(tmp_path, message, addresses, outbound, tls, **server):
    """Outcomes, and what aiosmtpd got."""
    handler, spool = Handler(), Spool(tmp_path / "spool")
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(handler, hostname=HOST, enable_SMTPUTF8=True, loop=loop, **server), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = SmtpTransport(Pool(Connector(outbound, Names(), hostname="me.example.org", tls=tls).open), spool)
    try:
        return await transport.deliver([job(spool, message, *addresses, port=port)]), handler.mails
    finally:
        transport.close()
        await asyncio.sleep(0.05)
        listening.close()
        spool.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_S80_tls_login_and_a_big_message_from_the_spool(loop, tmp_path, authority):
    message = b"Subject: hola\r\n\r\n" + b".una linea con punto y acentos \xc3\xb1\r\n" * 20_000

    def authenticator(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"ana", b"secreto"))

    async def test():
        outbound = Outbound(destinations=(Destination(HOST, login="ana", password="secreto"),))
        outcomes, mails = await deliver(
            tmp_path, message, ["a@example.net", "nobody@example.net", "ñ@example.net"], outbound,
            contexts(authority.file), tls_context=authority.server(HOST), require_starttls=True, auth_required=True,
            authenticator=authenticator)
        assert [type(outcomes[number]) for number in (1, 2, 3)] == [Delivered, Failed, Delivered]
        (sender, recipients, content, secure), = mails
        assert (sender, recipients, secure) == ("ana@example.org", ["a@example.net", "ñ@example.net"], True)
        assert content == message

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(test(), 30))


pieces = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\r\n.\r\n", b"\n.\n", b"MAIL FROM:<x@y>"]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces.map(b"".join))
def test_sec_S02_whatever_the_message_the_other_side_sees_one(tmp_path, message):
    outcomes, mails = asyncio.run(deliver(tmp_path, message or b"x", ["a@example.net"], Outbound(), None))
    assert isinstance(outcomes[1], Delivered)
    assert len(mails) == 1
    content = mails[0][2]
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
