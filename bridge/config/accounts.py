"""Settings of the accounts: where their mail lies and how their passwords are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from bridge.config.define import Problem, setting

Kind = Literal["maildir", "mbox", "database"]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts: homes, passwords, users of the operating system."""

    home: str = setting(
        "{mail}/{domain}/{user}",
        "Home folder of a new account; {mail} {data} {domain} {user} are filled in.",
        es="Carpeta personal de una cuenta; se sustituyen {mail} {data} {domain} {user}.",
    )
    maildir: str = setting(
        "{home}/Maildir",
        "Mailbox of an account; also {home}.",
        es="Buzón de una cuenta; también {home}.",
    )
    store: Kind = setting(
        "maildir",
        "How mail is kept: maildir; mbox (INBOX as one file that mail and mutt read, other folders as Maildirs); "
        "database (see database.mail). A change moves no mail.",
        es="Cómo se guarda el correo: maildir; mbox (la entrada en un fichero que leen mail y mutt, las demás carpetas "
        "en Maildir); database (véase database.mail). Cambiarlo no traslada el correo.",
    )
    stores: dict[str, str] = setting(
        dict,
        'The same for single domains or addresses, as in "example.org" = "mbox", "juan@example.org" = "database".',
        es='Lo mismo para dominios o direcciones: "example.org" = "mbox", "juan@example.org" = "database".',
    )
    mbox: str = setting(
        "/var/mail/{user}",
        "The file of a mailbox of kind mbox; also {home} and {domain}. Without them, users of other domains than the "
        "first get user@domain as file name.",
        es="El fichero de un buzón de tipo mbox; también {home} y {domain}. Sin ellos, los usuarios de dominios que no "
        "sean el primero tienen usuario@dominio como nombre de fichero.",
    )
    mbox_status: bool = setting(
        False,
        "Write Status and X-Status into mbox files when messages are removed, for mail and mutt.",
        es="Escribir Status y X-Status en los ficheros mbox al borrar mensajes, para mail y mutt.",
    )
    password_minimum: int = setting(
        8, "Shortest password, characters.", es="Longitud mínima de una contraseña, en caracteres."
    )
    password_weak: bool = setting(
        False,
        "Accept passwords that everybody tries first (only for demonstrations).",
        es="Admitir contraseñas que todo el mundo prueba primero (solo para demostraciones).",
    )
    hash_memory: int = setting(
        19_456, "Memory of one argon2id hash, KiB.", es="Memoria de un cálculo argon2id, en KiB."
    )
    hash_rounds: int = setting(2, "Rounds of one argon2id hash.", es="Vueltas de un cálculo argon2id.")
    system_users: bool = setting(
        False,
        "Users of the operating system get mail, too, in their own homes.",
        es="Los usuarios del sistema operativo también reciben correo, en sus propias carpetas.",
    )
    system_first: int = setting(
        1000, "Lowest user number that counts as a person.", es="Menor número de usuario que cuenta como persona."
    )
    system_maildir: str = setting(
        "{home}/Maildir",
        "Mailbox of a system user; where INBOX is an mbox, the place of its index and of the other folders.",
        es="Buzón de un usuario del sistema; si la entrada es un mbox, el lugar de su índice y de las demás carpetas.",
    )
    system_store: Literal["maildir", "mbox"] = setting(
        "maildir",
        "How mail of system users is kept: maildir, or mbox (see mbox); stores may say otherwise for single addresses.",
        es="Cómo se guarda el correo de los usuarios del sistema: maildir o mbox (véase mbox); stores puede decir otra "
        "cosa para direcciones concretas.",
    )
    helper: str = setting(
        "/run/estafeta-helper/socket",
        "Socket of the helper that runs as root and does for system users what needs their rights.",
        es="Socket del ayudante que corre como root y hace por los usuarios del sistema lo que exige sus permisos.",
    )

    @property
    def in_database(self) -> bool:
        """Does anybody's mail lie in the database?"""
        return "database" in (self.store, *self.stores.values())

    def problems(self) -> Iterator[Problem]:
        for name in ("home", "maildir", "mbox", "system_maildir"):
            if not getattr(self, name).startswith(("/", "{")):
                yield Problem(
                    name,
                    "must be a full path or start with {mail}, {data} or {home}",
                    "debe ser una ruta completa o empezar por {mail}, {data} o {home}",
                )
        if not any(place in self.mbox for place in ("{user}", "{home}")):
            yield Problem("mbox", "must contain {user} or {home}", "debe contener {user} o {home}")
        for who, kind in self.stores.items():
            if kind not in get_args(Kind):
                yield Problem(
                    "stores",
                    f"{kind!r} for {who} is not one of {', '.join(get_args(Kind))}",
                    f"{kind!r} para {who} no es uno de {', '.join(get_args(Kind))}",
                )
        if not self.helper.startswith("/") or len(self.helper) > 100:
            yield Problem("helper", "must be a full path of at most 100 characters",
                          "debe ser una ruta completa de 100 caracteres como mucho")
        if self.system_users and self.system_first < 1:
            yield Problem("system_first", "root is no mailbox user: must be at least 1",
                          "root no es un usuario de buzón: debe ser al menos 1")
        elif self.system_users and self.system_first < 100:
            yield Problem("system_first", "accounts of services get mailboxes, too; usual is 1000",
                          "también las cuentas de servicios tendrían buzón; lo habitual es 1000", fatal=False)
        if "{user}" not in self.home:
            yield Problem("home", "must contain {user}", "debe contener {user}")
        if self.hash_memory < 19_456 or self.hash_rounds < 1:
            yield Problem(
                "hash_memory",
                "a hash that is too cheap to compute is cheap to guess; use at least 19456",
                "un cálculo demasiado barato se adivina pronto; use al menos 19456",
                fatal=False,
            )
        if self.password_weak or self.password_minimum < 8:
            yield Problem(
                "password_minimum",
                "weak passwords are accepted",
                "se admiten contraseñas débiles",
                fatal=False,
            )
