"""What all pages of the lists share: the frame, forms, languages, cookies, and who is asking.

Promises: a page of ours has relative links, so it works under any host name and prefix; a form that changes something
needs the token of its session, or one that only a page gives out, and must come from here (sec-W05); nobody's cookie is
read before its session is found alive. Fails by: nothing but bugs.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from listmgr import registry, sessions
from listmgr.forms import Forms, Rate
from listmgr.notices import LANGUAGES
from listmgr.office import Office
from listmgr.registry import MailingList
from listmgr.sessions import Session
from listmgr.words import LABELS, WORDS

SMALL, LARGE = 16 * 1024, 900_000  # bytes of a form: a stranger's, and one of a session
FEW, MANY = 20, 4000  # its fields
PRIVATE = {"Cache-Control": "private, no-store"}
NAME = "estafeta"  # of the cookie
CHOICE = "estafeta-language"
# what a page may be told by ?done=
DONE = ("saved", "removed", "loggedout", "changed", "left", "moved", "asked", "forgotten")


class Throttled(Exception):
    """Too many wrong passwords from there, or too many logins at once."""


async def _nobody(login: str, password: str, ip: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Keys:
    """Who may come in: `keeper(list, password, ip)` answers a role of the list, `owner(login, password, ip)` the
    addresses of a mail account; None for a wrong password. Both may raise Throttled."""

    keeper: Callable[[str, str, str], Awaitable[str | None]] = _nobody
    owner: Callable[[str, str, str], Awaitable[tuple[str, ...] | None]] = _nobody
    accounts: bool = False  # are there mail accounts at all?
    mailbox: Callable[[str], bool] = lambda address: False  # is that address one with a mailbox here?


@dataclass(frozen=True, slots=True)
class Place:
    """A page that is linked from every other one: path without a slash before it, name in English and Spanish."""

    path: str
    label: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages are made of. `archives` is the folder that holds private/ and public/."""

    office: Office
    archives: Path
    forms: Forms
    rate: Rate
    environment: jinja2.Environment
    keys: Keys = field(default_factory=Keys)
    places: tuple[Place, ...] = ()

    @property
    def secure(self) -> bool:
        return self.office.links.base.startswith("https://")

    @property
    def cookie(self) -> str:
        """Its name: with the prefix that binds it to this host, where there is TLS."""
        return f"__Host-{NAME}" if self.secure else NAME

    def page(self, template: str, request: Request, language: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page of ours."""
        session: Session | None = getattr(request.state, "session", None)
        plain = {
            "language": language, "w": WORDS[language], "root": root_of(request), "languages": False, "back": True,
            "wide": False, "places": self._places(request, language), "tongues_here": _tongues(request),
            "csrf": session.token if session else "", "logged": bool(session and session.grants),
            "done": _done(request, language), "tabs": [], "parts": [], "labels": LABELS[language],
        }  # fmt: skip
        html = self.environment.get_template(f"{template}.html").render({**plain, **values})
        answer = HTMLResponse(html, status, headers=PRIVATE)
        chosen = request.query_params.get("language", "")
        if chosen in LANGUAGES:
            answer.set_cookie(CHOICE, chosen, 31_536_000, secure=self.secure, httponly=True, samesite="lax")
        return answer

    def _places(self, request: Request, language: str) -> list[dict[str, Any]]:
        """Links of the bar at the top: pages that other rooms bring."""
        here = str(request.scope["path"]).strip("/")
        return [{"href": one.path, "label": said(language, one.label), "here": here == one.path} for one in self.places]

    def answer(self, request: Request, language: str, text: str, title: str = "", status: int = 200) -> HTMLResponse:
        return self.page(
            "answer", request, language, status, title=title or WORDS[language].lists, text=text,
            languages=request.method == "GET",
        )  # fmt: skip

    def missing(self, request: Request) -> HTMLResponse:
        """The one answer for what isn't there and what may not be seen."""
        language = language_of(request)
        return self.answer(request, language, WORDS[language].nolist, status=404)

    def back(self, request: Request, what: str, **query: str) -> Response:
        """To this page with a word about what was done, so that loading it again does nothing again."""
        last = quote(str(request.scope["path"]).rpartition("/")[2], safe="")
        words = urlencode({"done": what, **{name: value for name, value in query.items() if value}})
        return RedirectResponse(f"./{last}?{words}", 303)

    def find(self, request: Request) -> MailingList | None:
        with self.office.core.read() as connection:
            return registry.find(connection, request.path_params["name"])

    def enter(self, answer: Response, old: Session | None, *grants: sessions.Grant) -> None:
        """Start a session and put its cookie into the answer."""
        now, random = self.office.clock.now(), self.office.random
        value = self.office.core.write_now(lambda c: sessions.start(c, old, grants, now=now, random=random))
        answer.set_cookie(self.cookie, value, path="/", secure=self.secure, httponly=True, samesite="strict")

    def session(self, request: Request) -> Session | None:
        """Whose request this is."""
        value, now = request.cookies.get(self.cookie, ""), self.office.clock.now()
        if not value:
            return None
        with self.office.core.read() as connection:
            found = sessions.look(connection, value, now=now)
        if found is None:
            return None
        session, due = found
        if due:
            self.office.core.write_now(lambda c: sessions.touch(c, session, now=now))
        return session


@dataclass(frozen=True, slots=True)
class Visit:
    """A request about one list by somebody whose rights were checked."""

    site: Site
    request: Request
    which: MailingList
    session: Session
    language: str

    @property
    def words(self) -> Any:
        return WORDS[self.language]

    @property
    def form(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.request.state.form
        return found

    @property
    def posted(self) -> bool:
        return self.request.method == "POST"

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        shown = {"title": self.which.title, "name": self.which.name, "languages": not self.posted, **values}
        return self.site.page(template, self.request, self.language, status, **shown)

    def done(self, what: str, **query: str) -> Response:
        """Back to the page with a word about what was done: loading it again does nothing again."""
        return self.site.back(self.request, what, **query)


Work = Callable[[Site, Request], Any]


def endpoint(site: Site, work: Work) -> Callable[[Request], Any]:
    """Finds the session, reads the form, then does the work in a thread: it touches database and spool. Work that
    waits for a password check is a coroutine."""

    async def answered(request: Request) -> Response:
        request.state.session = await run_in_threadpool(site.session, request)
        if request.method == "POST":
            request.state.form = await _form(request, request.state.session is not None)
            if not _same_origin(request, site.office.links.base):
                language = language_of(request)
                return site.answer(request, language, WORDS[language].again, status=403)
        if getattr(work, "waits", False):
            return await work(site, request)  # type: ignore[no-any-return]
        answer: Response = await run_in_threadpool(work, site, request)
        return answer

    return answered


async def _form(request: Request, known: bool) -> Mapping[str, str]:
    """The fields of a urlencoded form; none if it is too long or something else."""
    body, parts = 0, []
    async for chunk in request.stream():
        body += len(chunk)
        if body > (LARGE if known else SMALL):
            return {}
        parts.append(chunk)
    try:
        text = b"".join(parts).decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MANY if known else FEW))
    except ValueError:
        return {}


def _same_origin(request: Request, base: str) -> bool:
    """A browser that says where a form comes from must say: from here (sec-W05). Under `Referrer-Policy: no-referrer`
    browsers call every origin "null" and tell it by Sec-Fetch-Site, which no page can set."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "")
    if origin is None or origin == "null":
        return site in ("same-origin", "none", "") if origin is None else site == "same-origin"
    scheme, _, rest = base.partition("://")
    return origin in (
        f"{scheme}://{rest.partition('/')[0]}",
        f"{request.url.scheme}://{request.headers.get('host', '')}",
    )


def said(language: str, words: tuple[str, str]) -> str:
    """English and Spanish in the language of the page."""
    return words[1] if language == "es" else words[0]


def _tongues(request: Request) -> list[tuple[str, str, str]]:
    """(code, name, query) of this page in each language."""
    query = {name: value for name, value in request.query_params.items() if name not in ("language", "done")}
    return [(one, LABELS[one][one], urlencode({**query, "language": one})) for one in LANGUAGES]


def by_host(request: Request, lists: Iterable[MailingList]) -> list[tuple[str, list[MailingList]]]:
    """(mail domain, its lists), the domain of the address that was asked first (W01: virtual hosts)."""
    here = request.url.hostname or ""
    groups: dict[str, list[MailingList]] = {}
    for one in lists:
        groups.setdefault(one.host, []).append(one)
    return sorted(groups.items(), key=lambda group: (not f".{here}".endswith(f".{group[0]}"), group[0]))


def client(request: Request) -> str:
    return request.client.host if request.client else ""


def root_of(request: Request) -> str:
    """The way up from this page, as in `../../`."""
    return "../" * (str(request.scope["path"]).count("/") - 1)


def language_of(request: Request, default: str = "") -> str:
    """Asked for in the address or the form, chosen before, the list's, the browser's."""
    asked = request.query_params.get("language", "") or getattr(request.state, "form", {}).get("language", "")
    for one in (asked, request.cookies.get(CHOICE, ""), default):
        if one in LANGUAGES:
            return str(one)
    return "es" if request.headers.get("accept-language", "").lower().startswith("es") else "en"


def _done(request: Request, language: str) -> str:
    what = request.query_params.get("done", "") if request.method == "GET" else ""
    return str(getattr(WORDS[language], f"done_{what}")) if what in DONE else ""
