"""An IMAP session: the conversation of `wire.imap.flow` between a connection and the commands.

    Link.received -> Flow events -> a command's handler -> its lines, what others did, the tagged answer

A handler is a function (client, command) that sends its own untagged lines and returns an `Answer`, or a coroutine for
it where it takes long, or None where more must come from the client first (AUTHENTICATE, IDLE).

Promises: commands run one after the other, and an answer is complete before the next command is looked at; a message
that others expunged keeps its number until the client may hear of it (`Spec.holds`); in IDLE, news go out at once,
unless the client doesn't read.
Fails by: the answers of `trouble`; NO [SERVERBUG] and BYE for a bug; BYE where the open mailbox went away.
RFC: 3501 and 9051 sections 3 and 7; 2177 (IDLE).
"""
import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.serve.imap import append, auth, fetch, mailbox, message, search
from bridge.serve.imap.client import Client, Result
from bridge.serve.imap.shared import Shared
from bridge.serve.imap.trouble import BUG, Answer, Broken, answer_of
from bridge.serve.listener import End, Link
from bridge.store.mail import Changes, FolderGone, NoSuchFolder
from bridge.wire.imap import encode
from bridge.wire.imap.flow import AuthLine, Command, Done, Event, Fatal, Flow
from bridge.wire.imap.states import State

LOOK = 1.0      # seconds after which a command looks again for what other programs did, unasked
TURN = 32       # commands of one client that are answered on the loop before others have their turn

Handler = Callable[[Client, Command], Result]

_log = logging.getLogger(__name__)

HANDLERS: dict[str, Handler] = {
    **auth.HANDLERS, **mailbox.HANDLERS, **message.HANDLERS, **fetch.HANDLERS, **append.HANDLERS, **search.HANDLERS,
}  # fmt: skip
_LOOKING = frozenset(("NOOP", "CHECK"))
_FAREWELL = {
    End.IDLE: b"* BYE You were idle for too long\r\n",
    End.LOGIN: b"* BYE No login in time\r\n",
    End.SHUTDOWN: b"* BYE Server is stopping, come back soon\r\n",
    End.BUG: b"* BYE Internal error\r\n",
}
_GONE = b"* BYE The open mailbox was removed or renamed\r\n"


class ImapSession:
    """See `serve.listener.Session` and `news.Idler`."""

    __slots__ = ("_all", "_flow", "_known", "_link", "_pending", "_service", "_spoken", "client")

    def __init__(
        self, link: Link, service: Shared, sessions: "set[ImapSession]", known: Any = None
    ) -> None:
        self._link, self._service, self._all, self._known = link, service, sessions, known
        self._begin()

    def _begin(self) -> None:
        self._flow = Flow(on_message=lambda announced: append.announced(self.client, announced))
        self.client = Client(self._link, self._service, self._flow)
        self._pending: Command | None = None    # AUTHENTICATE or IDLE under way
        self._spoken = 0.0                      # when something was said in IDLE

    # --- serve.listener.Session ---

    def opened(self) -> None:
        self._all.add(self)
        if self._known is not None:     # who logged in elsewhere has been greeted and answered
            self._link.admit(self._known.address)
            self.client.log_in(self._known)
            return
        names = self._service.capabilities(State.NOT_AUTHENTICATED, self._link)
        self._flow.greet(names, self._service.hostname.encode("ascii", "replace") + b" Estafeta is ready")
        self._flush()

    def received(self, data: bytes) -> None:
        flow, link, relay = self._flow, self._link, self.client.relay
        if relay is not None and (relay.begun or not link.busy):
            relay.pass_on(flow.take_input() + data if not relay.begun else data)
            return
        if data:
            flow.feed(data)
        turn = 0
        while not link.busy and not link.closing:
            event = flow.next_event()
            if event is not None:
                self._handle(event)
            self._flush()
            if event is None:
                return
            turn += 1
            if not link.busy and (link.congested or turn == TURN):
                link.run(link.drain() if link.congested else asyncio.sleep(0))

    def secured(self) -> None:
        self._begin()

    def farewell(self, why: End) -> bytes:
        return _FAREWELL[why]

    def closed(self) -> None:
        self._all.discard(self)
        self._leave_idle()
        self._flow.abandon()
        if self.client.relay is not None:
            self._service.news.forget(self.client.user, self.client.relay)
            self.client.relay.close()

    # --- news.Idler ---

    def known(self) -> tuple[int, int]:
        box = self.client.selected
        return box.since, box.uidnext

    def news(self, changes: Changes | None) -> None:
        box = self.client.box
        if changes is None or box is None or self._link.closing:
            return
        box.learn(changes)
        if not self._link.congested:
            self._say(box.tell(True, self.client.dialect(False)))

    def lost(self) -> None:
        self._leave_idle()
        self._link.close(_GONE)

    def still_here(self, now: float) -> None:
        every = self._service.settings.still_here
        if every and now - self._spoken >= every and not self._link.congested:
            self._say(b"* OK Still here\r\n")

    def _say(self, lines: bytes) -> None:
        if lines:
            self._spoken = asyncio.get_running_loop().time()
            self._link.write(lines)

    # --- events ---

    def _flush(self) -> None:
        out = self._flow.take_output()
        if out:
            self._link.write(out)

    def _handle(self, event: Event) -> None:
        if type(event) is Command:
            self._run(event, HANDLERS.get(event.name, _unknown))
        elif type(event) is AuthLine:
            pending = self._pending
            assert pending is not None
            self._run(pending, lambda client, command: auth.respond(client, event.data))
        elif type(event) is Done:
            self._leave_idle()
            pending, self._pending = self._pending, None
            assert pending is not None
            ok = Answer(b"IDLE completed")
            self._finish(pending, ok if event.ok else Answer(b"DONE was expected", b"", b"BAD"))
        elif type(event) is Fatal:
            self._flush()
            self._link.close()

    def _run(self, command: Command, handler: Handler) -> None:
        """One command, or the next step of one."""
        self._pending = None
        try:
            result = handler(self.client, command)
        except Broken as error:
            self._break_off(command, error)
            return
        except Exception as error:
            self._fail(command, error)
            return
        if result is None:
            self._wait(command)
        elif isinstance(result, Answer):
            self._finish(command, result)
        else:
            self._link.run(self._work(command, result))

    def _wait(self, command: Command) -> None:
        """The command goes on when the client, or the connection, has done its part."""
        if command.name == "STARTTLS":
            reply = encode.tagged(command.tag, b"OK", b"Begin TLS now")
            if self._flow.begin_tls():
                self._flush()
                self._link.start_tls(reply)
            else:
                self._link.close(b"* BYE Something was sent behind STARTTLS\r\n")
        elif command.name == "LOGOUT":
            self._flow.send(encode.status(b"BYE", b"Until next time"))
            self._flow.send(encode.tagged(command.tag, b"OK", b"LOGOUT completed"))
            self._flow.logout()
            self._flush()
            self._link.close()
        else:
            self._pending = command
            if command.name == "IDLE":
                self._idle()

    async def _work(self, command: Command, work: Coroutine[Any, Any, Answer]) -> None:
        try:
            answer = await work
            if self._must_look(command):
                await self._look()
        except ConnectionError:
            raise
        except Broken as error:
            self._break_off(command, error)
        except Exception as error:
            self._fail(command, error)
        else:
            self._close(command, answer)
        self._flush()

    def _break_off(self, command: Command, error: Broken) -> None:
        _log.warning("%s of %s broke off: %s", command.name, self.client.user, error)
        self._flow.take_output()
        self._link.abort()

    # --- the end of a command ---

    def _finish(self, command: Command, answer: Answer) -> None:
        if self._must_look(command):
            self._link.run(self._work(command, _ready(answer)))
        else:
            self._close(command, answer)

    def _must_look(self, command: Command) -> bool:
        """Whether this command has to find out what other programs did to the mailbox."""
        box = self.client.box
        if box is None or not command.spec.syncs:
            return False
        return command.name in _LOOKING or self._service.clock.monotonic() - box.looked > LOOK

    async def _look(self) -> None:
        box = self.client.selected
        try:
            await self.client.thread(box.store.refresh, box.folder)
        except NoSuchFolder as error:
            raise FolderGone(box.folder.name) from error
        box.looked = self._service.clock.monotonic()

    def _close(self, command: Command, answer: Answer) -> None:
        """What others did, then the tagged answer."""
        client, spec = self.client, command.spec
        if client.box is not None and spec.syncs:
            try:
                client.box.learn(client.box.store.changes(client.box.folder, client.box.since, client.box.uidnext))
            except Exception as error:
                self._fail(command, error)
                return
            self._flow.send(client.box.tell(not spec.holds, client.dialect(command.name.startswith("UID "))))
        self._flow.send(encode.tagged(command.tag, answer.word, answer.text, answer.code))

    def _fail(self, command: Command, error: Exception) -> None:
        answer = answer_of(error)
        if answer is None:
            _log.error("%s of %s failed", command.name, self.client.user or self._link.peer, exc_info=error)
            answer = BUG
        self._flow.send(encode.tagged(command.tag, answer.word, answer.text, answer.code))
        if answer is BUG or (isinstance(error, FolderGone) and self.client.box is not None):
            self._flush()
            self._link.close(_FAREWELL[End.BUG] if answer is BUG else _GONE)
        elif self.client.store is None and self.client.failures >= self._service.settings.wrong_logins:
            self._flush()
            self._link.close(b"* BYE Too many wrong passwords\r\n")

    # --- IDLE ---

    def _idle(self) -> None:
        self._flow.idle()
        self._flush()
        self._spoken = asyncio.get_running_loop().time()
        box = self.client.box
        if box is None:
            self._service.news.wait(self)
        else:
            self._service.news.wait(self, box.store, box.folder)

    def _leave_idle(self) -> None:
        box = self.client.box
        if box is None:
            self._service.news.leave(self)
        else:
            self._service.news.leave(self, box.store, box.folder)


def _unknown(client: Client, command: Command) -> Answer:
    return Answer(b"Unknown command", b"", b"BAD")


async def _ready(answer: Answer) -> Answer:
    return answer
