"""The rules that a post passes, in the order they stand in `RULES`; the first that says something decides.

Promises: pure; a rule sees a `Post` and what the roster says (`About`) and answers a `Verdict` or None. No rule:
accept. The order matters: what could loop or storm goes first and silently, then what an owner said of the sender, then
what makes a person look at it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from listmgr.post import Post
from listmgr.registry import MailingList
from listmgr.request import looks_like_command
from listmgr.roster import Member, matches


class Do(Enum):
    """What happens to a post."""

    ACCEPT = "accept"
    HOLD = "hold"
    REJECT = "reject"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is a word of `REASONS`; it goes to the journal, the log of posts and the templates."""

    do: Do
    reason: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What the database says: the list, the author's membership, whether the author is banned."""

    which: MailingList
    member: Member | None
    banned: bool = False


REASONS = {
    "loop": ("The message has been through this list already.", "El mensaje ya pasó por esta lista."),
    "automatic": ("The message was written by a program.", "El mensaje lo escribió un programa."),
    "banned": ("The sender is banned from this list.", "El remitente está vetado en esta lista."),
    "emergency": ("All posts are held for the moment.", "Por ahora se retienen todos los mensajes."),
    "author": ("It is not clear who wrote the message.", "No está claro quién escribió el mensaje."),
    "forged": ("SPF or DMARC says that the sender is forged.", "Según SPF o DMARC, el remitente es falso."),
    "moderated": ("Posts of this member are moderated.", "Los mensajes de este miembro se moderan."),
    "nonmember": ("Only members may post to this list.", "Solo los miembros pueden escribir a esta lista."),
    "listed": ("The owners listed this sender.", "Los responsables señalaron a este remitente."),
    "administrivia": ("The message looks like a command.", "El mensaje parece una orden."),
    "destination": ("The list is in neither To nor Cc.", "La lista no figura en To ni en Cc."),
    "recipients": ("The message has too many recipients.", "El mensaje tiene demasiados destinatarios."),
    "size": ("The message is too large.", "El mensaje es demasiado grande."),
}

Rule = Callable[[Post, About], Verdict | None]


def loop(post: Post, about: About) -> Verdict | None:
    """Been here before (P10)."""
    return Verdict(Do.DISCARD, "loop") if post.passed(about.which.posting, about.which.list_id) else None


def automatic(post: Post, about: About) -> Verdict | None:
    """Vacation notices, bounces, robots (sec-L17)."""
    return Verdict(Do.DISCARD, "automatic") if post.automatic else None


def banned(post: Post, about: About) -> Verdict | None:
    return Verdict(Do.DISCARD, "banned") if about.banned else None


def emergency(post: Post, about: About) -> Verdict | None:
    return Verdict(Do.HOLD, "emergency") if about.which.options.emergency else None


def author(post: Post, about: About) -> Verdict | None:
    """An ambiguous From must not pass as a member's (sec-M07)."""
    return Verdict(Do.HOLD, "author") if post.author is None else None


def forged(post: Post, about: About) -> Verdict | None:
    """A From that its own domain denies is nobody's, member or not (sec-L07)."""
    return Verdict(Do.HOLD, "forged") if post.envelope.forged else None


def moderated(post: Post, about: About) -> Verdict | None:
    if about.member is None or not about.member.moderated:
        return None
    return Verdict(Do(about.which.options.member_moderation_action), "moderated")


def nonmember(post: Post, about: About) -> Verdict | None:
    """The owner's four lists in Mailman's order, then the general action."""
    if about.member is not None:
        return None
    options = about.which.options
    listed = (
        (Do.ACCEPT, options.accept_these_nonmembers),
        (Do.HOLD, options.hold_these_nonmembers),
        (Do.REJECT, options.reject_these_nonmembers),
        (Do.DISCARD, options.discard_these_nonmembers),
    )
    for do, patterns in listed:
        if matches(post.from_address, patterns):
            return None if do is Do.ACCEPT else Verdict(do, "listed")
    do = Do(options.generic_nonmember_action)
    return None if do is Do.ACCEPT else Verdict(do, "nonmember")


def administrivia(post: Post, about: About) -> Verdict | None:
    """`subscribe` sent to the list instead of its -request address (L27)."""
    if not about.which.options.administrivia:
        return None
    return Verdict(Do.HOLD, "administrivia") if looks_like_command(post.subject, post.text()) else None


def destination(post: Post, about: About) -> Verdict | None:
    options = about.which.options
    if not options.require_explicit_destination or about.which.posting in post.explicit:
        return None
    if any(matches(one, options.acceptable_aliases) for one in post.explicit):
        return None
    if _fetched_for(post):
        return None
    return Verdict(Do.HOLD, "destination")


def _fetched_for(post: Post) -> bool:
    """A fetched account whose mail goes to the list has an address of its own in To; that it was set up so is
    enough."""
    return post.envelope.origin.door == "fetch"


def recipients(post: Post, about: About) -> Verdict | None:
    most = about.which.options.max_num_recipients
    return Verdict(Do.HOLD, "recipients") if most and len(post.explicit) >= most else None


def size(post: Post, about: About) -> Verdict | None:
    """Kilobytes as Mailman counts them: of the whole message (sec-L18)."""
    most = about.which.options.max_message_size
    return Verdict(Do.HOLD, "size") if most and post.size > most * 1024 else None


RULES: tuple[Rule, ...] = (
    loop,
    automatic,
    banned,
    emergency,
    author,
    forged,
    moderated,
    nonmember,
    administrivia,
    destination,
    recipients,
    size,
)


def judge(post: Post, about: About) -> Verdict:
    """What happens to the post."""
    for rule in RULES:
        verdict = rule(post, about)
        if verdict is not None:
            return verdict
    return Verdict(Do.ACCEPT)


def explain(reason: str, language: str) -> str:
    """A reason in words for the author or the owner."""
    english, spanish = REASONS[reason]
    return spanish if language == "es" else english
