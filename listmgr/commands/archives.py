"""`arch`: make an archive again, or take in an old mbox (L14, A22).

Promises: an archive can be filled before its list exists; it is private then (A10). Fails by: Stop, StoreError.
"""

from pathlib import Path

from listmgr.addresses import valid_name
from listmgr.archive.keeper import Archiver
from listmgr.archive.rebuild import How, rebuild
from listmgr.commands.desk import Desk, Stop


def arch(
    desk: Desk, archiver: Archiver, name: str, mbox: str = "", *, wipe: bool = False, how: How | None = None
) -> int:
    """Bring the archive of a list up to date with its master mbox and `mbox`."""
    name = name.lower()
    if not valid_name(name):
        raise Stop(desk.tr(f"Illegal list name: {name!r}", f"Nombre de lista no válido: {name!r}"))
    try:
        added = rebuild(archiver, name, Path(mbox) if mbox else None, wipe=wipe, how=how)
    except FileNotFoundError as error:
        raise Stop(desk.tr(f"Cannot open mbox file {error}", f"No se puede abrir el fichero mbox {error}")) from None
    desk.say(f"{added} new messages in the archive of {name}.", f"{added} mensajes nuevos en el archivo de {name}.")
    return 0
