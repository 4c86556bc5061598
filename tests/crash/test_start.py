"""Starting: one instance only (P22, sec-Q10), again at once after kill -9, drafts of the last process swept (D-2)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.nursery import Sprig, nursery
from tests.lab import Lab

pytestmark = pytest.mark.service


def test_a_second_start_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with nursery() as home:
        lab = Sprig(tmp_path, nursery=home)
        lab.add_user("ana")
        other = Lab(tmp_path / "other", data=lab.data)
        other.config.write_text(other.config.read_text())
        try:
            lab.start()
            second = subprocess.run(
                [sys.executable, "-m", "bridge", "run", "--config", str(other.config), "--allow-root"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert second.returncode == 1
            assert "another Estafeta is running on this data folder" in second.stderr
            assert "Traceback" not in second.stderr
            with lab.smtp() as client:  # the first one has not noticed
                assert client.noop()[0] == 250
            for _ in range(3):
                lab.kill()
                lab.start()  # raises if it is refused
            assert lab.stop() == 0
        finally:
            lab.kill()


def test_old_drafts_are_swept_and_younger_than_the_start_are_not(tmp_path: Path) -> None:
    with nursery() as home:
        lab = Sprig(tmp_path, nursery=home)
        lab.add_user("ana")
        try:
            lab.start()
            lab.kill()
            old = lab.spool / "tmp" / "0SGAAAAAAAAAAAAA"
            old.write_bytes(b"half a message")
            os.utime(old, (time.time() - 5, time.time() - 5))
            lab.start()
            assert not old.exists()
            old.write_bytes(b"somebody writes this")
            with lab.smtp() as client:
                client.sendmail("a@client.example.org", ["ana@example.org"], "Subject: x\r\n\r\nhola\r\n")
            lab.wait_mails("ana", 1)
            assert old.exists()
        finally:
            lab.kill()


def test_a_port_in_use_is_said_and_changes_nothing(tmp_path: Path) -> None:
    with nursery() as home:
        first, second = Sprig(tmp_path / "a", nursery=home), Sprig(tmp_path / "b", nursery=home)
        second.ports["imap"] = first.ports["imap"]
        second.write_settings()
        try:
            first.start()
            second.start(wait=False)
            assert second.process is not None
            second.process.wait(20)
            assert f"port {first.ports['imap']}" in second.tail()
            assert "Traceback" not in second.tail()
        finally:
            first.kill()
            second.kill()
