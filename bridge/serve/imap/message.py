"""Commands that change messages of the open mailbox: STORE, COPY, MOVE, EXPUNGE.

Promises: they touch messages that this client was told of, and no others; what is told of many messages is joined, not
said one by one; what a client began is finished even if it vanishes; a conditional STORE names what it left alone.
RFC: 3501 and 9051 section 6.4; 4315 (UIDPLUS), 6851 (MOVE), 7162 (CONDSTORE).
"""
from collections.abc import Callable, Generator, Sequence
from typing import cast

from bridge.serve.imap.client import Box, Client, Result, completed
from bridge.serve.imap.trouble import Answer
from bridge.store.mail import Copied, Expunged, MailError, NoSuchFolder, Ranges, Stored
from bridge.wire.imap import encode
from bridge.wire.imap.args.message import Copy, Move, Store, UidExpunge
from bridge.wire.imap.flow import Command
from bridge.wire.imap.seqset import compact

BLOCK = 2000    # lines of a STORE that are put together at once


# ---- STORE

async def store(client: Client, command: Command) -> Answer:
    asked = cast(Store, command.args)
    box = client.writable
    if asked.unchanged_since is not None:
        client.enabled.add("CONDSTORE")
    places = box.places(asked.messages, asked.uid, client.saved)
    if not places:
        return completed(command.name)
    names = [name for name in asked.flags if name.lower() != "\\recent"]
    stored = await client.commit(
        box.store.store_flags, box.folder, box.ranges(places), asked.mode, names,
        unchanged_since=asked.unchanged_since,
    )  # fmt: skip
    if any(not name.startswith("\\") and name not in box.keywords for name in names):
        box.name_keywords(box.store.keywords(box.folder))
        if box.renamed:
            client.send(box.flag_lines())
    if stored.touched:
        box.own(stored.highestmodseq, stored.changed)
    box.view.forget_flags(uid for uid, _, _ in stored.changed)
    modseq = "CONDSTORE" in client.enabled
    if stored.changed and (modseq or not asked.silent):
        await client.stream(_lines(client, box, stored, asked, modseq))
    if stored.modified:
        numbers = stored.modified if asked.uid else [n for n in box.numbers(stored.modified) if n]
        return Answer(b"Some messages have changed meanwhile", b"MODIFIED " + compact(numbers))
    return completed(command.name)


def _lines(client: Client, box: Box, stored: Stored, asked: Store, modseq: bool) -> Generator[bytes, None, None]:
    labels = [(b"UID", b"%d")] if asked.uid or "QRESYNC" in client.enabled else []
    if not asked.silent:
        labels.append((b"FLAGS", b"%b"))
    if modseq:
        labels.append((b"MODSEQ", b"(%d)"))
    template = encode.fetch_template(labels)
    for at in range(0, len(stored.changed), BLOCK):
        block = stored.changed[at : at + BLOCK]
        uids, flags, modseqs = zip(*block)
        columns: list[Sequence[object]] = [box.numbers(uids)]
        for label, _ in labels:
            if label == b"FLAGS":
                columns.append(flag_texts(client, box, uids, flags))
            else:
                columns.append(uids if label == b"UID" else modseqs)
        yield encode.fetch_rows(template, [line for line in zip(*columns) if line[0]])


def flag_texts(client: Client, box: Box, uids: Sequence[int], flags: Sequence[int]) -> list[bytes]:
    """Flags of many messages as FETCH tells them."""
    view = box.view
    text = {one: box.flag_text(one) for one in set(flags)}
    if client.rev2 or not view.recent_count:
        return [text[one] for one in flags]
    return [with_recent(text[one]) if view.recent(uid) else text[one] for uid, one in zip(uids, flags)]


def with_recent(flags: bytes) -> bytes:
    """A list of flags with \\Recent."""
    return flags[:-1] + (b" \\Recent)" if len(flags) > 2 else b"\\Recent)")


# ---- COPY and MOVE

async def copy(client: Client, command: Command) -> Answer:
    asked = cast(Copy, command.args)
    box = client.selected
    places = box.places(asked.messages, asked.uid, client.saved)
    copied = await _transfer(client, box.store.copy, box.ranges(places), asked.mailbox)
    if not copied.source:
        return completed(command.name)
    return Answer(completed(command.name).text, _copy_uid(copied))


async def move(client: Client, command: Command) -> Answer:
    asked = cast(Move, command.args)
    box = client.writable
    places = box.places(asked.messages, asked.uid, client.saved)
    moved = await _transfer(client, box.store.move, box.ranges(places), asked.mailbox)
    if not moved.source:
        return completed(command.name)
    client.send(encode.status(b"OK", b"Moved", _copy_uid(moved)))
    box.own(moved.highestmodseq)
    box.view.expunged(moved.source)
    return _with_modseq(client, command, moved.highestmodseq)


async def _transfer(client: Client, call: Callable[..., Copied], ranges: Ranges, target: str) -> Copied:
    box = client.selected
    try:
        if not ranges:
            return Copied(client.mail.folder(target).uidvalidity, (), (), box.since)
        return await client.commit(call, box.folder, ranges, target)
    except NoSuchFolder as error:
        raise MailError(str(error), "TRYCREATE") from error


def _copy_uid(copied: Copied) -> bytes:
    return encode.copy_uid(copied.uidvalidity, copied.source, copied.target)


def _with_modseq(client: Client, command: Command, modseq: int) -> Answer:
    """A client with QRESYNC learns the modseq that a removal had."""
    code = b"HIGHESTMODSEQ %d" % modseq if "QRESYNC" in client.enabled else b""
    return Answer(completed(command.name).text, code)


# ---- EXPUNGE

async def expunge(client: Client, command: Command) -> Answer:
    box = client.writable
    places = [(0, len(box.view.uids))] if box.view.uids else []
    if isinstance(command.args, UidExpunge):
        places = box.places(command.args.messages, True, client.saved)
    if not places:
        return completed(command.name)
    gone = await client.commit(box.store.expunge, box.folder, box.ranges(places))
    note_expunged(client, box, gone)
    if not gone.uids:
        return completed(command.name)
    box.own(gone.highestmodseq)
    box.view.expunged(gone.uids)
    return _with_modseq(client, command, gone.highestmodseq)


def note_expunged(client: Client, box: Box, gone: Expunged) -> None:
    """The journal hears of removals."""
    if gone.uids:
        client.service.journal.record(
            "expunged", login=client.user, folder=box.folder.name, count=len(gone.uids), protocol="imap",
            uids=compact(gone.uids[:1000])[:500].decode("ascii"),
        )  # fmt: skip


HANDLERS: dict[str, Callable[[Client, Command], Result]] = {
    "STORE": store, "UID STORE": store, "COPY": copy, "UID COPY": copy, "MOVE": move, "UID MOVE": move,
    "EXPUNGE": expunge, "UID EXPUNGE": expunge,
}  # fmt: skip
