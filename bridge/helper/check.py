"""What is missing for the users of the operating system: lines for `estafeta check`, English and Spanish."""
import importlib.util
import os
from pathlib import Path

from bridge.config.schema import Settings
from bridge.store.helper import Helper

PAM = Path("/etc/pam.d")


def missing(settings: Settings, pam: Path = PAM) -> list[tuple[str, str]]:
    """Empty if system users get no mail here, or all is there."""
    accounts = settings.accounts
    if not accounts.system_users:
        return []
    found = []
    if why := Helper(accounts.helper, patience=0.0).answers():
        found.append((
            f"accounts.system_users: the helper at {accounts.helper}: {why}. Until it answers, mail for system users "
            f"waits and they can't log in: systemctl enable --now estafeta-helper (`estafeta run` as root starts it "
            f"by itself)",
            f"accounts.system_users: el ayudante en {accounts.helper}: {why}. Hasta que responda, el correo de los "
            f"usuarios del sistema espera y no pueden entrar: systemctl enable --now estafeta-helper (`estafeta run` "
            f"como root lo arranca solo)",
        ))
    if not settings.server.user and os.getuid() != 0:
        found.append((
            'accounts.system_users: server.user is empty, so the helper hears root alone: set server.user = "estafeta"',
            'accounts.system_users: server.user está vacío, el ayudante solo oye a root: server.user = "estafeta"',
        ))
    if not (pam / "estafeta").exists():
        found.append((
            f"accounts.system_users: {pam}/estafeta is missing, so {pam}/other decides who may log in: "
            f"install packaging/estafeta.pam as {pam}/estafeta",
            f"accounts.system_users: falta {pam}/estafeta y decide {pam}/other quién puede entrar: "
            f"instale packaging/estafeta.pam como {pam}/estafeta",
        ))
    if importlib.util.find_spec("pamela") is None:
        found.append((
            "accounts.system_users: the package pamela is missing, so nobody can log in: pip install pamela",
            "accounts.system_users: falta el paquete pamela y nadie puede entrar: pip install pamela",
        ))
    return found + _folder(settings)


def _folder(settings: Settings) -> list[tuple[str, str]]:
    """Of the mbox files, where there are any."""
    accounts = settings.accounts
    folder = Path(accounts.mbox).parent
    if "mbox" not in (accounts.system_store, *accounts.stores.values()) or "{" in str(folder) or folder.is_dir():
        return []
    return [(
        f"accounts.mbox: there is no folder {folder}: mkdir {folder}, chgrp mail {folder}, chmod 2775 {folder}",
        f"accounts.mbox: no existe la carpeta {folder}: mkdir {folder}, chgrp mail {folder}, chmod 2775 {folder}",
    )]
