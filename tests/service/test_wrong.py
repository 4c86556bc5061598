"""What is wrong gets a clear error with exit status 1, and changes nothing."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.lab import DOMAIN, SERVICES, Lab, running, until

pytestmark = pytest.mark.service


def start(lab: Lab, *words: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit status and words of a start that is expected to fail."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "bridge", "run", "--config", str(lab.config), "--allow-root", *words],
        capture_output=True, text=True, timeout=60, env={**os.environ, **lab.environ},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[smtp]\nmesage_size = 1\n", ["estafeta.toml:", "smtp.mesage_size", "did you mean 'message_size'"]),
        ('[smtp]\nmessage_size = "big"\n', ["estafeta.toml:", "must be a whole number"]),
        ("[smpt]\n", ["estafeta.toml:", "unknown section [smpt]", "did you mean 'smtp'"]),
        ("[smtp\n", ["estafeta.toml", "line", "not valid TOML"]),
        ('[tls]\ncertificate = "here.pem"\n', ["tls.certificate", "belong together"]),
        ('[tls]\ncertificate = "here.pem"\nkey = "here.key"\n', ["here.pem", "No such file"]),
    ],
)
def test_a_broken_configuration_is_explained_and_nothing_is_made(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    lab = Lab(tmp_path, more=text)
    status, said = start(lab)
    assert status == 1
    assert all(one in said for one in told), said
    assert "Traceback" not in said
    left = {name for name in tree(tmp_path) if name.startswith("data")}
    assert left <= {"data/lock", "data/instance.json"}


def test_no_settings_file(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.config.unlink()
    status, said = start(lab)
    assert status == 1
    assert "estafeta.toml: cannot be read" in said


def test_a_certificate_that_does_not_fit_its_key(tmp_path: Path) -> None:
    with running(tmp_path / "a"), running(tmp_path / "b"):
        pass
    lab = Lab(tmp_path / "c", more=f'[tls]\ncertificate = "{tmp_path}/a/data/tls/self-signed.pem"\n'
                                   f'key = "{tmp_path}/b/data/tls/self-signed.key"\n')  # fmt: skip
    status, said = start(lab)
    assert status == 1
    assert "self-signed.pem" in said
    assert "belong together" in said


# ---- ports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("single", [False, True])
def test_a_port_in_use_is_named(tmp_path: Path, single: bool) -> None:
    lab = Lab(tmp_path)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)     # even one that would share
        other.bind(("127.0.0.1", lab.ports["imap"]))
        other.listen()
        status, said = start(lab, *(["--single"] if single else []))
    assert status == 1
    assert f"listen.imap: 127.0.0.1 port {lab.ports['imap']}: Address already in use" in said
    assert "choose another port" in said
    assert not (tmp_path / "data" / "db").exists(), "nothing was prepared"


def test_an_address_of_somebody_else(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.config.write_text(lab.config.read_text().replace('["127.0.0.1"]', '["192.0.2.1"]'))
    status, said = start(lab)
    assert status == 1
    assert "listen.addresses: 192.0.2.1 is no address of this machine" in said


# ---- the data folder ------------------------------------------------------------------------------


def test_a_second_start_on_the_same_folder(tmp_path: Path) -> None:
    """P22"""
    with running(tmp_path, "ana") as lab:
        other = Lab(tmp_path / "other", data=lab.data)
        status, said = start(other)
        assert status == 1
        assert lab.process is not None
        assert f"another Estafeta is running on this data folder (process {lab.process.pid})" in said
        assert "estafeta stop" in said
        assert lab.pids(), "and the first one goes on"


def test_folders_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    """Foreign, of a newer version, of another product, damaged: P30."""
    good = {"id": "x", "version": "99.0", "form": 99, "created_at": 0.0, "product": "estafeta"}
    for name, file, text, told in (
        ("foreign", "thesis.tex", "x", "not a data folder of Estafeta"),
        ("newer", "instance.json", json.dumps(good), "99.0, which is newer"),
        ("other", "instance.json", json.dumps({**good, "product": "cartero"}), "belongs to 'cartero'"),
        ("damaged", "instance.json", "{", "restore it from a backup"),
    ):
        lab = Lab(tmp_path / name)
        folder = tmp_path / name / "data"
        folder.mkdir()
        (folder / file).write_text(text)
        status, said = start(lab)
        assert (status, told in said) == (1, True), said
        assert "Traceback" not in said
        assert tree(folder) == {file: text.encode()}, "nothing was changed"


def test_a_start_that_fails_says_why_in_spanish(tmp_path: Path) -> None:
    lab = Lab(tmp_path, environ={"LC_ALL": "es_ES.UTF-8"})
    with socket.socket() as other:
        other.bind(("127.0.0.1", lab.ports["imap"]))
        other.listen()
        status, said = start(lab)
    assert status == 1
    assert f"listen.imap: 127.0.0.1 puerto {lab.ports['imap']}: " in said
    assert "ya escucha ahí otro programa" in said
    (tmp_path / "data" / "tesis.tex").write_text("x")
    (tmp_path / "data" / "instance.json").unlink()
    (tmp_path / "data" / "lock").unlink()
    status, said = start(lab)
    assert status == 1
    assert "no está vacía ni es una carpeta de datos de Estafeta (tiene tesis.tex)" in said
    assert "Traceback" not in said


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    """P30, sec-Q14"""
    import sqlite3
    from contextlib import closing

    with running(tmp_path, "ana") as lab:
        assert lab.stop() == 0
        core = tmp_path / "data" / "db" / "core.db"
        with closing(sqlite3.connect(core)) as rows, rows:
            rows.execute("UPDATE schema_version SET version = 9999")
        before = core.read_bytes()
        status, said = start(lab)
        assert status == 1
        assert "newer" in said
        assert "Traceback" not in said
        assert core.read_bytes() == before


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    mortal = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
    status, said = start(Lab(tmp_path), prefix=mortal)
    assert status == 1
    assert "must be able to write in" in said


def test_a_folder_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for data in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/estafeta")):
        status, said = start(Lab(tmp_path / "lab", data=data))
        assert status == 1
        assert "paths.data" in said
        assert "must be able to write in" in said
        assert "Traceback" not in said
    assert (tmp_path / "file").read_text() == "x"


# ---- the ports, while it runs ---------------------------------------------------------------------

GARBAGE = {
    "nothing": b"",
    "zeros": bytes(10_000),
    "random": bytes(range(256)) * 40,
    "http": b"GET / HTTP/1.1\r\nHost: example.org\r\nX: " + b"y" * 5000 + b"\r\n\r\n",
    "long line": b"A" * 2_000_000,
    "tls": bytes.fromhex("160301020001000200fc0303") + b"\x5a" * 509,
    "literal": b"a LOGIN {99999999999}\r\n" + b"b" * 1000,
    "lines": b"\r\n" * 20_000,
}


@pytest.mark.parametrize("service", SERVICES)
def test_garbage_on_a_port_ends_that_connection_alone(lab: Lab, service: str) -> None:
    before = lab.pids()
    for words in GARBAGE.values():
        with socket.create_connection(("127.0.0.1", lab.ports[service]), 20) as one:
            one.settimeout(3)
            try:
                for start in range(0, len(words), 65536):
                    one.sendall(words[start : start + 65536])
                one.shutdown(socket.SHUT_WR)
                while one.recv(65536):
                    pass
            except (TimeoutError, OSError):
                pass
    assert lab.pids() == before
    assert "Traceback" not in lab.log.read_text()
    with lab.smtp() as client:
        assert client.noop()[0] == 250
    imap = lab.imap("ana")
    imap.logout()


def test_tls_ports_speak_tls_and_old_versions_are_refused(lab: Lab) -> None:
    context = ssl.create_default_context(cafile=str(lab.folder / "data" / "tls" / "self-signed.pem"))
    for service, greeting in (("submissions", b"220 "), ("imaps", b"* OK"), ("pop3s", b"+OK")):
        with (
            socket.create_connection(("127.0.0.1", lab.ports[service]), 10) as raw,
            context.wrap_socket(raw, server_hostname=f"mail.{DOMAIN}") as secure,
        ):
            assert secure.recv(200).startswith(greeting)
            assert secure.version() in ("TLSv1.2", "TLSv1.3")


def resident(pids: list[int]) -> int:
    """Kilobytes."""
    found = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                found += int(line.split()[1])
    return found


def test_a_hundred_megabytes_against_the_limit(lab: Lab) -> None:
    """552 while it streams, memory stays flat, nothing is left in the spool; the declared size is refused at MAIL."""
    with lab.smtp() as client:
        client.ehlo()
        code, said = client.mail("x@example.net", ["SIZE=100000000"])
        assert code == 552, said
    before, most, done = resident(lab.pids("smtp")), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], resident(lab.pids("smtp")))

    watching = threading.Thread(target=watch)
    watching.start()
    line = b"x" * 76 + b"\r\n"
    chunk = line * 1000
    with socket.create_connection(("127.0.0.1", lab.ports["smtp"]), 60) as one:
        file = one.makefile("rwb")
        assert file.readline().startswith(b"220")
        for words in (b"HELO x", b"MAIL FROM:<x@example.net>", b"RCPT TO:<ana@example.org>", b"DATA"):
            file.write(words + b"\r\n")
            file.flush()
            code = file.readline()
        assert code.startswith(b"354")
        try:
            for _ in range(100_000_000 // len(chunk)):
                one.sendall(chunk)
            one.sendall(b".\r\n")
        except OSError:
            pass    # it may stop listening
        said = file.readline()
    done.set()
    watching.join()
    assert said.startswith(b"552"), said
    assert most[0] - before < 30_000, f"{most[0] - before} KB more"
    until(lambda: not list((lab.folder / "data" / "spool" / "tmp").iterdir()))
    time.sleep(0.1)
    assert not lab.mails("ana")
