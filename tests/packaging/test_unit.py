"""The systemd unit is tight: 2.0 or better by systemd's own measure (P24), and starts what exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "packaging" / "estafeta.service"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd measures; .ci/run installs it")
def test_exposure_is_low() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)], capture_output=True, text=True
    )
    found = re.search(r"exposure level for estafeta\.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= 2.0


def test_it_starts_commands_that_the_program_knows() -> None:
    from bridge.cli import COMMANDS

    commands = re.findall(r"^Exec(?:Start|StartPre)=/usr/bin/estafeta (\w+)", UNIT.read_text(), re.M)
    assert commands == ["check", "run"]
    assert set(commands) <= COMMANDS.keys()
