"""The pages of the lists: overview, one list with its form, confirmation, and the public archives.

Promises: GET changes nothing (sec-L05); each form carries a token that only the page gives out, and the answer to a
subscription is always the same, whatever the address is (sec-L01); nothing of a request stands in an answer, every text
is escaped (sec-L11, sec-L13); a private archive and one that isn't there answer alike (sec-W03). No JavaScript.
Not here: security headers, host names and size of requests (`bridge.web.pages`). Fails by: nothing but bugs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

import templates
from listmgr import holding, pending, registry
from listmgr.addresses import Verb
from listmgr.archive import serve
from listmgr.forms import Forms, Rate
from listmgr.holding import Held
from listmgr.moderation import Decision, decide
from listmgr.notices import LANGUAGES
from listmgr.office import Office
from listmgr.pending import Action, Pending
from listmgr.registry import MailingList
from listmgr.rules import explain
from listmgr.subscriptions import Result, Wish, ask_to_join, ask_to_leave, confirm
from listmgr.words import WORDS

FORM_LIMIT = 16 * 1024  # bytes of a form
FORM_FIELDS = 20
_PRIVATE = {"Cache-Control": "private, no-store"}


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages are made of. `archives` is the folder that holds private/ and public/."""

    office: Office
    archives: Path
    forms: Forms
    rate: Rate
    environment: jinja2.Environment

    def page(self, template: str, request: Request, language: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page of ours. Links in it are relative, so it works under any host name and prefix."""
        root = "../" * (request.url.path.count("/") - 1)
        plain = {"language": language, "w": WORDS[language], "root": root, "languages": False, "back": True}
        html = self.environment.get_template(f"{template}.html").render({**plain, **values})
        return HTMLResponse(html, status, headers=_PRIVATE)

    def answer(self, request: Request, language: str, text: str, title: str = "", status: int = 200) -> HTMLResponse:
        return self.page("answer", request, language, status, title=title or WORDS[language].lists, text=text)

    def missing(self, request: Request) -> HTMLResponse:
        """The one answer for what isn't there and what may not be seen."""
        language = _language(request)
        return self.answer(request, language, WORDS[language].nolist, status=404)

    def find(self, request: Request) -> MailingList | None:
        with self.office.core.read() as connection:
            return registry.find(connection, request.path_params["name"])


def routes(office: Office, archives: Path, *, secret: bytes, override: Path | None = None) -> list[BaseRoute]:
    """All routes, to be mounted at the root. `secret`: at least 16 random bytes that outlive a restart."""
    settings, clock = office.settings, office.clock
    folders = [*([override / "web"] if override else []), Path(next(iter(templates.__path__))) / "web"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    forms = Forms(secret, clock.now, office.random, settings.form_seconds)
    site = Site(office, archives, forms, Rate(settings.form_hourly, clock.now), environment)
    table: list[tuple[str, str, Callable[[Site, Request], Any]]] = [
        ("/mailman/listinfo", "GET", _overview),
        ("/mailman/listinfo/{name}", "GET", _listinfo),
        ("/mailman/subscribe/{name}", "POST", _subscribe),
        ("/mailman/unsubscribe/{name}", "POST", _unsubscribe),
        ("/mailman/confirm/{name}/{token}", "GET", _ask_confirm),
        ("/mailman/confirm/{name}/{token}", "POST", _do_confirm),
        ("/mailman/style.css", "GET", _style),
        ("/pipermail/{name}", "GET", _to_archive),
        ("/pipermail/{name}/{rest:path}", "GET", _archive),
    ]
    return [Route(path, _endpoint(site, work), methods=[method]) for path, method, work in table]


def _endpoint(site: Site, work: Callable[[Site, Request], Any]) -> Callable[[Request], Any]:
    """Reads the form, if there is one, then does the work in a thread: it touches database and spool."""

    async def endpoint(request: Request) -> Response:
        if request.method == "POST":
            request.state.form = await _form(request)
            if not _same_origin(request, site.office.links.base):
                language = _language(request)
                return site.answer(request, language, WORDS[language].again, status=403)
        answer: Response = await run_in_threadpool(work, site, request)
        return answer

    return endpoint


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a urlencoded form; none if it is too long or something else."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT:
            return {}
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError:
        return {}


def _same_origin(request: Request, base: str) -> bool:
    """A browser that says where a form comes from must say: from here (sec-W05)."""
    origin = request.headers.get("origin")
    if origin is None:
        return True
    scheme, _, rest = base.partition("://")
    return origin in (
        f"{scheme}://{rest.partition('/')[0]}",
        f"{request.url.scheme}://{request.headers.get('host', '')}",
    )


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _language(request: Request, default: str = "") -> str:
    asked = request.query_params.get("language", "") or getattr(request.state, "form", {}).get("language", "")
    if asked in LANGUAGES:
        return asked
    if default:
        return default
    return "es" if request.headers.get("accept-language", "").lower().startswith("es") else "en"


def _overview(site: Site, request: Request) -> Response:
    """W01: the advertised lists."""
    language = _language(request)
    with site.office.core.read() as connection:
        found = registry.every(connection, advertised=True)
    lists = [{"name": one.name, "title": one.title, "description": one.options.description} for one in found]
    return site.page(
        "overview", request, language, title=WORDS[language].lists, lists=lists, languages=True, back=False
    )


def _listinfo(site: Site, request: Request) -> Response:
    """W01: one list, with the forms to join and to leave."""
    which = site.find(request)
    if which is None:
        return site.missing(request)
    language, options, links = _language(request, which.options.preferred_language), which.options, site.office.links
    return site.page(
        "listinfo",
        request,
        language,
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
        token=site.forms.issue(f"list:{which.name}", _client(request)),
        languages=True,
    )


def _subscribe(site: Site, request: Request) -> Response:
    return _wish(site, request, ask_to_join)


def _unsubscribe(site: Site, request: Request) -> Response:
    return _wish(site, request, ask_to_leave)


def _wish(site: Site, request: Request, ask: Callable[[Office, MailingList, Wish], Result]) -> Response:
    """Ask by mail; the answer never says whether the address is known (sec-L01)."""
    which = site.find(request)
    if which is None:
        return site.missing(request)
    language, form, client = _language(request, which.options.preferred_language), request.state.form, _client(request)
    words = WORDS[language]
    if not site.forms.accepts(form.get("token", ""), f"list:{which.name}", client):
        return site.answer(request, language, words.again, which.title, 403)
    if not site.rate.allows(client):
        return site.answer(request, language, words.toomany, which.title, 429)
    name = "".join(char for char in form.get("fullname", "") if char.isprintable())[:100].strip()
    origin = f"web:{form['token'][:64]}"
    ask(site.office, which, Wish(form.get("email", "").strip(), origin, name=name, language=language))
    return site.answer(request, language, words.sent, which.title)


def _pending(site: Site, request: Request) -> tuple[MailingList | None, Pending | None, Held | None]:
    """What a token is for; nothing is changed."""
    which = site.find(request)
    if which is None:
        return None, None, None
    with site.office.core.read() as connection:
        found = pending.look(connection, which, request.path_params["token"], now=site.office.clock.now())
        held = holding.find(connection, which, found.key) if found and found.action is Action.HELD else None
    return which, found, held


def _ask_confirm(site: Site, request: Request) -> Response:
    """Show what would happen (sec-L05)."""
    which, found, held = _pending(site, request)
    if which is None:
        return site.missing(request)
    language = _language(request, which.options.preferred_language)
    words = WORDS[language]
    if found is None or (found.action is Action.HELD and held is None):
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
        token=site.forms.issue(f"confirm:{token}", _client(request)),
    )


def _do_confirm(site: Site, request: Request) -> Response:
    """Do it, once."""
    which, found, held = _pending(site, request)
    if which is None:
        return site.missing(request)
    language, form = _language(request, which.options.preferred_language), request.state.form
    words, token = WORDS[language], request.path_params["token"]
    if not site.forms.accepts(form.get("token", ""), f"confirm:{token}", _client(request), youngest=0):
        return site.answer(request, language, words.again, which.title, 403)
    if found is None or (found.action is Action.HELD and held is None):
        return site.answer(request, language, words.gone, which.title, 404)
    if held is not None:
        if form.get("do") not in {one.value for one in Decision}:
            return site.answer(request, language, words.again, which.title, 400)
        decide(site.office, which, held, Decision(form["do"]), text=form.get("text", "")[:4000])
        return site.answer(request, language, words.done_held, which.title)
    result, _ = confirm(site.office, which, token)
    if result is Result.DONE:
        return site.answer(request, language, getattr(words, f"done_{found.action.value}"), which.title)
    text, status = (words.refused, 403) if result is Result.REFUSED else (words.gone, 404)
    return site.answer(request, language, text, which.title, status)


def _style(site: Site, request: Request) -> Response:
    css = site.environment.get_template("style.css").render()
    return Response(css, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def _to_archive(site: Site, request: Request) -> Response:
    """`/pipermail/LIST` without the slash."""
    name = request.path_params["name"]
    return RedirectResponse(f"{name}/", 301) if _readable(site, name) else site.missing(request)


def _archive(site: Site, request: Request) -> Response:
    """A01: the files of a public archive."""
    name = request.path_params["name"]
    found = serve.find(site.archives, name, request.path_params["rest"]) if _readable(site, name) else None
    if found is None:
        return site.missing(request)
    headers = {**found.headers, "ETag": found.etag}
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
