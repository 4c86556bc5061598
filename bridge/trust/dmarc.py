"""DMARC: does the domain that a message shows as its author's stand behind it, and what shall become of it if not?

Promises: the organisational domain is found by walking up the tree, at most eight questions, no list of public suffixes
is needed; `pass` needs a pass of SPF or DKIM for the author's domain or, where the policy is relaxed, for one of the
same organisation. Trouble of the name service is `temperror` and no policy. RFC 9989.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bridge.model.address import fold_domain
from bridge.trust.names import Names, NameTrouble, NoDomain

Word = Literal["pass", "fail", "none", "temperror", "permerror"]
Policy = Literal["none", "quarantine", "reject"]
_STEPS = 8
_RECORD = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_SOFTER: dict[Policy, Policy] = {"reject": "quarantine", "quarantine": "none", "none": "none"}


class Result(NamedTuple):
    """`policy` is what the owner of `domain` asks for if the word is `fail`."""

    word: Word
    policy: Policy
    domain: str


@dataclass(frozen=True, slots=True)
class _Record:
    """One `_dmarc` record, as far as it counts here."""

    domain: str
    tags: dict[str, str]

    def policy(self, *names: str) -> Policy:
        for name in names:
            word = self.tags.get(name, "").lower()
            if word in _SOFTER:
                found: Policy = word
                return _SOFTER[found] if self.tags.get("t", "n").lower() == "y" else found
        return "none"

    def strict(self, name: str) -> bool:
        return self.tags.get(name, "r").lower() == "s"


async def check(author: str, spf: str, signed_by: Iterable[str], names: Names) -> Result:
    """`author`: the domain of the one address in From; `spf`: the domain that SPF passed for, or ""; `signed_by`: the
    domains of the DKIM signatures that passed."""
    author = fold_domain(author)
    try:
        found = await _walk(author, names)
        if not found:
            return Result("none", "none", author)
        own = _organisation(author, found)
        record = next((one for one in found if one.domain == author), None)
        record = record or next((one for one in found if one.domain == own), found[-1])
        policy = await _wanted(record, author, names)
        for identity, strict in ((spf, record.strict("aspf")), *((one, record.strict("adkim")) for one in signed_by)):
            if identity and await _aligned(fold_domain(identity), author, own, names, strict=strict):
                return Result("pass", policy, author)
    except NameTrouble:
        return Result("temperror", "none", author)
    return Result("fail", policy, author)


async def _wanted(record: _Record, author: str, names: Names) -> Policy:
    """Which of its policies a record has for this author."""
    if record.domain == author:
        return record.policy("p")
    if "np" in record.tags and not await _exists(author, names):
        return record.policy("np", "sp", "p")
    return record.policy("sp", "p")


async def _exists(domain: str, names: Names) -> bool:
    for ask in (names.addresses, names.mx, names.texts):
        try:
            await ask(domain)
        except NoDomain:
            return False
        else:
            return True
    return True


async def _aligned(identity: str, author: str, own: str, names: Names, *, strict: bool) -> bool:
    if identity == author:
        return True
    if strict or not (identity == own or identity.endswith("." + own)):
        return False
    return _organisation(identity, await _walk(identity, names)) == own


async def _walk(domain: str, names: Names) -> list[_Record]:
    """The records of the domain and of those above it, the nearest first (4.10)."""
    labels = domain.split(".")
    places = [labels]
    rest = labels[1:] if len(labels) <= _STEPS else labels[-(_STEPS - 1) :]
    places += [rest[at:] for at in range(len(rest))]
    found = []
    for place in places[:_STEPS]:
        name = ".".join(place)
        try:
            texts = await names.texts(f"_dmarc.{name}")
        except NoDomain:
            continue
        records = [text for text in texts if _RECORD.match(text)]
        if len(records) == 1:
            record = _Record(name, _tags(records[0]))
            found.append(record)
            psd = record.tags.get("psd", "u").lower()
            if psd == "n" or (psd == "y" and name != domain):
                break
    return found


def _organisation(domain: str, found: list[_Record]) -> str:
    """The organisational domain by what the walk found (4.10.2)."""
    for record in found:
        psd = record.tags.get("psd", "u").lower()
        if psd == "n":
            return record.domain
        if psd == "y" and record.domain != domain:
            below = domain.removesuffix("." + record.domain).rpartition(".")[2]
            return f"{below}.{record.domain}"
    return found[-1].domain if found else domain


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
