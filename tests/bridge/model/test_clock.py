"""Queue ids: time-ordered, unique, never guessed twice (sec-Q12)."""

from bridge.model.clock import Clock, Ids, micros_of


def test_a_million_ids_differ_and_sort_by_time() -> None:
    ids = Ids()
    made = [ids.new() for _ in range(1_000_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)


def test_ids_grow_even_when_the_clock_stands_or_goes_back() -> None:
    times = iter([100.0, 100.0, 50.0, 50.0])
    ids = Ids(Clock(now=lambda: next(times)))
    made = [ids.new() for _ in range(4)]
    assert made == sorted(set(made))


def test_the_time_can_be_read_back() -> None:
    assert micros_of(Ids(Clock(now=lambda: 1234.5)).new()) == 1_234_500_000
