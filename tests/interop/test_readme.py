"""What the README shows is run as it stands, on the ports of a fresh start; `make run` says what works."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import DOMAIN, Lab, until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "prueba-de-estafeta"
PORTS = {"2525": "smtp", "2587": "submission", "2465": "submissions", "2143": "imap", "2993": "imaps", "2110": "pop3",
         "2995": "pop3s", "2080": "http"}  # fmt: skip
BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```", re.S | re.M)
PROGRAMS = ("swaks", "curl", "mutt", "mbsync", "fetchmail")


def blocks(name: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer((ROOT / name).read_text())]


def test_both_languages_show_the_same_commands() -> None:
    assert blocks("README.md") == blocks("README.es.md")
    assert len(blocks("README.md")) >= 10


def translated(text: str, lab: Lab) -> str:
    return re.sub(r"\b(2\d{3})\b", lambda found: str(lab.ports.get(PORTS.get(found[1], ""), found[1])), text)


@pytest.mark.service
def test_the_commands_of_the_readme_work(tmp_path: Path, need: object) -> None:
    for one in PROGRAMS:
        need(one)  # type: ignore[operator]
    lab = Lab(tmp_path)
    lab.add_user("ana", password=PASSWORD)
    (tmp_path / "var").symlink_to(str(lab.data))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environ = {
        "PATH": path, "HOME": str(tmp_path), "ESTAFETA_CONFIG": str(lab.config), "LANG": "C.UTF-8", "USER": "luis",
    }  # fmt: skip
    said = ""
    try:
        lab.start()
        for kind, text in blocks("README.md"):
            text = translated(text, lab)
            if kind == "toml":
                lab.config.write_text(f"{lab.config.read_text()}\n{text}")
                continue
            done = subprocess.run(
                ["bash", "-ec", text], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}\n{lab.tail()}"
            said += done.stdout + done.stderr
            time.sleep(0.5)
        for words in ("Subject: hello", "* SEARCH 1", f"luis@{DOMAIN}", "Subject: for Luis", "old-account: ",
                      " collected", "no mistakes found", "no problems found", "runs as process"):  # fmt: skip
            assert words in said, words
        until(lambda: any(b"Subject: From Luis" in p.read_bytes() for p in lab.mails("ana")))
        until(lambda: any(b"Subject: [Students] Hi all" in p.read_bytes() for p in lab.mails("ana")))
        assert list((tmp_path / "copy" / "INBOX").rglob("*,U=1*"))
        assert "Traceback" not in lab.log.read_text()
        assert lab.stop() == 0
    finally:
        lab.kill()


@pytest.mark.service
def test_a_trial_prints_commands_that_work(tmp_path: Path, need: object) -> None:
    """As `make run` starts it: nothing is prepared, a first user is made."""
    for one in ("swaks", "curl"):
        need(one)  # type: ignore[operator]
    lab = Lab(tmp_path)
    with lab.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "run", "--config", str(lab.config), "--trial"],
            stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "LANG": "C.UTF-8"},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, lab.tail()
            printed += line
        commands = [line.strip() for line in printed.partition("Try, in")[2].splitlines() if line.startswith("  ")]
        assert len(commands) == 4
        environ = {
            **os.environ, "ESTAFETA_CONFIG": str(lab.config),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        for name in ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http"):
            assert str(lab.ports[name]) in printed
        for command in commands:
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=environ)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            if command.startswith("swaks"):
                lab.process = process
                lab.wait_mails("ana", 1)
            elif "imap" in command:
                assert "Subject: hello" in done.stdout
            elif command.startswith("estafeta"):
                assert "delivered" in done.stdout
            else:
                assert done.stdout.startswith("1 ")
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
