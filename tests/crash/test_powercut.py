"""Power cuts on loop images (P04, sec-Q02): short form 2 cuts and a mutant, long form 200 (`make crash`). Root only."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import mutant

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(os.getuid() != 0, reason="loop devices need root; .ci/run has it"),
]


def cut(folder: Path, cuts: int, **environ: str) -> subprocess.CompletedProcess[str]:
    words = [f"{key}={value}" for key, value in environ.items()]
    return subprocess.run(
        ["unshare", "-m", sys.executable, "-m", "tests.crash.powercut", str(folder), str(cuts), *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60 + 30 * cuts,
    )  # fmt: skip


def test_what_was_accepted_survives(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cuts = 200 if request.config.getoption("--long") else 2
    done = cut(tmp_path, cuts)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " lost 0 " in done.stdout


@pytest.mark.parametrize("name", ["no-spool-sync", "no-delivery-sync"])
def test_without_a_sync_mail_is_lost(name: str, tmp_path: Path) -> None:
    plan = "delivery.create=sleep100" if name == "no-spool-sync" else ""  # the cut finds mail in the spool
    done = cut(tmp_path / "mutant", 1, **mutant(name), ESTAFETA_FP=plan)
    print(done.stdout)
    assert done.returncode == 1, done.stdout + done.stderr
    assert " lost 0 " not in done.stdout


def test_the_spool_is_the_truth_not_the_rows(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A database that forgets costs no mail (D-1): its rows are made again from the spool."""
    long = request.config.getoption("--long")
    for name in ("database-off", "database-normal") if long else ("database-off",):
        done = cut(tmp_path / name, 20 if long else 1, **mutant(name))
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
