"""Tokens: 128 bits, once, three days, bound (sec-L04)."""

from sqlalchemy import select

from listmgr import pending, tables
from listmgr.pending import Action


def ask(house, which, action=Action.SUBSCRIBE, key="a@example.org", origin="x") -> str:
    return house.office.core.write_now(
        lambda c: pending.ask(
            c, which, action, key, {"address": key}, origin=origin, now=house.now[0], days=3, random=house.office.random
        )
    )


def take(house, which, token):
    return house.office.core.write_now(lambda c: pending.take(c, which, token, now=house.now[0]))


def test_a_token_works_once_and_only_for_its_list(house) -> None:
    which, other = house.make(), house.make("other")
    token = ask(house, which)
    assert len(bytes.fromhex(token)) == 16
    assert take(house, other, token) is None
    found = take(house, which, token)
    assert found is not None
    assert (found.action, found.key) == (Action.SUBSCRIBE, "a@example.org")
    assert take(house, which, token) is None


def test_looking_changes_nothing(house) -> None:
    """sec-L05."""
    which = house.make()
    token = ask(house, which)
    for _ in range(3):
        with house.office.core.read() as connection:
            assert pending.look(connection, which, token, now=house.now[0]) is not None
    assert take(house, which, token) is not None


def test_a_token_dies_after_three_days(house) -> None:
    which = house.make()
    token = ask(house, which)
    house.now[0] += 3 * 86400 + 1
    assert take(house, which, token) is None
    assert house.office.core.write_now(lambda c: pending.expire(c, now=house.now[0])) == 1


def test_guesses_fail(house) -> None:
    which = house.make()
    ask(house, which)
    for guess in ("", "0" * 32, "x" * 32, "0" * 31, "0" * 33, "' OR 1=1 --", "0" * 31 + "\n"):
        assert take(house, which, guess) is None


def test_the_database_does_not_know_the_token(house) -> None:
    which = house.make()
    token = ask(house, which)
    with house.office.core.read() as connection:
        rows = connection.execute(select(tables.pending)).all()
    assert token not in repr(rows)


def test_using_one_uses_all_of_the_same_kind(house) -> None:
    which = house.make()
    first, second = ask(house, which), ask(house, which)
    other = ask(house, which, Action.UNSUBSCRIBE)
    assert take(house, which, first) is not None
    assert take(house, which, second) is None
    assert take(house, which, other) is not None


def test_asked_counts_others_only(house) -> None:
    which = house.make()
    ask(house, which, origin="first")
    with house.office.core.read() as connection:

        def asked(origin: str, since: float) -> int:
            return pending.asked(connection, which, Action.SUBSCRIBE, "a@example.org", origin=origin, since=since)

        assert asked("second", house.now[0] - 1) == 1
        assert asked("first", house.now[0] - 1) == 0
        assert asked("second", house.now[0] + 1) == 0
