"""Threading: references, subjects, cycles, and nothing that blows up."""

import time

from hypothesis import given
from hypothesis import strategies as st

from listmgr.archive.threads import MAX_DEPTH, MAX_REFERENCES, Node, thread


def node(
    number: int, refs: str = "", base: str = "", reply: bool = False, sent: int | None = None, msgid: str | None = None
) -> Node:
    return Node(
        number,
        f"<{number}>" if msgid is None else msgid,
        tuple(refs.split()),
        base,
        reply,
        number if sent is None else sent,
    )


def tree(*nodes: Node) -> list[tuple[int, int]]:
    return [(depth, nodes[index].number) for depth, index in thread(nodes)]


def test_references() -> None:
    assert tree(node(0), node(1, "<0>"), node(2), node(3, "<0> <1>"), node(4, "<0>")) == [
        (0, 0), (1, 1), (2, 3), (1, 4), (0, 2),
    ]  # fmt: skip


def test_the_last_known_reference_counts() -> None:
    assert tree(node(0), node(1, "<0> <gone>")) == [(0, 0), (1, 1)]


def test_replies_by_subject() -> None:
    assert tree(node(0, base="hi"), node(1, base="hi", reply=True), node(2, base="hi")) == [(0, 0), (1, 1), (0, 2)]


def test_an_answer_that_came_before_the_question() -> None:
    assert tree(node(0, "<1>", sent=5), node(1, sent=3)) == [(0, 1), (1, 0)]


def test_threads_stand_by_the_date_of_their_first_article() -> None:
    assert tree(node(0, sent=9), node(1, sent=3), node(2, "<1>", sent=20)) == [(0, 1), (1, 2), (0, 0)]


def test_cycles_are_cut() -> None:
    """sec-M18."""
    found = tree(node(0, "<2>"), node(1, "<0>"), node(2, "<1>"))
    assert sorted(number for _, number in found) == [0, 1, 2]
    assert tree(node(0, "<0>")) == [(0, 0)]


def test_two_posts_with_one_message_id_are_both_there() -> None:
    """sec-M17."""
    found = tree(node(0), node(1, msgid="<0>"), node(2, "<0>"))
    assert sorted(number for _, number in found) == [0, 1, 2]


def test_long_chains_and_many_references() -> None:
    """sec-M18: linear, not recursive. The bound is a blow-up guard."""
    chain = [node(n, f"<{n - 1}>" if n else "") for n in range(20_000)]
    wide = [node(n, " ".join(f"<x{k}>" for k in range(2000))) for n in range(200)]
    began = time.perf_counter()
    found = thread(chain)
    assert max(depth for depth, _ in found) == MAX_DEPTH
    assert len(thread(wide)) == 200
    assert time.perf_counter() - began < 5
    backwards = [node(n, f"<{n + 1}>") for n in range(20_000)]
    assert len(thread(backwards)) == 20_000
    assert MAX_REFERENCES == 50


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), max_size=4), st.sampled_from(["", "a", "b"]), st.booleans(), st.integers(0, 9)
        ),
        max_size=12,
    )
)
def test_every_article_is_there_once(raw: list[tuple[list[int], str, bool, int]]) -> None:
    nodes = [
        node(n, " ".join(f"<{ref}>" for ref in refs), base, reply, sent)
        for n, (refs, base, reply, sent) in enumerate(raw)
    ]
    found = thread(nodes)
    assert sorted(index for _, index in found) == list(range(len(nodes)))
    before = -1
    for depth, _ in found:
        assert depth <= before + 1
        before = depth
