"""What is different where people hand in mail: the From must be theirs, and the header is completed.

Promises: a message from somebody who logged in has exactly one From whose addresses all belong to that login (sec-S26),
one Date, one Message-ID, no Bcc (sec-S28). A message from a stranger only loses results forged in our name (sec-S20).
Fails by: Refused. RFC 6409 6 and 8.
"""
from collections.abc import Callable

from bridge.intake.policy import Tables
from bridge.intake.session import Visit
from bridge.model.address import BadAddress, mailbox
from bridge.model.envelope import Envelope
from bridge.model.errors import Refused
from bridge.model.reply import Reply
from bridge.queue.enter import date
from bridge.wire import addresses, fixes

FROM_NOT_YOURS = Reply(550, "5.7.1", "The From address of the message does not belong to this login")
SEVERAL_FROM = Reply(550, "5.7.1", "The message has more than one From, or one that cannot be read")


def header_fix(visit: Visit, tables: Tables, hostname: str) -> Callable[[bytes, Envelope], bytes]:
    """What the door does to the header block of this visit's message."""
    account = visit.account
    complete = visit.submits

    def fix(block: bytes, envelope: Envelope) -> bytes:
        if not complete:
            return fixes.incoming(block, hostname)
        if account is not None:
            for address in _from(block):
                if not tables.owns(account, address):
                    raise Refused(FROM_NOT_YOURS)
        return fixes.submitted(
            block,
            sender=envelope.sender,
            hostname=hostname,
            date=date(int(envelope.received_at)),
            message_id=f"{envelope.id}@{hostname}",
        )

    return fix


def _from(block: bytes) -> list[str]:
    found = [field for name, field in fixes.fields(block) if name == b"from"]
    if not found:
        return []
    read = addresses.strict(found[0].partition(b":")[2]) if len(found) == 1 else None
    if not read:
        raise Refused(SEVERAL_FROM)
    try:
        return [mailbox(one.address) if one.domain else one.local for one in read]
    except BadAddress:
        raise Refused(SEVERAL_FROM) from None
