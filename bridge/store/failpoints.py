"""Named places where a test can make the disk fail or the process die.

Promises: always compiled in, free unless armed; every place is registered when its module is imported, so that a
test can enumerate them all (`registered()`). Armed only by the environment or by `arm()`:

    ESTAFETA_FP="spool.fdatasync=EIO@3,queue.commit+=kill@7,spool.write=ENOSPC@p0.01"

`name=` acts before the operation, `name+=` after it. Actions: `kill` (SIGKILL to ourselves), an errno name,
`sleep<ms>`. What acted is said on standard error, so that a test knows what it has tested.
`@n` acts on the n-th hit only, `@p0.1` on each hit with that probability, neither: on every hit.
"""
import errno
import os
import random
import signal
import time

_registry: dict[str, "Failpoint"] = {}
_plans: dict[str, list["_Plan"]] = {}


class _Plan:
    __slots__ = ("action", "chance", "hits", "name", "nth")

    def __init__(self, name: str, action: str, when: str) -> None:
        self.name, self.action, self.hits = name, action, 0
        self.nth = int(when) if when and not when.startswith("p") else 0
        self.chance = float(when[1:]) if when.startswith("p") else 1.0

    def act(self) -> None:
        self.hits += 1
        if self.nth and self.hits != self.nth:
            return
        if self.chance < 1.0 and random.random() >= self.chance:
            return
        if not self.action.startswith("sleep"):
            os.write(2, f"failpoint {self.name}={self.action}\n".encode())
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal is on its way; nothing after this point may run
        elif self.action.startswith("sleep"):
            time.sleep(int(self.action[5:]) / 1000)
        else:
            number = getattr(errno, self.action)
            raise OSError(number, os.strerror(number), "failpoint")


class Failpoint:
    """One place. `before()` and `after()` surround the operation; both do nothing unless armed."""

    __slots__ = ("about", "armed", "name")

    def __init__(self, name: str, about: str) -> None:
        if name in _registry:
            raise ValueError(f"failpoint {name!r} is registered twice")
        self.name, self.about = name, about
        self.armed = name in _plans or name + "+" in _plans
        _registry[name] = self

    def before(self) -> None:
        if self.armed:
            for plan in _plans.get(self.name, ()):
                plan.act()

    def after(self) -> None:
        if self.armed:
            for plan in _plans.get(self.name + "+", ()):
                plan.act()


def registered() -> dict[str, str]:
    """Every failpoint that the imported modules have, with what it guards."""
    return {name: point.about for name, point in sorted(_registry.items())}


def arm(text: str) -> None:
    """Read a plan in the form of ESTAFETA_FP; replaces the previous one. "" disarms all."""
    _plans.clear()
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = item.partition("=")
        action, _, when = rest.partition("@")
        _plans.setdefault(name, []).append(_Plan(name, action, when))
    for point in _registry.values():
        point.armed = point.name in _plans or point.name + "+" in _plans


arm(os.environ.get("ESTAFETA_FP", ""))
