"""`/fetchmailconf`: whoever has a mailbox here sets up the external accounts whose mail comes to it (F55).

Promises: the questions, their help and the lines are those of the terminal's wizard (`intake.fetch.wizard`); a person
sees and changes only the own file, which is written whole or not at all, never with an account whose login didn't work
unless the person insists; a stored password is never shown again, nor is one that was just typed. Only mail ports of
public servers are asked, and those that `fetch.page_hosts` names (sec-W16), so often an hour as `fetch.page_tries`.
Fails by: StoreError; nothing is written then.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from starlette.responses import Response

from bridge.config.fetch import Fetch, FetchAccount
from bridge.intake.fetch import probe, wizard
from bridge.intake.fetch.accounts import RcFile, of_rc, page_file, page_reach, read_rc
from bridge.intake.fetch.probe import Service
from bridge.intake.fetch.reach import Forbidden
from bridge.intake.fetch.wizard import Answers, Question
from bridge.model.errors import ConfigError
from bridge.model.language import speaking
from bridge.store import files
from bridge.store.failpoints import Failpoint
from bridge.web.fetchwords import CHOICES, WORDS
from bridge.wire.fetchmailrc import Rc, RcError

WRITE = Failpoint("fetchmailconf.page", "a run control file that was made on the page")
MOST = 20  # accounts of one person
PEOPLE = 10_000  # whose tries are remembered
_HOUR = 3600.0


class Visit(Protocol):
    """What the frame of the site gives: who is there, what was sent, and the way to answer."""

    @property
    def owner(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def posted(self) -> bool: ...

    @property
    def form(self) -> Mapping[str, str]: ...

    @property
    def query(self) -> Mapping[str, str]: ...

    def page(self, template: str, status: int = 200, **values: Any) -> Response: ...

    def done(self, what: str, **query: str) -> Response: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page says besides the accounts: the form, and what came of it."""

    answers: Answers
    expert: bool
    found: tuple[Service, ...] | None = None
    problems: tuple[tuple[str, str], ...] = ()  # field, words
    notice: str = ""
    insist: bool = False  # the login failed: the box to save all the same is there
    status: int = 200


@dataclass(slots=True)
class Desk:
    """The page. `folder` keeps the files; `last` tells of an account when it was collected and what went wrong."""

    settings: Fetch
    folder: Path
    last: Callable[[str], tuple[float, str] | None] = lambda name: None
    now: Callable[[], float] = time.monotonic
    _tries: "OrderedDict[str, deque[float]]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, visit: Visit) -> Response:
        """GET shows, POST does."""
        with speaking(visit.language):
            if not visit.posted:
                return self._show(visit, Shown(Answers(), visit.query.get("mode") == "expert"))
            work = {"look": self._look, "save": self._save, "try": self._try, "remove": self._remove}
            do, _, number = visit.form.get("do", "").partition(".")
            return work.get(do, self._look)(visit, int(number) if number.isdecimal() and len(number) < 4 else -1)

    # ---- what the buttons do

    def _look(self, visit: Visit, _: int) -> Response:
        """Which services are there? The best is proposed."""
        answers, expert, words = _answers(visit.form), "expert" in visit.form, WORDS[visit.language]
        if not wizard.HOST.accepts(answers.host):
            return self._show(visit, Shown(answers, expert, problems=_problems(visit, [wizard.HOST]), status=400))
        found, problem = self._probed(visit, answers.host)
        if problem:
            return self._show(visit, Shown(answers, expert, problems=(("host", problem),), status=400))
        if found:
            best = found[0]
            answers = replace(answers, protocol=best.protocol, tls=best.tls, port=str(best.port))
        notice = words.found if found else words.silent
        return self._show(visit, Shown(answers, expert, tuple(found), notice=notice))

    def _save(self, visit: Visit, _: int) -> Response:
        """Try, then write."""
        answers, expert, words = _answers(visit.form), "expert" in visit.form, WORDS[visit.language]
        text, rc, trouble = self._present(visit.owner)
        problems = _problems(visit, wizard.wrong(answers, rc), rc, answers)
        if len(rc.entries) >= MOST:
            problems = (*problems, ("", words.enough))
        if trouble or problems:
            problems = (("", trouble),) if trouble else problems
            return self._show(visit, Shown(answers, expert, problems=problems, status=400))
        try:
            whole, entry = wizard.added(text, rc, wizard.lines(answers))
        except (RcError, wizard.Swallowed) as error:
            problems = (("", str(error) or words.swallowed),)
            return self._show(visit, Shown(answers, expert, problems=problems, status=400))
        if "insist" not in visit.form:
            problem = self._tried(visit, lambda: wizard.tried(Rc((entry,)), visit.owner, page_reach(self.settings)))
            if problem:
                problems = (("", f"{words.failed} {problem}"),)
                return self._show(visit, Shown(answers, expert, problems=problems, insist=True, status=400))
        if not self._write(visit.owner, text, whole):
            return self._show(visit, Shown(answers, expert, problems=(("", words.meanwhile),), status=409))
        return visit.done("saved")

    def _try(self, visit: Visit, number: int) -> Response:
        """Log in to a stored account."""
        words, accounts = WORDS[visit.language], self._accounts(visit.owner)
        account = accounts[number] if 0 <= number < len(accounts) else None
        if account is None:
            return self._show(visit, Shown(Answers(), False, problems=(("", words.gone),), status=404))
        tryable = replace(account, timeout=wizard.TRY_SECONDS)
        problem = self._tried(visit, lambda: wizard.tried_account(tryable))
        where = f"{account.user}@{account.host}"
        if problem:
            shown = Shown(Answers(), False, problems=(("", f"{where}: {problem}"),), status=400)
        else:
            shown = Shown(Answers(), False, notice=f"{where}: {words.works}")
        return self._show(visit, shown)

    def _remove(self, visit: Visit, number: int) -> Response:
        """Forget an account; its mail stays where it is."""
        words = WORDS[visit.language]
        text, rc, trouble = self._present(visit.owner)
        named = visit.form.get(f"name.{number}", "")
        if trouble or not 0 <= number < len(rc.entries) or _name(rc, number) != named:
            return self._show(visit, Shown(Answers(), False, problems=(("", trouble or words.gone),), status=404))
        try:
            whole = wizard.without(text, rc, number)
        except (RcError, wizard.Swallowed):
            return self._show(visit, Shown(Answers(), False, problems=(("", words.swallowed),), status=409))
        if not self._write(visit.owner, text, whole):
            return self._show(visit, Shown(Answers(), False, problems=(("", words.meanwhile),), status=409))
        return visit.done("removed")

    # ---- servers

    def _allowed(self, owner: str) -> bool:
        """Count a try; False if it is one too many this hour."""
        with self._lock:
            now, mine = self.now(), self._tries.pop(owner, deque())
            self._tries[owner] = mine
            while len(self._tries) > PEOPLE:
                self._tries.popitem(last=False)
            while mine and now - mine[0] >= _HOUR:
                mine.popleft()
            if len(mine) >= self.settings.page_tries:
                return False
            mine.append(now)
            return True

    def _probed(self, visit: Visit, host: str) -> tuple[list[Service], str]:
        """(what is there, what went wrong)"""
        words = WORDS[visit.language]
        if not self._allowed(visit.owner):
            return [], words.toomany
        try:
            return probe.probe(host, page_reach(self.settings)), ""
        except Forbidden:
            return [], words.forbidden
        except (OSError, UnicodeError):
            return [], words.unknown_host

    def _tried(self, visit: Visit, work: Callable[[], str]) -> str:
        return work() if self._allowed(visit.owner) else WORDS[visit.language].toomany

    # ---- the file

    def _present(self, owner: str) -> tuple[str, Rc, str]:
        """(text, what it says, what is wrong with it)"""
        path = page_file(self.folder, owner)
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            return text, read_rc(path, owner), ""
        except FileNotFoundError:
            return "", Rc(), ""
        except OSError as error:
            return "", Rc(), str(error.strerror)
        except ConfigError as error:
            return "", Rc(), " ".join(error.problems)

    def _write(self, owner: str, before: str, whole: str) -> bool:
        """False if somebody else wrote meanwhile. StoreError."""
        path = page_file(self.folder, owner)
        with self._lock:
            if self._present(owner)[0] != before:
                return False
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(path, whole.encode("utf-8", "surrogateescape"), WRITE)
        return True

    def _accounts(self, owner: str) -> list[FetchAccount | None]:
        """One for each entry of the file, None where it can't be used."""
        file = RcFile(
            page_file(self.folder, owner), owner, lambda name: name, self.settings.interval, page_reach(self.settings)
        )
        return [next(iter(of_rc(file, Rc((one,)))[0]), None) for one in self._present(owner)[1].entries]

    # ---- the page

    def _show(self, visit: Visit, shown: Shown) -> Response:
        text, rc, trouble = self._present(visit.owner)
        problems = (*shown.problems, ("", trouble)) if trouble and not visit.posted else shown.problems
        return visit.page(
            "fetchmailconf", shown.status, title=WORDS[visit.language].title, t=WORDS[visit.language], a=shown.answers,
            expert=shown.expert, found=shown.found, problems=problems, notice=shown.notice, insist=shown.insist,
            fields=_fields(visit.language), choices=CHOICES[visit.language], owner=visit.owner,
            accounts=self._listed(visit, rc), file=wizard.hidden(text), minutes=max(1, self.settings.interval // 60),
            marked=[name for name, _ in problems if name],
        )  # fmt: skip

    def _listed(self, visit: Visit, rc: Rc) -> list[dict[str, Any]]:
        words = WORDS[visit.language]
        rows = []
        for number, one in enumerate(self._accounts(visit.owner)):
            if one is None:
                rows.append({"number": number, "name": _name(rc, number), "how": "", "state": words.odd, "bad": True,
                             "when": ""})  # fmt: skip
                continue
            last = self.last(one.name)
            choices, kept = CHOICES[visit.language], words.stays if one.keep else words.goes
            state = words.never if last is None else last[1] or words.good
            rows.append({
                "number": number, "name": _name(rc, number), "state": state,
                "how": f"{choices[one.protocol]}, {choices[one.tls]}; {kept}", "bad": bool(last and last[1]),
                "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(last[0])) if last and last[0] else "",
            })  # fmt: skip
        return rows


def _name(rc: Rc, number: int) -> str:
    entry = rc.entries[number]
    return f"{entry.users[0].name} @ {entry.host}" if entry.users else entry.name


def _answers(form: Mapping[str, str]) -> Answers:
    """What was typed. In novice mode a found service is chosen as one: `protocol port tls`."""
    keep = "keep" in form or "user" not in form  # the first step doesn't ask yet
    given = {one.name: form[one.name][:600] for one in wizard.QUESTIONS if one.name in form}
    typed = Answers(**given, keep=keep)
    service = form.get("service", "").split()
    if len(service) == 3 and "expert" not in form:
        typed = replace(typed, protocol=service[0], port=service[1], tls=service[2])
    return replace(
        typed, host=typed.host.strip(), user=typed.user.strip(), port=typed.port.strip() or "0",
        limit=typed.limit.strip() or "0", fingerprint=typed.fingerprint.strip(), folder=typed.folder.strip(),
    )  # fmt: skip


def _problems(
    visit: Visit, bad: Collection[Question], rc: Rc | None = None, answers: Answers | None = None
) -> tuple[tuple[str, str], ...]:
    """(field, words with its name) for each wrong answer."""
    words = WORDS[visit.language]
    found = []
    for one in bad:
        known = rc is not None and answers is not None and answers.user in wizard.taken(rc, answers.host)
        said = words.known if one is wizard.USER and known else f"{words.cannot} {one.help(visit.language)}"
        found.append((one.name, f"{one.title(visit.language)}: {said}"))
    return tuple(found)


def _fields(language: str) -> dict[str, tuple[str, str]]:
    """Title and help of each question."""
    every = (*wizard.QUESTIONS, wizard.KEEP)
    return {one.name: (one.title(language), one.help(language)) for one in every}
