"""What is missing for the users of the operating system: lines for `estafeta check`."""
import importlib.util
import os
from pathlib import Path

from bridge.config.schema import Settings
from bridge.store.helper import Helper

PAM = Path("/etc/pam.d")


def missing(settings: Settings, pam: Path = PAM) -> list[str]:
    """Empty if system users get no mail here, or all is there."""
    accounts = settings.accounts
    if not accounts.system_users:
        return []
    found = []
    if os.getuid() != 0 or not settings.server.user:
        why = Helper(accounts.helper).answers()
        if why:
            found.append(
                f"accounts.system_users: the helper doesn't answer at {accounts.helper} ({why}); without it mail for "
                f"system users waits: systemctl enable --now estafeta-helper"
            )
    if not (pam / "estafeta").exists():
        found.append(
            f"accounts.system_users: {pam}/estafeta is missing, so {pam}/other decides who may log in: "
            f"install packaging/estafeta.pam there"
        )
    if importlib.util.find_spec("pamela") is None:
        found.append("accounts.system_users: the package pamela is missing, so nobody can log in: pip install pamela")
    folder = Path(accounts.mbox).parent
    if "mbox" in (accounts.system_store, *accounts.stores.values()) and "{" not in str(folder) and not folder.is_dir():
        found.append(f"accounts.mbox: there is no folder {folder}: mkdir it, chgrp mail, chmod 2775")
    return found
