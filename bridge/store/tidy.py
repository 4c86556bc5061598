"""What can wait a second: flags into file names, files of expunged mail, descriptions, old records, checkpoints.

Promises: everything here may be left out or repeated at any time; each step holds the account's lock only briefly.
"""
from bridge.store import content, flags, reconcile, transfer, uidlist
from bridge.store.home import Home, current, row_of
from bridge.store.index import CONTENT_TABLES
from bridge.store.mail import Folder, NoSuchFolder

VANISHED_KEPT = 5_000       # records of removals kept per folder
LIST_SLACK = 64 * 1024      # bytes of dead lines that a uidlist may have


def tidy(home: Home, name: str) -> None:
    """All of it for one folder, but for describing."""
    if not home.path.is_dir():
        return      # the account was removed: nothing is made anew for it here
    try:
        if reconcile.refresh(home, name, force=name in home.recheck):
            home.hints.hint("mailbox", f"{home.address}\n{name}")
    except NoSuchFolder:
        home.recheck.discard(name)
        _forget_missing(home, name)
        return
    home.recheck.discard(name)
    with home.index.read() as db:
        row = row_of(db, name)
    if row is None:
        return
    folder = row.handle
    transfer.sweep(home, folder)
    flags.flush(home, folder)
    _shorten(home, folder)
    if home.garbage:
        home.garbage = 0
        _collect(home)
    home.index.checkpoint(idle=False)


def describe(home: Home, folder: Folder, limit: int) -> int:
    """Describe messages that are not yet; how many were done."""
    messages = content.undescribed(home, folder, limit)
    if not messages:
        return 0
    return content.describe(home, folder, messages, {"all"})


def _forget_missing(home: Home, name: str) -> None:
    """A folder whose directory another program has removed."""
    with home.index.write(full=True) as db:
        row = row_of(db, name)
        if row is not None:
            reconcile.forget(db, row.id)


def _shorten(home: Home, folder: Folder) -> None:
    """Forget the oldest removals, and write the uidlist anew where it has too many dead lines."""
    with home.index.read() as db:
        row = current(db, folder)
        surplus = db.execute(
            "SELECT modseq FROM vanished WHERE folder=? ORDER BY modseq DESC LIMIT 1 OFFSET ?", (row.id, VANISHED_KEPT)
        ).fetchone()
        living = db.execute(
            "SELECT coalesce(sum(length(name)+12),0) FROM message WHERE folder=?", (row.id,)
        ).fetchone()[0]
    if surplus:
        with home.index.write() as db:
            db.execute("DELETE FROM vanished WHERE folder=? AND modseq<=?", (row.id, surplus[0]))
            db.execute("UPDATE folder SET floor=max(floor, ?) WHERE id=?", (surplus[0], row.id))
    with home.folder_dirs(folder.name) as dirs:
        if uidlist.size(dirs.folder) > 2 * living + LIST_SLACK:
            with home.index.write() as db:
                reconcile.write_list(db, current(db, folder), dirs.folder)


def _collect(home: Home) -> None:
    """Remove what is cached of messages that no folder has any more."""
    for table in CONTENT_TABLES:
        with home.index.write() as db:
            db.execute(f"DELETE FROM {table} WHERE content NOT IN (SELECT content FROM message)")  # noqa: S608
    with home.index.write() as db:
        db.execute("DELETE FROM fields WHERE content NOT IN (SELECT content FROM message)")


