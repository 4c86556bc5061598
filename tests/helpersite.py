"""The root helper by itself, with made-up users, and somebody who talks to it. Needs root."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.lab import until
from tests.people import People

SERVICE, SMTP = 42_821, 42_822
# as packaging/estafeta-helper.service has it
RIGHTS = ("setpriv", "--bounding-set", "-all,+setuid,+setgid,+kill,+chown,+audit_write")
MESSAGE = {
    "id": "0SGDQFCZAH4PGHMV", "received": 1.0, "start": 0, "size": 21, "address": "ana@example.org",
    "original": "ana@example.org", "sender": "x@example.net", "trust": "mx.example.org; spf=pass",
}  # fmt: skip


class Site:
    """The running helper. `say(uid, ...)`: a request as that user, JSON or raw bytes, with files."""

    def __init__(self, people: People, **environ: str) -> None:
        self.people, self.socket = people, people.folder / "run" / "helper"
        self.config = people.folder / "estafeta.toml"
        self.canary = people.folder / "canary"
        self.canary.write_text("Subject: root's own\r\n\r\n")
        self.canary.chmod(0o600)
        (people.folder / "message").write_bytes(b"Subject: x\r\n\r\nhola!\r\n")
        (people.folder / "message").chmod(0o644)
        program = people.folder / "program"
        program.write_text("#!/bin/sh\nid -u; cat >/dev/null\n")
        program.chmod(0o755)
        (people.folder / "aliases").write_text(f"p: |{program} a\nq: |/bin/echo not-listed\n")
        self.config.write_text(f"""
[server]
hostname = "mail.example.org"
user = "{SERVICE}:{SERVICE}"
smtp_user = "{SMTP}:{SMTP}"
[paths]
data = "{people.folder}/data"
[mail]
domains = ["example.org"]
aliases = ["{people.folder}/aliases", "{people.folder}/open-aliases"]
programs = ["{people.folder}/"]
[accounts]
system_users = true
stores = {{ "luis@example.org" = "mbox" }}
mbox = "{people.mail}/{{user}}"
helper = "{self.socket}"
[delivery]
program_user = "daemonio"
program_seconds = 3
""")
        self.log = people.folder / "helper.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*people.prefix, *RIGHTS, sys.executable, "-I", "-m", "bridge", "helper", "--config", str(self.config)],
                stdout=log, stderr=log, env={**os.environ, **environ},
            )  # fmt: skip
        until(self.socket.exists, what=self.log.read_text())
        until(lambda: self.say(0, verb="hello") == {})

    def say(self, caller: int, raw: bytes = b"", files: tuple[str, ...] = (), **fields: Any) -> dict[str, Any] | str:
        """The answer, or what went wrong in the attacker's own process."""
        data = raw or json.dumps(fields).encode()
        return self.attack(caller, f"""
files = [os.open(name, os.O_RDONLY) for name in {files!r}]
one.connect({str(self.socket)!r})
socket.send_fds(one, [{data!r}], files)
print(one.recv(20000).decode())
""")

    def attack(self, uid: int, code: str) -> dict[str, Any] | str:
        """Python run as that user, with a socket `one`."""
        start = "import os, socket, json, time\n"
        if uid:
            start += f"os.setgroups([{SERVICE}] if {uid} == {SMTP} else []); os.setresgid({uid}, {uid}, {uid})\n"
            start += f"os.setresuid({uid}, {uid}, {uid})\n"
        start += "one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); one.settimeout(20)\n"
        done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, cwd="/", timeout=60)
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return done.stdout + done.stderr
        return found

    def deliver(self, caller: int = SERVICE, file: str = "", **other: Any) -> dict[str, Any] | str:
        fields = {"verb": "deliver", "user": "ana", "again": False, **MESSAGE, **other}
        return self.say(caller, files=(file or str(self.people.folder / "message"),), **fields)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
