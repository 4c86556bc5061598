"""Lists as a transport: the queue hands over what came for a list address, and hears what it became.

Promises: an outcome for each target: `Expanded` where other messages were made, `Delivered` where the list dealt with
it by itself (held, discarded, counted), `Failed` where the list is gone, `Deferred` for every trouble of ours. All of
it can be repeated: each message made has a key that names its cause (P13). The event loop is never blocked: the work
runs in two threads of its own. Fails by: nothing; an unexpected error defers its target only.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from sqlalchemy import Connection, insert, select

from bridge.deliver.base import Job, Target
from bridge.model.errors import DiskFull, Refused, StoreError
from bridge.model.outcome import Deferred, Delivered, Expanded, Failed, Outcome
from bridge.model.reply import Reply
from bridge.store.spool import Spooled
from bridge.wire import headers
from listmgr import clerk, registry, roster, tables
from listmgr.addresses import Verb, parse
from listmgr.bounces import MOST_BYTES, bounces
from listmgr.distribution import child, distribute, log, reject
from listmgr.holding import hold
from listmgr.office import Office
from listmgr.post import HEAD, Post, read
from listmgr.registry import MailingList
from listmgr.rules import About, Do, judge

GONE = Reply(550, "5.1.1", "There is no such mailing list")
TROUBLE = Reply(451, "4.3.0", "The list could not be served just now, try again later")
FULL = Reply(452, "4.3.1", "Insufficient system storage, try again later")
THREADS = 2
_log = logging.getLogger(__name__)


class ListTransport:
    """The transport for `Kind.LIST`. `Route.target` is "name:verb"."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="lists")

    async def deliver(self, jobs: Sequence[Job]) -> Mapping[int, Outcome]:
        loop = asyncio.get_running_loop()
        work = [
            (target, loop.run_in_executor(self._pool, serve, self._office, job.spooled, target))
            for job in jobs
            for target in job.targets
        ]
        return {target.id: await outcome for target, outcome in work}

    def close(self) -> None:
        """Finish what is under way."""
        self._pool.shutdown()


def serve(office: Office, spooled: Spooled, target: Target) -> Outcome:
    """One message for one list address."""
    try:
        return _serve(office, spooled, target)
    except Refused as refused:
        reply = refused.reply
        return Failed(reply, target.target) if reply.permanent else Deferred(reply, "node", target.target)
    except DiskFull:
        return Deferred(FULL, "node", target.target)
    except (StoreError, OSError) as error:
        _log.warning("list %s: %s: %s", target.target, spooled.envelope.id, error)
        return Deferred(TROUBLE, "node", target.target)
    except Exception:
        _log.exception("list %s: %s", target.target, spooled.envelope.id)
        return Deferred(TROUBLE, "message", target.target)


def _serve(office: Office, spooled: Spooled, target: Target) -> Outcome:
    name, _, word = target.target.partition(":")
    verb = Verb(word or "post")
    with office.core.read() as connection:
        which = registry.find(connection, name)
    if which is None:
        return Failed(GONE, target.target)
    post = read(spooled.envelope, office.door.spool.read(spooled, HEAD), spooled.size)
    if verb is Verb.POST:
        return _post(office, which, post, spooled)
    if verb in (Verb.OWNER, Verb.ADMIN):
        return _to_owners(office, which, post, spooled)
    if verb is Verb.BOUNCES:
        return _bounce(office, which, spooled)
    done = clerk.serve(office, which, post, verb, _detail(target, which, verb))
    office.journal.record("listcommand", spooled.envelope.id, list=which.name, verb=verb.value, done=done)
    return Delivered(f"list {which.name}: {done}")


def _detail(target: Target, which: MailingList, verb: Verb) -> str:
    """What follows the plus sign, in the final address or in the one that the message came for."""
    for address in (target.address, target.original):
        if address:
            parsed = parse(address)
            if parsed.detail and parsed.name == which.name and parsed.verb is verb:
                return parsed.detail
    return ""


def _post(office: Office, which: MailingList, post: Post, spooled: Spooled) -> Outcome:
    with office.core.read() as connection:
        author = post.from_address
        member = roster.find(connection, which, author) if author else None
        about = About(which, member, bool(author) and roster.banned(connection, which, author))
    verdict = judge(post, about)
    where = f"list {which.name}"
    if verdict.do is Do.ACCEPT:
        key = distribute(office, which, post, lambda: _body(office, spooled, post))
        return Expanded((key,), where) if key else Delivered(f"{where}: no members to send to")
    if verdict.do is Do.HOLD:
        hold(office, which, post, b"".join(office.door.spool.chunks(spooled)), verdict.reason)
    elif verdict.do is Do.REJECT:
        reject(office, which, post, verdict.reason)
    log(office, which, post, verdict.do, verdict.reason, 0)
    office.journal.record(_EVENT[verdict.do], spooled.envelope.id, list=which.name, reason=verdict.reason)
    return Delivered(f"{where}: {_EVENT[verdict.do]} ({verdict.reason})")


_EVENT = {Do.HOLD: "held", Do.REJECT: "rejected", Do.DISCARD: "discarded"}


def _body(office: Office, spooled: Spooled, post: Post) -> Iterator[bytes]:
    return office.door.spool.chunks(spooled, start=len(post.header))


def _to_owners(office: Office, which: MailingList, post: Post, spooled: Spooled) -> Outcome:
    """On to the people behind the list; a message that comes back goes no further (P10)."""
    own = which.address(Verb.OWNER)
    if post.passed(own, ""):
        return Delivered(f"list {which.name}: discarded (loop)")
    people = which.options.owner or (f"postmaster@{which.host}",)
    key = f"owner:{which.name}:{spooled.envelope.id}"
    envelope = child(office, which, spooled.envelope, key, people)
    header = headers.prepend(post.header, "X-BeenThere", own)
    office.door.accept(envelope, chain((header,), _body(office, spooled, post)))
    return Expanded((key,), f"list {which.name}: owner")


def _bounce(office: Office, which: MailingList, spooled: Spooled) -> Outcome:
    """Count what a report says of members; it changes nothing else (sec-L19)."""
    found = bounces(office.door.spool.read(spooled, MOST_BYTES))
    now, parent = office.clock.now(), spooled.envelope.id

    def unit(connection: Connection) -> int:
        column, counted = tables.bounce.c, 0
        for one in found:
            if roster.find(connection, which, one.key) is None:
                continue
            mine = (column.list_id == which.id) & (column.parent == parent) & (column.key == one.key)
            if connection.execute(select(column.id).where(mine)).first() is None:
                row = {"key": one.key, "status": one.status, "text": one.text, "at": now}
                connection.execute(insert(tables.bounce).values(list_id=which.id, parent=parent, **row))
            counted += 1
        return counted

    counted = office.core.write_now(unit) if found else 0
    office.journal.record("bounced", parent, list=which.name, members=counted, recipients=len(found))
    return Delivered(f"list {which.name}: report of {counted} members")
