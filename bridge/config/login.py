"""Settings of logging in, the same for every protocol."""

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.checks import at_least, not_networks
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Login:
    """Logging in: how many wrong passwords are borne, from where and how often."""

    per_minute: int = setting(
        10, "Wrong passwords per minute from one address.", es="Contraseñas erróneas por minuto desde una dirección."
    )
    per_day: int = setting(
        50, "Wrong passwords per day from one address.", es="Contraseñas erróneas por día desde una dirección."
    )
    network_factor: int = setting(
        3,
        "How many times as many a whole network (/24, /64) may have; a /48 has the square of it.",
        es="Cuántas veces más se permite a toda una red (/24, /64); a una /48, el cuadrado.",
    )
    account_per_day: int = setting(
        30,
        "Wrong passwords per day for one account before unknown addresses must go slowly.",
        es="Contraseñas erróneas por día en una cuenta antes de frenar a direcciones desconocidas.",
    )
    account_slow: int = setting(
        2,
        "Attempts per minute that all unknown addresses together then have for that account.",
        es="Intentos por minuto que tienen entonces todas las direcciones desconocidas para esa cuenta.",
    )
    delay: int = setting(
        2, "Seconds before a wrong password is answered.", es="Segundos antes de responder a una contraseña errónea."
    )
    remember: int = setting(
        3600,
        "Seconds that a proven password needs no new hash.",
        es="Segundos durante los que una contraseña probada no se vuelve a calcular.",
    )
    exempt: tuple[str, ...] = setting(
        (),
        "Networks whose addresses are not counted (a web mail server); accounts still are.",
        es="Redes cuyas direcciones no se cuentan (un servidor de correo web); las cuentas sí.",
    )

    def problems(self) -> Iterator[Problem]:
        yield from not_networks("exempt", self.exempt)
        yield from at_least(self, ("per_minute", "per_day", "network_factor", "account_per_day", "account_slow"))
        yield from at_least(self, ("delay", "remember"), 0)
