"""Settings of collecting: the external accounts and the timetable."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class FetchAccount:
    """One external account. In the file: [[fetch.account]]."""

    name: str = setting("", "Short name of the account.", es="Nombre corto de la cuenta.")
    protocol: Literal["imap", "pop3"] = setting("imap", "Protocol: imap or pop3.", es="Protocolo: imap o pop3.")
    host: str = setting("", "The remote server.", es="El servidor remoto.")
    port: int = setting(0, "Port; 0: the usual one.", es="Puerto; 0: el habitual.")
    tls: Literal["implicit", "starttls", "none"] = setting(
        "implicit",
        "implicit, starttls (required then) or none.",
        es="implicit, starttls (entonces obligatorio) o none.",
    )
    tls_verify: bool = setting(
        True,
        "Check the certificate and its name.",
        es="Comprobar el certificado y su nombre.",
    )
    tls_fingerprint: str = setting(
        "",
        "Only this certificate (SHA-256, hexadecimal).",
        es="Solo este certificado (SHA-256, hexadecimal).",
    )
    tls_ca_file: str = setting(
        "",
        "Trust the authorities in this PEM file.",
        es="Confiar en las autoridades de este fichero PEM.",
    )
    user: str = setting("", "Login there.", es="Usuario remoto.")
    password: str = setting("", "Password there.", es="Contraseña remota.", secret=True)
    auth: Literal["password", "apop", "cram-md5"] = setting(
        "password",
        "How to prove it: password, apop or cram-md5.",
        es="Cómo identificarse: password, apop o cram-md5.",
    )
    to: str = setting(
        "",
        "Local address that gets the mail: a user or a list.",
        es="Dirección local que recibe el correo: usuario o lista.",
    )
    folders: tuple[str, ...] = setting(("INBOX",), "Folders to collect (IMAP).", es="Carpetas que se recogen (IMAP).")
    keep: bool = setting(True, "Leave the mail on the server.", es="Dejar el correo en el servidor.")
    delete_days: int = setting(
        0,
        "With keep: delete there after so many days; 0: never.",
        es="Con keep: borrar allí pasados estos días; 0: nunca.",
    )
    interval: int = setting(
        0, "Seconds between polls; 0: fetch.interval.", es="Segundos entre consultas; 0: fetch.interval."
    )
    timeout: int = setting(
        60, "Seconds without an answer that end a poll.", es="Segundos sin respuesta que acaban una consulta."
    )
    limit: int = setting(
        0, "Leave larger messages there, bytes; 0: no limit.", es="No recoger mensajes mayores, bytes; 0: sin límite."
    )


@dataclass(frozen=True, slots=True)
class Fetch:
    """Collecting external accounts into local mailboxes and lists."""

    interval: int = setting(300, "Seconds between polls.", es="Segundos entre consultas.")
    threads: int = setting(8, "Polls at the same time.", es="Consultas simultáneas.")
    account: tuple[FetchAccount, ...] = setting(
        (), "The accounts: [[fetch.account]].", es="Las cuentas: [[fetch.account]]."
    )
    rcfiles: tuple[str, ...] = setting(
        (),
        "fetchmail run control files of the site; each user in them needs a local name (is ... here).",
        es="Ficheros de control de fetchmail del sitio; cada usuario necesita un nombre local (is ... here).",
    )
    user_rcfiles: dict[str, str] = setting(
        dict,
        "Run control files of users: local address = file; mail without a local name is theirs.",
        es="Ficheros de control de usuarios: dirección local = fichero; el correo sin nombre local es suyo.",
    )

    def problems(self) -> Iterator[Problem]:
        names = [one.name for one in self.account]
        for one in self.account:
            for key in ("name", "host", "user", "to"):
                if not getattr(one, key):
                    yield Problem(
                        "account",
                        f"account {one.name or one.host or '?'}: {key} is missing",
                        f"cuenta {one.name or one.host or '?'}: falta {key}",
                    )
            if names.count(one.name) > 1:
                yield Problem(
                    "account",
                    f"two accounts are named {one.name!r}; names must differ",
                    f"hay dos cuentas llamadas {one.name!r}; los nombres deben ser distintos",
                )
            if one.tls == "none" and one.host not in ("127.0.0.1", "::1", "localhost"):
                yield Problem(
                    "account",
                    f"account {one.name}: the password goes to {one.host} in clear text",
                    f"cuenta {one.name}: la contraseña viaja en claro hasta {one.host}",
                    fatal=False,
                )
        if self.interval < 10:
            yield Problem("interval", "at least 10 seconds", "al menos 10 segundos")
