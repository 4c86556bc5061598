"""SEARCH, SORT and THREAD, in a thread and one at a time per client (sec-I05).

Promises: only messages that this client was told of are found; `$` is what the last SEARCH with SAVE found, without
what has gone since; a search ends early when its client goes away.
RFC: 3501 and 9051 section 6.4.4; 4731 (ESEARCH), 5182 (SEARCHRES), 5256 (SORT, THREAD), 5267 (ESORT), 9394 (PARTIAL),
7162 (MODSEQ).
"""
from collections.abc import Callable, Sequence
from typing import cast

from bridge.serve.imap.client import Box, Client, Result, completed, window
from bridge.serve.imap.trouble import Answer, Refusal
from bridge.store.mail import Column
from bridge.wire.imap import encode
from bridge.wire.imap.args.search import Search, Sort, Thread
from bridge.wire.imap.args.searchkey import And, Fuzzy, Key, ModSeq, Not, Or
from bridge.wire.imap.flow import Command
from bridge.wire.imap.seqset import ranges_of

RETURNS = frozenset(("MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL"))
CRITERIA = frozenset(("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"))


async def search(client: Client, command: Command) -> Answer:
    asked = cast(Search, command.args)
    box = client.selected
    returns = asked.returns
    _check(returns)
    saving = returns is not None and "SAVE" in returns
    try:
        found = await _found(client, box, asked.key)
    except Exception:
        if saving:
            client.saved = []
        raise
    modseq = await _modseq(client, box, asked.key, found)
    numbers = found if asked.uid else [number for number in box.numbers(found) if number]
    if returns is None and not client.rev2:
        client.send(encode.search(numbers, modseq))
        return completed(command.name)
    wanted = returns if returns is not None else frozenset(("ALL",))
    if saving:
        client.saved = _saved(found, wanted)
    if wanted != {"SAVE"}:
        client.send(_esearch(command, asked, wanted, numbers, modseq))
    return completed(command.name)


async def sort(client: Client, command: Command) -> Answer:
    asked = cast(Sort, command.args)
    box = client.selected
    _check(asked.returns)
    if not CRITERIA.issuperset(name for name, _ in asked.criteria):
        raise Refusal("Unknown sort criterion", "", "BAD")
    found = await _found(client, box, asked.key)
    modseq = await _modseq(client, box, asked.key, found)
    ordered = await client.thread(box.store.sort, box.folder, asked.criteria, found)
    numbers = ordered if asked.uid else [number for number in map(box.view.number, ordered) if number]
    returns = asked.returns
    if returns is None:
        client.send(encode.search(numbers, modseq, b"SORT"))
        return completed(command.name)
    if "SAVE" in returns:
        client.saved = sorted(_saved(ordered, returns))
    if returns != {"SAVE"}:
        client.send(_esearch(command, asked, returns, numbers, modseq))
    return completed(command.name)


async def thread(client: Client, command: Command) -> Answer:
    asked = cast(Thread, command.args)
    if not client.service.offers(f"THREAD={asked.algorithm}"):
        raise Refusal("Unknown threading algorithm", "", "BAD")
    box = client.selected
    found = await _found(client, box, asked.key)
    numbers = None if asked.uid else {uid: number for uid, number in zip(found, box.numbers(found)) if number}
    client.send(await client.thread(_threads, box, asked.algorithm, found, numbers))
    return completed(command.name)


def _threads(box: Box, algorithm: str, found: list[int], numbers: dict[int, int] | None) -> bytes:
    return encode.thread(box.store.thread(box.folder, algorithm, found, numbers))


def _check(returns: frozenset[str] | None) -> None:
    if returns is not None and not RETURNS.issuperset(returns):
        raise Refusal("Unknown return option", "", "BAD")


async def _found(client: Client, box: Box, key: Key) -> list[int]:
    link = client.link
    return await client.thread(
        box.store.search, box.folder, key, box.view.uids, recent=box.recent, saved=client.saved,
        cancelled=lambda: link.closing,
    )  # fmt: skip


async def _modseq(client: Client, box: Box, key: Key, found: list[int]) -> int | None:
    """The highest modseq of what was found, where the search asked about modseqs."""
    if not _asks_modseq(key):
        return None
    client.enabled.add("CONDSTORE")
    return await client.thread(_highest, box, found) if found else None


def _highest(box: Box, found: list[int]) -> int:
    chunks = box.store.fetch(box.folder, ranges_of(found), (Column.MODSEQ,))
    return max((row[1] for rows in chunks for row in rows), default=1)


def _asks_modseq(key: Key) -> bool:
    match key:
        case ModSeq():
            return True
        case And(keys):
            return any(map(_asks_modseq, keys))
        case Or(left, right):
            return _asks_modseq(left) or _asks_modseq(right)
        case Not(inner) | Fuzzy(inner):
            return _asks_modseq(inner)
        case _:
            return False


def _saved(found: list[int], returns: frozenset[str]) -> list[int]:
    """What `$` holds (RFC 5182 section 2.4)."""
    if not found or returns & {"ALL", "COUNT", "PARTIAL"} or not returns & {"MIN", "MAX"}:
        return found
    ends = {found[0]} if "MIN" in returns else set()
    return sorted(ends | {found[-1]} if "MAX" in returns else ends)


def _esearch(
    command: Command, asked: Search | Sort, returns: frozenset[str], numbers: Sequence[int], modseq: int | None
) -> bytes:  # fmt: skip
    partial = None
    if asked.partial is not None:
        partial = asked.partial, window(numbers, *asked.partial)
    return encode.esearch(
        command.tag, asked.uid,
        least=numbers[0] if numbers and "MIN" in returns else None,
        most=numbers[-1] if numbers and "MAX" in returns else None,
        count=len(numbers) if "COUNT" in returns else None,
        everything=numbers if "ALL" in returns else None,
        modseq=modseq, partial=partial,
    )  # fmt: skip


HANDLERS: dict[str, Callable[[Client, Command], Result]] = {
    "SEARCH": search, "UID SEARCH": search, "SORT": sort, "UID SORT": sort, "THREAD": thread, "UID THREAD": thread,
}  # fmt: skip
