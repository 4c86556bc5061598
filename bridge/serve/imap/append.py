"""APPEND: messages go to disk while they arrive, and appear all at once or not at all.

Promises: what is too big, or has no mailbox to go to, is refused before its bytes are asked for; trouble with the disk
while bytes come in is kept until the command ends, so the conversation stays in step; a client that vanishes after its
last byte doesn't undo what it was not yet told of.
RFC: 3501 and 9051 section 6.3.12, 3502 (MULTIAPPEND), 4315 (APPENDUID), 7889 (APPENDLIMIT), 6855 (UTF8).
"""
from collections.abc import Callable
from typing import cast

from bridge.model.errors import StoreError
from bridge.serve.imap.client import Client, Result
from bridge.serve.imap.trouble import Answer, Refusal, answer_of
from bridge.store.mail import MailError, NoSuchFolder
from bridge.store.transfer import IN_MEMORY, Draft
from bridge.wire.imap import encode
from bridge.wire.imap.args.append import Append, MessageLiteral
from bridge.wire.imap.flow import Command
from bridge.wire.imap.fragment import Refuse

MEMORY = 16 << 20       # bytes of small messages that one command may bring
FILES = 32              # big messages that one command may bring: each is an open file until the end


class Incoming:
    """A draft that doesn't interrupt the conversation when the disk refuses; see `fragment.Sink`."""

    __slots__ = ("draft", "error")

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.error: Exception | None = None

    def write(self, data: bytes | memoryview) -> None:
        if self.error is None:
            try:
                self.draft.write(data)
            except StoreError as error:
                self._broke(error)
            except OSError as error:
                self._broke(StoreError(str(error)))

    def _broke(self, error: Exception) -> None:
        self.error = error
        self.draft.abandon()

    def end(self) -> None:
        self.draft.end()

    def abandon(self) -> None:
        self.draft.abandon()


def announced(client: Client, message: MessageLiteral) -> Incoming | Refuse:
    """A message is about to come: where to, or why not."""
    if message.command != "APPEND" or message.catenate:
        return Refuse("Unknown command", "", "BAD")
    if message.size > client.service.message_size:
        return Refuse(f"A message may have {client.service.message_size} bytes", "TOOBIG")
    if not message.size:
        return Refuse("An empty message can't be kept")
    if not message.index:
        client.coming = (0, 0)
    memory, files = client.coming
    client.coming = (memory + message.size, files) if message.size <= IN_MEMORY else (memory, files + 1)
    if client.coming[0] > MEMORY or client.coming[1] > FILES:
        return Refuse("This is too much for one command", "LIMIT")
    try:
        if not message.index:
            client.mail.folder(message.mailbox)
        return Incoming(client.mail.draft())
    except NoSuchFolder as error:
        return Refuse(str(error).encode("ascii", "replace").decode(), "TRYCREATE")
    except (MailError, StoreError, OSError) as error:
        answer = answer_of(StoreError(str(error)) if isinstance(error, OSError) else error)
        assert answer is not None
        return Refuse(answer.text.decode(), answer.code.decode(), answer.word.decode())


def append(client: Client, command: Command) -> Result:
    asked = cast(Append, command.args)
    incoming = []
    for one in asked.messages:
        sink = one.body.sink if one.body is not None else None
        if isinstance(sink, Incoming):
            incoming.append(sink)
    try:
        if len(incoming) < len(asked.messages):
            raise Refusal("CATENATE is not offered", "", "BAD")
        for sink in incoming:
            if sink.error is not None:
                raise sink.error
        for one in asked.messages:
            if any(flag.lower() == "\\recent" for flag in one.flags):
                raise Refusal("\\Recent can't be set")
    except Exception:
        for sink in incoming:
            sink.abandon()
        raise
    return _store(client, asked, incoming)


async def _store(client: Client, asked: Append, incoming: list[Incoming]) -> Answer:
    messages = [(sink.draft, one.flags, one.date) for sink, one in zip(incoming, asked.messages)]
    try:
        copied = await client.commit(client.mail.append, asked.mailbox, messages)
    except NoSuchFolder as error:
        raise MailError(str(error), "TRYCREATE") from error
    client.service.journal.record(
        "appended", login=client.user, folder=asked.mailbox, count=len(copied.target), uid=copied.target[0])
    return Answer(b"APPEND completed", encode.append_uid(copied.uidvalidity, copied.target))


HANDLERS: dict[str, Callable[[Client, Command], Result]] = {"APPEND": append}
