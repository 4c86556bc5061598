"""Settings of the accounts: where their mail lies and how their passwords are kept."""

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.define import Problem, setting


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
        "{home}/Maildir", "Mailbox of a system user.", es="Buzón de un usuario del sistema."
    )

    def problems(self) -> Iterator[Problem]:
        for name in ("home", "maildir", "system_maildir"):
            if not getattr(self, name).startswith(("/", "{")):
                yield Problem(
                    name,
                    "must be a full path or start with {mail}, {data} or {home}",
                    "debe ser una ruta completa o empezar por {mail}, {data} o {home}",
                )
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
