"""Pages of mail accounts that other rooms bring into the frame of this site: who has a mailbox here comes in.

Promises: a page is shown, and its form taken, only for a session that proved an address with a mailbox; a form needs
the session's token; nobody is led anywhere but to one of these pages (sec-W05, sec-W09). Guesses count with those of
every other protocol. Fails by: nothing but bugs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bridge.model.address import fold
from listmgr.sessions import Grant, Session
from listmgr.web.site import Place, Site, Throttled, client, language_of, said
from listmgr.words import WORDS

PURPOSE = "login:account"


@dataclass(frozen=True, slots=True)
class AccountVisit:
    """A request by somebody whose mailbox this is: `owner` is its main address."""

    site: Site
    request: Request
    session: Session
    owner: str
    language: str

    @property
    def posted(self) -> bool:
        return self.request.method == "POST"

    @property
    def form(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.request.state.form
        return found

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return self.site.page(template, self.request, self.language, status, languages=not self.posted, **values)

    def done(self, what: str, **query: str) -> Response:
        """Back to the page with a word about what was done."""
        return self.site.back(self.request, what, **query)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of accounts: where, its name, what it does, and who may: `owner` answers the main address of a mailbox
    for one of its addresses, else ""."""

    place: Place
    work: Callable[[AccountVisit], Response]
    owner: Callable[[str], str]


def shown(page: Page) -> Callable[[Site, Request], Response]:
    """The page for who may see it, a form to come in for others."""

    def work(site: Site, request: Request) -> Response:
        session: Session | None = request.state.session
        language = language_of(request)
        owner = next((found for one in sorted(session.addresses) if (found := page.owner(one))), "") if session else ""
        if session is None or not owner:
            error = WORDS[language].not_enough if session is not None else ""
            return form(site, request, page.place, error=error, status=403)
        if request.method == "POST" and not session.accepts(request.state.form.get("token", "")):
            return site.answer(request, language, WORDS[language].again, said(language, page.place.label), 403)
        return page.work(AccountVisit(site, request, session, owner, language))

    return work


def form(
    site: Site, request: Request, place: Place, *, error: str = "", email: str = "", status: int = 200
) -> Response:
    """The way in: the password of the mail account."""
    language = language_of(request)
    return site.page(
        "account", request, language, status, title=said(language, place.label), page=place.path, error=error,
        email=email, token=site.forms.issue(PURPOSE, client(request)), languages=request.method == "GET",
    )  # fmt: skip


async def come_in(site: Site, request: Request) -> Response:
    """POST /mailman/login: by the password of a mail account, to one of these pages."""
    sent, ip, language = request.state.form, client(request), language_of(request)
    words = WORDS[language]
    place = next((one for one in site.places if one.path == sent.get("page")), None)
    if place is None or not site.forms.accepts(sent.get("token", ""), PURPOSE, ip, youngest=0):
        return site.answer(request, language, words.again, status=403)
    email = sent.get("email", "").strip()[:320]
    try:
        addresses = await site.keys.owner(email, sent.get("password", ""), ip)
    except Throttled:
        return site.answer(request, language, words.toomany, said(language, place.label), 429)
    if not addresses:
        return await run_in_threadpool(
            lambda: form(site, request, place, error=words.wrong, email=email, status=403)
        )
    answer = RedirectResponse(f"../{place.path}", 303)
    grants = [Grant(0, "address", fold(one)) for one in addresses]
    await run_in_threadpool(site.enter, answer, request.state.session, *grants)
    site.office.journal.record("web_login", ip=ip, account=fold(addresses[0]))
    return answer


come_in.waits = True  # type: ignore[attr-defined]
