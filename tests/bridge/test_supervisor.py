"""The supervisor alone, with roles made for the purpose, in a process of its own that is told by signals."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = """
import logging, os, signal, sys, time
from dataclasses import replace
from pathlib import Path
from bridge import supervisor
from bridge.config.load import load
from bridge.model.errors import ConfigError
from bridge.supervisor import RoleSpec, Supervisor

logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
supervisor.BEAT_SECONDS, supervisor.STEADY_SECONDS = 0.1, 3600
supervisor.HUNG_SECONDS = 0.6 if "hanging" in sys.argv else 60      # a busy machine starves who only waits
settings = load(Path("estafeta.toml")).settings
os.makedirs(settings.paths.run, exist_ok=True)

def living(post):
    told = []
    for number in (signal.SIGTERM, supervisor.DRAIN):
        signal.signal(number, lambda number, frame: told.append(number))
    Path(f"ready-{os.getpid()}").touch()
    while not told:
        post.beat()
        time.sleep(0.02)
    if told[0] == supervisor.DRAIN:
        while Path("session").exists() and signal.SIGTERM not in told:
            post.beat()
            time.sleep(0.02)

def hanging(post):
    if Path("hang").exists():
        time.sleep(3600)
    living(post)

def stubborn(post):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(f"ready-{os.getpid()}").touch()
    while True:
        post.beat()
        time.sleep(0.02)

def dying(post):
    os._exit(3)

def reload():
    if Path("broken").exists():
        raise ConfigError(["settings: broken on purpose"])
    return settings

KINDS = {
    "living": RoleSpec("living", living, lambda s: 2, overlap=True),
    "alone": RoleSpec("alone", living, lambda s: 1),
    "hanging": RoleSpec("hanging", hanging, lambda s: 1),
    "stubborn": RoleSpec("stubborn", stubborn, lambda s: 1),
    "dying": RoleSpec("dying", dying, lambda s: 1),
}
one = Supervisor(settings, [KINDS[name] for name in sys.argv[1:]], lambda s: [], reload)
one.bind()
sys.exit(one.run())
"""


class Run:
    def __init__(self, folder: Path, *roles: str) -> None:
        self.folder = folder
        (folder / "estafeta.toml").write_text(
            '[server]\nstop_seconds = 1\n[paths]\ndata = "data"\n[mail]\ndomains = ["example.org"]\n'
        )
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(PROGRAM), *roles], cwd=folder, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}, start_new_session=True,
            )  # fmt: skip

    def told(self) -> list[dict[str, object]]:
        try:
            found = json.loads((self.folder / "data" / "run" / "processes.json").read_text())
        except (OSError, ValueError):
            return []
        rows: list[dict[str, object]] = found["processes"]
        return rows

    def pids(self, role: str, draining: bool = False) -> list[int]:
        return [int(str(one["pid"])) for one in self.told() if (one["role"], one["draining"]) == (role, draining)]

    def ready(self) -> None:
        """Everybody who runs knows what the signals mean."""
        self.until(lambda: all((self.folder / f"ready-{one['pid']}").exists() for one in self.told()))

    def until(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not true():
            assert time.monotonic() < end, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs = []

    def make(*roles: str) -> Run:
        runs.append(Run(tmp_path, *roles))
        return runs[-1]

    yield make
    for one in runs:
        try:
            os.killpg(one.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        one.process.wait()


def test_a_process_that_hangs_is_killed_and_comes_back(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    run = start("hanging")
    run.until(lambda: "hanging 0" in run.log.read_text() and "hangs; killed" in run.log.read_text())
    (tmp_path / "hang").unlink()
    run.until(lambda: run.log.read_text().count("was killed by SIGKILL") >= 1)
    time.sleep(0.5)
    before = run.log.read_text().count("hangs; killed")
    time.sleep(1.5)
    assert run.log.read_text().count("hangs; killed") - before <= 1, "a living one is left alone"


def test_all_stopped_for_a_while_is_not_hanging(start: Callable[..., Run]) -> None:
    """A laptop that sleeps, a virtual machine that is moved."""
    run = start("living")
    run.until(lambda: len(run.pids("living")) == 2)
    everybody = [run.process.pid, *run.pids("living")]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.2)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    assert "hangs" not in run.log.read_text()
    assert sorted(run.pids("living")) == sorted(everybody[1:])


def test_who_dies_at_once_waits_longer_and_longer(start: Callable[..., Run]) -> None:
    run = start("dying", "living")
    run.until(lambda: run.log.read_text().count("ended with status 3") >= 3)
    waits = [float(line.split(" in ")[1].split()[0]) for line in run.log.read_text().splitlines() if " in " in line]
    assert waits[:3] == [0.4, 0.8, 1.6]
    assert len(run.pids("living")) == 2, "the others don't suffer"


def test_reload_drains_who_may_overlap_and_replaces_the_others(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "session").touch()
    run = start("living", "alone")
    run.until(lambda: len(run.told()) == 3)
    first, alone = run.pids("living"), run.pids("alone")
    run.ready()
    run.process.send_signal(signal.SIGHUP)
    run.until(lambda: len(run.pids("living")) == 2 and not set(run.pids("living")) & set(first))
    run.until(lambda: run.pids("alone") and run.pids("alone") != alone)
    assert sorted(run.pids("living", draining=True)) == sorted(first), "they have a session"
    (tmp_path / "session").unlink()
    run.until(lambda: not run.pids("living", draining=True))
    assert run.process.poll() is None


def test_not_more_than_some_generations_finish_their_sessions(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "session").touch()
    run = start("living")
    for _ in range(6):
        run.until(lambda: len(run.pids("living")) == 2)
        before = run.pids("living")
        run.ready()
        run.process.send_signal(signal.SIGHUP)
        run.until(lambda before=before: run.pids("living") and not set(run.pids("living")) & set(before))
    run.until(lambda: len(run.pids("living", draining=True)) == 2 * 4)


def test_a_broken_reload_changes_nothing(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start("living")
    run.until(lambda: len(run.pids("living")) == 2)
    before = run.pids("living")
    (tmp_path / "broken").touch()
    run.process.send_signal(signal.SIGHUP)
    run.until(lambda: "reload refused, everything stays as it is:\nsettings: broken on purpose" in run.log.read_text())
    assert run.pids("living") == before


def test_who_does_not_stop_is_killed(start: Callable[..., Run]) -> None:
    """sec-R11: `stop_seconds` and a little more, not for ever; a second TERM at once."""
    run = start("stubborn", "living")
    run.until(lambda: len(run.told()) == 3)
    run.ready()
    run.process.terminate()
    run.until(lambda: "stopping" in run.log.read_text())
    run.until(lambda: not run.pids("living"))
    assert run.pids("stubborn")
    run.process.terminate()
    assert run.process.wait(10) == 0
    assert "stopping at once" in run.log.read_text()


def test_children_do_not_outlive_their_supervisor(start: Callable[..., Run]) -> None:
    run = start("stubborn", "living")
    run.until(lambda: len(run.told()) == 3)
    children = [int(str(one["pid"])) for one in run.told()]
    run.ready()
    run.process.kill()
    run.process.wait()
    end = time.monotonic() + 10
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < end
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
