"""The error family: whose fault, and therefore which kind of answer.

PeerError: the other side broke the protocol. Refused: policy says no. StoreError: our disk or database, always
temporary. ConfigError: the administrator's file. Anything else that escapes is a bug: 451 or NO [SERVERBUG].
"""
from bridge.model.reply import Reply


class PeerError(Exception):
    """The peer broke the protocol; the only exception a `wire` parser may let out."""


class Refused(Exception):
    """Policy refuses; carries the reply that says so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class StoreError(Exception):
    """Our own disk or database failed: always a temporary answer, never loss (P12)."""


class DiskFull(StoreError):
    """No room (ENOSPC, EDQUOT): 452 4.3.1, NO [OVERQUOTA]."""


class ConfigError(Exception):
    """A setting is wrong. `problems` are lines ready to print: file, line, what is wrong, what to write instead."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
