"""The clerk behind -request, -join, -leave and -confirm: does what a mail asks and answers in the reader's language.

Promises: robots and null senders get no answer (sec-L17); an address that nothing proves gets a few answers a day at
most, and nothing of what it sent is repeated (sec-L02); who sees the roster is the list's rule. A mail that did what it
asked for by way of another mail (a confirmation, a welcome) gets no second answer.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from bridge.model.address import fold
from listmgr import answers, registry, roster
from listmgr.addresses import Verb, valid
from listmgr.notices import Notice
from listmgr.office import Office
from listmgr.pending import TOKEN
from listmgr.post import Post
from listmgr.registry import MailingList
from listmgr.request import Command, Order, Request, parse
from listmgr.subscriptions import Result, Wish, ask_to_join, ask_to_leave, confirm

MOST_COMMANDS = 10
_SILENT = (Result.ASKED, Result.DONE)


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who writes, and the language to answer in."""

    post: Post
    address: str
    language: str


def serve(office: Office, which: MailingList, post: Post, verb: Verb, detail: str) -> str:
    """Do it; a word for the trace."""
    if post.unanswerable:
        return "ignored: automatic"
    address = post.from_address
    if not address or not valid(address):
        return "ignored: unclear sender"
    asker = _Asker(post, address, _language(office, which, address))
    request = _request(post, verb, detail)
    results = [result for command in request.commands[:MOST_COMMANDS] for result in _run(office, which, asker, command)]
    if request.unknown and (results or not request.commands):
        results.append({"what": "unknown", "lines": ", ".join(map(str, request.unknown))})
    if not request.commands:
        results.append({"what": "help"})
    if results:
        _answer(office, which, asker, results)
    return " ".join(command.order.value for command in request.commands) or "help"


def _request(post: Post, verb: Verb, detail: str) -> Request:
    """-join and -leave say it by their name, -confirm by the token in the address (L18, L20)."""
    if verb in (Verb.JOIN, Verb.SUBSCRIBE):
        return Request((Command(Order.SUBSCRIBE),))
    if verb in (Verb.LEAVE, Verb.UNSUBSCRIBE):
        return Request((Command(Order.UNSUBSCRIBE),))
    if verb is Verb.CONFIRM and detail:
        return Request((Command(Order.CONFIRM, (detail,)),))
    return parse(post.subject, post.text())


def _run(office: Office, which: MailingList, asker: _Asker, command: Command) -> list[dict[str, Any]]:
    """What to tell about one command; nothing if another mail tells it."""
    order = command.order
    if order in (Order.SUBSCRIBE, Order.UNSUBSCRIBE, Order.CONFIRM):
        result = _change(office, which, asker, command)
        return [] if result in _SILENT else [{"what": result.value}]
    if order is Order.INFO:
        return [{"what": "info", "info": which.options.info, "listinfo": office.links.listinfo(which)}]
    if order is Order.LISTS:
        with office.core.read() as connection:
            found = registry.every(connection, advertised=True)
        return [
            {
                "what": "lists",
                "lists": [{"posting": one.posting, "description": one.options.description} for one in found],
            }
        ]
    if order is Order.WHO:
        return [_who(office, which, asker.address)]
    return [{"what": "help"}]


def _change(office: Office, which: MailingList, asker: _Asker, command: Command) -> Result:
    post = asker.post
    if command.order is Order.CONFIRM:
        token = command.words[0].lower() if command.words else ""
        if not TOKEN.fullmatch(token):
            return Result.BAD_TOKEN
        return confirm(office, which, token, parent=post.envelope.id)[0]
    address = command.address or asker.address
    own = fold(address) == fold(asker.address)
    name = post.author.name if own and post.author else ""
    wish = Wish(
        address, origin=post.envelope.id, name=name[:255], language=asker.language if own else "",
        parent=post.envelope.id, proven=post.proven and own,
    )  # fmt: skip
    return (ask_to_join if command.order is Order.SUBSCRIBE else ask_to_leave)(office, which, wish)


def _who(office: Office, which: MailingList, address: str) -> dict[str, Any]:
    """The roster goes to the address that may see it, whoever wrote the mail (sec-L15)."""
    options = which.options
    with office.core.read() as connection:
        owner = fold(address) in map(fold, options.owner)
        rule = options.private_roster
        member = rule == "members" and roster.find(connection, which, address) is not None
        if not (owner or member or rule == "anyone"):
            return {"what": "who_denied"}
        return {
            "what": "who",
            "members": [one.address for one in roster.members(connection, which) if owner or not one.hide],
        }


def _language(office: Office, which: MailingList, address: str) -> str:
    with office.core.read() as connection:
        member = roster.find(connection, which, address)
    return (member.language if member else "") or which.options.preferred_language


def _answer(office: Office, which: MailingList, asker: _Asker, results: list[dict[str, Any]]) -> None:
    parent, now = asker.post.envelope.id, office.clock.now()

    def unit(connection: Connection) -> bool:
        limit, cause = office.settings.answers_per_day, f"results:{which.name}:{parent}"
        return answers.allowed(connection, asker.address, cause, limit=limit, now=now, proven=asker.post.proven)

    if office.core.write_now(unit):
        office.notices.send(which, Notice(
            "results", (asker.address,), asker.language, parent, {"results": results}, parent=parent
        ))  # fmt: skip
    else:
        office.journal.record("unanswered", parent, list=which.name, reason="enough answers today")
