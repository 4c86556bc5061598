"""Mailbox patterns of LIST: `*` matches anything, `%` anything up to the separator.

Promises: matching costs one step per character of the name, whatever the pattern; nothing backtracks or recurses.
Fails by: nothing.
RFC: 3501 section 6.3.8, 9051 section 6.3.9.

The pattern runs as a set of places kept in one integer: bit i says that the first i characters of the pattern can
match what was read so far.
"""

from __future__ import annotations

import re

_RUN = re.compile(r"[%*]+")


class Pattern:
    """A compiled pattern; `reference` is put in front, as it is."""

    __slots__ = ("_any", "_chars", "_end", "_inbox", "_separator", "_some", "_wild", "text")

    def __init__(self, pattern: str, separator: str = "/", reference: str = "") -> None:
        text = _RUN.sub(lambda run: "*" if "*" in run[0] else "%", reference + pattern)
        self.text = text
        self._separator = separator
        self._end = 1 << len(text)
        self._any = self._some = 0
        self._chars: dict[str, int] = {}
        for at, char in enumerate(text):
            if char == "*":
                self._any |= 1 << at
            elif char == "%":
                self._some |= 1 << at
            else:
                self._chars[char] = self._chars.get(char, 0) | 1 << at
        self._wild = self._any | self._some
        upper = text.upper()
        self._inbox = Pattern(upper, separator) if upper != text else None

    def matches(self, name: str) -> bool:
        """Whether the name is meant; INBOX in any case."""
        if name == "INBOX" and self._inbox is not None:
            return self._inbox.matches(name)
        return bool(self._run(name) & self._end)

    def _run(self, name: str) -> int:
        wild, separator = self._wild, self._separator
        places = 1 | (1 & wild) << 1  # a wildcard may match nothing; no two of them are neighbours
        for char in name:
            stay = places & (self._any if char == separator else wild)
            places = (places & self._chars.get(char, 0)) << 1 | stay
            if not places:
                return 0
            places |= (places & wild) << 1
        return places
