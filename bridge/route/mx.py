"""Which servers take the mail of a domain, in which order: RFC 5321 5.1 as a pure function.

Promises: ascending preference, equals shuffled by what is passed in; each host once, at most 20 (sec-O07); never a host
of ours or one that is worse than ours, so that mail can't go round between equals (S79); a null MX is a plain no
(RFC 7505). Names are compared folded and without their final dot.
"""
from collections.abc import Callable, Collection, Iterable
from enum import Enum

from bridge.model.address import fold_domain

HOSTS = 20


class NoHost(Enum):
    """Why there is nobody to send to."""

    NULL = "the domain says that it takes no mail"
    OURSELVES = "we are the best mail exchanger of this domain, and it is not one of ours"


def hosts(
    records: Iterable[tuple[int, str]], ours: Collection[str], shuffle: Callable[[list[str]], None]
) -> tuple[str, ...] | NoHost:
    """The hosts to try from (preference, name) records. Of no record at all the caller makes (0, domain) first."""
    best: dict[str, int] = {}
    for preference, name in records:
        host = _plain(name)
        best[host] = min(preference, best.get(host, preference))
    if set(best) == {""}:
        return NoHost.NULL
    best.pop("", None)  # a null MX beside others means nothing
    mine = {_plain(name) for name in ours}
    limit = min((preference for host, preference in best.items() if host in mine), default=None)
    ordered: list[str] = []
    for level in sorted(set(best.values())):
        if limit is not None and level >= limit:
            break
        equals = sorted(host for host, preference in best.items() if preference == level)
        shuffle(equals)
        ordered += equals
    if not ordered and limit is not None:
        return NoHost.OURSELVES
    return tuple(ordered[:HOSTS])


def _plain(name: str) -> str:
    return fold_domain(name.rstrip("."))
