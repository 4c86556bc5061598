"""Words of the page /fetchmailconf besides the questions' own help, English and Spanish side by side."""

from types import SimpleNamespace

_WORDS = {
    "title": ("Mail from elsewhere", "Correo de otros sitios"),
    "lead": (
        "Mail that waits for you at another provider can be collected into your mailbox here:",
        "El correo que le espera en otro proveedor se puede recoger en su buzón de aquí:",
    ),
    "yours": ("Your accounts elsewhere", "Sus cuentas en otros sitios"),
    "none_yet": ("None yet. Add the first one below.", "Todavía ninguna. Añada la primera aquí abajo."),
    "every": ("They are collected about every so many minutes:", "Se recogen cada cuantos minutos:"),
    "account": ("Account", "Cuenta"),
    "how": ("How", "Cómo"),
    "state": ("Last time", "Última vez"),
    "never": ("not collected yet", "aún no recogida"),
    "odd": ("this entry can't be used here", "esta entrada no sirve aquí"),
    "good": ("all was well", "todo fue bien"),
    "stays": ("mail stays there", "el correo se queda allí"),
    "goes": ("mail is deleted there", "el correo se borra allí"),
    "try_it": ("Try", "Probar"),
    "remove": ("Remove", "Quitar"),
    "works": ("the login works.", "el acceso funciona."),
    "new": ("Add an account", "Añadir una cuenta"),
    "novice": ("Simple form", "Formulario sencillo"),
    "expert": ("Form for experts", "Formulario para expertos"),
    "mode": ("Which form", "Qué formulario"),
    "look": ("Look what the server offers", "Mirar qué ofrece el servidor"),
    "found": (
        "The server answers. The best way is chosen; give your name there and your password.",
        "El servidor responde. Está elegida la mejor forma; escriba su nombre allí y su contraseña.",
    ),
    "silent": (
        "Nothing answers at the usual ports. Is the name right? An expert can name a port.",
        "Nada responde en los puertos habituales. ¿Es correcto el nombre? Un experto puede indicar un puerto.",
    ),
    "service": ("What the server offers", "Lo que ofrece el servidor"),
    "best": ("recommended", "recomendado"),
    "open": ("everybody on the way can read your password", "cualquiera en el camino puede leer su contraseña"),
    "save": ("Try it and save it", "Probarla y guardarla"),
    "insist": ("Save it although the login did not work", "Guardarla aunque el acceso no funcionó"),
    "again": ("Please type the password again.", "Escriba otra vez la contraseña."),
    "failed": ("Nothing was saved: the login did not work.", "No se ha guardado nada: el acceso no funcionó."),
    "mistakes": (
        "Nothing was saved. Please correct what is marked:", "No se ha guardado nada. Corrija lo marcado:"
    ),
    "cannot": ("that can't be.", "eso no puede ser."),
    "known": ("this account is there already.", "esa cuenta ya está."),
    "enough": (
        "You have as many accounts as one person may have.", "Ya tiene tantas cuentas como puede tener una persona."
    ),
    "forbidden": (
        "Mail server: that one may not be asked from here; only public mail servers, and those that the administrator "
        "allows.",
        "Servidor de correo: ese no se puede consultar desde aquí; solo servidores públicos y los que permita la "
        "administración.",
    ),
    "unknown_host": (
        "Mail server: nobody knows a machine of that name just now.",
        "Servidor de correo: nadie conoce ahora una máquina con ese nombre.",
    ),
    "toomany": (
        "That was tried too often in the last hour. Please try again later.",
        "Se ha probado demasiadas veces en la última hora. Inténtelo más tarde.",
    ),
    "gone": ("That account is not there any more.", "Esa cuenta ya no está."),
    "meanwhile": (
        "The file was changed meanwhile; please look at the accounts and repeat.",
        "El fichero ha cambiado entretanto; mire las cuentas y repita.",
    ),
    "swallowed": (
        "The file can't take that change; nothing was written.",
        "El fichero no admite ese cambio; no se ha escrito nada.",
    ),
    "file": ("The file that this makes", "El fichero que resulta"),
    "file_text": (
        "In fetchmail's own language; the passwords are kept in it, but not shown. It also works as ~/.fetchmailrc.",
        "En el lenguaje de fetchmail; las contraseñas están en él, pero no se muestran. También sirve de "
        "~/.fetchmailrc.",
    ),
    "more": ("For experts", "Para expertos"),
}  # fmt: skip
_CHOICES = {
    "imap": ("IMAP", "IMAP"), "pop3": ("POP3", "POP3"), "apop": ("POP3 with APOP", "POP3 con APOP"),
    "auto": ("IMAP or POP3", "IMAP o POP3"),
    "ssl": ("encrypted (TLS)", "cifrado (TLS)"), "starttls": ("encrypted (STARTTLS)", "cifrado (STARTTLS)"),
    "none": ("not encrypted", "sin cifrar"), "implicit": ("encrypted (TLS)", "cifrado (TLS)"),
}  # fmt: skip
LANGUAGES = ("en", "es")
WORDS = {one: SimpleNamespace(**{key: pair[at] for key, pair in _WORDS.items()}) for at, one in enumerate(LANGUAGES)}
CHOICES = {one: {key: pair[at] for key, pair in _CHOICES.items()} for at, one in enumerate(LANGUAGES)}
