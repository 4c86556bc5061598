"""The queue from the command line: `mailq`, `sendmail -q`, `estafeta queue ...` (S75, S76, S84 to S87).

Promises: asks the running mover through its socket; without one, reads and changes the rows itself, so that listing and
holding work while nothing runs. A user who may do neither sees and hurries their own mail while the mover runs. `mailq`
prints what scripts know from Postfix, in English whatever the language; `estafeta queue` speaks the user's.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bridge.cli import places
from bridge.cli.parser import Parser
from bridge.cli.places import Places
from bridge.cli.words import fail, say, tr
from bridge.queue.ask import Answer, ask

UNAVAILABLE, NOPERM = 69, 77
_STARTING = 15.0        # seconds that a mover may take to start
_LOOKS = frozenset({"list", "show", "counters"})



class Down(Exception):
    """No mover runs, and the rows are not for us."""


# --- asking


def told(where: Places, request: Answer) -> tuple[list[Answer], Answer]:
    """The answers and the last one, from whoever can give them. Down; ends the command where the queue says no."""
    found = _asked(where, request)
    *rows, last = found
    if not last["ok"]:
        spanish = f"no hay ningún mensaje {' '.join(request['ids'])}" if request["do"] == "show" else last["error"]
        fail(f"queue: {last['error']}", f"cola: {spanish}")
    return rows, last


def _asked(where: Places, request: Answer) -> list[Answer]:
    end = time.monotonic() + _STARTING
    while True:
        found = _asked_once(where, request)
        if found is not None:
            return found
        if request["do"] in _LOOKS or time.monotonic() > end or not _running(where):
            return _without_mover(where, request)
        time.sleep(0.1)     # a mover that is starting has read the rows and doesn't look at them again


def _running(where: Places) -> bool:
    """Has somebody the data folder?"""
    from bridge.cli.settings import settings_of
    from bridge.store.instance import holder

    return bool(where.config) and holder(Path(settings_of(Path(where.config)).settings.paths.data)) != 0


def _asked_once(where: Places, request: Answer) -> list[Answer] | None:
    """The answer of the mover; None if none listens. Down where it is not for us."""
    forbidden = False
    for path in (where.control, where.own_mail):
        try:
            return ask(path, request)
        except PermissionError:
            forbidden = True
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            continue
    if forbidden:
        raise Down
    return None


def _without_mover(where: Places, request: Answer) -> list[Answer]:
    """The same on the rows themselves."""
    if not where.config:
        raise Down
    if request == {"do": "list"} and not where.queue:
        return _listed(where)
    from bridge.cli.settings import settings_of

    settings = settings_of(Path(where.config)).settings
    from bridge import reach
    from bridge.queue.control import BadRequest, answer
    from bridge.rights import become, rights_of
    from bridge.store.queuedb import QueueDb
    from bridge.store.spool import Spool

    who = rights_of(settings)
    if who.user is not None:
        reach.ensure(who)
        become(who.user, who.umask)     # root would leave files that the server can't write
    spool = Spool(Path(settings.paths.spool))
    file = Path(settings.paths.databases) / "queue.db"
    try:
        if not settings.database.queue and not file.exists():
            found: list[Answer] = [{"ok": True, "count": 0, "ids": [], "halted": []}]
        else:
            queue = QueueDb(settings.database.queue or f"sqlite:///{file}", Path(settings.paths.spool) / "GENERATION")
            try:
                found = list(answer(queue, spool, request, time.time()))
            except BadRequest as error:
                found = [{"ok": False, "error": str(error)}]
            finally:
                queue.close()
        if request["do"] == "list":
            found[-1:-1] = _not_taken_up(spool, {one["id"] for one in found[:-1]}, request)
        return found
    except PermissionError:
        raise Down from None
    finally:
        spool.close()


def _listed(where: Places) -> list[Answer]:
    """What waits, found without what only the other verbs need: cron jobs ask this, too."""
    import sqlite3

    from bridge.store import queuelook
    from bridge.store.spool import Spool

    _be(where)
    spool = Spool(Path(where.spool))
    try:
        rows = queuelook.listing(f"{where.databases}/queue.db") if _there(f"{where.databases}/queue.db") else []
        rows += _not_taken_up(spool, {one["id"] for one in rows}, {})
        return [*rows, {"ok": True, "count": len(rows)}]
    except sqlite3.Error as error:
        fail(f"queue.db: {error}; the spool has all mail, and the server makes the rest again when it starts",
             f"queue.db: {error}; la cola en disco tiene todo el correo, y el servidor rehace lo demás al arrancar",
             UNAVAILABLE)
    except PermissionError:
        raise Down from None
    finally:
        spool.close()


def _be(where: Places) -> None:
    """Root goes on as the server's user, so as not to leave files that the server can't write."""
    if os.getuid() or not where.user:
        return
    from bridge.model.errors import ConfigError
    from bridge.rights import become, user_of

    try:
        become(user_of(where.user))
    except ConfigError as error:
        fail(str(error), str(error))


def _there(path: str) -> bool:
    """Like os.path.exists, which takes what may not be seen for what isn't there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def _not_taken_up(spool: Any, known: set[str], request: Answer) -> Iterator[Answer]:
    """Accepted messages that no mover has seen yet."""
    if any(request.get(name) for name in ("ids", "sender", "recipient", "domain", "before", "held")):
        return
    for queue_id in spool.scan():
        if queue_id in known:
            continue
        try:
            spooled = spool.open(queue_id)
        except Exception as error:
            print(f"{queue_id}: {error}", file=sys.stderr)
            continue
        envelope = spooled.envelope
        yield {
            "id": queue_id, "sender": envelope.sender, "size": spooled.size, "received_at": envelope.received_at,
            "door": envelope.origin.door, "bulk": bool(envelope.priority),
            "recipients": [
                {"address": one.address, "original": one.address, "kind": "unrouted", "nexthop": "", "state": "waiting",
                 "attempts": 0, "next_try": envelope.received_at, "reply": "", "where": ""}
                for one in envelope.recipients
            ],
        }  # fmt: skip


# --- mailq


def mailq(arguments: list[str]) -> None:
    """The queue as every administrator knows it."""
    arg = Parser(prog="mailq", description=tr("What waits in the queue.", "Lo que espera en la cola."))
    arg.add_argument("--config", default="", metavar="FILE", help=tr("settings file", "fichero de ajustes"))
    arg.add_argument("--json", action="store_true", help=tr("one object per line", "un objeto por línea"))
    given, _ = arg.parse_known_args(arguments)
    rows = _told_or_end(_find(given.config), {"do": "list"})[0]
    if given.json:
        for row in rows:
            print(json.dumps(row))
        return
    print("\n".join(classic(rows)))


def classic(rows: Sequence[Answer]) -> Iterator[str]:
    """The lines that `mailq` prints."""
    if not rows:
        yield "Mail queue is empty"
        return
    yield "----Queue ID----- --Size-- ----Arrival Time---- -Sender/Recipient-------"
    for row in rows:
        states = {one["state"] for one in row["recipients"]}
        mark = "*" if "active" in states else "!" if "held" in states else " "
        when = time.strftime("%a %b %e %H:%M:%S", time.localtime(row["received_at"]))
        yield f"{row['id']}{mark} {row['size']:8d} {when:20s} {_shown(row['sender']) or 'MAILER-DAEMON'}"
        reasons: dict[str, list[str]] = {}
        for one in row["recipients"]:
            reasons.setdefault(_shown(_reason(one)), []).append(_shown(one["address"]))
        for reason, addresses in reasons.items():
            if reason:
                yield f"{f'({reason})':>72}"
            yield from (f"{'':48}{address}" for address in addresses)
        yield ""
    size = sum(row["size"] for row in rows)
    yield f"-- {max(1, round(size / 1024))} Kbytes in {len(rows)} Request{'s' * (len(rows) != 1)}."


def _reason(one: Answer) -> str:
    where = one["where"] or one["nexthop"]
    return f"{where}: {one['reply']}" if one["reply"] and where else one["reply"]


def _shown(text: str) -> str:
    """What others chose, harmless on a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _find(given: str) -> Places:
    """The places; unlike for mail, the settings file of this folder counts, too, as for the other commands."""
    try:
        if given:
            return places.find(given)
        found = places.find()
        if found.config:
            return found
        from bridge.cli.settings import path_of

        return places.find(str(path_of(None))) if not Path(places.SYSTEM).exists() else found
    except ValueError as error:
        fail(str(error), str(error), 78)


def _told_or_end(where: Places, request: Answer) -> tuple[list[Answer], Answer]:
    try:
        return told(where, request)
    except Down:
        fail(
            "Queue report unavailable - mail system is down",
            "No se puede consultar la cola: el servidor está parado",
            UNAVAILABLE,
        )


# --- sendmail -q


def flush_some(where: Places, what: str, text: str) -> None:
    """Try now: everything, or what has `text` in its id (I), recipients (R) or sender (S)."""
    request: Answer = {"do": "flush", "all": True}
    if text and what in "IRS":
        rows = _told_or_end(where, {"do": "list"})[0]
        ids = [row["id"] for row in rows if any(text.lower() in one.lower() for one in _looked_at(row, what))]
        if not ids:
            return
        request = {"do": "flush", "ids": ids}
    try:
        answers = _flushed(where, request)
    except OSError as error:
        fail(f"queue: {error}", f"cola: {error}", UNAVAILABLE)
    if not answers[-1]["ok"]:
        fail(f"queue: {answers[-1]['error']}", f"cola: {answers[-1]['error']}")


def _flushed(where: Places, request: Answer) -> list[Answer]:
    """The mover's answer; just after a start or a reload it takes a moment to be there."""
    end = time.monotonic() + _STARTING
    try:
        while (found := _asked_once(where, request)) is None and time.monotonic() < end and _running(where):
            time.sleep(0.1)
    except Down:
        found = None
    if found is None:
        fail(
            "Cannot flush mail queue - mail system is down",
            "No se puede procesar la cola: el servidor está parado",
            UNAVAILABLE,
        )
    return found


def _looked_at(row: Answer, what: str) -> list[str]:
    if what == "I":
        return [row["id"]]
    if what == "S":
        return [row["sender"]]
    return [text for one in row["recipients"] for text in (one["address"], one["original"])]


# --- estafeta queue


_VERBS = {
    "list": ("what waits", "lo que espera"),
    "show": ("one message: recipients, envelope, text", "un mensaje: destinatarios, sobre, texto"),
    "flush": ("try now", "intentar ahora"),
    "hold": ("keep until released", "retener"),
    "release": ("let held mail go on", "soltar lo retenido"),
    "requeue": ("look the addresses up again and try now", "volver a mirar las direcciones e intentar ahora"),
    "return": ("give back to the sender", "devolver al remitente"),
    "delete": ("forget, without telling anybody", "borrar, sin avisar a nadie"),
    "pause": ("stop local, outgoing, lists, all or a destination", "parar local, outgoing, lists, all o un destino"),
    "resume": ("let it go on", "reanudar"),
    "status": ("numbers", "cifras"),
}
_SOCKET_WORDS = {"pause": "halt", "status": "counters"}


def queue(arguments: list[str]) -> None:
    """Run one of the verbs."""
    given = _parser().parse_args(arguments)
    where = _find(given.config)
    verb = _SOCKET_WORDS.get(given.verb, given.verb)
    request: Answer = {"do": verb}
    if verb in ("halt", "resume"):
        if verb == "halt" and not given.what:
            fail("say what: local, outgoing, lists, all or a domain",
                 "diga qué: local, outgoing, lists, all o un dominio", 2)
        request["names"] = given.what
    elif verb != "counters":
        request |= _selected(given)
        if verb not in ("list", "show") and len(request) == 1:
            fail("say which messages: ids, --sender, --recipient, --domain, --older, --held or --all",
                 "diga qué mensajes: identificadores, --sender, --recipient, --domain, --older, --held o --all", 2)
    if verb == "show" and len(given.what) != 1:
        fail("say which one message", "diga qué mensaje", 2)
    rows, last = _told_or_end(where, request)
    if given.json:
        for one in (*rows, *([last] if verb not in ("list", "show") else [])):
            print(json.dumps(one))
        return
    _print(verb, rows, last)


def _parser() -> argparse.ArgumentParser:
    arg = Parser(prog="estafeta queue", description=tr("The queue.", "La cola."))
    sub = arg.add_subparsers(dest="verb", required=True, metavar=" | ".join(_VERBS))
    for verb, (en, es) in _VERBS.items():
        one = sub.add_parser(verb, help=tr(en, es))
        one.add_argument("what", nargs="*", help=tr("queue ids, or what to stop", "identificadores, o qué parar"))
        one.add_argument("--config", default="", metavar="FILE", help=tr("settings file", "fichero de ajustes"))
        one.add_argument("--json", action="store_true", help=tr("one object per line", "un objeto por línea"))
        if verb in ("show", "pause", "resume", "status"):
            continue
        one.add_argument("--sender", help=tr("an address; <> for reports", "una dirección; <> para avisos"))
        one.add_argument("--recipient", help=tr("an address", "una dirección"))
        one.add_argument("--domain", help=tr("of a recipient", "de un destinatario"))
        one.add_argument("--older", type=float, metavar="SECONDS", help=tr("waits longer", "espera desde hace más"))
        one.add_argument("--held", action="store_true", help=tr("what is held", "lo retenido"))
        one.add_argument("--all", action="store_true", help=tr("every message", "todos los mensajes"))
    return arg


def _selected(given: argparse.Namespace) -> Answer:
    chosen = {name: getattr(given, name, None) for name in ("sender", "recipient", "domain", "held", "all")}
    found: Answer = {name: value for name, value in chosen.items() if value}
    if given.what:
        found["ids"] = given.what
    if getattr(given, "older", None):
        found["before"] = time.time() - given.older
    return found


def _print(verb: str, rows: Sequence[Answer], last: Answer) -> None:
    if verb == "list":
        _print_list(rows)
    elif verb == "show":
        _print_message(rows[0])
    elif verb == "counters":
        for name, value in last.items():
            if name != "ok":
                print(f"{name:12} {' '.join(value) if isinstance(value, list) else value}")
    elif verb in ("halt", "resume"):
        names = " ".join(last["halted"])
        say(f"Stopped now: {names or 'nothing'}", f"Parado ahora: {names or 'nada'}")
    else:
        say(f"{last['count']} messages.", f"{last['count']} mensajes.")


def _print_list(rows: Sequence[Answer]) -> None:
    if not rows:
        say("The queue is empty.", "La cola está vacía.")
    words = {"waiting": tr("waiting", "espera"), "active": tr("active", "en curso"), "held": tr("held", "retenido"),
             "failed": tr("failed", "fallido")}
    for row in rows:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["received_at"]))
        print(f"{row['id']}  {when}  {row['size']:9d}  {_shown(row['sender']) or '<>'}")
        for one in row["recipients"]:
            then = time.strftime("%H:%M:%S", time.localtime(one["next_try"] or 0))
            next_try = tr(f", next try {then}", f", próximo intento {then}") if one["state"] == "waiting" else ""
            print(f"    {_shown(one['address'])}: {words.get(one['state'], one['state'])}{next_try}")
            if one["reply"]:
                print(f"        {_shown(_reason(one))}")


def _print_message(found: Answer) -> None:
    if found["message"]:
        _print_list([found["message"]])
    print()
    for line in found["text"].splitlines():
        print(_shown(line.replace("\t", "    ")))
    if not found["whole"]:
        say("... (only the beginning is shown)", "... (sólo se muestra el principio)")
