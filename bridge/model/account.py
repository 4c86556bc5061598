"""One mailbox and its owner, by value: a virtual user of ours or a user of the operating system."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """`address`: the main one, folded; `addresses`: all that lead here; `store`: how mail is kept, as in
    `config.accounts.Kind`; `mbox`: the file of that kind. `system`: the name of the operating system's user whose
    mailbox it is, "" for a virtual one; `ticket`: what the root helper gave for that user's password."""

    id: int
    address: str
    login: str
    home: Path
    maildir: Path
    enabled: bool = True
    quota: int = 0
    language: str = ""
    name: str = ""
    addresses: tuple[str, ...] = ()
    store: str = "maildir"
    mbox: Path = Path()
    system: str = ""
    ticket: str = ""
