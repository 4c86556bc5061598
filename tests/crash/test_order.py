"""fsync-order: under strace, no 250 after DATA leaves before the message's file and its folder were synced (P03)."""

import re
import shutil
import smtplib
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab import DOMAIN, Lab, mutant

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not shutil.which("strace"), reason="strace watches the calls; .ci/run installs it"),
]

_CALL = re.compile(r"^(?:\[pid +)?(\d+)?\]? *(?:\d+\.\d+ )?(\w+)\((.*)$")
_QUEUED = re.compile(r"250 2\.0\.0 OK queued as (\w{16})")


@dataclass
class Trace:
    """What happened to each spool file, in order of the calls' ends."""

    synced: set[str] = field(default_factory=set)
    named: dict[str, str] = field(default_factory=dict)
    folder_synced: set[str] = field(default_factory=set)
    promised: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def read(path: Path) -> Trace:
    """Follow an strace -f -y -qq log: -y shows the path behind each descriptor."""
    found = Trace()
    unfinished: dict[tuple[str, str], str] = {}
    for line in path.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            unfinished[pid, call.split("(")[0]] = call.removesuffix("<unfinished ...>")
            if not call.startswith(("write", "send", "writev")):
                continue  # a write counts from its beginning: that is when the client may see it
        resumed = re.match(r"<\.\.\. (\w+) resumed>(.*)", call)
        if resumed:
            begun = unfinished.pop((pid, resumed[1]), None)
            if begun is None or begun.startswith(("write", "send", "writev")):
                continue
            call = begun + resumed[2]
        _step(found, call)
    return found


def _step(found: Trace, call: str) -> None:
    if call.startswith("fdatasync(") and "/spool/tmp/" in call:
        found.synced.add(Path(re.search(r"<([^>]*)>", call)[1]).name)  # type: ignore[index]
    elif call.startswith(("rename", "renameat")) and "= 0" in call:
        names = re.findall(r'"([^"]+)"', call)
        folder = re.findall(r"<([^>]*)>", call)
        if len(names) == 2 and folder and "/spool/q/" in folder[-1] + "/":
            found.named[Path(names[1]).name] = folder[-1] + "/" + str(Path(names[1]).parent)
            if Path(names[0]).name not in found.synced:
                found.broken.append(f"{names[0]} got its name before its bytes were synced")
    elif call.startswith("fsync(") and "/spool/q" in call:
        found.folder_synced |= set(found.named)
    else:
        for ident in _QUEUED.findall(call):
            found.promised.append(ident)
            if ident not in found.named or ident not in found.folder_synced:
                found.broken.append(f"250 for {ident} before its folder was synced")


def run(folder: Path, environ: dict[str, str]) -> Trace:
    """Start under strace, send 30 messages one after the other, stop, read the log."""
    lab = Lab(folder, environ=environ, more="[smtp]\nconnections = 300\n")
    lab.add_user("ana")
    lab.start()
    log = folder / "strace"
    try:
        pids = [word for pid in lab.pids("smtp") for word in ("-p", str(pid))]
        watched = "trace=write,writev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2"
        tracer = subprocess.Popen(
            ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", watched, "-o", str(log), *pids], stderr=subprocess.DEVNULL
        )
        time.sleep(1.0)
        for number in range(30):
            with smtplib.SMTP("127.0.0.1", lab.ports["smtp"], local_hostname="x", timeout=30) as client:
                client.sendmail("a@client.example.org", [f"ana@{DOMAIN}"], f"Subject: {number}\r\n\r\nhola\r\n")
        time.sleep(0.3)
        tracer.terminate()
        tracer.wait(10)
    finally:
        lab.kill()
    return read(log)


def test_every_250_comes_after_its_syncs(tmp_path: Path) -> None:
    found = run(tmp_path, {})
    assert len(found.promised) == 30
    assert not found.broken


@pytest.mark.parametrize("name", ["no-spool-sync", "yes-before-the-disk"])
def test_the_mutants_are_caught(name: str, tmp_path: Path) -> None:
    found = run(tmp_path, mutant(name))
    assert found.broken
