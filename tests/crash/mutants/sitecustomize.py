"""Mutants: the appliance with one promise taken out. Put this folder on PYTHONPATH and name some in ESTAFETA_MUTANT.

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

    def opened(self, envelope, **more):  # type: ignore[no-untyped-def]
        return real(self, replace(envelope, key=envelope.id), **more)

    enter.Door.open = opened  # type: ignore[method-assign]


def _full_is_final() -> None:
    """No room is answered as if it were the sender's fault."""
    from bridge.intake import smtp, transfer
    from bridge.model.reply import Reply
    from bridge.queue import enter

    final = Reply(552, "5.3.4", "no room, for good")
    enter.NO_ROOM = smtp.NO_ROOM = transfer.NO_ROOM = final  # type: ignore[misc]


def _full_is_nothing() -> None:
    """A message that found no room is said yes to all the same."""
    from bridge.model.errors import DiskFull
    from bridge.store import files

    for name in ("write", "fdatasync", "create"):
        real = getattr(files, name)

        def careless(*given, real=real, **more):  # type: ignore[no-untyped-def]
            try:
                return real(*given, **more)
            except DiskFull:
                return os.open(os.devnull, os.O_WRONLY) if real.__name__ == "create" else None

        setattr(files, name, careless)


def _our_fault_is_final() -> None:
    """Trouble with our disk is answered 554."""
    from bridge.intake import replies, transfer
    from bridge.model.reply import Reply
    from bridge.queue import enter

    final = Reply(554, "5.3.0", "out of order, for good")
    replies.OURS = enter.DEGRADED = enter.NO_ROOM = transfer.NO_ROOM = final  # type: ignore[misc]


def _bodies_in_memory() -> None:
    """A draft waits in memory, whatever its size."""
    from bridge.store import spool

    spool.SMALL = 1 << 40


def _never_rebuilt() -> None:
    """The queue database is believed, whatever became of it."""
    from bridge.store import queuedb

    for name in ("replaced", "broken", "_set_aside_if_broken"):
        setattr(queuedb.QueueDb, name, lambda self, *given: False)


def _poison() -> None:
    """No mutant: mail of one sender makes the process that plans its delivery die, as a bug in C would."""
    import signal

    from bridge.queue import plan

    real = plan.make

    def make(spooled, *given, **more):  # type: ignore[no-untyped-def]
        if spooled.envelope.sender == "poison@client.example.org":
            os.kill(os.getpid(), signal.SIGSEGV)
        return real(spooled, *given, **more)

    plan.make = make


def _nobody_blamed() -> None:
    """Deaths are not counted."""
    from bridge.queue import care

    care.Care._blame = lambda self, left_behind, deaths: None  # type: ignore[method-assign]


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


def _uidnext_forgotten() -> None:
    """UIDNEXT is one more than the highest UID that is there."""
    import sys

    from bridge.store import flags, home, mailbox, reconcile, transfer  # noqa: F401  whoever has the name `save`

    real = home.save

    def save(db, row):  # type: ignore[no-untyped-def]
        real(db, row)
        highest = db.execute("SELECT coalesce(max(uid), 0) FROM message WHERE folder=?", (row.id,)).fetchone()[0]
        db.execute("UPDATE folder SET uidnext=?, reserved=? WHERE id=?", (highest + 1, highest + 1, row.id))

    for name, module in list(sys.modules.items()):
        if name.startswith("bridge.store.") and getattr(module, "save", None) is real:
            module.save = save  # type: ignore[attr-defined]


def _no_uidlist() -> None:
    """UIDs stand in the index alone."""
    from bridge.store import uidlist

    uidlist.read = lambda folder: None


def _no_reserve() -> None:
    """Connections may have every descriptor."""
    from bridge import accept

    accept.ceiling = lambda: 1 << 30


_MUTANTS = {
    "no-reserve": _no_reserve,
    "uidnext-forgotten": _uidnext_forgotten,
    "no-uidlist": _no_uidlist,
    "no-spool-sync": lambda: _no_sync(("spool.",)),
    "no-delivery-sync": lambda: _no_sync(("delivery.",)),
    "yes-before-the-disk": _yes_before_the_disk,
    "names-by-chance": _names_by_chance,
    "keys-by-chance": _keys_by_chance,
    "full-is-final": _full_is_final,
    "full-is-nothing": _full_is_nothing,
    "our-fault-is-final": _our_fault_is_final,
    "bodies-in-memory": _bodies_in_memory,
    "never-rebuilt": _never_rebuilt,
    "poison": _poison,
    "nobody-blamed": _nobody_blamed,
    "delivery-in-place": _delivery_in_place,
    "database-off": lambda: _lossy_database("OFF"),
    "database-normal": lambda: _lossy_database("NORMAL"),
}

for _name in filter(None, _MUTANT.split(",")):
    _MUTANTS[_name]()
