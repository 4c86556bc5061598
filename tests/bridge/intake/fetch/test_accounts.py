"""`.fetchmailrc` files as accounts: what they mean, whose they are, what is refused and with which line."""

import os
from pathlib import Path

import pytest

from bridge.config.fetch import Fetch, FetchAccount
from bridge.intake.fetch.accounts import accounts_of, shown

SEEDS = '''poll bing.fubar.net proto pop3 user "MaiVega" pass "scr70"
poll mail.xyzy.com with proto pop3:
    user "ersanz" there has password "mi clave"
    is eloy here
poll correo.frob.edu proto pop3
    user "juanito" password juan
    user "carmen" password menchu
'''


def address_of(name: str) -> str:
    return name if "@" in name else f"{name}@example.org"


def rc(folder: Path, text: str, name: str = "rc", mode: int = 0o600) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def user_file(folder: Path, text: str, owner: str = "eloy", **more: int) -> tuple[list[FetchAccount], list[str]]:
    return accounts_of(Fetch(user_rcfiles={owner: rc(folder, text, **more)}), address_of)


def site_file(folder: Path, text: str) -> tuple[list[FetchAccount], list[str]]:
    return accounts_of(Fetch(rcfiles=(rc(folder, text),)), address_of)


def test_the_seeds_examples_in_the_users_own_file(tmp_path: Path) -> None:
    """F05, F06: entries without `is` are the owner's; STARTTLS is demanded (F12), mail is deleted (F23)."""
    accounts, problems = user_file(tmp_path, SEEDS)
    assert not problems
    assert [(one.name, one.host, one.user, one.password) for one in accounts] == [
        ("MaiVega@bing.fubar.net", "bing.fubar.net", "MaiVega", "scr70"),
        ("ersanz@mail.xyzy.com", "mail.xyzy.com", "ersanz", "mi clave"),
        ("juanito@correo.frob.edu", "correo.frob.edu", "juanito", "juan"),
        ("carmen@correo.frob.edu", "correo.frob.edu", "carmen", "menchu"),
    ]
    assert {one.to for one in accounts} == {"eloy@example.org"}
    assert {(one.protocol, one.tls, one.keep) for one in accounts} == {("pop3", "starttls", False)}
    assert all(one.tls_verify for one in accounts)


def test_a_site_file_must_say_who(tmp_path: Path) -> None:
    """F06: in the site's file an entry without `is` is refused, with its line; the others are collected."""
    accounts, problems = site_file(tmp_path, SEEDS)
    assert [one.to for one in accounts] == ["eloy@example.org"]
    assert [line.split(":")[1] for line in problems] == ["1", "6", "7"]
    assert all("is NAME here" in line for line in problems)


def test_a_users_file_is_for_that_user_only(tmp_path: Path) -> None:
    accounts, problems = user_file(tmp_path, "poll h proto imap user x pass y is margarita here\npoll g user a pass b")
    assert [one.user for one in accounts] == ["a"]
    assert ":1:" in problems[0]
    assert "eloy@example.org" in problems[0]
    accounts, problems = user_file(tmp_path, "poll h user x pass y is Eloy@Example.org here")
    assert not problems


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """F03, sec-F17."""
    accounts, problems = user_file(tmp_path, SEEDS, mode=mode)
    assert not accounts
    assert "chmod 600" in problems[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = rc(tmp_path, "poll h user x pass y")
    os.chown(path, 65534, 65534)
    assert "belongs to somebody else" in accounts_of(Fetch(user_rcfiles={"eloy": path}), address_of)[1][0]
    assert not accounts_of(Fetch(user_rcfiles={"nobody": path}), address_of)[1], "the system's user of that name may"


def test_links_pipes_and_missing_files(tmp_path: Path) -> None:
    real = rc(tmp_path, SEEDS)
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("link", "pipe", "folder", "missing"):
        accounts, problems = accounts_of(Fetch(user_rcfiles={"eloy": str(tmp_path / name)}), address_of)
        assert not accounts, name
        assert len(problems) == 1, name


def test_a_broken_file_costs_only_itself(tmp_path: Path) -> None:
    """F52: with file and line."""
    good, bad = rc(tmp_path, SEEDS, "good"), rc(tmp_path, "\n\npoll x proto pop3 user a pass b frobnicate\n", "bad")
    accounts, problems = accounts_of(Fetch(user_rcfiles={"eloy": good, "ana": bad}), address_of)
    assert len(accounts) == 4
    assert len(problems) == 1
    assert problems[0].startswith(f"{bad}:3: ")
    assert "frobnicate" in problems[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("poll h proto imap user x pass y ssl", {"protocol": "imap", "tls": "implicit", "port": 0}),
        ("poll h proto imap service 993 user x pass y", {"tls": "implicit", "port": 993}),
        ("poll h proto pop3 service pop3s user x pass y", {"tls": "implicit", "port": 995}),
        ("poll h proto pop3 port 1110 user x pass y", {"tls": "starttls", "port": 1110}),
        ("poll h proto pop3 user x pass y sslproto ''", {"tls": "none"}),
        ("poll h proto apop user x pass y", {"protocol": "pop3", "auth": "apop"}),
        ("poll h proto imap auth cram-md5 user x pass y", {"auth": "cram-md5"}),
        ("poll h user x pass y", {"protocol": "auto"}),
        ("poll label via real.example proto imap user x pass y", {"host": "real.example", "name": "x@label"}),
        ("poll h user x pass y keep folder a b limit 5000 fetchlimit 7",
         {"keep": True, "folders": ("a", "b"), "limit": 5000, "most": 7}),
        ("poll h interval 3 timeout 20 user x pass y", {"interval": 900, "timeout": 20}),
        ("poll h proto imap user x pass y idle", {"idle": True}),
        ("set daemon 60\npoll h interval 2 user x pass y", {"interval": 120}),
        ("poll h user x pass y no sslcertck sslfingerprint 'AA:BB' sslcommonname n",
         {"tls_verify": False, "tls_fingerprint": "AA:BB", "tls_name": "n"}),
        ("poll h user x pass y sslcertpath /etc/ssl/certs", {"tls_ca_file": "/etc/ssl/certs"}),
    ],
)  # fmt: skip
def test_options_mean_what_they_mean_to_fetchmail(tmp_path: Path, text: str, wanted: dict[str, object]) -> None:
    """F07, F09 to F15, F20 to F28."""
    accounts, problems = user_file(tmp_path, text)
    assert not problems
    assert {name: getattr(accounts[0], name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("poll h proto etrn user x pass y", "etrn"),
        ("poll h auth gssapi user x pass y", "gssapi"),
        ("poll h plugin 'ssh %h' user x pass y", "plugin"),
        ("poll h user x pass y mda '/bin/cat'", "mda"),
        ("poll h user x pass y preconnect 'rm -rf x'", "preconnect"),
        ("poll h user x pass y smtphost elsewhere.example", "smtphost"),
        ("poll h user x pass y flush", "flush"),
        ("poll h user x", "password"),
        ("poll h user x pass y is a b here", "multidrop"),
        ("poll h user x pass y is r=a * here", "multidrop"),
        ("poll h service nowhere user x pass y", "nowhere"),
        ("poll h service 99999 user x pass y", "99999"),
        ("poll h proto pop3", "no user"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_line(tmp_path: Path, text: str, word: str) -> None:
    """No program runs because a file says so; nothing is done otherwise than written."""
    accounts, problems = user_file(tmp_path, f"# first line\n{text}\npoll good user g pass p\n")
    assert [one.user for one in accounts] == ["g"]
    assert len(problems) == 1
    assert ":2: " in problems[0]
    assert word in problems[0]


def test_skip_and_comfort(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    accounts, problems = user_file(
        tmp_path, "skip h user x pass y\npoll g interface eth0 user x pass y stripcr antispam 571\n"
    )
    assert not problems
    assert [one.name for one in accounts] == ["x@g"]
    assert "antispam" in caplog.text
    assert "stripcr" in caplog.text


def test_names_are_unique(tmp_path: Path) -> None:
    """F09: the same user at the same server twice wants two labels."""
    accounts, problems = user_file(tmp_path, "poll h user x pass y\npoll h proto pop3 user x pass y\n")
    assert len(accounts) == 1
    assert "poll LABEL via HOST" in problems[0]


def test_passwords_are_not_shown() -> None:
    """sec-F17."""
    account = FetchAccount(name="a", password="canario")
    assert "canario" not in repr(account)
    assert "canario" not in repr(Fetch(account=(account,)))
    assert shown(account).password == "***"


def test_secrets_of_nested_accounts_come_from_files_and_commands(tmp_path: Path) -> None:
    """sec-F17: the settings file need not hold the password."""
    from bridge.config.load import load

    (tmp_path / "secret").write_text("from the file\n")
    (tmp_path / "c.toml").write_text(
        f"""
[paths]
data = "{tmp_path}/data"
[[fetch.account]]
name = "a"
host = "h"
user = "u"
to = "eloy"
password = {{ file = "{tmp_path}/secret" }}
[[fetch.account]]
name = "b"
host = "h"
user = "u"
to = "eloy"
password = {{ command = ["printf", "from the command"] }}
"""
    )
    loaded = load(tmp_path / "c.toml", {})
    assert [one.password for one in loaded.settings.fetch.account] == ["from the file", "from the command"]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"interval": 1}, "10"), ({"threads": 0}, "1"), ({"poll_seconds": 1}, "30"),
     ({"account": (FetchAccount(name="a"),)}, "host is missing"),
     ({"account": (FetchAccount(name="a" * 151, host="h", user="u", to="t"),)}, "longer than 150")],
)  # fmt: skip
def test_settings_are_checked(change: dict[str, object], word: str) -> None:
    problems = list(Fetch(**change).problems())  # type: ignore[arg-type]
    assert any(word in one.text and one.es and one.fatal for one in problems)
