"""`estafeta fetch [ACCOUNT ...]`: collect now, and say how it went."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, say, tr

if TYPE_CHECKING:
    from bridge.app import House
    from bridge.config.fetch import FetchAccount
    from bridge.intake.fetch.poller import Progress, Result

# exit statuses of fetchmail that come from here; those of a poll are in bridge.intake.fetch.source (F51)
MAIL, NO_MAIL, SETTINGS = 0, 1, 5


def fetch(arguments: list[str]) -> None:
    """Poll accounts once. Exit status as fetchmail's: 0 mail came, 1 none, 2 no connection, 3 login refused ..."""
    arg = parser("estafeta fetch", "Collect external accounts now.", "Recoge ahora las cuentas externas.")
    arg.add_argument("account", nargs="*", help=tr("names; all if none", "nombres; todas si no se dice"))
    arg.add_argument("--list", action="store_true", help=tr("how each account stands", "cómo está cada cuenta"))
    arg.add_argument("--json", action="store_true", help=tr("one object per line", "un objeto por línea"))
    arg.add_argument(
        "--retry",
        action="store_true",
        help=tr("also what was given up", "también lo que se dio por perdido"),
    )
    given = arg.parse_args(arguments)
    from bridge import app

    with app.opened(settings_of(given.config).settings) as house:
        accounts, problems = house.fetch_accounts()
        for problem in problems:
            print(problem, file=sys.stderr)
        chosen = _chosen(accounts, given.account)
        if given.list:
            _list(house, chosen, given.json)
            return
        if not chosen:
            say("No external accounts in the settings.", "No hay cuentas externas en los ajustes.")
            raise SystemExit(SETTINGS if problems else NO_MAIL)
        if given.retry:
            for one in chosen:
                house.ledger.retry(one.name)
        results = _poll(house, chosen, show=not given.json)
    for result in results:
        _tell(result, given.json)
    raise SystemExit(status_of(results, problems if not given.account else []))


def status_of(results: "Sequence[Result]", problems: Sequence[str]) -> int:
    """fetchmail's rule: 0 if any account gave mail, else the status of the last that failed, else 1."""
    if any(one.new for one in results):
        return MAIL
    failed = [one.status for one in results if one.error]
    return int(failed[-1]) if failed else SETTINGS if problems else NO_MAIL


def _chosen(accounts: "Sequence[FetchAccount]", names: Sequence[str]) -> "list[FetchAccount]":
    known = {one.name: one for one in accounts}
    for name in names:
        if name not in known:
            all_names = ", ".join(sorted(known)) or "-"
            fail(
                f"no fetched account {name!r}; known: {all_names}",
                f"no hay cuenta {name!r}; conocidas: {all_names}",
                SETTINGS,
            )
    return [known[name] for name in dict.fromkeys(names)] if names else list(accounts)


def _poll(house: "House", accounts: "Sequence[FetchAccount]", *, show: bool) -> "list[Result]":
    with ThreadPoolExecutor(house.settings.fetch.threads) as pool, _progress(show) as progress:
        waiting = [pool.submit(house.poller.poll, one, progress) for one in accounts]
        try:
            return [one.result() for one in waiting]
        except KeyboardInterrupt:
            house.poller.stop()
            fail("stopped; the next poll goes on", "interrumpido; la próxima consulta continúa", 130)


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
    if result.poisoned:
        line += tr(f", {len(result.poisoned)} given up", f", {len(result.poisoned)} por imposibles")
    print(line)
    if result.error:
        print(f"{result.account}: {result.error}", file=sys.stderr)


def _list(house: "House", accounts: "Sequence[FetchAccount]", as_json: bool) -> None:
    """Every account of the settings, whether it was ever polled or not; without passwords."""
    rows = {row.account: row for row in house.ledger.accounts()}
    for one in accounts:
        row = rows.get(one.name)
        state: dict[str, Any] = {
            "account": one.name, "host": one.host, "to": one.to, "keep": one.keep,
            "last_poll": row.last_poll if row else 0.0, "last_good": row.last_good if row else 0.0,
            "messages": row.messages if row else 0, "failures": row.failures if row else 0,
            "error": row.error if row else "",
        }  # fmt: skip
        if as_json:
            print(json.dumps(state))
            continue
        never = tr("never polled", "nunca consultada")
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.last_poll)) if row else f"{never:19}"
        words = state["error"] or tr("fine", "bien") if row else ""
        print(f"{one.name:30} {when}  {state['messages']:7}  -> {one.to}  {words}")


@contextmanager
def _progress(wanted: bool) -> "Iterator[Progress]":
    """A bar for each account on a terminal, nothing elsewhere."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda account, done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def show(account: str, done: int, of: int) -> None:
            if account not in tasks:
                tasks[account] = bar.add_task(account, total=of)
            bar.update(tasks[account], completed=done, total=of)

        yield show
