"""Commands about mailboxes: list, make, name, remove, open, close, ask for status.

Promises: LIST is one pass over the account's folders, with patterns that can't explode (sec-I05); SELECT says all that
a client may cache by, and with QRESYNC what has changed since it was here, in one answer; a mailbox that this session
removes or renames while it is open is closed or followed.
RFC: 3501 and 9051 section 6.3; 5258 (LIST-EXTENDED), 5819 (LIST-STATUS), 6154 (SPECIAL-USE), 7162 (QRESYNC), 8474
(MAILBOXID), 8438 (STATUS=SIZE).
"""
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from bridge.serve.imap.client import Box, Client, Result, completed, same_folder
from bridge.serve.imap.message import note_expunged
from bridge.serve.imap.trouble import Answer, Refusal
from bridge.store.mail import EVERYTHING, Column, Folder, Listed, MailError, Ranges, Status
from bridge.store.mailbox import AccountStore
from bridge.wire.imap import encode
from bridge.wire.imap.args import mailbox as args
from bridge.wire.imap.flow import Command
from bridge.wire.imap.pattern import Pattern
from bridge.wire.imap.seqset import STAR, SequenceSet

SEPARATOR = "/"


# ---- LIST

def list_(client: Client, command: Command) -> Result:
    asked = cast(args.List, command.args)
    if asked.patterns == ("",) and not asked.extended:
        client.send(encode.list_line("", ("\\Noselect",)))
        return completed(command.name)
    lister = _Lister(client, asked)
    found = lister.lines(client.mail.folders())
    if asked.status:
        return _list_status(client, command, found, asked.status)
    client.send(b"".join(line for _, line in found))
    return completed(command.name)


async def _list_status(
    client: Client, command: Command, found: list[tuple[Listed, bytes]], items: tuple[str, ...]
) -> Answer:
    for one, line in found:
        client.send(line)
        if one.selectable:
            try:
                status = await client.thread(client.mail.status, one.name)
            except MailError:
                continue    # gone meanwhile, or not readable: LIST goes on (RFC 5819 section 2)
            client.send(_status_line(client, one.name, items, status))
    return completed(command.name)


class _Lister:
    """One LIST: which folders, and what of them."""

    def __init__(self, client: Client, asked: args.List) -> None:
        self.asked = asked
        self.utf8 = client.utf8
        self.patterns = [Pattern(text, SEPARATOR, asked.reference) for text in asked.patterns]
        self.uses = "SPECIAL-USE" in asked.select
        self.subscribed = "SUBSCRIBED" in asked.select
        self.recursive = "RECURSIVEMATCH" in asked.select
        self.tell_subscribed = self.subscribed or "SUBSCRIBED" in asked.returns

    def lines(self, folders: list[Listed]) -> list[tuple[Listed, bytes]]:
        parents = self._parents(folders) if self.recursive else set()
        found = []
        for one in folders:
            if not any(pattern.matches(one.name) for pattern in self.patterns):
                continue
            chosen = self._chosen(one)
            below = one.name in parents
            if not chosen and not below:
                continue
            children = ("SUBSCRIBED",) if below and self.subscribed else ()
            line = encode.list_line(one.name, self._attributes(one), utf8=self.utf8, children=children)
            found.append((one, line))
        return found

    def _chosen(self, one: Listed) -> bool:
        if self.subscribed and not one.subscribed:
            return False
        if self.uses and not one.use:
            return False
        return self.subscribed or one.selectable or one.children

    def _parents(self, folders: list[Listed]) -> set[str]:
        """Names with something below that was asked for and that no pattern shows by itself."""
        found = set()
        for one in folders:
            if self._chosen(one):
                name = one.name
                while SEPARATOR in name:
                    name = name.rpartition(SEPARATOR)[0]
                    found.add(name)
        return found

    def _attributes(self, one: Listed) -> Iterator[str]:
        if not one.selectable:
            yield "\\NonExistent" if self.asked.extended else "\\Noselect"
        yield "\\HasChildren" if one.children else "\\HasNoChildren"
        if self.tell_subscribed and one.subscribed:
            yield "\\Subscribed"
        if one.use:
            yield one.use


def lsub(client: Client, command: Command) -> Result:
    asked = cast(args.Lsub, command.args)
    pattern = Pattern(asked.pattern, SEPARATOR, asked.reference)
    names: dict[str, bool] = {}
    for one in client.mail.folders():
        if not one.subscribed:
            continue
        if pattern.matches(one.name):
            names[one.name] = True
            continue
        name = one.name
        while SEPARATOR in name:    # `%`: a parent stands for what is subscribed below it
            name = name.rpartition(SEPARATOR)[0]
            if pattern.text.endswith("%") and pattern.matches(name):
                names.setdefault(name, False)
    for name, subscribed in names.items():
        flags = () if subscribed else ("\\Noselect",)
        client.send(encode.list_line(name, flags, utf8=client.utf8, word=b"LSUB"))
    return completed(command.name)


def namespace(client: Client, command: Command) -> Result:
    client.send(encode.namespace((("", SEPARATOR),)))
    return completed(command.name)


# ---- CREATE and its kin

def create(client: Client, command: Command) -> Result:
    asked = cast(args.Create, command.args)

    async def work() -> Answer:
        made = await client.thread(client.mail.create, asked.mailbox, asked.use)
        return Answer(b"CREATE completed", b"MAILBOXID (%b)" % made.mailboxid.encode("ascii"))

    return work()


async def delete(client: Client, command: Command) -> Answer:
    asked = cast(args.Delete, command.args)
    box = client.box
    if box is not None and same_folder(client.mail.folder(asked.mailbox), box.folder):
        client.unselect()
        client.send(encode.status(b"OK", b"The mailbox is closed", b"CLOSED"))
    await client.thread(client.mail.delete, asked.mailbox)
    client.service.journal.record("folder_deleted", login=client.user, folder=asked.mailbox)
    return completed(command.name)


async def rename(client: Client, command: Command) -> Answer:
    asked = cast(args.Rename, command.args)
    await client.thread(client.mail.rename, asked.source, asked.target)
    box = client.box
    if box is not None and box.folder.name != "INBOX":
        box.folder = await client.thread(_followed, client.mail, box.folder, asked.source, asked.target)
    return completed(command.name)


def _followed(store: AccountStore, folder: Folder, old: str, new: str) -> Folder:
    """The open folder under the name that it has now."""
    if folder.name != old and not folder.name.startswith(old + SEPARATOR):
        return folder
    moved = store.folder(new + folder.name[len(old) :])
    return moved if same_folder(moved, folder) else folder


def subscribe(client: Client, command: Command) -> Result:
    client.mail.subscribe(cast(args.Subscribe, command.args).mailbox, True)
    return completed(command.name)


def unsubscribe(client: Client, command: Command) -> Result:
    client.mail.subscribe(cast(args.Unsubscribe, command.args).mailbox, False)
    return completed(command.name)


# ---- STATUS

async def status(client: Client, command: Command) -> Answer:
    asked = cast(args.Status, command.args)
    if not _STATUS.keys() >= set(asked.items):
        raise Refusal("Unknown STATUS item", "", "BAD")
    found = await client.thread(client.mail.status, asked.mailbox)
    client.send(_status_line(client, asked.mailbox, asked.items, found))
    return completed(command.name)


def _status_line(client: Client, name: str, items: Iterable[str], found: Status) -> bytes:
    if "HIGHESTMODSEQ" in items:
        client.enabled.add("CONDSTORE")
    return encode.status_line(name, [(item, _STATUS[item](client, found)) for item in items], client.utf8)


_STATUS: dict[str, Callable[[Client, Status], int | str | None]] = {
    "MESSAGES": lambda _, found: found.messages,
    "RECENT": lambda _, found: found.recent,
    "UIDNEXT": lambda _, found: found.uidnext,
    "UIDVALIDITY": lambda _, found: found.uidvalidity,
    "UNSEEN": lambda _, found: found.unseen,
    "DELETED": lambda _, found: found.deleted,
    "SIZE": lambda _, found: found.size,
    "HIGHESTMODSEQ": lambda _, found: found.highestmodseq,
    "MAILBOXID": lambda _, found: found.mailboxid,
    "APPENDLIMIT": lambda client, _: client.service.message_size,
}


# ---- SELECT

async def select(client: Client, command: Command) -> Answer:
    asked = cast(args.Select, command.args)
    if asked.qresync is not None and "QRESYNC" not in client.enabled:
        raise Refusal("ENABLE QRESYNC first", "", "BAD")
    if client.box is not None:
        client.unselect()
        client.send(encode.status(b"OK", b"The previous mailbox is closed", b"CLOSED"))
    if asked.condstore:
        client.enabled.add("CONDSTORE")
    store = client.mail
    selected = await client.thread(store.select, asked.mailbox, read_only=asked.read_only)
    box = Box(store, selected, asked.read_only, client.service.clock.monotonic())
    folder, view = box.folder, box.view
    out = [box.flag_lines(), encode.exists(len(view))]
    if not client.rev2:
        out.append(encode.recent(view.recent_count))
    if selected.unseen and not client.rev2:
        number = view.number(selected.unseen)
        out.append(encode.status(b"OK", b"First message without \\Seen", b"UNSEEN %d" % number) if number else b"")
    out.append(encode.status(b"OK", b"UIDs are valid", b"UIDVALIDITY %d" % folder.uidvalidity))
    out.append(encode.status(b"OK", b"Predicted next UID", b"UIDNEXT %d" % selected.uidnext))
    out.append(encode.status(b"OK", b"Highest", b"HIGHESTMODSEQ %d" % selected.highestmodseq))
    out.append(encode.status(b"OK", b"Ok", b"MAILBOXID (%b)" % folder.mailboxid.encode("ascii")))
    if client.rev2:
        out.append(encode.list_line(folder.name, utf8=client.utf8))
    client.send(b"".join(out))
    if asked.qresync is not None and asked.qresync.uidvalidity == folder.uidvalidity:
        client.send(await client.thread(_resync, client, box, asked.qresync))
    client.box = box
    client.flow.selected()
    word = "EXAMINE" if asked.read_only else "SELECT"
    return Answer(completed(word).text, b"READ-ONLY" if asked.read_only else b"READ-WRITE")


def _resync(client: Client, box: Box, known: args.Qresync) -> bytes:
    """What a returning client doesn't know: what went, and what changed."""
    within: Ranges = EVERYTHING if known.known is None else _bounded(known.known, box.uidnext - 1)
    unsure = within
    if known.match is not None and known.known is None:
        unsure = ((_agreed(box, *known.match), EVERYTHING[0][1]),)
    gone = box.store.vanished(box.folder, known.modseq, unsure)
    out = [encode.vanished(gone, earlier=True)]
    columns = (Column.FLAGS, Column.MODSEQ)
    for rows in box.store.fetch(box.folder, within, columns, changed_since=known.modseq):
        for number, (uid, flags, modseq) in zip(box.numbers([row[0] for row in rows]), rows):
            if number:
                out.append(box.view.fetch_flags(number, uid, box.flag_text(flags), modseq, client.dialect(True)))
    return b"".join(out)


def _bounded(messages: SequenceSet, last: int) -> Ranges:
    return [(low, min(high, last)) for low, high in messages.numbers(max(last, 1)) if low <= last and low < STAR]


def _agreed(box: Box, numbers: SequenceSet, uids: SequenceSet) -> int:
    """The UID up to which the client's numbers are ours: nothing vanished below (RFC 7162 section 3.2.5.2)."""
    best = 1
    for (low, high), (first, last) in zip(numbers.ranges, uids.ranges):
        if high == STAR or last == STAR or high - low != last - first:
            break
        if box.view.uid(high) != last:
            break
        best = last + 1
    return best


def close(client: Client, command: Command) -> Result:
    box = client.selected
    if box.read_only:
        client.unselect()
        return completed(command.name)

    async def work() -> Answer:
        places = [(0, len(box.view.uids))] if box.view.uids else []
        gone = await client.commit(box.store.expunge, box.folder, box.ranges(places))
        note_expunged(client, box, gone)
        client.unselect()
        return completed(command.name)

    return work()


def unselect(client: Client, command: Command) -> Result:
    client.unselect()
    return completed(command.name)


HANDLERS: dict[str, Callable[[Client, Command], Result]] = {
    "LIST": list_, "LSUB": lsub, "NAMESPACE": namespace, "CREATE": create, "DELETE": delete, "RENAME": rename,
    "SUBSCRIBE": subscribe, "UNSUBSCRIBE": unsubscribe, "STATUS": status, "SELECT": select, "EXAMINE": select,
    "CLOSE": close, "UNSELECT": unselect,
}  # fmt: skip
