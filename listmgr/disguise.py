"""Who a copy seems to come from: lists that stand in From themselves, and lists that hide their authors.

Promises: pure; a munged From never shows something that looks like another address (sec-L09), the author stays
reachable by Reply-To or Cc; of an anonymous post only named fields are left, and its Message-ID can't be traced back.
The same post gives the same bytes (P13).
"""

import re
from collections.abc import Collection
from hashlib import sha256

from bridge.model.address import fold
from bridge.wire import addresses, headers
from bridge.wire.addresses import Mailbox
from listmgr.post import Post
from listmgr.registry import MailingList

EOL = b"\r\n"
MAX_NAME = 80  # characters of an author's name
_ADDRESS_LIKE = re.compile(r"[^\s<>\"()\[\],;:]{0,100}[@＠﹫][^\s<>\"()\[\],;:]{0,100}")
_SIGNS = re.compile(r"[<>\"()\[\]\\,;:@＠﹫]+")
# of an anonymous post
KEPT = (
    b"subject", b"date", b"mime-version", b"content-type", b"content-transfer-encoding", b"content-disposition",
    b"content-language", b"content-description", b"x-beenthere", b"x-no-archive", b"x-archive",
)  # fmt: skip
# of the message around a wrapped one
OUTSIDE = (b"subject", b"date", b"to", b"cc", b"message-id", b"in-reply-to", b"references", b"x-beenthere")
_ID = re.compile(rb"<[^<>\s]{1,250}>")


def munges(which: MailingList) -> bool:
    """Does the list put itself into From?"""
    return which.options.from_is_list != "no" or which.options.anonymous_list


def wraps(which: MailingList) -> bool:
    """Is the post sent inside a message of the list's own? An anonymous list has nothing to wrap."""
    return which.options.from_is_list == "wrap" and not which.options.anonymous_list


def shown_name(text: str) -> str:
    """A name in which nothing reads like an address (sec-L09)."""
    plain = _SIGNS.sub(" ", _ADDRESS_LIKE.sub(" ", headers.clean(text[:500])))
    return " ".join(plain.split())[:MAX_NAME].strip()


def munged(block: bytes, post: Post, which: MailingList) -> bytes:
    """The block with `Author via List <list@host>` in From."""
    author = post.author
    name = (shown_name(author.name) or shown_name(author.local)) if author else ""
    return headers.remove(block, b"from") + _from(which, f"{name} via {which.title}" if name else which.title)


def _from(which: MailingList, name: str) -> bytes:
    return addresses.address_field("From", (Mailbox(name, which.name, which.host),), EOL)


def anonymous(block: bytes, post: Post, which: MailingList) -> bytes:
    """The block of a post that nobody can recognise the author by."""
    known = _own_ids(which)
    made = [
        headers.select(block, KEPT).replace(EOL, b"\n").replace(b"\n", EOL),
        _from(which, which.title),
        addresses.address_field("To", (Mailbox("", which.name, which.host),), EOL),
        b"Message-ID: " + _new_id(post, which) + EOL,
    ]
    for name, field in ((b"in-reply-to", "In-Reply-To"), (b"references", "References")):
        raw = headers.first(block, name)
        ids = [one for one in _ID.findall(raw or b"")[-20:] if known.fullmatch(one)]
        if ids:
            made.append(headers.token_field(field, ids, EOL))
    return b"".join(made)


def _own_ids(which: MailingList) -> re.Pattern[bytes]:
    return re.compile(rb"<anonymous\.[0-9a-f]{32}@" + re.escape(which.host.encode()) + rb">")


def _new_id(post: Post, which: MailingList) -> bytes:
    """Made from the queue id, which the author doesn't know: the old Message-ID can't be tried out."""
    digest = sha256(f"{which.name}:{post.envelope.id}:{post.envelope.received_at}".encode()).hexdigest()[:32]
    return f"<anonymous.{digest}@{which.host}>".encode()


def wrapped(block: bytes) -> bytes:
    """Fields of the message that carries the post as its only part; From is put on by `munged`."""
    outside = headers.select(block, OUTSIDE).replace(EOL, b"\n").replace(b"\n", EOL)
    return (
        outside + b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n"
        b"Content-Disposition: inline\r\n"
    )


def copied(block: bytes, post: Post, which: MailingList, dropped: Collection[str]) -> bytes:
    """Cc without the members in `dropped` (folded), who got the post already; with the author, where From names the
    list and replies go elsewhere."""
    author = post.author
    wanted = munges(which) and not which.options.anonymous_list and which.options.reply_goes_to_list != "poster"
    added = author if wanted and author and fold(author.address) not in post.explicit else None
    found: list[Mailbox] = []
    for raw in headers.every(block, b"cc"):
        strict = addresses.strict(raw)
        if strict is None:
            return block  # nothing is guessed about a field that can be read in several ways
        found += strict
    kept = [one for one in found if fold(one.address) not in dropped]
    if added is None and len(kept) == len(found):
        return block
    block = headers.remove(block, b"cc")
    kept += [added] if added else []
    return block + addresses.address_field("Cc", kept, EOL) if kept else block
