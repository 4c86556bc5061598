"""`estafeta trace WHAT`, `estafeta explain ADDRESS`: what happened, and what would happen."""

import json
import time
from pathlib import Path
from typing import Any

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, tr

_PLAIN = frozenset(["t", "e", "id", "p"])


def trace(arguments: list[str]) -> None:
    """The story of a queue id, a Message-ID or an address; exit status 1 if there is none."""
    arg = parser(
        "estafeta trace", "The story of a message or an address.", "La historia de un mensaje o una dirección."
    )
    arg.add_argument("what", help=tr("queue id, Message-ID or address", "identificador, Message-ID o dirección"))
    arg.add_argument("--json", action="store_true", help=tr("one event per line", "un suceso por línea"))
    given = arg.parse_args(arguments)
    from bridge.store.trace import story

    events = story(Path(settings_of(given.config).settings.paths.trace), given.what)
    if not events:
        fail(f"nothing is known of {given.what}", f"no se sabe nada de {given.what}")
    for event in events:
        print(json.dumps(event) if given.json else _line(event))


def _line(event: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.get("t", 0)))
    rest = " ".join(f"{name}={_shown(value)}" for name, value in event.items() if name not in _PLAIN)
    return f"{when} {event.get('p', ''):9} {event.get('id') or '-':16} {event.get('e', ''):10} {rest}"


def _shown(value: object) -> str:
    text = str(value)
    printable = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return f'"{printable}"' if " " in printable or not printable else printable


def explain(arguments: list[str]) -> None:
    """What an address means now: each step with the file and line or the setting that decides."""
    arg = parser("estafeta explain", "What an address means and why.", "Qué significa una dirección y por qué.")
    arg.add_argument("address")
    given = arg.parse_args(arguments)
    from bridge import app
    from bridge.route import resolver

    with app.opened(settings_of(given.config).settings) as house:
        for line in resolver.explain(house.address_of(given.address), house.current.tables):
            print(line)
