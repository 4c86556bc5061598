"""Coming in: by a password of the list, by that of a mail account, or by a link that is mailed to an address.

Promises: guesses are counted with those of every other protocol (`Keys`); the answer to a wish for a link is always the
same, and the link works once, within half an hour, at the press of a button (sec-L05, sec-W17); nobody is led anywhere
but to pages of this list (sec-W09). A page that needs more rights than the visitor has shows the form to come in.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bridge.model.address import fold
from listmgr import answers, passwords, pending, registry, roster, sessions
from listmgr.addresses import valid
from listmgr.notices import Notice
from listmgr.pending import Action
from listmgr.registry import MailingList
from listmgr.sessions import Grant, Session
from listmgr.web.site import Site, Throttled, Visit, client, language_of
from listmgr.words import WORDS

PAGES = ("admin", "admindb", "options", "roster", "private")
LINK_MINUTES = 30
ASK_AGAIN = 120  # seconds before another link is sent to the same address


May = Callable[[Site, Session, MailingList], bool]


def administers(site: Site, session: Session, which: MailingList) -> bool:
    return session.administers(which)


def moderates(site: Site, session: Session, which: MailingList) -> bool:
    return session.moderates(which)


def guarded(work: Callable[[Visit], Response], page: str, may: May, email: str = "") -> Any:
    """The page for those who may; a form to come in for others. A POST needs rights and the session's token."""

    def checked(site: Site, request: Request) -> Response:
        which = site.find(request)
        if which is None:
            return site.missing(request)
        session: Session | None = request.state.session
        language = language_of(request, which.options.preferred_language)
        if session is None or not may(site, session, which):
            error = WORDS[language].not_enough if session is not None else ""
            return form(site, request, which, page, error=error, email=email, status=403)
        if request.method == "POST" and not session.accepts(request.state.form.get("token", "")):
            return site.answer(request, language, WORDS[language].again, which.title, 403)
        return work(Visit(site, request, which, session, language))

    return checked


def form(
    site: Site, request: Request, which: MailingList, page: str, *, error: str = "", email: str = "", status: int = 200
) -> Response:
    """The ways in. It says nothing of who is on the list."""
    language = language_of(request, which.options.preferred_language)
    keeper = False
    if page in ("admin", "admindb"):
        with site.office.core.read() as connection:
            keeper = any(passwords.known(connection, which, role) for role in passwords.ROLES)
    return site.page(
        "login", request, language, status, title=which.title, name=which.name, page=page, keeper=keeper,
        lead=getattr(WORDS[language], f"login_{page}"), accounts=site.keys.accounts, error=error, email=email,
        token=site.forms.issue(f"login:{which.name}", client(request)), languages=request.method == "GET",
    )  # fmt: skip


async def come_in(site: Site, request: Request) -> Response:
    """POST /mailman/login/LIST."""
    which = await run_in_threadpool(site.find, request)
    if which is None:
        return site.missing(request)
    sent, ip = request.state.form, client(request)
    language = language_of(request, which.options.preferred_language)
    words, page = WORDS[language], sent.get("page", "")
    if page not in PAGES or not site.forms.accepts(sent.get("token", ""), f"login:{which.name}", ip, youngest=0):
        return site.answer(request, language, words.again, which.title, 403)
    email = sent.get("email", "").strip()[:320]
    if sent.get("do") == "link":
        return await run_in_threadpool(_mail_link, site, request, which, page, email)
    try:
        grants = await _proven(site, which, sent, email, ip)
    except Throttled:
        return site.answer(request, language, words.toomany, which.title, 429)
    if not grants:
        shown = "" if sent.get("do") == "list" else email
        return await run_in_threadpool(
            lambda: form(site, request, which, page, error=words.wrong, email=shown, status=403)
        )
    return await run_in_threadpool(_enter, site, request, which, page, grants)


come_in.waits = True  # type: ignore[attr-defined]


async def _proven(site: Site, which: MailingList, sent: Any, email: str, ip: str) -> list[Grant]:
    password = sent.get("password", "")
    if sent.get("do") == "list":
        role = await site.keys.keeper(which.name, password, ip)
        return [Grant(which.id, role)] if role else []
    addresses = await site.keys.owner(email, password, ip)
    return [Grant(0, "address", fold(one)) for one in addresses or ()]


def _enter(site: Site, request: Request, which: MailingList, page: str, grants: list[Grant]) -> Response:
    answer = RedirectResponse(_target(which, page, grants), 303)
    site.enter(answer, request.state.session, *grants)
    site.office.journal.record("list_login", list=which.name, ip=client(request), role=grants[0].role)
    return answer


def _target(which: MailingList, page: str, grants: list[Grant]) -> str:
    """Where to go from /mailman/login/LIST."""
    place = f"../{page}/{which.name}"
    if page == "options":
        address = next((one.key for one in grants if one.role == "address"), "")
        return f"{place}/{quote(address.replace('@', '--at--'), safe='')}" if address else place
    return f"{place}/" if page == "private" else place


def _mail_link(site: Site, request: Request, which: MailingList, page: str, email: str) -> Response:
    """Send a link if the address has anything to do with the list; say the same in any case."""
    office, language = site.office, language_of(request, which.options.preferred_language)
    words = WORDS[language]
    if not site.rate.allows(client(request)):
        return site.answer(request, language, words.toomany, which.title, 429)
    now, origin = office.clock.now(), f"login:{request.state.form['token'][:64]}"

    def unit(connection: Connection) -> tuple[str, str] | None:
        keepers = map(fold, (*which.options.owner, *which.options.moderator))
        member = roster.find(connection, which, email)
        if not valid(email) or not (member or fold(email) in keepers):
            return None
        key, limit = fold(email), office.settings.answers_per_day
        if pending.asked(connection, which, Action.LOGIN, key, origin=origin, since=now - ASK_AGAIN):
            return None
        if not answers.allowed(connection, email, origin, limit=limit, now=now):
            return None
        to = registry.reached(connection, which, member.address if member else email)
        token = pending.ask(
            connection, which, Action.LOGIN, key, {"page": page}, origin=origin, now=now,
            days=LINK_MINUTES / 1440, random=office.random,
        )  # fmt: skip
        return to, token

    found = office.core.write_now(unit)
    if found is not None:
        to, token = found
        values = {"address": email, "url": office.links.login(which, token), "minutes": LINK_MINUTES}
        office.notices.send(which, Notice("login", (to,), language, f"{origin}:{fold(email)}", values))
    return site.answer(request, language, words.link_sent, which.title)


def link(site: Site, request: Request) -> Response:
    """GET shows whom the link is for, POST lets in, once."""
    which = site.find(request)
    if which is None:
        return site.missing(request)
    language = language_of(request, which.options.preferred_language)
    words, token, now = WORDS[language], request.path_params["token"], site.office.clock.now()
    with site.office.core.read() as connection:
        found = pending.look(connection, which, token, now=now)
    if request.method == "POST":
        given = request.state.form.get("token", "")
        if not site.forms.accepts(given, f"link:{token}", client(request), youngest=0):
            return site.answer(request, language, words.again, which.title, 403)
    if found is None or found.action is not Action.LOGIN:
        return site.answer(request, language, words.gone, which.title, 404)
    if request.method != "POST":
        return site.page(
            "link", request, language, title=which.title, address=found.key,
            token=site.forms.issue(f"link:{token}", client(request)),
        )  # fmt: skip
    taken = site.office.core.write_now(lambda c: pending.take(c, which, token, now=now))
    if taken is None or taken.action is not Action.LOGIN:
        return site.answer(request, language, words.gone, which.title, 404)
    grants = [Grant(0, "address", taken.key)]
    answer = _enter(site, request, which, taken.data["page"], grants)
    answer.headers["location"] = f"../{answer.headers['location']}"  # one folder deeper here
    return answer


def go_out(site: Site, request: Request) -> Response:
    """POST /mailman/logout: the session ends here and on the server."""
    session, language = request.state.session, language_of(request)
    if session is None or not session.accepts(request.state.form.get("token", "")):
        return site.answer(request, language, WORDS[language].again, status=403)
    site.office.core.write_now(lambda c: sessions.end(c, session))
    answer = RedirectResponse("listinfo?done=loggedout", 303)
    answer.delete_cookie(site.cookie, path="/", secure=site.secure, httponly=True, samesite="strict")
    return answer
