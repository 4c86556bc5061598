"""run, stop, reload, status, check, config: the service as a whole."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge.cli.settings import parser, path_of, settings_of
from bridge.cli.words import fail, say, tr
from bridge.config.schema import Settings
from bridge.model.errors import ConfigError, StoreError


def run(arguments: list[str]) -> None:
    """Start everything and stay until told to stop."""
    arg = parser("estafeta run", "Start the appliance.", "Arranca el servidor.")
    arg.add_argument("--single", action="store_true", help=tr("all roles in one process", "todo en un proceso"))
    arg.add_argument(
        "--trial",
        action="store_true",
        help=tr("make a first user, say what to try", "crea un primer usuario y dice qué probar"),
    )
    arg.add_argument(
        "--allow-root", action="store_true", help=tr("keep root's rights", "conservar los permisos de root")
    )
    given = arg.parse_args(arguments)
    path = path_of(given.config)
    loaded = settings_of(path)
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    from bridge import start

    try:
        status = start.run(path, loaded.settings, single=given.single, trial=given.trial, allow_root=given.allow_root)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(status)


def helper(arguments: list[str]) -> None:
    """The one process that stays root, for the users of the operating system."""
    arg = parser(
        "estafeta helper",
        "As root: deliver to users of the operating system and let them log in.",
        "Como root: entrega a los usuarios del sistema operativo y los deja entrar.",
    )
    arg.add_argument("--beside", action="store_true", help=tr("end with its input", "terminar con su entrada"))
    given = arg.parse_args(arguments)
    from bridge.helper import beside

    try:
        beside.serve(path_of(given.config).resolve(), with_input=given.beside)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


def _supervisor(settings: Settings) -> int:
    """The pid of the running supervisor, or the end of the command."""
    pid = _running(settings)
    if not pid:
        fail("Estafeta is not running on this data folder.", "Estafeta no está en marcha con esta carpeta de datos.", 3)
    return pid


def _running(settings: Settings) -> int:
    from bridge.store.instance import holder

    return holder(Path(settings.paths.data))


def stop(arguments: list[str]) -> None:
    """Ask the supervisor to stop and wait for it."""
    arg = parser("estafeta stop", "Stop; open sessions may finish.", "Para; las sesiones abiertas pueden terminar.")
    settings = settings_of(arg.parse_args(arguments).config).settings
    pid = _supervisor(settings)
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + settings.server.stop_seconds + 10
    while _running(settings) and time.monotonic() < end:
        time.sleep(0.1)
    if _running(settings):
        fail(f"Process {pid} has not ended yet.", f"El proceso {pid} aún no ha terminado.")
    say("Stopped.", "Parado.")


def reload(arguments: list[str]) -> None:
    """Check the settings, then ask the supervisor to read them."""
    arg = parser("estafeta reload", "Read the settings again.", "Vuelve a leer los ajustes.")
    settings = settings_of(arg.parse_args(arguments).config).settings
    pid = _supervisor(settings)
    if _processes(settings, pid) is None:
        fail(
            f"Process {pid} has only begun to start, or runs all in one process (--single): nothing was reloaded.",
            f"El proceso {pid} acaba de arrancar o lleva todo en un proceso (--single): no se ha recargado nada.",
        )
    os.kill(pid, signal.SIGHUP)
    say("Reloaded; open sessions go on.", "Recargado; las sesiones abiertas siguen.")


def status(arguments: list[str]) -> None:
    """What runs. Exit status 3 if nothing does, as for init scripts."""
    arg = parser("estafeta status", "What runs, and how the queue stands.", "Qué está en marcha y cómo va la cola.")
    arg.add_argument("--json", action="store_true", help=tr("for programs", "para programas"))
    given = arg.parse_args(arguments)
    settings = settings_of(given.config).settings
    pid = _supervisor(settings)
    told = _processes(settings, pid) or {"supervisor": pid, "processes": []}
    queue = _queue(settings)
    if given.json:
        print(json.dumps({**told, "queue": queue}))
        return
    say(f"Estafeta runs as process {pid}.", f"Estafeta está en marcha como proceso {pid}.")
    for one in told["processes"]:
        draining = tr(" (finishing)", " (terminando)") if one["draining"] else ""
        print(f"  {one['role']:10} {one['number']}  pid {one['pid']}{draining}")
    _tell_queue(queue)


def _processes(settings: Settings, pid: int) -> dict[str, Any] | None:
    """What the supervisor `pid` tells of its processes; None while it has only begun to start."""
    try:
        told: dict[str, Any] = json.loads((Path(settings.paths.run) / "processes.json").read_text())
    except (OSError, ValueError):
        return None
    return told if told.get("supervisor") == pid else None


def _queue(settings: Settings) -> dict[str, Any] | None:
    """The queue's numbers, asked of the mover; None while it doesn't answer."""
    from bridge.queue.ask import ask

    try:
        found = ask(f"{settings.paths.run}/control.sock", {"do": "counters"})[-1]
    except (OSError, IndexError):
        return None
    return found if found.pop("ok") else None


def _tell_queue(queue: dict[str, Any] | None) -> None:
    if queue is None:
        say("The queue doesn't answer just now.", "La cola no responde en este momento.")
        return
    say(
        f"queue: {queue['messages']} messages ({queue['bytes']} bytes); recipients: {queue['waiting']} waiting, "
        f"{queue['active']} active, {queue['held']} held",
        f"cola: {queue['messages']} mensajes ({queue['bytes']} bytes); destinatarios: {queue['waiting']} en espera, "
        f"{queue['active']} en curso, {queue['held']} retenidos",
    )
    if queue["oldest"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(queue["oldest"]))
        say(f"  the oldest came at {when}", f"  el más antiguo llegó el {when}")
    if queue["quarantined"]:
        number = queue["quarantined"]
        say(f"  {number} set aside: see spool/quarantine", f"  {number} apartados: vea spool/quarantine")
    if queue.get("halted"):
        names = ", ".join(queue["halted"])
        say(f"  stopped by `estafeta queue pause`: {names}", f"  parado con `estafeta queue pause`: {names}")


def check(arguments: list[str]) -> None:
    """Every mistake in the settings and the files that they name; exit status 1 if there is one."""
    arg = parser("estafeta check", "Look for mistakes in the settings.", "Busca errores en los ajustes.")
    path = path_of(arg.parse_args(arguments).config)
    loaded = settings_of(path)
    from bridge import app
    from bridge.helper.check import missing

    problems = app.check(loaded.settings)
    for warning in (*loaded.warnings, *(tr(*one) for one in missing(loaded.settings)), *_readable(loaded.settings)):
        print(tr("warning: ", "aviso: ") + warning)
    for problem in problems:
        print(problem)
    if problems:
        raise SystemExit(1)
    names = ", ".join(str(one) for one in loaded.files)
    say(f"{names}: no mistakes found.", f"{names}: no se han encontrado errores.")


def _readable(settings: Settings) -> Iterator[str]:
    """Secrets that are kept as they are (I50)."""
    if not settings.database.core and not (Path(settings.paths.databases) / "core.db").exists():
        return
    from bridge.app import House
    from bridge.rights import acting_as, rights_of

    house = House(settings, "check")
    try:
        with acting_as(rights_of(settings).user):
            count = house.apop_secrets.count()
            house.close()
    except (StoreError, OSError):
        return
    if count:
        yield tr(
            f"{count} accounts may log in with APOP: their secrets are kept readable, and APOP rests on MD5, which is "
            "broken; TLS with a password is safer (estafeta user apop --remove)",
            f"{count} cuentas pueden entrar con APOP: sus secretos se guardan legibles, y APOP usa MD5, ya roto; "
            "es más seguro TLS con contraseña (estafeta user apop --remove)",
        )


def config(arguments: list[str]) -> None:
    """Print the example file or the reference page."""
    arg = parser("estafeta config", "Print settings.", "Muestra los ajustes.")
    arg.add_argument("what", choices=("example", "reference"))
    arg.add_argument("--language", choices=("en", "es"), default=tr("en", "es"))
    given = arg.parse_args(arguments)
    from bridge.config import render

    print(render.example() if given.what == "example" else render.reference(given.language), end="")
