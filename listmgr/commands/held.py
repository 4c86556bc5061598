"""Held posts at the terminal: see them, decide about them (L47).

Fails by: Stop.
"""

from listmgr import holding
from listmgr.commands.desk import Desk, Stop
from listmgr.moderation import Decision, decide
from listmgr.rules import explain


def show(desk: Desk, name: str) -> int:
    """What waits, oldest first: id, author, reason, subject."""
    which = desk.find(name)
    with desk.office.core.read() as connection:
        found = holding.waiting(connection, which)
    if not found:
        desk.say("Nothing is waiting.", "No hay nada pendiente.")
    for one in found:
        print(f"{one.parent}  {one.author or '?'}  {one.size} B", file=desk.stdout)
        print(f"    {one.subject}\n    {explain(one.reason, desk.language)}", file=desk.stdout)
    return 0


def settle(desk: Desk, name: str, parent: str, decision: Decision, *, text: str = "") -> int:
    """Decide about one post."""
    which = desk.find(name)
    with desk.office.core.read() as connection:
        found = holding.find(connection, which, parent)
    if found is None:
        raise Stop(desk.tr(f"No such held message: {parent}", f"No existe ese mensaje retenido: {parent}"))
    decide(desk.office, which, found, decision, text=text)
    desk.say(f"{parent}: {decision.value}", f"{parent}: {decision.value}")
    return 0
