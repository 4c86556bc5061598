"""Commands in the settings: what is wrong with them is said before any mail meets them."""
import pytest

from bridge.config.delivery import Delivery


@pytest.mark.parametrize(("changes", "setting"), [
    ({"mailbox_command": "procmail -a"}, "mailbox_command"),
    ({"mailbox_command": "/usr/bin/procmail '"}, "mailbox_command"),
    ({"mailbox_command": "/usr/bin/procmail %x"}, "mailbox_command"),
    ({"mailbox_command": "/usr/bin/%u"}, "mailbox_command"),
    ({"mailbox_commands": {"example.org": "maildrop"}}, "mailbox_commands"),
    ({"program_user": "root"}, "program_user"),
    ({"program_seconds": 0}, "program_seconds"),
])  # fmt: skip
def test_mistakes_are_named(changes, setting):
    """D06: each with the setting and what to write."""
    (found,) = Delivery(**changes).problems()
    assert found.setting == setting
    assert found.text
    assert found.es != found.text


def test_good_ones():
    good = Delivery(mailbox_command="/usr/bin/procmail -f %f -a %e", mailbox_commands={"a@b": "", "c": "/x 100%%"})
    assert not list(good.problems())
