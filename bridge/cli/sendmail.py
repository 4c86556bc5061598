"""`sendmail` as programs, cron and people call it (S76, S77, S78): hands mail in through the drop folder.

Promises: needs neither rights nor a running server; exit status 0 says that the message is safe on the disk; statuses
are those of sysexits.h; options that mean nothing here are taken and ignored. Who may use which sender is decided by
`bridge.intake.drop`. Loads little: a cron job that reports must not cost more than the job.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, NoReturn

from bridge.cli import places
from bridge.cli.words import tr

OK, USAGE, DATAERR, NOUSER, UNAVAILABLE, SOFTWARE, CANTCREAT, TEMPFAIL, NOPERM, CONFIG = (
    0, 64, 65, 67, 69, 70, 73, 75, 77, 78
)  # fmt: skip
_VALUED = "ACDFLNORVXfhpr"      # options whose value may stand in the next argument
_ATTACHED = "bdemoqMQ"          # options whose value can only be attached
_CHUNK = 1 << 16
_HEADER = 1 << 18               # bytes that are searched for recipients
_ADDRESSED = re.compile(rb"^(?:resent-)?(?:to|cc|bcc)[ \t]*:[ \t]*(?:\r?\n[ \t]+)*[^\s]", re.I | re.M)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Call(NamedTuple):
    """What the arguments say. `mode`: the letter of -b, "q" for a run of the queue, else "m"."""

    mode: str
    recipients: list[str]
    values: dict[str, str]
    flags: frozenset[str]


def parse(arguments: Sequence[str], mode: str = "m") -> Call:
    """Options as sendmail knows them; everything from the first other argument or `--` on are recipients."""
    values: dict[str, str] = {}
    flags: set[str] = set()
    left = list(arguments)
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        letter, rest = word[1], word[2:]
        if letter == "I" and not rest:
            mode = "i"
        elif letter == "b":
            mode = rest[:1] or "m"
        elif letter in _VALUED or letter == "B":
            if not rest and not left:
                _fail(USAGE, f"option -{letter} needs a value", f"la opción -{letter} necesita un valor")
            values["f" if letter == "r" else letter] = rest or left.pop(0)
        elif letter in _ATTACHED:
            values[letter] = rest
            flags.update({"i"} if letter == "o" and rest[:1] == "i" else ())
        elif word == "--config" and left:
            values["C"] = left.pop(0)
        elif word.startswith("--config="):
            values["C"] = word.partition("=")[2]
        else:
            flags.update(word[1:])
    if "q" in values and mode == "m":
        mode = "q"
    recipients = [one.strip() for word in left for one in word.split(",") if one.strip()]
    return Call(mode, recipients, values, frozenset(flags))


def sendmail(arguments: list[str]) -> None:
    """Do what the arguments ask; ends with an exit status of its own."""
    call = parse(arguments)
    modes: dict[str, Callable[[Call], None]] = {
        "m": _hand_in, "a": _hand_in, "s": _smtp, "i": _newaliases, "p": _mailq, "q": _flush, "v": _verify,
        "d": _daemon, "D": _daemon, "h": _nothing, "H": _nothing,
    }  # fmt: skip
    if call.mode not in modes:
        _fail(USAGE, f"-b{call.mode} is not known here", f"-b{call.mode} no se conoce aquí")
    try:
        modes[call.mode](call)
    except ValueError as error:
        _fail(CONFIG, str(error), str(error))
    raise SystemExit(OK)


def _fail(status: int, en: str, es: str) -> NoReturn:
    print(f"sendmail: {tr(en, es)}", file=sys.stderr)
    raise SystemExit(status)


# --- a message


def _hand_in(call: Call) -> None:
    """Read a message and leave it in the drop folder."""
    extract = "t" in call.flags
    if not call.recipients and not extract:
        _fail(
            USAGE,
            "no recipients: name them, or use -t to take them from the header",
            "sin destinatarios: indíquelos o use -t para tomarlos de la cabecera",
        )
    record = record_of(call, extract)
    message: Iterator[bytes] = _chunks(sys.stdin.buffer) if "i" in call.flags else until_dot(sys.stdin.buffer)
    if extract:
        head, message = _header(message)
        if not call.recipients and not _ADDRESSED.search(head):
            _fail(
                USAGE,
                "no recipients in To, Cc or Bcc of the header",
                "la cabecera no tiene destinatarios en To, Cc ni Bcc",
            )
    name = leave(places.find(call.values.get("C", "")), record, message)
    if "v" in call.flags:
        print(tr(f"handed in as {name}", f"entregado como {name}"))


def record_of(call: Call, extract: bool = False) -> dict[str, object]:
    """What the drop folder is told. Addresses are looked at closely by who takes it."""
    values = call.values
    for text in (*call.recipients, values.get("f", ""), values.get("F", "")):
        if _CONTROL.search(text):
            _fail(DATAERR, f"a control character in {text!r}", f"un carácter de control en {text!r}")
    record: dict[str, object] = {"version": 1, "recipients": call.recipients, "extract": extract}
    names = (("F", "name"), ("N", "notify"), ("R", "ret"), ("V", "envid"), ("B", "body"))
    record |= {name: values[letter] for letter, name in names if letter in values}
    if "f" in values:
        sender = values["f"].strip()
        record["sender"] = sender[1:-1] if sender.startswith("<") and sender.endswith(">") else sender
    if "G" in call.flags:
        record["gateway"] = True
    return record


def leave(where: places.Places, record: dict[str, object], message: Iterable[bytes]) -> str:
    """Into the drop folder, or the end with a status that says whether to try again."""
    from bridge.model.errors import DiskFull
    from bridge.store import dropfolder

    try:
        return dropfolder.put(where.drop, record, message)
    except DiskFull:
        _fail(TEMPFAIL, "no room on the disk; nothing was sent", "no hay sitio en el disco; no se ha enviado nada")
    except FileNotFoundError:
        _fail(
            TEMPFAIL,
            f"{where.drop} does not exist: was Estafeta ever started?",
            f"{where.drop} no existe: ¿se ha arrancado Estafeta alguna vez?",
        )
    except OSError as error:
        _fail(CANTCREAT if error.errno in (1, 13) else TEMPFAIL, f"{where.drop}: {error.strerror}; nothing was sent",
              f"{where.drop}: {error.strerror}; no se ha enviado nada")


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while data := stream.read(_CHUNK):
        yield data


def until_dot(stream: BinaryIO) -> Iterator[bytes]:
    """Up to a line with only a dot, which people type (without -i)."""
    held: list[bytes] = []
    size, fresh = 0, True
    while line := stream.readline(_CHUNK):
        if fresh and line in (b".\n", b".\r\n", b"."):
            break
        fresh = line.endswith(b"\n")
        held.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _header(message: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The header as far as it is looked at, and the whole message again."""
    data = b""
    for chunk in message:
        data += chunk
        if b"\n\n" in data or b"\n\r\n" in data or len(data) > _HEADER:
            break
    ends = [end for end in (data.find(b"\n\n"), data.find(b"\n\r\n")) if end >= 0]

    def whole() -> Iterator[bytes]:
        yield data
        yield from message

    return data[: min(ends, default=len(data))], whole()


def _smtp(call: Call) -> None:
    """-bs: SMTP on standard input and output."""
    from bridge.cli.smtpstdio import converse

    where = places.find(call.values.get("C", ""))
    converse(sys.stdin.buffer, sys.stdout.buffer, lambda record, message: leave(where, record, message))


# --- the other programs that sendmail is


def _config(call: Call) -> list[str]:
    return ["--config", call.values["C"]] if "C" in call.values else []


def _newaliases(call: Call) -> None:
    from bridge.cli.aliases import newaliases

    newaliases(_config(call))


def _mailq(call: Call) -> None:
    from bridge.cli.queue import mailq

    mailq(_config(call))


def _flush(call: Call) -> None:
    """-q: everything now; -qI, -qR, -qS: what has that in id, recipient or sender; -q15m: the server does it anyway."""
    wanted = call.values["q"]
    if re.fullmatch(r"(?:\d+[smhdw]?)+", wanted):
        return
    if wanted and (wanted[0] not in "IRSGQ!" or not wanted[1:]):
        _fail(USAGE, f"-q{wanted} is not known here", f"-q{wanted} no se conoce aquí")
    from bridge.cli.queue import flush_some

    flush_some(places.find(call.values.get("C", "")), wanted[:1], wanted[1:])


def _verify(call: Call) -> None:
    """-bv: where mail for these addresses would go."""
    from bridge.cli.trace import verify

    if not call.recipients:
        _fail(USAGE, "name the addresses to verify", "indique las direcciones a comprobar")
    raise SystemExit(OK if verify(_config(call), call.recipients) else NOUSER)


def _daemon(call: Call) -> None:
    """-bd: start the server in the background; -bD: here."""
    from bridge.cli import service

    if call.mode == "D":
        service.run(_config(call))
    _start_behind(_config(call))


def _start_behind(config: list[str]) -> None:
    """Start and wait until it runs, or has ended with a reason."""
    import subprocess
    import time

    words = [sys.executable, "-m", "bridge", "run", *config]
    started = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/" if config else None)
    control = places.find(config[1] if config else "").control
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if started.poll() is not None:
            raise SystemExit(started.returncode and UNAVAILABLE)
        if os.path.exists(control):
            return
        time.sleep(0.1)
    _fail(TEMPFAIL, "it has not started within 30 seconds", "no ha arrancado en 30 segundos")


def _nothing(call: Call) -> None:
    """-bh, -bH: host status, which is kept with the queue here."""
