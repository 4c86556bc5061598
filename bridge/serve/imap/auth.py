"""Commands about the session itself: who, over which line, with which features.

Promises: a password that comes in the clear from afar is not even looked at (sec-I02); wrong and unknown are the same
answer (sec-A03); the limits on guessing are those of all protocols (`serve.auth`), and a connection ends after a few
wrong ones; what ID says is kept for the list of sessions and never trusted (sec-I09).
RFC: 3501 and 9051 sections 6.1, 6.2, 4616, 4959 (SASL-IR), 5161 (ENABLE), 2971 (ID).
"""
import binascii
from collections.abc import Callable
from typing import cast

from bridge.model.errors import PeerError
from bridge.serve.imap.client import Client, Result, completed
from bridge.serve.imap.trouble import Answer, Refusal
from bridge.serve.relay import open_relay
from bridge.wire.imap import encode
from bridge.wire.imap.args.auth import Authenticate, Enable, Id, Login
from bridge.wire.imap.flow import Command
from bridge.wire.imap.states import State
from bridge.wire.sasl import MECHANISMS, Credentials, Exchange

ENABLES = {"CONDSTORE": "CONDSTORE", "QRESYNC": "QRESYNC", "UTF8=ACCEPT": "UTF8=ACCEPT", "IMAP4REV2": "IMAP4rev2"}
_WRONG = "Wrong user name or password"


def capability(client: Client, command: Command) -> Answer:
    client.send(encode.capability(client.service.capabilities(client.flow.state, client.link)))
    return completed(command.name)


def noop(client: Client, command: Command) -> Answer:
    return completed(command.name)


def ident(client: Client, command: Command) -> Answer:
    args = cast(Id, command.args)
    client.ident = " ".join(f"{key}={value}" for key, value in args.fields if value)[:200]
    client.send(encode.ident((("name", "Estafeta"),)))
    return completed(command.name)


def logout(client: Client, command: Command) -> None:
    return None


def starttls(client: Client, command: Command) -> None:
    if not client.link.tls_offered:
        raise Refusal("TLS is not possible here", "", "BAD")


def idle(client: Client, command: Command) -> None:
    return None


def enable(client: Client, command: Command) -> Answer:
    args = cast(Enable, command.args)
    fresh = []
    for name in map(str.upper, args.capabilities):
        if name not in ENABLES or not client.service.offers(ENABLES[name]) or name in client.enabled:
            continue
        client.enabled.add(name)
        fresh.append(ENABLES[name])
        if name == "QRESYNC":
            client.enabled.add("CONDSTORE")
    client.flow.utf8 = bool(client.enabled & {"UTF8=ACCEPT", "IMAP4REV2"})
    client.send(encode.enabled(fresh))
    return completed(command.name)


# ---- logging in

def _plain_allowed(client: Client) -> None:
    if not client.service.plaintext(client.link):
        raise Refusal("Begin TLS first: your password would be readable by anybody on the way", "PRIVACYREQUIRED")


async def login(client: Client, command: Command) -> Answer:
    _plain_allowed(client)
    args = cast(Login, command.args)
    return await _log_in(client, args.user, args.password.decode("utf-8", "surrogateescape"))


async def _log_in(client: Client, user: str, password: str) -> Answer:
    service, link = client.service, client.link
    account = await service.check(user, password, "imap", link.peer)
    if account is None:
        client.failures += 1
        raise Refusal(_WRONG, "AUTHENTICATIONFAILED")
    if not link.admit(account.address):
        raise Refusal("Too many connections of this user from here", "LIMIT")
    if service.elsewhere is not None and account.ticket:
        ends = await service.elsewhere(account, "imap", link.peer)
        client.account, client.user = account, account.address
        client.relay = await open_relay(link, ends, lambda hint: service.told(account.address, hint))
        service.news.pass_on(account.address, client.relay)
    else:
        client.log_in(account)
    service.journal.record("login", login=client.user, ip=link.peer, protocol="imap", tls=link.secure)
    return Answer(b"Logged in", b"CAPABILITY " + service.capabilities(State.AUTHENTICATED, link))


def authenticate(client: Client, command: Command) -> Result:
    _plain_allowed(client)
    args = cast(Authenticate, command.args)
    if args.mechanism not in MECHANISMS:
        raise Refusal("Unknown mechanism", "CANNOT")
    client.exchange = Exchange(args.mechanism)
    return _step(client, args.initial)


def respond(client: Client, data: bytes | None) -> Result:
    """The client's next line of a SASL exchange; None: it gave up."""
    if data is None:
        client.exchange = None
        return Answer(b"AUTHENTICATE was cancelled", b"", b"BAD")
    return _step(client, data)


def _step(client: Client, data: bytes | None) -> Result:
    exchange = client.exchange
    assert exchange is not None
    try:
        result = exchange.step(None if data is None else binascii.b2a_base64(data, newline=False))
    except PeerError as error:
        client.exchange = None
        return Answer(str(error).encode("ascii", "replace"), b"", b"BAD")
    if not isinstance(result, Credentials):
        client.flow.challenge(binascii.a2b_base64(result))
        return None
    client.exchange = None
    if result.identity:
        raise Refusal("Acting for somebody else is not possible", "AUTHORIZATIONFAILED")
    return _log_in(client, result.login, result.password)


HANDLERS: dict[str, Callable[[Client, Command], Result]] = {
    "CAPABILITY": capability, "NOOP": noop, "CHECK": noop, "ID": ident, "LOGOUT": logout, "STARTTLS": starttls,
    "IDLE": idle, "ENABLE": enable, "LOGIN": login, "AUTHENTICATE": authenticate,
}  # fmt: skip
