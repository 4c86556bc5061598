"""The SMTP server of one connection: aiosmtpd's class with its reading, writing and every verb replaced.

    greeting -> HELO|EHLO|LHLO -> (STARTTLS -> EHLO) -> (AUTH) -> MAIL -> RCPT ... -> DATA -> 250 -> MAIL ... -> QUIT

Promises: one reset after each transaction and each error of ours (sec-S07); 250 after DATA only when the spool has the
message (S25), whatever becomes of the connection meanwhile (SECURITY 0.2); our own faults are 4xx (P12); only CRLF
ends a line and CRLF.CRLF a message; replies to pipelined commands leave together; every count has a limit (S26).
Fails by: closing the connection, with 421 where the peer can still read it.
What is left of aiosmtpd: its class, its verb methods' names and shape, the syntax texts of HELP (SECURITY D-14 says
what had to go and why). RFC 5321, 2920, 1870, 6152, 2034, 3207, 4954, 6531, 9422, 2033 (LMTP).
"""
import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from aiosmtpd.smtp import SMTP, syntax

from bridge.intake import enquiry, login, policy, replies
from bridge.intake.channel import Channel, Expired, Flood, Gone, LineTooLong
from bridge.intake.session import Service, Transaction, Visit
from bridge.intake.transfer import Transfer
from bridge.model.address import BadAddress
from bridge.model.errors import DiskFull, PeerError, Refused, StoreError
from bridge.model.reply import Reply
from bridge.queue.enter import NO_ROOM
from bridge.wire import sasl
from bridge.wire.smtp import commands
from bridge.wire.trace import plain

if TYPE_CHECKING:
    from bridge.intake.listener import SmtpServer

_log = logging.getLogger(__name__)

_OTHER_PROTOCOLS = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "TRACE", "PATCH", "PRI"})
_OBSOLETE = frozenset({"SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN", "BDAT"})
_JUNK = frozenset({"HELO", "EHLO", "LHLO", "NOOP", "RSET", "VRFY", "EXPN", "HELP", "MAIL"})
_BREATH = 64            # commands after which other sessions get their turn
_TYPED = frozenset(b"\t\r\n" + bytes(range(32, 127)))
_LINE = commands.COMMAND_LIMIT


class _Hangup(Exception):
    """We end the connection, after `reply` if there is one."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__()
        self.reply = reply


class Edge(SMTP):
    """One connection. The server knows it from `connection_made` to the end of its task."""

    # SMTP.__init__ is not called: it inspects itself and its handler, 0.13 ms for each connection, for attributes
    # that the replaced methods don't use.
    def __init__(self, server: "SmtpServer", service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self.server, self.loop, self._service = server, loop, service
        self.visit = Visit(service, "", False)
        self.channel: Channel
        self.started = loop.time()
        self.task: asyncio.Task[None] | None = None

    # --- transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connected = cast(asyncio.Transport, transport)  # uvloop's is one by its methods, not by its class
        self.channel = Channel(self.loop, connected, self.server.settings.idle_seconds)
        if self.server.enter(self, connected):
            self.task = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        self.channel.feed(data)

    def eof_received(self) -> bool:
        self.channel.ended()
        # A peer that half-closes after the final dot still gets its answer; TLS can't do that.
        return not self.visit.tls

    def connection_lost(self, error: Exception | None) -> None:
        self.channel.closed()

    def pause_writing(self) -> None:
        self.channel.block()

    def resume_writing(self) -> None:
        self.channel.unblock()

    def tick(self, now: float) -> None:
        """Once a second: is a deadline over?"""
        settings = self.server.settings
        over = now - self.started > settings.session_seconds
        if not self.channel.busy and (over or self.channel.overdue(now, settings.data_rate, self.server.rate_after)):
            self.channel.expire()

    def stop(self) -> None:
        """The server stops: a session that waits for a command ends now, one with a message after it."""
        if self.channel.deadline and not self.channel.in_body:
            self.channel.expire()

    # --- the session ---

    async def _handle_client(self) -> None:
        try:
            word = "LMTP" if self._service == "lmtp" else "ESMTP"
            self.say(Reply(220, "", f"{self.server.hostname} {word} Estafeta"))
            await self._commands()
        except _Hangup as hangup:
            if hangup.reply:
                self.say(hangup.reply)
        except Expired:
            self.say(replies.SHUTDOWN if self.server.stopping else replies.TIMEOUT)
        except (Gone, Flood):
            pass
        except Exception:
            _log.exception("smtp session of %s", self.visit.client)
            self.say(replies.BROKEN_OFF)
        finally:
            self.channel.close()
            self.server.leave(self)

    async def _commands(self) -> None:
        count = 0
        if await self.channel.first() not in _TYPED:  # TLS or something else that isn't SMTP (sec-S14)
            raise _Hangup
        while True:
            if self.server.stopping:
                raise _Hangup(replies.SHUTDOWN)
            errors = self.visit.errors
            try:
                await self._command(await self.channel.line(sasl.LINE_LIMIT))
            except LineTooLong:
                self.say(replies.TOO_LONG)
            if self.visit.errors > errors:
                await self._punish()
            count += 1
            if count % _BREATH == 0:
                await asyncio.sleep(0)

    async def _punish(self) -> None:
        settings = self.server.settings
        if self.visit.errors >= settings.errors_most:
            self._note("errors", replies.ERRORS)
            raise _Hangup(replies.ERRORS)
        if self.visit.errors > settings.errors_slow:
            self.channel.busy = True
            await asyncio.sleep(self.server.error_delay)
            self.channel.busy = False

    async def _command(self, line: bytes) -> None:
        if not line.endswith(b"\r\n") and not self._normalizes:
            self.say(replies.BARE)
            return
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        word, argument = commands.verb(line)
        if b"\r" in line or b"\0" in line or (len(line) > _LINE and word != "AUTH"):
            self.say(replies.TOO_LONG if len(line) > _LINE else replies.UNKNOWN)
            return
        handler = _VERBS.get(word)
        if handler is None:
            if word in _OTHER_PROTOCOLS:
                raise _Hangup  # somebody's browser is made to talk to us; it gets nothing to show
            self.say(replies.NOT_HERE if word in _OBSOLETE else replies.UNKNOWN)
            return
        if word in _JUNK:
            self.visit.junk += 1
            if self.visit.junk > self.server.settings.junk_commands:
                raise _Hangup(replies.JUNK)
        try:
            await handler(self, argument or None)
        except Refused as refused:
            self.say(refused.reply)
        except (Gone, Expired, Flood, LineTooLong, _Hangup):
            raise
        except Exception as error:
            self.channel.write((await self.handle_exception(error)).encode() + b"\r\n")

    async def handle_exception(self, error: Exception) -> str:
        """Whatever went wrong is ours: a temporary answer and a clean state, the details only in the log (0.1)."""
        self.visit.reset()
        if isinstance(error, DiskFull):
            _log.error("smtp: %s", error)
            return str(NO_ROOM)
        if isinstance(error, StoreError):
            _log.error("smtp: %s", error)
        else:
            _log.exception("smtp session of %s", self.visit.client, exc_info=error)
        return str(replies.OURS)

    @property
    def _normalizes(self) -> bool:
        return self.visit.trusted and self.server.settings.bare_newlines == "normalize"

    def say(self, reply: Reply) -> None:
        """One reply; refusals for good count as errors of the client."""
        if reply.code >= 500:
            self.visit.errors += 1
        self.channel.write(_rendered(reply))

    async def push(self, status: str | bytes) -> None:
        """aiosmtpd's way to say something."""
        self.channel.write((status if isinstance(status, bytes) else status.encode()) + b"\r\n")

    def _note(self, what: str, reply: Reply, address: str = "") -> None:
        self.server.journal.record(
            "refused",
            door=self._service,
            client=self.visit.client,
            helo=plain(self.visit.helo or ""),
            what=what,
            address=address,
            reply=str(reply),
        )

    # --- who is there ---

    @syntax("HELO hostname")
    async def smtp_HELO(self, arg: str | None) -> None:
        """Also without a name, as people type it."""
        if self._hello(arg or "", extended=False, lmtp=False):
            visit = self.visit
            self.say(Reply(250, "", f"{self.server.hostname} Hello {visit.helo or 'you'} [{visit.client or 'local'}]"))

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, arg: str | None) -> None:
        if self._hello(arg, extended=True, lmtp=False):
            self._capabilities()

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, arg: str | None) -> None:
        if self._hello(arg, extended=True, lmtp=True):
            self._capabilities()

    def _hello(self, name: str | None, *, extended: bool, lmtp: bool) -> bool:
        if lmtp != (self._service == "lmtp"):
            self.say(Reply(500, "5.5.1", "This is LMTP: use LHLO" if not lmtp else "This is not LMTP: use EHLO"))
        elif name is None:
            self.say(replies.NAME_NEEDED)
        elif len(name) > 255 or not (name.isascii() and name.isprintable()):
            self.say(replies.BAD_NAME)
        else:
            self.visit.reset()
            self.visit.helo, self.visit.extended = name, extended
            return True
        return False

    def _capabilities(self) -> None:
        visit, settings = self.visit, self.server.settings
        lines = [
            f"{self.server.hostname} Hello [{visit.client or 'local'}]",
            "PIPELINING",
            f"SIZE {settings.message_size}",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            f"LIMITS RCPTMAX={settings.recipients}",
        ]
        if settings.smtputf8:
            lines.append("SMTPUTF8")
        if self.server.tls is not None and not visit.tls:
            lines.append("STARTTLS")
        if visit.submits and visit.account is None and (visit.tls or visit.trusted):
            lines.append("AUTH " + " ".join(sasl.MECHANISMS))
        self._several(250, lines)

    def _several(self, code: int, lines: list[str]) -> None:
        text = "".join(f"{code}-{line}\r\n" for line in lines[:-1]) + f"{code} {lines[-1]}\r\n"
        self.channel.write(text.encode("ascii", "replace"))

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        context = self.server.tls
        if arg:
            self.say(replies.NO_ARGUMENT)
        elif self.visit.tls:
            self.say(replies.TLS_ALREADY)
        elif context is None:
            self.say(replies.TLS_NOT)
        elif self.channel.pending:
            raise _Hangup  # somebody put commands behind STARTTLS, in the clear (sec-S04)
        else:
            self.say(replies.READY_FOR_TLS)
            self.channel.busy = True    # the handshake has a deadline of its own
            try:
                await self.channel.start_tls(context, self)
            finally:
                self.channel.busy = False
            self.visit.restart(tls_of(self.channel.transport))

    @syntax("AUTH mechanism [initial-response]")
    async def smtp_AUTH(self, arg: str | None) -> None:
        refusal = login.refusal(self.visit)
        if refusal:
            self.say(refusal)
            return
        try:
            credentials = await login.credentials(self.channel, arg or "")
        except Refused as refused:
            self.say(refused.reply)
            return
        self.channel.busy = True    # a password takes its time
        try:
            self.say(await login.log_in(self.server.login, self.visit, credentials))
        finally:
            self.channel.busy = False

    # --- a message ---

    @syntax("MAIL FROM: <address>", extended=" [SIZE=n] [BODY=8BITMIME] [SMTPUTF8]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        visit, server = self.visit, self.server
        if visit.helo is None:
            self.say(replies.HELO_FIRST)
            return
        if visit.transaction is not None:
            self.say(replies.MAIL_TWICE)
            return
        try:
            mail = commands.mail(arg or "", domain=server.domain if visit.may_relay else "")
        except PeerError as error:
            self._malformed("sender", error, arg)
            return
        refusal = policy.judge(policy.MAIL, policy.Question(visit, server.settings, server.tables, mail.sender))
        if refusal is None:
            server.door.check_room(mail.size)
            visit.transaction = Transaction(mail.sender, mail.size, mail.body, mail.smtputf8)
        else:
            self._note("sender", refusal, mail.sender)
        self.say(refusal or replies.SENDER_OK)

    @syntax("RCPT TO: <address>")
    async def smtp_RCPT(self, arg: str | None) -> None:
        visit, server = self.visit, self.server
        transaction = visit.transaction
        if transaction is None:
            self.say(replies.MAIL_FIRST)
            return
        try:
            recipient = commands.rcpt(arg or "", utf8=transaction.smtputf8, domain=server.domain)
        except PeerError as error:
            self._malformed("recipient", error, arg)
            return
        if "@" not in recipient:
            recipient = f"{recipient}@{server.domain}"  # postmaster alone (RFC 5321 4.5.1)
        refusal = policy.judge(policy.RCPT, policy.Question(visit, server.settings, server.tables, recipient))
        if refusal is None:
            transaction.recipients.append(recipient)
            self.say(replies.RECIPIENT_OK)
            return
        self._note("recipient", refusal, recipient)
        errors = visit.errors
        self.say(refusal)
        if visit.may_relay:  # a program of ours with an old list of addresses is no attacker
            visit.errors = errors

    def _malformed(self, what: str, error: PeerError, argument: str | None) -> None:
        if isinstance(error, BadAddress):
            code = "5.1.7" if what == "sender" else "5.1.3"
            reply = Reply(553, "5.6.7" if "SMTPUTF8" in str(error) else code, str(error).capitalize())
        elif isinstance(error, commands.UnknownParameter):
            reply = Reply(555, "5.5.4", str(error))
        else:
            reply = Reply(501, "5.5.4", str(error))
        self._note(what, reply, plain(argument or ""))
        self.say(reply)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        transaction = self.visit.transaction
        if arg:
            self.say(replies.NO_ARGUMENT)
        elif transaction is None:
            self.say(replies.MAIL_FIRST)
        elif not transaction.recipients:
            self.say(replies.NO_RECIPIENTS)
        else:
            try:
                await self._transfer(transaction)
            finally:
                self.visit.reset()

    async def _transfer(self, transaction: Transaction) -> None:
        transfer = Transfer(self.server, self.channel, self.visit, normalize=self._normalizes)
        entry = transfer.begin(transaction)
        self.say(replies.GO_AHEAD)
        try:
            reply = await transfer.run(entry)
        except Refused as refused:
            raise _Hangup(refused.reply) from refused
        if not reply.positive:
            self._note("message", reply, transaction.sender)
        for _ in transaction.recipients if self._service == "lmtp" else (None,):
            self.say(reply)
        if reply is replies.BROKEN:
            raise _Hangup


    # --- the rest ---

    @syntax("RSET")
    async def smtp_RSET(self, arg: str | None) -> None:
        self.visit.reset()
        self.say(replies.NO_ARGUMENT if arg else replies.OK)

    @syntax("NOOP [ignored]")
    async def smtp_NOOP(self, arg: str | None) -> None:
        self.say(replies.OK)

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str | None) -> None:
        raise _Hangup(Reply(221, "2.0.0", f"{self.server.hostname} closing connection"))

    @syntax("VRFY address")
    async def smtp_VRFY(self, arg: str | None) -> None:
        if not arg:
            self.say(Reply(501, "5.5.4", "Syntax: VRFY address"))
            return
        server = self.server
        self.say(enquiry.verify(arg, self.visit, server.tables, server.settings.vrfy))

    @syntax("EXPN list")
    async def smtp_EXPN(self, arg: str | None) -> None:
        found = enquiry.expand(arg or "", self.visit, self.server.tables, self.server.settings.expn)
        if len(found) == 1:
            self.say(found[0])
        else:
            self._several(250, [f"{one.enhanced} {one.text}" for one in found])

    @syntax("HELP [command]")
    async def smtp_HELP(self, arg: str | None) -> None:
        handler = _VERBS.get((arg or "").upper())
        if handler is not None:
            text = getattr(handler, "__smtp_syntax__", "") + (getattr(handler, "__smtp_syntax_extended__", "") or "")
            self.say(Reply(214, "2.0.0", f"Syntax: {text}"))
            return
        hello = ("LHLO",) if self._service == "lmtp" else ("HELO", "EHLO")
        names = [name for name in _VERBS if name not in ("HELO", "EHLO", "LHLO")]
        self._several(214, ["2.0.0 Commands:", f"2.0.0 {' '.join((*hello, *names))}", "2.0.0 HELP command says more"])


_Handler = Callable[[Edge, str | None], Awaitable[None]]
_VERBS: dict[str, _Handler] = {
    "HELO": Edge.smtp_HELO,
    "EHLO": Edge.smtp_EHLO,
    "LHLO": Edge.smtp_LHLO,
    "MAIL": Edge.smtp_MAIL,
    "RCPT": Edge.smtp_RCPT,
    "DATA": Edge.smtp_DATA,
    "RSET": Edge.smtp_RSET,
    "NOOP": Edge.smtp_NOOP,
    "QUIT": Edge.smtp_QUIT,
    "HELP": Edge.smtp_HELP,
    "VRFY": Edge.smtp_VRFY,
    "EXPN": Edge.smtp_EXPN,
    "STARTTLS": Edge.smtp_STARTTLS,
    "AUTH": Edge.smtp_AUTH,
}


@lru_cache(maxsize=256)
def _rendered(reply: Reply) -> bytes:
    text = " ".join(str(reply).split())  # whoever wrote it: one line
    return text.encode("ascii", "replace")[:500] + b"\r\n"


def tls_of(transport: asyncio.BaseTransport) -> str:
    """`TLSv1.3 with cipher TLS_AES_256_GCM_SHA384`, or "" without TLS."""
    cipher = transport.get_extra_info("cipher")
    return f"{cipher[1]} with cipher {cipher[0]}" if cipher else ""
