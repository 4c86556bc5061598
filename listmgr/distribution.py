"""A post that may go out: archive it, make the one message for all members, note it; or send it back.

Promises: the archive has the post on disk before the members' message exists (P36); that message is one spool file
under the key `list:<list>:<parent>`, so doing it again after a crash adds nothing (P13, D-8). The body is passed on in
pieces and never copied whole. Fails by: what the door raises; StoreError.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain

from sqlalchemy import Connection, insert, select

from bridge.model.envelope import Envelope, Origin, Recipient
from listmgr import answers, roster, tables
from listmgr.addresses import Verb, valid
from listmgr.cook import archived, cook
from listmgr.notices import Notice
from listmgr.office import Office
from listmgr.post import Post
from listmgr.registry import MailingList
from listmgr.rules import Do, explain

Body = Callable[[], Iterable[bytes]]  # gives the body from its beginning each time it is called
BULK = 1  # priority of list copies: after personal mail (S97)


def distribute(office: Office, which: MailingList, post: Post, body: Body) -> str | None:
    """Send the post to the members; the key of their message, or None if nobody gets one."""
    parent = post.envelope.id
    if archivable(which, post):
        envelope = replace(post.envelope, sender=which.posting) if which.options.anonymous_list else post.envelope
        office.incoming.put(which.name, envelope, chain((archived(post, which),), body()))
        office.hint(which.name)
    with office.core.read() as connection:
        found = roster.recipients(connection, which, author=post.from_address, explicit=post.explicit)
        author = roster.find(connection, which, post.from_address) if post.author else None
        dropped = roster.direct(connection, which, post.explicit) if which.options.drop_cc else frozenset()
    key = f"list:{which.name}:{parent}"
    if found:
        envelope = child(office, which, post.envelope, key, found, priority=BULK)
        office.door.accept(envelope, chain((cook(post, which, office.links, dropped),), body()))
    log(office, which, post, Do.ACCEPT, "", len(found))
    office.journal.record("expanded", parent, list=which.name, recipients=len(found))
    if author is not None and author.ack:
        values = {"subject": post.subject[:300], "listinfo": office.links.listinfo(which)}
        language = author.language or which.options.preferred_language
        office.notices.send(which, Notice("acknowledge", (author.address,), language, parent, values, parent=parent))
    return key if found else None


def child(
    office: Office, which: MailingList, parent: Envelope, key: str, recipients: Iterable[str], *, priority: int = 0
) -> Envelope:
    """The envelope of a message that the list makes from another. Bounces come to the list; what the first sender asked
    of delivery reports ends here (RFC 3464 is between the list and its members)."""
    return replace(
        parent,
        id=office.door.ids.new(),
        key=key,
        sender=which.address(Verb.BOUNCES),
        recipients=tuple(map(Recipient, recipients)),
        origin=Origin("list", client=which.name),
        received_at=office.clock.now(),
        parent=parent.id,
        ret="",
        envid="",
        priority=priority,
    )


def archivable(which: MailingList, post: Post) -> bool:
    """Does the list keep an archive, and does the author agree (X-No-Archive, X-Archive: no)?"""
    if not which.options.archive:
        return False
    return post.value(b"x-no-archive").strip().lower() != "yes" and post.value(b"x-archive").strip().lower() != "no"


def reject(office: Office, which: MailingList, post: Post, reason: str, text: str = "") -> str | None:
    """Tell the author that the post was not accepted, the beginning of it attached; None if no answer is due."""
    parent, address, now = post.envelope.id, post.from_address, office.clock.now()
    if post.unanswerable or not address or not valid(address):
        return None

    def unit(connection: Connection) -> bool:
        limit = office.settings.answers_per_day
        cause = f"reject:{which.name}:{parent}"
        return answers.allowed(connection, address, cause, limit=limit, now=now, proven=post.proven)

    if not office.core.write_now(unit):
        return None
    language = which.options.preferred_language
    values = {"reason": explain(reason, language), "text": text or _notice(which, reason)}
    return office.notices.send(which, Notice(
        "rejected", (address,), language, parent, values, sender=Verb.OWNER, attached=post.header, parent=parent
    ))  # fmt: skip


def _notice(which: MailingList, reason: str) -> str:
    if reason == "moderated":
        return which.options.member_moderation_notice
    return which.options.nonmember_rejection_notice if reason in ("nonmember", "listed") else ""


def log(office: Office, which: MailingList, post: Post, do: Do, reason: str, recipients: int) -> None:
    """One row for each post and list, whatever became of it; a repetition changes nothing."""

    def unit(connection: Connection) -> None:
        column = tables.post.c
        mine = (column.list_id == which.id) & (column.parent == post.envelope.id)
        known = connection.execute(select(column.id, column.verdict).where(mine)).first()
        row = {"verdict": do.value, "reason": reason, "recipients": recipients, "at": office.clock.now()}
        if known is None:
            author = post.from_address[:320]
            connection.execute(
                insert(tables.post).values(list_id=which.id, parent=post.envelope.id, author=author, **row)
            )
        elif known.verdict == Do.HOLD.value:
            connection.execute(tables.post.update().where(column.id == known.id).values(**row))

    office.core.write_now(unit)
