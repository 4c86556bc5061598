"""`estafeta user`: where the settings file may stand among the words."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [["--config", "{}", "list"], ["list", "--config", "{}"]])
def test_the_settings_file_may_stand_first_or_last(tmp_path: Path, words: list[str]) -> None:
    """O01: as docs/install.md has it."""
    (tmp_path / "c.toml").write_text('[paths]\ndata = "data"\n[mail]\ndomains = ["example.org"]\n')
    call = [sys.executable, "-m", "bridge", "user", *(word.format(tmp_path / "c.toml") for word in words)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data" / "instance.json").exists()
