"""`.fetchmailrc` means what it means to fetchmail (F04 to F07, F38, seed 003), checked against fetchmail's own
--configdump where it is installed (CI installs it)."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.fetchmailrc import Mapping, RcError, parse

SEED = """\
poll bing.fubar.net proto pop3 user "MaiVega" pass "scr70"
poll mail.xyzy.com with proto pop3:
    user "ersanz" there has password "mi clave"
    is eloy here
poll correo.frob.edu proto pop3
    user "juanito" password juan
    user "carmen" password menchu
"""
WIDE = """\
# everything at once
set daemon 300
set postmaster "eloy"
set no bouncemail
defaults proto imap timeout 60 user options keep
poll a.example.org protocol pop3 username x password keep folder a, b fetchall
skip foo via bar.example.org port 1143 interval 3 aka a b c localdomains x.org y.org envelope 2 "X-Envelope-To"
   qvirtual "p-" auth password no dns
   user 'x y' here is z there pass "a\\tb\\x41\\101\\0101" to r=l q * ssl sslproto 'TLS1.2+' no sslcertck
   limit 1000 smtphost h1/26,h2 antispam 571 550 mda "/usr/bin/procmail -d %T" batchlimit 5
   fetchlimit 7 expunge 3 flush preconnect "echo" forcecr no rewrite
poll b.example.org no envelope, tracepolls user "no" wants pass "x" is a@b=c d here; options nokeep
""".replace("nokeep", "no keep")


def test_the_printed_example_of_the_seed() -> None:
    rc = parse(SEED)
    assert [(e.name, e.protocol, [(u.name, u.password) for u in e.users]) for e in rc.entries] == [
        ("bing.fubar.net", "pop3", [("MaiVega", "scr70")]),
        ("mail.xyzy.com", "pop3", [("ersanz", "mi clave")]),
        ("correo.frob.edu", "pop3", [("juanito", "juan"), ("carmen", "menchu")]),
    ]
    assert rc.entries[1].users[0].local == (Mapping("", "eloy"),)
    assert rc.entries[0].users[0].local == ()
    assert not any(user.keep for entry in rc.entries for user in entry.users)


def test_globals_defaults_and_negations() -> None:
    rc = parse(WIDE)
    assert rc.settings == {"daemon": 300, "postmaster": "eloy", "bouncemail": False}
    assert rc.entries[0].timeout == 60
    assert rc.entries[0].users[0].keep
    assert not rc.entries[2].users[0].keep
    assert not rc.entries[1].active


KEYS = {
    "pollname": "name", "active": "active", "via": "via", "service": "service", "timeout": "timeout",
    "interval": "interval", "envskip": "envskip", "qvirtual": "qvirtual", "auth": "auth", "dns": "dns", "uidl": "uidl",
    "tracepolls": "tracepolls",
}  # fmt: skip
USER_KEYS = {
    "remote": "name", "password": "password", "fetchall": "fetchall", "keep": "keep", "flush": "flush",
    "limitflush": "limitflush", "rewrite": "rewrite", "forcecr": "forcecr", "mda": "mda", "preconnect": "preconnect",
    "limit": "limit", "warnings": "warnings", "fetchlimit": "fetchlimit", "batchlimit": "batchlimit", "ssl": "ssl",
    "sslproto": "sslproto", "sslcertck": "sslcertck", "expunge": "expunge",
}  # fmt: skip


def dump(text: str, folder: Path) -> dict[str, Any]:
    """What fetchmail itself makes of the text."""
    path = folder / "rc"
    path.write_text(text)
    path.chmod(0o600)
    done = subprocess.run(
        ["fetchmail", "--configdump", "-f", str(path)], capture_output=True, text=True, timeout=20,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "USER": "root"},
    )
    names: dict[str, Any] = {}
    exec(re.sub(r"(?m)^fetchmail: .*$", "", done.stdout), names)
    return names["fetchmailrc"]  # type: ignore[no-any-return]


@pytest.mark.skipif(not shutil.which("fetchmail"), reason="fetchmail is the oracle; .ci/run installs it")
@pytest.mark.parametrize("text", [SEED, WIDE])
def test_as_fetchmail_understands_it(text: str, tmp_path: Path) -> None:
    theirs = dump(text, tmp_path)
    ours = parse(text)
    assert len(ours.entries) == len(theirs["servers"])
    for entry, server in zip(ours.entries, theirs["servers"], strict=True):
        for key, name in KEYS.items():
            assert getattr(entry, name) == server[key], (entry.name, key)
        assert entry.protocol.upper() == server["protocol"]
        assert (entry.envelope or None) == server["envelope"]
        assert list(entry.aka) == server["aka"]
        assert list(entry.localdomains) == server["localdomains"]
        for user, their in zip(entry.users, server["users"], strict=True):
            for key, name in USER_KEYS.items():
                assert getattr(user, name) == their[key], (entry.name, user.name, key)
            assert list(user.folders) == their["mailboxes"]
            local = [(m.remote, m.local) if m.remote else m.local for m in user.local]
            assert local == ([] if their["localnames"] == ["root"] else their["localnames"])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("poll a proto pop3 usr x\n", 1, "usr"),
        ("poll a\n proto zork user x pass y\n", 2, "pop3, imap or auto"),
        ('poll a\n proto pop3 user "x pass y\n', 2, "never closed"),
        ("poll\n", 1, "ends where"),
        ("poll poll\n", 1, "server name"),
        ("set daemon x\n", 1, "number"),
        ("set deamon 3\n", 1, "no such option"),
        ("hello\n", 1, "expected poll"),
        ("poll a user x timeout 3\n", 1, "before the first user"),
        ("poll a user x antispam abc\n", 1, "numbers"),
        ("poll a user x is\n", 1, "names must follow"),
        ("poll a user x no folder\n", 1, "can't stand"),
        ("poll a auth secret\n", 1, "authentication"),
    ],
)
def test_mistakes_name_line_and_word(text: str, line: int, words: str) -> None:
    with pytest.raises(RcError) as caught:
        parse(text)
    assert caught.value.line == line
    assert words in str(caught.value)


@given(st.text(alphabet=st.sampled_from(list("poluser spaw\"'=\\,:;#\n019x")), max_size=200))
def test_only_its_own_error_gets_out(text: str) -> None:
    try:
        parse(text)
    except RcError:
        pass


@given(st.lists(st.sampled_from([*SEED.split(), *WIDE.split(), "no", "=", "user", '"'])).map(" ".join))
def test_words_in_any_order(text: str) -> None:
    try:
        parse(text)
    except RcError:
        pass


def test_a_long_file_of_quotes_is_no_work() -> None:
    parse("# " + '"' * 100_000)
    with pytest.raises(RcError):
        parse('poll a user "' + "\\a" * 400_000)
