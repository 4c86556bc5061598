"""Joining and leaving: ask, confirm, tell. The one way for mail commands, web forms and `add_members`.

Promises: no change without a token sent to the address itself (sec-L03), except by the administrator; the token is used
up in the transaction that changes the roster. A mail is sent before that transaction, under a key made of the token, so
a crash in between repeats both without a second mail. Fails by: StoreError and what the door raises; nothing is half
done.
"""

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from bridge.model.address import fold
from listmgr import answers, pending, registry, roster
from listmgr.addresses import Verb, valid
from listmgr.notices import Notice
from listmgr.office import Office
from listmgr.pending import Action, Pending
from listmgr.registry import MailingList

ASK_AGAIN = 86400  # seconds before another confirmation mail goes to an address that was asked (sec-L01)


class Result(Enum):
    """What became of a wish. ASKED: a confirmation mail is on its way."""

    ASKED = "asked"
    RECENT = "recent"  # was asked already, or had too many answers today
    MEMBER = "member"
    NOT_MEMBER = "not_member"
    REFUSED = "refused"  # banned, or no address
    DONE = "done"
    BAD_TOKEN = "bad_token"


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants what, and what asked. `origin` is the key of the message, or "web:..."; `proven`: see `Post.proven`."""

    address: str
    origin: str
    name: str = ""
    language: str = ""
    parent: str = ""
    proven: bool = False
    invited: bool = False  # by the owners, with their words in `text`
    text: str = ""


def ask_to_join(office: Office, which: MailingList, wish: Wish) -> Result:
    """Send a confirmation to the address, if it may join and was not asked lately."""
    if not valid(wish.address):
        return Result.REFUSED

    def unit(connection: Connection) -> Result | str:
        if roster.banned(connection, which, wish.address):
            return Result.REFUSED
        if roster.find(connection, which, wish.address) is not None:
            return Result.MEMBER
        return _token(connection, office, which, wish, Action.SUBSCRIBE, {})

    return _ask(office, which, wish, office.core.write_now(unit), "invite" if wish.invited else "confirm")


def ask_to_leave(office: Office, which: MailingList, wish: Wish) -> Result:
    """Send a confirmation to the member."""

    def unit(connection: Connection) -> Result | str:
        if roster.find(connection, which, wish.address) is None:
            return Result.NOT_MEMBER
        return _token(connection, office, which, wish, Action.UNSUBSCRIBE, {})

    return _ask(office, which, wish, office.core.write_now(unit), "confirm_leave")


def _token(
    connection: Connection, office: Office, which: MailingList, wish: Wish, action: Action, more: dict[str, Any]
) -> Result | str:  # fmt: skip
    """A new token, unless the address was asked lately or got enough mail from us today; `more`: what `confirm` needs
    besides the wish."""
    now, key = office.clock.now(), fold(wish.address)
    if pending.asked(connection, which, action, key, origin=wish.origin, since=now - ASK_AGAIN):
        return Result.RECENT
    cause = f"{action.value}:{which.name}:{wish.origin}"
    limit = office.settings.answers_per_day
    if not answers.allowed(connection, wish.address, cause, limit=limit, now=now, proven=wish.proven):
        return Result.RECENT
    data = {"address": wish.address, "name": wish.name, "language": wish.language, **more}
    return pending.ask(
        connection, which, action, key, data, origin=wish.origin, now=now,
        days=office.settings.confirm_days, random=office.random,
    )  # fmt: skip


def _ask(
    office: Office, which: MailingList, wish: Wish, token: Result | str, template: str,
    more: dict[str, str] | None = None,
) -> Result:  # fmt: skip
    if isinstance(token, Result):
        return token
    values = {
        "address": wish.address, "token": token, "url": office.links.confirm(which, token),
        "days": office.settings.confirm_days, "text": wish.text, **(more or {}),
    }  # fmt: skip
    office.notices.send(which, Notice(
        template, (_reached(office, which, wish.address),), wish.language or which.options.preferred_language,
        cause=f"{wish.origin}:{fold(wish.address)}", values=values, sender=Verb.CONFIRM,
        reply_to=which.address(Verb.CONFIRM, token), parent=wish.parent,
    ))  # fmt: skip
    return Result.ASKED


def confirm(office: Office, which: MailingList, token: str, *, parent: str = "") -> tuple[Result, Pending | None]:
    """Do what the token allows."""
    now = office.clock.now()
    with office.core.read() as connection:
        found = pending.look(connection, which, token, now=now)
        if found is not None and found.action is Action.SUBSCRIBE and roster.banned(connection, which, found.key):
            return Result.REFUSED, found
    if found is not None and found.action is Action.MOVE:
        return _move(office, which, token, found)
    if found is None or found.action not in (Action.SUBSCRIBE, Action.UNSUBSCRIBE):
        return Result.BAD_TOKEN, None
    cause = sha256(token.encode()).hexdigest()[:32]
    address, joins = found.data["address"], found.action is Action.SUBSCRIBE
    language = found.data.get("language") or which.options.preferred_language
    if joins:
        _welcome(office, which, address, language, cause, parent)
    else:
        _goodbye(office, which, address, language, cause, parent)

    def unit(connection: Connection) -> bool:
        if pending.take(connection, which, token, now=now) is None:
            return False
        if not joins:
            return roster.remove(connection, which, address)
        try:
            roster.add(
                connection,
                which,
                address,
                name=found.data.get("name", ""),
                language=found.data.get("language", ""),
                now=now,
            )
        except roster.Refusal as refusal:
            return refusal.why is roster.Why.MEMBER
        return True

    changed = office.core.write_now(unit)
    if changed:
        office.journal.record("subscribed" if joins else "unsubscribed", parent, list=which.name, address=address)
        tell_owners(office, which, address, joined=joins, cause=cause, parent=parent)
    return Result.DONE, found


def ask_to_move(office: Office, which: MailingList, old: str, wish: Wish, *, everywhere: bool) -> Result:
    """Send a confirmation to the new address of a member (`wish.address`)."""
    if not valid(wish.address):
        return Result.REFUSED

    def unit(connection: Connection) -> Result | str:
        if roster.banned(connection, which, wish.address):
            return Result.REFUSED
        if fold(wish.address) != fold(old) and roster.find(connection, which, wish.address) is not None:
            return Result.MEMBER
        return _token(connection, office, which, wish, Action.MOVE, {"old": old, "everywhere": everywhere})

    return _ask(office, which, wish, office.core.write_now(unit), "confirm_move", {"old": old})


def _move(office: Office, which: MailingList, token: str, found: Pending) -> tuple[Result, Pending | None]:
    """The new address has answered: here, and if wished on every list of the old one that it may join."""
    now, old, new = office.clock.now(), found.data["old"], found.data["address"]

    def unit(connection: Connection) -> Result:
        if pending.take(connection, which, token, now=now) is None:
            return Result.BAD_TOKEN
        if roster.find(connection, which, old) is None:
            return Result.BAD_TOKEN
        for one in registry.every(connection) if found.data["everywhere"] else [which]:
            try:
                if roster.find(connection, one, old) is not None:
                    roster.move(connection, one, old, new, now=now)
            except roster.Refusal:
                if one.id == which.id:
                    return Result.REFUSED
        return Result.DONE

    result = office.core.write_now(unit)
    if result is Result.DONE:
        office.journal.record("moved", "", list=which.name, address=old, to=new)
    return result, found


def tell_member(office: Office, which: MailingList, address: str, *, joined: bool, language: str, cause: str) -> None:
    """The welcome or goodbye mail for a change that an administrator made."""
    if joined:
        _welcome(office, which, address, language, cause, "")
    else:
        _goodbye(office, which, address, language, cause, "")


def _welcome(office: Office, which: MailingList, address: str, language: str, cause: str, parent: str) -> None:
    if which.options.send_welcome_msg:
        values = {"address": address, "text": which.options.welcome_msg, "listinfo": office.links.listinfo(which)}
        values["options"] = office.links.options(which, address)
        to = _reached(office, which, address)
        office.notices.send(which, Notice("welcome", (to,), language, cause, values, parent=parent))


def _goodbye(office: Office, which: MailingList, address: str, language: str, cause: str, parent: str) -> None:
    if which.options.send_goodbye_msg:
        values = {"address": address, "text": which.options.goodbye_msg}
        to = _reached(office, which, address)
        office.notices.send(which, Notice("goodbye", (to,), language, cause, values, parent=parent))


def _reached(office: Office, which: MailingList, address: str) -> str:
    with office.core.read() as connection:
        return registry.reached(connection, which, address)


def tell_owners(
    office: Office, which: MailingList, address: str, *, joined: bool, cause: str, parent: str = ""
) -> None:
    """Who came and went, for owners who want to know."""
    if which.options.admin_notify_mchanges and which.options.owner:
        values = {"address": address, "joined": joined}
        office.notices.send(which, Notice(
            "roster_change", which.options.owner, which.options.preferred_language, f"{cause}:owner", values,
            sender=Verb.BOUNCES, parent=parent,
        ))  # fmt: skip
