"""Held posts and archives at the terminal."""

import pytest

from listmgr.commands import held
from listmgr.commands.archives import arch
from listmgr.commands.desk import Stop
from listmgr.moderation import Decision

POST = b"From: Eve <eve@example.net>\r\nTo: test@example.org\r\nSubject: hello\r\n\r\nHi all.\r\n"


def test_decide(house, desk) -> None:
    """L47."""
    house.join(house.make(), "ann@example.org")
    house.mail(POST, "test:post", sender="eve@example.net")
    house.sent()
    at = desk()
    held.show(at, "test")
    parent = at.stdout.getvalue().split()[0]
    assert "hello\n    Only members may post to this list." in at.stdout.getvalue()
    held.settle(desk(), "test", parent, Decision.ACCEPT)
    assert [one.address for one in house.sent()[0][0].recipients] == ["ann@example.org"]
    with pytest.raises(Stop):
        held.settle(desk(), "test", parent, Decision.DISCARD)
    at = desk()
    held.show(at, "test")
    assert at.stdout.getvalue() == "Nothing is waiting.\n"


@pytest.mark.parametrize("name", ["../x", "a b", ""])
def test_arch_takes_only_list_names(desk, name: str) -> None:
    with pytest.raises(Stop):
        arch(desk(), None, name)
