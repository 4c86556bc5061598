"""Running a program: pumping both ways, time, groups, what is kept of its words."""
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from bridge.deliver.command import OUTPUT, Identity, run

ME = Identity(os.geteuid(), os.getegid(), "me", "/")


def python(code, message=(), seconds=20.0, stop=None, environ=None):
    return run(
        [sys.executable, "-c", code], environ or {"PATH": "/usr/bin:/bin"}, message,
        identity=ME, seconds=seconds, stop=stop or threading.Event(),
    )


def test_message_goes_in_and_words_come_out():
    """S56: standard input, output and errors together, exit status."""
    ended = python("import sys; d=sys.stdin.buffer.read(); print(len(d), d[:5]); print('oh', file=sys.stderr);"
                   "sys.exit(67)", [b"From ", b"x" * 200_000, b"", b"end"])
    assert (ended.status, ended.late) == (67, False)
    assert b"200008 b'From '" in ended.output
    assert b"oh" in ended.output


def test_neither_side_blocks_the_other():
    """A program that talks all the time it is talked to; only the beginning of its words is kept."""
    ended = python("import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line * 3)",
                   [b"y" * 999 + b"\n"] * 2000)
    assert ended.status == 0
    assert len(ended.output) == OUTPUT


def test_a_program_that_does_not_read_is_content():
    assert python("pass", [b"x" * 100_000] * 50).status == 0


def test_time_is_up_for_the_whole_group(tmp_path):
    """S56: the time-out ends the program and its children."""
    noted = tmp_path / "pid"
    code = f"import subprocess,time; p=subprocess.Popen(['sleep','60']); open({str(noted)!r},'w').write(str(p.pid)); " \
           "print('busy', flush=True); time.sleep(60)"
    start = time.monotonic()
    ended = python(code, [b"x"], seconds=1.5)
    assert ended.late
    assert ended.status == -signal.SIGKILL
    assert ended.output == b"busy\n"
    assert time.monotonic() - start < 20
    child = Path(f"/proc/{noted.read_text()}/stat")
    end = time.monotonic() + 5
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.02)


def test_stop_ends_it():
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert python("import time; time.sleep(60)", stop=stop).late


def test_what_it_leaves_in_the_background_holds_nobody_up():
    """A daemon that keeps our pipe open doesn't delay the answer."""
    start = time.monotonic()
    ended = python("import os,time\nif os.fork() == 0:\n time.sleep(15)\nelse:\n print('done', flush=True)")
    assert (ended.status, ended.output) == (0, b"done\n")
    assert time.monotonic() - start < 10


def test_environment_and_place_are_as_given():
    """sec-D02: nothing of ours: variables, descriptors, folder, signal handling."""
    code = "import os,signal; print(sorted(os.environ.items()), os.getcwd(), os.listdir('/proc/self/fd'), " \
           "oct(os.umask(0)), signal.getsignal(signal.SIGPIPE), os.getpid() == os.getpgid(0))"
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    ended = run(["/usr/bin/env"], {"A": "1", "B": ""}, [], identity=ME, seconds=20, stop=threading.Event())
    assert ended.output == b"A=1\nB=\n"
    said = python(code, environ={"LC_ALL": "C.UTF-8"}).output.decode()
    os.close(held)
    assert "[('LC_ALL', 'C.UTF-8')] / ['0', '1', '2', '3']" in said
    assert said.rstrip().endswith("0o77 1 True") or said.rstrip().endswith("True")


def test_errors():
    with pytest.raises(FileNotFoundError):
        run(["/nonexistent/program"], {}, [], identity=ME, seconds=5, stop=threading.Event())

    def broken():
        yield b"x"
        raise ValueError("spool")

    with pytest.raises(ValueError, match="spool"):
        python("import sys,time; sys.stdin.read(); time.sleep(60)", broken())
