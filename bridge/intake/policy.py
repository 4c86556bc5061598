"""Who may hand over what: the rules in their order, each a small pure function.

Promises: a rule looks at the visit and the tables and answers a refusal or None; the first refusal wins; the order is
the tuple one reads below. What fails on our side (tables can't be read) is StoreError, never a refusal.
Relaying is decided by the domain that was asked for, before anything is resolved: aliases that lead outside are ours,
`a%b@us` and `"a@b"@us` are only strange local parts (sec-S08, sec-S09). RFC 5321 4.2.5, 7.9; FEATURES S29-S31.
"""
from collections.abc import Callable
from dataclasses import dataclass

from bridge.config.smtp import Smtp
from bridge.intake.session import Account, Visit
from bridge.model.address import fold, fold_domain, split
from bridge.model.reply import Reply
from bridge.route.resolver import Kind, Route, verdict

RELAYING_DENIED = Reply(554, "5.7.1", "Relaying denied")
UNKNOWN_USER = Reply(550, "5.1.1", "No such user here")
TOO_MANY = Reply(452, "4.5.3", "Too many recipients")
LOGIN_FIRST = Reply(530, "5.7.0", "Authentication required")
TLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
NOT_YOURS = Reply(550, "5.7.1", "Sender address does not belong to this login")


@dataclass(frozen=True, slots=True)
class Tables:
    """What the rules ask.

    `serves(domain)`: is the domain ours, to keep or to pass on (folded); `resolve(address)`: what it means;
    `owns(account, address)`: may this login send as that address.
    """

    serves: Callable[[str], bool]
    resolve: Callable[[str], tuple[Route, ...]]
    owns: Callable[[Account, str], bool] = lambda account, address: fold(account.address) == fold(address)


@dataclass(frozen=True, slots=True)
class Question:
    """One MAIL or RCPT under judgement: `address` is the sender or the recipient."""

    visit: Visit
    settings: Smtp
    tables: Tables
    address: str


Rule = Callable[[Question], Reply | None]


def needs_tls(asked: Question) -> Reply | None:
    """Submission without TLS only from our own networks."""
    visit = asked.visit
    return TLS_FIRST if visit.submits and not visit.tls and not visit.trusted else None


def needs_login(asked: Question) -> Reply | None:
    """Submission is for people with a login, or our own networks."""
    visit = asked.visit
    return LOGIN_FIRST if visit.submits and visit.account is None and not visit.trusted else None


def sender_belongs_to_login(asked: Question) -> Reply | None:
    """Who logged in sends under an own address (S34, sec-S26); the null sender is for answers of programs."""
    account = asked.visit.account
    if account is None or not asked.address or asked.tables.owns(account, asked.address):
        return None
    return NOT_YOURS


def not_too_many(asked: Question) -> Reply | None:
    """A client that goes on after the refusal sends the rest in another message (RFC 5321 4.5.3.1.10)."""
    transaction = asked.visit.transaction
    return TOO_MANY if transaction and len(transaction.recipients) >= asked.settings.recipients else None


def no_open_relay(asked: Question) -> Reply | None:
    """Accept if the client is ours, logged in, or the recipient's domain is ours."""
    if asked.visit.may_relay or asked.tables.serves(fold_domain(split(asked.address)[1])):
        return None
    return RELAYING_DENIED


def no_sender_routing(asked: Question) -> Reply | None:
    """`a%elsewhere@backup.example`: a host that we relay for might follow the route; strangers don't send it through
    us. For domains that end here such a name is only a strange name."""
    local = split(asked.address)[0]
    if asked.visit.may_relay or not any(sign in local for sign in "@%!"):
        return None
    leaves = any(
        route.kind is Kind.REMOTE and fold(route.address) == fold(asked.address)
        for route in asked.tables.resolve(asked.address)
    )
    return RELAYING_DENIED if leaves else None


def recipient_exists(asked: Question) -> Reply | None:
    """Ask the resolver: open if any of its routes is."""
    routes = asked.tables.resolve(asked.address)
    return verdict(routes) if routes else UNKNOWN_USER


MAIL: tuple[Rule, ...] = (needs_tls, needs_login, sender_belongs_to_login)
RCPT: tuple[Rule, ...] = (not_too_many, no_open_relay, no_sender_routing, recipient_exists)


def judge(rules: tuple[Rule, ...], asked: Question) -> Reply | None:
    """The first refusal, or None."""
    for rule in rules:
        refusal = rule(asked)
        if refusal is not None:
            return refusal
    return None
