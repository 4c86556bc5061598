"""Folders of an account: list, create, delete, rename, subscribe, special use.

Promises: the directories are the truth of which folders there are; a new folder appears complete, a deleted one
disappears at once; a renamed one keeps its UIDs. Subscriptions and special uses are small text files beside the mail,
so they survive the loss of the index.
Fails by: MailError with the response code, NoSuchFolder, StoreError.
RFC: 9051 6.3, 5258 (LIST), 6154 (SPECIAL-USE).
"""
import os
from collections.abc import Sequence

from bridge.model.errors import StoreError
from bridge.store import files, maildir, reconcile, transfer
from bridge.store.failpoints import Failpoint
from bridge.store.home import Home, row_of
from bridge.store.mail import EVERYTHING, Folder, Listed, MailError, NoSuchFolder
from bridge.wire.imap import utf7

SUBSCRIPTIONS = "subscriptions"
SPECIAL = "estafeta-special-use"
USES = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
MAX_LINES = 10_000

REMOVE = Failpoint("folders.remove", "taking the name from a deleted folder")
RENAME = Failpoint("folders.rename", "renaming a folder")
RECORD = Failpoint("folders.record", "writing subscriptions or special uses")


def listed(home: Home) -> list[Listed]:
    """All folders, their missing parents, and names that are only subscribed; INBOX first, the rest in order."""
    with home.root() as root:
        there = home.tree(root)
    subscribed = set(_subscriptions(home))
    uses = _special(home)
    parents: set[str] = set()
    for name in there:
        while "/" in name and (name := name.rpartition("/")[0]) not in parents:
            parents.add(name)
    names = sorted(there.keys() | subscribed | parents, key=lambda name: (name != "INBOX", name))
    return [Listed(name, name in there, name in parents, name in subscribed, uses.get(name, "")) for name in names]


def folder(home: Home, name: str) -> Folder:
    """The handle of a folder, which is adopted where the index doesn't know it."""
    home.directory(name)
    with home.index.read() as db:
        row = row_of(db, name)
    if row is None:
        reconcile.refresh(home, name, force=True)
        with home.index.read() as db:
            row = row_of(db, name)
    if row is None:
        raise NoSuchFolder(name)
    return row.handle


def create(home: Home, name: str, use: Sequence[str] = ()) -> Folder:
    """A new folder."""
    name = maildir.check_name(name)
    for one in use:
        if one not in USES:
            raise MailError(f"Special use {one} is not supported", "USEATTR")
    try:
        with home.index.exclusive(), home.root() as root:
            there = home.tree(root)
            if name in there:
                raise MailError(f"Mailbox {name} exists already", "ALREADYEXISTS")
            if len(there) >= home.settings.folders:
                raise MailError("There are too many mailboxes", "LIMIT")
            maildir.make_folder(root, maildir.directory_of(name))
            reconcile.refresh(home, name, force=True)
            if use:
                _set_use(home, name, use[0])
    except OSError as error:
        raise StoreError(f"{home.path}, {name}: {error}") from error
    return folder(home, name)


def delete(home: Home, name: str) -> None:
    """Remove a folder with its mail; folders below it stay."""
    if name == "INBOX":
        raise MailError("INBOX can't be deleted", "CANNOT")
    directory = home.directory(name)
    try:
        with home.index.exclusive(), home.root() as root:
            doomed = f"tmp/{maildir.unique()}"
            files.rename(directory, doomed, REMOVE, old_folder=root, new_folder=root)
            with home.index.write(full=True) as db:
                row = row_of(db, name)
                if row is not None:
                    reconcile.forget(db, row.id)
            if home.driver is not None:
                home.driver.removed(home, name)
            home.garbage += 1
            if name in _special(home):
                _set_use(home, name, "")
        with home.root() as root:
            maildir.remove_tree(root, doomed)
    except OSError as error:
        raise StoreError(f"{home.path}, {name}: {error}") from error


def rename(home: Home, old: str, new: str) -> None:
    """Give a folder and those below it another name. INBOX stays; its messages go to the new folder."""
    new = maildir.check_name(new)
    if old == "INBOX":
        _rename_inbox(home, new)
        return
    if new == old or new.startswith(old + "/"):
        raise MailError("A mailbox can't become its own child", "CANNOT")
    try:
        with home.index.exclusive(), home.root() as root:
            there = home.tree(root)
            moved = {name: new + name[len(old):] for name in there if name == old or name.startswith(old + "/")}
            if not moved:
                raise NoSuchFolder(old)
            for name in moved.values():
                if name in there:
                    raise MailError(f"Mailbox {name} exists already", "ALREADYEXISTS")
                maildir.check_name(name)
            if home.driver is not None:
                home.driver.renamed(home, moved)
            for name, target in moved.items():
                files.rename(there[name], maildir.directory_of(target), RENAME, old_folder=root, new_folder=root)
            files.sync_folder(root, RENAME)
            with home.index.write(full=True) as db:
                for target in moved.values():
                    stale = row_of(db, target)
                    if stale is not None:
                        reconcile.forget(db, stale.id)
                db.executemany("UPDATE folder SET name=? WHERE name=?", [(to, name) for name, to in moved.items()])
            uses = _special(home)
            if uses.keys() & moved.keys():
                _write_special(home, {moved.get(name, name): use for name, use in uses.items()})
    except OSError as error:
        raise StoreError(f"{home.path}, {old}: {error}") from error


def _rename_inbox(home: Home, new: str) -> None:
    create(home, new)
    reconcile.refresh(home, "INBOX")
    transfer.move(home, folder(home, "INBOX"), EVERYTHING, new)


# ---- subscriptions

def subscribe(home: Home, name: str, on: bool) -> None:
    """Note that a name is (or isn't) subscribed; it needn't exist."""
    name = maildir.check_name(name)
    with home.index.exclusive():
        names = _subscriptions(home)
        if (name in names) == on:
            return
        if on and len(names) >= home.settings.folders:
            raise MailError("There are too many subscriptions", "LIMIT")
        kept = [*names, name] if on else [one for one in names if one != name]
        text = "".join(maildir.directory_of(one)[1:] + "\n" if one != "INBOX" else "INBOX\n" for one in kept)
        try:
            files.replace(home.path / SUBSCRIPTIONS, text.encode("ascii", "replace"), RECORD)
        except OSError as error:
            raise StoreError(str(error)) from error


def _subscriptions(home: Home) -> list[str]:
    """Ours: `A.B` in modified UTF-7 a line; also what Dovecot 2 writes, with a header and tabs."""
    lines = _lines(home, SUBSCRIPTIONS)
    names: dict[str, None] = {}
    tabbed = bool(lines) and lines[0].startswith("V\t")
    for line in lines[2 if tabbed else 0:]:
        if not line:
            continue
        name = line.replace("\t", "/") if tabbed else "INBOX" if line == "INBOX" else maildir.name_of("." + line)
        if tabbed and "&" in name:
            name = _decoded(name)
        names[name] = None
    return list(names)


def _decoded(name: str) -> str:
    try:
        return utf7.decode(name.encode("ascii", "replace"))
    except ValueError:
        return name


# ---- special use

def special_use(home: Home, name: str, use: str) -> None:
    """Say what a folder is for; "" for nothing special. One folder has one use, a use one folder."""
    if use and use not in USES:
        raise MailError(f"Special use {use} is not supported", "USEATTR")
    home.directory(name)
    with home.index.exclusive():
        _set_use(home, name, use)


def _set_use(home: Home, name: str, use: str) -> None:
    uses = {other: its for other, its in _special(home).items() if other != name and its != use}
    if use:
        uses[name] = use
    _write_special(home, uses)


def _write_special(home: Home, uses: dict[str, str]) -> None:
    text = "".join(f"{use} {maildir.directory_of(name)}\n" for name, use in uses.items())
    try:
        files.replace(home.path / SPECIAL, text.encode("ascii", "replace"), RECORD)
    except OSError as error:
        raise StoreError(str(error)) from error


def _special(home: Home) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _lines(home, SPECIAL):
        use, _, directory = line.partition(" ")
        if use in USES and directory.startswith(".") and directory != ".":
            found[maildir.name_of(directory)] = use
    return found


def _lines(home: Home, name: str) -> list[str]:
    with home.root() as root:
        try:
            descriptor = files.open_read(name, folder=root)
        except OSError:
            return []
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as source:
        return source.read(1 << 20).splitlines()[:MAX_LINES]
