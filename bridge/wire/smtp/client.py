"""The client's side of SMTP and LMTP, without the connection: one session, any number of messages.

Orders: greeting, EHLO (HELO where EHLO is refused, S03), STARTTLS and EHLO again, AUTH, then any number of
transactions MAIL RCPT... DATA body dot, at last QUIT. It never goes back except from the end of a transaction to READY.
What has been sent and waits for its answer stands in a queue of steps; the oldest one names the deadline and the
words for the log (table `STEPS`). With PIPELINING a whole envelope up to DATA goes out at once (RFC 2920).

    machine.feed(bytes) -> events;  machine.take() -> bytes to send
    StartTls   -> do the handshake, then `secured()`
    Ready      -> `begin(mail)` or `quit()`
    SendBody   -> send the message dot-stuffed, with its final dot, then `dotted()`
    Done       -> a result per recipient, as soon as it is known
    Broken     -> the session is of no more use: close; `reply` is None where the server didn't say why

Promises: every recipient gets exactly one result, also after 421 or an early answer in the middle of the body; bytes
that the server sent in the clear behind its 220 to STARTTLS are forgotten, and so is all it said before (sec-O02); no
address or name with control characters ever goes out (sec-O03); a password only inside TLS, unless `clear_login`.
Fails by: PeerError from `feed`; ValueError from `begin` for an envelope that nobody may send.
RFC 5321, 2033 (LMTP), 2920, 3207, 4954, 1870, 6152, 6531.
"""
import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.address import fold_domain, split
from bridge.model.errors import PeerError
from bridge.wire.smtp.dialogue import (
    Broken,
    Done,
    Event,
    Mail,
    Offer,
    Protection,
    Ready,
    Result,
    SendBody,
    StartTls,
    Step,
    offer,
)
from bridge.wire.smtp.replies import Answer, Replies

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Client:
    """See above. `name`: what we call ourselves; `login`: user and password for AUTH; `secure`: TLS is on already."""

    def __init__(
        self, name: str, *, protection: Protection = Protection.MAY, login: tuple[str, str] | None = None,
        lmtp: bool = False, secure: bool = False, clear_login: bool = False,
    ) -> None:
        self._name = _safe(name)
        self._protection, self._login, self._lmtp, self._clear_login = protection, login, lmtp, clear_login
        self.secure = secure
        self.offer = Offer()
        self.broken = False
        self.transactions = 0
        self._replies = Replies()
        self._waiting: deque[Step] = deque((Step.GREETING,))
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._mail: Mail | None = None
        self._results: list[Result | None] = []
        self._accepted: list[int] = []
        self._asked = self._answered = 0      # recipients named, recipients answered
        self._in_body = False
        self._challenges: list[bytes] = []

    # --- what the connection does ---

    def feed(self, data: bytes) -> list[Event]:
        """Bytes from the server. PeerError: close; recipients without a result are open."""
        for answer in self._replies.feed(data):
            if self.broken:
                break
            if not self._waiting:
                self._unasked(answer)
            else:
                STEPS[self._waiting[0]].handler(self, answer)
            if self._events and type(self._events[-1]) is StartTls:
                self._replies.clear()
                break
        events, self._events = self._events, []
        return events

    def take(self) -> bytes:
        """What is to be sent now."""
        out, self._out = b"".join(self._out), []
        return out

    @property
    def step(self) -> Step:
        """What we wait for; DATA while the body is under way."""
        return self._waiting[0] if self._waiting else Step.DATA

    @property
    def seconds(self) -> float:
        """How long to wait for the next byte."""
        return STEPS[self.step].seconds

    @property
    def phrase(self) -> str:
        return STEPS[self.step].phrase

    @property
    def outstanding(self) -> int:
        """How many answers we wait for."""
        return len(self._waiting)

    @property
    def unanswered(self) -> bool:
        """Whether nothing of the transaction under way has been answered."""
        return bool(self._waiting) and self._waiting[0] is Step.MAIL

    @property
    def ready(self) -> bool:
        """Whether a message may begin."""
        return not (self.broken or self._waiting or self._mail)

    def abandon(self) -> tuple[Result | None, ...]:
        """The connection is lost in the middle of a transaction: what is known so far, by recipient."""
        self.broken = True
        results, self._mail, self._results = tuple(self._results), None, []
        return results

    def secured(self) -> None:
        """TLS is on: all that was said before is void."""
        self.secure, self.offer = True, Offer()
        self._replies.clear()
        self._hello()

    def begin(self, mail: Mail) -> None:
        """Start a transaction. ValueError if the addresses can't be sent."""
        if not self.ready or not mail.recipients:
            raise ValueError("not ready, or nobody to send to")
        lines = [b"MAIL FROM:" + self._path(mail.sender) + self._parameters(mail)]
        lines += [b"RCPT TO:" + self._path(recipient) for recipient in mail.recipients]
        self._mail, self._results, self._accepted = mail, [None] * len(mail.recipients), []
        self._asked = self._answered = 0
        self.transactions += 1
        self._send(Step.MAIL, lines[0])
        if self.offer.pipelining:
            for line in lines[1:]:
                self._send(Step.RCPT, line)
            self._asked = len(mail.recipients)
            self._send(Step.DATA, b"DATA")

    def dotted(self) -> None:
        """The body and its final dot have been sent."""
        if self._in_body:
            self._in_body = False
            self._waiting.extend([Step.DOT] * (len(self._accepted) if self._lmtp else 1))

    def quit(self) -> None:
        self._send(Step.QUIT, b"QUIT")

    # --- answers, one handler per step ---

    def _on_greeting(self, answer: Answer) -> None:
        self._waiting.popleft()
        if answer.code == 220:
            self._hello()
        else:
            self._break(Step.GREETING, answer)

    def _on_hello(self, answer: Answer) -> None:
        step = self._waiting.popleft()
        if answer.code == 250:
            self.offer = offer(answer) if step is Step.HELLO else Offer()
            self._protect()
        elif answer.code >= 500 and step is Step.HELLO and not (self._lmtp or self._required or self._login):
            self._send(Step.HELO, b"HELO " + self._name)
        else:
            self._break(Step.HELLO, answer)

    def _on_tls(self, answer: Answer) -> None:
        self._waiting.popleft()
        if answer.code == 220:
            self._events.append(StartTls())
        elif self._required or answer.code == 421:
            self._break(Step.TLS, answer)
        else:
            self._log_in()

    def _on_auth(self, answer: Answer) -> None:
        self._waiting.popleft()
        if answer.code == 235:
            self._events.append(Ready())
        elif answer.code == 334 and self._challenges:
            self._send(Step.AUTH, self._challenges.pop(0))
        else:
            self._break(Step.AUTH, answer)

    def _on_mail(self, answer: Answer) -> None:
        self._waiting.popleft()
        if self._closing(Step.MAIL, answer):
            return
        if answer.code // 100 != 2:
            self._settle(Step.MAIL, answer)
        if not self.offer.pipelining:
            self._next()

    def _on_rcpt(self, answer: Answer) -> None:
        self._waiting.popleft()
        if self._closing(Step.RCPT, answer):
            return
        index = self._answered
        self._answered += 1
        if self._results[index] is None:
            if answer.code // 100 == 2:
                self._accepted.append(index)
            else:
                self._results[index] = Result(Step.RCPT, answer.reply())
        if not self.offer.pipelining:
            self._next()

    def _on_data(self, answer: Answer) -> None:
        self._waiting.popleft()
        if self._closing(Step.DATA, answer):
            return
        if answer.code // 100 == 3:
            if self._accepted:
                self._in_body = True
                self._events.append(SendBody())
            else:  # nobody wants it, and still the server asks for it: RFC 2920 3.1
                self._send(Step.DOT, b".")
        elif answer.code // 100 == 2:
            raise PeerError("DATA was answered with " + str(answer.code))
        else:
            self._settle(Step.DATA, answer)
            self._finish()

    def _on_dot(self, answer: Answer) -> None:
        self._waiting.popleft()
        if self._lmtp and self._accepted and answer.code != 421:
            self._results[self._accepted.pop(0)] = Result(Step.DOT, answer.reply())
            if self._accepted:
                return
        if self._closing(Step.DOT, answer):
            return
        self._settle(Step.DOT, answer)
        self._report()
        self._events.append(Ready())

    def _on_rset(self, answer: Answer) -> None:
        self._waiting.popleft()
        if answer.code // 100 == 2:
            self._events.append(Ready())
        else:
            self._break(Step.RSET, answer)

    def _on_quit(self, answer: Answer) -> None:
        self._waiting.popleft()
        self._break(Step.QUIT, answer)

    def _unasked(self, answer: Answer) -> None:
        """An answer to nothing: an early refusal of the body, or the announcement that the server goes away."""
        if answer.code // 100 in (4, 5) and (self._in_body or answer.code == 421):
            self._settle(Step.DOT, answer)
            self._break(Step.DOT if self._in_body else Step.RSET, answer)
        else:
            raise PeerError(f"the server said {answer.code} and was not asked")

    # --- the parts of a session ---

    @property
    def _required(self) -> bool:
        return self._protection is Protection.MUST and not self.secure

    def _send(self, step: Step, line: bytes) -> None:
        self._out.append(line + b"\r\n")
        self._waiting.append(step)

    def _hello(self) -> None:
        self._send(Step.HELLO, (b"LHLO " if self._lmtp else b"EHLO ") + self._name)

    def _protect(self) -> None:
        """EHLO was answered: TLS, if it is to be."""
        if self.secure or self._protection is Protection.NONE:
            self._log_in()
        elif self.offer.starttls:
            self._send(Step.TLS, b"STARTTLS")
        elif self._required:
            self._break(Step.TLS, None)
        else:
            self._log_in()

    def _log_in(self) -> None:
        if self._login is None:
            self._events.append(Ready())
            return
        user, password = (part.encode() for part in self._login)
        if not (self.secure or self._clear_login):
            self._break(Step.TLS, None)
        elif "PLAIN" in self.offer.auth:
            self._send(Step.AUTH, b"AUTH PLAIN " + b64encode(b"\0" + user + b"\0" + password))
        elif "LOGIN" in self.offer.auth:
            self._challenges = [b64encode(user), b64encode(password)]
            self._send(Step.AUTH, b"AUTH LOGIN")
        else:
            self._break(Step.AUTH, None)

    def _next(self) -> None:
        """Without PIPELINING: the next command of the envelope."""
        assert self._mail is not None
        if self._asked < len(self._results) and self._results[self._asked] is None:
            line = b"RCPT TO:" + self._path(self._mail.recipients[self._asked])
            self._asked += 1
            self._send(Step.RCPT, line)
        elif self._accepted:
            self._send(Step.DATA, b"DATA")
        else:
            self._finish()

    def _settle(self, step: Step, answer: Answer) -> None:
        """`answer` decides for all who have no result yet."""
        result = Result(step, answer.reply())
        self._results = [known or result for known in self._results]

    def _report(self) -> None:
        """The results are complete."""
        self._events.append(Done(tuple(result for result in self._results if result is not None)))
        self._mail, self._results, self._accepted = None, [], []

    def _finish(self) -> None:
        """A transaction that ended before the body: report, and clear the table at the other side."""
        self._report()
        self._send(Step.RSET, b"RSET")

    def _closing(self, step: Step, answer: Answer) -> bool:
        """421 to whatever command: the server goes away (RFC 5321 3.8)."""
        if answer.code != 421:
            return False
        self._settle(step, answer)
        self._break(step, answer)
        return True

    def _break(self, step: Step, answer: Answer | None) -> None:
        if self._mail is not None:
            self._report()
        self.broken, self._in_body = True, False
        self._waiting.clear()
        self._out.clear()
        self._events.append(Broken(step, answer.reply() if answer else None))

    # --- lines ---

    def _path(self, address: str) -> bytes:
        if not address.isascii() and not self.offer.utf8:
            local, domain = split(address)
            address = f"{local}@{fold_domain(domain)}"
            if not address.isascii():
                raise ValueError("the address needs SMTPUTF8, and the server doesn't have it")
        return b"<" + _safe(address) + b">"

    def _parameters(self, mail: Mail) -> bytes:
        found = b""
        if self.offer.size_known and mail.size:
            found += b" SIZE=%d" % mail.size
        if self.offer.eight_bit and mail.eight_bit:
            found += b" BODY=8BITMIME"
        if self.offer.utf8 and (mail.utf8 or not all(map(str.isascii, (mail.sender, *mail.recipients)))):
            found += b" SMTPUTF8"
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """A step: how long its answer may take (RFC 5321 4.5.3.2), how a log names the wait, who reads the answer."""

    seconds: float
    phrase: str
    handler: Callable[[Client, Answer], None]


STEPS: dict[Step, Row] = {
    Step.GREETING: Row(300, "waiting for the greeting", Client._on_greeting),
    Step.HELLO: Row(300, "waiting for the answer to EHLO", Client._on_hello),
    Step.HELO: Row(300, "waiting for the answer to HELO", Client._on_hello),
    Step.TLS: Row(120, "waiting for the answer to STARTTLS", Client._on_tls),
    Step.AUTH: Row(120, "waiting for the answer to AUTH", Client._on_auth),
    Step.MAIL: Row(300, "waiting for the answer to MAIL", Client._on_mail),
    Step.RCPT: Row(300, "waiting for the answer to RCPT", Client._on_rcpt),
    Step.DATA: Row(180, "sending the message", Client._on_data),
    Step.DOT: Row(600, "waiting for the answer to the message", Client._on_dot),
    Step.RSET: Row(20, "waiting for the answer to RSET", Client._on_rset),
    Step.QUIT: Row(5, "waiting for the answer to QUIT", Client._on_quit),
}


def _safe(text: str) -> bytes:
    if _CONTROL.search(text):
        raise ValueError("a name or address has control characters")
    return text.encode("utf-8")
