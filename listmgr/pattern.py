"""Regular expressions for searches that strangers' patterns can't make slow: no backtracking, one step a character.

Promises: the time is proportional to the text, whatever the pattern is (sec-M15): it becomes a set of states, and the
sets that were seen are remembered. Understood are literals, `.`, classes, `\\d \\w \\s` and their opposites, groups,
`|`, `* + ? {m,n}` (also lazy, which means the same here), `^` and `$`; a star with nothing before it stands for
anything, as in a shell. Case doesn't count. Fails by: BadPattern, which says what is wrong, in both languages.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST = 100  # characters of a pattern
DEEPEST = 20  # groups in groups
MOST_STATES = 2000
REMEMBERED = 5000  # sets of states
_CLASSES = {name: re.compile("\\" + name) for name in "dDwWsS"}
_COUNTS = re.compile(r"\{(\d{0,3})(,?)(\d{0,3})\}")

Words = tuple[str, str]
Test = Callable[[str], bool]


class BadPattern(ValueError):
    """The pattern makes no sense; `words` say why, English and Spanish."""

    def __init__(self, english: str, spanish: str) -> None:
        super().__init__(english)
        self.words: Words = (english, spanish)


@dataclass(slots=True)
class _State:
    """`test` leads to `then[0]`; without one, all of `then` are reached for nothing. `at`: only there ("^" or "$")."""

    test: Test | None = None
    then: list[int] = field(default_factory=list)
    at: str = ""


Piece = tuple[int, int]  # first and last state
States = frozenset[int]


class Pattern:
    """A compiled search; `found(text)` says whether the text has it anywhere."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise BadPattern(f"more than {LONGEST} characters", f"más de {LONGEST} caracteres")
        self._text, self._at, self._depth = text, 0, 0
        self._states: list[_State] = []
        self._first, self._last = self._choice()
        if self._at < len(self._text):
            raise BadPattern("a ) without its (", "un ) sin su (")
        self._begin = self._closed({self._first}, start=True)
        self._again = self._closed({self._first}, start=False)
        self._seen: dict[tuple[States, str], States] = {}

    def found(self, text: str) -> bool:
        """Is it anywhere in the text?"""
        now, last, seen = self._begin, self._last, self._seen
        for char in text.lower():
            if last in now:
                return True
            following = seen.get((now, char))
            if following is None:
                following = self._step(now, char)
            now = following
        return last in now or last in self._ended(now)

    # ---- running

    def _step(self, now: States, char: str) -> States:
        states = self._states
        reached = {states[one].then[0] for one in now if (test := states[one].test) is not None and test(char)}
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        following = self._closed(reached, start=False) | self._again
        self._seen[now, char] = following
        return following

    def _closed(self, reached: set[int], *, start: bool) -> States:
        """With all that is reached without a character."""
        waiting, found = list(reached), set(reached)
        while waiting:
            state = self._states[waiting.pop()]
            if state.test is None and (not state.at or (state.at == "^" and start)):
                new = [one for one in state.then if one not in found]
                found.update(new)
                waiting += new
        return frozenset(found)

    def _ended(self, now: States) -> States:
        """What is reached at the end of the text."""
        waiting, found = list(now), set(now)
        while waiting:
            state = self._states[waiting.pop()]
            if state.test is None and state.at != "^":
                new = [one for one in state.then if one not in found]
                found.update(new)
                waiting += new
        return frozenset(found)

    # ---- building

    def _state(self, test: Test | None = None, at: str = "") -> int:
        if len(self._states) >= MOST_STATES:
            raise BadPattern("too many repetitions", "demasiadas repeticiones")
        self._states.append(_State(test, [], at))
        return len(self._states) - 1

    def _piece(self, test: Test | None = None, at: str = "") -> Piece:
        first, last = self._state(test, at), self._state()
        self._states[first].then.append(last)
        return first, last

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> Piece:
        """Alternatives between bars."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadPattern("too many groups in groups", "demasiados grupos dentro de grupos")
        found = [self._row()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._row())
        self._depth -= 1
        if len(found) == 1:
            return found[0]
        first, last = self._state(), self._state()
        for begin, end in found:
            self._states[first].then.append(begin)
            self._states[end].then.append(last)
        return first, last

    def _row(self) -> Piece:
        """One thing after the other."""
        first = last = self._state()
        while self._peek() not in ("", "|", ")"):
            begin, end = self._repeated()
            self._states[last].then.append(begin)
            last = end
        return first, last

    def _repeated(self) -> Piece:
        start = self._at
        piece = self._one()
        for _ in range(LONGEST):
            least, most = self._counts()
            if least < 0:
                return piece
            if most >= 0 and (most < least or most > 100):
                raise BadPattern("a count that makes no sense", "una cuenta sin sentido")
            piece = self._copies(piece, start, self._at, least, most)
        return piece

    def _counts(self) -> tuple[int, int]:
        """How often; (-1, 0) if nothing is said, most is -1 for any number."""
        char = self._peek()
        simple = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}.get(char) if char else None
        if simple is not None:
            self._at += 1
        else:
            counted = _COUNTS.match(self._text, self._at)
            if counted is None or not (counted[1] or counted[3]):
                return -1, 0
            self._at = counted.end()
            least = int(counted[1] or 0)
            simple = least, (int(counted[3]) if counted[3] else -1) if counted[2] else least
        if self._peek() == "?" and char != "":
            self._at += 1  # lazy: the same for a search
        return simple

    def _copies(self, piece: Piece, start: int, end: int, least: int, most: int) -> Piece:
        """The piece so many times; copies are read again from the pattern."""
        if (least, most) == (1, 1):
            return piece
        first = last = self._state()
        for number in range(max(least, most, 1)):
            begin, close = piece if number == 0 else self._copy(start, end)
            if number >= least:  # may be left out, with all after it
                beyond = self._state()
                self._states[last].then += [begin, beyond]
                self._states[close].then.append(beyond)
                last = beyond
            else:
                self._states[last].then.append(begin)
                last = close
            if most < 0 and number == max(least, 1) - 1:
                self._states[close].then.append(begin)
        return (first, last) if max(least, most) > 0 or most < 0 else (first, first)

    def _copy(self, start: int, end: int) -> Piece:
        at, self._at = self._at, start
        piece = self._one()
        self._at = at
        return piece

    def _one(self) -> Piece:
        char = self._text[self._at]
        self._at += 1
        if char == "(":
            if self._text.startswith("?:", self._at):
                self._at += 2
            piece = self._choice()
            if self._peek() != ")":
                raise BadPattern("a ( without its )", "un ( sin su )")
            self._at += 1
            return piece
        if char == "[":
            return self._piece(self._class())
        if char in "^$":
            return self._piece(at=char)
        if char == ".":
            return self._piece(lambda one: True)
        if char in "*+?":
            if char == "*" and self._at == 1:
                self._at -= 1  # as in a shell: anything
                return self._piece(lambda one: True)
            raise BadPattern(f"nothing before {char}", f"no hay nada antes de {char}")
        if char == "\\":
            return self._piece(self._escaped())
        return self._piece(_same(char))

    def _escaped(self) -> Test:
        char = self._peek()
        if not char:
            raise BadPattern("a \\ at the end", "un \\ al final")
        self._at += 1
        if char in _CLASSES:
            known = _CLASSES[char]
            return lambda one: known.match(one) is not None
        if char.isalnum():
            raise BadPattern(f"\\{char} is not known here", f"\\{char} no se conoce aquí")
        return _same(char)

    def _class(self) -> Test:
        """What is between brackets."""
        negated = self._peek() == "^"
        self._at += negated
        tests: list[Test] = []
        while self._peek() != "]" or not tests:
            char = self._peek()
            if not char:
                raise BadPattern("a [ without its ]", "un [ sin su ]")
            self._at += 1
            if char == "\\":
                tests.append(self._escaped())
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                tests.append(_between(char, self._text[self._at + 1]))
                self._at += 2
            else:
                tests.append(_same(char))
        self._at += 1
        return lambda one: any(test(one) for test in tests) is not negated


def _same(char: str) -> Test:
    char = char.lower()
    return lambda one: one == char


def _between(low: str, high: str) -> Test:
    low, high = low.lower(), high.lower()
    if high < low:
        raise BadPattern(f"{low}-{high} is no range", f"{low}-{high} no es un intervalo")
    return lambda one: low <= one <= high
