"""The real program in a folder of its own: written settings, free ports, start, wait, kill, stop.

Used by the service, crash and interop rings. Shares no code with the appliance but its command line.
"""

import contextlib
import fcntl
import imaplib
import json
import os
import poplib
import random
import resource
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SERVICES = ("smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s", "http")
DOMAIN = "example.org"
PASSWORD = "correct horse 42"


def until(true: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait for something to become true; the time is only a guard."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not in {seconds} s: {what or true}"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has just now, below those that the kernel gives to whoever connects somewhere."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


@dataclass
class Lab:
    """One appliance. `more`: further TOML for the settings file; `server`: further lines of [server];
    `environ`: for failpoints and switches."""

    folder: Path
    more: str = ""
    server: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    single: bool = False
    prefix: tuple[str, ...] = ()        # a command that runs what follows it, in a place of its own
    data: Path | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    files: int = 0      # as `ulimit -n`

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = self.ports or dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.data = self.data or self.folder / "data"
        self.write_settings()

    @property
    def config(self) -> Path:
        return self.folder / "estafeta.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def write_settings(self) -> None:
        listen = "\n".join(f"{name} = {port}" for name, port in self.ports.items())
        self.config.write_text(
            f'[server]\nhostname = "mail.{DOMAIN}"\nstop_seconds = 5\n{self.server}\n[paths]\ndata = "{self.data}"\n'
            f"{self._paths()}"
            f'[listen]\naddresses = ["127.0.0.1"]\n{listen}\n'
            f'[web]\nbase_url = "http://127.0.0.1:{self.ports["http"]}"\n'
            f'[mail]\ndomains = ["{DOMAIN}"]\naliases = []\n[accounts]\nhash_memory = 1024\n'
            f'home = "{self.mail}/{{domain}}/{{user}}"\n{self.more}\n'
        )

    def _paths(self) -> str:
        """Further lines of [paths]; the mail folder is a setting of the accounts."""
        return "".join(f'{name} = "{where}"\n' for name, where in self.paths.items() if name != "mail")

    @property
    def spool(self) -> Path:
        return Path(self.paths.get("spool", f"{self.data}/spool"))

    @property
    def mail(self) -> str:
        return self.paths.get("mail", f"{self.data}/mail")

    def command(self, *words: str, text: str | None = None, check: bool = True, **environ: str) -> str:
        """Run `estafeta WORDS` on this folder and give what it printed."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "bridge", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "ESTAFETA_CONFIG": str(self.config), "LANG": "C.UTF-8", **environ},
        )
        if check and done.returncode:
            raise AssertionError(f"estafeta {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + ("" if check else done.stderr)

    def add_user(self, *names: str, password: str = PASSWORD) -> None:
        for name in names:
            self.command("user", "add", f"{name}@{DOMAIN}", "--password-stdin", text=password + "\n")

    def start(self, timeout: float = 20.0, wait: bool = True) -> None:
        words = ["--single"] if self.single else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix, sys.executable, "-m", "bridge", "run", "--config", str(self.config), "--allow-root",
                    *words,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environ},
                preexec_fn=self._limit if self.files else None,
            )
        if wait:
            self.wait_ready(timeout)

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

    def wait_ready(self, timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        for name in ("smtp", "imap", "pop3", "http"):
            while self.ports.get(name):
                try:
                    with socket.create_connection(("127.0.0.1", self.ports[name]), 1) as one:
                        if name == "http" or one.recv(1):
                            break
                except OSError:
                    assert self.process is not None
                    if self.process.poll() is not None or time.monotonic() > end:
                        raise AssertionError(f"{name} does not answer:\n{self.tail()}") from None
                    time.sleep(0.02)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    @contextlib.contextmanager
    def variant(self, name: str, more: str, *users: str) -> "Iterator[Lab]":
        """A second appliance with other settings in a folder beside this one, started and killed."""
        other = Lab(self.folder.parent / f"{self.folder.name}-{name}", more=more)
        if users:
            other.add_user(*users)
        try:
            other.start(60)
            yield other
        finally:
            other.kill()

    def kill(self) -> None:
        """kill -9 of every process at once, as a crash of the machine's userland would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            self._wait_gone()

    def _wait_gone(self) -> None:
        """A killed process ends when its system call does; the last one gives the data folder's lock back."""
        lock, end = Path(str(self.data)) / "lock", time.monotonic() + 10
        while lock.exists() and time.monotonic() < end:
            with lock.open("ab") as mine, contextlib.suppress(BlockingIOError):
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.005)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, timeout: float = 30.0) -> int:
        """TERM, wait, and give the exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop in {timeout} s:\n{self.tail()}") from None
        self.process = None
        return status

    def pids(self, role: str = "", draining: bool = False) -> list[int]:
        """Of the processes that run now, or with `draining` of those that finish old sessions; never those that an
        earlier start has written down."""
        assert self.process is not None
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                told = json.loads((Path(str(self.data)) / "run" / "processes.json").read_text())
                if told["supervisor"] == self.process.pid:
                    return [
                        one["pid"] for one in told["processes"]
                        if role in ("", one["role"]) and one["draining"] == draining
                    ]  # fmt: skip
            time.sleep(0.05)
        raise AssertionError(f"nobody says who runs\n{self.tail()}")

    def smtp(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.ports["smtp"], local_hostname="client.example.org", timeout=30)

    def imap(self, user: str = "", password: str = PASSWORD) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.ports["imap"], timeout=30)
        if user:
            client.login(f"{user}@{DOMAIN}", password)
        return client

    def pop3(self, user: str, password: str = PASSWORD) -> poplib.POP3:
        client = poplib.POP3("127.0.0.1", self.ports["pop3"], timeout=30)
        client.user(f"{user}@{DOMAIN}")
        client.pass_(password)
        return client

    def maildir(self, user: str) -> Path:
        return Path(self.mail) / DOMAIN / user / "Maildir"

    def mails(self, user: str) -> list[Path]:
        """Message files of a user's inbox, read without the appliance."""
        box = self.maildir(user)
        return [p for part in ("new", "cur") if (box / part).is_dir() for p in (box / part).iterdir()]

    def wait_mails(self, user: str, count: int, timeout: float = 20.0) -> list[Path]:
        end = time.monotonic() + timeout
        while len(found := self.mails(user)) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(found) >= count, f"{len(found)} of {count} mails for {user}\n{self.tail()}"
        return found


@contextlib.contextmanager
def running(
    folder: Path, *users: str, more: str = "", server: str = "", single: bool = False, **environ: str
) -> Iterator[Lab]:
    """A started appliance with `users`, stopped at the end."""
    lab = Lab(folder, more=more, server=server, environ=environ, single=single)
    try:
        lab.add_user(*users)
        lab.start()
        yield lab
    finally:
        with contextlib.suppress(AssertionError):
            lab.stop(15)
        lab.kill()


def mutant(name: str) -> dict[str, str]:
    """Environment that starts the appliance with one promise taken out (tests/crash/mutants)."""
    here = Path(__file__).parent
    return {"PYTHONPATH": f"{here}/crash/mutants:{here.parent}", "ESTAFETA_MUTANT": name}
