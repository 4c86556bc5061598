"""Pages behind a login: options, passwords, members, held posts, a member's own page; and who may not see them."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from bridge.store.passwords import Hasher
from bridge.store.tables import audit
from listmgr import holding, memberpasswords, passwords, registry, roster, tables
from listmgr.options import CATEGORIES, by_name, of_category
from listmgr.web import Keys, Throttled
from tests.listmgr.browsing import Accessible, Browser

SECRET = "tres tristes tigres"
POST = b"From: %s\r\nTo: test@example.org\r\nSubject: <img src=x onerror=alert(1)>\r\n\r\n<script>alert(2)</script>\r\n"


@dataclass
class Person:
    """Somebody with a browser that keeps cookies."""

    house: Any
    site: Any
    jar: dict[str, str] = field(default_factory=dict)
    last: Any = None

    def get(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Any:
        if self.jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        answer = self.site.get(path, method, body, **headers)
        for line in answer.headers.get("set-cookie", "").split("\n"):
            found = re.match(r"([^=;]+)=([^;]*);", line)
            if found and "Max-Age=0" in line:
                self.jar.pop(found[1], None)
            elif found:
                self.jar[found[1]] = found[2].strip('"')
        self.last = answer
        return answer

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Any:
        return self.get(path, "POST", urlencode(fields).encode(), **headers)

    def send(self, path: str, fields: dict[str, str]) -> Any:
        """Send the form of that page with its token."""
        return self.post(path, {"token": token_of(self.get(path)), **fields})

    def come_in(self, name: str = "test", page: str = "admin", password: str = SECRET) -> Any:
        token = token_of(self.get(f"/mailman/{page}/{name}"))
        fields = {"token": token, "page": page, "do": "list", "password": password}
        return self.post(f"/mailman/login/{name}", fields)

    def follow_link(self, address: str, name: str = "test", page: str = "options") -> Any:
        """Ask for a link, take it out of the mail, press the button."""
        self.house.sent()
        token = token_of(self.get(f"/mailman/{page}/{name}"))
        self.post(f"/mailman/login/{name}", {"token": token, "page": page, "do": "link", "email": address})
        link = re.search(rb"(/mailman/login/[a-z]+/[0-9a-f]{32})", self.house.sent()[0][1])[1].decode()
        return self.send(link, {})


def token_of(page: Any) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@pytest.fixture
def site(house) -> Any:
    hasher = Hasher(1024, 1)
    verify = passwords.verifier(house.office.core, hasher)

    async def keeper(name: str, password: str, ip: str) -> str | None:
        if password == "too many":
            raise Throttled
        return verify(name, password, "list", ip)

    async def owner(login: str, password: str, ip: str) -> tuple[str, ...] | None:
        return (login,) if password == SECRET else None

    return Browser(house, Keys(keeper, owner, accounts=True))


@pytest.fixture
def new(house, site) -> Any:
    return lambda: Person(house, site)


def protect(house, which, role: str = "admin", password: str = SECRET) -> None:
    house.office.core.write_now(lambda c: passwords.put(c, which, role, Hasher(1024, 1).hash(password)))


@pytest.fixture
def boss(house, new) -> Person:
    """Logged in as administrator of "test"."""
    which = house.make()
    protect(house, which)
    person = new()
    assert person.come_in().status == 303
    return person


# ---- coming in ------------------------------------------------------------------------------------


def test_list_password(house, new) -> None:
    """W02, L29: wrong passwords say nothing; the cookie is bound to this host and to no script (sec-W06)."""
    protect(house, house.make())
    person = new()
    assert person.get("/mailman/admin/test").status == 403
    for wrong in ("", "x", "TRES TRISTES TIGRES"):
        answer = person.come_in(password=wrong)
        assert answer.status == 403
        assert person.jar == {}
        assert 'role="alert"' in answer.text
    assert person.come_in(password="too many").status == 429
    answer = person.come_in()
    assert (answer.status, answer.headers["location"]) == (303, "../admin/test")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-estafeta=")
    for flag in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert flag in cookie
    assert "Domain" not in cookie
    assert person.get("/mailman/admin/test").status == 200
    with house.office.core.read() as connection:
        stored = connection.execute(select(tables.session.c.hash)).scalars().all()
    assert person.jar["__Host-estafeta"] not in stored


def test_a_session_gets_a_new_name_at_each_login_and_ends(house, boss: Person) -> None:
    """sec-W06: no fixation, idle and absolute ends, revocation on the server."""
    first = dict(boss.jar)
    token = token_of(boss.get("/mailman/admin/test"))
    fields = {"token": _login_token(boss), "page": "admin", "do": "list", "password": SECRET}
    boss.post("/mailman/login/test", fields)
    assert boss.jar != first
    stale = Person(house, boss.site, first)
    assert stale.get("/mailman/admin/test").status == 403
    assert boss.post("/mailman/logout", {"token": token}).status == 403  # of the old session
    kept = dict(boss.jar)
    assert boss.post("/mailman/logout", {"token": token_of(boss.get("/mailman/admin/test"))}).status == 303
    assert boss.jar == {}
    assert Person(house, boss.site, kept).get("/mailman/admin/test").status == 403
    assert boss.come_in().status == 303
    house.now[0] += 31 * 60
    assert boss.get("/mailman/admin/test").status == 403
    boss.come_in()
    for _ in range(25):
        house.now[0] += 29 * 60
        boss.get("/mailman/admin/test")
    assert boss.last.status == 403


def _login_token(person: Person) -> str:
    stranger = Person(person.house, person.site)
    return token_of(stranger.get("/mailman/admin/test"))


def test_a_new_password_ends_the_sessions_of_the_old_one(house, boss: Person, new) -> None:
    """sec-W06; this session goes on."""
    other = new()
    other.come_in()
    path = "/mailman/admin/test/passwords"
    for fields, word in (
        ({"admin.new": "otra clave 77", "admin.again": "otra clave 78"}, "not the same"),
        ({"admin.new": "corta", "admin.again": "corta"}, "8 characters"),
        ({"moderator.new": "12345678", "moderator.again": "12345678"}, "8 characters"),
        ({}, "Type a password"),
    ):
        answer = boss.send(path, fields)
        assert answer.status == 400
        assert word in answer.text
    assert other.get("/mailman/admin/test").status == 200
    assert boss.send(path, {"admin.new": "otra clave 77", "admin.again": "otra clave 77"}).status == 303
    assert boss.get("/mailman/admin/test").status == 200
    assert other.get("/mailman/admin/test").status == 403
    assert other.come_in().status == 403
    assert other.come_in(password="otra clave 77").status == 303
    with house.office.core.read() as connection:
        stored = connection.execute(select(tables.password.c.stored)).scalars().all()
        assert "list.passwords" in connection.execute(select(audit.c.action)).scalars().all()
    assert all(one.startswith("$argon2id$") for one in stored)


def test_a_link_by_mail(house, new) -> None:
    """W03: for members and owners, once, by the button (sec-L05), for half an hour; the answer is always the same."""
    which = house.make()
    house.join(which, "ann@example.org")
    person = new()
    bodies = set()
    for address in ("eve@example.net", "nonsense", "ann@example.org"):
        token = token_of(person.get("/mailman/options/test"))
        fields = {"token": token, "page": "options", "do": "link", "email": address}
        bodies.add(person.post("/mailman/login/test", fields).body)
    assert len(bodies) == 1
    [(envelope, message)] = house.sent()
    assert [one.address for one in envelope.recipients] == ["ann@example.org"]
    link = re.search(rb"https://lists.example.org(/mailman/login/test/[0-9a-f]{32})", message)[1].decode()
    scanner = new()
    for _ in range(3):
        page = scanner.get(link)
    assert scanner.jar == {}
    assert "ann@example.org" in page.text
    answer = person.send(link, {})
    assert (answer.status, answer.headers["location"]) == (303, "../../options/test/ann--at--example.org")
    assert person.get("/mailman/options/test/ann--at--example.org").status == 200
    assert new().get(link).status == 404
    assert new().post(link, {"token": token_of(page)}).status == 404


def test_a_login_link_confirms_nothing(house, new) -> None:
    """A token is bound to its action (sec-L04): by page and by mail."""
    which = house.make()
    house.join(which, "ann@example.org")
    person = new()
    token = token_of(person.get("/mailman/options/test"))
    person.post("/mailman/login/test", {"token": token, "page": "options", "do": "link", "email": "ann@example.org"})
    secret = re.search(rb"/mailman/login/test/([0-9a-f]{32})", house.sent()[0][1])[1].decode()
    assert person.get(f"/mailman/confirm/test/{secret}").status == 404
    mail = b"From: ann@example.org\r\nTo: test-confirm@example.org\r\nSubject: x\r\n\r\nok\r\n"
    house.mail(mail, "test:confirm", address=f"test-confirm+{secret}@example.org")
    assert house.members(which) == ["ann@example.org"]
    house.now[0] += 31 * 60
    assert person.get(f"/mailman/login/test/{secret}").status == 404


def test_mail_account_opens_the_pages_of_its_address(house, new) -> None:
    which = house.make(owner=["boss@example.org"])
    house.join(which, "ann@example.org")
    for address, page, place in (
        ("boss@example.org", "admin", "/mailman/admin/test"),
        ("ann@example.org", "options", "/mailman/options/test/ann--at--example.org"),
    ):
        person = new()
        fields = {"page": page, "do": "account", "email": address, "password": "no"}
        fields["token"] = token_of(person.get(f"/mailman/{page}/test"))
        assert person.post("/mailman/login/test", fields).status == 403
        assert person.post("/mailman/login/test", {**fields, "password": SECRET}).status == 303
        assert person.get(place).status == 200
    house.office.core.write_now(lambda c: registry.change(c, house.fresh(which), {"owner": ["new@example.org"]}))
    person = new()
    fields = {"page": "admin", "do": "account", "email": "boss@example.org", "password": SECRET}
    person.post("/mailman/login/test", {**fields, "token": token_of(person.get("/mailman/admin/test"))})
    assert person.get("/mailman/admin/test").status == 403


@pytest.mark.parametrize("page", ["", "//evil.example", "../../x", "https://evil.example", "listinfo"])
def test_nobody_is_led_elsewhere(house, new, page: str) -> None:
    """sec-W09."""
    protect(house, house.make())
    person = new()
    token = token_of(person.get("/mailman/admin/test"))
    fields = {"token": token, "page": page, "do": "list", "password": SECRET}
    assert person.post("/mailman/login/test", fields).status == 403
    assert person.jar == {}


# ---- options --------------------------------------------------------------------------------------


def form_of(page: Any) -> dict[str, str]:
    """The fields of the last form with a language in it, as a browser would send them unchanged."""
    import html

    fields: dict[str, str] = {}
    text = page.text
    for tag in re.findall(r"<input [^>]*>", text):
        found = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        if found.get("type") in ("radio", "checkbox") and " checked" not in tag:
            continue
        if "name" in found:
            fields[found["name"]] = html.unescape(found.get("value", "on"))
    for name, value in re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', text, re.S):
        fields[name] = html.unescape(value).replace("\n", "\r\n")
    for name, body in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', text, re.S):
        fields[name] = re.search(r'value="([^"]*)" selected|value="([^"]*)"', body)[0].split('"')[1]
        chosen = re.search(r'value="([^"]*)" selected', body)
        fields[name] = chosen[1] if chosen else fields[name]
    return fields


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_option_is_on_its_page_and_an_unchanged_form_changes_nothing(house, boss: Person, category: str) -> None:
    """L28, W02: field, help in both languages, the value that is there."""
    before = registry_of(house).options
    path = f"/mailman/admin/test/{category}"
    page = boss.get(path)
    assert page.status == 200
    for one in of_category(category):
        assert f'name="{one.name}"' in page.text
        assert re.sub("'", "&#39;", one.help.split("(")[0][:30]) in page.text
        assert one.es.split("(")[0][:30] in boss.get(path + "?language=es").text
    boss.get(path + "?language=en")
    assert boss.post(path, form_of(boss.get(path))).status == 303
    assert registry_of(house).options == before
    assert "Saved." in boss.get(path + "?done=saved").text
    wrong = boss.post(path + "?done=saved", {**form_of(boss.get(path)), "max_message_size": "x"})
    assert "Saved." not in wrong.text


def registry_of(house) -> Any:
    with house.office.core.read() as connection:
        return registry.find(connection, "test")


NEW = {
    "real_name": "TEST", "owner": "a@example.org\r\n\r\nb@example.org", "description": "Ñandú & <b>",
    "info": "Two\r\nlines", "from_is_list": "munge", "anonymous_list": "yes", "reply_goes_to_list": "address",
    "reply_to_address": "r@example.org", "max_message_size": " 40 ", "new_member_options.ack": "on",
    "new_member_options.nodupes": None, "host_name": "lists.example.org", "admin_member_chunksize": "7",
    "emergency": "yes", "umbrella_member_suffix": "-admin",
}  # fmt: skip


def test_save(house, boss: Person) -> None:
    path = "/mailman/admin/test/general"
    fields = {**form_of(boss.get(path)), **NEW}
    assert boss.post(path, {name: value for name, value in fields.items() if value is not None}).status == 303
    which = registry_of(house)
    options = which.options
    assert (options.real_name, options.owner) == ("TEST", ("a@example.org", "b@example.org"))
    assert (options.description, options.info, options.from_is_list) == ("Ñandú & <b>", "Two\nlines", "munge")
    assert (options.max_message_size, options.new_member_options) == (40, ("ack",))
    assert (options.anonymous_list, options.emergency, which.host) == (True, True, "lists.example.org")
    assert "&lt;b&gt;" in boss.get(path).text
    with house.office.core.read() as connection:
        row = connection.execute(select(audit).where(audit.c.action == "list.options")).one()
    assert row.actor == "web:test"
    assert "emergency" in row.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("real_name", "Other"), ("owner", "boss@example.org\r\nno address"), ("max_message_size", "-1"),
        ("max_message_size", "many"), ("reply_goes_to_list", "moon"), ("emergency", "maybe"),
        ("reply_to_address", "x"), ("subject_prefix", "[x]\nBcc: y"), ("umbrella_member_suffix", "@evil"),
        ("host_name", "no domain"), ("admin_member_chunksize", "100000"), ("info", "x" * 30_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["en", "es"])
def test_wrong_input_names_the_field_and_changes_nothing(
    house, boss: Person, name: str, value: str, language: str
) -> None:
    before = registry_of(house)
    path = "/mailman/admin/test/general"
    fields = {**form_of(boss.get(path)), "description": "changed too", name: value, "language": language}
    answer = boss.post(path, fields)
    assert answer.status == 400
    assert f'<a href="#{name}">{name}</a>' in answer.text
    assert ("No se ha guardado nada" if language == "es" else "Nothing was saved") in answer.text
    assert "changed too" in answer.text  # what was typed is not lost
    assert registry_of(house) == before


def test_two_owners_at_once(house, boss: Person, new) -> None:
    """Only what one changed is stored, so the other's change of another option stays."""
    path = "/mailman/admin/test/general"
    mine = form_of(boss.get(path))
    other = new()
    other.come_in()
    theirs = form_of(other.get(path))
    boss.post(path, {"token": mine["token"], "description": "mine"})
    other.post(path, {"token": theirs["token"], "info": "theirs"})
    options = registry_of(house).options
    assert (options.description, options.info) == ("mine", "theirs")


XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


def test_hostile_text_in_every_option(house, boss: Person) -> None:
    """sec-L10, sec-L11, sec-W12: whatever an option holds, no page has a tag of it."""
    pages = ["/mailman/listinfo", "/mailman/listinfo/test", "/mailman/admin", "/mailman/admin/test/passwords",
             "/mailman/admin/test/members", "/mailman/admindb/test", "/mailman/roster/test",
             *(f"/mailman/admin/test/{category}" for category in CATEGORIES)]  # fmt: skip
    for one in by_name().values():
        path = f"/mailman/admin/test/{one.category}"
        answer = boss.post(path, {"token": token_of(boss.get(path)), one.name: XSS})
        for text in (answer.text, *(boss.get(page).text for page in pages if answer.status == 303)):
            assert "<script" not in text
            assert "<img" not in text
            assert "49" not in text.replace("&#34;&#39;", "").split("alert(1)&gt;")[-1][:2]
    assert registry_of(house).options.description == XSS


# ---- members --------------------------------------------------------------------------------------


def test_members_page(house, boss: Person) -> None:
    """L31: columns, search, chunks, flags, removal, everyone's moderation bit."""
    which = registry_of(house)
    house.join(which, *(f"u{number:02}@example.org" for number in range(40)))
    house.join(which, "off@example.org", delivery="bybounce", name="<b>Off</b>")
    path = "/mailman/admin/test/members"
    page = boss.get(path)
    assert page.text.count('class="who"') == 30
    assert "&lt;b&gt;Off&lt;/b&gt;" in page.text
    assert '<abbr title="by bounces">B</abbr>' in page.text
    assert boss.get(path + "?chunk=1").text.count('class="who"') == 11
    assert boss.get(path + "?find=%5Eu1").text.count('class="who"') == 10
    assert "Nobody" in boss.get(path + "?find=nobody").text
    assert boss.get(path + "?find=%5E(u01|u2%5Cd)@").text.count('class="who"') == 11
    assert boss.get(path + "?find=OFF").text.count('class="who"') == 1
    wrong = boss.get(path + "?find=(a")
    assert (wrong.status, "without its )" in wrong.text, 'value="(a"' in wrong.text) == (400, True, True)
    for bad in ("chunk=-1", "chunk=x", "chunk=99999999999999", "find=%00", "find=(a%2B)%2B%24"):
        assert boss.get(f"{path}?{bad}").status == 200
    fields = form_of(boss.get(path + "?find=u03"))
    number = next(name.partition(".")[2] for name in fields if name.startswith("m."))
    fields |= {f"moderated.{number}": "on", f"nomail.{number}": "on", f"language.{number}": "es"}
    fields.pop(f"nodupes.{number}")
    assert boss.post(path, fields).status == 303
    with house.office.core.read() as connection:
        one = roster.find(connection, which, "u03@example.org")
        assert (one.moderated, one.delivery, one.language, one.nodupes) == (True, "byadmin", "es", False)
        assert roster.find(connection, which, "u04@example.org").nodupes is True
    fields = form_of(boss.get(path + "?find=u04"))
    number = next(name.partition(".")[2] for name in fields if name.startswith("m."))
    boss.post(path, {**fields, f"unsub.{number}": "on"})
    assert "u04@example.org" not in house.members(which)
    for word, bit in (("on", True), ("off", False)):
        boss.post(path, {"token": fields["token"], "everybody": word})
        with house.office.core.read() as connection:
            assert {one.moderated for one in roster.members(connection, which)} == {bit}


def test_members_of_another_list_are_out_of_reach(house, boss: Person) -> None:
    """sec-W10: ids in a form count only for its list."""
    other = house.make("other")
    house.join(other, "ann@example.org")
    with house.office.core.read() as connection:
        number = roster.find(connection, other, "ann@example.org").id
    token = token_of(boss.get("/mailman/admin/test/members"))
    fields = {"token": token, f"m.{number}": "", f"unsub.{number}": "on", f"moderated.{number}": "on"}
    assert boss.post("/mailman/admin/test/members", fields).status == 303
    assert house.members(other) == ["ann@example.org"]
    boss.post("/mailman/admin/test/members", {"token": token, "everybody": "on"})
    with house.office.core.read() as connection:
        assert roster.find(connection, other, "ann@example.org").moderated is False


def test_add_invite_remove(house, boss: Person) -> None:
    """L31, L56: each line gets an answer."""
    which = registry_of(house)
    house.sent()
    people = "Ann Lee <ann@example.org>\r\nnonsense\r\n<script>@x\r\nbob@example.org\r\nBOB@example.org\r\n"
    answer = boss.send("/mailman/admin/test/members/add", {"people": people, "how": "add", "welcome": "yes"})
    assert answer.status == 200
    assert "<script" not in answer.text
    assert "is no address" in answer.text
    assert house.members(which) == ["ann@example.org", "BOB@example.org"]
    assert sum(b"Welcome" in message for _, message in house.sent()) == 2
    fields = {"people": "eve@example.net", "how": "invite", "text": "Come {{7*7}}!"}
    assert 'nonsense</bdi>: is no address' in answer.text
    assert "nonsense" in answer.text.partition("<textarea")[2]  # what could not be done is kept
    assert "ann@example.org" not in answer.text.partition("<textarea")[2]
    assert "invited" in boss.send("/mailman/admin/test/members/add", fields).text
    [(_, message)] = house.sent()
    assert b"Come {{7*7}}!" in message  # sec-L21
    assert len(house.members(which)) == 2
    answer = boss.send("/mailman/admin/test/members/remove", {"people": "ann@example.org\nzoe@example.org"})
    assert "is no member" in answer.text
    assert house.members(which) == ["BOB@example.org"]
    assert "no address" in boss.send("/mailman/admin/test/members/add", {"people": " \r\n"}).text
    assert house.sent() == []


def test_another_address_for_a_member(house, boss: Person) -> None:
    """L31: options stay; what can't be is told at its field and kept."""
    which = registry_of(house)
    house.join(which, "ann@example.org", moderated=True, name="Ann")
    house.join(which, "bob@example.org")
    path = "/mailman/admin/test/members/change"
    ann = "ann@example.org"
    for old, new, word, marked in (
        ("zoe@example.org", "x@example.org", "is no member", "old"), (ann, "nonsense", "is no address", "new"),
        (ann, "BOB@example.org", "is a member already", "new"), (ann, "", "is no address", "new"),
    ):
        answer = boss.send(path, {"old": old, "new": new})
        assert answer.status == 400
        assert word in answer.text
        assert f'value="{old}"' in answer.text
        assert 'aria-invalid="true"' in re.search(rf'<input id="{marked}"[^>]*>', answer.text)[0]
    assert house.members(which) == ["ann@example.org", "bob@example.org"]
    assert boss.send(path, {"old": "ANN@example.org", "new": "Ann.Lee@example.net"}).status == 303
    one = member(house, address="ann.lee@example.net")
    assert (one.address, one.name, one.moderated) == ("Ann.Lee@example.net", "Ann", True)
    assert house.members(which) == ["Ann.Lee@example.net", "bob@example.org"]


def test_make_equal_to_a_list(house, boss: Person) -> None:
    """L31: seen before it is done; one wrong address and nothing is done."""
    which = registry_of(house)
    house.join(which, "ann@example.org", "bob@example.org")
    path = "/mailman/admin/test/members/sync"
    wrong = boss.send(path, {"people": "ann@example.org\nnonsense", "do": "sync"})
    assert wrong.status == 400
    assert "Nothing was changed" in wrong.text
    assert "ann@example.org\nnonsense</textarea>" in wrong.text
    assert boss.send(path, {"people": "", "do": "sync"}).status == 400
    fields = {"people": "ANN@example.org\nEve <eve@example.net>", "do": "plan"}
    seen = boss.send(path, fields).text
    assert re.findall(r"<dd>(\d)", seen) == ["1", "1", "1"]
    assert house.members(which) == ["ann@example.org", "bob@example.org"]
    done = boss.send(path, {**fields, "do": "sync"}).text
    assert "eve@example.net</bdi>: subscribed" in done
    assert "bob@example.org</bdi>: removed" in done
    assert house.members(which) == ["ann@example.org", "eve@example.net"]


# ---- held posts -----------------------------------------------------------------------------------


def test_moderator_decides(house, new) -> None:
    """L47, W04, sec-L13: accept, reject, discard, defer on one page; a moderator sees nothing else."""
    which = house.make(moderator=["mod@example.org"])
    protect(house, which, "moderator")
    house.join(which, "ann@example.org")
    for name in ("a", "b", "c", "d"):
        house.mail(POST % f"{name}@example.net".encode(), "test:post", sender=f"{name}@example.net")
    house.sent()
    person = new()
    assert person.come_in(page="admindb").status == 303
    path = "/mailman/admindb/test"
    page = person.get(path)
    assert "&lt;img" in page.text
    assert "&lt;script&gt;alert(2)" in page.text
    assert not {"<script", "<img"} & set(re.findall(r"<\w+", page.text))
    ids = re.findall(r'name="do\.(\w+)" value="accept"', page.text)
    assert len(ids) == 4
    fields = {"token": token_of(page), f"do.{ids[0]}": "accept", f"do.{ids[1]}": "reject", f"text.{ids[1]}": "Sorry.",
              f"do.{ids[2]}": "discard", f"do.{ids[3]}": "defer", "do.nonsense": "accept"}  # fmt: skip
    assert person.post(path, fields).status == 303
    sent = house.sent()
    assert sorted(one.address for envelope, _ in sent for one in envelope.recipients) == [
        "ann@example.org", "b@example.net",
    ]  # fmt: skip
    assert any(b"Sorry." in message for _, message in sent)
    with house.office.core.read() as connection:
        assert [one.parent for one in holding.waiting(connection, which)] == [ids[3]]
        verdicts = connection.execute(select(tables.post.c.verdict).order_by(tables.post.c.id)).scalars().all()
    assert verdicts == ["accept", "reject", "discard", "hold"]
    assert person.post(path, fields).status == 303  # again: nothing left to decide
    assert house.sent() == []
    assert person.get("/mailman/admin/test").status == 403
    by_link = new()
    by_link.follow_link("mod@example.org", page="admindb")
    assert by_link.get(path).status == 200


# ---- a member's page ------------------------------------------------------------------------------


@pytest.fixture
def ann(house, new) -> Person:
    """Member of test and other, logged in by a link."""
    for name in ("test", "other"):
        house.join(house.make(name), "ann@example.org")
    person = new()
    person.follow_link("ann@example.org")
    return person


def member(house, name: str = "test", address: str = "ann@example.org") -> Any:
    with house.office.core.read() as connection:
        return roster.find(connection, registry.find(connection, name), address)


ANN = "/mailman/options/test/ann--at--example.org"


def test_member_options(house, ann: Person) -> None:
    """W03, L54."""
    assert 'href="../../../mailman/options/other/ann--at--example.org"' in ann.get(ANN).text
    fields = {"do": "save", "delivery": "off", "hide": "on", "ack": "on", "fullname": "Ann", "memberlanguage": "es"}
    assert ann.send(ANN, fields).status == 303
    one = member(house)
    assert (one.delivery, one.hide, one.ack, one.notmetoo, one.nodupes) == ("byuser", True, True, False, False)
    assert (one.name, one.language) == ("Ann", "es")
    assert member(house, "other").delivery == "enabled"
    assert 'lang="es"' in ann.get(ANN).text  # her language
    assert ann.send(ANN, {**fields, "delivery": "on", "everywhere": "on"}).status == 303
    assert member(house).delivery == "enabled"
    assert (member(house, "other").name, member(house, "other").ack) == ("Ann", True)
    before = member(house)
    assert ann.send(ANN, {**fields, "fullname": "a\r\nb"}).status == 400
    assert member(house) == before
    assert ann.get("/mailman/options/test").headers["location"] == "test/ann--at--example.org"


def test_a_member_has_a_password_if_wished(house, ann: Person, new) -> None:
    """W03: chosen behind a link, good on all lists, ends other sessions (sec-W06), taken away again; kept as a hash."""
    other = new()
    other.follow_link("ann@example.org", name="other")
    assert other.get(ANN).status == 200
    for fields, word in (
        ({"new": "otra clave 77", "again": "otra clave 78"}, "not the same"),
        ({"new": "corta", "again": "corta"}, "8 characters"), ({}, "Type a password"),
    ):
        answer = ann.send(ANN, {"do": "password", **fields})
        assert answer.status == 400
        assert "New password: " in answer.text
        assert word in answer.text
    assert ann.send(ANN, {"do": "password", "new": "otra clave 77", "again": "otra clave 77"}).status == 303
    assert ann.get(ANN).status == 200
    assert other.get(ANN).status == 403
    verify = memberpasswords.verifier(house.office.core, Hasher(1024, 1))
    assert verify("Ann@example.org", "otra clave 77", "list", "") == "ann@example.org"
    assert verify("ann@example.org", "otra clave 78", "list", "") is None
    assert verify("eve@example.org", "otra clave 77", "list", "") is None
    with house.office.core.read() as connection:
        assert connection.execute(select(tables.member_password.c.stored)).scalar_one().startswith("$argon2id$")
    assert ann.send(ANN, {"do": "password"}).status == 303
    assert verify("ann@example.org", "otra clave 77", "list", "") is None


def test_owners_set_no_passwords_of_members(house, ann: Person, boss_of_test) -> None:
    """sec-L14."""
    fields = {"do": "password", "new": "otra clave 77", "again": "otra clave 77"}
    assert boss_of_test.send(ANN, fields).status == 403
    with house.office.core.read() as connection:
        assert not memberpasswords.known(connection, "ann@example.org")


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_member_moves(house, ann: Person, everywhere: bool) -> None:
    """W03: the new address is asked first, by page or mail; every list if wished."""
    for bad in ("nonsense", "", "ann@example.org"):
        answer = ann.send(ANN, {"do": "move", "newaddress": bad})
        assert answer.status == 400
        assert "New address: " in answer.text
        assert f'value="{bad}"' in answer.text
    assert house.sent() == []
    fields = {"do": "move", "newaddress": "ann.lee@example.net", **({"everywhere": "on"} if everywhere else {})}
    assert ann.send(ANN, fields).headers["location"].endswith("?done=asked")
    assert ann.send(ANN, fields).status == 303  # a second mail is not sent
    [(envelope, message)] = house.sent()
    assert [one.address for one in envelope.recipients] == ["ann.lee@example.net"]
    link = re.search(rb"https://lists.example.org(/mailman/confirm/test/[0-9a-f]{32})", message)[1].decode()
    assert member(house) is not None
    assert "ann.lee@example.net" in ann.get(link).text
    assert member(house) is not None
    assert ann.send(link, {}).status == 200
    assert member(house) is None
    assert member(house, address="ann.lee@example.net") is not None
    assert (member(house, "other") is None) is everywhere
    assert ann.get(link).status == 404


def test_owners_move_members_on_their_own_page(house, ann: Person, boss_of_test) -> None:
    """W03, sec-L14: an owner doesn't ask in the member's name."""
    answer = boss_of_test.send(ANN, {"do": "move", "newaddress": "eve@example.net"})
    assert "members/change?old=ann%40example.org" in answer.headers["location"]
    assert house.sent() == []
    page = boss_of_test.get("/mailman/admin/test/members/change?old=ann%40example.org")
    assert 'value="ann@example.org"' in page.text


def test_the_form_to_come_in_knows_the_address_of_the_page_and_no_more(house, new) -> None:
    """Members and others look alike; what is no address isn't shown again (sec-L10)."""
    house.join(house.make(), "ann@example.org")
    pages = [new().get(f"/mailman/options/test/{name}--at--example.org").text for name in ("ann", "eve")]
    assert 'value="ann@example.org"' in pages[0]
    plain = [re.sub(r'ann|eve|value="[0-9.a-f]+"', "", page) for page in pages]
    assert plain[0] == plain[1]
    assert "zq" not in new().get("/mailman/options/test/zq<script>--at--x").text


def test_what_owners_decided_stays(house, ann: Person) -> None:
    house.office.core.write_now(
        lambda c: roster.change(c, registry.find(c, "test"), "ann@example.org", now=0.0, delivery="byadmin",
                                moderated=True)
    )  # fmt: skip
    ann.send(ANN, {"do": "save", "delivery": "on", "moderated": "", "fullname": ""})
    assert (member(house).delivery, member(house).moderated) == ("byadmin", True)


def test_leave(house, ann: Person) -> None:
    assert ann.send(ANN, {"do": "leave"}).status == 400
    assert member(house) is not None
    answer = ann.send(ANN, {"do": "leave", "sure": "on"})
    assert (answer.status, answer.headers["location"]) == (303, "../../listinfo/test?done=left")
    assert member(house) is None
    assert member(house, "other") is not None
    assert ann.get(ANN).status == 404
    assert any(b"You have left" in message for _, message in house.sent())


@pytest.mark.parametrize("rule", ["anyone", "members", "admins"])
def test_roster_rule(house, ann: Person, boss_of_test, new, rule: str) -> None:
    """L34, sec-L15."""
    which = registry_of(house)
    house.join(which, "shy@example.org", hide=True)
    house.office.core.write_now(lambda c: registry.change(c, which, {"private_roster": rule}))
    path = "/mailman/roster/test"
    stranger, visitor, keeper = new().get(path), ann.get(path), boss_of_test.get(path)
    assert stranger.status == (200 if rule == "anyone" else 403)
    assert visitor.status == (403 if rule == "admins" else 200)
    assert "ann@example.org" not in stranger.text + visitor.text
    assert ("ann at example.org" in stranger.text) is (rule == "anyone")
    assert "shy" not in stranger.text + visitor.text
    assert "shy@example.org" in keeper.text
    house.office.core.write_now(lambda c: registry.change(c, registry_of(house), {"obscure_addresses": False}))
    assert ("ann@example.org" in ann.get(path).text) is (rule != "admins")


@pytest.fixture
def boss_of_test(house, ann, new) -> Person:
    protect(house, registry_of(house))
    person = new()
    person.come_in()
    return person


# ---- who may not ----------------------------------------------------------------------------------


def fill(path: str, name: str) -> str:
    for part, value in (
        ("{name}", name), ("{token}", "0" * 32), ("{user}", "ann--at--example.org"), ("{category:path}", "general"),
        ("{rest:path}", "index.html"),
    ):  # fmt: skip
        path = path.replace(part, value)
    return path


OPEN = {
    "/mailman/listinfo", "/mailman/listinfo/{name}", "/mailman/admin", "/mailman/options/{name}", "/mailman/style.css",
    "/mailman/icon.svg",
}  # fmt: skip


def test_anonymous_sees_nothing_of_a_private_list(house, site, new) -> None:
    """sec-W03, sec-L15: every route of the table, GET and HEAD."""
    which = house.make(archive_private=True, advertised=False, emergency=True)
    house.join(which, "ann@example.org", name="Secret Name")
    house.mail(POST % b"ann@example.org", "test:post")
    stranger = new()
    for route in site.routes:
        if "GET" not in route.methods:
            continue
        path = fill(route.path, "test")
        answer = stranger.get(path)
        assert answer.status == (200 if route.path in OPEN else answer.status)
        assert route.path in OPEN or answer.status in (403, 404), path
        for secret in ("ann@example.org", "Secret Name", "onerror", "ann at"):
            shown = answer.text.replace('value="ann@example.org"', "") if "{user}" in route.path else answer.text
            assert secret not in shown, path
        assert route.path.endswith((".css", ".svg")) or answer.headers["cache-control"] == "private, no-store"


def test_every_post_route_needs_a_token(house, site, boss_of_test, ann: Person, new) -> None:
    """sec-W05: without, with that of another session, and from another origin; for everybody."""
    posts = sorted({route.path for route in site.routes if "POST" in route.methods})
    assert len(posts) == 17
    before = registry_of(house), member(house)
    foreign = token_of(ann.get(ANN))
    fields = {"do": "leave", "sure": "on", "people": "x@example.org", "emergency": "yes", "everybody": "on",
              "admin.new": "otra clave 77", "admin.again": "otra clave 77", "email": "eve@example.net",
              "page": "admin", "password": SECRET}  # fmt: skip
    for path in (fill(one, "test") for one in posts):
        for person in (boss_of_test, new()):
            for token in ("", "x", foreign):
                assert person.post(path, {**fields, "token": token}).status == 403, path
        good = {**fields, "token": token_of(boss_of_test.get("/mailman/admin/test"))}
        for origin in ("https://evil.example", "null"):
            assert boss_of_test.post(path, good, origin=origin).status == 403, path
    assert (registry_of(house), member(house)) == before
    assert boss_of_test.get("/mailman/admin/test").status == 200


@pytest.mark.parametrize(
    ("origin", "fetched", "status"),
    [
        ("null", "same-origin", 303),  # Chromium and Firefox under Referrer-Policy: no-referrer
        ("null", "cross-site", 403), ("null", "same-site", 403), ("null", "", 403),
        ("", "same-origin", 303), ("", "cross-site", 403), ("", "", 303),
        ("https://lists.example.org", "same-origin", 303), ("https://evil.example", "cross-site", 403),
    ],
)  # fmt: skip
def test_where_a_form_comes_from(house, boss: Person, origin: str, fetched: str, status: int) -> None:
    """sec-W05, with what real browsers send."""
    path = "/mailman/admin/test/general"
    sent = {name: value for name, value in (("origin", origin), ("sec_fetch_site", fetched)) if value}
    answer = boss.post(path, {"token": token_of(boss.get(path)), "description": "new"}, **sent)
    assert answer.status == status
    assert registry_of(house).options.description == ("new" if status == 303 else "")


def test_matrix_of_roles(house, site, boss_of_test, ann: Person, new) -> None:
    """sec-W10, sec-L14: four people, every guarded route, two lists."""
    house.join(registry_of(house), "bob@example.org")
    house.make("third")
    moderator = new()
    protect(house, registry_of(house), "moderator", "otra clave 77")
    moderator.come_in(page="admindb", password="otra clave 77")
    people = {"boss": boss_of_test, "moderator": moderator, "ann": ann, "stranger": new()}
    bob = "/mailman/options/test/bob--at--example.org"
    allowed = {
        "/mailman/admin/test": {"boss"}, "/mailman/admin/test/members": {"boss"},
        "/mailman/admin/test/passwords": {"boss"}, "/mailman/admin/test/members/add": {"boss"},
        "/mailman/admin/test/members/remove": {"boss"}, "/mailman/admin/test/archive": {"boss"},
        "/mailman/admin/test/members/change": {"boss"}, "/mailman/admin/test/members/sync": {"boss"},
        "/mailman/admindb/test": {"boss", "moderator"}, "/mailman/roster/test": {"boss", "moderator", "ann"},
        ANN: {"boss", "ann"}, bob: {"boss"},
        "/mailman/options/other/ann--at--example.org": {"ann"}, "/mailman/roster/other": {"ann"},
        "/mailman/options/other/bob--at--example.org": set(),
        "/mailman/admin/other": set(), "/mailman/admin/other/members": set(), "/mailman/admindb/other": set(),
        "/mailman/admin/third": set(), "/mailman/roster/third": set(),
    }  # fmt: skip
    for path, may in allowed.items():
        for name, person in people.items():
            assert (person.get(path).status == 200) is (name in may), (path, name)
            if name not in may:
                token = token_of(boss_of_test.get("/mailman/admin/test"))
                assert person.post(path, {"token": token, "do": "leave", "sure": "on"}).status in (403, 405)
    assert member(house, address="bob@example.org") is not None


def test_private_archive_for_members(house, site, ann: Person, boss_of_test, new, tmp_path) -> None:
    """W04, sec-W03: a member reads it, kept by nobody; a stranger gets the form to come in."""
    folder = house.root / "archives/private/test"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<html>secret pages</html>")
    house.office.core.write_now(lambda c: registry.change(c, registry_of(house), {"archive_private": True}))
    for path in ("/mailman/private/test/", "/mailman/private/test/index.html"):
        answer = ann.get(path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
        assert "secret pages" in answer.text
        stranger = new().get(path)
        assert stranger.status == 403
        assert "secret pages" not in stranger.text
    assert ann.get("/mailman/private/test").headers["location"] == "test/"
    assert ann.get("/mailman/private/test/../../core.db").status == 404


@pytest.mark.parametrize("language", ["en", "es"])
def test_pages_are_plain_and_accessible(house, boss_of_test, ann: Person, new, language: str) -> None:
    """W21, W25: labels, one heading, no script, no style in the page, in both languages."""
    house.mail(POST % b"eve@example.net", "test:post", sender="eve@example.net")
    visits = [(boss_of_test, f"/mailman/admin/test/{category}") for category in CATEGORIES]
    visits += [
        (boss_of_test, "/mailman/admin/test/members"), (boss_of_test, "/mailman/admin/test/members/add"),
        (boss_of_test, "/mailman/admin/test/members/remove"), (boss_of_test, "/mailman/admin/test/passwords"),
        (boss_of_test, "/mailman/admin/test/members/change"), (boss_of_test, "/mailman/admin/test/members/sync"),
        (boss_of_test, "/mailman/admindb/test"), (boss_of_test, "/mailman/admin"), (ann, ANN),
        (new(), "/mailman/admin/test"), (new(), "/mailman/options/test"), (ann, "/mailman/roster/test"),
        (new(), "/mailman/listinfo/test"),
    ]  # fmt: skip
    for person, path in visits:
        page = person.get(f"{path}?language={language}")
        parser = Accessible()
        parser.feed(page.text)
        assert parser.fields == parser.labels, path
        assert parser.tags.count("h1") == 1
        assert not {"script", "style", "iframe"} & set(parser.tags)
        assert f'<html lang="{language}"' in page.text
        assert "{" not in re.sub(r"<textarea.*?</textarea>", "", page.text, flags=re.S), path
        assert person.get(path).text.count(f'<html lang="{language}"') == 1  # the choice is remembered
