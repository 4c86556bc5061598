"""For each crash test a folder of its own below /var/tmp: a real disk, and paths short enough for unix sockets.

At the end of a test no log may have a traceback or an unhandled error (P34), but those below a folder named `mutant`.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_UNHANDLED = re.compile(r"Traceback \(most recent|unhandled|never (?:retrieved|awaited)|Exception ignored|Fatal Python")
_KEPT = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call":  # type: ignore[attr-defined]
        item.stash[_KEPT] = report.failed  # type: ignore[attr-defined]
    return report  # type: ignore[return-value]


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Removed afterwards; of a failed test the logs are shown."""
    folder = Path(tempfile.mkdtemp(prefix="estafeta-crash-", dir="/var/tmp"))
    try:
        yield folder
        logs = [path for path in sorted(folder.rglob("log")) if path.is_file()]
        if request.node.stash.get(_KEPT, True):
            for path in logs:
                print(f"--- {path}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-60:]))
        else:
            assert not unhandled(logs), "P34"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unhandled(logs: list[Path]) -> list[str]:
    """What nobody handled, each with some lines after it."""
    found = []
    for path in logs:
        if "mutant" in path.parts:
            continue
        lines = path.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if _UNHANDLED.search(line):
                found.append("\n".join(lines[max(number - 1, 0) : number + 40]))
    return found
