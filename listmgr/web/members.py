"""The members of a list, for its administrators: see, search, change, add, remove (L31, L56).

Promises: a search is a glob or the harmless part of a regular expression (sec-M15); one page holds
`admin_member_chunksize` members, and a form changes only those that it showed. Fails by: nothing but bugs.
"""

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from bridge.model.address import fold
from bridge.store.tables import note
from listmgr import enrolment, roster
from listmgr.enrolment import How, Outcome
from listmgr.links import user_at
from listmgr.notices import LANGUAGES
from listmgr.options import MEMBER_FLAGS
from listmgr.roster import Member
from listmgr.web.admin import tabs
from listmgr.web.site import Visit

FLAGS = ("moderated", *MEMBER_FLAGS)
MOST_LINES = 20_000  # addresses in one form
REASONS = {"byuser": "U", "byadmin": "A", "bybounce": "B"}


def members(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members`."""
    if visit.posted:
        return _set_everybody(visit) if "everybody" in visit.form else _change(visit)
    query = visit.request.query_params
    search, number, error = query.get("find", "")[:100], _number(query.get("chunk", "0")), ""
    with visit.site.office.core.read() as connection:
        try:
            found, total = roster.chunk(connection, visit.which, number, search=search)
        except ValueError:
            found, total, error = [], 0, visit.words.search_stars
    size = max(1, visit.which.options.admin_member_chunksize)
    return visit.page(
        "members", tabs=tabs(visit, "members"), wide=True, people=[_shown(one) for one in found], total=total,
        find=search, number=number, last=max(0, (total - 1) // size), error=error, flags=FLAGS,
        tongues=LANGUAGES, first=number * size + 1,
    )  # fmt: skip


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _shown(one: Member) -> dict[str, Any]:
    return {
        "id": one.id, "address": one.address, "name": one.name, "url": user_at(one.address), "language": one.language,
        "flags": {flag: getattr(one, flag) for flag in FLAGS}, "nomail": one.delivery != "enabled",
        "why": REASONS.get(one.delivery, ""),
    }  # fmt: skip


def _change(visit: Visit) -> Response:
    """Flags, language and departure of the members that the form showed."""
    office, which, form, now = visit.site.office, visit.which, visit.form, visit.site.office.clock.now()
    shown = [name.partition(".")[2] for name in form if name.startswith("m.")]

    def unit(connection: Connection) -> list[str]:
        gone = []
        for one in roster.by_ids(connection, which, [int(text) for text in shown if text.isdigit()]):
            if f"unsub.{one.id}" in form:
                gone.append(one.address)
                continue
            new = _wanted(one, visit)
            if new:
                roster.change(connection, which, one.address, now=now, **new)
        note(connection, now, visit.session.actor(which), "list.members.change", which.posting, str(len(shown)))
        return gone

    gone = office.core.write_now(unit)
    how = How(visit.session.actor(which), which.options.send_goodbye_msg, which.options.admin_notify_mchanges)
    for _ in enrolment.remove(office, which, gone, how):
        pass
    return visit.done("saved")


def _wanted(one: Member, visit: Visit) -> dict[str, Any]:
    """What the form says differs from what is."""
    form = visit.form
    new: dict[str, Any] = {flag: f"{flag}.{one.id}" in form for flag in FLAGS}
    if (f"nomail.{one.id}" in form) != (one.delivery != "enabled"):
        new["delivery"] = "byadmin" if one.delivery == "enabled" else "enabled"
    language = form.get(f"language.{one.id}", one.language)
    if language in ("", *LANGUAGES):
        new["language"] = language
    return {name: value for name, value in new.items() if getattr(one, name) != value}


def _set_everybody(visit: Visit) -> Response:
    """Everyone's moderation bit at once."""
    office, which, on = visit.site.office, visit.which, visit.form["everybody"] == "on"

    def unit(connection: Connection) -> None:
        roster.moderate_everybody(connection, which, on, now=office.clock.now())
        actor = visit.session.actor(which)
        note(connection, office.clock.now(), actor, "list.members.moderate", which.posting, "on" if on else "off")

    office.core.write_now(unit)
    return visit.done("saved")


def add(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members/add`: mass subscription and invitation."""
    which, form = visit.which, visit.form if visit.posted else {}
    results: list[tuple[str, str]] = []
    if visit.posted:
        people = [enrolment.person(line) for line in _lines(form)]
        how = How(
            visit.session.actor(which), welcome=form.get("welcome") == "yes", notify=form.get("notify") == "yes",
            text=form.get("text", "")[:4000],
        )  # fmt: skip
        work = enrolment.invite if form.get("how") == "invite" else enrolment.add
        results = _told(visit, work(visit.site.office, which, people, how))
    return visit.page(
        "add", tabs=tabs(visit, "members/add"), wide=True, results=results, empty=visit.posted and not results,
        welcome=which.options.send_welcome_msg, notify=which.options.admin_notify_mchanges,
    )  # fmt: skip


def remove(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members/remove`."""
    which, form = visit.which, visit.form if visit.posted else {}
    results: list[tuple[str, str]] = []
    if visit.posted:
        how = How(
            visit.session.actor(which), welcome=form.get("welcome") == "yes", notify=form.get("notify") == "yes"
        )
        people = list(dict.fromkeys(enrolment.person(line)[0] for line in _lines(form)))
        results = _told(visit, enrolment.remove(visit.site.office, which, people, how))
    return visit.page(
        "remove", tabs=tabs(visit, "members/remove"), wide=True, results=results, empty=visit.posted and not results,
        welcome=which.options.send_goodbye_msg, notify=which.options.admin_notify_mchanges,
    )  # fmt: skip


def _lines(form: Any) -> list[str]:
    found = (line.strip() for line in form.get("people", "").splitlines()[:MOST_LINES])
    return list({fold(line): line for line in found if line and not line.startswith("#")}.values())


def _told(visit: Visit, done: Any) -> list[tuple[str, str]]:
    return [(address, outcome_words(visit, outcome)) for address, outcome in done]


def outcome_words(visit: Visit, outcome: Outcome) -> str:
    return str(getattr(visit.words, f"outcome_{outcome.value}"))
