"""The plain pages for what isn't there and for our own faults, in the reader's language.

Promises: nothing of the request is repeated, nothing of the fault is told; the page needs no template, so a broken one
can't hide it. Fails by: nothing.
"""

from starlette.requests import Request
from starlette.responses import HTMLResponse

LANGUAGES = ("en", "es")
_SAID = {
    404: ("There is nothing here", "Aquí no hay nada", "Perhaps the address was typed wrong.",
          "Quizá la dirección está mal escrita."),
    405: ("That can't be done here", "Eso no se puede hacer aquí", "Please go back and use the page's own form.",
          "Vuelva atrás y use el formulario de la página."),
    500: ("Something went wrong here", "Algo ha fallado aquí",
          "It has been noted; nothing is half done. Please try again later.",
          "Ha quedado anotado; nada está a medias. Inténtelo más tarde."),
}  # fmt: skip
_START = ("To the first page", "A la primera página")
_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{root}mailman/style.css">
</head>
<body>
<main>
<h1>{title}</h1>
<p class="card">{text}</p>
<p><a href="{root}">{start}</a></p>
</main>
</body>
</html>
"""


def page(request: Request, status: int) -> HTMLResponse:
    """The page for this status, or for 404."""
    english, spanish, more, mas = _SAID.get(status, _SAID[404])
    at = 1 if _language(request) == "es" else 0
    root = "../" * max(0, str(request.scope["path"]).count("/") - 1) or "./"
    text = _PAGE.format(
        language=LANGUAGES[at], title=(english, spanish)[at], text=(more, mas)[at], root=root, start=_START[at]
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "private, no-store"})


def _language(request: Request) -> str:
    """Asked for, chosen before, the browser's."""
    for one in (request.query_params.get("language"), request.cookies.get("estafeta-language")):
        if one in LANGUAGES:
            return str(one)
    return "es" if request.headers.get("accept-language", "").lower().startswith("es") else "en"
