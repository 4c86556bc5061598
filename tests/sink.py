"""A small SMTP server that counts what it takes: the other side of outgoing mail in tests.

It answers as told (`first`: the first tries of each recipient are refused for now), and notes a copy for each
recipient before it says 250, so that a reply that is never read counts as a copy.
"""

import asyncio
import re
import threading
from collections import Counter
from types import TracebackType

_PATH = re.compile(rb"(?:FROM|TO):\s*<([^>]*)>", re.I)
_ID = re.compile(rb"^X-Crash-Id: (\S+)", re.M)


class Sink:
    """`with Sink() as sink:` listens on `sink.port`; `copies[(message id, recipient)]` counts."""

    def __init__(self, *, refuse_first: int = 0, delay: float = 0.0) -> None:
        self.copies: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.last = b""         # the newest message as it came, without its dots
        self.sender = ""        # of the newest transaction
        self.port = 0
        self.refuse_first, self.delay = refuse_first, delay
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sink":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 sink.example.net ESMTP\r\n")
        try:
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n")
                elif verb == b"MAIL":
                    found = _PATH.search(line)
                    self.sender = found[1].decode() if found else ""
                    recipients.clear()
                    writer.write(b"250 2.1.0 fine\r\n")
                elif verb == b"RCPT":
                    writer.write(self._rcpt(line, recipients))
                elif verb == b"DATA" and recipients:
                    writer.write(b"354 go ahead\r\n")
                    await self._data(reader, recipients)
                    writer.write(b"250 2.0.0 taken\r\n")
                elif verb == b"DATA":
                    writer.write(b"554 5.5.1 no recipients\r\n")
                elif verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    recipients.clear()
                    writer.write(b"250 2.0.0 fine\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _rcpt(self, line: bytes, recipients: list[str]) -> bytes:
        found = _PATH.search(line)
        assert found
        recipient = found[1].decode()
        if self.refused[recipient] < self.refuse_first:
            self.refused[recipient] += 1
            return b"451 4.7.1 later, please\r\n"
        recipients.append(recipient)
        return b"250 2.1.5 fine\r\n"

    async def _data(self, reader: asyncio.StreamReader, recipients: list[str]) -> None:
        text = await reader.readuntil(b"\r\n.\r\n")
        if self.delay:
            await asyncio.sleep(self.delay)
        self.last = text.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
        found = _ID.search(text)
        self.copies.update((found[1].decode() if found else "", one) for one in recipients)
        recipients.clear()
