"""sec-X01, sec-X02: a Python or a program that the server's user can't read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import reach
from bridge.model.errors import ConfigError
from bridge.rights import Rights, User

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
USER = User(42_801, 42_801)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    for parent in (tmp_path, *tmp_path.parents):
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    folder = tmp_path / "closed"
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "file").touch()
    folder.chmod(0o700)
    return folder / "inside"


def test_what_the_user_can_not_read_is_found(closed: Path) -> None:
    assert reach.first_closed(USER, ["/usr/bin", str(closed)]) == str(closed)
    assert reach.first_closed(USER, ["/usr/bin"]) == ""
    assert os.geteuid() == 0


def test_templates_out_of_reach_are_a_refusal(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach.templates, "__path__", [str(closed)])
    with pytest.raises(ConfigError, match="/opt/estafeta"):
        reach.ensure(Rights(USER, USER))
    assert reach.ensure(Rights()) == ""


def test_a_python_out_of_reach_is_loaded_whole(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bool] = []
    monkeypatch.setattr(reach, "everything", lambda: loaded.append(True))
    monkeypatch.setattr(reach, "_python", lambda: [str(closed)])
    assert str(closed) in reach.ensure(Rights(USER, USER))
    monkeypatch.setattr(reach, "_python", lambda: ["/usr/bin"])
    assert reach.ensure(Rights(USER, USER)) == ""
    assert loaded == [True]


WANTED = [
    "encodings.cp1252", "encodings.unicode_escape", "dns.rdtypes.ANY.MX", "dns.rdtypes.IN.AAAA", "_strptime",
    "uvicorn.protocols.http.h11_impl", "anyio._backends._asyncio", "jinja2.debug", "bridge.store.verify",
]  # fmt: skip


def test_everything_holds_what_comes_late() -> None:
    """Codecs of any letter, records of any zone, the web server's own parts."""
    code = f"import sys; from bridge import reach; reach.everything(); print({{*{WANTED!r}}} - {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
