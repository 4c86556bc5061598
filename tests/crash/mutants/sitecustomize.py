"""Mutants: the appliance with one promise taken out. Put this folder on PYTHONPATH and name one in ESTAFETA_MUTANT.

A crash test is worth something only if it goes red for the mutant that breaks what it watches.
"""

import os

_MUTANT = os.environ.get("ESTAFETA_MUTANT", "")


def _no_sync(prefixes: tuple[str, ...]) -> None:
    """fdatasync and fsync of folders at these failpoints do nothing."""
    from bridge.store import files

    for name in ("fdatasync", "sync_folder"):
        real = getattr(files, name)
        setattr(files, name, lambda fd, point, real=real: None if point.name.startswith(prefixes) else real(fd, point))


def _yes_before_the_disk() -> None:
    """250 before the spool file has its name."""
    from concurrent.futures import Future

    from bridge.store import spool

    real = spool.Spool.commit

    def commit(self, draft):  # type: ignore[no-untyped-def]
        answered: Future = Future()
        answered.set_result(spool.Spooled(draft.envelope, self.path(draft.envelope.id), 0, 0))
        real(self, draft)
        return answered

    spool.Spool.commit = commit  # type: ignore[method-assign]


def _names_by_chance() -> None:
    """Delivery names are not derived from the message: doing a step twice is doing it twice."""
    from bridge.store import files

    real = files.link

    def link(old, new, point, **folders):  # type: ignore[no-untyped-def]
        if point.name == "delivery.link":
            new = f"{os.urandom(4).hex()}{new}"
        return real(old, new, point, **folders)

    files.link = link


def _keys_by_chance() -> None:
    """A message is not known by where it comes from: making it twice makes two."""
    from dataclasses import replace

    from bridge.queue import enter

    real = enter.Door.open

    def opened(self, envelope, *, fix=None):  # type: ignore[no-untyped-def]
        return real(self, replace(envelope, key=envelope.id), fix=fix)

    enter.Door.open = opened  # type: ignore[method-assign]


def _delivery_in_place() -> None:
    """Mail is written where readers look, instead of tmp/ first."""
    from bridge.store import delivery

    real = delivery._Folder._open

    def opened(self, path):  # type: ignore[no-untyped-def]
        real(self, path)
        os.close(self.tmp)
        self.tmp = os.dup(self.new)

    delivery._Folder._open = opened  # type: ignore[method-assign]


def _lossy_database(synchronous: str) -> None:
    """SQLite doesn't wait for the disk, or not at each commit."""
    from bridge.store import engine

    real = engine.Database.__init__

    def made(self, url, *, point, lock=None, **ignored):  # type: ignore[no-untyped-def]
        real(self, url, point=point, synchronous=synchronous, lock=lock)

    engine.Database.__init__ = made  # type: ignore[method-assign]


_MUTANTS = {
    "no-spool-sync": lambda: _no_sync(("spool.",)),
    "no-delivery-sync": lambda: _no_sync(("delivery.",)),
    "yes-before-the-disk": _yes_before_the_disk,
    "names-by-chance": _names_by_chance,
    "keys-by-chance": _keys_by_chance,
    "delivery-in-place": _delivery_in_place,
    "database-off": lambda: _lossy_database("OFF"),
    "database-normal": lambda: _lossy_database("NORMAL"),
}

if _MUTANT:
    _MUTANTS[_MUTANT]()
