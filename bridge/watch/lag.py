"""How late is the event loop? Nothing may hold it for more than 20 ms; what does is named (sec-R04).

Promises: `watch` never ends by itself and costs a wake-up a second; `worst` is the longest delay seen, in seconds.
"""

import asyncio
import logging
import time

log = logging.getLogger("estafeta.lag")

LOUD_SECONDS = 0.25
_EVERY = 1.0


class Lag:
    """The delay of this process's event loop."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        while True:
            due = time.monotonic() + _EVERY
            await asyncio.sleep(_EVERY)
            late = time.monotonic() - due
            self.worst = max(self.worst, late)
            if late > LOUD_SECONDS:
                log.warning("event loop was held for %.0f ms", late * 1000)
