"""What every ring of tests shares: switches of the command line, hypothesis without a clock, seconds per ring."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bridge.store import failpoints

settings.register_profile("estafeta", deadline=None)    # the machine may be busy; nothing here is timed
settings.load_profile("estafeta")

_seconds: "defaultdict[str, float]" = defaultdict(float)
_counts: "defaultdict[str, int]" = defaultdict(int)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No failpoint outlives the test that armed it."""
    yield
    failpoints.arm("")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of crash loops and interop runs")
    parser.addoption("--rings", action="store_true", help="say at the end how long each ring of tests took")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`slow` tests run only when a marker expression or --long asks for them."""
    if config.getoption("--long") or config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    parts = Path(report.nodeid.partition("::")[0]).parts
    ring = "/".join(parts[1:3] if parts[1:2] == ("bridge",) else parts[1:2] if len(parts) > 2 else ("house",))
    _seconds[ring] += report.duration
    _counts[ring] += report.when == "call"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--rings"):
        return
    terminalreporter.write_line(f"\n{'ring':24} {'tests':>6} {'seconds':>8}")
    for ring, seconds in sorted(_seconds.items(), key=lambda one: -one[1]):
        terminalreporter.write_line(f"{ring:24} {_counts[ring]:6} {seconds:8.1f}")
