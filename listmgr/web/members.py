"""The members of a list, for its administrators: see, search, change (L31, L56). Many at once: `membership`.

Promises: a search is a regular expression that can't be made slow (sec-M15); one page holds `admin_member_chunksize`
members, and a form changes only those that it showed. A search that makes no sense is shown again with a word about it.
Fails by: nothing but bugs.
"""

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from bridge.store.tables import note
from listmgr import enrolment, roster
from listmgr.enrolment import How
from listmgr.links import user_at
from listmgr.notices import LANGUAGES
from listmgr.options import MEMBER_FLAGS
from listmgr.pattern import LONGEST, BadPattern
from listmgr.roster import Member
from listmgr.web.admin import tabs
from listmgr.web.site import Visit, said

FLAGS = ("moderated", *MEMBER_FLAGS)
REASONS = {"byuser": "U", "byadmin": "A", "bybounce": "B"}
UNKNOWN = "?"


def members(visit: Visit) -> Response:
    """`/mailman/admin/LIST/members`."""
    if visit.posted:
        return _set_everybody(visit) if "everybody" in visit.form else _change(visit)
    search, number, error = _search(visit), _number(visit), ""
    with visit.site.office.core.read() as connection:
        try:
            found, total = roster.chunk(connection, visit.which, number, search=search)
        except BadPattern as wrong:
            found, total, error = [], 0, f"{visit.words.find}: {said(visit.language, wrong.words)}"
    size = max(1, visit.which.options.admin_member_chunksize)
    return visit.page(
        "members", 400 if error else 200, **tabs(visit, "members"), wide=True, people=[_shown(one) for one in found],
        total=total, find=search, number=number, pages=_pages(number, (total - 1) // size), error=error, flags=FLAGS,
        tongues=LANGUAGES, first=number * size + 1,
    )  # fmt: skip


def _search(visit: Visit) -> str:
    return visit.request.query_params.get("find", "")[: LONGEST + 1].strip()


def _number(visit: Visit) -> int:
    text = visit.request.query_params.get("chunk", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _pages(here: int, last: int) -> list[int]:
    """Numbers of the pages to link: the first, the last, and those around this one."""
    near = {0, last, *range(here - 3, here + 4)}
    return sorted(one for one in near if 0 <= one <= last) if last > 0 else []


def _shown(one: Member) -> dict[str, Any]:
    return {
        "id": one.id, "address": one.address, "name": one.name, "url": user_at(one.address), "language": one.language,
        "flags": {flag: getattr(one, flag) for flag in FLAGS}, "nomail": one.delivery != "enabled",
        "why": "" if one.delivery == "enabled" else REASONS.get(one.delivery, UNKNOWN),
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
    return _back(visit)


def _back(visit: Visit) -> Response:
    """To the same part of the same search."""
    return visit.done("saved", find=_search(visit), chunk=str(_number(visit) or ""))


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
    return _back(visit)
