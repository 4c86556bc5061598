"""Waits grow, differ and end; jumps of the clock are noticed, drift is not."""
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.clock import Clock
from bridge.queue.backoff import JUMP_HOLD, Backoff, JumpWatch


@given(st.integers(-3, 10**6), st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded(attempts, chance):
    """S81: five minutes to four hours, 20 % either way; never more than the longest."""
    wait = Backoff(300, 14400, lambda: chance).wait(attempts)
    assert 240 <= wait <= 14400


def test_waits_double():
    backoff = Backoff(300, 14400, lambda: 0.5)
    assert [round(backoff.wait(number)) for number in (1, 2, 3, 4, 5, 6, 7, 40)] == [
        300, 600, 1200, 2400, 4800, 9600, 12000, 12000,
    ]


def test_jitter_spreads_a_herd():
    """sec-Q13: what failed together doesn't come back together."""
    backoff = Backoff(300, 14400)
    waits = {round(backoff.wait(3)) for _ in range(500)}
    assert len(waits) > 100
    assert max(waits) - min(waits) > 300


def test_jump_is_noticed_once():
    """D-9, P29."""
    wall, mono = [1000.0], [10.0]
    watch = JumpWatch(Clock(lambda: wall[0], lambda: mono[0]))
    assert watch.jump() == 0
    wall[0] += 5
    mono[0] += 5
    assert (watch.jump(), watch.now()) == (0, 1005)
    wall[0] += 864000
    assert watch.now() == 1005
    assert watch.jump() == watch.jump() == 864000
    assert not watch.held
    watch.accept(864000)
    assert (watch.now(), watch.jump(), watch.held) == (wall[0], 0, True)
    mono[0] += JUMP_HOLD + 1
    wall[0] += JUMP_HOLD + 1
    assert not watch.held


def test_drift_is_followed():
    wall, mono = [1000.0], [0.0]
    watch = JumpWatch(Clock(lambda: wall[0], lambda: mono[0]))
    for _ in range(100):
        wall[0] += 10
        mono[0] += 9
        assert watch.jump() == 0
        assert watch.now() == wall[0]
