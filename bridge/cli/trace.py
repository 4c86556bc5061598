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
    from bridge.deliver.arguments import command_of
    from bridge.model.address import BadAddress, mailbox
    from bridge.route import resolver

    with app.opened(settings_of(given.config).settings) as house:
        address = house.address_of(given.address)
        try:
            mailbox(address)
        except BadAddress as error:
            fail(f"{address!r} is not an address: {error}", f"{address!r} no es una dirección")
        for line in resolver.explain(address, house.current.tables):
            print(line)
        for route in house.resolve(address):
            command = command_of(route.target, house.settings.delivery) if route.kind is resolver.Kind.MAILBOX else None
            if command:
                print(f"mailbox {route.target}: {' '.join(command)} (delivery.mailbox_command)")


def verify(arguments: list[str], addresses: list[str]) -> bool:
    """`sendmail -bv`: say where mail for each address goes; are all of them deliverable?"""
    arg = parser("sendmail -bv", "Where mail for addresses goes.", "Adónde va el correo de unas direcciones.")
    given = arg.parse_args(arguments)
    from bridge import app

    good = True
    with app.opened(settings_of(given.config).settings) as house:
        for name in addresses:
            for route in house.resolve(house.address_of(name)):
                if route.reply is not None:
                    good = False
                    print(f"{name}... {route.reply}")
                else:
                    way = f"{route.kind.value} {route.target}".strip()
                    print(tr(f"{name}... deliverable: {way}", f"{name}... se puede entregar: {way}"))
    return good
