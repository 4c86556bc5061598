"""Members: once each, banned ones never, recipients of a post."""

import pytest

from listmgr import roster
from listmgr.roster import Refusal, Why


def test_an_address_is_on_a_list_once(house) -> None:
    """P35."""
    which = house.make()
    house.join(which, "Ann@Example.org")
    with pytest.raises(Refusal) as refusal:
        house.join(which, "ann@example.ORG")
    assert refusal.value.why is Why.MEMBER
    assert house.members(which) == ["Ann@Example.org"]


@pytest.mark.parametrize("bad", ["x", "a@b@c.example", "Ann <ann@example.org>", "a@example.org\nx: y"])
def test_what_is_no_address_is_refused(house, bad: str) -> None:
    which = house.make()
    with pytest.raises(Refusal) as refusal:
        house.join(which, bad)
    assert refusal.value.why is Why.INVALID


@pytest.mark.parametrize(("list_id", "pattern"), [(0, "*@spam.example"), (1, "eve@spam.example"), (1, "e?e@*")])
def test_bans(house, list_id: int, pattern: str) -> None:
    which = house.make()
    assert house.office.core.write_now(lambda c: roster.ban(c, list_id, pattern.upper(), now=0.0))
    assert not house.office.core.write_now(lambda c: roster.ban(c, list_id, pattern, now=0.0))
    with pytest.raises(Refusal) as refusal:
        house.join(which, "EVE@spam.example")
    assert refusal.value.why is Why.BANNED


def test_a_glob_of_many_stars_costs_nothing() -> None:
    """sec-M15, sec-L24."""
    assert not roster.matches("a" * 200 + "@example.org", ["*a" * 100 + "b@example.org"])
    assert roster.matches("x@example.org", ["*@example.org"])


def test_recipients(house) -> None:
    """Delivery off, own copies off, and who is in To or Cc already (L54)."""
    which = house.make()
    house.join(which, "a@example.org", "b@example.org", "c@example.org", "d@example.org", "e@example.org")
    with_options = {
        "b@example.org": {"delivery": "byuser"},
        "c@example.org": {"nodupes": False},
        "e@example.org": {"notmetoo": True},
    }
    for address, values in with_options.items():
        house.office.core.write_now(lambda c, a=address, v=values: roster.change(c, which, a, now=1.0, **v))
    with house.office.core.read() as connection:
        found = roster.recipients(
            connection, which, author="E@example.org", explicit=("c@example.org", "D@example.org")
        )
    assert found == ["a@example.org", "c@example.org"]


def test_options_of_new_members_come_from_the_list(house) -> None:
    which = house.make(new_member_options=("hide", "ack"), default_member_moderation=True)
    house.join(which, "a@example.org")
    with house.office.core.read() as connection:
        member = roster.find(connection, which, "a@example.org")
    assert member is not None
    assert (member.hide, member.ack, member.notmetoo, member.nodupes, member.moderated) == (
        True,
        True,
        False,
        False,
        True,
    )


def test_leaving(house) -> None:
    which = house.make()
    house.join(which, "a@example.org")
    assert house.office.core.write_now(lambda c: roster.remove(c, which, "A@example.org"))
    assert not house.office.core.write_now(lambda c: roster.remove(c, which, "a@example.org"))
