"""The pages for everybody: overview, one list with its forms, confirmation, roster and archives.

Promises: GET changes nothing (sec-L05); each form carries a token that only the page gives out, and the answer to a
subscription is always the same, whatever the address is (sec-L01); nothing of a request stands in an answer, every text
is escaped (sec-L11, sec-L13); a private archive and one that isn't there answer alike (sec-W03). No JavaScript.
Not here: security headers, host names and size of requests (`bridge.web.pages`). Fails by: nothing but bugs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from listmgr import holding, pending, registry, roster
from listmgr.addresses import Verb, valid
from listmgr.archive import serve
from listmgr.holding import Held
from listmgr.moderation import Decision, decide
from listmgr.notices import LANGUAGES
from listmgr.office import Office
from listmgr.pending import Action, Pending
from listmgr.registry import MailingList
from listmgr.rules import explain
from listmgr.sessions import Session
from listmgr.subscriptions import Result, Wish, ask_to_join, ask_to_leave
from listmgr.subscriptions import confirm as carry_out
from listmgr.web import login
from listmgr.web.site import Site, Visit, by_host, client, language_of
from listmgr.words import WORDS


def overview(site: Site, request: Request) -> Response:
    """W01: the advertised lists, by mail domain where there are several."""
    language = language_of(request)
    with site.office.core.read() as connection:
        found = registry.every(connection, advertised=True)
    return site.page(
        "overview", request, language, title=WORDS[language].lists, groups=by_host(request, found), languages=True,
        back=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a form of the list's page: which form, which field, and words."""

    form: str = ""
    field: str = ""
    text: str = ""


def listinfo(site: Site, request: Request) -> Response:
    """W01: one list, with the forms to join and to leave."""
    which = site.find(request)
    return site.missing(request) if which is None else _listinfo(site, request, which, {}, Mistake())


def _listinfo(
    site: Site, request: Request, which: MailingList, typed: Mapping[str, str], errors: Mistake
) -> Response:
    """The page; with a mistake it has what was typed."""
    language, options, links = language_of(request, which.options.preferred_language), which.options, site.office.links
    return site.page(
        "listinfo",
        request,
        language,
        400 if errors.text else 200,
        typed={"email": typed.get("email", "")[:320], "fullname": typed.get("fullname", "")[:200]},
        errors=errors,
        tongues=LANGUAGES,
        title=which.title,
        name=which.name,
        description=options.description,
        info=options.info,
        posting=which.posting,
        commands=which.address(Verb.REQUEST),
        owner=which.address(Verb.OWNER),
        archived=options.archive,
        private=options.archive_private,
        archive=links.archive(which),
        roster=options.private_roster,
        token=typed.get("token") or site.forms.issue(f"list:{which.name}", client(request)),
        languages=not errors.text,
    )


def subscribe(site: Site, request: Request) -> Response:
    return _wish(site, request, ask_to_join, "join")


def unsubscribe(site: Site, request: Request) -> Response:
    return _wish(site, request, ask_to_leave, "leave")


def _wish(site: Site, request: Request, ask: Callable[[Office, MailingList, Wish], Result], sent: str) -> Response:
    """Ask by mail; the answer never says whether the address is known (sec-L01)."""
    which = site.find(request)
    if which is None:
        return site.missing(request)
    language, form, ip = language_of(request, which.options.preferred_language), request.state.form, client(request)
    words = WORDS[language]
    if not site.forms.accepts(form.get("token", ""), f"list:{which.name}", ip):
        return site.answer(request, language, words.again, which.title, 403)
    name, email = form.get("fullname", "").strip(), form.get("email", "").strip()
    if not valid(email):
        mistake = Mistake(sent, "email", f"{words.address}: {words.bad_address}")
        return _listinfo(site, request, which, form, mistake)
    if not name.isprintable() or len(name) > 100:
        return _listinfo(site, request, which, form, Mistake(sent, "fullname", words.bad_name))
    if not site.rate.allows(ip):
        return site.answer(request, language, words.toomany, which.title, 429)
    tongue = form.get("tongue", "") if form.get("tongue") in LANGUAGES else language
    origin = f"web:{form['token'][:64]}"
    ask(site.office, which, Wish(email, origin, name=name, language=tongue))
    return site.answer(request, language, words.sent, which.title)


def _waiting_for(site: Site, request: Request) -> tuple[MailingList | None, Pending | None, Held | None]:
    """What a token is for; nothing is changed."""
    which = site.find(request)
    if which is None:
        return None, None, None
    with site.office.core.read() as connection:
        found = pending.look(connection, which, request.path_params["token"], now=site.office.clock.now())
        held = holding.find(connection, which, found.key) if found and found.action is Action.HELD else None
    return which, found, held


def ask_confirm(site: Site, request: Request) -> Response:
    """Show what would happen (sec-L05)."""
    which, found, held = _waiting_for(site, request)
    if which is None:
        return site.missing(request)
    language = language_of(request, which.options.preferred_language)
    words = WORDS[language]
    if found is None or found.action is Action.LOGIN or (found.action is Action.HELD and held is None):
        return site.answer(request, language, words.gone, which.title, 404)
    token = request.path_params["token"]
    return site.page(
        "confirm",
        request,
        language,
        title=which.title,
        question=getattr(words, f"confirm_{found.action.value}"),
        address=found.data.get("address", ""),
        held=held,
        reason=explain(held.reason, language) if held else "",
        token=site.forms.issue(f"confirm:{token}", client(request)),
    )


def do_confirm(site: Site, request: Request) -> Response:
    """Do it, once."""
    which, found, held = _waiting_for(site, request)
    if which is None:
        return site.missing(request)
    language, form = language_of(request, which.options.preferred_language), request.state.form
    words, token = WORDS[language], request.path_params["token"]
    if not site.forms.accepts(form.get("token", ""), f"confirm:{token}", client(request), youngest=0):
        return site.answer(request, language, words.again, which.title, 403)
    if found is None or found.action is Action.LOGIN or (found.action is Action.HELD and held is None):
        return site.answer(request, language, words.gone, which.title, 404)
    if held is not None:
        if form.get("do") not in {one.value for one in Decision}:
            return site.answer(request, language, words.again, which.title, 400)
        decide(site.office, which, held, Decision(form["do"]), text=form.get("text", "")[:4000])
        return site.answer(request, language, words.done_held, which.title)
    result, _ = carry_out(site.office, which, token)
    if result is Result.DONE:
        return site.answer(request, language, getattr(words, f"done_{found.action.value}"), which.title)
    text, status = (words.refused, 403) if result is Result.REFUSED else (words.gone, 404)
    return site.answer(request, language, text, which.title, status)


def style(site: Site, request: Request) -> Response:
    css = site.environment.get_template("style.css").render()
    return Response(css, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def icon(site: Site, request: Request) -> Response:
    svg = site.environment.get_template("icon.svg").render()
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})


def to_archive(site: Site, request: Request) -> Response:
    """`/pipermail/LIST` without the slash."""
    name = request.path_params["name"]
    return RedirectResponse(f"{name}/", 301) if _readable(site, name) else site.missing(request)


def archive(site: Site, request: Request) -> Response:
    """A01: the files of a public archive."""
    name = request.path_params["name"]
    return _file(site, request, name) if _readable(site, name) else site.missing(request)


def _file(site: Site, request: Request, name: str, **more: str) -> Response:
    found = serve.find(site.archives, name, request.path_params["rest"])
    if found is None:
        return site.missing(request)
    headers = {**found.headers, "ETag": found.etag, **more}
    if request.headers.get("if-none-match") == found.etag:
        found.close()
        return Response(status_code=304, headers={"ETag": found.etag})
    if request.method == "HEAD":
        found.close()
        return Response(headers=headers)
    return StreamingResponse(found.chunks(), headers=headers)


def _readable(site: Site, name: str) -> bool:
    """May anybody read this archive? Only one that is published, and whose list hasn't changed its mind since."""
    if not serve.is_public(site.archives, name):
        return False
    with site.office.core.read() as connection:
        which = registry.find(connection, name)
    return which is None or not which.options.archive_private


def may_read(site: Site, session: Session, which: MailingList) -> bool:
    """Members, and those who run the list."""
    if session.moderates(which):
        return True
    with site.office.core.read() as connection:
        return any(roster.find(connection, which, one) for one in session.addresses)


def private_archive(visit: Visit) -> Response:
    """A private archive, for those who may read it; kept by nobody on the way (sec-W03)."""
    if "rest" not in visit.request.path_params:
        return RedirectResponse(f"{visit.which.name}/", 301)
    return _file(visit.site, visit.request, visit.which.name, **{"Cache-Control": "private, no-store"})


def show_roster(site: Site, request: Request) -> Response:
    """W04: who is on the list, by the list's rule (sec-L15)."""
    which = site.find(request)
    if which is None:
        return site.missing(request)
    rule = which.options.private_roster
    if rule == "anyone":
        return _roster(site, request, which, request.state.session)
    may = may_read if rule == "members" else lambda site, session, which: session.moderates(which)
    answer: Response = login.guarded(
        lambda visit: _roster(site, request, which, visit.session), "roster", may
    )(site, request)  # fmt: skip
    return answer


def _roster(site: Site, request: Request, which: MailingList, session: Session | None) -> Response:
    language = language_of(request, which.options.preferred_language)
    keeper = session is not None and session.moderates(which)
    with site.office.core.read() as connection:
        found = [one for one in roster.members(connection, which) if keeper or not one.hide]
    plain = keeper or not which.options.obscure_addresses
    people = [one.address if plain else one.address.replace("@", f" {WORDS[language].at} ") for one in found]
    return site.page(
        "roster", request, language, title=which.title, name=which.name, people=people, languages=True,
    )  # fmt: skip
