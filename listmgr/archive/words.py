"""The words of the archive's pages, in English and Spanish, and dates as people write them there."""

from types import SimpleNamespace

from bridge.wire import dates

_ENGLISH = {
    "archive": "Archive of",
    "about": "About the list",
    "volume": "Volume",
    "view": "View by",
    "download": "Text, compressed",
    "thread": "Thread",
    "subject": "Subject",
    "author": "Author",
    "date": "Date",
    "sorted": "Messages sorted by",
    "volumes": "All volumes",
    "first": "First",
    "last": "Last",
    "messages": "Messages",
    "previous": "Previous message",
    "next": "Next message",
    "nosubject": "(no subject)",
    "nobody": "(no name)",
    "attachment": "Attachment",
    "bytes": "bytes",
    "cut": "The text goes on in the original message.",
    "empty": "There is nothing in this archive yet.",
    "skip": "Skip to the message",
    "again": "Further messages",
    "top": "Top",
    "reply": "Reply to the list",
}
_SPANISH = {
    "archive": "Archivo de",
    "about": "Sobre la lista",
    "volume": "Tomo",
    "view": "Ver por",
    "download": "Texto comprimido",
    "thread": "Hilo",
    "subject": "Asunto",
    "author": "Autor",
    "date": "Fecha",
    "sorted": "Mensajes ordenados por",
    "volumes": "Todos los tomos",
    "first": "Primero",
    "last": "Último",
    "messages": "Mensajes",
    "previous": "Mensaje anterior",
    "next": "Mensaje siguiente",
    "nosubject": "(sin asunto)",
    "nobody": "(sin nombre)",
    "attachment": "Adjunto",
    "bytes": "bytes",
    "cut": "El texto continúa en el mensaje original.",
    "empty": "Todavía no hay nada en este archivo.",
    "skip": "Ir al mensaje",
    "again": "Más mensajes",
    "top": "Arriba",
    "reply": "Responder a la lista",
}
# a template reads attributes several times faster than keys
WORDS = {"en": SimpleNamespace(**_ENGLISH), "es": SimpleNamespace(**_SPANISH)}
_MONTHS = {
    "en": dates.MONTHS,
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
}
_DAYS = {"en": dates.DAYS, "es": ("lun", "mar", "mié", "jue", "vie", "sáb", "dom")}


def moment(epoch: int, zone: int, language: str) -> str:
    """`Thu 20 Feb 2003, 01:42:04 +0900`: weekday, day, 24 hours, the writer's own zone (A20)."""
    language = language if language in _DAYS else "en"
    # "Thu, 20 Feb 2003 01:42:04 +0900" has its parts at fixed places
    text = dates.rfc5322(epoch, zone)
    day = _DAYS[language][dates.DAYS.index(text[:3])]
    month = _MONTHS[language][dates.MONTHS.index(text[8:11])]
    return f"{day} {int(text[5:7])} {month} {text[12:16]}, {text[17:]}"
