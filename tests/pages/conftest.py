"""One started program and one browser for all tests of the pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chromium
from tests.bridge.intake.fetch.fakes import FakeImap, mail
from tests.chromium import Chromium
from tests.lab import DOMAIN, Lab, running, until
from tests.pages.visits import LIST_PASSWORD


@pytest.fixture(scope="package")
def elsewhere() -> Iterator[FakeImap]:
    """A mail server of somebody else."""
    with FakeImap({1: mail(1), 2: mail(2)}) as there:
        yield there


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory, elsewhere: FakeImap) -> Iterator[Lab]:
    """Two lists with members, an archive of two posts each, and a held post."""
    if not chromium.PROGRAM:
        pytest.skip("no Chromium here")
    more = f'[fetch]\npage_hosts = ["127.0.0.1:{elsewhere.port}"]\n'
    with running(tmp_path_factory.mktemp("pages"), "ana", "luis", more=more) as started:
        people = "".join(f"n{number:02}@a-rather-long-name-of-a-host.example.org\n" for number in range(32))
        for name, language in (("alfa", "en"), ("beta", "es")):
            started.command("newlist", "-q", "-l", language, name, f"ana@{DOMAIN}", LIST_PASSWORD)
            started.command("add_members", "-w", "n", "-a", "n", "-r", "-", name, text=f"Ana <ana@{DOMAIN}>\n{people}")
        with started.smtp() as client:
            for name in ("alfa", "beta"):
                for number, sender in enumerate((f"ana@{DOMAIN}", f"ana@{DOMAIN}", "eva@client.example.org")):
                    client.sendmail(sender, [f"{name}@{DOMAIN}"], (
                        f"From: {sender}\r\nTo: {name}@{DOMAIN}\r\nSubject: Mus {number}\r\n"
                        f"Message-ID: <{number}.{name}@{DOMAIN}>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\n\r\n"
                        f"> Lorem ipsum\r\n{'dolor ' * 30}\r\nhttp://{DOMAIN}/{'x' * 90}\r\n"
                    ))  # fmt: skip
        pages = Path(str(started.data)) / "archives" / "private"
        until(lambda: all(len(list((pages / name).rglob("00*.html"))) == 2 for name in ("alfa", "beta")), 30)
        yield started


@pytest.fixture(scope="package")
def browser(lab: Lab) -> Iterator[Chromium]:
    with chromium.browser() as one:
        one.resize(390)
        yield one
