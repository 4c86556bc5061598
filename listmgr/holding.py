"""Posts that wait for a person: keep them, tell author and owners, read them back.

Promises: a held post is a file of its own, whole and synced, before its row says so; holding it again after a crash
changes nothing. What is decided about it is in `moderation`. Fails by: StoreError; LookupError when the post is gone.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from bridge.model.envelope import Envelope, from_json
from bridge.store import files
from bridge.store.failpoints import Failpoint
from listmgr import answers, pending, tables
from listmgr.addresses import Verb, valid
from listmgr.notices import Notice
from listmgr.office import Office
from listmgr.pending import Action
from listmgr.post import HEAD, Post, read
from listmgr.registry import MailingList
from listmgr.rules import explain

_KEEP = Failpoint("listmgr.hold", "a held post to its file")
_DROP = Failpoint("listmgr.unhold", "removal of a held post's file")
HELD_DAYS = 60


@dataclass(frozen=True, slots=True)
class Held:
    """One post that waits."""

    id: int
    list_id: int
    parent: str
    sender: str
    author: str
    subject: str
    reason: str
    size: int
    held_at: float


def hold(office: Office, which: MailingList, post: Post, message: bytes, reason: str) -> None:
    """Keep the post and tell its author and the owners."""
    parent, now = post.envelope.id, office.clock.now()
    files.replace(_path(office, which, parent), post.envelope.to_json() + b"\n" + message, _KEEP)

    def unit(connection: Connection) -> tuple[str, bool]:
        column = tables.held.c
        if not connection.execute(select(column.id).where(column.list_id == which.id, column.parent == parent)).first():
            connection.execute(
                insert(tables.held).values(
                    list_id=which.id,
                    parent=parent,
                    sender=post.sender,
                    author=post.from_address[:320],
                    subject=post.subject[:300],
                    reason=reason,
                    size=post.size,
                    held_at=now,
                )
            )
        token = pending.ask(
            connection, which, Action.HELD, parent, {}, origin=parent, now=now, days=HELD_DAYS, random=office.random
        )
        address, limit = post.from_address, office.settings.answers_per_day
        may_answer = (
            bool(address)
            and valid(address)
            and answers.allowed(
                connection, address, f"held:{which.name}:{parent}", limit=limit, now=now, proven=post.proven
            )
        )
        return token, may_answer

    token, may_answer = office.core.write_now(unit)
    _tell(office, which, post, reason, token, may_answer)


def _tell(office: Office, which: MailingList, post: Post, reason: str, token: str, may_answer: bool) -> None:
    options, parent = which.options, post.envelope.id
    language = options.preferred_language
    if options.respond_to_post_requests and may_answer and not post.unanswerable:
        values = {"reason": explain(reason, language)}
        office.notices.send(which, Notice("held_author", (post.from_address,), language, parent, values, parent=parent))
    people = tuple(dict.fromkeys((*options.owner, *options.moderator)))
    if options.admin_immed_notify and people:
        about: dict[str, object] = {
            "reason": explain(reason, language),
            "author": post.from_address or "?",
            "subject": post.subject[:300],
            "size": post.size,
            "url": office.links.confirm(which, token),
        }
        office.notices.send(
            which,
            Notice(
                "held_owner",
                people,
                language,
                parent,
                about,
                sender=Verb.OWNER,
                attached=post.head[: 16 * 1024],
                parent=parent,
            ),
        )


def waiting(connection: Connection, which: MailingList) -> list[Held]:
    """All held posts of a list, oldest first."""
    query = select(tables.held).where(tables.held.c.list_id == which.id).order_by(tables.held.c.id)
    return [_held(row) for row in connection.execute(query).mappings()]


def count(connection: Connection, which: MailingList) -> int:
    """How many wait."""
    query = select(func.count()).select_from(tables.held).where(tables.held.c.list_id == which.id)
    return int(connection.execute(query).scalar_one())


def find(connection: Connection, which: MailingList, parent: str) -> Held | None:
    query = select(tables.held).where(tables.held.c.list_id == which.id, tables.held.c.parent == parent)
    row = connection.execute(query).mappings().first()
    return _held(row) if row else None


def content(office: Office, which: MailingList, held: Held) -> tuple[Envelope, bytes]:
    """The envelope and the message as they came in."""
    path = _path(office, which, held.parent)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise LookupError(f"the held message {held.parent} is gone") from error
    line, _, message = data.partition(b"\n")
    return from_json(line), message


def opening(office: Office, which: MailingList, held: Held) -> Post:
    """The beginning of a held message, as far as rules and pages look at one."""
    try:
        with os.fdopen(files.open_read(_path(office, which, held.parent)), "rb") as stream:
            line = stream.readline()
            return read(from_json(line), stream.read(HEAD), held.size)
    except FileNotFoundError as error:
        raise LookupError(f"the held message {held.parent} is gone") from error


def forget(office: Office, which: MailingList, held: Held) -> None:
    """Remove the row, its tokens and then the file."""

    def unit(connection: Connection) -> None:
        connection.execute(delete(tables.held).where(tables.held.c.id == held.id))
        pending.drop(connection, which, Action.HELD, held.parent)

    office.core.write_now(unit)
    files.unlink(_path(office, which, held.parent), _DROP)


def _path(office: Office, which: MailingList, parent: str) -> Path:
    return office.held / which.name / parent


def _held(row: Any) -> Held:
    return Held(**{name: row[name] for name in Held.__slots__})
