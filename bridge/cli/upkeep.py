"""backup, restore, verify: what an administrator does so that nothing is ever lost, and to know that nothing is."""

import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, say, tr
from bridge.model.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.app import House
    from bridge.config.schema import Settings
    from bridge.store.backup import Progress


def backup(arguments: list[str]) -> None:
    """Copy everything to a new folder, beside a running server or without one."""
    arg = parser("estafeta backup", "A consistent copy while running.", "Una copia coherente en marcha.")
    arg.add_argument("folder", type=Path, help=tr("a folder that doesn't exist yet", "una carpeta que aún no existe"))
    arg.add_argument(
        "--check", action="store_true", help=tr("look at a backup instead of making one", "comprueba una copia hecha")
    )
    given = arg.parse_args(arguments)
    settings = settings_of(given.config).settings
    from bridge.store import backup as copies

    if given.check:
        _told(copies.verify(given.folder), f"{given.folder}")
        return
    _need(settings)
    places = _places(settings)
    parts = copies.sources(Path(settings.paths.data), **places)
    _warn_of_others(settings, places["mail"])
    try:
        if given.folder.resolve().is_relative_to(Path(settings.paths.data).resolve()):
            raise copies.BackupError(f"{given.folder} lies inside {settings.paths.data}; choose a place outside")
        report = copies.backup(parts, given.folder, version("estafeta"), progress=_progress())
    except (copies.BackupError, StoreError, OSError) as error:
        fail(f"no backup was made: {error}", f"no se ha hecho la copia: {error}")
    seconds = report.ended_at - report.began_at
    say(
        f"{given.folder}: {report.files} files, {report.bytes} bytes, {seconds:.1f} s; `estafeta backup --check` or "
        f"`sha256sum -c SHA256SUMS` looks at it again.",
        f"{given.folder}: {report.files} ficheros, {report.bytes} bytes, {seconds:.1f} s; `estafeta backup --check` o "
        f"`sha256sum -c SHA256SUMS` lo comprueba de nuevo.",
    )


def restore(arguments: list[str]) -> None:
    """Put a backup where the settings say; nothing may be there yet."""
    arg = parser("estafeta restore", "Put a backup into place.", "Pone una copia en su sitio.")
    arg.add_argument("folder", type=Path, help=tr("a backup", "una copia hecha con backup"))
    given = arg.parse_args(arguments)
    settings = settings_of(given.config).settings
    from bridge.store import backup as copies
    from bridge.store.instance import holder

    data = Path(settings.paths.data)
    if holder(data):
        fail("Estafeta is running: stop it first.", "Estafeta está en marcha: párela antes.")
    try:
        if not (given.folder / copies.MANIFEST).exists():
            raise copies.BackupError(f"{given.folder}: not a whole backup, it has no {copies.MANIFEST}")
        count = copies.restore(given.folder, copies.places(given.folder, data, **_places(settings)))
    except (copies.BackupError, StoreError, OSError) as error:
        fail(f"not restored: {error}", f"no se ha restaurado: {error}")
    _settle(settings)
    say(
        f"{count} files are in place; `estafeta verify` looks at them, `estafeta run` starts with them. Mail that went "
        f"out after the backup may go out again.",
        f"{count} ficheros están en su sitio; `estafeta verify` los comprueba, `estafeta run` arranca con ellos. El "
        f"correo que salió después de la copia puede volver a salir.",
    )


def _settle(settings: "Settings") -> None:
    """Mail and what indexes know of it were copied one after the other: looked at once, they agree."""
    from bridge import app
    from bridge.store.mail import MailError

    with app.opened(settings) as house:
        for account in house.accounts.all():
            try:
                box = house.mailstore.open(account)
                for one in box.folders():
                    if one.selectable:
                        box.select(one.name, read_only=True)
            except (StoreError, MailError, OSError) as error:
                print(tr(f"warning: {account.address}: {error}", f"aviso: {account.address}: {error}"), file=sys.stderr)


def verify(arguments: list[str]) -> None:
    """Compare spool, queue, mailboxes and indexes; exit status 1 if something doesn't fit."""
    arg = parser("estafeta verify", "Look for what doesn't fit.", "Busca lo que no encaja.")
    settings = settings_of(arg.parse_args(arguments).config).settings
    _need(settings)
    from bridge import app

    with app.opened(settings) as house:
        _told(_problems(house), settings.paths.data)


def _problems(house: "House") -> "Iterator[str]":
    from bridge.store import verify as look
    from bridge.store.engine import Database
    from bridge.store.failpoints import Failpoint

    databases = Path(house.settings.paths.databases)
    url = house.settings.database.queue or f"sqlite:///{databases}/queue.db"
    queue = Database(url, point=Failpoint("verify.queue", "the queue is only read here"))
    there = bool(house.settings.database.queue) or (databases / "queue.db").exists()
    try:
        for name, one in (("core", house.core), ("archive", house.archive_rows), ("queue", queue)):
            if one is not queue or there:
                yield from look.database(name, one)
        rows = house.mail_rows if house.settings.accounts.in_database else None
        if rows is not None:
            yield from look.database("mail", rows)
            yield from look.rows(rows)
        yield from look.spool(house.spool)
        if there:
            yield from look.queue(house.spool, queue)
        for account in house.accounts.all():
            stored = partial(look.stored, rows, account.address) if rows and account.store == "database" else None
            yield from look.mailbox(account.maildir, stored, mbox=account.mbox if account.store == "mbox" else None)
    finally:
        queue.close()


def _told(problems: "Iterable[str]", where: str) -> None:
    count = 0
    for problem in problems:
        count += 1
        print(problem)
    if count:
        fail(f"{count} problems found.", f"{count} problemas encontrados.")
    say(f"{where}: no problems found.", f"{where}: no se han encontrado problemas.")


def _places(settings: "Settings") -> dict[str, Path]:
    """Where what is copied lies. Mailboxes in everybody's homes are the affair of whoever copies those."""
    from bridge import app

    paths, data = settings.paths, Path(settings.paths.data)
    root = app.House(settings).accounts.root
    mail = root if root.is_relative_to(data) or len(root.parts) > 2 else data / "mail"
    archives = Path(paths.archives)
    return {"spool": Path(paths.spool), "databases": Path(paths.databases), "mail": mail, "archives": archives}


def _need(settings: "Settings") -> None:
    if not (Path(settings.paths.data) / "instance.json").exists():
        fail(f"{settings.paths.data}: no data folder yet", f"{settings.paths.data}: aún no hay carpeta de datos")


def _warn_of_others(settings: "Settings", mail: Path) -> None:
    """What lies elsewhere belongs to other backups: say so."""
    if settings.database.core or settings.database.queue:
        print(
            tr(
                "warning: PostgreSQL is not copied here; use pg_dump, after this backup",
                "aviso: PostgreSQL no se copia aquí; use pg_dump, después de esta copia",
            ),
            file=sys.stderr,
        )
    from bridge import app

    house = app.House(settings)
    try:
        accounts = house.accounts.all()
        outside = [
            (one.address, path)
            for one in accounts
            for path in (one.maildir, *((one.mbox,) if one.store == "mbox" else ()))
            if not path.is_relative_to(mail)
        ]
    except (StoreError, ConfigError) as error:
        fail(f"the accounts can't be read: {error}", f"no se pueden leer las cuentas: {error}")
    finally:
        house.close()
    for address, path in outside:
        print(
            tr(
                f"warning: the mailbox of {address}, {path}, lies outside {mail} and is not copied",
                f"aviso: el buzón de {address}, {path}, está fuera de {mail} y no se copia",
            ),
            file=sys.stderr,
        )


def _progress() -> "Progress":
    """A line that counts on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda source, count, size: None
    shown = 0.0

    def show(source: str, count: int, size: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 0.2:
            shown = time.monotonic()
            print(f"\r{source}: {count} ({size >> 20} MB)  ", end="", file=sys.stderr, flush=True)

    return show
