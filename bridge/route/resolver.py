"""What an address means: one pure function from an address and a snapshot of the tables to a list of routes.

Promises: no I/O, no state, never raises; RCPT checks, `explain` and the queue all ask here.
"""

from dataclasses import dataclass
from enum import Enum

from bridge.model.reply import Reply


class Kind(Enum):
    """Where a recipient ends. The values are what the queue stores."""

    MAILBOX = "mailbox"
    LIST = "list"
    PROGRAM = "program"
    FILE = "file"
    REMOTE = "remote"
    DISCARD = "discard"
    REFUSE = "refuse"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Route:
    """One end of one address.

    `address`: the final address; `target`: account address, "list:verb", program line, file path or next hop;
    `sender`: the envelope sender to use instead of the message's own (owner-alias), or None; `why`: the steps that
    led here; `reply`: for REFUSE and DEFER.
    """

    kind: Kind
    address: str
    target: str
    sender: str | None = None
    why: tuple[str, ...] = ()
    reply: Reply | None = None
