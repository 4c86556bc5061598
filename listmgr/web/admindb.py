"""Posts that wait for a decision: `/mailman/admindb/LIST`, for owners and moderators (L47).

Promises: what was written by strangers is shown as text only (sec-L13); a post that somebody else decided about in the
meantime is skipped; what isn't named in the form stays. Fails by: nothing but bugs.
"""

import time
from typing import Any

from starlette.responses import Response

from listmgr import holding
from listmgr.holding import Held
from listmgr.moderation import Decision, decide
from listmgr.rules import explain
from listmgr.web.admin import tabs
from listmgr.web.site import Visit

SHOWN = 20  # posts on the page; the others come when these are decided
TEXT = 3000  # characters of a post that are shown


def held(visit: Visit) -> Response:
    """The page, and what its form decides."""
    if visit.posted:
        _decide(visit)
        return visit.done("saved")
    with visit.site.office.core.read() as connection:
        found = holding.waiting(connection, visit.which)
    return visit.page(
        "admindb", **tabs(visit, "held"), wide=True,
        posts=[_shown(visit, one) for one in found[:SHOWN]], total=len(found), heading=visit.words.held,
    )  # fmt: skip


def _shown(visit: Visit, one: Held) -> dict[str, Any]:
    try:
        text = holding.opening(visit.site.office, visit.which, one).text()[:TEXT]
    except LookupError:
        text = ""
    return {
        "parent": one.parent, "author": one.author or "?", "subject": one.subject, "size": one.size, "text": text,
        "reason": explain(one.reason, visit.language),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.held_at)),
    }  # fmt: skip


def _decide(visit: Visit) -> None:
    office, which = visit.site.office, visit.which
    with office.core.read() as connection:
        waiting = {one.parent: one for one in holding.waiting(connection, which)}
    wanted = {one.value: one for one in Decision}
    for name, value in visit.form.items():
        kind, _, parent = name.partition(".")
        one = waiting.get(parent) if kind == "do" else None
        if one is None or value not in wanted:
            continue
        try:
            decide(office, which, one, wanted[value], text=visit.form.get(f"text.{parent}", "")[:4000])
        except LookupError:
            holding.forget(office, which, one)
