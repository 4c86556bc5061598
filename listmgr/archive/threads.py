"""Who answers whom: a flat list of articles becomes trees, in the order in which a reader wants them.

Promises: pure, linear but for the sorting, nothing recursive; at most `MAX_REFERENCES` references count (sec-M18), a
cycle is cut where it would close, every article is in the answer once. First References (the last id that is known),
then, for a reply, the oldest article with the same subject. After Zawinski's algorithm, without its empty containers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_REFERENCES = 50
MAX_DEPTH = 500


@dataclass(frozen=True, slots=True)
class Node:
    """What threading needs to know of an article."""

    number: int
    msgid: str
    refs: tuple[str, ...]
    base: str
    reply: bool
    sent: int


def thread(nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """(depth, index into `nodes`), depth 0 beginning a thread; threads by the date of their first article."""
    parents = _parents(nodes)
    children: dict[int, list[int]] = {}
    for index, parent in enumerate(parents):
        children.setdefault(parent, []).append(index)

    def age(index: int) -> tuple[int, int]:
        return nodes[index].sent, nodes[index].number

    out: list[tuple[int, int]] = []
    stack = [(0, index) for index in sorted(children.get(-1, ()), key=age, reverse=True)]
    while stack:
        depth, index = stack.pop()
        out.append((depth, index))
        below = children.get(index)
        if below:
            deeper = min(depth + 1, MAX_DEPTH)
            stack += [(deeper, child) for child in sorted(below, key=age, reverse=True)]
    return out


def _parents(nodes: Sequence[Node]) -> list[int]:
    """The index of each article's parent, -1 for none."""
    by_id: dict[str, int] = {}
    by_subject: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if node.msgid:
            by_id.setdefault(node.msgid, index)
        if node.base:
            by_subject.setdefault(node.base, index)
    parents = [-1] * len(nodes)
    roots = list(range(len(nodes)))  # union-find: the top of the tree that an article is in, as far as known

    def top(index: int) -> int:
        while roots[index] != index:
            roots[index] = roots[roots[index]]
            index = roots[index]
        return index

    for index, node in enumerate(nodes):
        for candidate in _candidates(node, by_id, by_subject):
            if candidate != index and top(candidate) != index:
                parents[index] = roots[index] = candidate
                break
    return parents


def _candidates(node: Node, by_id: dict[str, int], by_subject: dict[str, int]) -> list[int]:
    found = [by_id[ref] for ref in reversed(node.refs[-MAX_REFERENCES:]) if ref in by_id]
    if not found and node.reply and node.base in by_subject:
        found.append(by_subject[node.base])
    return found
