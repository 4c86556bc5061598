"""A message into the mailbox of a system user, by a process that is that user.

Promises: those of `store.delivery` and `store.mbox`: durable at the return, once for a message and recipient (P08);
links and owners in a home are its user's affair, nothing there is touched with other rights. For an mbox in a folder
of root's, like /var/mail, the process also has that folder's group, for the dot-lock and the file's name; the file
belongs to the user and that group.
Fails by: OSError, StoreError, Damaged.
"""
import os
import stat
from pathlib import Path

from bridge.config.schema import Settings
from bridge.helper.people import Person, become
from bridge.model.account import Account
from bridge.model.envelope import Envelope, Origin
from bridge.store.copies import Copy, Letter
from bridge.store.delivery import Maildirs
from bridge.store.mailbox import Mailstore, Owner
from bridge.store.mbox import Mbox
from bridge.store.mboxfile import Locker, Rules
from bridge.store.notify import Hints
from bridge.store.spool import Damaged, Spooled
from bridge.wire.helper import Request

PATIENCE = 5.0      # seconds that a delivery waits for a locked mbox


def spooled_of(request: Request, descriptor: int) -> Spooled:
    """The message that came as an open file. Damaged."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Damaged("the message is no regular file")
    envelope = Envelope(request["id"], "", request["sender"], (), Origin("helper"), request["received"])
    return Spooled(envelope, Path(request["id"]), request["start"], request["size"], descriptor)


def copy_of(request: Request, maildir: str = "") -> Copy:
    return Copy(0, maildir, request["address"], request["original"], request["sender"], request["trust"])


def deliver(person: Person, request: Request, descriptor: int, settings: Settings) -> str:
    """Where it is now."""
    account = person.account
    become(person, lock_groups(account))
    spooled, copy = spooled_of(request, descriptor), copy_of(request, str(account.maildir))
    if account.store == "mbox":
        store = mailstore(person, settings)
        try:
            return store.open(account).deliver(spooled, copy, again=request["again"])
        finally:
            store.close()
    maildirs = Maildirs(account.home, settings.server.hostname, threads=1)
    found = maildirs.put([Letter(spooled, (copy,), request["again"])])[0]
    if isinstance(found, str):
        return found
    raise found


def mailstore(
    person: Person, settings: Settings, locker: Locker | None = None, hints: Hints | None = None
) -> Mailstore:
    """The mailboxes of this one user. Call it as that user."""
    groups = lock_groups(person.account)
    delivery = settings.delivery

    def driver(owner: Owner) -> Mbox | None:
        if person.account.store != "mbox":
            return None
        patience = min(PATIENCE, float(delivery.lock_seconds))
        rules = Rules(
            delivery.mbox_quoting, patience, mode=0o660, owners=frozenset((0, person.uid)),
            group=groups[0] if groups and locker is None else -1, locker=locker,
        )  # fmt: skip
        return Mbox(person.account.mbox, rules, settings.accounts.mbox_status)

    return Mailstore(settings.store, hints=hints, background=False, drivers=driver)


def lock_groups(account: Account) -> tuple[int, ...]:
    """The group that may make files beside the user's mbox: that of a folder of root's which it may write to, as
    /var/mail is mail's on Debian. A way there that somebody else could bend gives no group."""
    folder = account.mbox.parent
    if account.store != "mbox" or folder.is_relative_to(account.home):
        return ()
    try:
        if any(os.lstat(one).st_uid != 0 for one in (folder, *folder.parents)):
            return ()
        about = os.stat(folder)
    except OSError:
        return ()
    return (about.st_gid,) if about.st_uid == 0 and about.st_gid != 0 and about.st_mode & stat.S_IWGRP else ()
