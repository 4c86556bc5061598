"""Settings of the queue: how long, how often, how much at once, and what senders are told."""

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.config.checks import at_least
from bridge.config.define import Problem, setting


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue: retries, life time, bounces."""

    retry_first: int = setting(
        300,
        "First wait after a temporary failure, seconds; each further one is twice as long.",
        es="Primera espera tras un fallo temporal, en segundos; cada una siguiente es el doble.",
    )
    retry_longest: int = setting(
        4 * 3600,
        "Longest wait between two attempts, seconds.",
        es="Espera más larga entre dos intentos, en segundos.",
    )
    lifetime: int = setting(
        5 * 86400,
        "How long a message is tried before it is returned to its sender, seconds.",
        es="Durante cuánto se intenta entregar un mensaje antes de devolverlo, en segundos.",
        example=True,
    )
    bounce_lifetime: int = setting(
        86400,
        "The same for reports to senders (null sender), seconds.",
        es="Lo mismo para los avisos a remitentes (remitente nulo), en segundos.",
    )
    expire_attempts: int = setting(
        10,
        "A message does not expire before it was tried so many times.",
        es="Un mensaje no caduca antes de haberse intentado tantas veces.",
    )
    delay_warning: int = setting(
        4 * 3600,
        "When the sender is told of a delay, seconds; 0: never.",
        es="Cuándo se avisa al remitente de un retraso, en segundos; 0: nunca.",
    )
    postmaster: str = setting(
        "postmaster",
        "Who gets reports that can't go to a sender; without @ at this machine's name.",
        es="Quién recibe los avisos que no pueden ir a un remitente; sin @ en el nombre de esta máquina.",
    )
    full_bounces: bool = setting(
        False,
        "Return whole messages, not only their headers, unless the sender asked otherwise.",
        es="Devolver mensajes enteros, no sólo sus cabeceras, salvo que el remitente pida otra cosa.",
    )
    foreign_reports: int = setting(
        60,
        "Reports an hour to senders elsewhere whose mail came in without login; the rest goes to postmaster.",
        es="Avisos por hora a remitentes ajenos cuyo correo entró sin autenticación; el resto va a postmaster.",
    )
    scan_seconds: int = setting(
        5,
        "How often the spool is looked through for what no hint told of.",
        es="Cada cuánto se repasa la cola por si se perdió algún aviso interno.",
    )
    batch: int = setting(64, "Messages that are taken up together.", es="Mensajes que se toman juntos.")
    active: int = setting(
        10_000,
        "Recipients under way at the same time.",
        es="Destinatarios en curso a la vez.",
    )
    transactions: int = setting(
        100,
        "Remote transactions under way at the same time.",
        es="Transacciones remotas en curso a la vez.",
    )
    per_destination: int = setting(
        5,
        "Remote transactions under way at the same time to one destination, at first.",
        es="Transacciones remotas en curso a la vez hacia un mismo destino, al principio.",
    )
    per_destination_most: int = setting(
        20,
        "The same for a destination that takes all we send.",
        es="Lo mismo para un destino que acepta todo lo que se le envía.",
    )
    chunk: int = setting(
        50,
        "Recipients of one remote transaction.",
        es="Destinatarios de una transacción remota.",
    )
    transport_seconds: int = setting(
        3600,
        "How long a delivery may take before it is given up for now.",
        es="Cuánto puede durar una entrega antes de dejarla para más tarde.",
    )
    poison: int = setting(
        3,
        "A message during whose handling the process died so many times is set aside.",
        es="Un mensaje durante cuyo trato el proceso murió tantas veces se aparta.",
    )
    remember_days: int = setting(
        7,
        "How long finished messages are remembered, so that none is taken up twice, days.",
        es="Cuánto se recuerdan los mensajes terminados, para no tomar ninguno dos veces, en días.",
    )

    def problems(self) -> Iterator[Problem]:
        if not 0 < self.retry_first <= self.retry_longest:
            yield Problem(
                "retry_first",
                "must be more than 0 and not more than retry_longest",
                "debe ser mayor que 0 y no mayor que retry_longest",
            )
        yield from at_least(self, (
            "batch", "active", "transactions", "per_destination", "chunk", "scan_seconds", "poison",
        ))  # fmt: skip
        if self.per_destination_most < self.per_destination:
            yield Problem(
                "per_destination_most",
                "must not be less than per_destination",
                "no debe ser menor que per_destination",
            )
        if self.lifetime < 86400:
            yield Problem(
                "lifetime",
                "less than a day: mail is returned when a server is down over night",
                "menos de un día: el correo se devuelve si un servidor está caído una noche",
                fatal=False,
            )
