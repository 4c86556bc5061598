"""Order of mail exchangers by RFC 5321 5.1 (S79, sec-O07)."""
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.route.mx import HOSTS, NoHost, hosts


def still(items):
    """No shuffle: equals in order of their names."""


def test_by_preference_equals_shuffled_each_once():
    records = [(20, "c.example.net."), (10, "B.example.net."), (10, "a.example.net"), (30, "a.example.net.")]
    assert hosts(records, (), still) == ("a.example.net", "b.example.net", "c.example.net")
    assert hosts(records, (), list.reverse) == ("b.example.net", "a.example.net", "c.example.net")
    orders = {hosts(records, (), random.Random(seed).shuffle) for seed in range(20)}
    assert orders == {tuple(f"{letter}.example.net" for letter in order) for order in ("abc", "bac")}


def test_P10_never_to_ourselves_nor_to_anybody_behind_us():
    records = [(10, "first.example.net"), (20, "ME.example.org."), (20, "equal.example.net"), (30, "last.example.net")]
    assert hosts(records, ("me.example.org",), still) == ("first.example.net",)
    assert hosts(records[1:], ("me.example.org",), still) is NoHost.OURSELVES


def test_null_mx():
    assert hosts([(0, ".")], (), still) is NoHost.NULL
    assert hosts([(0, "."), (10, "a.example.net")], (), still) == ("a.example.net",)


def test_sec_O07_a_limit():
    assert len(hosts([(1, f"h{number}.example.net") for number in range(1000)], (), still)) == HOSTS


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "c.", "D", "me", "."]))), st.integers())
def test_ascending_distinct_and_never_ours(records, seed):
    found = hosts(records, ("me",), random.Random(seed).shuffle)
    if isinstance(found, NoHost):
        return
    best = {}
    for preference, name in records:
        key = name.rstrip(".").lower()
        best[key] = min(preference, best.get(key, 9))
    assert [best[host] for host in found] == sorted(best[host] for host in found)
    assert len(set(found)) == len(found)
    assert all(best[host] < best.get("me", 9) for host in found)
