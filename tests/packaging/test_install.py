"""O01: docs/install.md works as printed, and docs/instalar.md says the same."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.install import ROOT, Machine, follow, steps

PAGES = [ROOT / "docs" / name for name in ("install.md", "instalar.md")]


def plain(commands: str) -> str:
    """Without what may differ: comments, and the language that the settings name."""
    return re.sub(r"\s+#.*$", "", commands, flags=re.M).replace('language = "es"\n', "")


def test_both_pages_have_the_same_commands() -> None:
    english, spanish = ({number: plain(text) for number, text in steps(page).items()} for page in PAGES)
    assert english == spanish
    assert "apt-get install" in english[1]


def test_the_names_are_all_names_of_the_trade() -> None:
    from bridge.cli import CLASSIC

    for page in PAGES:
        for number in (5, 9):
            text = steps(page)[number].replace("\\\n", " ")
            named = re.search(r"for name in (.*?);", text)
            assert named
            assert {*named[1].split(), "sendmail"} == CLASSIC.keys(), f"{page.name}, step {number}"


def _possible() -> bool:
    needed = ("unshare", "nsenter", "apt-get", "setpriv", "/usr/bin/python3")
    if os.getuid() or not all(map(shutil.which, needed)):
        return False
    tried = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True)
    return tried.returncode == 0


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(subprocess.check_output(["mktemp", "-d", "/var/tmp/install.XXXXXX"], text=True).strip())
    made = Machine(folder, short=True)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.service
@pytest.mark.skipif(not _possible(), reason="needs root, namespaces and Debian's python3")
def test_the_steps_work_as_printed(machine: Machine) -> None:
    """O01, P23, sec-X02: packages, user, program, unit, names by alternatives, first user, first mail, upgrade, and
    removal.

    In an overlay over this machine's root; `make install-test` does the same in a Debian that debootstrap makes.
    """
    follow(PAGES[0], machine)
