"""SMTP replies as values: code, enhanced code, text. RFC 5321 4.2, RFC 3463."""
import re
from dataclasses import dataclass

_LINE = re.compile(r"(\d{3})[ -]?(?:([245]\.\d{1,3}\.\d{1,3}) )?(.*)", re.S)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `enhanced` is "" where the protocol has none (greeting, EHLO, 354)."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 400

    @property
    def status(self) -> str:
        """The RFC 3463 status for a DSN, derived from the code where the peer sent none."""
        return self.enhanced or f"{self.code // 100}.0.0"


def parse(line: str) -> Reply:
    """A reply from its text form; what is not one becomes a temporary 451, since nothing was positively said."""
    found = _LINE.match(line)
    if not found:
        return Reply(451, "4.5.0", line[:500])
    code, enhanced, text = found.groups()
    return Reply(int(code), enhanced or "", text[:500])
