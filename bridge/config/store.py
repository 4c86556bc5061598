"""Mailboxes: how much one folder and one account may hold, and how often the index is tidied."""
from dataclasses import dataclass

from bridge.config.define import setting


@dataclass(frozen=True, slots=True)
class Store:
    """Mailboxes: limits of folders and keywords, care of the index."""

    folders: int = setting(2000, "Most folders of one account.", es="Máximo de carpetas de una cuenta.")
    keywords: int = setting(
        56, "Most keywords (labels) of one folder, at most 56.", es="Máximo de etiquetas de una carpeta, hasta 56."
    )
    message_size: int = setting(
        50_000_000, "Largest message that a client may store, bytes.",
        es="Mensaje más grande que un cliente puede guardar, en bytes.",
    )
    tidy_after: float = setting(
        1.0,
        "Seconds after a change until flags are written into file names and removed files are deleted.",
        es="Segundos tras un cambio hasta escribir las marcas en los nombres y borrar los ficheros eliminados.",
    )
    idle_close: float = setting(
        60.0, "Seconds without use until an index is closed.", es="Segundos sin uso hasta cerrar un índice."
    )
    describe: bool = setting(
        True, "Describe new mail in the background, before a client asks.",
        es="Analizar el correo nuevo en segundo plano, antes de que lo pida un cliente.",
    )
    shared_pop3: bool = setting(
        False, "Let several POP3 sessions use one mailbox at once.",
        es="Permitir varias sesiones POP3 a la vez en un buzón.",
    )
