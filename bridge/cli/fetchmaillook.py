"""What fetchmail does besides collecting: looking what is there (-c), and deleting there what we have (-F).

Promises: `look` changes nothing, there or here; `flush` deletes only what the ledger says is safe here, after the
collector's own checks that it still is that message.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.intake.fetch.poller import Poller, source_of
from bridge.intake.fetch.source import Limits, Listing, Source, Status, Trouble
from bridge.store.ledger import MINE, Ledger, Place

if TYPE_CHECKING:
    from bridge.config.fetch import FetchAccount
    from bridge.intake.fetch.folder import Result

_SAFE = tuple(state for state in MINE if state != "gone")


def look(poller: Poller, account: "FetchAccount") -> "Result":
    """How much is there: `new`, `known`, and `size` of all of it."""
    from bridge.intake.fetch.folder import Result

    result = Result(account.name)
    try:
        with _opened(poller, account) as (_, source):
            for folder in source.folders(account.folders):
                listing = source.listing(folder)
                states = poller.ledger.states(Place(account.name, folder, listing.uidvalidity))
                known = sum(one.uid in states for one in listing.messages)
                result.known += known
                result.new += len(listing.messages) - known
                result.size += sum(one.size for one in source.sizes(listing.messages))
    except Trouble as error:
        result.error, result.status = str(error), error.status
    else:
        result.status = Status.MAIL if result.new else Status.NO_MAIL
    return result


def flush(poller: Poller, account: "FetchAccount") -> int:
    """Delete there what was collected before; says how many. Trouble is left to the poll that follows."""
    try:
        with _opened(poller, account) as (protocol, _):
            pass
    except Trouble:
        return 0
    old = replace(poller, source=lambda one, limits: _Old(source_of(one, limits), poller.ledger, one.name))
    return old.poll(replace(account, protocol=protocol, keep=False)).removed  # type: ignore[arg-type]


@contextmanager
def _opened(poller: Poller, account: "FetchAccount") -> "Iterator[tuple[str, Source]]":
    """(protocol, session); `auto` is IMAP and, where nobody answers, POP3."""
    limits = Limits(poller.message_size, time.monotonic() + poller.poll_seconds)
    kinds = ("imap", "pop3") if account.protocol == "auto" else (account.protocol,)
    for kind in kinds:
        source = source_of(replace(account, protocol=kind), limits)  # type: ignore[arg-type]
        try:
            try:
                source.open()
            except Trouble as error:
                if kind == kinds[-1] or error.status != Status.CONNECTION:
                    raise
                continue
            yield kind, source
            return
        finally:
            source.close()


class _Old:
    """A source that shows only what we have already."""

    def __init__(self, source: Source, ledger: Ledger, account: str) -> None:
        self._source, self._ledger, self._account = source, ledger, account
        self.open, self.folders, self.sizes, self.headers = source.open, source.folders, source.sizes, source.headers
        self.read, self.remove, self.close, self.abort = source.read, source.remove, source.close, source.abort

    def listing(self, folder: str) -> Listing:
        found = self._source.listing(folder)
        states = self._ledger.states(Place(self._account, folder, found.uidvalidity))
        return replace(
            found,
            messages=tuple(one for one in found.messages if one.uid in states and states[one.uid].state in _SAFE),
        )
