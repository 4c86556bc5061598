"""A program, run once with a message on its standard input: arguments and environment as given, no shell (sec-D01).

Promises: the program leads a process group of its own, which is killed when its time is up or `stop` is set; input and
output are pumped side by side, so that neither side can block the other; of what it says only the beginning is kept. A
program that ends without reading everything has ended, and what it left running in the background holds nobody up.
Fails by: OSError where it can't be started; whatever the message's bytes raise, after the program was killed.
"""
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import IO

OUTPUT = 4096           # bytes of what a program says that are kept
_LOOK = 0.5             # seconds between two looks at `stop`


@dataclass(frozen=True, slots=True)
class Ended:
    """`status`: exit status, negative for a signal; `late`: it was killed because its time was up."""

    status: int
    output: bytes
    late: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a program runs as. `switch`: we have other rights and change to these."""

    uid: int
    gid: int
    name: str
    home: str
    switch: bool = False


def run(
    words: Sequence[str],
    environ: Mapping[str, str],
    message: Iterable[bytes],
    *,
    identity: Identity,
    seconds: float,
    stop: Event,
) -> Ended:
    """Blocks until the program has ended."""
    process = _start(words, environ, identity)
    assert process.stdin is not None
    assert process.stdout is not None
    watch = os.pidfd_open(process.pid)
    try:
        talk = _Talk(process.stdin, process.stdout, watch, iter(message))
        late = not talk.until(time.monotonic() + seconds, stop)
        if late:
            _kill(process)
        return Ended(process.wait(), bytes(talk.said), late)
    finally:
        os.close(watch)
        if process.poll() is None:
            _kill(process)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()


def _start(words: Sequence[str], environ: Mapping[str, str], identity: Identity) -> "subprocess.Popen[bytes]":
    switch = identity.switch
    return subprocess.Popen(
        list(words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        cwd="/",
        bufsize=0,
        umask=0o077,
        start_new_session=True,
        user=identity.uid if switch else None,
        group=identity.gid if switch else None,
        extra_groups=[] if switch else None,
    )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Talk:
    """Input and output of a running program."""

    def __init__(self, into: IO[bytes], out: IO[bytes], watch: int, message: Iterator[bytes]) -> None:
        self._into, self._out, self._message = into, out, message
        self._left = memoryview(b"")
        self.said = bytearray()
        self._ended = False
        self._selector = selectors.DefaultSelector()
        for pipe in (into, out):
            os.set_blocking(pipe.fileno(), False)
        self._selector.register(into, selectors.EVENT_WRITE, self._feed)
        self._selector.register(out, selectors.EVENT_READ, self._hear)
        self._selector.register(watch, selectors.EVENT_READ, self._end)

    def until(self, end: float, stop: Event) -> bool:
        """Pump until the program has ended (True), or its time is up or `stop` is set."""
        with self._selector as selector:
            while not self._ended:
                left = end - time.monotonic()
                if left <= 0 or stop.is_set():
                    return False
                for key, _ in selector.select(min(left, _LOOK)):
                    key.data()
        self._hear()        # what it said last
        return True

    def _feed(self) -> None:
        try:
            if not self._left:
                self._left = memoryview(next(self._message))
            self._left = self._left[os.write(self._into.fileno(), self._left) :]
        except BlockingIOError:
            return
        except (StopIteration, BrokenPipeError):        # everything said, or it doesn't want to hear more
            self._selector.unregister(self._into)
            self._into.close()

    def _hear(self) -> None:
        try:
            while data := os.read(self._out.fileno(), 1 << 16):
                self.said += data[: OUTPUT - len(self.said)]
                if self._ended and len(self.said) >= OUTPUT:
                    return
        except BlockingIOError:
            return
        if not self._ended:
            self._selector.unregister(self._out)

    def _end(self) -> None:
        self._ended = True
