"""The tables of the lists, in the core database beside accounts and aliases.

A list is one row whose options are one JSON document (`listmgr.options` knows what may be in it); a member is a row
with options in columns, since 10,000 of them are read for each post. Tokens are kept as hashes: who reads the database
can't confirm anything (sec-L04).
"""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from bridge.store.tables import core

mailing_list = Table(
    "mailing_list",
    core,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("host", String(255), nullable=False),
    Column("options", Text, nullable=False),  # JSON
    Column("created_at", Float, nullable=False),
)

member = Table(
    "list_member",
    core,
    Column("id", Integer, primary_key=True),
    Column("list_id", ForeignKey("mailing_list.id", ondelete="CASCADE"), nullable=False),
    Column("key", String(320), nullable=False),  # folded address
    Column("address", String(320), nullable=False),  # as written
    Column("name", String(255), nullable=False, default=""),
    Column("delivery", String(8), nullable=False, default="enabled"),  # or why not: byuser byadmin bybounce
    Column("moderated", Boolean, nullable=False, default=False),
    Column("hide", Boolean, nullable=False, default=False),
    Column("ack", Boolean, nullable=False, default=False),
    Column("notmetoo", Boolean, nullable=False, default=False),
    Column("nodupes", Boolean, nullable=False, default=True),
    Column("language", String(8), nullable=False, default=""),  # "": that of the list
    Column("joined_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    UniqueConstraint("list_id", "key"),
    Index("list_member_key", "key"),
)

pending = Table(
    "list_pending",
    core,
    Column("hash", String(64), primary_key=True),  # SHA-256 of the token
    Column("list_id", ForeignKey("mailing_list.id", ondelete="CASCADE"), nullable=False),
    Column("action", String(16), nullable=False),
    Column("key", String(320), nullable=False),  # folded address, or id of a held post
    Column("data", Text, nullable=False),  # JSON
    Column("origin", String(200), nullable=False),  # what asked: key of a message, or "web"
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("list_pending_key", "list_id", "action", "key"),
)

held = Table(
    "list_held",
    core,
    Column("id", Integer, primary_key=True),
    Column("list_id", ForeignKey("mailing_list.id", ondelete="CASCADE"), nullable=False),
    Column("parent", String(16), nullable=False),  # queue id; also the name of the file that keeps the message
    Column("sender", String(320), nullable=False),  # envelope sender
    Column("author", String(320), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("size", Integer, nullable=False),
    Column("held_at", Float, nullable=False),
    UniqueConstraint("list_id", "parent"),
)

ban = Table(
    "list_ban",
    core,
    Column("id", Integer, primary_key=True),
    Column("list_id", Integer, nullable=False),  # 0: every list
    Column("pattern", String(320), nullable=False),  # folded address, glob
    Column("since", Float, nullable=False),
    UniqueConstraint("list_id", "pattern"),
)

post = Table(
    "list_post",
    core,
    Column("id", Integer, primary_key=True),
    Column("list_id", ForeignKey("mailing_list.id", ondelete="CASCADE"), nullable=False),
    Column("parent", String(16), nullable=False),
    Column("author", String(320), nullable=False),
    Column("verdict", String(16), nullable=False),  # accept hold reject discard
    Column("reason", String(32), nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("list_id", "parent"),
    Index("list_post_at", "list_id", "at"),
)

bounce = Table(
    "list_bounce",
    core,
    Column("id", Integer, primary_key=True),
    Column("list_id", ForeignKey("mailing_list.id", ondelete="CASCADE"), nullable=False),
    Column("parent", String(16), nullable=False),
    Column("key", String(320), nullable=False),  # the member that the report speaks of
    Column("status", String(16), nullable=False),
    Column("text", String(500), nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("list_id", "parent", "key"),
)

answer = Table(
    "list_answer",
    core,
    Column("id", Integer, primary_key=True),
    Column("key", String(320), nullable=False),  # folded address that was answered
    Column("day", Integer, nullable=False),  # days since 1970
    Column("cause", String(200), nullable=False),  # key of the answer, so that a repetition counts once
    UniqueConstraint("key", "cause"),
    Index("list_answer_day", "day"),
)

password = Table(
    "list_password",
    core,
    Column("id", Integer, primary_key=True),
    Column("list_id", ForeignKey("mailing_list.id", ondelete="CASCADE"), nullable=False),
    Column("role", String(16), nullable=False),  # admin moderator
    Column("stored", Text, nullable=False),  # argon2id
    UniqueConstraint("list_id", "role"),
)

member_password = Table(
    "list_member_password",
    core,
    Column("key", String(320), primary_key=True),  # folded address: one password for all lists
    Column("stored", Text, nullable=False),  # argon2id
)

session = Table(
    "list_session",
    core,
    Column("hash", String(64), primary_key=True),  # SHA-256 of what is in the cookie
    Column("token", String(64), nullable=False),  # of the forms that belong to it (sec-W05)
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
    Index("list_session_used", "used_at"),
)

grant = Table(
    "list_grant",
    core,
    Column("id", Integer, primary_key=True),
    Column("session", ForeignKey("list_session.hash", ondelete="CASCADE"), nullable=False),
    Column("list_id", Integer, nullable=False),  # 0: an address, which counts on every list
    Column("role", String(16), nullable=False),  # admin moderator address
    Column("key", String(320), nullable=False),  # the folded address that was proven, or ""
    UniqueConstraint("session", "list_id", "role", "key"),
    Index("list_grant_list", "list_id"),
)

chore = Table(
    "list_chore",
    core,
    Column("name", String(32), primary_key=True),
    Column("done", String(32), nullable=False),  # the day or month it was done for
)

TABLES = (
    mailing_list, member, pending, held, ban, post, bounce, answer, password, member_password, session, grant, chore,
)  # fmt: skip
