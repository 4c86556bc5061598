"""The words of the list pages in English and Spanish. Mails have templates of their own."""

from types import SimpleNamespace

from listmgr.keeperwords import CHOICES, KEEPER

_ENGLISH = {
    "lists": "Mailing lists",
    "nolists": "No list is advertised here.",
    "about": "About this list",
    "archive": "Archive",
    "private": "The archive is for members only.",
    "noarchive": "This list keeps no archive.",
    "post": "To write to all members, send mail to",
    "join": "Subscribe",
    "join_text": "Fill in your address. You get a mail with a link; without that answer nothing happens.",
    "address": "Your email address",
    "name": "Your name (if you like)",
    "language": "Language",
    "leave": "Unsubscribe",
    "leave_text": "You get a mail with a link; without that answer you stay subscribed.",
    "leave_mail": "By mail: send the word unsubscribe to",
    "questions": "Questions go to the owner:",
    "sent": "If that address can be used, a mail is on its way to it. Please open it and follow its link.",
    "again": "That form was too old, or sent too quickly. Please go back, load the page again and repeat.",
    "toomany": "Too many forms came from your network. Please try again later.",
    "gone": "That confirmation is not valid: it was used already, or it is too old.",
    "nolist": "There is nothing here.",
    "confirm_subscribe": "Subscribe this address to the list?",
    "confirm_unsubscribe": "Take this address off the list?",
    "confirm_held": "A message waits for your decision",
    "yes": "Yes, do it",
    "nothing": "If you do not want that, just close this page.",
    "done_subscribe": "Done: the address is subscribed.",
    "done_unsubscribe": "Done: the address is no longer subscribed.",
    "done_held": "Done.",
    "refused": "That address cannot be subscribed. Please write to the owner.",
    "accept": "Accept: send it to the members",
    "reject": "Reject: tell the author",
    "discard": "Discard: say nothing",
    "reason": "Reason",
    "from": "From",
    "subject": "Subject",
    "size": "Size",
    "why": "Words for the author, if you reject",
    "back": "All lists",
}
_SPANISH = {
    "lists": "Listas de correo",
    "nolists": "Aquí no se anuncia ninguna lista.",
    "about": "Sobre esta lista",
    "archive": "Archivo",
    "private": "El archivo es solo para miembros.",
    "noarchive": "Esta lista no guarda archivo.",
    "post": "Para escribir a todos los miembros, envíe un correo a",
    "join": "Suscribirse",
    "join_text": "Escriba su dirección. Recibirá un correo con un enlace; sin esa respuesta no pasa nada.",
    "address": "Su dirección de correo",
    "name": "Su nombre (si quiere)",
    "language": "Idioma",
    "leave": "Darse de baja",
    "leave_text": "Recibirá un correo con un enlace; sin esa respuesta sigue suscrito.",
    "leave_mail": "Por correo: envíe la palabra baja a",
    "questions": "Para preguntas, la persona responsable:",
    "sent": "Si esa dirección sirve, va un correo de camino. Ábralo y siga su enlace.",
    "again": "El formulario era antiguo, o llegó demasiado deprisa. Vuelva atrás, recargue la página y repita.",
    "toomany": "Han llegado demasiados formularios desde su red. Inténtelo más tarde.",
    "gone": "Esa confirmación no es válida: ya se usó o ha caducado.",
    "nolist": "Aquí no hay nada.",
    "confirm_subscribe": "¿Suscribir esta dirección a la lista?",
    "confirm_unsubscribe": "¿Dar de baja esta dirección en la lista?",
    "confirm_held": "Un mensaje espera su decisión",
    "yes": "Sí, adelante",
    "nothing": "Si no lo desea, cierre esta página.",
    "done_subscribe": "Hecho: la dirección está suscrita.",
    "done_unsubscribe": "Hecho: la dirección ya no está suscrita.",
    "done_held": "Hecho.",
    "refused": "Esa dirección no se puede suscribir. Escriba a la persona responsable.",
    "accept": "Aceptar: enviarlo a los miembros",
    "reject": "Rechazar: decírselo al autor",
    "discard": "Descartar: no decir nada",
    "reason": "Motivo",
    "from": "De",
    "subject": "Asunto",
    "size": "Tamaño",
    "why": "Palabras para el autor, si lo rechaza",
    "back": "Todas las listas",
}

WORDS = {
    "en": SimpleNamespace(**_ENGLISH, **{name: words[0] for name, words in KEEPER.items()}),
    "es": SimpleNamespace(**_SPANISH, **{name: words[1] for name, words in KEEPER.items()}),
}
LABELS = {language: {name: words[at] for name, words in CHOICES.items()} for at, language in enumerate(("en", "es"))}


def label(language: str, name: str) -> str:
    """A name of the program as a person calls it."""
    return LABELS[language].get(name, name)
