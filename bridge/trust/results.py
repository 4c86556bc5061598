"""One `Authentication-Results` field for what the checks of an incoming message found (RFC 8601).

Promises: everything in it that a stranger chose is a domain, a selector or an address without blanks and signs that
mean something here; what is anything else is left out.
"""

import re
from collections.abc import Sequence

from bridge.trust import dmarc, spf, verify

_PLAIN = re.compile(r"[A-Za-z0-9._@+=/~!#$%&*^{}|'-]{1,320}\Z")


def value(host: str, sent: spf.Result, sender: str, signed: Sequence[verify.DkimResult], author: dmarc.Result) -> str:
    """The field's value, unfolded. `sender`: the envelope's; null: SPF looked at the name of the greeting."""
    where = _property("smtp.mailfrom", sender) if sender else _property("smtp.helo", sent.domain)
    parts = [host, f"spf={sent.word}{where}"]
    for one in signed:
        reason = f' reason="{one.reason}"' if one.reason else ""
        parts.append(
            f"dkim={one.word}{reason}{_property('header.d', one.domain)}{_property('header.s', one.selector)}"
            f"{_property('header.a', one.algorithm)}{_property('header.b', one.start)}"
        )
    if not signed:
        parts.append("dkim=none")
    policy = f" policy.dmarc={author.policy}" if author.word in ("pass", "fail") else ""
    parts.append(f"dmarc={author.word}{policy}{_property('header.from', author.domain)}")
    return "; ".join(parts)


def _property(name: str, text: str) -> str:
    return f" {name}={text}" if _PLAIN.match(text) else ""
