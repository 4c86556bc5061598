"""Settings of collecting: the external accounts and the timetable."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bridge.config.checks import at_least
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class FetchAccount:
    """One external account. In the file: [[fetch.account]]."""

    name: str = setting("", "Short name of the account.", es="Nombre corto de la cuenta.")
    protocol: Literal["imap", "pop3", "auto"] = setting(
        "imap",
        "Protocol: imap, pop3, or auto: imap and, where nobody answers, pop3.",
        es="Protocolo: imap, pop3 o auto: imap y, si nadie responde, pop3.",
    )
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
        "Only this certificate (SHA-256, hexadecimal; SHA-1 and MD5 of old files are understood).",
        es="Solo este certificado (SHA-256, hexadecimal; se entienden SHA-1 y MD5 de ficheros antiguos).",
    )
    tls_ca_file: str = setting(
        "",
        "Trust the authorities in this PEM file or folder.",
        es="Confiar en las autoridades de este fichero PEM o carpeta.",
    )
    tls_name: str = setting(
        "",
        "Name that the certificate must have; empty: host.",
        es="Nombre que debe llevar el certificado; vacío: host.",
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
    folders: tuple[str, ...] = setting(
        ("INBOX",),
        "Folders to collect (IMAP); * and ? are patterns.",
        es="Carpetas que se recogen (IMAP); * y ? son comodines.",
    )
    keep: bool = setting(True, "Leave the mail on the server.", es="Dejar el correo en el servidor.")
    delete_days: int = setting(
        0,
        "With keep: delete there after so many days; 0: never.",
        es="Con keep: borrar allí pasados estos días; 0: nunca.",
    )
    expunge_all: bool = setting(
        False,
        "Where the server has no UIDPLUS, expunge the whole folder; only if nobody else uses it.",
        es="Si el servidor no tiene UIDPLUS, purgar toda la carpeta; solo si nadie más la usa.",
    )
    idle: bool = setting(
        False,
        "Watch for new mail all the time (IMAP IDLE), besides the polls.",
        es="Vigilar la llegada de correo todo el tiempo (IMAP IDLE), además de las consultas.",
    )
    interval: int = setting(
        0, "Seconds between polls; 0: fetch.interval.", es="Segundos entre consultas; 0: fetch.interval."
    )
    timeout: int = setting(
        60, "Seconds without an answer that end a poll.", es="Segundos sin respuesta que acaban una consulta."
    )
    reach: tuple[str, ...] = setting(
        (),
        "Servers that it may connect to: names, name:port, or public (mail ports of public servers); empty: any.",
        es="Servidores con los que puede conectar: nombres, nombre:puerto o public (puertos de correo de servidores "
        "públicos); vacío: cualquiera.",
    )
    limit: int = setting(
        0, "Leave larger messages there, bytes; 0: no limit.", es="No recoger mensajes mayores, bytes; 0: sin límite."
    )
    most: int = setting(
        0, "Messages collected in one poll; 0: all.", es="Mensajes recogidos en una consulta; 0: todos."
    )


@dataclass(frozen=True, slots=True)
class Fetch:
    """Collecting external accounts into local mailboxes and lists."""

    interval: int = setting(300, "Seconds between polls.", es="Segundos entre consultas.")
    threads: int = setting(8, "Polls at the same time.", es="Consultas simultáneas.")
    poll_seconds: int = setting(
        3600,
        "Longest time of one poll, seconds; the next goes on.",
        es="Duración máxima de una consulta, segundos; la siguiente continúa.",
    )
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

    page: bool = setting(
        True,
        "Whoever has a mailbox here may set up own external accounts on the page /fetchmailconf.",
        es="Quien tiene buzón aquí puede configurar sus cuentas externas en la página /fetchmailconf.",
    )
    page_hosts: tuple[str, ...] = setting(
        (),
        "Servers besides public ones that accounts of that page may use: name or name:port of the own network.",
        es="Servidores, además de los públicos, que pueden usar las cuentas de esa página: nombre o nombre:puerto de "
        "la red propia.",
    )
    page_tries: int = setting(
        20,
        "How often an hour one person may look at servers or try logins on that page.",
        es="Cuántas veces por hora puede una persona mirar servidores o probar accesos en esa página.",
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
            if len(one.name) > 150:
                yield Problem(
                    "account",
                    f"account {one.name[:30]}...: the name is longer than 150 characters",
                    f"cuenta {one.name[:30]}...: el nombre tiene más de 150 caracteres",
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
        yield from at_least(self, ("interval",), 10)
        yield from at_least(self, ("threads",))
        yield from at_least(self, ("poll_seconds",), 30)
