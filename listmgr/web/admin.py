"""What the owner of a list sets: `/mailman/admin/LIST/CATEGORY`.

Promises: a page shows the options that the engine obeys, each with its help; a form with a mistake changes nothing, the
page comes back with what was typed and a word at each field; what is stored is compared with the list as it is at that
moment, so two owners don't undo each other's other options. Each change is in the audit log. L28, W02.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from bridge.store.passwords import Weak, require_strong
from bridge.store.tables import note
from listmgr import holding, passwords, registry, sessions
from listmgr.describe import Option, Words, Wrong
from listmgr.options import CATEGORIES, of_category
from listmgr.sessions import Grant
from listmgr.web.site import Site, Visit, by_host, language_of
from listmgr.words import LABELS, WORDS, label


def overview(site: Site, request: Request) -> Response:
    """W02: the lists that can be run here; those that aren't advertised know their own address."""
    language, session = language_of(request), request.state.session
    with site.office.core.read() as connection:
        every = registry.every(connection)
    found = [one for one in every if one.options.advertised or (session and session.moderates(one))]
    return site.page(
        "admin", request, language, title=WORDS[language].admin_lists, groups=by_host(request, found), languages=True
    )


_GROUPS = {
    "privacy": ("privacy/subscribing", "privacy/sender", "privacy/recipient"),
    "members": ("members", "members/add", "members/remove", "members/change", "members/sync"),
}


def tabs(visit: Visit, here: str) -> dict[str, Any]:
    """The pages of an administrator, for the template: `tabs`, and `parts` of the one that is open. A moderator who is
    nothing else has none."""
    if not visit.session.administers(visit.which):
        return {"tabs": [], "parts": []}
    group = next((name for name, parts in _GROUPS.items() if here in parts), here)
    with visit.site.office.core.read() as connection:
        waiting = holding.count(connection, visit.which)
    names = list(dict.fromkeys(one.partition("/")[0] for one in CATEGORIES))
    shown = [
        _tab(visit, f"category:{name}", name == group, f"admin/{visit.which.name}/{_GROUPS.get(name, (name,))[0]}")
        for name in (*names, "passwords", "members")
    ]
    shown.append(_tab(visit, "category:held", here == "held", f"admindb/{visit.which.name}", waiting))
    parts = [
        _tab(visit, f"part:{name}", name == here, f"admin/{visit.which.name}/{name}") for name in _GROUPS.get(group, ())
    ]
    return {"tabs": shown, "parts": parts}


def _tab(visit: Visit, name: str, here: bool, href: str, count: int = 0) -> dict[str, Any]:
    return {"href": f"mailman/{href}", "label": label(visit.language, name), "here": here, "count": count}


def category(visit: Visit) -> Response:
    """`/mailman/admin/LIST[/CATEGORY[/PART]]`."""
    name = visit.request.path_params.get("category", "general")
    name = {"privacy": "privacy/subscribing"}.get(name, name)
    options = of_category(name)
    if not options:
        return visit.site.missing(visit.request)
    if not visit.posted:
        return _show(visit, name, {}, {})
    typed = {one.name: _typed(one, visit.form) for one in options}
    changes: dict[str, Any] = {}
    wrong: dict[str, Words] = {}
    for one in options:
        text = typed[one.name]
        if text is None:
            continue  # not on the page that was sent
        try:
            changes[one.name] = tuple(text.split()) if one.kind == "flags" else one.read(text)
        except Wrong as error:
            wrong |= error.problems
    if not wrong:
        wrong = _store(visit, changes)
    if wrong:
        return _show(visit, name, {key: text for key, text in typed.items() if text is not None}, wrong)
    return visit.done("saved")


def _typed(one: Option, form: Mapping[str, str]) -> str | None:
    """What the form says of an option; None if nothing. Flags come as boxes, which say nothing when they are empty."""
    if one.kind != "flags":
        return form.get(one.name)
    return " ".join(flag for flag in one.choices if f"{one.name}.{flag}" in form) if one.name in form else None


def _store(visit: Visit, changes: Mapping[str, Any]) -> dict[str, Words]:
    """Store what differs; what is wrong with it."""
    office = visit.site.office

    def unit(connection: Connection) -> None:
        fresh = registry.find(connection, visit.which.name)
        if fresh is None:
            return
        new = {name: value for name, value in changes.items() if getattr(fresh.options, name) != value}
        if new:
            registry.change(connection, fresh, new, serves=office.serves)
            actor = visit.session.actor(fresh)
            note(connection, office.clock.now(), actor, "list.options", fresh.posting, " ".join(new))

    try:
        office.core.write_now(unit)
    except Wrong as error:
        return error.problems
    return {}


def _show(visit: Visit, name: str, typed: Mapping[str, str], wrong: Mapping[str, Words]) -> Response:
    rows = [_row(visit, one, typed.get(one.name), wrong.get(one.name)) for one in of_category(name)]
    return visit.page(
        "category", 400 if wrong else 200, **tabs(visit, name), rows=rows, wide=True,
        heading=label(visit.language, f"category:{name}"), listinfo=visit.which.name,
    )  # fmt: skip


def _row(visit: Visit, one: Option, typed: str | None, wrong: Words | None) -> dict[str, Any]:
    """One option as the template wants it."""
    value = getattr(visit.which.options, one.name) if typed is None else typed
    if one.kind == "yesno":
        value = value if isinstance(value, str) else ("yes" if value else "no")
    if one.kind == "flags":
        value = value.split() if isinstance(value, str) else value
    elif isinstance(value, tuple):
        value = "\n".join(value)
    return {
        "name": one.name, "kind": one.kind, "about": one.about(visit.language), "value": value,
        "choices": [(choice, LABELS[visit.language].get(choice, choice)) for choice in one.choices],
        "error": wrong[1 if visit.language == "es" else 0] if wrong else "",
    }  # fmt: skip


def change_passwords(visit: Visit) -> Response:
    """`/mailman/admin/LIST/passwords` (L29)."""
    errors: dict[str, str] = {}
    if visit.posted:
        new = {role: visit.form.get(f"{role}.new", "") for role in passwords.ROLES}
        for role, password in new.items():
            problem = _problem(visit, role, password)
            if problem:
                errors[role] = problem
        if not errors and any(new.values()):
            _put(visit, {role: password for role, password in new.items() if password})
            return visit.done("changed")
        if not errors:
            errors["admin"] = visit.words.password_empty
    with visit.site.office.core.read() as connection:
        known = {role: passwords.known(connection, visit.which, role) for role in passwords.ROLES}
    return visit.page(
        "passwords", 400 if errors else 200, **tabs(visit, "passwords"), errors=errors, known=known, wide=True
    )


def _problem(visit: Visit, role: str, password: str) -> str:
    if password != visit.form.get(f"{role}.again", ""):
        return str(visit.words.password_differs)
    if not password:
        return ""
    try:
        require_strong(password, visit.which.posting)
    except Weak:
        return str(visit.words.password_weak)
    return ""


def _put(visit: Visit, new: Mapping[str, str]) -> None:
    """Store them; sessions that the old ones opened end, but for this one."""
    office, which = visit.site.office, visit.which
    stored = {role: office.hasher.hash(password) for role, password in new.items()}

    def unit(connection: Connection) -> None:
        for role, text in stored.items():
            passwords.put(connection, which, role, text)
            if Grant(which.id, role) in visit.session.grants:
                sessions.give(connection, visit.session, Grant(which.id, role))
        actor = visit.session.actor(which)
        note(connection, office.clock.now(), actor, "list.passwords", which.posting, " ".join(stored))

    office.core.write_now(unit)

