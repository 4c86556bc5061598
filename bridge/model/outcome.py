"""What became of a recipient. What is not positively reported is `Deferred`."""
from dataclasses import dataclass

from bridge.model.reply import Reply

OK = Reply(250, "2.0.0", "Ok")


@dataclass(frozen=True, slots=True)
class Delivered:
    """Safe where it belongs. `where`: folder, host or program for the trace; `reply`: the other side's last word."""

    where: str
    reply: Reply = OK


@dataclass(frozen=True, slots=True)
class Deferred:
    """Try again later. `scope`: what is in trouble: "recipient", "message", "host" or "node" (this machine)."""

    reply: Reply
    scope: str = "recipient"
    where: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Never: the sender gets a DSN."""

    reply: Reply
    where: str = ""


@dataclass(frozen=True, slots=True)
class Expanded:
    """The recipient became other messages (list post, forward): `children` are their keys."""

    children: tuple[str, ...]
    where: str = ""


Outcome = Delivered | Deferred | Failed | Expanded
