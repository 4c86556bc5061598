"""First contact of mail programs: the addresses where Thunderbird, Evolution, Outlook and Apple ask for settings.

Promises: the answer for a domain that is served is the same for every address in it, whether it exists or not; for
other domains it is a 404; nothing is looked up, stored or changed. Without an address the domain is that of the host
name that was asked (`autoconfig.example.org`), which is why these addresses answer under every host name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from bridge.web.pages import asked_host
from bridge.wire import autoconfig, autodiscover
from bridge.wire.ways import Way, target

MOZILLA = ("/.well-known/autoconfig/mail/config-v1.1.xml", "/mail/config-v1.1.xml")
MICROSOFT = (
    "/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml",
    "/autodiscover/Autodiscover.xml", "/Autodiscover/autodiscover.xml",
)  # fmt: skip
APPLE = "/mail/apple.mobileconfig"
PATHS = frozenset({*MOZILLA, *MICROSOFT, APPLE})    # answered whatever the host name
_PREFIXES = ("autoconfig.", "autodiscover.")
_KEEP = {"Cache-Control": "public, max-age=3600", "Vary": "Host"}
_FRESH = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Offer:
    """What clients are told. `served`: the domain in its one form, None where it isn't ours; `clock`: time of day."""

    served: Callable[[str], str | None]
    name: str
    ways: Sequence[Way]
    main: str
    clock: Callable[[], str]


def routes(offer: Offer) -> list[BaseRoute]:
    """All routes, to be mounted at the root; the pages' guard lets `PATHS` through under any host name."""

    async def mozilla(request: Request) -> Response:
        return _mozilla(offer, request)

    async def microsoft(request: Request) -> Response:
        return await _microsoft(offer, request)

    async def apple(request: Request) -> Response:
        return _apple(offer, request)

    return [
        *(Route(path, mozilla) for path in MOZILLA),
        *(Route(path, microsoft, methods=["GET", "POST"]) for path in MICROSOFT),
        Route(APPLE, apple),
    ]


def _mozilla(offer: Offer, request: Request) -> Response:
    domain = _domain(offer, request)
    if domain is None:
        return _not_here()
    document = autoconfig.client_config(domain, offer.name or domain, offer.ways)
    return Response(document, media_type=autoconfig.MEDIA_TYPE, headers=_KEEP)


async def _microsoft(offer: Offer, request: Request) -> Response:
    try:
        asked = autodiscover.asked(await _body(request)) if request.method == "POST" else None
    except autodiscover.BadRequest:
        asked = None
    if asked is None:
        return _refused(offer, autodiscover.INVALID)
    if asked.schema != autodiscover.OUTLOOK:
        return _refused(offer, autodiscover.NO_PROVIDER)
    parts = target(asked.address)
    if parts is None:
        return _refused(offer, autodiscover.INVALID)
    if offer.served(parts[1]) is None:
        return _not_here()
    document = autodiscover.answer(asked.address, offer.ways)
    return Response(document, media_type=autoconfig.MEDIA_TYPE, headers=_FRESH)


def _apple(offer: Offer, request: Request) -> Response:
    address = request.query_params.get("emailaddress", "")
    parts = target(address)
    domain = offer.served(parts[1]) if parts else None
    document = autoconfig.apple_profile(address, domain, offer.name or domain, offer.ways) if domain else None
    if document is None:
        return _not_here()
    headers = {**_FRESH, "Content-Disposition": f'attachment; filename="{_file(str(domain))}.mobileconfig"'}
    return Response(document, media_type=autoconfig.APPLE_MEDIA_TYPE, headers=headers)


def _file(domain: str) -> str:
    return domain if domain.isascii() else "mail"


def _domain(offer: Offer, request: Request) -> str | None:
    """Of the address; without one, of the name that was asked; under the server's own name the main domain."""
    address = request.query_params.get("emailaddress", "")
    if address:
        parts = target(address)
        return offer.served(parts[1]) if parts else None
    host = asked_host(request.headers)
    for prefix in _PREFIXES:
        if host.startswith(prefix):
            return offer.served(host.removeprefix(prefix))
    return offer.served(host) or offer.served(offer.main)


async def _body(request: Request) -> bytes:
    """As much of the body as a request may have, and a little more, so that too much is seen."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > autodiscover.REQUEST_LIMIT:
                break
    except ClientDisconnect:
        raise autodiscover.BadRequest("it ends in the middle") from None
    return body


def _refused(offer: Offer, error: tuple[int, str]) -> Response:
    document = autodiscover.refusal(error, offer.clock())
    return Response(document, media_type=autoconfig.MEDIA_TYPE, headers=_FRESH)


def _not_here() -> Response:
    return PlainTextResponse("This server has no mail for that domain.\n", 404, headers=_FRESH)
