"""Threads from message ids and subjects (RFC 5256): pure, iterative, linear but for sorting.

Promises: each message appears once; loops in references are cut; depth costs no stack. A node is (UID, children) with
None for a parent that isn't there.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

Node = tuple[int | None, list["Node"]]


@dataclass(frozen=True, slots=True)
class Message:
    """What threading needs: `sent` seconds, its id, the ids it refers to (oldest first, by blanks), base subject,
    whether the subject had a reply mark."""

    uid: int
    sent: int
    id: str
    refs: str
    base: str
    reply: int


@dataclass(slots=True, eq=False)
class _Box:
    """A place in the tree: a message, or an id that others refer to."""

    message: Message | None = None
    parent: Optional["_Box"] = None
    children: list["_Box"] = field(default_factory=list)
    key: tuple[int, int] = (0, 0)
    above: bool = False     # something was hung below it


def build(algorithm: str, messages: Sequence[Message]) -> list[Node]:
    """Threads of these messages, in order of their first (REFERENCES, ORDEREDSUBJECT) message's date."""
    if algorithm == "ORDEREDSUBJECT":
        return _by_subject(messages)
    roots = _linked(messages)
    roots = _pruned(roots)
    _order(roots)
    if algorithm == "REFERENCES":
        roots = _gathered(roots)
        _order(roots)
    return _nodes(roots)


def numbered(threads: list[Node], numbers: Mapping[int, int]) -> list[Node]:
    """The same with other numbers; messages that have none are left out with their place kept."""
    out: list[Node] = []
    todo = [(threads, out)]
    while todo:
        source, target = todo.pop()
        for uid, children in source:
            below: list[Node] = []
            target.append((numbers.get(uid) if uid is not None else None, below))
            if children:
                todo.append((children, below))
    return out


def _by_subject(messages: Sequence[Message]) -> list[Node]:
    groups: dict[str, list[Message]] = {}
    for message in sorted(messages, key=_by_date):
        groups.setdefault(message.base, []).append(message)
    return [(group[0].uid, [(one.uid, []) for one in group[1:]]) for group in groups.values()]


def _by_date(message: Message) -> tuple[int, int]:
    return message.sent, message.uid


# ---- REFERENCES, step by step

def _linked(messages: Sequence[Message]) -> list[_Box]:
    """Steps 1 and 2: boxes by id, linked as References and In-Reply-To say; the roots."""
    boxes: dict[str, _Box] = {}
    every: list[_Box] = []
    for message in messages:
        box = boxes.get(message.id) if message.id else None
        if box is None or box.message is not None:
            box = _Box()
            every.append(box)
            if message.id and message.id not in boxes:
                boxes[message.id] = box
        box.message = message
        last: _Box | None = None
        for reference in message.refs.split():
            parent = boxes.get(reference)
            if parent is None:
                parent = boxes[reference] = _Box()
                every.append(parent)
            if last is not None and parent.parent is None and parent is not last and not _is_above(parent, last):
                parent.parent, last.above = last, True
            last = parent
        if last is None or last is box or _is_above(box, last):
            box.parent = None
        else:
            box.parent, last.above = last, True
    roots = []
    for box in every:
        if box.parent is None:
            roots.append(box)
        else:
            box.parent.children.append(box)
    return roots


def _is_above(box: _Box, other: _Box) -> bool:
    """Whether `box` is `other` or above it."""
    if not box.above:
        return box is other
    at: _Box | None = other
    while at is not None:
        if at is box:
            return True
        at = at.parent
    return False


def _upwards(roots: list[_Box]) -> list[_Box]:
    """All places, each behind those below it; depth costs no stack."""
    found: list[_Box] = []
    todo = list(roots)
    while todo:
        box = todo.pop()
        found.append(box)
        todo.extend(box.children)
    found.reverse()
    return found


def _pruned(roots: list[_Box]) -> list[_Box]:
    """Step 3: places without a message go, their children take their place (at the top only a single one does)."""
    for box in _upwards(roots):
        kept: list[_Box] = []
        for child in box.children:
            if child.message is not None:
                kept.append(child)
            else:
                kept.extend(child.children)
        box.children = kept
    out: list[_Box] = []
    for root in roots:
        if root.message is not None or len(root.children) > 1:
            out.append(root)
        else:
            out.extend(root.children)
    return out


def _order(roots: list[_Box]) -> None:
    """Steps 4 and 6: brothers by date; a place without a message has the date of its first child."""
    for box in _upwards(roots):
        if len(box.children) > 1:
            box.children.sort(key=_key)
        box.key = _by_date(box.message) if box.message else box.children[0].key if box.children else (0, 0)
    roots.sort(key=_key)


def _key(box: _Box) -> tuple[int, int]:
    return box.key


def _first(box: _Box) -> Message | None:
    return box.message or (box.children[0].message if box.children else None)


def _gathered(roots: list[_Box]) -> list[_Box]:
    """Step 5: threads with the same base subject become one."""
    out: list[_Box] = []
    groups: dict[str, list[_Box]] = {}
    for root in roots:
        first = _first(root)
        if first is None or not first.base:
            out.append(root)
        else:
            groups.setdefault(first.base, []).append(root)
    out.extend(group[0] if len(group) == 1 else _merged(group) for group in groups.values())
    return out


def _merged(group: list[_Box]) -> _Box:
    """One tree of several with the same subject: a place without a message first, else the first that is no reply."""
    top = min(group, key=_standing)
    for root in list(group):
        if root is top:
            continue
        if top.message is None:
            top.children.extend([root] if root.message else root.children)
        elif root.message is not None and root.message.reply and not top.message.reply:
            top.children.append(root)
        else:
            held, top = top, _Box()
            top.children = [held, root]
    return top


def _standing(box: _Box) -> int:
    return 0 if box.message is None else 2 if box.message.reply else 1


def _nodes(roots: list[_Box]) -> list[Node]:
    out: list[Node] = []
    todo = [(roots, out)]
    while todo:
        source, target = todo.pop()
        for box in source:
            below: list[Node] = []
            target.append((box.message.uid if box.message else None, below))
            if box.children:
                todo.append((box.children, below))
    return out
