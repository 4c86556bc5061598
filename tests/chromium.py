"""Debian's Chromium for tests: pages as people see them, driven through its debugging pipe with the standard library.

Promises: one browser, one tab; every wait has an end; what the console, the log or a failed load says is kept in
`complaints`. The browser leaves loopback for nothing.
"""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from select import select
from typing import Any

PROGRAM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), "")
_SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--metrics-recording-only", "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--remote-debugging-pipe", "--lang=en",
)  # fmt: skip


class Chromium:
    """One tab. `complaints`: what the console said since they were last taken."""

    def __init__(self, folder: Path) -> None:
        to_read, to_write = os.pipe(), os.pipe()
        words = [PROGRAM, *_SWITCHES, f"--user-data-dir={folder}", "about:blank"]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{to_read[0]} 4>&{to_write[1]}', "bash", *words],
                pass_fds=(to_read[0], to_write[1]), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        os.close(to_read[0])
        os.close(to_write[1])
        self._out, self._in = to_read[1], to_write[0]
        self._buffer, self._numbers, self._session = b"", itertools.count(1), ""
        self._loaded = False
        self._status = 0
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """One command and its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 30
        while True:
            found = self._next(end)
            if found.get("id") == number:
                assert "error" not in found, (method, params, found["error"])
                return found["result"]

    def _next(self, end: float) -> Any:
        """The next message; events are noted."""
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium doesn't answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(text)
        self._note(found.get("method", ""), found.get("params", {}))
        return found

    def _note(self, event: str, told: Any) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.responseReceived" and told["type"] == "Document":
            self._status = told["response"]["status"]
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(f"console: {told['args']}")
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {told['exceptionDetails'].get('text')}")
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            entry = told["entry"]
            expected = self._status >= 400 and f"status of {self._status}" in entry["text"]
            if not (entry["source"] == "network" and expected):
                self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")

    def _wait(self) -> int:
        end = time.monotonic() + 30
        while not self._loaded:
            self._next(end)
        return self._status

    def go(self, url: str) -> int:
        """Open a page; its status."""
        self._loaded, self._status = False, 0
        self.call("Page.navigate", url=url)
        return self._wait()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression: the tests may, the pages need none."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, (script, found)
        return found["result"].get("value")

    def fill(self, **fields: str | bool) -> None:
        """Type into the fields of that id or name; True and False tick and untick."""
        for name, value in fields.items():
            wanted = json.dumps(name)
            field = f"(document.getElementById({wanted}) || document.getElementsByName({wanted})[0])"
            assert self.run(f"!!{field}"), f"no field {name}"
            self.run(f"{field}.{'checked' if isinstance(value, bool) else 'value'} = {json.dumps(value)}")

    def press(self, selector: str) -> int:
        """Press a button or follow a link, and wait for the page; its status."""
        self._loaded, self._status = False, 0
        assert self.run(f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
                        " if (one) one.click(); return !!one; })()"), f"nothing is {selector}"
        return self._wait()

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def scheme(self, dark: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._session = ""
            self.call("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        os.close(self._out)
        os.close(self._in)


@contextlib.contextmanager
def browser() -> Iterator[Chromium]:
    """A browser with a profile of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="chromium-", ignore_cleanup_errors=True) as folder:
        one = Chromium(Path(folder))
        try:
            yield one
        finally:
            one.close()
