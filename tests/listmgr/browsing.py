"""A browser for tests: enough ASGI to ask for a page, and a look at what came."""

import asyncio
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlencode

from starlette.applications import Starlette

from listmgr.web import Keys, routes


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.text)
        assert found
        return found[1]


class Browser:
    """Enough ASGI to ask for a page."""

    def __init__(self, house, keys: Keys | None = None) -> None:
        self.house = house
        secret = b"0123456789abcdef0123456789abcdef"
        self.routes = routes(house.office, house.root / "archives", secret=secret, keys=keys)
        self.site = Starlette(routes=self.routes)

    def get(
        self, path: str, method: str = "GET", body: bytes = b"", client: str = "192.0.2.1", **headers: str
    ) -> Answer:
        path, _, query = path.partition("?")
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"lists.example.org"), *raw],
            "client": (client, 1),
            "server": ("x", 80),
            "scheme": "https",
            "http_version": "1.1",
            "root_path": "",
        }
        sent: list[dict] = []
        done = iter([{"type": "http.request", "body": body}])

        async def receive() -> dict:
            found = next(done, None)
            if found is None:
                await asyncio.sleep(30)
            return found or {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)

        asyncio.run(self.site(scope, receive, send))
        head = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))

    def post(self, path: str, fields: dict[str, str], **options: str) -> Answer:
        return self.get(path, "POST", urlencode(fields).encode(), **options)

    def subscribe(self, address: str, **options: str) -> Answer:
        token = self.get("/mailman/listinfo/test").token()
        self.house.now[0] += 6
        return self.post("/mailman/subscribe/test", {"token": token, "email": address, "fullname": "Eve"}, **options)


class Accessible(HTMLParser):
    """Every field has a label, the page a language and one main heading; no script, no style in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self.fields: set[str] = set()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        assert not any(name.startswith("on") or name == "style" for name in found)
        if tag == "label":
            self.labels.add(found["for"] or "")
        if tag in ("input", "textarea", "select") and found.get("type") != "hidden":
            self.fields.add(found["id"] or "")
        if tag == "html":
            assert found["lang"] in ("en", "es")
