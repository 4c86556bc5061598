"""What every action on lists needs, made once by the application and handed to each: the one place that joins them.

Promises: frozen; holds no state of its own. Tests make one with a fake door.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config.lists import Lists
from bridge.model.clock import SYSTEM, Clock
from bridge.queue.enter import Door
from bridge.store.engine import Database
from bridge.store.passwords import Hasher
from bridge.watch.trace import Journal
from listmgr.archive.incoming import Incoming
from listmgr.links import Links
from listmgr.notices import Notices


@dataclass(frozen=True, slots=True)
class Office:
    """`held` is the folder for posts that wait for a decision; `hint(list)` wakes the archiver; `serves(host)`: is
    that a mail domain of this server?"""

    core: Database
    door: Door
    notices: Notices
    incoming: Incoming
    held: Path
    links: Links
    settings: Lists
    journal: Journal
    clock: Clock = SYSTEM
    random: Callable[[int], bytes] = os.urandom
    hint: Callable[[str], None] = lambda name: None
    serves: Callable[[str], bool] = lambda host: True
    hasher: Hasher = field(default_factory=Hasher)
