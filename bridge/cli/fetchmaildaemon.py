"""`fetchmail --daemon N`: one round after the other in the background, until told to stop (F02, F54).

Promises: one daemon of a user at a time, held by a lock on the pid file that ends with the process, so that a stale
number is never signalled; each round is a process of its own, which reads the run control file again: a broken file or
a bug costs one round and is said in the log; SIGUSR1 polls at once, SIGTERM ends the round that runs and then us.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bridge.store.flock import FileLock

_OURS = {signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_PATIENCE = 20.0
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class PidFile:
    """Who runs: `PID INTERVAL`, as fetchmail writes it, in a file that the daemon has locked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path)

    def running(self) -> int:
        """The pid of the daemon, 0 if there is none."""
        if not self.path.exists():
            return 0
        probe = FileLock(self.path)
        try:
            if probe.try_acquire():
                return 0
            first = self.path.read_text().split(" ")[0].strip()
            return int(first) if first.isdigit() else 0
        finally:
            probe.close()

    def take(self) -> bool:
        """It is ours now, and our children's; False if another daemon has it."""
        return self._lock.try_acquire()

    def write(self, interval: int) -> None:
        self.path.write_text(f"{os.getpid()} {interval}\n")

    def clear(self) -> None:
        os.truncate(self.path, 0)


def ended(pid: int, path: Path) -> bool:
    """End the daemon and wait for it; False if it takes too long."""
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _PATIENCE
    while PidFile(path).running() == pid and time.monotonic() < end:
        time.sleep(0.05)
    return PidFile(path).running() != pid


def detach(log: Path | None) -> None:
    """Go on in the background, output to `log` or nowhere. The process that was called ends with 0."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600) if log else null
    for number, target in ((0, null), (1, out), (2, out)):
        os.dup2(target, number)


def rounds(interval: int, poll: Callable[[int], int], pidfile: PidFile) -> int:
    """`poll(number)` in a process of its own every `interval` seconds; returns when told to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    pidfile.write(interval)
    number = 0
    try:
        while True:
            told = _watch(_started(poll, number))
            number += 1
            if told not in _ENDS and told != signal.SIGUSR1:
                told = _waited(interval)
            if told in _ENDS:
                return 0
    finally:
        pidfile.clear()


def _started(poll: Callable[[int], int], number: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 23
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        status = poll(number)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _watch(child: int) -> int:
    """Until the round has ended; says what was asked for meanwhile."""
    asked = 0
    while True:
        said = signal.sigwaitinfo(_OURS).si_signo
        if said == signal.SIGCHLD:
            if os.waitpid(child, os.WNOHANG)[0]:
                return asked
        elif said in _ENDS:
            asked = said
            os.kill(child, signal.SIGTERM)
        elif asked not in _ENDS:
            asked = said


def _waited(seconds: int) -> int:
    """The signal that ended the wait, 0 if none did."""
    found = signal.sigtimedwait(_OURS - {signal.SIGCHLD}, seconds)
    return found.si_signo if found else 0
