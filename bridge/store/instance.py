"""The data folder belongs to one instance, and one instance runs at a time (P22, O17, sec-Q10).

Promises: `claim` makes a new data folder, takes an old one of the same or an earlier form, and holds a flock until
`release` or the end of the process, however it ends. It refuses, changing nothing, what is locked, what is not ours,
and what a newer version has written.
Fails by: ConfigError with lines for the person at the terminal; OSError where the folder can't be made.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bridge.model.clock import SYSTEM, Clock
from bridge.model.errors import ConfigError
from bridge.model.language import tr
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.store.flock import FileLock

FORM = 1            # of the data folder as a whole; grows when an older version couldn't read it
_WRITE = Failpoint("instance.write", "instance.json of the data folder")
_HARMLESS = {"lock", "lost+found", "instance.json"}


@dataclass(frozen=True, slots=True)
class Identity:
    """What instance.json says: `id` names this installation for ever, `version` the program that wrote last."""

    id: str
    version: str
    form: int
    created_at: float
    product: str = "estafeta"


@dataclass(frozen=True, slots=True)
class Instance:
    """A data folder that is ours until `release`."""

    data: Path
    identity: Identity
    lock: FileLock

    def release(self) -> None:
        self.lock.close()


def make(folder: Path) -> None:
    """A folder for our data, private, its name on the disk at the return."""
    files.make_path(folder, _WRITE, mode=0o700)


def claim(
    data: Path, version: str, *, clock: Clock = SYSTEM, random: Callable[[int], bytes] = os.urandom
) -> Instance:
    """Take the data folder for this process and its children."""
    make(data)
    known = read(data)
    if known is None:
        _refuse_foreign(data)
    lock = FileLock(data / "lock")
    if not lock.try_acquire():
        holder = _holder(lock.path)
        lock.close()
        raise ConfigError([tr(
            f"{data}: another Estafeta is running on this data folder{holder}. Stop it first (estafeta stop), or use a "
            f"data folder of your own.",
            f"{data}: otra Estafeta está en marcha con esta carpeta de datos{holder}. Párela antes (estafeta stop) o "
            f"use otra carpeta de datos.",
        )])
    try:
        _write_holder(lock.path)
        identity = known or Identity(random(16).hex(), version, FORM, clock.now())
        identity = Identity(identity.id, version, FORM, identity.created_at)
        if identity != known:
            files.replace(data / "instance.json", json.dumps(asdict(identity), indent=1).encode() + b"\n", _WRITE)
    except BaseException:
        lock.close()
        raise
    return Instance(data, identity, lock)


def holder(data: Path) -> int:
    """The process that has the data folder; 0 if none does."""
    if not (data / "lock").exists():
        return 0
    lock = FileLock(data / "lock")
    try:
        if lock.try_acquire():
            lock.release()
            return 0
        text = (data / "lock").read_text("ascii", "replace").strip()
        return int(text) if text.isdigit() else -1
    finally:
        lock.close()


def read(data: Path) -> Identity | None:
    """Who a data folder belongs to; None if it has no instance.json. ConfigError for one that isn't ours to touch."""
    path = data / "instance.json"
    try:
        content = json.loads(path.read_bytes())
        identity = Identity(**{name: content[name] for name in Identity.__dataclass_fields__})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        text = tr(
            f"{path}: can't be read as the description of a data folder; restore it from a backup",
            f"{path}: no se entiende como descripción de una carpeta de datos; recupérelo de una copia",
        )
        raise ConfigError([text]) from None
    if identity.product != "estafeta":
        raise ConfigError([tr(
            f"{path}: this data folder belongs to {identity.product!r}, not to Estafeta",
            f"{path}: esta carpeta de datos es de {identity.product!r}, no de Estafeta",
        )])
    if identity.form > FORM:
        raise ConfigError([tr(
            f"{data}: this data folder was last used by Estafeta {identity.version}, which is newer than this one and "
            f"keeps its data in another form. Nothing was changed: start that version again, or restore a backup.",
            f"{data}: la última que usó esta carpeta de datos fue Estafeta {identity.version}, más nueva que esta; "
            f"guarda los datos de otra forma. No se ha cambiado nada: arranque esa versión o recupere una copia.",
        )])
    return identity


def _refuse_foreign(data: Path) -> None:
    found = sorted(name for name in os.listdir(data) if name not in _HARMLESS and not name.startswith("."))
    if found:
        some = ", ".join(found[:3])
        raise ConfigError([tr(
            f"{data}: is not empty and not a data folder of Estafeta (it has {some}). Choose an empty folder as "
            f"paths.data, or, if it is a restored backup, restore instance.json too.",
            f"{data}: no está vacía ni es una carpeta de datos de Estafeta (tiene {some}). Elija una vacía como "
            f"paths.data o, si viene de una copia, recupere también instance.json.",
        )])


def _write_holder(path: Path) -> None:
    """For the error message of the next one only; the lock itself is the flock."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(descriptor, f"{os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        pid = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return f" (process {pid})" if pid.isdigit() else ""
