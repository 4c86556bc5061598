"""AUTH: who may try, the dialogue, and what becomes of the visit.

Promises: no credentials without TLS, except from our own networks (S09); a client may act only as itself; the password
is in no reply, journal line or log (sec-A18). Who counts wrong passwords is the callable that checks them (sec-A01).
Fails by: Refused with the reply to give. RFC 4954.
"""
import logging
from collections.abc import Awaitable, Callable

from bridge.intake import replies
from bridge.intake.channel import Channel
from bridge.intake.session import Account, Visit
from bridge.model.errors import PeerError, Refused, StoreError
from bridge.model.reply import Reply
from bridge.wire import sasl

Login = Callable[[str, str, str, str], Awaitable[Account | None]]

_log = logging.getLogger(__name__)


def refusal(visit: Visit) -> Reply | None:
    """Why AUTH is out of place now, or None."""
    if not visit.submits:
        return replies.AUTH_NOT
    if not visit.extended:
        return replies.HELO_FIRST
    if not visit.tls and not visit.trusted:
        return replies.AUTH_TLS
    if visit.account is not None:
        return replies.AUTH_ALREADY
    return replies.AUTH_NOT_NOW if visit.transaction is not None else None


async def credentials(channel: Channel, argument: str) -> sasl.Credentials:
    """The dialogue after `AUTH argument`."""
    words = argument.split()
    mechanism = words[0].upper() if words else ""
    if mechanism not in sasl.MECHANISMS or len(words) > 2:
        raise Refused(replies.AUTH_UNKNOWN)
    exchange = sasl.Exchange(mechanism)
    response = words[1].encode("utf-8", "surrogateescape") if len(words) == 2 else None
    try:
        step = exchange.step(response)
        while isinstance(step, bytes):
            channel.write(b"334 " + step + b"\r\n")
            line = (await channel.line(sasl.LINE_LIMIT)).rstrip(b"\r\n")
            if line == b"*":
                raise Refused(replies.AUTH_CANCELLED)
            step = exchange.step(line)
    except PeerError:
        raise Refused(replies.AUTH_MALFORMED) from None
    return step


async def log_in(check: Login, visit: Visit, claimed: sasl.Credentials) -> Reply:
    """Ask `check`; on success the visit has an account."""
    try:
        account = None
        if not claimed.identity:
            account = await check(claimed.login, claimed.password, "smtp", visit.client)
    except StoreError as error:
        _log.error("smtp: login: %s", error)
        return replies.AUTH_TROUBLE
    if account is None:
        return replies.AUTH_WRONG
    visit.account, visit.login = account, claimed.login
    return replies.LOGGED_IN
