"""The one web application: what other rooms bring as routes, behind the headers and checks that every page gets.

Promises: each answer carries the security headers of SECURITY.md (c) 22; a request for a host name that isn't ours is
refused (sec-W08); bodies over 1 MB are refused (sec-W13); our own fault is a plain 500 without a traceback.
Not here: what the pages say (`listmgr.web`), starting the server (`bridge.roles`).
"""

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.config.server import Web
from bridge.web import errors

log = logging.getLogger("estafeta.web")

BODY_LIMIT = 1_000_000
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: host names, body size, headers. `hosts` are lower-case names without port; the paths of
    `any_host` judge the name themselves."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], secure: bool, any_host: frozenset[str]) -> None:
        self._app, self._hosts, self._secure, self._any_host = app, hosts, secure, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, str(scope["path"]))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                if self._secure:
                    answer.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, _bounded(receive), with_headers)

    def _refusal(self, headers: Headers, path: str) -> Response | None:
        if path not in self._any_host and asked_host(headers) not in self._hosts:
            return PlainTextResponse("This server does not answer to that name.\n", 400)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            return PlainTextResponse("Request too large.\n", 413)
        return None


def asked_host(headers: Headers) -> str:
    """The host name that a request was sent to, in lower case, without a port; empty where it is none."""
    try:
        return urlsplit("//" + headers.get("host", "")).hostname or ""
    except ValueError:
        return ""


def _bounded(receive: Receive) -> Receive:
    """`receive` that ends a body without Content-Length at the limit."""
    got = 0

    async def bounded() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > BODY_LIMIT:
            return {"type": "http.disconnect"}
        return message

    return bounded


def application(
    routes: Sequence[BaseRoute], *, web: Web, hostname: str, port: int, home: str,
    any_host: frozenset[str] = frozenset(),
) -> ASGIApp:
    """The whole site. `home` is the path that `/` leads to; the settings name the hosts it answers to, the paths of
    `any_host` answer to all."""

    async def index(request: Request) -> Response:
        return RedirectResponse(home)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def no_icon(request: Request) -> Response:
        """Pages name their own; a file that is opened by itself has none."""
        return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})

    async def failed(request: Request, error: Exception) -> Response:
        log.exception("page %s failed", request.url.path, exc_info=error)
        return errors.page(request, 500)

    async def refused(request: Request, error: Exception) -> Response:
        answer = errors.page(request, error.status_code if isinstance(error, HTTPException) else 404)
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    base = base_url(web, hostname, port)
    own = {urlsplit(base).hostname or "", hostname.lower(), "localhost", "127.0.0.1", "::1", *map(str.lower, web.hosts)}
    site = Starlette(
        routes=[Route("/", index), Route("/healthz", alive), Route("/favicon.ico", no_icon), *routes],
        exception_handlers={Exception: failed, HTTPException: refused},
    )
    return Guard(site, frozenset(own), base.startswith("https://"), any_host)


def base_url(web: Web, hostname: str, port: int) -> str:
    """The address of the pages as people see it, without a slash at the end."""
    return (web.base_url or f"http://{hostname}:{port}").rstrip("/")
