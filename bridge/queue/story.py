"""What the queue tells the journal: one event for each step of each recipient.

Events: routed (an address became something else), delivered, expanded, deferred, failed, discarded. Fields: `to` the
final address, `original` the envelope's if another, `where` host or folder, `reply` the last word, `delay` seconds
since acceptance. Never raises (the journal doesn't).
"""

from bridge.model.outcome import Deferred, Delivered, Expanded, Failed, Outcome
from bridge.queue.plan import Plan
from bridge.route.resolver import Kind
from bridge.store.spool import Spooled
from bridge.watch.trace import Journal

_EVENTS = {Delivered: "delivered", Expanded: "expanded", Deferred: "deferred", Failed: "failed"}
_MOST = 100     # routed events of one message; a large list is told by its deliveries


def routed(journal: Journal, plan: Plan) -> None:
    """What the recipients of a message became."""
    for _, recipient, route in plan.ends[:_MOST]:
        journal.record(
            "routed",
            plan.id,
            original=recipient.address,
            to=route.address,
            kind=route.kind.value,
            target=route.target,
            why=" > ".join(route.why),
        )


def discarded(journal: Journal, plan: Plan) -> None:
    """Recipients of a message that end in nothing, by an alias of the administrator."""
    for _, recipient, route in plan.ends:
        if route.kind is Kind.DISCARD:
            journal.record("discarded", plan.id, original=recipient.address, why=" > ".join(route.why))


def told(journal: Journal, spooled: Spooled, original: str, address: str, outcome: Outcome, now: float) -> None:
    """The outcome of one attempt for one recipient."""
    extra = {"original": original} if original != address else {}
    delay = round(max(now - spooled.envelope.received_at, 0.0), 3)
    if isinstance(outcome, Expanded):
        word = {"children": " ".join(outcome.children)}
    else:
        word = {"reply": str(outcome.reply)}
    event = _EVENTS[type(outcome)]
    journal.record(event, spooled.envelope.id, to=address, where=outcome.where, delay=delay, **word, **extra)
