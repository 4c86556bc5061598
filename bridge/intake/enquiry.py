"""VRFY and EXPN: does a name exist, and whom does it mean (S02).

Promises: whether anybody is told is the site's decision (`smtp.vrfy`, `smtp.expn`); without it VRFY says 252 to
everything and EXPN 502, so that neither is a way to collect addresses (sec-S16). Where it is allowed, RCPT's own tables
answer, so VRFY never says other than RCPT would; programs, files and the members of lists are never shown.
Fails by: StoreError where the tables can't be read. RFC 5321 3.5.
"""

from typing import Literal

from bridge.intake import replies
from bridge.intake.policy import UNKNOWN_USER, Tables
from bridge.intake.session import Visit
from bridge.model.address import BadAddress, fold_domain, mailbox, split
from bridge.model.reply import Reply
from bridge.route.resolver import Kind, Route, verdict

Whom = Literal["nobody", "own", "anybody"]
MOST = 100      # lines of one EXPN

_HIDDEN = Reply(502, "5.5.1", "Lists are not shown to strangers; ask LIST-request by mail")
_LIST = Reply(252, "2.1.5", "That is a mailing list; ask LIST-request by mail who is on it")


def verify(asked: str, visit: Visit, tables: Tables, whom: Whom) -> Reply:
    """The answer to VRFY."""
    address = _address(asked)
    if not _told(visit, whom) or not tables.serves(fold_domain(split(address)[1])):
        return replies.VERIFY
    if not address:
        return UNKNOWN_USER
    routes = tables.resolve(address)
    if len(routes) == 1 and not routes[0].why:      # nobody's alias: the name in full
        address = routes[0].address
    return verdict(routes) or Reply(250, "2.1.5", f"<{address}>")


def expand(asked: str, visit: Visit, tables: Tables, whom: Whom) -> list[Reply]:
    """The answers to EXPN, one for each address behind the name."""
    if not _told(visit, whom):
        return [_HIDDEN]
    address = _address(asked)
    if not address or not tables.serves(fold_domain(split(address)[1])):
        return [UNKNOWN_USER]
    routes = tables.resolve(address)
    refusal = verdict(routes)
    if refusal is not None:
        return [refusal]
    if all(route.kind is Kind.LIST for route in routes):
        return [_LIST]
    shown = dict.fromkeys(_shown(address, route) for route in routes if route.reply is None)
    return [Reply(250, "2.1.5", f"<{one}>") for one in list(shown)[:MOST]]


def _told(visit: Visit, whom: Whom) -> bool:
    return whom == "anybody" or (whom == "own" and visit.may_relay)


def _address(asked: str) -> str:
    """The name or address that was asked for, with or without brackets; "" if it can't be one."""
    text = asked.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip()
    try:
        return mailbox(text) if "@" in text else mailbox(text, domain="x").rpartition("@")[0]
    except BadAddress:
        return ""


def _shown(address: str, route: Route) -> str:
    if route.kind is Kind.MAILBOX:
        return route.target
    return route.address if route.kind in (Kind.REMOTE, Kind.LIST) else address
