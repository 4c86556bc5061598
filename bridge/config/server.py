"""Settings of the house itself: names, folders, ports, processes, certificates, pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bridge.config.checks import not_addresses
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Server:
    """Who this server is and as whom it runs."""

    hostname: str = setting(
        "localhost",
        "Name of this machine in greetings and trace headers.",
        es="Nombre de esta máquina en saludos y cabeceras de traza.",
        example="mail.example.org",
    )
    language: Literal["en", "es"] = setting(
        "en",
        "Language of mails and pages where nothing else is known: en or es.",
        es="Idioma de correos y páginas cuando no se sabe otro: en o es.",
        example=True,
    )
    user: str = setting(
        "",
        "User (name or uid:gid) that the processes become when started as root.",
        es="Usuario (nombre o uid:gid) que toman los procesos si se arranca como root.",
    )
    smtp_user: str = setting(
        "",
        "User of the SMTP processes, so that they cannot read mailboxes; empty: the same as user.",
        es="Usuario de los procesos SMTP, para que no puedan leer buzones; vacío: el mismo que user.",
    )
    smtp_processes: int = setting(
        0,
        "SMTP processes; 0: one per processor.",
        es="Procesos SMTP; 0: uno por procesador.",
    )
    imap_processes: int = setting(
        0,
        "IMAP and POP3 processes; 0: one per processor.",
        es="Procesos IMAP y POP3; 0: uno por procesador.",
    )
    senders: int = setting(1, "Processes for outgoing SMTP.", es="Procesos para el SMTP saliente.")
    workers: int = setting(
        1,
        "Processes for archive pages, digests and indexes.",
        es="Procesos para páginas de archivo, resúmenes e índices.",
    )
    stop_seconds: int = setting(
        20,
        "How long a stop waits for open sessions.",
        es="Cuánto espera una parada a las sesiones abiertas.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.user in ("root", "0", "0:0"):
            yield Problem(
                "user",
                "the processes would keep root's rights; use a user of their own, for instance estafeta",
                "los procesos conservarían los permisos de root; use un usuario propio, por ejemplo estafeta",
                fatal=False,
            )


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything is kept. Relative paths start at the folder of the configuration file."""

    data: str = setting(
        "/var/lib/estafeta",
        "Folder of all state: spool, databases, mailboxes, archives.",
        es="Carpeta de todo el estado: cola, bases de datos, buzones, archivos.",
        example="var",
    )
    spool: str = setting("{data}/spool", "Accepted messages that wait.", es="Mensajes aceptados que esperan.")
    databases: str = setting("{data}/db", "SQLite files.", es="Ficheros SQLite.")
    archives: str = setting("{data}/archives", "Archives of the lists.", es="Archivos de las listas.")
    trace: str = setting("{data}/trace", "The journal, a file a day.", es="El diario, un fichero por día.")
    drop: str = setting(
        "{data}/drop",
        "Where programs of this machine leave mail with sendmail; every user can write there, none can read.",
        es="Donde los programas de esta máquina dejan correo con sendmail; todos pueden escribir, nadie leer.",
    )
    run: str = setting("{data}/run", "Sockets between the processes.", es="Sockets entre los procesos.")
    templates: str = setting(
        "",
        "Folder with templates that replace the shipped ones of the same name.",
        es="Carpeta con plantillas que sustituyen a las del mismo nombre.",
    )


@dataclass(frozen=True, slots=True)
class Listen:
    """Ports. 0 turns one off."""

    addresses: tuple[str, ...] = setting(
        ("0.0.0.0", "::"),
        "Addresses to listen on.",
        es="Direcciones en las que se escucha.",
        example=("127.0.0.1",),
    )
    smtp: int = setting(25, "SMTP from other servers.", es="SMTP de otros servidores.", example=2525)
    submission: int = setting(0, "Submission with STARTTLS (587).", es="Envío con STARTTLS (587).", example=2587)
    submissions: int = setting(465, "Submission over TLS.", es="Envío sobre TLS.", example=2465)
    lmtp: int = setting(
        0, "LMTP, for programs on this machine.", es="LMTP, para programas de esta máquina.", example=2424
    )
    imap: int = setting(0, "IMAP with STARTTLS (143).", es="IMAP con STARTTLS (143).", example=2143)
    imaps: int = setting(993, "IMAP over TLS.", es="IMAP sobre TLS.", example=2993)
    pop3: int = setting(0, "POP3 with STLS (110).", es="POP3 con STLS (110).", example=2110)
    pop3s: int = setting(0, "POP3 over TLS (995).", es="POP3 sobre TLS (995).", example=2995)
    http: int = setting(
        8080,
        "Pages, plain, for a web server in front.",
        es="Páginas, sin TLS, detrás de un servidor web.",
        example=2080,
    )
    web_address: str = setting(
        "127.0.0.1",
        "Address of the pages' port.",
        es="Dirección del puerto de las páginas.",
    )

    def problems(self) -> Iterator[Problem]:
        yield from not_addresses("addresses", self.addresses)
        yield from not_addresses("web_address", (self.web_address,))


@dataclass(frozen=True, slots=True)
class Pair:
    """A further certificate, for clients that ask for one of its names."""

    certificate: str = setting(
        "", "PEM file with the certificate chain.", es="Fichero PEM con la cadena de certificados."
    )
    key: str = setting(
        "", "PEM file with the private key (mode 0600).", es="Fichero PEM con la clave privada (modo 0600)."
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate of this server. Without files a self-signed one is made in the data folder."""

    certificate: str = setting(
        "", "PEM file with the certificate chain.", es="Fichero PEM con la cadena de certificados."
    )
    key: str = setting(
        "", "PEM file with the private key (mode 0600).", es="Fichero PEM con la clave privada (modo 0600)."
    )
    more: tuple[Pair, ...] = setting(
        (), "Further certificates; a client gets the one that has the name it asks for (SNI).",
        es="Más certificados; un cliente recibe el que lleve el nombre que pide (SNI).",
    )

    def problems(self) -> Iterator[Problem]:
        if any(not (one.certificate and one.key) for one in self.more):
            yield Problem(
                "more", "each needs certificate and key", "cada uno necesita certificate y key",
            )
        if self.more and not self.certificate:
            yield Problem(
                "more", "name the usual one first, in certificate and key",
                "indique antes el habitual, en certificate y key",
            )
        if bool(self.certificate) != bool(self.key):
            yield Problem(
                "certificate" if self.certificate else "key",
                "certificate and key belong together; give both or none",
                "certificate y key van juntos; indique ambos o ninguno",
            )


@dataclass(frozen=True, slots=True)
class Web:
    """Pages: lists, archives, status."""

    base_url: str = setting(
        "",
        "Address of the pages as people see it; empty: http://hostname:port.",
        es="Dirección de las páginas tal como la ve la gente; vacío: http://hostname:puerto.",
        example="http://127.0.0.1:2080",
    )
    hosts: tuple[str, ...] = setting(
        (),
        "Further host names that requests may carry.",
        es="Otros nombres de máquina admitidos en las peticiones.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            yield Problem(
                "base_url",
                "must start with http:// or https://",
                "debe empezar por http:// o https://",
            )


@dataclass(frozen=True, slots=True)
class Database:
    """Where accounts, lists, ledger and queue are kept, and mail that is kept in a database."""

    core: str = setting(
        "",
        "SQLAlchemy URL of accounts, lists and ledger; empty: SQLite in paths.databases.",
        es="URL de SQLAlchemy de cuentas, listas y registro de recogidas; vacío: SQLite en paths.databases.",
    )
    queue: str = setting(
        "",
        "SQLAlchemy URL of the queue; empty: SQLite in paths.databases.",
        es="URL de SQLAlchemy de la cola; vacío: SQLite en paths.databases.",
    )
    mail: str = setting(
        "",
        "SQLAlchemy URL of mailboxes of kind database; empty: SQLite in paths.databases.",
        es="URL de SQLAlchemy de los buzones de tipo database; vacío: SQLite en paths.databases.",
    )


@dataclass(frozen=True, slots=True)
class Log:
    """The log: one line per outcome, in the manner of mail.log."""

    level: Literal["error", "warning", "info", "debug"] = setting(
        "info",
        "How much is told: error, warning, info or debug.",
        es="Cuánto se cuenta: error, warning, info o debug.",
    )
    file: str = setting("", "Log file; empty: standard error.", es="Fichero de registro; vacío: error estándar.")
    trace_days: int = setting(
        30,
        "Days that the journal is kept.",
        es="Días que se conserva el diario.",
    )
