"""sec-X01: no process loads a module after it has left root: its Python may be one that only root can read."""

import importlib.util
import os
import re
import urllib.request
from pathlib import Path

import pytest

from bridge import reach
from bridge.rights import User
from tests.lab import DOMAIN, Lab, running
from tests.service.test_rights import exchange

USER = User(42_801, 42_801)
HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        os.getuid() != 0 or not reach.first_closed(USER, reach._python()),
        reason="this Python is one that everybody can read; modules may be loaded at any time",
    ),
]
POST = (
    f"From: ana@{DOMAIN}\r\nTo: test@{DOMAIN}\r\nSubject: =?iso-8859-1?q?l=EDsta?=\r\n"
    "Content-Type: text/plain; charset=windows-1252\r\n\r\nhola \xe1\r\n"
).encode("latin-1")


def late(text: str) -> set[str]:
    """What was loaded late and exists."""
    return {name for name in re.findall(r"late import: (\S+)", text) if _there(name)}


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def test_nothing_is_loaded_late(tmp_path: Path) -> None:
    """Mail by each door, pages, a post with an unusual charset, commands that go on as the server's user."""
    for parent in (tmp_path, *tmp_path.parents):
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    environ = {"PYTHONPATH": f"{HERE / 'late'}:{HERE.parents[1]}"}
    with running(tmp_path, "ana", "luis", server=f'user = "{USER.uid}:{USER.gid}"', **environ) as lab:
        said = _commands(lab, environ, ("newlist", "test", f"luis@{DOMAIN}", "correct horse"))
        exchange(lab)
        with lab.smtp() as client:
            client.sendmail(f"ana@{DOMAIN}", [f"test@{DOMAIN}"], POST)
        base = f"http://127.0.0.1:{lab.ports['http']}"
        for path in ("/mailman/listinfo/test", f"/mail/config-v1.1.xml?emailaddress=ana@{DOMAIN}"):
            assert urllib.request.urlopen(base + path, timeout=20).status == 200
        said += _commands(lab, environ, ("arch", "test"), ("verify",))
        log = lab.log.read_text()
        assert "Python's folder" in log, "the administrator is told"
        assert "Traceback" not in log + said
        assert not late(log)
        assert not late(said)


def _commands(lab: Lab, environ: dict[str, str], *commands: tuple[str, ...]) -> str:
    return "".join(lab.command(*words, text="\n", check=False, **environ) for words in commands)
