"""The rows of archive.db: which list has which articles, under which number, and what is still to be written.

Promises: everything here can be made anew from the master mboxes (numbers too, as long as nobody reorders them); a
number never changes and is never used twice (A07). A shelf is private until its list says otherwise (A10).
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

archive = MetaData()

shelf = Table(
    "shelf",
    archive,
    Column("list", String(64), primary_key=True),
    Column("public", Boolean, nullable=False, default=False),
    Column("next_number", Integer, nullable=False, default=0),
    Column("mbox_end", BigInteger, nullable=False, default=0),  # bytes of the master mbox that have rows
)

article = Table(
    "article",
    archive,
    Column("list", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", String(200), nullable=False),  # "list:<list>:<parent>", or "mbox:<digest>" for what was imported
    Column("digest", String(64), nullable=False),  # SHA-256 of the mbox entry (sec-M17: not the Message-ID)
    Column("volume", String(24), nullable=False),
    Column("msgid", String(1000), nullable=False),
    Column("refs", Text, nullable=False),  # ids that it answers, oldest first, blank between
    Column("author", String(300), nullable=False),  # as shown: a name, or "user at host"
    Column("subject", String(1000), nullable=False),  # without the list's prefix
    Column("base", String(1000), nullable=False),  # folded, without Re:, for order and threads
    Column("reply", Boolean, nullable=False),
    Column("sent", BigInteger, nullable=False),  # seconds since 1970
    Column("zone", Integer, nullable=False),  # minutes, of the writer
    Column("folder", String(40), nullable=False),  # of its attachments
    Column("offset", BigInteger, nullable=False),  # of the entry in the master mbox
    Column("length", BigInteger, nullable=False),
    Column("written", Boolean, nullable=False, default=False),
    Index("article_key", "list", "key", unique=True),
    Index("article_digest", "list", "digest"),
    Index("article_volume", "list", "volume", "number"),
    Index("article_folder", "list", "folder"),
)

volume = Table(
    "volume",
    archive,
    Column("list", String(64), primary_key=True),
    Column("name", String(24), primary_key=True),
    Column("text_end", BigInteger, nullable=False, default=0),  # bytes of VOLUME.txt.gz that are final
    Column("dirty", Boolean, nullable=False, default=True),
)
