"""Says on standard error whenever a process of root's that has become somebody else loads a module: Python's own folder
may be one that only root can read, and then there is no such module."""

import os
import sys

if os.getuid() == 0:

    def _hear(event: str, args: tuple[object, ...]) -> None:
        if event == "import" and os.geteuid():
            os.write(2, f"late import: {args[0]}\n".encode())

    sys.addaudithook(_hear)
