"""What a member sets: `/mailman/options/LIST/user--at--host` (W03, L54).

Promises: only who proved the address, or the list's administrator, sees or changes anything of it (sec-L14); whether an
address is a member is said to nobody else; what an owner decided (delivery off by them, moderation) a member can't
undo. Fails by: nothing but bugs.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bridge.model.address import fold
from bridge.store.passwords import Weak, require_strong
from listmgr import enrolment, memberpasswords, registry, roster
from listmgr.addresses import valid
from listmgr.enrolment import How
from listmgr.links import user_at
from listmgr.notices import LANGUAGES
from listmgr.options import MEMBER_FLAGS
from listmgr.registry import MailingList
from listmgr.roster import Member
from listmgr.sessions import Session
from listmgr.subscriptions import Result, Wish, ask_to_move
from listmgr.web import login
from listmgr.web.site import CHOICE, Site, Visit, client


def _address(request: Request) -> str:
    return str(request.path_params["user"]).replace("--at--", "@")[:320]


def choose(site: Site, request: Request) -> Response:
    """`/mailman/options/LIST`: to the own page, or the form to come in."""
    which = site.find(request)
    if which is None:
        return site.missing(request)
    session: Session | None = request.state.session
    with site.office.core.read() as connection:
        mine = [one for one in sorted(session.addresses) if roster.find(connection, which, one)] if session else []
    if mine:
        return RedirectResponse(f"{which.name}/{user_at(mine[0])}", 303)
    return login.form(site, request, which, "options")


def _may(site: Site, session: Session, which: MailingList, address: str) -> bool:
    return fold(address) in session.addresses or session.administers(which)


def options(site: Site, request: Request) -> Response:
    """The page of one member, and what its forms do."""
    address = _address(request)
    answer: Response = login.guarded(
        lambda visit: _options(visit, address), "options",
        lambda site, session, which: _may(site, session, which, address), address if valid(address) else "",
    )(site, request)  # fmt: skip
    return answer


def _options(visit: Visit, address: str) -> Response:
    with visit.site.office.core.read() as connection:
        member = roster.find(connection, visit.which, address)
        own = fold(address) in visit.session.addresses
        others = _others(connection, visit, address) if own else []
    if member is None:
        return visit.page("answer", 404, text=visit.words.not_member)
    if not visit.posted:
        return _show(visit, member, others)
    if visit.form.get("do") == "leave":
        return _leave(visit, member, others)
    if visit.form.get("do") == "move":
        return _move(visit, member, others, own)
    if visit.form.get("do") == "password":
        return _password(visit, member, others, own)
    new, error = _wanted(visit.form, member, own), _name_error(visit)
    if error:
        return _show(visit, replace(member, **new), others, error=error)
    _store(visit, member, new, everywhere=own and "everywhere" in visit.form)
    return visit.done("saved")


def _others(connection: Connection, visit: Visit, address: str) -> list[MailingList]:
    every = registry.every(connection)
    return [one for one in every if one.id != visit.which.id and roster.find(connection, one, address)]


def _show(
    visit: Visit, member: Member, others: list[MailingList], *, error: str = "", leave_error: str = "",
    move_error: str = "", password_error: str = "",
) -> Response:  # fmt: skip
    language = visit.language
    if visit.request.query_params.get("language") not in LANGUAGES and member.language in LANGUAGES:
        language = member.language if not visit.request.cookies.get(CHOICE) else language
    shown = Visit(visit.site, visit.request, visit.which, visit.session, language)
    return shown.page(
        "options", 400 if error or leave_error or move_error or password_error else 200, member=member,
        flags=MEMBER_FLAGS, tongues=LANGUAGES,
        others=[{"title": one.title, "name": one.name} for one in others], user=user_at(member.address),
        error=error, leave_error=leave_error, move_error=move_error, password_error=password_error,
        mailbox=visit.site.keys.mailbox(member.address), password_known=_has_password(visit, member),
        newaddress=visit.form.get("newaddress", "")[:320] if visit.posted else "",
        everywhere=visit.posted and "everywhere" in visit.form, own=fold(member.address) in visit.session.addresses,
        admin=visit.session.administers(visit.which), posting=visit.which.posting,
    )  # fmt: skip


def _name_error(visit: Visit) -> str:
    name = visit.form.get("fullname", "")
    return "" if name.isprintable() and len(name) <= 100 else str(visit.words.bad_name)


def _wanted(form: Mapping[str, str], member: Member, own: bool) -> dict[str, Any]:
    """What the form asks for; nothing that only the owners decide."""
    new: dict[str, Any] = {flag: flag in form for flag in MEMBER_FLAGS}
    new["name"] = form.get("fullname", member.name).strip()
    if form.get("memberlanguage") in ("", *LANGUAGES):
        new["language"] = form["memberlanguage"]
    wanted = form.get("delivery")
    if wanted in ("on", "off") and (wanted == "on") != (member.delivery == "enabled"):
        if wanted == "off":
            new["delivery"] = "byuser" if own else "byadmin"
        elif member.delivery != "byadmin" or not own:
            new["delivery"] = "enabled"
    return new


def _store(visit: Visit, member: Member, new: Mapping[str, Any], *, everywhere: bool) -> None:
    """Here, and if wished on all lists of this address."""
    office, now = visit.site.office, visit.site.office.clock.now()

    def unit(connection: Connection) -> None:
        lists = [visit.which, *(_others(connection, visit, member.address) if everywhere else ())]
        for which in lists:
            there = roster.find(connection, which, member.address)
            if there is None:
                continue
            values = dict(new)
            if "delivery" not in new and everywhere:
                values |= {"delivery": _like(member.delivery, there.delivery)}
            if there.delivery == "byadmin" and which.id != visit.which.id:
                values.pop("delivery", None)
            roster.change(connection, which, there.address, now=now, **values)

    office.core.write_now(unit)


def _like(here: str, there: str) -> str:
    """Delivery on another list when it stays as it is here."""
    return there if (here == "enabled") == (there == "enabled") else ("enabled" if here == "enabled" else "byuser")


def _move(visit: Visit, member: Member, others: list[MailingList], own: bool) -> Response:
    """Another address: asked there, whoever the visitor is; only members ask."""
    office, which, new = visit.site.office, visit.which, visit.form.get("newaddress", "").strip()
    if not own:
        return RedirectResponse(f"../../admin/{which.name}/members/change?{urlencode({'old': member.address})}", 303)
    words, problem = visit.words, ""
    if not valid(new):
        problem = words.bad_address
    elif new == member.address:
        problem = words.same_address
    if not problem and not visit.site.rate.allows(client(visit.request)):
        return visit.page("answer", 429, text=words.toomany)
    if not problem:
        origin = f"web:{office.random(16).hex()}"
        wish = Wish(new, origin, language=visit.language)
        result = ask_to_move(office, which, member.address, wish, everywhere="everywhere" in visit.form)
        problem = words.move_refused if result is Result.REFUSED else ""
    if problem:
        return _show(visit, member, others, move_error=f"{words.new_address}: {problem}")
    return visit.done("asked")


def _has_password(visit: Visit, member: Member) -> bool:
    with visit.site.office.core.read() as connection:
        return memberpasswords.known(connection, member.address)


def _password(visit: Visit, member: Member, others: list[MailingList], own: bool) -> Response:
    """A password of the own, for all lists; an empty one takes it away. Whoever has a mailbox here uses that one's."""
    words, new = visit.words, visit.form.get("new", "")
    if not own or visit.site.keys.mailbox(member.address):
        return visit.page("answer", 403, text=words.not_enough)
    problem = ""
    if new != visit.form.get("again", ""):
        problem = words.password_differs
    elif new:
        try:
            require_strong(new, member.address)
        except Weak:
            problem = words.password_weak
    elif not _has_password(visit, member):
        problem = words.password_empty
    if problem:
        return _show(visit, member, others, password_error=f"{words.password_new}: {problem}")
    office, stored = visit.site.office, visit.site.office.hasher.hash(new) if new else ""
    office.core.write_now(lambda c: memberpasswords.put(c, member.address, stored, session=visit.session.hash))
    return visit.done("changed" if new else "forgotten")


def _leave(visit: Visit, member: Member, others: list[MailingList]) -> Response:
    """Off the list; a box must be ticked, so a slip of the finger does nothing."""
    if "sure" not in visit.form:
        return _show(visit, member, others, leave_error=visit.words.leave_sure)
    which = visit.which
    how = How(f"web:{fold(member.address)}", which.options.send_goodbye_msg, which.options.admin_notify_mchanges)
    for _ in enrolment.remove(visit.site.office, which, [member.address], how):
        pass
    return RedirectResponse(f"../../listinfo/{which.name}?done=left", 303)

