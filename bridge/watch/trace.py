"""The journal: one line for each step of each message, from the first door to the last reply.

Promises: `record` is cheap, never raises into the mail path and never blocks on anything but a buffered append; a line
is whole or absent. A line is JSON with `t` (seconds), `e` (event), `id` (queue id or ""), `p` (role) and the
event's fields.
Fails by: dropping lines when the disk refuses them (counted in `lost`); mail never waits for its own story.
Not here: opening files (the sink is passed in by `store.trace`), reading them back.
"""

import json
from collections.abc import Callable

from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import StoreError

Field = str | int | float | bool | None
_LONG = 1000


class Journal:
    """Writes events through `sink`, which appends one line to the day's file."""

    def __init__(self, sink: Callable[[bytes], None], role: str = "", clock: Clock = SYSTEM) -> None:
        self._sink, self._role, self._clock = sink, role, clock
        self.lost = 0

    @classmethod
    def silent(cls) -> "Journal":
        """A journal that forgets, for tests and tools."""
        return cls(lambda line: None)

    def record(self, event: str, id: str = "", **fields: Field) -> None:
        """Note `event` of message `id`. Long strings are cut; control characters are escaped by JSON."""
        line: dict[str, Field] = {"t": round(self._clock.now(), 6), "e": event, "id": id, "p": self._role}
        for name, value in fields.items():
            line[name] = value[:_LONG] if isinstance(value, str) else value
        try:
            self._sink(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except (OSError, StoreError):
            self.lost += 1
