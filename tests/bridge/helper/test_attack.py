"""The root helper, asked by somebody who holds the mover's or the SMTP processes' rights (DESIGN 5, sec-D01, sec-X01).

The helper runs as root with made-up users; the attacker is a process with the service's user number that says what it
likes on the socket. What must come of it: a refusal, and nothing of anybody else's read, changed, run or crashed.
"""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.deliver.arguments import mark_of_program
from tests.helpersite import MESSAGE, SERVICE, SMTP, Site
from tests.lab import until
from tests.people import PASSWORD, People

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can start the helper"),
]
STRANGER = 42_823


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(People(tmp_path_factory.mktemp("attack")))
    yield one
    one.close()
    assert "Traceback" not in one.log.read_text()


def test_only_the_services_users_are_heard(site: Site) -> None:
    """SO_PEERCRED, and the socket's own mode."""
    assert "PermissionError" in str(site.say(STRANGER, verb="hello"))
    mode = site.socket.stat()
    assert (mode.st_uid, mode.st_gid, stat.S_IMODE(mode.st_mode)) == (0, SERVICE, 0o660)
    site.socket.chmod(0o666)        # even if somebody opened it
    try:
        assert site.say(STRANGER, verb="hello") not in ({}, ""), "an answer"
        assert site.say(SERVICE, verb="hello") == {}
    finally:
        site.socket.chmod(0o660)


def test_the_smtp_processes_may_check_passwords_and_nothing_else(site: Site) -> None:
    found = site.deliver(SMTP)
    assert isinstance(found, dict)
    assert found["trouble"] == "refused"
    assert site.say(SMTP, verb="check", user="ana", password="x", protocol="smtp", ip="") == {"wrong": True}
    found = site.say(SMTP, verb="session", user="ana", ticket="1.x", protocol="imap", ip="", files=("/dev/null",))
    assert isinstance(found, dict)
    assert found["trouble"] == "refused"


@pytest.mark.parametrize("user", ["root", "daemonio", "games", "nobody", "20001", "ANA", "ana ", "estafeta", "ana\0"])
def test_nobody_is_delivered_to_who_gets_no_mail(site: Site, user: str) -> None:
    """Never root, no service account, no number, no other spelling."""
    found = site.deliver(user=user)
    assert isinstance(found, dict)
    assert found["trouble"] in ("store", "refused")


@pytest.mark.parametrize("user", ["../root", "", "-ana", "/etc/passwd", ".", "..", "ana/../root", 20001, None, ["ana"]])
def test_users_are_names(site: Site, user: object) -> None:
    """sec-D07"""
    found = site.deliver(user=user)
    assert isinstance(found, dict)
    assert found["trouble"] == "refused"


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "../../../etc/cron.d"}, {"id": "0SGDQFCZAH4PGHM/"}, {"path": "/etc/cron.d/x"}, {"maildir": "/etc"},
        {"uid": 0}, {"address": "ana@example.org\nX: y"}, {"sender": "x\r\nBcc: y"},
        {"trust": "x\nBcc: y"}, {"start": -1}, {"size": -1},
        {"size": 1 << 60}, {"size": True}, {"start": 1.5}, {"again": "yes"}, {"received": float("inf")},
        {"original": "\ud800@example.org"}, {"received": float("nan")}, {"original": "x" * 2000}, {"argv": ["/bin/sh"]},
    ],
)  # fmt: skip
def test_fields_are_what_they_should_be(site: Site, fields: dict[str, Any]) -> None:
    """No path, no command, no number of a user, no line breaks, nothing out of bounds."""
    found = site.deliver(**fields)
    assert isinstance(found, dict)
    assert found["trouble"] == "refused", found


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff", b"{", b"[]", b"null", b'{"verb": "run"}', b'{"verb": ["deliver"]}',
     b'{"verb": "shell", "argv": ["id"]}', b"[" * 16_000, b'{"verb": "hello", "x": ' + b"9" * 15_000 + b"}",
     b"x" * 60_000, b'{"verb": "hello", "verb": "root"}'],
)  # fmt: skip
def test_what_is_no_request_is_refused(site: Site, raw: bytes) -> None:
    found = site.say(SERVICE, raw or b"\0")
    assert isinstance(found, dict)
    assert found["trouble"] == "refused"
    assert site.say(SERVICE, verb="hello") == {}


def test_open_files_are_counted_and_looked_at(site: Site) -> None:
    """A message is one regular file that the caller could open itself; anything else is refused and closed."""
    message = str(site.people.folder / "message")
    before = len(list(Path(f"/proc/{site.process.pid}/fd").iterdir()))
    for files in ((), (message, message), (message,) * 20):
        found = site.say(SERVICE, verb="deliver", user="ana", again=False, files=files, **MESSAGE)
        assert isinstance(found, dict)
        assert found["trouble"] == "refused"
    assert isinstance(found := site.say(SERVICE, verb="hello", files=(message,)), dict)
    assert found["trouble"] == "refused"
    for other in ("/dev/zero", "/dev/null", "/"):
        found = site.deliver(file=other)
        assert isinstance(found, dict)
        assert found["trouble"] in ("spool", "mailbox"), other
    assert "PermissionError" in str(site.deliver(file=str(site.canary))), "what the caller can't read, it can't send"
    assert isinstance(found := site.deliver(size=5000), dict)
    assert found["trouble"] == "spool", "shorter than it says"
    until(lambda: len(list(Path(f"/proc/{site.process.pid}/fd").iterdir())) <= before)


def test_links_in_a_home_lead_to_nothing_that_is_not_the_users(site: Site) -> None:
    """sec-D06: a home belongs to its user, who may put there what he likes; root never walks through it."""
    home = site.people.homes / "eva"
    number = site.people.names["eva"]
    target = site.people.folder / "target"
    target.mkdir(mode=0o700)
    for name in ("tmp", "new", "cur"):
        (target / name).mkdir(mode=0o700)
    (home / "Maildir").symlink_to(target)
    found = site.deliver(user="eva", address="eva@example.org")
    assert isinstance(found, dict)
    assert "trouble" in found
    (home / "Maildir").unlink()
    maildir = home / "Maildir"
    maildir.mkdir(mode=0o700)
    for name in ("tmp", "cur"):
        (maildir / name).mkdir(mode=0o700)
    (maildir / "new").symlink_to(target)
    for one in (maildir, maildir / "tmp", maildir / "cur"):
        os.chown(one, number, number)
    found = site.deliver(user="eva", address="eva@example.org")
    assert isinstance(found, dict)
    assert "trouble" in found
    assert not [one for one in target.rglob("*") if one.is_file()]


def test_an_mbox_of_somebody_else_is_left_alone(site: Site) -> None:
    """sec-D06: links, second names, foreign owners in the mail folder."""
    box, number = site.people.mail / "luis", site.people.names["luis"]
    victim = site.people.mail / "ana-mail"
    victim.write_text("")
    os.chown(victim, site.people.names["ana"], -1)
    victim.chmod(0o660)
    for trick in (lambda: box.symlink_to(victim), lambda: box.hardlink_to(victim), lambda: os.mkfifo(box)):
        trick()
        found = site.deliver(user="luis", address="luis@example.org")
        assert isinstance(found, dict)
        assert "trouble" in found
        box.unlink()
    assert victim.read_text() == ""
    found = site.deliver(user="luis", address="luis@example.org")
    assert found == {"where": str(box)}
    assert box.stat().st_uid == number
    victim.unlink()


def test_a_session_needs_a_ticket_of_that_user_and_protocol(site: Site) -> None:
    """Who holds the service's rights reads the mail of nobody who doesn't log in."""
    found = site.say(SERVICE, verb="check", user="luis", password=PASSWORD, protocol="imap", ip="192.0.2.1")
    assert isinstance(found, dict)
    ticket = found["ticket"]
    until_, mac = ticket.split(".")
    later = f"{int(until_) + 1000}.{mac}"
    for user, given, protocol in (
        ("ana", ticket, "imap"), ("luis", later, "imap"), ("luis", ticket, "pop3"), ("luis", "", "imap"),
        ("luis", f"{until_}.", "imap"), ("luis", f"-{ticket}", "imap"), ("luis", ticket, "smtp"),
        ("root", ticket, "imap"),
    ):  # fmt: skip
        found = self_session(site, user, given, protocol)
        assert isinstance(found, dict), found
        assert found["trouble"] in ("store", "refused"), (user, protocol)
    fields = {"verb": "session", "user": "luis", "ticket": ticket, "protocol": "imap", "ip": ""}
    found = site.say(SERVICE, files=("/dev/null",) * 2, **fields)
    assert isinstance(found, dict)
    assert found["trouble"] == "store", "no sockets"
    found = self_session(site, "luis", ticket, "imap")
    assert isinstance(found, dict)
    assert found["said"].startswith("a OK"), "and with it, it is a session"


def self_session(site: Site, user: str, ticket: str, protocol: str) -> dict[str, Any] | str:
    request = {"verb": "session", "user": user, "ticket": ticket, "protocol": protocol, "ip": ""}
    return site.attack(SERVICE, f"""
ours, theirs = socket.socketpair()
ours.settimeout(20)
hints = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.connect({str(site.socket)!r})
socket.send_fds(one, [{json.dumps(request).encode()!r}], [theirs.fileno(), hints[1].fileno()])
theirs.close()
found = json.loads(one.recv(20000))
if not found:
    ours.send(b"a NOOP\\r\\nb LOGOUT\\r\\n")
    found["said"] = ours.recv(1000).decode()
print(json.dumps(found))
""")


def test_programs_are_those_of_roots_files(site: Site) -> None:
    """sec-D01: named by their hash; files that others could write don't count, nor what mail.programs doesn't name."""
    message = str(site.people.folder / "message")
    program = str(site.people.folder / "program")

    def run(*words: str) -> dict[str, Any]:
        found = site.say(SERVICE, verb="alias", program=mark_of_program(words), files=(message,), **MESSAGE)
        assert isinstance(found, dict)
        return found

    assert run(program, "a")["output"] == str(site.people.names["daemonio"]), "never root, never the service"
    for words in ((program,), (program, "b"), ("/bin/sh", "-c", "id"), ("/bin/echo", "not-listed")):
        assert "no alias file" in run(*words)["unfit"]
    other = site.people.folder / "open-aliases"
    other.write_text(f"o: |{program} open\n")
    os.chown(other, SERVICE, SERVICE)
    assert "no alias file" in run(program, "open")["unfit"]
    os.chown(other, 0, 0)
    other.chmod(0o666)
    assert "no alias file" in run(program, "open")["unfit"]
    other.chmod(0o644)
    assert run(program, "open")["status"] == 0
    found = site.say(SERVICE, verb="command", user="ana", files=(message,), **MESSAGE)
    assert isinstance(found, dict)
    assert "no mailbox command" in found["unfit"]


def test_a_user_who_stops_the_own_processes_hurts_nobody_else(site: Site) -> None:
    """A process that is the user can be stopped by the user: few at a time, and root ends them in the end."""
    program = site.people.folder / "program"
    program.write_text("#!/bin/sh\nkill -STOP $PPID\nsleep 100\n")
    request = {"verb": "alias", "program": mark_of_program((str(program), "a")), **MESSAGE}
    number = site.people.names["daemonio"]
    message = str(site.people.folder / "message")
    said = site.attack(SERVICE, f"""
one.settimeout(60)
one.connect({str(site.socket)!r})
socket.send_fds(one, [{json.dumps(request).encode()!r}], [os.open({message!r}, os.O_RDONLY)])
print(json.dumps(dict(answer=one.recv(20000).decode())))
""")
    assert said == {"answer": ""}, "killed without an answer"
    until(lambda: not [one for one in _of(number) if "(stopped)" in (one / "status").read_text()])
    for one in _of(number):
        os.kill(int(one.name), 9)
    program.write_text("#!/bin/sh\nid -u; cat >/dev/null\n")
    assert "where" in str(site.deliver(original="b@example.org"))


@pytest.mark.parametrize("ip", ["192.0.2.1 user=root", "x\ny", "1" * 100, "a;b"])
def test_addresses_that_go_into_logs_are_addresses(site: Site, ip: str) -> None:
    found = site.say(SERVICE, verb="check", user="ana", password="x", protocol="imap", ip=ip)
    assert isinstance(found, dict)
    assert found["trouble"] == "refused"


def test_guessing_through_the_helper_ends(site: Site) -> None:
    """sec-A01: even who sits behind our own limits gets few guesses at one user's password."""
    said = site.attack(SERVICE, f"""
seen = []
for number in range(80):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.settimeout(30)
        one.connect({str(site.socket)!r})
        one.send(json.dumps(
            dict(verb="check", user="Carmen", password=str(number), protocol="imap", ip="")).encode())
        seen.append(json.loads(one.recv(20000)).get("trouble", "wrong"))
print(json.dumps({{"wrong": seen.count("wrong"), "busy": seen.count("busy"), "last": seen[-1]}}))
""")
    assert isinstance(said, dict), said
    assert 60 <= said["wrong"] <= 62
    assert said["last"] == "busy"
    assert "ticket" in str(site.say(SERVICE, verb="check", user="ana", password=PASSWORD, protocol="imap", ip=""))


def test_silent_callers_hold_nobody_up(site: Site) -> None:
    """P26: connections that say nothing are few and short, and the others are heard meanwhile."""
    said = site.attack(SERVICE, f"""
silent = []
for number in range(40):
    other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    other.connect({str(site.socket)!r})
    silent.append(other)
one.connect({str(site.socket)!r})
one.send(json.dumps(dict(verb="hello")).encode())
answer = json.loads(one.recv(20000))
silent[0].settimeout(30)
print(json.dumps(dict(answer=answer, closed=silent[0].recv(10).decode())))
""")
    assert said == {"answer": {}, "closed": ""}


def test_children_have_nothing_of_roots(site: Site) -> None:
    """P23: user, groups, capabilities, open files, environment of a process that has become somebody."""
    program = site.people.folder / "program"
    program.write_text("#!/bin/sh\nexec sleep 3\n")
    mark = mark_of_program((str(program), "a"))
    message = str(site.people.folder / "message")
    request = json.dumps({"verb": "alias", "program": mark, **MESSAGE}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one, open(message, "rb") as file:
        one.connect(str(site.socket))
        socket.send_fds(one, [request], [file.fileno()])
        number = site.people.names["daemonio"]
        until(lambda: len(_of(number)) >= 2)
        for process in _of(number):
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            assert status["Uid"].split() == status["Gid"].split() == [str(number)] * 4
            assert status["Groups"].split() == []
            assert (int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"].strip()) == (0, 0, "1")
            names = {os.readlink(link) for link in (process / "fd").iterdir()}
            assert not [name for name in names if "helper" in name and not name.endswith("helper.log")]
    until(lambda: not _of(number), what="a caller that goes away ends the program")
    program.write_text("#!/bin/sh\nid -u; cat >/dev/null\n")


def _of(uid: int) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"\nUid:\t{uid}\t" in (process / "status").read_text():
                found.append(process)
        except OSError:
            continue
    return found


def test_settings_that_others_can_change_are_not_believed(site: Site) -> None:
    """sec-X02"""
    folder = site.people.folder / "loose"
    folder.mkdir(mode=0o755)
    copy = folder / "estafeta.toml"
    copy.write_text(site.config.read_text())
    for spoil in (lambda: os.chown(copy, SERVICE, SERVICE), lambda: copy.chmod(0o666), lambda: folder.chmod(0o777)):
        os.chown(copy, 0, 0)
        copy.chmod(0o644)
        folder.chmod(0o755)
        spoil()
        done = subprocess.run(
            [sys.executable, "-I", "-m", "bridge", "helper", "--config", str(copy)], capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert "others than root can change it" in done.stderr


def test_a_second_helper_does_not_take_the_socket(site: Site) -> None:
    done = subprocess.run(
        [*site.people.prefix, sys.executable, "-I", "-m", "bridge", "helper", "--config", str(site.config)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "another helper" in done.stderr
    began = time.monotonic()
    assert site.say(SERVICE, verb="hello") == {}
    assert time.monotonic() - began < 20
