"""What cron calls costs little: no library that only the server needs is loaded (S75, S77). What is counted is what is
loaded, not the time that it takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "sqlalchemy", "starlette", "uvicorn", "jinja2", "asyncio", "uvloop", "cryptography", "imapclient", "apscheduler",
    "rich", "ctypes", "bridge.config.schema", "bridge.app", "listmgr", "email", "http.client",
}  # fmt: skip
CALL = """
import sys
from bridge.cli import main
try:
    main(["estafeta", *sys.argv[1:]])
except SystemExit as end:
    print(end.code, file=sys.stderr)
print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "c.toml").write_text('[paths]\ndata = "data"\n')
    (tmp_path / "data" / "drop").mkdir(parents=True)
    (tmp_path / "data" / "spool" / "q").mkdir(parents=True)
    return tmp_path


CALLS = [("sendmail", "-t"), ("sendmail", "ana@example.org"), ("mailq",), ("sendmail", "-bp")]


@pytest.mark.parametrize("words", CALLS)
def test_it_loads_little(site: Path, words: tuple[str, ...]) -> None:
    """Also without a mover, when the rows are read by the command itself."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, *words], input="To: ana@example.org\n\nhola\n", capture_output=True, text=True,
        env={**os.environ, "ESTAFETA_CONFIG": str(site / "c.toml"), "LC_ALL": "C.UTF-8"}, timeout=60, check=True,
    )  # fmt: skip
    status, _, loaded = done.stderr.strip().rpartition("\n")
    assert status in ("", "0"), done.stderr
    assert not HEAVY & set(loaded.split())
    assert done.stdout == ("" if words[-1] in ("-t", "ana@example.org") else "Mail queue is empty\n")
