"""Settings of the mailing lists as a whole; what belongs to one list is an option of that list."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.checks import at_least
from bridge.config.define import Problem, setting

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Lists:
    """Mailing lists: where they live and how they defend themselves."""

    host: str = setting(
        "",
        "Domain of new lists; empty: the first local mail domain.",
        es="Dominio de las listas nuevas; vacío: el primer dominio de correo local.",
        example="example.org",
    )
    confirm_days: int = setting(
        3,
        "Days that a confirmation is valid.",
        es="Días de validez de una confirmación.",
    )
    answers_per_day: int = setting(
        3,
        "Answers a day to one address that nothing proves to be the writer's.",
        es="Respuestas al día a una misma dirección cuando nada prueba que sea de quien escribe.",
    )
    form_seconds: int = setting(
        5,
        "Youngest age of a web form that is accepted (robots are faster).",
        es="Edad mínima de un formulario web para aceptarlo (los robots son más rápidos).",
    )
    form_hourly: int = setting(
        30,
        "Subscription forms an hour from one network address.",
        es="Formularios de suscripción por hora desde una dirección de red.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.host and not _HOST.fullmatch(self.host):
            yield Problem(
                "host",
                f'{self.host!r} is no domain; write for instance "lists.example.org"',
                f'{self.host!r} no es un dominio; escriba por ejemplo "lists.example.org"',
            )
        yield from at_least(self, ("confirm_days", "answers_per_day", "form_hourly"))
        if self.form_seconds < 0:
            yield Problem("form_seconds", "must not be negative", "no puede ser negativo")
