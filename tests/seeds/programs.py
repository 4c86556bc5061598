"""The hands of the one who tries: a telnet session, a keyboard, and Debian's programs with a home of their own."""

import contextlib
import os
import pty
import re
import select
import shlex
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tests.chromium import Chromium, browser
from tests.lab import DOMAIN, PASSWORD, Lab, until
from tests.seeds.book import World


class Typed:
    """A telnet session: lines typed by hand, answers read as they come."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), 20)
        self._file = self._socket.makefile("rb")
        self.said: list[str] = []

    def hear(self) -> str:
        line = self._file.readline().decode("utf-8", "replace").rstrip("\r\n")
        self.said.append(line)
        return line

    def hear_reply(self) -> str:
        """One SMTP reply, its last line."""
        while (line := self.hear())[3:4] == "-":
            pass
        return line

    def hear_lines(self) -> list[str]:
        """Lines of a POP3 answer up to the dot."""
        lines = []
        while (line := self.hear()) != ".":
            lines.append(line)
        return lines

    def hear_tagged(self, tag: str) -> list[str]:
        """Lines of an IMAP answer, the tagged one last. Literals come as the lines that they are."""
        lines = [self.hear()]
        while not lines[-1].startswith((f"{tag} ", "+ ")):
            assert lines[-1] or len(lines) < 1000, lines[-5:]
            lines.append(self.hear())
        return lines

    def type(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self._socket.sendall(data + b"\r\n")

    def ask(self, text: str | bytes) -> str:
        """Type a line, hear the SMTP reply."""
        self.type(text)
        return self.hear_reply()

    def start_tls(self) -> str:
        """The connection goes on in TLS; its version."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the trial's certificate is its own
        secured = context.wrap_socket(self._socket, server_hostname="localhost")
        self._file.close()
        self._socket, self._file = secured, secured.makefile("rb")
        return secured.version() or ""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextlib.contextmanager
def telnet(port: int, host: str = "127.0.0.1") -> Iterator[Typed]:
    line = Typed(port, host)
    try:
        yield line
    finally:
        line.close()


@contextlib.contextmanager
def smtp(world: World, helo: str = "HELO verne.foo.net") -> Iterator[Typed]:
    """A session that has said who it is."""
    with telnet(world.port("smtp")) as line:
        line.hear_reply()
        assert line.ask(helo).startswith("250")
        yield line


def dictate(line: Typed, sender: str, recipients: Iterable[str], text: str | bytes) -> str:
    """One message in a session; the answer to its final dot."""
    assert line.ask(f"MAIL FROM:<{sender}>").startswith("250"), line.said
    for one in recipients:
        assert line.ask(f"RCPT TO:<{one}>").startswith("250"), line.said
    assert line.ask("DATA").startswith("354"), line.said
    for row in (text.encode() if isinstance(text, str) else text).split(b"\n"):
        line.type(row.removesuffix(b"\r"))
    return line.ask(".")


def arrived(lab: Lab, user: str, mark: str | bytes, seconds: float = 20) -> Path:
    """The file of the message that has `mark` in it, when it is there."""
    wanted = mark.encode() if isinstance(mark, str) else mark
    found: list[Path] = []

    def look() -> bool:
        for path in lab.mails(user):
            with contextlib.suppress(FileNotFoundError):
                if wanted in path.read_bytes():
                    found.append(path)
        return bool(found)

    until(look, seconds, f"{wanted!r} at {user}")
    return found[0]


def home(world: World, name: str, files: Mapping[str, str] | None = None) -> Path:
    """A home folder with dotfiles."""
    made = world.folder / "homes" / name
    made.mkdir(parents=True, exist_ok=True)
    for file, text in (files or {}).items():
        (made / file).write_text(text)
        (made / file).chmod(0o600)
    return made


def environment(where: Path, **more: str) -> dict[str, str]:
    return {
        "HOME": str(where), "PATH": "/usr/bin:/bin:/usr/sbin:/usr/local/bin", "LANG": "C.UTF-8", "TERM": "vt100",
        "USER": "someone", "LOGNAME": "someone", "MAIL": str(where / "mbox"), **more,
    }  # fmt: skip


def run(where: Path, *words: object, text: str | bytes = b"", status: int = 0, **environ: str) -> str:
    """What a program of Debian prints."""
    done = subprocess.run(
        [str(word) for word in words], input=text.encode() if isinstance(text, str) else text, capture_output=True,
        timeout=60, cwd=where, env=environment(where, **environ),
    )  # fmt: skip
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == status, f"{shlex.join(map(str, words))}: {done.returncode}\n{said}"
    return said


def certificate(lab: Lab) -> Path:
    return Path(str(lab.data)) / "tls" / "self-signed.pem"


def mutt(world: World, mailbox: str, keys: str, user: str = "ana", more: str = "") -> str:
    """mutt opens `mailbox` and gets `keys` pushed; the text that they pipe into {out} is what comes back."""
    where = home(world, f"mutt-{user}")
    out, rc = where / "out", where / "muttrc"
    out.unlink(missing_ok=True)
    login = f"{user}%40{DOMAIN}"
    rc.write_text(
        f'set imap_pass="{PASSWORD}"\nset pop_pass="{PASSWORD}"\nset smtp_pass="{PASSWORD}"\nset ssl_starttls=yes\n'
        f'set ssl_force_tls=yes\nset certificate_file="{certificate(world.lab)}"\nset ssl_verify_host=no\n'
        f'set folder="{where}"\nset smtp_url="smtp://{login}@localhost:{world.port("submission")}"\n'
        f'set from="{user}@{DOMAIN}"\nset copy=no\nset hostname="{DOMAIN}"\nset wait_key=no\nset quit=yes\n'
        "set delete=yes\nset pipe_decode=yes\nset confirmappend=no\nset confirmcreate=no\n"
        f"set pop_delete=no\n{more}\n"
    )
    pushed = "push '" + keys.replace("{out}", str(out)) + "<quit>'"
    words = ["mutt", "-F", str(rc), "-f", mailbox.replace("{login}", login), "-e", pushed]
    run(where, "script", "-qec", shlex.join(words), "/dev/null")
    return out.read_text() if out.exists() else ""


def mutt_sends(world: World, user: str, *words: object, text: str) -> None:
    """mutt's batch form, over submission with TLS and a login. Its settings are those of an earlier `mutt`."""
    where = home(world, f"mutt-{user}")
    if not (where / "muttrc").exists():
        mutt(world, "/dev/null", "", user)
    run(where, "mutt", "-F", where / "muttrc", *words, text=text)


def keyboard(words: list[str], steps: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> str:
    """A command at a terminal: after each pattern in `steps` the keys beside it are pressed. What the screen showed."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", *words]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **environ}, start_new_session=True
    )
    os.close(theirs)
    screen, seen, end = "", 0, time.monotonic() + 60
    pending = list(steps)
    try:
        while time.monotonic() < end:
            if pending and (found := re.compile(pending[0][0]).search(screen, seen)):
                seen = found.end()
                time.sleep(0.2)  # a person needs longer; the terminal's settings are made by then
                os.write(ours, pending.pop(0)[1].encode())
                continue
            if not select.select([ours], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            screen += data.decode("utf-8", "replace").replace("\r\n", "\n")
        assert process.wait(10) == 0, screen
        assert not pending, f"never asked {pending[0][0]!r}:\n{screen}"
        return screen
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(ours)


def surfer(world: World) -> Chromium:
    """Debian's Chromium, one for the whole run."""
    return world.keep("chromium", browser)


def address(world: World, path: str) -> str:
    return f"http://127.0.0.1:{world.port('http')}{path}"


def visit(world: World, path: str) -> str:
    """Open a page; the text that a person sees."""
    one = surfer(world)
    status = one.go(address(world, path))
    assert status == 200, (path, status)
    return str(one.run("document.body.innerText"))


def wait(what: Callable[[], object], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
