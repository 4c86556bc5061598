"""`newaliases`: reads the alias files as the server does and says what it finds (S58).

The server notices changed files by itself within a second; this command is for people and scripts that want to hear
how many entries there are, or on which line a mistake is. Exit status 65 where a file can't be taken as it is.
"""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import language, say, tr

if TYPE_CHECKING:
    from bridge.config.mail import Mail
    from bridge.route.aliases import Alias, Complaint

DATAERR = 65


def newaliases(arguments: list[str]) -> None:
    """One line per file with the number of entries; mistakes with file and line on standard error."""
    arg = parser("newaliases", "Check the alias files.", "Comprueba los ficheros de alias.")
    given, _ = arg.parse_known_args(arguments)
    mail = settings_of(given.config).settings.mail
    from bridge.route.tables import load_files

    good: dict[Path, dict[str, Alias]] = {}
    loaded = load_files(mail, good)
    for complaint in loaded.complaints:
        print(_line(complaint), file=sys.stderr)
    for alias in loaded.aliases.values():
        for problem in _unusable(alias, mail):
            print(problem, file=sys.stderr)
    bad = {complaint.file for complaint in loaded.complaints if complaint.fatal}
    for name in mail.aliases:
        if Path(name) in good and name not in bad:
            _count(name, list(good[Path(name)].values()))
        elif not Path(name).exists():
            say(f"{name}: no such file", f"{name}: no existe")
    if bad:
        say("The last good version stays in force.", "Sigue en vigor la última versión correcta.")
        raise SystemExit(DATAERR)


def _count(name: str, aliases: "list[Alias]") -> None:
    """In the words of sendmail."""
    sizes = [sum(len(target.value) for target in alias.targets) for alias in aliases]
    total = sum(sizes) + sum(len(alias.name) for alias in aliases)
    longest = max(sizes, default=0)
    say(
        f"{name}: {len(aliases)} aliases, longest {longest} bytes, {total} bytes total",
        f"{name}: {len(aliases)} alias, el más largo de {longest} bytes, {total} bytes en total",
    )


def _line(complaint: "Complaint") -> str:
    text = complaint.es if language() == "es" else complaint.text
    place = f"{complaint.file}:{complaint.line}" if complaint.line else complaint.file
    return f"{place}: {text}" if complaint.fatal else f"{place}: {tr('warning', 'aviso')}: {text}"


def _unusable(alias: "Alias", mail: "Mail") -> Iterator[str]:
    """Programs and files that the settings keep the alias from: its mail would wait."""
    from bridge.route.aliases import Form
    from bridge.route.resolver import allowed, is_wrapper

    for target in alias.targets:
        if allowed(target, mail) or is_wrapper(target):
            continue
        name = "programs" if target.form is Form.PROGRAM else "file_folders"
        what = shlex.split(target.value)[0] if target.form is Form.PROGRAM else target.value
        yield f"{alias.file}:{alias.line}: " + tr(
            f"warning: {alias.name}: {what} is not in mail.{name} of the settings; its mail waits",
            f"aviso: {alias.name}: {what} no está en mail.{name} de los ajustes; su correo espera",
        )
