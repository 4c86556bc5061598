"""`make bench-up LAB=DIR`, `make bench-down LAB=DIR`: the appliance as a target of the workload drivers.

Users, domain and ports follow the conventions of the peers' set-ups: u00 ... u59 with password pw-NAME, domain
lab.test, Maildirs under LAB/mail/USER/Maildir, mail for other domains relayed to a sink on port 2600. Writes
LAB/targets/estafeta*.json; a driver takes one of them as its only argument. Every limit that is raised is printed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

DOMAIN, LISTS = "lab.test", "lists.lab.test"
USERS = [(f"u{n:02d}", f"pw-u{n:02d}") for n in range(60)]
SINK = 2600
OWNER = [5000, 5000] if os.getuid() == 0 else [os.getuid(), os.getgid()]  # as the peers have it
PORTS = {"smtp": 3525, "lmtp": 3424, "imap": 3143, "pop3": 3110, "http": 3080}
SIZES = (1000, 10_000)
KINDS = ("plain",)  # "personal" comes with personalisation
RAISED = {
    "smtp.connections_per_address": 10000,
    "smtp.connections": 10000,
    "pop3.connections": 10000,
    "pop3.connections_address": 10000,
    "pop3.connections_user": 10000,
    "imap.connections": 10000,
    "imap.connections_address": 10000,
    "imap.connections_user": 10000,
}
PEERLAB_SOURCE = {"imap": 2143, "pop3": 2110}
SOURCE, DESTINATION = "u55", "u10"


def settings(lab: Path) -> str:
    sections: dict[str, list[str]] = {}
    for name, value in RAISED.items():
        section, key = name.split(".")
        sections.setdefault(section, []).append(f"{key} = {value}")
    return (
        f'[server]\nhostname = "mail.{DOMAIN}"\n'
        f'[paths]\ndata = "{lab}/estafeta"\n'
        '[listen]\naddresses = ["127.0.0.1"]\nsubmissions = 0\nimaps = 0\n'
        + "".join(f"{name} = {port}\n" for name, port in PORTS.items())
        + f'[mail]\ndomains = ["{DOMAIN}"]\nvirtual_domains = ["{LISTS}"]\naliases = []\n'
        f'smarthost = "127.0.0.1:{SINK}"\n'
        f'[outbound]\ntls = "none"\n'
        f'[accounts]\nhome = "{lab}/mail/{{user}}"\npassword_weak = true\npassword_minimum = 4\n'
        f'[lists]\nhost = "{LISTS}"\n'
        + "".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())
    )


def fetch_accounts() -> str:
    """W5: from the peers' Dovecot into u10, and fifty empty accounts to poll; by IMAP and by POP3. In settings of their
    own: the collector of the running appliance would empty the peers' mailboxes while others are measured."""
    rows = []
    for protocol, port in PEERLAB_SOURCE.items():
        for source, target, name in [
            (SOURCE, DESTINATION, f"one-{protocol}"),
            *((user, DESTINATION, f"many-{protocol}-{user}") for user, _ in USERS[:50]),
        ]:
            rows.append(
                f'[[fetch.account]]\nname = "{name}"\nprotocol = "{protocol}"\nhost = "127.0.0.1"\nport = {port}\n'
                f'tls = "none"\nuser = "{source}"\npassword = "pw-{source}"\nto = "{target}@{DOMAIN}"\n'
                "keep = false\ninterval = 86400\n"
            )
    return "".join(rows)


def estafeta(lab: Path, *words: str, text: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *words],
        input=text,
        text=True,
        capture_output=True,
        env={**os.environ, "ESTAFETA_CONFIG": str(lab / "estafeta.toml")},
    )
    if done.returncode:
        raise SystemExit(f"estafeta {' '.join(words)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def up(lab: Path) -> None:
    lab.mkdir(parents=True, exist_ok=True)
    down(lab)
    shutil.rmtree(lab / "estafeta", ignore_errors=True)
    (lab / "estafeta.toml").write_text(settings(lab))
    (lab / "fetch.toml").write_text(settings(lab) + fetch_accounts())
    accounts = "".join(f"{user}@{DOMAIN} {password}\n" for user, password in USERS)
    estafeta(lab, "user", "import", "-", text=accounts)
    make_lists(lab)
    for name, value in RAISED.items():
        print(f"raised for the bench: {name} = {value}")
    with (lab / "estafeta.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "run", "--config", str(lab / "estafeta.toml"), "--allow-root"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (lab / "estafeta.pid").write_text(f"{process.pid}\n")
    wait(process, PORTS["smtp"], PORTS["imap"], PORTS["pop3"])
    write_targets(lab)


def make_lists(lab: Path) -> None:
    """W6: lists of 1,000 and 10,000 subscribers whose mail goes to the sink; W7: an archive to fill."""
    for size in SIZES:
        for kind in KINDS:
            name = f"{kind}{size}"
            estafeta(lab, "newlist", "-q", name, f"u00@{DOMAIN}", "password-of-list")
            members = "".join(f"s{n}@remote.test\n" for n in range(size))
            estafeta(lab, "add_members", "-w", "n", "-a", "n", "-r", "-", name, text=members)
    estafeta(lab, "newlist", "-q", "devel", f"u00@{DOMAIN}", "password-of-list")


def wait(process: "subprocess.Popen[bytes]", *ports: int) -> None:
    import socket

    end = time.monotonic() + 30
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"nothing listens on port {port}; see the log in LAB/estafeta.log") from None
                time.sleep(0.05)


def write_targets(lab: Path) -> None:
    folder = lab / "targets"
    archive = ["env", f"ESTAFETA_CONFIG={lab}/estafeta.toml", sys.executable, "-m", "bridge", "arch"]
    folder.mkdir(exist_ok=True)
    base = {
        "domain": DOMAIN,
        "users": USERS,
        "maildir": f"{lab}/mail/{{user}}/Maildir",
        "owner": OWNER,
        "pidfiles": [f"{lab}/estafeta.pid"],
        "sink": ["127.0.0.1", SINK],
        **{name: ["127.0.0.1", port] for name, port in PORTS.items() if name != "http"},
    }
    fetch = ["env", f"ESTAFETA_CONFIG={lab}/fetch.toml", sys.executable, "-m", "bridge", "fetch", "--json"]
    targets: dict[str, dict[str, object]] = {
        "estafeta": base
        | {
            "inject": ["smtp", "127.0.0.1", PORTS["smtp"]], "poster": "s0@remote.test", "subscriber": "s%d@remote.test",
            "lists": {str(n): {kind: f"{kind}{n}@{LISTS}" for kind in KINDS} for n in SIZES},
        },
        "estafeta-archive": {
            "out": f"{lab}/estafeta/archives/private/devel",
            "build": [*archive, "--quiet", "--wipe", "devel", "{mbox}"],
            "add": [*archive, "--quiet", "devel", "{mbox}"],
            "pages": f"{lab}/estafeta/archives/private/devel/*/[0-9]*.html",
        },
    }  # fmt: skip
    for protocol in PEERLAB_SOURCE:
        targets[f"estafeta-fetch-{protocol}"] = base | {
            "cmd": [*fetch, f"one-{protocol}"], "poll_cmd": [*fetch, *(f"many-{protocol}-{u}" for u, _ in USERS[:50])],
            "ok_status": [0, 1], "source_user": SOURCE, "dest_user": DESTINATION, "polls": 50, "proto": protocol,
        }  # fmt: skip
    for name, target in targets.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"name": name, **target}, indent=1))
        print(path)


def down(lab: Path) -> None:
    pidfile = lab / "estafeta.pid"
    if not pidfile.exists():
        return
    pid = int(pidfile.read_text())
    try:
        os.kill(pid, 15)
        for _ in range(300):
            os.kill(pid, 0)
            time.sleep(0.1)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
    except ProcessLookupError:
        pass
    pidfile.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("up", "down") or not sys.argv[2]:
        raise SystemExit("usage: make bench-up LAB=DIR | make bench-down LAB=DIR")
    {"up": up, "down": down}[sys.argv[1]](Path(sys.argv[2]).resolve())
