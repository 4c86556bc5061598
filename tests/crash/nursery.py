"""A process that has everything imported and forks appliances: a start takes a third of a second instead of 1.3.

`Nursery` is the test's end. `Sprig` is a `Lab` whose process is forked there; the code that runs in it is `estafeta
run`'s own, and so is all that it forks.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.crash.people import make_users
from tests.lab import PASSWORD, Lab

ROOT = Path(__file__).resolve().parents[2]


class Grandchild:
    """A process that somebody else waits for; looks like a Popen as far as `Lab` goes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float = 30.0) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("appliance", timeout)
            time.sleep(0.002)
        return 0

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Nursery:
    """`environ` is that of all its children, for mutants."""

    def __init__(self, environ: Mapping[str, str] = {}) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            env={**os.environ, **environ},
        )  # fmt: skip

    def start(self, config: Path, log: Path, *, single: bool, plan: str) -> Grandchild:
        assert self._process.stdin
        assert self._process.stdout
        order = {"config": str(config), "log": str(log), "single": single, "plan": plan}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return Grandchild(int(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@dataclass
class Sprig(Lab):
    """A `Lab` from a nursery; `plan` are its failpoints."""

    nursery: Nursery | None = None
    plan: str = ""

    def start(self, timeout: float = 20.0, wait: bool = True) -> None:
        assert self.nursery is not None
        self.process = self.nursery.start(self.config, self.log, single=self.single, plan=self.plan)  # type: ignore[assignment]
        if wait:
            self.wait_ready(timeout)


    def add_user(self, *names: str, password: str = PASSWORD) -> None:
        make_users(self, *names, password=password)

    def acted(self) -> list[str]:
        """Which failpoints acted so far, as `name=action`."""
        return re.findall(r"^failpoint (\S+)$", self.log.read_text(errors="replace"), re.M) if self.log.exists() else []

    def wait_acted(self, what: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while what not in self.acted():
            assert time.monotonic() < end, f"{what} did not act\n{self.tail()}"
            time.sleep(0.01)


@contextlib.contextmanager
def nursery(environ: Mapping[str, str] = {}) -> Iterator[Nursery]:
    made = Nursery(environ)
    try:
        yield made
    finally:
        made.close()


def main() -> None:
    """Fork one appliance for each line of standard input, and say its pid."""
    from bridge import cli, roles, start  # noqa: F401  what `run` imports, once

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel waits for the children
    made = []
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(order)
        made.append(pid)
        print(pid, flush=True)
    for pid in made:  # the test has ended, however it ended
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)


def _run(order: dict[str, str]) -> None:
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        from bridge.cli import service
        from bridge.store import failpoints

        failpoints.arm(order["plan"])
        single = ["--single"] if order["single"] else []
        service.run(["--config", order["config"], "--allow-root", *single])
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
