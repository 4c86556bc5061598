"""The asking side of the queue's sockets (`bridge.queue.control`, `bridge.intake.ownmail`): one request, all answers.

Loads nothing but sockets and JSON: commands that cron calls use it. Fails by: OSError.
"""

import json
import os
import socket
from typing import Any

PATIENCE = 60.0         # seconds

Answer = dict[str, Any]


def ask(path: str | os.PathLike[str], request: Answer, *, seconds: float = PATIENCE) -> list[Answer]:
    """Send one request to the socket at `path`; all answers, the last of them {"ok": ...}."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(seconds)
        peer.connect(os.fspath(path))
        peer.sendall(json.dumps(request).encode() + b"\n")
        found: list[Answer] = []
        with peer.makefile("rb") as lines:
            for line in lines:
                found.append(json.loads(line))
                if "ok" in found[-1]:
                    return found
    raise ConnectionResetError(104, "the queue's socket closed in the middle of an answer")
