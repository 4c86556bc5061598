"""Many members at once, for the owners of a list: add, invite, remove, change an address, make equal (L31, L56).

Promises: each line gets an answer; lines that could not be done stay in the form; what makes the list equal to another
is shown before it is done. Fails by: nothing but bugs.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from starlette.responses import Response

from bridge.model.address import fold
from listmgr import enrolment
from listmgr.enrolment import How, Outcome, Person
from listmgr.web.admin import tabs
from listmgr.web.site import Visit

MOST_LINES = 20_000  # addresses in one form
MOST_TEXT = 4000  # characters of the words for an invitation
Told = list[tuple[str, str]]
_FINE = frozenset([Outcome.ADDED, Outcome.INVITED, Outcome.REMOVED])


def add(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members/add`: mass subscription and invitation."""
    form, options = visit.form if visit.posted else {}, visit.which.options
    values: dict[str, Any] = {
        "welcome": "welcome" in form if form else options.send_welcome_msg,
        "notify": "notify" in form if form else options.admin_notify_mchanges,
        "invite": form.get("how") == "invite", "text": form.get("text", "")[:MOST_TEXT],
    }  # fmt: skip
    if not visit.posted:
        return _page(visit, "add", **values)
    work = enrolment.invite if values["invite"] else enrolment.add
    how = _how(visit, text=form.get("text", "")[:MOST_TEXT])
    return _done(visit, "add", work(visit.site.office, visit.which, _people(form), how), values)


def remove(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members/remove`."""
    form, options = visit.form if visit.posted else {}, visit.which.options
    values: dict[str, Any] = {
        "welcome": "welcome" in form if form else options.send_goodbye_msg,
        "notify": "notify" in form if form else options.admin_notify_mchanges,
    }  # fmt: skip
    if not visit.posted:
        return _page(visit, "remove", **values)
    addresses = [address for address, _ in _people(form)]
    return _done(visit, "remove", enrolment.remove(visit.site.office, visit.which, addresses, _how(visit)), values)


def change(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members/change`: another address for a member."""
    old, new = (visit.form.get(name, "").strip()[:320] if visit.posted else "" for name in ("old", "new"))
    if not visit.posted:
        return _page(visit, "change", old=visit.request.query_params.get("old", "")[:320], new="", field="")
    outcome = Outcome.INVALID if not new else Outcome.STRANGER
    if old and new:
        outcome = enrolment.moved(visit.site.office, visit.which, old, new, visit.session.actor(visit.which))
    if outcome is Outcome.MOVED:
        return visit.done("moved")
    field = "old" if outcome is Outcome.STRANGER else "new"
    words = visit.words.old_address if field == "old" else visit.words.new_address
    error = f"{words}: {(old if field == 'old' else new) or '—'} {outcome_words(visit, outcome)}"
    return _page(visit, "change", 400, old=old, new=new, field=field, error=error)


def sync(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members/sync`: make the members those of the form; first what that means, then do it."""
    options, form = visit.which.options, visit.form if visit.posted else {}
    values: dict[str, Any] = {"welcome": options.send_welcome_msg, "notify": options.admin_notify_mchanges}
    if not visit.posted:
        return _page(visit, "sync", plan=None, **values)
    values = {"welcome": "welcome" in form, "notify": "notify" in form}
    people = _people(form)
    with visit.site.office.core.read() as connection:
        plan = enrolment.plan(connection, visit.which, people)
    typed = form.get("people", "")
    if not people:
        return _page(visit, "sync", 400, plan=None, empty=True, **values)
    if plan.wrong:
        told = [(address, outcome_words(visit, Outcome.INVALID)) for address in plan.wrong]
        return _page(visit, "sync", 400, plan=None, typed=typed, results=told, refused=True, **values)
    if form.get("do") != "sync":
        return _page(visit, "sync", plan=plan, typed=typed, **values)
    office, how = visit.site.office, _how(visit)
    done = chain(
        enrolment.add(office, visit.which, plan.added, how), enrolment.remove(office, visit.which, plan.gone, how)
    )
    told, left = _told(visit, done)
    return _page(visit, "sync", plan=None, results=told, typed="\n".join(left), **values)


def outcome_words(visit: Visit, outcome: Outcome) -> str:
    return str(getattr(visit.words, f"outcome_{outcome.value}"))


def _how(visit: Visit, text: str = "") -> How:
    actor, form = visit.session.actor(visit.which), visit.form
    return How(actor, welcome="welcome" in form, notify="notify" in form, text=text)


def _people(form: Mapping[str, str]) -> list[Person]:
    """One for each line, each address once."""
    found = (line.strip() for line in form.get("people", "").splitlines()[:MOST_LINES])
    people = (enrolment.person(line) for line in found if line and not line.startswith("#"))
    return list({fold(one[0]): one for one in people}.values())


def _done(visit: Visit, page: str, outcomes: Iterable[tuple[str, Outcome]], values: Mapping[str, Any]) -> Response:
    told, left = _told(visit, outcomes)
    status = 200 if told and len(left) < len(told) else 400
    return _page(visit, page, status, results=told, typed="\n".join(left), empty=not told, **values)


def _told(visit: Visit, outcomes: Iterable[tuple[str, Outcome]]) -> tuple[Told, list[str]]:
    """What became of each, and those of which nothing did."""
    found = list(outcomes)
    left = [address for address, outcome in found if outcome not in _FINE]
    return [(address, outcome_words(visit, outcome)) for address, outcome in found], left


def _page(visit: Visit, name: str, status: int = 200, **values: Any) -> Response:
    shown = {"results": [], "empty": False, "typed": "", "error": "", "refused": False, **values}
    return visit.page(name, status, **tabs(visit, f"members/{name}"), wide=True, **shown)
