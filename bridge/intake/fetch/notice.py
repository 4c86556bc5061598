"""Mails to the owner of an external account: what stayed there, what was given up, and when collecting fails for long.

Promises: English and Spanish in one mail; nothing of the password; header fields hold no text from outside.
"""

from collections.abc import Sequence
from email.utils import formatdate

SHOWN = 50  # messages listed in one mail
_HEAD = """From: Estafeta <postmaster@{host}>
To: <{to}>
Subject: {subject}
Date: {date}
Message-ID: <{ident}@{host}>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

{text}"""


def mail(*, host: str, to: str, ident: str, when: float, subject: str, text: str) -> bytes:
    """A whole message in CRLF form. `subject` is ASCII of ours."""
    filled = _HEAD.format(
        host=host, to=to, subject=subject, date=formatdate(when), ident=ident, text=text.replace("\r", " ")
    )
    return filled.replace("\n", "\r\n").encode()


def large(account: str, limit: int, messages: Sequence[tuple[str, int]]) -> tuple[str, str]:
    """(subject, text): messages over the limit stay on the remote server (F25)."""
    lines = "\n".join(f"  {size} bytes  {name}" for name, size in messages[:SHOWN])
    more = f"\n  ... ({len(messages) - SHOWN})" if len(messages) > SHOWN else ""
    return "Messages left on the server / Mensajes dejados en el servidor", (
        f"Account {account}: these messages are larger than {limit} bytes. They were not collected and stay on the\n"
        "remote server; read them there, or have the limit raised and they come with the next poll.\n\n"
        f"Cuenta {account}: estos mensajes pasan de {limit} bytes. No se han recogido y siguen en el servidor remoto;\n"
        "léalos allí o pida un límite mayor y vendrán con la próxima consulta.\n\n"
        f"{lines}{more}\n"
    )


def given_up(account: str, messages: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """(subject, text): messages that could not be collected three times."""
    lines = "\n".join(f"  {path}\n    {why}" for path, why in messages[:SHOWN])
    return "Messages that can't be collected / Mensajes que no se pueden recoger", (
        f"Account {account}: these messages failed three times and won't be tried again by themselves. They were not\n"
        "deleted on the remote server; what came of them is in these files of the mail server. To try again:\n"
        f"  estafeta fetch --retry {account}\n\n"
        f"Cuenta {account}: estos mensajes han fallado tres veces y no se intentarán más por sí solos. No se han\n"
        "borrado del servidor remoto; lo que llegó de ellos está en estos ficheros del servidor de correo. Para\n"
        "reintentarlo:\n"
        f"  estafeta fetch --retry {account}\n\n"
        f"{lines}\n"
    )


def failing(account: str, times: int, error: str) -> tuple[str, str]:
    """(subject, text): polls have failed so many times in a row (F20)."""
    return "Mail is not being collected / No se recoge el correo", (
        f"Account {account}: the last {times} polls failed. Nothing is lost: mail waits on the remote server, and we\n"
        "go on trying, less and less often. What went wrong last:\n\n"
        f"Cuenta {account}: las últimas {times} consultas han fallado. No se pierde nada: el correo espera en el\n"
        "servidor remoto y seguimos intentándolo, cada vez más espaciado. El último problema:\n\n"
        f"  {error}\n"
    )
