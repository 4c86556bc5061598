"""`make install-test`: the steps of docs/install.md, as printed, in a folder that is a Debian of its own (O01).

Long form: debootstrap makes the folder, pip gets all libraries. Short form (`--short`, and the test beside this file):
an overlay over this machine's own root, thrown away afterwards, which takes the libraries of the Python that runs this
where Debian's is of the same version. Each step's commands are run by a shell with `-e`, then it is looked at whether
what the text says is true. Needs root, a Debian mirror and PyPI; systemctl is the stand-in beside this file.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ("bridge", "listmgr", "templates", "packaging", "docs", "pyproject.toml", "constraints.txt", "README.md")
SUITE = "bookworm"
PASSWORD = "correct horse 42"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CLASSIC = ("sendmail", "mailq", "newaliases")


def steps(page: Path) -> dict[int, str]:
    """The commands of each step, as printed."""
    found: dict[int, list[str]] = {}
    number = 0
    for line in page.read_text().splitlines():
        if match := re.match(r"(\d+)\. ", line):
            number = int(match[1])
        elif line.startswith("       ") and number:
            found.setdefault(number, []).append(line[7:])
    return {number: "\n".join(lines) + "\n" for number, lines in found.items()}


class Machine:
    """A root folder with namespaces of its own: mounts, processes, network (loopback only, unless a step asks for
    packages)."""

    def __init__(self, folder: Path, *, short: bool) -> None:
        self.root = folder / "root"
        self._borrows = short and _same_python()
        self.root.mkdir(parents=True, exist_ok=True)
        prepare = ["set -e", "ip link set lo up"]
        if short:
            for name in ("upper", "work"):
                (folder / name).mkdir()
            options = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
            prepare.append(f"mount -t overlay overlay -o {options} {self.root}")
        else:
            debootstrap(self.root)
        if self._borrows:
            prepare += [f"mkdir -p {self.root}/srv/libraries",
                        f"mount --bind {sysconfig.get_path('purelib')} {self.root}/srv/libraries"]  # fmt: skip
        prepare += [f"mount -t proc proc {self.root}/proc", f"mount --rbind /dev {self.root}/dev", "echo ready"]
        script = "; ".join([*prepare, "while :; do sleep 1; done"])
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", script],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", "namespaces, overlay or mounts are not to be had here"
        self._pid = int(Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()[0])
        self._furnish(short)

    def libraries(self) -> None:
        """What pip was told to leave out."""
        if self._borrows:
            self.shell("echo /srv/libraries > $(echo /opt/estafeta/lib/python3*/site-packages)/borrowed.pth")

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def _furnish(self, short: bool) -> None:
        """What a Debian has and a bare folder hasn't: the checkout, names of servers, a systemctl."""
        for name in TREE:
            self.shell(f"mkdir -p /src && cp -r /proc/1/root{ROOT}/{name} /src/", online=True, tree=True)
        self.put("/usr/local/bin/systemctl", (ROOT / "tests/packaging/systemctl").read_text(), 0o755)
        self.put("/etc/resolv.conf", Path("/etc/resolv.conf").read_text(), 0o644)
        self.put("/etc/hosts", "127.0.0.1 localhost\n", 0o644)
        bundle = Path("/etc/ssl/certs/ca-certificates.crt")
        if not short and bundle.exists():
            self.put(str(bundle), bundle.read_text(), 0o644)
        names = " ".join(f"/usr/sbin/{name} /usr/bin/{name} /usr/lib/{name}" for name in _CLASSIC)
        self.shell(f"mkdir -p /etc/systemd/system; rm -rf {names}; apt-get update -qq", online=True)

    def put(self, path: str, text: str, mode: int) -> None:
        self.shell(f"mkdir -p {os.path.dirname(path)}; rm -f {path}; cat > {path}; chmod {mode:o} {path}", text=text)

    def shell(self, commands: str, *, online: bool = False, text: str = "", tree: bool = False) -> str:
        """What the commands print; AssertionError where one fails. `tree`: this machine's files are in reach."""
        inside = ["nsenter", "-t", str(self._pid), "--mount", *([] if online else ["--net", "--pid"])]
        if tree:
            commands = commands.replace("/proc/1/root", "").replace("/src", f"{self.root}/src")
        else:
            inside += ["chroot", str(self.root)]
        environ = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
        environ.pop("PIP_FIND_LINKS", "")
        if self._borrows:
            environ["PIP_NO_DEPS"] = "1"
        work = [] if tree else ["cd /src"]
        done = subprocess.run(
            [*inside, "bash", "-ec", "\n".join([*work, commands])],
            input=text, capture_output=True, text=True, timeout=900,
            env={**environ, "PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
                 "PIP_ROOT_USER_ACTION": "ignore"},
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"{commands}\n{done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def until(self, commands: str, seconds: float = 60.0) -> str:
        end = time.monotonic() + seconds
        while True:
            try:
                return self.shell(commands)
            except AssertionError:
                if time.monotonic() > end:
                    log = self.shell("cat /run/estafeta.log || true")
                    raise AssertionError(f"not in {seconds} s: {commands}\n{log}") from None
                time.sleep(0.3)


def _same_python() -> bool:
    told = subprocess.run(["/usr/bin/python3", "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
    return told.stdout.decode().strip() == str(sys.version_info[:2])


def debootstrap(root: Path) -> None:
    """A fresh Debian; one that is there already is taken as it is."""
    if (root / "usr/bin/apt-get").exists():
        return
    words = ["debootstrap", "--variant=minbase", "--include=ca-certificates,systemd", SUITE, str(root)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert not done.returncode, f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


# ---- what must be true after each step ------------------------------------------------------------


_RUNNING = (    # as whom, for each process
    "for one in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null < $one/cmdline | grep -q '[e]stafeta run' "
    "&& stat -c %U $one || true; done"
)
_INBOX = "/var/lib/estafeta/mail/example.org/ana/Maildir"
_READ = f"""
import imaplib, ssl
context = ssl.create_default_context(cafile="/var/lib/estafeta/tls/self-signed.pem")
context.check_hostname = False
client = imaplib.IMAP4_SSL("localhost", ssl_context=context)
client.login("ana@example.org", "{PASSWORD}")
assert client.select()[1] == [b"1"]
found = client.fetch("1", "(BODY.PEEK[TEXT])")[1]
assert b"hola" in found[0][1], (found, client.fetch("1", "(BODY.PEEK[])"))
client.logout()
"""


def _program(machine: Machine) -> None:
    machine.libraries()
    assert machine.shell("estafeta --version").startswith("Estafeta ")
    assert machine.shell("find /opt/estafeta /usr/bin/estafeta ! -user root").strip() == "", "sec-X02: code is root's"


def _settings(machine: Machine) -> None:
    assert machine.shell("stat -c '%a %U:%G' /etc/estafeta/config.toml").strip() == "640 root:estafeta", "sec-X02"


def _service(machine: Machine) -> None:
    machine.until("exec 3<>/dev/tcp/localhost/25; read -t 5 line <&3; [[ $line == '220 mail.example.org'* ]]")
    for port in (465, 993):
        machine.until(f"exec 3<>/dev/tcp/localhost/{port}")
    users = set(machine.shell(_RUNNING).split())
    assert users == {"estafeta"}, f"P23: {users}"
    held = machine.shell("awk '/^Cap(Prm|Eff)/ {print $2}' /proc/$(cat /run/estafeta.pid)/status")
    assert {int(one, 16) for one in held.split()} == {1 << 10}, "CAP_NET_BIND_SERVICE and no other"
    assert machine.shell("stat -c '%U' /var/lib/estafeta").strip() == "estafeta"


def _names(machine: Machine) -> None:
    places = [f"/usr/bin/{name}" for name in ("mailq", "newaliases", "newlist", "config_list")]
    for path in ("/usr/sbin/sendmail", "/usr/lib/sendmail", *places):
        assert machine.shell(f"readlink -f {path}").strip() == "/opt/estafeta/bin/estafeta", path
    assert machine.shell("mailq").strip() == "Mail queue is empty"
    assert "manual" not in machine.shell("update-alternatives --query sendmail")


def _mail(machine: Machine) -> None:
    machine.until(f"find {_INBOX}/new {_INBOX}/cur -type f | grep .")
    machine.shell(f"/opt/estafeta/bin/python - <<'END'\n{_READ}END")
    assert "Traceback" not in machine.shell("cat /run/estafeta.log")


def _upgraded(machine: Machine) -> None:
    _service(machine)
    machine.shell(f"/opt/estafeta/bin/python - <<'END'\n{_READ}END")


def _removed(machine: Machine) -> None:
    assert machine.shell(_RUNNING) == ""
    left = machine.shell("find /usr /etc/alternatives /etc/systemd /opt -name '*estafeta*' -o -lname '*estafeta*'")
    assert left == "", f"what is left:\n{left}"
    assert machine.shell(f"ls {_INBOX}").strip(), "mail stays"


# number of the step -> (needs packages, what is typed, what must be true)
STEPS: dict[int, tuple[bool, str, Callable[[Machine], None]]] = {
    1: (True, "", lambda machine: None),
    2: (True, "", _program),
    3: (False, "", _settings),
    4: (False, "", _service),
    5: (False, "", _names),
    6: (False, f"{PASSWORD}\n{PASSWORD}\n", _mail),
    9: (False, "", _removed),
}
BESIDE = (8,)       # users of the operating system: tests/service looks at those, with PAM


def follow(page: Path, machine: Machine, tell: Callable[[str], None] = print) -> None:
    """All steps in order."""
    printed = steps(page)
    assert set(printed) == {*STEPS, 7, *BESIDE}, f"{page.name} has steps that nobody looks at: {sorted(printed)}"
    for number in sorted(printed):
        if number in BESIDE:
            continue
        begin = time.monotonic()
        if number == 7:
            install, restart, *rest = printed[7].splitlines()
            machine.shell(install, online=True)
            machine.shell(restart)
            _upgraded(machine)
            machine.shell("\n".join(rest))
        else:
            online, typed, true = STEPS[number]
            commands = printed[number].replace("apt-get install", "apt-get install -y")     # nobody is asked here
            if number == 6:
                add, send, *rest = commands.splitlines()
                machine.shell(add, text=typed)
                machine.shell(send)
                true(machine)
                assert "delivered" in machine.shell("\n".join(rest))
            else:
                machine.shell(commands, online=online, text=typed)
                true(machine)
        tell(f"step {number}: {time.monotonic() - begin:.1f} s")


def main() -> None:
    arg = argparse.ArgumentParser(prog="make install-test")
    arg.add_argument("--short", action="store_true", help="in an overlay over this machine's root, without debootstrap")
    arg.add_argument("--page", type=Path, default=ROOT / "docs" / "install.md")
    arg.add_argument("--folder", type=Path, help="keep the folder, and use one that debootstrap made before")
    given = arg.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="install.", dir="/var/tmp"))
    machine = Machine(folder, short=given.short)
    try:
        follow(given.page, machine)
        print(f"{given.page.name}: every step works as printed")
    except AssertionError as error:
        sys.exit(f"{given.page.name}: {error}")
    finally:
        machine.close()
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
