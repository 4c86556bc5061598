"""The header that list members get: made from the poster's by removing, adding and prefixing fields, never by parsing.

Promises: pure; what isn't named here stays byte for byte (so signatures over it stay good); every generated field goes
through `wire.headers.field`, which no text can break out of (sec-L10, sec-M06); the same post and list give the same
bytes, so a repetition after a crash is the same message (P13). RFC 2369, RFC 2919, RFC 8058 (the fields that it needs).
"""

from collections.abc import Collection

from bridge.wire import addresses, headers
from listmgr import disguise
from listmgr.addresses import Verb
from listmgr.links import Links
from listmgr.post import Post
from listmgr.registry import MailingList

# Passwords for moderators (sec-L06), receipts that 10,000 readers would send, and what only the last list may say.
SECRETS = (b"approved", b"approve", b"x-approved", b"x-approve", b"urgent")
RECEIPTS = (
    b"return-receipt-to",
    b"disposition-notification-to",
    b"x-confirm-reading-to",
    b"x-pmrqc",
    b"return-path",
    b"errors-to",
    b"bcc",
    b"resent-bcc",
)
LIST_FIELDS = (
    b"list-id",
    b"list-help",
    b"list-subscribe",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"list-post",
    b"list-owner",
    b"list-archive",
    b"precedence",
)
EOL = b"\r\n"


def cook(post: Post, which: MailingList, links: Links, dropped: Collection[str] = ()) -> bytes:
    """The header block (with its blank line) of the copy for members, and for a wrapped post the header inside, too.
    `dropped`: folded addresses that are taken out of Cc."""
    options = which.options
    block = _without_blank_line(post.header)
    block = inside = headers.remove(block, *SECRETS, *RECEIPTS)
    block = headers.remove(block, *LIST_FIELDS)
    if options.anonymous_list:
        block = disguise.anonymous(block, post, which)
    elif disguise.wraps(which):
        block = disguise.wrapped(block)
    if options.subject_prefix:
        block = _prefixed(block, post.subject, options.subject_prefix)
    block = disguise.copied(block, post, which, dropped)
    block = _reply_to(block, post, which)
    if disguise.munges(which) and not options.anonymous_list:
        block = disguise.munged(block, post, which)
    if options.include_sender_header:
        block = headers.remove(block, b"sender")
    block += b"".join(_added(which, links)) + EOL
    return block + inside + EOL if disguise.wraps(which) else block


def archived(post: Post, which: MailingList) -> bytes:
    """The poster's header without secrets, and without the author if the list hides authors: what the archive keeps."""
    kept = stripped(post.header)
    if not which.options.anonymous_list:
        return kept
    return disguise.anonymous(_without_blank_line(kept), post, which) + EOL


def _without_blank_line(header: bytes) -> bytes:
    return header.removesuffix(b"\n").removesuffix(b"\r") if _has_blank_line(header) else header


def stripped(header: bytes) -> bytes:
    """A header without secrets."""
    return headers.remove(header, *SECRETS)


def _has_blank_line(header: bytes) -> bool:
    return header.endswith((b"\n\r\n", b"\n\n")) or header in (b"\r\n", b"\n")


def _added(which: MailingList, links: Links) -> list[bytes]:
    options, bounces = which.options, which.address(Verb.BOUNCES)
    made = [
        headers.field("X-BeenThere", which.posting, EOL),
        headers.field("Precedence", "list", EOL),
        headers.token_field("List-Id", _list_id(which), EOL),
    ]
    if options.include_rfc2369_headers:
        request = which.address(Verb.REQUEST)
        info = f"<{links.listinfo(which)}>".encode()
        made += [
            headers.token_field("List-Unsubscribe", (info + b",", _mailto(request, "unsubscribe")), EOL),
            headers.token_field("List-Help", (_mailto(request, "help"),), EOL),
            headers.token_field("List-Subscribe", (info + b",", _mailto(request, "subscribe")), EOL),
            headers.token_field("List-Owner", (_mailto(which.address(Verb.OWNER)),), EOL),
        ]
        if options.archive:
            made.append(headers.token_field("List-Archive", (f"<{links.archive(which)}>".encode(),), EOL))
        if options.include_list_post_header:
            made.append(headers.token_field("List-Post", (_mailto(which.posting),), EOL))
    made.append(headers.field("Errors-To", bounces, EOL))
    if options.include_sender_header:
        made.append(headers.field("Sender", bounces, EOL))
    return made


def _list_id(which: MailingList) -> list[bytes]:
    """Description and id, as RFC 2919 3 wants them."""
    identifier = f"<{which.list_id}>".encode()
    description = " ".join(which.options.description.split())
    if not description:
        return [identifier]
    if description.isascii():
        quoted = description.replace("\\", "").replace('"', "'")
        return [headers.safe_value(f'"{quoted[:200]}"').replace(b"\n", b""), identifier]
    return [*headers.encoded_words(description[:200]), identifier]


def _mailto(address: str, subject: str = "") -> bytes:
    return f"<mailto:{address}?subject={subject}>".encode() if subject else f"<mailto:{address}>".encode()


def _prefixed(block: bytes, subject: str, prefix: str) -> bytes:
    """The prefix in front, unless the subject carries it already; the subject itself stays as it was encoded."""
    if prefix.strip().lower() in subject.lower():
        return block
    safe = headers.safe_value(prefix.strip(), 9, EOL)
    raw = headers.first(block, b"subject")
    if raw is None or not raw.strip():
        return headers.remove(block, b"subject") + b"Subject: " + safe + b" (no subject)" + EOL
    found = next(one for one in headers.fields(block) if one.name.lower() == b"subject")
    new = b"Subject: " + safe + _gap(safe, raw) + raw.strip() + EOL
    return block[: found.start] + new + headers.remove(block[found.end :], b"subject")


def _gap(prefix: bytes, raw: bytes) -> bytes:
    """A blank; a fold if the line gets too long."""
    first = raw.strip().split(b"\n", 1)[0]
    return b"\r\n " if 9 + len(prefix) + 1 + len(first) > headers.MAX_LINE + 2 else b" "


def _reply_to(block: bytes, post: Post, which: MailingList) -> bytes:
    options = which.options
    own = {"poster": "", "list": which.posting, "address": options.reply_to_address}[options.reply_goes_to_list]
    if not own and disguise.munges(which) and not options.anonymous_list and post.author:
        own = post.author.address  # who is no longer in From must still get the replies
    if not own:
        return headers.remove(block, b"reply-to") if options.first_strip_reply_to else block
    found = [] if options.first_strip_reply_to else _mailboxes(post.header)
    if options.anonymous_list:
        found = []
    if all(one.address.lower() != own.lower() for one in found):
        local, _, domain = own.rpartition("@")
        found.append(addresses.Mailbox("", local, domain))
    return headers.remove(block, b"reply-to") + addresses.address_field("Reply-To", found, EOL)


def _mailboxes(block: bytes) -> list[addresses.Mailbox]:
    raw = headers.first(block, b"reply-to")
    return list(addresses.strict(raw) or ()) if raw is not None else []
