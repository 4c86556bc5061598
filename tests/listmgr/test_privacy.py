"""Options of the privacy pages that the rules' own tests don't show."""

import pytest

from listmgr import roster
from listmgr.roster import Refusal, Why

POST = b"From: %s\r\nTo: test@example.org\r\nSubject: hello\r\n\r\nHi.\r\n"


def test_ban_list(house) -> None:
    """L57: neither join nor post, by address or pattern."""
    which = house.make(ban_list=["*@spam.example", "eve@example.net"], generic_nonmember_action="accept")
    house.join(which, "ann@example.org")
    for address in ("x@spam.example", "EVE@example.net"):
        with pytest.raises(Refusal) as refusal:
            house.office.core.write_now(lambda c, a=address: roster.add(c, which, a, now=0.0))
        assert refusal.value.why is Why.BANNED
        house.mail(POST % address.encode(), "test:post", sender=address)
    assert house.sent() == []
    house.mail(POST % b"bob@example.net", "test:post", sender="bob@example.net")
    assert len(house.sent()) == 1


def test_member_moderation_notice(house) -> None:
    which = house.make(member_moderation_action="reject", member_moderation_notice="Only announcements here.")
    house.join(which, "ann@example.org", moderated=True)
    house.mail(POST % b"ann@example.org", "test:post")
    assert b"Only announcements here." in house.sent()[0][1]
