"""A machine's users, made up: passwd, group, shadow, PAM and mail folder that only what runs under `prefix` sees.

Needs root: a mount namespace of its own, in which these files lie over the machine's.
"""

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "clave de ana 1"
NUMBERS = {
    "ana": 20_001, "luis": 20_002, "eva": 20_003, "Carmen": 20_004, "vieja": 20_005, "procu": 20_006, "daemonio": 501,
}  # fmt: skip
SHELLS = {"luis": "/usr/sbin/nologin"}
EXPIRED = ("vieja",)
GROUP = 20_050      # of the mail folder


@dataclass
class People:
    """`folder`: where the made-up files and homes are."""

    folder: Path
    names: dict[str, int] = field(default_factory=lambda: dict(NUMBERS))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for one in (self.folder, *self.folder.parents):
            if one.owner() == "root" and not one.stat().st_mode & 0o001:
                one.chmod(one.stat().st_mode | 0o011)
        self.homes.mkdir(mode=0o755)
        self.mail.mkdir()
        os.chown(self.mail, 0, GROUP)
        self.mail.chmod(0o2775)
        stored = subprocess.run(
            ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
        ).stdout.strip()
        passwd, shadow, group = (Path(f"/etc/{name}").read_text() for name in ("passwd", "shadow", "group"))
        for name, number in self.names.items():
            home = self.homes / name
            home.mkdir(mode=0o700)
            os.chown(home, number, number)
            passwd += f"{name}:x:{number}:{number}:{name.title()},,,:{home}:{SHELLS.get(name, '/bin/bash')}\n"
            shadow += f"{name}:{stored}:19000:0:99999:7::{'100' if name in EXPIRED else ''}:\n"
            group += f"{name}:x:{number}:\n"
        for name, text, mode in (
            ("passwd", passwd, 0o644), ("shadow", shadow, 0o600),
            ("group", group + f"maildrop-test:x:{GROUP}:\n", 0o644),
        ):  # fmt: skip
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(mode)
        pam = "auth required pam_unix.so\naccount required pam_unix.so\n"
        (self.folder / "pam.d").mkdir(mode=0o755)
        for name in ("other", "estafeta"):
            (self.folder / "pam.d" / name).write_text(pam)

    @property
    def homes(self) -> Path:
        return self.folder / "home"

    @property
    def mail(self) -> Path:
        return self.folder / "mail"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Runs a command where these are the users."""
        mounts = " && ".join(
            f"mount --bind {shlex.quote(str(self.folder / name))} /etc/{name}"
            for name in ("passwd", "shadow", "group", "pam.d")
        )
        return ("unshare", "-m", "--propagation", "private", "sh", "-c", f'{mounts} && exec "$@"', "sh")
