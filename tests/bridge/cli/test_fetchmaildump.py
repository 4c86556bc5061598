"""--configdump and -V beside Debian's fetchmail, where it is installed (F49)."""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import fetchmail as command

RC = r"""
set daemon 300
set postmaster "correo"
set no bouncemail
poll pop.example.org proto pop3 user "jsmith" password "secret1"
poll other.example.org via 127.0.0.1 with proto pop3 port 4110 timeout 20:
   user 'john' there with password 'x"y\\z\t' is 'jack' here keep sslproto ''
   user "b" password "c" is b=bb d here folder A,B ssl fetchall limit 100 fetchlimit 5
skip third.example.org proto imap no dns interval 3 uidl aka a,b user "z" password "w" mda "/bin/x"
poll apop.example.org proto apop auth cram-md5 bad-header accept user u password p no sslcertck sslfingerprint 'AA:BB'
   sslcertfile /x sslcertpath /y sslcommonname cn expunge 3 batchlimit 4 antispam 550,551 smtphost a.example.org
poll auto.example.org timeout 9 interval 2 auth password user v password w no rewrite pass8bits dropstatus
"""
pytestmark = pytest.mark.skipif(not shutil.which("fetchmail"), reason="no fetchmail to compare with")


def ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO(RC))
    with pytest.raises(SystemExit) as ended:
        command.fetchmail(["-f", "-", *words])
    assert ended.value.code == 0
    return capsys.readouterr().out.splitlines()


def theirs(*words: str) -> list[str]:
    done = subprocess.run(["fetchmail", "-f", "-", *words], input=RC, capture_output=True, text=True, timeout=30)
    return done.stdout.splitlines()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCHMAILHOME", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")


def comparable(lines: list[str]) -> list[str]:
    return [one.rstrip() for one in lines if one.strip() and not re.match(r"feature_options|    \"idfile\"", one)]


@pytest.mark.parametrize(
    "more", [(), ("-k", "-a", "-p", "IMAP", "-P", "9", "-u", "me", "-l", "7", "-r", "X", "-t", "5")]
)
def test_the_dump_is_fetchmails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    """F49: line for line, but for what is compiled in and the file of seen messages that we don't have."""
    dumped = ours(monkeypatch, capsys, "--configdump", *more)
    assert comparable(dumped) == comparable(theirs("--configdump", *more))
    values: dict[str, object] = {}
    exec("\n".join(dumped), values)
    assert values["fetchmailrc"]


def test_version_says_what_fetchmail_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """F49: each of our lines is one of fetchmail's, in its order; a password is in none."""
    said = ours(monkeypatch, capsys, "-V")
    reference = theirs("-V")
    start = next(number for number, one in enumerate(said) if one.startswith("Poll interval"))
    position = 0
    for line in said[start:]:
        if "seen messages" in line or line.startswith("Idfile"):
            continue
        assert line in reference[position:], line
        position = reference.index(line, position) + 1
    assert "secret1" not in "".join(said)
