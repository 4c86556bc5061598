"""Windows, turns, rests and halts, as plain bookkeeping."""
from bridge.queue.scheduler import REST_FIRST, REST_LONGEST, Limits, Window
from bridge.store.queuetables import Waiting

FAR, NEAR, LOCAL = ("remote", "far.example"), ("remote", "near.example"), ("mailbox", "")


def window(**limits):
    return Window(Limits(**({"active": 100, "transactions": 4, "per_destination": 2, "chunk": 10} | limits)))


def test_transactions_per_destination_and_in_all():
    """sec-O08."""
    made = window()
    for _ in range(2):
        assert made.may_start(FAR)
        made.start(FAR)
    assert not made.may_start(FAR)
    made.start(NEAR)
    made.start(NEAR)
    assert not made.may_start(("remote", "third.example"))
    assert made.may_start(LOCAL)
    made.end(FAR)
    assert made.may_start(FAR)
    assert made.may_start(("remote", "third.example"))


def test_a_destination_that_does_well_gets_more():
    made = window(transactions=50, per_destination_most=4)
    for _ in range(10):
        while made.may_start(FAR):
            made.start(FAR)
        made.fine(FAR)
    assert made.transactions == 4
    made.trouble(FAR, "host", 0)
    for _ in range(3):
        made.end(FAR)
    assert not made.may_start(FAR)
    made.end(FAR)
    assert made.may_start(FAR)
    made.start(FAR)
    made.fine(FAR)
    made.start(FAR)
    assert not made.may_start(FAR)


def test_recipients_in_hand():
    made = window()
    assert made.space(FAR, 0) == 20
    made.take(FAR, 15)
    assert made.space(FAR, 0) == 5
    assert made.space(LOCAL, 0) == 85
    made.take(LOCAL, 85)
    assert made.space(NEAR, 0) == 0
    made.give(LOCAL, 85)
    made.give(FAR, 15)
    assert (made.recipients, made.space(FAR, 0)) == (0, 20)


def test_everybody_has_a_turn():
    made = window(active=25)
    piles = [Waiting("remote", name, 1000) for name in ("a", "b", "c")]
    first = {made.choose(piles, 0, turn)[0][0].nexthop for turn in range(3)}
    assert first == {"a", "b", "c"}
    assert [number for _, number in made.choose(piles, 0, 0)] == [20, 5]


def test_a_way_with_enough_in_hand_is_passed_over():
    made = window()
    pile = [Waiting(*FAR, 1000)]
    made.take(FAR, 11)
    assert made.choose(pile, 0, 0) == []
    made.give(FAR, 1)
    assert made.choose(pile, 0, 0) == [(pile[0], 10)]
    assert made.choose([Waiting(*FAR, 3)], 0, 0) == [(Waiting(*FAR, 3), 3)]


def test_rest_grows_and_ends():
    made = window()
    now = 0.0
    rests = []
    for _ in range(12):
        made.trouble(FAR, "host", now)
        made.trouble(FAR, "host", now)      # transactions that fail together count once
        assert made.space(FAR, now) == 0
        assert made.space(NEAR, now) > 0
        end = made._rests[FAR].until
        rests.append(end - now)
        now = end
        assert made.space(FAR, now) == 10   # one transaction asks first
    assert rests[:3] == [REST_FIRST, 2 * REST_FIRST, 4 * REST_FIRST]
    assert rests[-1] == REST_LONGEST
    made.fine(FAR)
    assert made.space(FAR, now) == 20


def test_disk_trouble_rests_all_of_its_kind():
    made = window()
    made.trouble(LOCAL, "node", 0)
    assert made.space(LOCAL, 1) == 0
    assert made.space(FAR, 1) > 0
    assert made.space(LOCAL, 6) > 0
    made.trouble(LOCAL, "recipient", 6)
    assert made.space(LOCAL, 6) > 0
    made.trouble(LOCAL, "node", 6)
    made.wake()
    assert made.space(LOCAL, 6) > 0


def test_halts():
    """S87."""
    made = window()
    made.halted = {"outgoing"}
    assert (made.space(FAR, 0), made.space(LOCAL, 0) > 0) == (0, True)
    made.halted = {"far.example"}
    assert (made.space(FAR, 0), made.space(NEAR, 0) > 0) == (0, True)
    made.halted = {"all"}
    assert made.space(LOCAL, 0) == made.space(NEAR, 0) == 0
