"""What is decided about a held post: let it through, send it back, throw it away.

Promises: works from the row and the file alone, so page, command and mail can all use it; a released post is
distributed under the key that it would have had (P13), so deciding twice sends it once. Fails by: LookupError,
StoreError.
"""

from enum import Enum

from listmgr.distribution import distribute, log, reject
from listmgr.holding import Held, content, forget
from listmgr.office import Office
from listmgr.post import HEAD, read
from listmgr.registry import MailingList
from listmgr.rules import Do


class Decision(Enum):
    """What an owner can say."""

    ACCEPT = "accept"
    REJECT = "reject"
    DISCARD = "discard"


def decide(office: Office, which: MailingList, held: Held, decision: Decision, *, text: str = "") -> None:
    """Do it, then forget the post. `text` goes to the author of a rejected one."""
    envelope, message = content(office, which, held)
    post = read(envelope, message[:HEAD], len(message))
    if decision is Decision.ACCEPT:
        distribute(office, which, post, lambda: (message[len(post.header) :],))
    elif decision is Decision.REJECT:
        reject(office, which, post, held.reason, text)
    if decision is not Decision.ACCEPT:
        log(office, which, post, Do(decision.value), held.reason, 0)
    forget(office, which, held)
    office.journal.record("moderated", held.parent, list=which.name, decision=decision.value)
