"""I46, W20: first contact of mail programs, asked as they ask, through the guard of the pages."""

import asyncio
import plistlib
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import pytest

from bridge.config.clients import Clients
from bridge.config.mail import Mail
from bridge.config.schema import Settings
from bridge.config.server import Listen, Server, Web
from bridge.site import offer
from bridge.web import clients, pages
from tests.bridge.wire.test_autodiscover import BAD, REQUEST

SETTINGS = Settings(
    server=Server(hostname="mail.example.org"),
    mail=Mail(
        domains=("example.org", "EXAMPLE.net"), virtual_domains=("ñandú.example",), relay_domains=("other.example",)
    ),
    listen=Listen(imap=143, submission=587),
    clients=Clients(hostname="imap.example.org"),
    web=Web(base_url="https://lists.example.org"),
)  # fmt: skip
MOZILLA, OLD = clients.MOZILLA
POX = "/autodiscover/autodiscover.xml"


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


SITE = pages.application(
    clients.routes(offer(SETTINGS)), web=SETTINGS.web, hostname="mail.example.org", port=8080, home="/x",
    any_host=clients.PATHS,
)  # fmt: skip


def ask(path: str, method: str = "GET", body: bytes = b"", host: str = "lists.example.org") -> Answer:
    path, _, query = path.partition("?")
    found = Answer()
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(b"host", host.encode("latin-1")), (b"content-length", str(len(body)).encode())],
        "client": ("192.0.2.1", 5), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
        "root_path": "",
    }  # fmt: skip
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]

    async def receive() -> dict[str, object]:
        if not pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            found.body += message.get("body", b"")

    asyncio.run(SITE(scope, receive, send))
    return found


def servers(answer: Answer) -> set[tuple[str | None, ...]]:
    provider = ET.fromstring(answer.body).find("emailProvider")
    assert provider is not None
    return {
        (one.get("type"), one.findtext("hostname"), one.findtext("port"), one.findtext("socketType"))
        for one in provider
        if one.tag.endswith("Server")
    }


def test_thunderbird_and_evolution() -> None:
    """The settings, from the settings; the same for whoever is and isn't there."""
    found = ask(f"{MOZILLA}?emailaddress=ana%40example.org")
    assert found.status == 200
    assert found.headers["content-type"] == "application/xml; charset=utf-8"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert servers(found) == {
        ("imap", "imap.example.org", "993", "SSL"), ("imap", "imap.example.org", "143", "STARTTLS"),
        ("smtp", "imap.example.org", "465", "SSL"), ("smtp", "imap.example.org", "587", "STARTTLS"),
    }  # fmt: skip
    for other in ("nobody%40example.org", "%25EMAILADDRESS%25%40example.org", "root%40EXAMPLE.org"):
        assert ask(f"{MOZILLA}?emailaddress={other}").body == found.body
    assert ask(f"{OLD}?emailaddress=ana%40example.org").body == found.body


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("autoconfig.example.org", "example.org"), ("AUTOCONFIG.example.org:443", "example.org"),
        ("example.net", "example.net"), ("lists.example.org", "example.org"),
        ("autoconfig.xn--and-6ma2c.example", "xn--and-6ma2c.example"),
        ("autoconfig.other.example", ""), ("autoconfig.stranger.example", ""),
    ],
)  # fmt: skip
def test_without_an_address_the_name_that_was_asked_tells(host: str, domain: str) -> None:
    found = ask(OLD, host=host)
    assert found.status == (200 if domain else 404)
    if domain:
        assert ET.fromstring(found.body).findtext("emailProvider/domain") == domain


def test_the_address_wins_over_the_name() -> None:
    found = ask(f"{MOZILLA}?emailaddress=x%40%C3%B1and%C3%BA.example", host="autoconfig.example.org")
    assert ET.fromstring(found.body).findtext("emailProvider/domain") == "xn--and-6ma2c.example"


@pytest.mark.parametrize(
    "address", ["a%40stranger.example", "a%40other.example", "a", "%40", "a%40exa%0Ample.org", "a%40%3Cx%3E", "%00%40x"]
)
def test_strangers_get_nothing(address: str) -> None:
    """Domains that are only relayed aren't ours; nonsense isn't, either."""
    for path in (MOZILLA, OLD, clients.APPLE):
        assert ask(f"{path}?emailaddress={address}").status == 404


@pytest.mark.parametrize("path", clients.MICROSOFT)
def test_outlook(path: str) -> None:
    found = ask(path, "POST", REQUEST.format("ana@example.org").encode(), "autodiscover.example.org")
    assert found.status == 200
    text = found.body.decode()
    assert "<Server>imap.example.org</Server>" in text
    assert "<LoginName>ana@example.org</LoginName>" in text
    assert "<Port>993</Port>" in text
    unknown = ask(path, "POST", REQUEST.format("zzz@example.org").encode())
    assert unknown.body.decode().replace("zzz@", "ana@") == text


def test_outlook_is_told_what_is_wrong() -> None:
    assert b"<ErrorCode>600<" in ask(POX).body
    assert ask(POX, "POST", REQUEST.format("ana@stranger.example").encode()).status == 404
    sync = REQUEST.format("ana@example.org").replace("outlook/responseschema/2006a", "mobilesync/responseschema/2006")
    assert b"<ErrorCode>601<" in ask(POX, "POST", sync.encode()).body
    for name, body in BAD.items():
        found = ask(POX, "POST", body)
        assert (found.status, b"<ErrorCode>600<" in found.body) == (200, True), name
    assert b"<ErrorCode>600<" in ask(POX, "POST", REQUEST.format("a" * 500 + "@example.org").encode()).body


def test_apple() -> None:
    found = ask(f"{clients.APPLE}?emailaddress=ana%40example.org")
    assert found.headers["content-type"] == "application/x-apple-aspen-config"
    assert found.headers["content-disposition"] == 'attachment; filename="example.org.mobileconfig"'
    assert plistlib.loads(found.body)["PayloadContent"][0]["EmailAddress"] == "ana@example.org"


def test_other_pages_still_ask_for_our_name() -> None:
    """sec-W08: only these addresses answer under every name; a name that is none harms nobody."""
    assert ask("/healthz", host="autoconfig.example.org").status == 400
    assert ask("/healthz", host="[").status == 400
    assert ask(OLD, host="[").status == 200
    assert ask("/healthz").status == 200
    assert ask(POX, "PUT").status == 405
