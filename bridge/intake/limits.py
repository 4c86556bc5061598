"""The limits of the door from the settings. No I/O; never fails."""

from bridge.config.smtp import Smtp
from bridge.queue.enter import Limits


def limits(settings: Smtp) -> Limits:
    """What a message may be, whichever way it comes in."""
    return Limits(
        settings.message_size, settings.header_size, settings.header_fields, settings.hops, settings.free_space
    )
