"""The systemd unit is tight: 2.0 or better by systemd's own measure (P24), and starts what exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
UNIT, HELPER = PACKAGING / "estafeta.service", PACKAGING / "estafeta-helper.service"


def exposure(unit: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)], capture_output=True, text=True
    )
    found = re.search(r"exposure level for [\w-]+\.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd measures; .ci/run installs it")
def test_exposure_is_low() -> None:
    assert exposure(UNIT) <= 2.0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd measures; .ci/run installs it")
def test_the_helper_keeps_five_rights_of_roots() -> None:
    """It becomes users, so it can't be as tight as the service, but most of what root may do is gone."""
    assert exposure(HELPER) <= 4.5
    rights = re.findall(r"^CapabilityBoundingSet=(.*)$", HELPER.read_text(), re.M)
    assert rights == ["CAP_SETUID CAP_SETGID CAP_KILL CAP_CHOWN CAP_AUDIT_WRITE"]


def test_it_starts_commands_that_the_program_knows() -> None:
    from bridge.cli import COMMANDS

    commands = re.findall(r"^Exec(?:Start|StartPre)=/usr/bin/estafeta (\w+)", UNIT.read_text(), re.M)
    assert commands == ["check", "run"]
    commands += re.findall(r"^ExecStart=/usr/bin/estafeta (\w+)", HELPER.read_text(), re.M)
    assert set(commands) <= COMMANDS.keys()
    assert "helper" in commands
