"""From a whole command to its name and arguments.

Promises: a command's name is known even where its arguments are bad.
Fails by: `BadCommand`, and nothing else for any frame.
RFC: 3501 and 9051 section 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.wire.imap.args import append, auth, extra, mailbox, message, search
from bridge.wire.imap.tokens import BadCommand, Scanner

Args = (
    auth.Bare | auth.Login | auth.Authenticate | auth.Enable | auth.Id | auth.Compress
    | mailbox.Select | mailbox.Create | mailbox.Delete | mailbox.Rename | mailbox.Subscribe | mailbox.Unsubscribe
    | mailbox.List | mailbox.Lsub | mailbox.Status
    | message.Fetch | message.Store | message.Copy | message.Move | message.UidExpunge
    | append.Append | append.Replace
    | search.Search | search.Sort | search.Thread
    | extra.GetQuota | extra.GetQuotaRoot | extra.SetQuota | extra.SetAcl | extra.DeleteAcl | extra.GetAcl
    | extra.ListRights | extra.MyRights | extra.GetMetadata | extra.SetMetadata | extra.Notify | extra.Esearch
    | extra.CancelUpdate
)  # fmt: skip

PARSERS: Final[dict[str, Callable[[Scanner], Args]]] = {
    "CAPABILITY": auth.bare,
    "NOOP": auth.bare,
    "LOGOUT": auth.bare,
    "STARTTLS": auth.bare,
    "NAMESPACE": auth.bare,
    "CHECK": auth.bare,
    "CLOSE": auth.bare,
    "UNSELECT": auth.bare,
    "EXPUNGE": auth.bare,
    "IDLE": auth.bare,
    "UNAUTHENTICATE": auth.bare,
    "LOGIN": auth.login,
    "AUTHENTICATE": auth.authenticate,
    "ENABLE": auth.enable,
    "ID": auth.identify,
    "COMPRESS": auth.compress,
    "SELECT": mailbox.select,
    "EXAMINE": mailbox.examine,
    "CREATE": mailbox.create,
    "DELETE": mailbox.delete,
    "RENAME": mailbox.rename,
    "SUBSCRIBE": mailbox.subscribe,
    "UNSUBSCRIBE": mailbox.unsubscribe,
    "LIST": mailbox.list_mailboxes,
    "LSUB": mailbox.lsub,
    "STATUS": mailbox.status,
    "FETCH": message.fetch,
    "UID FETCH": message.uid_fetch,
    "STORE": message.store,
    "UID STORE": message.uid_store,
    "COPY": message.copy,
    "UID COPY": message.uid_copy,
    "MOVE": message.move,
    "UID MOVE": message.uid_move,
    "UID EXPUNGE": message.uid_expunge,
    "APPEND": append.append,
    "REPLACE": append.replace_message,
    "UID REPLACE": append.uid_replace,
    "SEARCH": search.search,
    "UID SEARCH": search.uid_search,
    "SORT": search.sort,
    "UID SORT": search.uid_sort,
    "THREAD": search.thread,
    "UID THREAD": search.uid_thread,
    "GETQUOTA": extra.get_quota,
    "GETQUOTAROOT": extra.get_quota_root,
    "SETQUOTA": extra.set_quota,
    "SETACL": extra.set_acl,
    "DELETEACL": extra.delete_acl,
    "GETACL": extra.get_acl,
    "LISTRIGHTS": extra.list_rights,
    "MYRIGHTS": extra.my_rights,
    "GETMETADATA": extra.get_metadata,
    "SETMETADATA": extra.set_metadata,
    "NOTIFY": extra.notify,
    "ESEARCH": extra.esearch,
    "CANCELUPDATE": extra.cancel_update,
    "GETJMAPACCESS": auth.bare,
}


def name(scan: Scanner) -> str:
    """The name of the command, behind its tag."""
    scan.space()
    word = scan.keyword()
    if word == "UID":
        scan.space()
        return "UID " + scan.keyword()
    return word


def arguments(scan: Scanner, command: str) -> Args:
    """The arguments up to the end of the command."""
    parser = PARSERS.get(command)
    if parser is None:
        raise BadCommand("Unknown command")
    args = parser(scan)
    scan.end()
    return args
