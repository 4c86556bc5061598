"""The standard library's command-line parser, speaking the language of who types.

Promises: usage, headings and mistakes that argparse words by itself are Spanish on a Spanish terminal, and so is what
stands for a value (FICHERO for FILE); a sentence that the tables don't know stays English. argparse asks the function
`_` of its own module for each sentence; that is gettext's, which has no Spanish to give, so ours takes its place there.
"""

import argparse
from typing import Any

from bridge.cli.words import language, tr

_SENTENCES = {
    "usage: ": "uso: ",
    "options": "opciones",
    "positional arguments": "argumentos",
    "show this help message and exit": "muestra esta ayuda",
    "argument %(argument_name)s: %(message)s": "%(argument_name)s: %(message)s",
    "the following arguments are required: %s": "falta: %s",
    "one of the arguments %s is required": "falta una de estas opciones: %s",
    "unrecognized arguments: %s": "no se conoce: %s",
    "not allowed with argument %s": "no puede ir junto con %s",
    "expected one argument": "necesita un valor",
    "expected at most one argument": "admite un valor como mucho",
    "expected at least one argument": "necesita al menos un valor",
    "expected %s argument": "necesita %s valor",
    "expected %s arguments": "necesita %s valores",
    "ignored explicit argument %r": "no admite el valor %r",
    "ambiguous option: %(option)s could match %(matches)s": "%(option)s puede ser varias opciones: %(matches)s",
    "invalid %(type)s value: %(value)r": "%(value)r no vale aquí (%(type)s)",
    "invalid choice: %(value)r (choose from %(choices)s)": "%(value)r no vale; se admite: %(choices)s",
    "unknown parser %(parser_name)r (choices: %(choices)s)": "no se conoce %(parser_name)r; hay: %(choices)s",
}
_PLACES = {
    "FILE": "FICHERO", "LIST": "LISTA", "ADDRESS": "DIRECCIÓN", "PASSWORD": "CONTRASEÑA", "SECONDS": "SEGUNDOS",
    "HOST": "DOMINIO", "NAME": "NOMBRE", "WHY": "MOTIVO", "KIND": "CLASE", "LANGUAGE": "IDIOMA", "TEXT": "TEXTO",
    "LIST ADDRESS": "LISTA DIRECCIÓN", "DOMAIN": "DOMINIO", "SENDER": "REMITENTE", "RECIPIENT": "DESTINATARIO",
    "EMAILHOST": "DOMINIO", "LISTNAME": "LISTA", "EXCLUDE": "LISTA", "ADMIN": "RESPONSABLE", "URLHOST": "MÁQUINA",
    "address": "dirección", "folder": "carpeta", "file": "fichero", "account": "cuenta", "what": "qué",
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An argument parser whose sentences follow the terminal's language; so do those of its sub-commands."""

    def __init__(self, *words: Any, **named: Any) -> None:
        setattr(argparse, "_", _sentence)           # noqa: B010  no attribute in the types
        setattr(argparse, "ngettext", _plural)      # noqa: B010
        super().__init__(*words, **named)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As there; what stands for values is put into words first, because help may be asked for."""
        if language() == "es":
            for action in self._actions:
                if action.choices is None or action.metavar is not None:
                    action.metavar = _place(action)
        return super().parse_known_args(args, namespace)


def _place(action: argparse.Action) -> str | tuple[str, ...] | None:
    if action.nargs == 0 or isinstance(action.metavar, tuple):
        return action.metavar
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return _PLACES.get(name, action.metavar)


def _sentence(text: str) -> str:
    return tr(text, _SENTENCES.get(text, text))


def _plural(one: str, many: str, count: int) -> str:
    return _sentence(one if count == 1 else many)

