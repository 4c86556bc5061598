"""`/fetchmailconf` on a page (F55): look, try, write; own file only; the wizard's questions and help."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
from starlette.responses import HTMLResponse, RedirectResponse, Response

import templates
from bridge.config.fetch import Fetch
from bridge.intake.fetch import accounts, probe, wizard
from bridge.model.errors import StoreError
from bridge.store import failpoints
from bridge.web.fetchmailconf import Desk
from bridge.wire.fetchmailrc import parse
from tests.bridge.intake.fetch.fakes import PASSWORD, USER, FakeImap, FakePop3

ANA = "ana@example.org"
TEMPLATE = Path(next(iter(templates.__path__))) / "web"


@dataclass
class Visit:
    """The frame of the site as far as the page needs it; the page itself is rendered."""

    owner: str = ANA
    language: str = "en"
    form: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    posted: bool = False

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        frame = "{% block main %}{% endblock %}"
        loader = jinja2.ChoiceLoader([jinja2.DictLoader({"base.html": frame}), jinja2.FileSystemLoader(TEMPLATE)])
        environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        text = environment.get_template(f"{template}.html").render(csrf="x", language=self.language, **values)
        return HTMLResponse(text, status)

    def done(self, what: str, **query: str) -> Response:
        return RedirectResponse(f"?done={what}", 303)


@dataclass
class Person:
    """Somebody at the page."""

    desk: Desk
    owner: str = ANA
    language: str = "en"

    def get(self, **query: str) -> str:
        answer = self.desk.answer(Visit(self.owner, self.language, query=query))
        return bytes(answer.body).decode()

    def post(self, do: str, **form: str) -> tuple[int, str]:
        sent = {"do": do, **{name.replace("__", "."): value for name, value in form.items()}}
        answer = self.desk.answer(Visit(self.owner, self.language, sent, posted=True))
        return answer.status_code, bytes(answer.body).decode()


@pytest.fixture
def there() -> Any:
    with FakeImap() as imap:
        yield imap


@pytest.fixture
def ana(tmp_path: Path, there: FakeImap, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setattr(probe, "PORTS", ())
    return Person(Desk(Fetch(page_hosts=(f"127.0.0.1:{there.port}",)), tmp_path / "fetchmailrc"))


def typed(there: FakeImap, **more: str) -> dict[str, str]:
    return {"host": "127.0.0.1", "service": f"imap {there.port} none", "user": USER, "password": PASSWORD, **more}


def file_of(person: Person) -> Path:
    return accounts.page_file(person.desk.folder, person.owner)


def test_look_then_try_and_save(ana: Person, there: FakeImap) -> None:
    """F55: what is found is proposed; after a login that works the file is there, its owner's alone, and collected."""
    assert 'name="password"' not in ana.get(), "the server first"
    status, page = ana.post("look", host="127.0.0.1")
    assert status == 200
    assert f'value="imap {there.port} none" checked' in page
    assert "everybody on the way can read your password" in page
    assert re.search(r'<input [^>]*id="keep"[^>]* checked>', page), "nothing is deleted there unless somebody says so"
    assert ana.post("save", **typed(there, keep="yes"))[0] == 303
    path = file_of(ana)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    [entry] = parse(path.read_text()).entries
    user = entry.users[0]
    assert (entry.host, entry.protocol, entry.service) == ("127.0.0.1", "imap", str(there.port))
    assert (user.name, user.password, user.keep, user.sslproto) == (USER, PASSWORD, True, "")
    found, problems = accounts.accounts_of(ana.desk.settings, lambda name: name, ana.desk.folder)
    assert problems == []
    assert [(one.to, one.name, one.reach) for one in found] == [
        (ANA, f"{USER}@127.0.0.1 > {ANA}", ("public", f"127.0.0.1:{there.port}"))
    ]
    page = ana.get()
    assert PASSWORD not in page
    assert "password &#34;***&#34;" in page
    assert f"{USER} @ 127.0.0.1" in page


def test_a_login_that_fails_writes_nothing_unless_the_person_insists(ana: Person, there: FakeImap) -> None:
    """F55: what was typed is kept but for the password, which no page repeats."""
    status, page = ana.post("save", **typed(there, password="wrong-7"))
    assert status == 400
    assert "the login did not work" in page
    assert 'id="insist"' in page
    assert f'value="{USER}"' in page
    assert "wrong-7" not in page
    assert not file_of(ana).exists()
    assert ana.post("save", **typed(there, password="wrong-7", insist="yes"))[0] == 303
    assert "wrong-7" in file_of(ana).read_text()
    status, page = ana.post("try.0")
    assert status == 400
    assert f"{USER}@127.0.0.1: " in page


def test_stored_accounts_are_tried_and_removed(ana: Person, there: FakeImap) -> None:
    ana.post("save", **typed(there))
    ana.post("save", **typed(there, user="eva", insist="yes"))
    status, page = ana.post("try.0")
    assert (status, "the login works" in page) == (200, True)
    assert ana.post("remove.0", name__0="eva @ 127.0.0.1")[0] == 404, "another than the page showed"
    assert ana.post("remove.7")[0] == 404
    assert ana.post("try.7")[0] == 404
    assert ana.post("remove.0", name__0=f"{USER} @ 127.0.0.1")[0] == 303
    assert [one.users[0].name for one in parse(file_of(ana).read_text()).entries] == ["eva"]
    assert ana.post("remove.0", name__0="eva @ 127.0.0.1")[0] == 303
    assert "None yet" in ana.get()


@pytest.mark.parametrize("language", ["en", "es"])
def test_mistakes_name_the_field(ana: Person, there: FakeImap, language: str) -> None:
    """Every field of the expert's form: message in the page's language, nothing written, what was typed kept."""
    ana.language = language
    bad = {"host": "a b", "protocol": "gopher", "tls": "maybe", "port": "70000", "user": "", "password": "",
           "limit": "many", "fingerprint": "xyz", "folder": "a\nb"}  # fmt: skip
    status, page = ana.post("save", expert="yes", **bad)
    assert status == 400
    for one in wizard.QUESTIONS:
        assert f"{one.title(language)}: " in page, one.name
        assert 'aria-invalid="true"' in re.search(rf'<(?:input|select) id="{one.name}"[^>]*>', page)[0], one.name
    assert all(f'value="{value}"' in page for value in ("a b", "70000", "many", "xyz"))
    assert not file_of(ana).exists()
    ana.post("save", **typed(there))
    before = file_of(ana).read_bytes()
    status, page = ana.post("save", **typed(there))
    assert status == 400
    assert {"en": "is there already", "es": "esa cuenta ya está"}[language] in page
    assert file_of(ana).read_bytes() == before


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_question_has_the_help_of_the_terminal(ana: Person, language: str) -> None:
    """F55: one source of help."""
    ana.language = language
    page = ana.get(mode="expert").replace("&#39;", "'")
    for one in (*wizard.QUESTIONS, wizard.KEEP):
        assert one.help(language) in page
        assert f'<label for="{one.name}">{one.title(language)}</label>' in page


def test_the_expert_says_more(ana: Person, there: FakeImap) -> None:
    fields = {"expert": "yes", "protocol": "imap", "tls": "none", "port": str(there.port), "folder": "Work",
              "limit": "5000", "insist": "yes"}  # fmt: skip
    assert ana.post("save", **{**typed(there), **fields, "service": ""})[0] == 303
    user = parse(file_of(ana).read_text()).entries[0].users[0]
    assert (user.folders, user.limit) == (("Work",), 5000)


@pytest.mark.parametrize(
    "text", ['x" preconnect "touch /tmp/x', "a\\", "x\nmda /bin/sh", "'", "# no", "x\r\npoll evil"]
)
def test_nothing_breaks_out_of_a_word(ana: Person, there: FakeImap, text: str) -> None:
    """sec-F07: whatever is typed is one word of the file, or refused."""
    status, _ = ana.post("save", **typed(there, user=text, password=text, insist="yes"))
    if status == 303:
        [entry] = parse(file_of(ana).read_text()).entries
        assert (entry.users[0].name, entry.users[0].password) == (text, text)
        assert entry.users[0].preconnect is entry.users[0].mda is None
    else:
        assert not file_of(ana).exists()


def test_private_servers_are_neither_looked_at_nor_saved_into_use(ana: Person, there: FakeImap) -> None:
    """sec-W16: neither by the button nor by an account that somebody insists on."""
    ana.desk.settings = replace(ana.desk.settings, page_hosts=())
    probe_ports = (("imap", there.port, ""),)
    probe.PORTS = probe_ports  # the fixture's patch puts it back
    status, page = ana.post("look", host="127.0.0.1")
    assert status == 400
    assert "may not be asked from here" in page
    assert ana.post("save", **typed(there, insist="yes"))[0] == 303
    status, page = ana.post("try.0")
    assert status == 400
    assert there.heard == []


def test_nobody_tries_for_ever(ana: Person, there: FakeImap) -> None:
    """F55: so many tries an hour for one person; another has as many."""
    now = [0.0]
    ana.desk.settings, ana.desk.now = replace(ana.desk.settings, page_tries=3), lambda: now[0]
    for _ in range(3):
        assert ana.post("look", host="127.0.0.1")[0] == 200
    status, page = ana.post("look", host="127.0.0.1")
    assert (status, "too often" in page) == (400, True)
    assert "too often" in ana.post("save", **typed(there))[1]
    assert not file_of(ana).exists()
    assert Person(ana.desk, "eva@example.org").post("look", host="127.0.0.1")[0] == 200
    now[0] = 3601
    assert ana.post("look", host="127.0.0.1")[0] == 200


def test_each_has_an_own_file(ana: Person, there: FakeImap) -> None:
    """sec-W10: accounts of others are neither seen nor touched; names of files hold no folder."""
    ana.post("save", **typed(there))
    eva = Person(ana.desk, "eva@example.org")
    assert USER + " @" not in eva.get()
    assert eva.post("remove.0", name__0=f"{USER} @ 127.0.0.1")[0] == 404
    odd = Person(ana.desk, "x/../../y@example.org")
    odd.post("save", **typed(there))
    assert file_of(odd).parent == ana.desk.folder
    assert file_of(odd).exists()
    found, _ = accounts.accounts_of(ana.desk.settings, lambda name: name, ana.desk.folder)
    assert sorted(one.to for one in found) == [ANA, "x/../../y@example.org"]
    assert accounts.accounts_of(replace(ana.desk.settings, page=False), lambda name: name, ana.desk.folder)[0] == []


def test_a_full_disk_leaves_the_file_as_it_was(ana: Person, there: FakeImap) -> None:
    """Failpoint fetchmailconf.page."""
    ana.post("save", **typed(there))
    before = file_of(ana).read_bytes()
    failpoints.arm("fetchmailconf.page=ENOSPC")
    try:
        with pytest.raises((StoreError, OSError)):
            ana.post("save", **typed(there, user="eva", insist="yes"))
    finally:
        failpoints.arm("")
    assert file_of(ana).read_bytes() == before


def test_an_entry_that_can_not_be_used_shifts_no_other(ana: Person, there: FakeImap) -> None:
    """A file that somebody edited by hand: each button means the account beside it."""
    ana.post("save", **typed(there))
    path = file_of(ana)
    path.write_text('poll odd.example.org proto etrn\n    user "x" password "y"\n' + path.read_text())
    page = ana.get()
    assert page.index("x @ odd.example.org") < page.index("can&#39;t be used here") < page.index(f"{USER} @ 127.0.0.1")
    assert ana.post("try.0")[0] == 404
    assert "the login works" in ana.post("try.1")[1]
    assert ana.post("remove.1", name__1=f"{USER} @ 127.0.0.1")[0] == 303
    assert [one.name for one in parse(path.read_text()).entries] == ["odd.example.org"]


def test_pop3_is_found(ana: Person) -> None:
    with FakePop3() as there:
        ana.desk.settings = replace(ana.desk.settings, page_hosts=(f"127.0.0.1:{there.port}",))
        assert f'value="pop3 {there.port} none" checked' in ana.post("look", host="127.0.0.1")[1]
