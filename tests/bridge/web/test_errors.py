"""Pages for what isn't there and for our own faults, in the reader's language."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.config.server import Web
from bridge.web import pages


async def broken(request: Request) -> Response:
    raise RuntimeError("zq secret")


async def fine(request: Request) -> Response:
    return Response("fine")


def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    path, _, query = path.partition("?")
    site = pages.application(
        [Route("/broken", broken), Route("/fine", fine)], web=Web(), hostname="mail.example.org", port=80, home="/fine"
    )
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
             "headers": [(b"host", b"mail.example.org"), *raw], "client": ("192.0.2.1", 1), "server": ("x", 80),
             "scheme": "http", "http_version": "1.1", "root_path": ""}  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        asyncio.run(site(scope, receive, send))
    except RuntimeError:
        assert path == "/broken"  # the server's own log gets it, too
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, b"".join(one.get("body", b"") for one in sent[1:]).decode()


@pytest.mark.parametrize(("language", "word"), [("en", "nothing here"), ("es", "no hay nada")])
def test_what_is_not_there(language: str, word: str) -> None:
    """In the language asked for, chosen before, or the browser's; nothing of the request is repeated (sec-L10)."""
    for path, headers in (
        (f"/zq%3Cb%3E?language={language}", {}), ("/a/b/zq", {"cookie": f"estafeta-language={language}"}),
        ("/zq", {"accept_language": f"{language}-XX,{language}"}),
    ):
        status, head, text = ask(path, **headers)
        assert status == 404
        assert word in text
        assert f'<html lang="{language}">' in text
        assert "zq" not in text
        assert "default-src 'none'" in head["content-security-policy"]


def test_the_wrong_method_is_told() -> None:
    status, head, text = ask("/fine", "DELETE", accept_language="es")
    assert status == 405
    assert "GET" in head["allow"]
    assert "Eso no se puede hacer aquí" in text


def test_our_own_fault_tells_nothing() -> None:
    status, _, text = ask("/broken?language=es")
    assert status == 500
    assert "Algo ha fallado aquí" in text
    assert "secret" not in text
