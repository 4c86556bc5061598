"""A full disk: every reply is 250 or temporary, nothing accepted is lost, the service recovers by itself (P06, P07,
sec-Q03). Bytes with the reserve that the door keeps, bytes to the very last, inodes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import mutant

ROOT = Path(__file__).resolve().parents[2]
SHARE = ["unshare", "-m" if os.getuid() == 0 else "-rm"]
_possible = subprocess.run([*SHARE, "true"], capture_output=True, check=False).returncode == 0
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not _possible, reason="no mount namespaces here: run as root or allow user namespaces"),
]
RESERVE, NONE = "free_space=0", "free_space=1"


def fill(folder: Path, what: str, free: str, **environ: str) -> subprocess.CompletedProcess[str]:
    words = [f"{key}={value}" for key, value in environ.items()]
    done = subprocess.run(
        [*SHARE, sys.executable, "-m", "tests.crash.full", str(folder), what, free, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    print(done.stdout + done.stderr)
    return done


@pytest.mark.parametrize(("what", "free"), [("bytes", RESERVE), ("bytes", NONE), ("inodes", NONE)])
def test_everything_is_kept_or_put_off(what: str, free: str, tmp_path: Path) -> None:
    assert fill(tmp_path, what, free).returncode == 0


@pytest.mark.parametrize(
    ("name", "said"), [("full-is-final", "permanent replies"), ("full-is-nothing", "accepted and lost")]
)
def test_the_mutants_are_caught(name: str, said: str, tmp_path: Path) -> None:
    done = fill(tmp_path / "mutant", "bytes", NONE, **mutant(name))
    assert done.returncode == 1
    assert said in done.stdout
