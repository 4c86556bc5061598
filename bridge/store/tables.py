"""The tables of core.db: who has an account here, and what was done by whom.

Promises: `core` is the one MetaData of core.db; other packages (lists, fetch ledger) add their tables to it before
`migrate` makes it. `generation` has one row per kind of thing that other processes keep in memory ("accounts",
"lists"): whoever changes such a thing calls `bump` in the same transaction, and the others notice.
Times are seconds since 1970. SECURITY D-15; sec-A05, sec-A06, sec-D13.
"""

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Connection, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

core = MetaData()

generation = Table(
    "generation",
    core,
    Column("name", String(32), primary_key=True),
    Column("number", sa.BigInteger, nullable=False),
)

account = Table(
    "account",
    core,
    Column("id", Integer, primary_key=True),
    Column("login", String(400), nullable=False, unique=True),      # folded; the main address
    Column("password", Text, nullable=False),                       # argon2id, or an older form until the next login
    Column("enabled", Boolean, nullable=False, default=True),
    Column("quota", sa.BigInteger, nullable=False, default=0),      # bytes; 0: none
    Column("language", String(8), nullable=False, default=""),
    Column("name", String(255), nullable=False, default=""),        # of the person, for pages and lists
    Column("home", Text, nullable=False, default=""),               # "": from the template, so that data can move
    Column("maildir", Text, nullable=False, default=""),
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("generation", sa.BigInteger, nullable=False),
    Index("account_generation", "generation"),
    sqlite_autoincrement=True,                                      # an id is never used again
)

address = Table(
    "address",
    core,
    Column("address", String(400), primary_key=True),               # folded (sec-D13)
    Column("account_id", ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
    Column("skeleton", String(400), nullable=False),                # equal for addresses that look alike
    Column("main", Boolean, nullable=False),
    Index("address_account", "account_id"),
    Index("address_skeleton", "skeleton"),
)

credential = Table(
    "credential",
    core,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
    Column("label", String(100), nullable=False),
    Column("secret", String(64), nullable=False, unique=True),      # SHA-256: the secret itself has 128 random bits
    Column("scopes", String(100), nullable=False),                  # protocols, separated by blanks
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False, default=0.0),
    Index("credential_account", "account_id"),
)

gone = Table(
    "gone",
    core,
    Column("login", String(400), primary_key=True),                 # of an account that was deleted
    Column("generation", sa.BigInteger, nullable=False),
    Index("gone_generation", "generation"),
)

audit = Table(
    "audit",
    core,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String(400), nullable=False),                   # login, "cli:<user>", "system"
    Column("action", String(50), nullable=False),                   # account.add, account.passwd ...
    Column("subject", String(400), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Index("audit_at", "at"),
    Index("audit_subject", "subject"),
)

_NUMBER = sa.select(generation.c.number).where(generation.c.name == sa.bindparam("which"))
_BUMP = (
    sa.update(generation)
    .where(generation.c.name == sa.bindparam("which"))
    .values(number=generation.c.number + 1)
    .returning(generation.c.number)
)


def generation_of(connection: Connection, name: str) -> int:
    """How often things of this kind were changed; 0 before the first change."""
    return connection.execute(_NUMBER, {"which": name}).scalar() or 0


def bump(connection: Connection, name: str) -> int:
    """Count one change; the new number."""
    number = connection.execute(_BUMP, {"which": name}).scalar()
    if number is None:
        connection.execute(generation.insert(), {"name": name, "number": 1})
        return 1
    return int(number)


def note(connection: Connection, at: float, actor: str, action: str, subject: str, detail: str = "") -> None:
    """One audit row, in the transaction of what it tells of."""
    row = {"at": at, "actor": actor, "action": action, "subject": subject, "detail": detail}
    connection.execute(audit.insert(), row)
