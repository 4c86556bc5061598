"""SPF, DKIM and DMARC for what strangers bring, judged before the message is said yes to.

Promises: only mail that comes to the SMTP port from outside of our networks, without a login, is looked at; what DMARC
says to reject is refused (`enforce`), and a message with several authors' fields always; all else gets one honest
`Authentication-Results`. The checks wait for the name service at most `_SECONDS`; its trouble never costs a message.
SPF is asked while the message is still coming, bodies are hashed as they pass. sec-M09, sec-M20, sec-M21, sec-S20.
"""

import asyncio
from typing import Literal

from bridge.intake.session import Transaction, Visit
from bridge.model.clock import Clock
from bridge.model.reply import Reply
from bridge.trust import dmarc, results, spf
from bridge.trust.names import Names
from bridge.trust.sign import author_domains
from bridge.trust.verify import DkimResult, Verifier

Mode = Literal["off", "note", "enforce"]
SEVERAL_AUTHORS = Reply(550, "5.7.1", "The message has more than one From field")
_SECONDS = 5.0
_AUTHORS = 3            # domains in one From that are looked at


class Inspector:
    """What the doors of one process share."""

    def __init__(self, names: Names, *, hostname: str, mode: Mode, clock: Clock) -> None:
        self.names, self.hostname, self.mode, self.clock = names, hostname, mode, clock

    def begin(self, visit: Visit, transaction: Transaction) -> "Inspection | None":
        """For a message that begins now; None: it is from us. Inside the running loop."""
        if self.mode == "off" or visit.service != "smtp" or visit.may_relay or not visit.client:
            return None
        return Inspection(self, visit.client, visit.helo or "", transaction.sender)


class Inspection:
    """One message. `header` once, `feed` with the body, `verdict` when it is complete; or `close`."""

    def __init__(self, inspector: Inspector, client: str, helo: str, sender: str) -> None:
        self._inspector, self._helo, self._sender = inspector, helo, sender
        self._spf = asyncio.ensure_future(spf.check(client, helo, sender, inspector.names))
        self._verifier: Verifier | None = None
        self._authors: list[str] = []
        self._fields = 0

    def header(self, block: bytes) -> None:
        """The header block as it came, with CRLF."""
        self._verifier = Verifier(block, self._inspector.clock.now())
        self._fields, self._authors = author_domains(block)

    def feed(self, chunk: bytes) -> None:
        """More of the body. From any thread."""
        assert self._verifier is not None
        self._verifier.feed(chunk)

    async def verdict(self) -> tuple[str, Reply | None]:
        """The value of the results' field, and the refusal if there is one."""
        enforced = self._inspector.mode == "enforce"
        if self._fields > 1 and enforced:
            return "", SEVERAL_AUTHORS
        names = self._inspector.names
        sent: spf.Result | None = None
        signed: list[DkimResult] = []
        shown = dmarc.Result("none", "none", self._authors[0] if self._authors else "")
        try:
            async with asyncio.timeout(_SECONDS):
                sent = await self._spf
                if self._verifier is not None:
                    signed = list(await self._verifier.results(names))
                shown = await self._shown(sent, signed, shown)
        except TimeoutError:
            sent = sent or spf.Result("temperror", "")
            shown = shown._replace(word="temperror")
        refusal = None
        if enforced and shown.word == "fail" and shown.policy == "reject":
            refusal = Reply(550, "5.7.1", f"Rejected by the DMARC policy of {shown.domain}")
        return results.value(self._inspector.hostname, sent, self._sender, signed, shown), refusal

    def close(self) -> None:
        """Nobody wants to know any more."""
        self._spf.cancel()

    async def _shown(self, sent: spf.Result, signed: list[DkimResult], none: dmarc.Result) -> dmarc.Result:
        """DMARC's word on the authors; where From names several domains, the worst."""
        passed = [one.domain for one in signed if one.word == "pass"]
        envelope = sent.domain if sent.word == "pass" else ""
        found = [
            await dmarc.check(author, envelope, passed, self._inspector.names) for author in self._authors[:_AUTHORS]
        ]
        return next((one for one in found if one.word == "fail"), found[0] if found else none)
