"""The log: one line per thing worth knowing, on standard error or in a file, secrets masked.

Promises: every record begins with time, role and pid, its further lines (a traceback) are indented, so that no stranger
can write a record; passwords that slip into a message's arguments by name are masked (sec-A18); control characters of
strangers never reach the terminal or the file raw (sec-S19).
"""

import logging
import re
import sys

_SECRET = re.compile(
    r"(?i)\b(pass(?:word|wd)?|secret|token|authorization)(['\"]?\s*[=:]\s*)"
    r"(?:(?:basic|bearer)\s+)?(?:'[^']*'|\"[^\"]*\"|[^\s'\",}]+)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", "\n    ")
        text = _SECRET.sub(r"\1\2***", text)
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def start(level: str, file: str = "", role: str = "supervisor") -> None:
    """Send the log of this process and its children where the settings say; again at a reload: the file may have been
    moved away (logrotate)."""
    handler: logging.Handler = (
        logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    as_role(role)
    root.setLevel(level.upper())
    for noisy in ("asyncio", "apscheduler", "mail.log", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def as_role(role: str) -> None:
    """In a child: its own name on its lines. The file stays open; its user might not be allowed to open it."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Line(f"%(asctime)s {role}[%(process)d] %(levelname)s %(message)s"))
