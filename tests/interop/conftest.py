"""The running program for clients that others wrote; what each needs to be installed is said where it is used."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import DOMAIN, Lab, running

Run = Callable[..., str]


@pytest.fixture(scope="session")
def count(request: pytest.FixtureRequest) -> int:
    """How many messages a big number is."""
    return 2000 if request.config.getoption("--long") else 200


@pytest.fixture
def need() -> Callable[[str], None]:
    def look(program: str) -> None:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")

    return look


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(tmp_path_factory.mktemp("lab"), "ana", "luis", "eva", "pepe") as started:
        yield started


@pytest.fixture
def run(tmp_path: Path, need: Callable[[str], None]) -> Run:
    """Run a client in a home of its own and give what it printed."""

    def call(*words: object, text: str | bytes = b"", status: int | tuple[int, ...] = 0, seconds: int = 120) -> str:
        need(str(words[0]))
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [str(word) for word in words],
            input=text.encode() if isinstance(text, str) else text, capture_output=True, timeout=seconds, cwd=home,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin:/usr/sbin:/usr/local/bin", "LANG": "C.UTF-8",
                 "TERM": "vt100", "MAIL": str(home / "mbox"), "USER": "someone", "LOGNAME": "someone"},
        )  # fmt: skip
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        wanted = status if isinstance(status, tuple) else (status,)
        assert done.returncode in wanted, f"{words}: {done.returncode}\n{said}"
        return said

    return call


def fill(lab: Lab, user: str, count: int, word: str = "letter") -> None:
    """`count` messages for somebody, delivered."""
    before = len(lab.mails(user))
    with lab.smtp() as client:
        for number in range(count):
            client.sendmail(
                "remitente@example.net", [f"{user}@{DOMAIN}"],
                f"From: Remitente <remitente@example.net>\r\nTo: {user}@{DOMAIN}\r\nSubject: {word} {number}\r\n"
                f"Message-ID: <{word}.{number}@example.net>\r\n\r\nmessage {number} of {count}\r\n.\r\n..\r\nend\r\n",
            )  # fmt: skip
    lab.wait_mails(user, before + count, 60)
