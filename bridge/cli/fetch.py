"""`estafeta fetch [ACCOUNT ...]`: collect now, and say how it went."""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, say, tr

if TYPE_CHECKING:
    from sqlalchemy import Row

    from bridge.intake.fetch.poller import Progress, Result

# exit statuses of fetchmail (F51)
OK, NO_MAIL, LOGIN, TROUBLE = 0, 1, 3, 2


def fetch(arguments: list[str]) -> None:
    """Poll accounts once. Exit status as fetchmail's: 0 mail came, 1 none, 2 connection, 3 login."""
    arg = parser("estafeta fetch", "Collect external accounts now.", "Recoge ahora las cuentas externas.")
    arg.add_argument("account", nargs="*", help=tr("names; all if none", "nombres; todas si no se dice"))
    arg.add_argument("--list", action="store_true", help=tr("how each account stands", "cómo está cada cuenta"))
    arg.add_argument("--json", action="store_true", help=tr("one object per line", "un objeto por línea"))
    given = arg.parse_args(arguments)
    from bridge import app

    with app.opened(settings_of(given.config).settings) as house:
        accounts, problems = house.fetch_accounts()
        for problem in problems:
            print(problem, file=sys.stderr)
        names = {one.name for one in accounts}
        for name in given.account:
            if name not in names:
                known = ", ".join(sorted(names)) or "-"
                fail(f"no fetched account {name!r}; known: {known}", f"no hay cuenta {name!r}; conocidas: {known}", 5)
        if given.list:
            _list(house.ledger.accounts(), given.json)
            return
        chosen = [one for one in accounts if not given.account or one.name in given.account]
        if not chosen:
            say("No external accounts in the settings.", "No hay cuentas externas en los ajustes.")
            raise SystemExit(TROUBLE if problems else NO_MAIL)
        with ThreadPoolExecutor(house.settings.fetch.threads) as pool, _progress(not given.json) as progress:
            results = list(pool.map(lambda one: house.poller.poll(one, progress), chosen))
    for result in results:
        _tell(result, given.json)
    raise SystemExit(_status(results, problems))


def _status(results: "list[Result]", problems: list[str]) -> int:
    if any(one.login for one in results):
        return LOGIN
    if problems or any(one.error for one in results):
        return TROUBLE
    return OK if any(one.new for one in results) else NO_MAIL


def _tell(result: "Result", as_json: bool) -> None:
    if as_json:
        print(json.dumps(vars(result)))
        return
    line = tr(
        f"{result.account}: {result.new} collected ({result.size} bytes), {result.known} known",
        f"{result.account}: {result.new} recogidos ({result.size} bytes), {result.known} ya conocidos",
    )
    if result.removed:
        line += tr(f", {result.removed} deleted there", f", {result.removed} borrados allí")
    if result.skipped:
        line += tr(f", {result.skipped} too large", f", {result.skipped} demasiado grandes")
    print(line)
    if result.error:
        print(f"{result.account}: {result.error}", file=sys.stderr)


def _list(rows: "Sequence[Row[Any]]", as_json: bool) -> None:
    import time

    for row in rows:
        fields = dict(row._mapping)
        if as_json:
            print(json.dumps(fields))
            continue
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(fields["last_poll"]))
        state = fields["error"] or tr("fine", "bien")
        print(f"{fields['account']:30} {when}  {fields['messages']:7}  {state}")


class _progress:
    """A bar for each account on a terminal, nothing elsewhere."""

    def __init__(self, wanted: bool) -> None:
        self._bar: object | None = None
        self._wanted = wanted and sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        if not self._wanted:
            return lambda account, done, of: None
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = Progress(*columns, console=Console(stderr=True))
        bar.start()
        self._bar = bar
        tasks: dict[str, object] = {}

        def show(account: str, done: int, of: int) -> None:
            if account not in tasks:
                tasks[account] = bar.add_task(account, total=of)
            bar.update(tasks[account], completed=done, total=of)  # type: ignore[arg-type]

        return show

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
