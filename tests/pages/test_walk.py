"""What people do on the pages, in real Chromium against the started program (L31, W01, W03, F55)."""

import sqlite3
from contextlib import closing

from bridge.store.passwords import Hasher
from tests.bridge.intake.fetch.fakes import PASSWORD as THERE_PASSWORD
from tests.bridge.intake.fetch.fakes import USER, FakeImap
from tests.chromium import Chromium
from tests.lab import DOMAIN, PASSWORD, Lab, until
from tests.pages.visits import LIST_PASSWORD, url

LIST = "gamma"
MEMBERS = f"/mailman/admin/{LIST}/members"


def members(lab: Lab, name: str = LIST, where: str = "1") -> list[str]:
    """Straight from the database: a command would take its time for each look."""
    with closing(sqlite3.connect(f"file:{lab.data}/db/core.db?mode=ro", uri=True)) as core:
        query = (
            "SELECT m.address FROM list_member m JOIN mailing_list l ON l.id = m.list_id WHERE l.name = ? "
            f"AND {where} ORDER BY m.key"
        )
        return [row[0] for row in core.execute(query, [name])]


def words(browser: Chromium) -> str:
    return str(browser.run("document.querySelector('main').innerText"))


def test_an_owner_keeps_the_members(browser: Chromium, lab: Lab) -> None:
    """L31: add with a wrong line, every column, search by regexp, chunks, another address, equal to a list, everybody's
    moderation bit, removal; each seen in the database afterwards."""
    lab.command("newlist", "-q", LIST, f"ana@{DOMAIN}", LIST_PASSWORD)
    browser.call("Network.clearBrowserCookies")
    browser.go(url(lab, f"{MEMBERS}/add?language=en"))
    browser.fill(listpassword=LIST_PASSWORD)
    browser.press("button[value=list]")
    browser.go(url(lab, f"{MEMBERS}/add"))
    browser.fill(people="Ana <ana@example.org>\nluis@example.org\nno address\neva@example.net", welcome=False)
    assert browser.press("main form button") == 200
    assert "no address: is no address" in words(browser)
    assert browser.run("document.getElementById('people').value") == "no address"
    assert members(lab) == ["ana@example.org", "eva@example.net", "luis@example.org"]

    browser.go(url(lab, f"{MEMBERS}?find=^(ana|eva)@"))
    assert browser.run("document.querySelectorAll('td.who').length") == 2
    heads = browser.run("[...document.querySelectorAll('.members th')].map(one => one.innerText.trim())")
    assert len(heads) == 9, heads
    number = browser.run("document.querySelector('input[name^=\"m.\"]').name.slice(2)")
    row = {f"{kind}.{number}": True for kind in ("moderated", "hide", "nomail", "ack", "notmetoo")}
    browser.fill(**row, **{f"nodupes.{number}": False, f"language.{number}": "es"})
    assert browser.press(".bar button") == 200
    assert "find=" in browser.run("location.search"), "the search stays"
    for kind, value in (*row.items(), (f"nodupes.{number}", False)):
        assert browser.run(f"document.getElementById('{kind}').checked") is value, kind
    assert browser.run("document.querySelector('td abbr').innerText") == "A"
    assert members(lab, where="delivery = 'byadmin' AND moderated") == ["ana@example.org"]
    assert browser.go(url(lab, f"{MEMBERS}?find=(a")) == 400
    assert browser.run("document.getElementById('find').value") == "(a"

    browser.go(url(lab, f"{MEMBERS}/change"))
    browser.fill(old="eva@example.net", new="luis@example.org")
    assert browser.press("main form button") == 400
    assert "is a member already" in words(browser)
    browser.fill(new="eva.new@example.net")
    assert browser.press("main form button") == 200
    assert "eva.new@example.net" in members(lab)

    browser.go(url(lab, f"{MEMBERS}/sync"))
    browser.fill(people="ana@example.org\nzoe@example.net", welcome=False)
    browser.press("button[value=plan]")
    assert "eva.new@example.net" in members(lab), "only shown"
    browser.press("button[value=sync]")
    assert members(lab) == ["ana@example.org", "zoe@example.net"]

    browser.go(url(lab, MEMBERS))
    browser.press("button[name=everybody][value=on]")
    assert members(lab, where="moderated") == ["ana@example.org", "zoe@example.net"]
    browser.press("button[name=everybody][value=off]")
    assert members(lab, where="moderated") == []
    browser.go(url(lab, f"{MEMBERS}?find=zoe"))
    number = browser.run("document.querySelector('input[name^=\"m.\"]').name.slice(2)")
    browser.fill(**{f"unsub.{number}": True})
    browser.press(".bar button")
    assert members(lab) == ["ana@example.org"]


def test_a_member_sets_options_and_leaves(browser: Chromium, lab: Lab) -> None:
    """W03: options here and on all lists, other lists, another address (asked there), unsubscribing with its box."""
    lab.command("newlist", "-q", "delta", f"luis@{DOMAIN}", LIST_PASSWORD)
    for name in ("delta", "alfa"):
        lab.command("add_members", "-w", "n", "-a", "n", "-r", "-", name, text=f"luis@{DOMAIN}\n")
    browser.call("Network.clearBrowserCookies")
    browser.go(url(lab, "/mailman/options/delta?language=es"))
    browser.fill(account=f"luis@{DOMAIN}", password=PASSWORD)
    assert browser.press("button[value=account]") == 200
    page = browser.run("location.href")
    browser.fill(**{"delivery.off": True, "ack": True, "name": "Luis Ñu", "everywhere": True})
    assert browser.press("main form button") == 200
    assert "Guardado." in words(browser)
    for name in ("alfa", "delta"):
        assert members(lab, name, "delivery = 'byuser' AND ack AND m.name = 'Luis Ñu'") == [f"luis@{DOMAIN}"]
    assert browser.run("document.querySelector('#others ~ ul a').innerText").lower() == "alfa"

    browser.fill(newaddress="nowhere")
    browser.run("document.querySelector('button[value=move]').form.noValidate = true")
    assert browser.press("button[value=move]") == 400
    assert "Dirección nueva: eso no es una dirección" in words(browser)
    assert browser.run("document.getElementById('newaddress').value") == "nowhere"
    browser.go(page)
    browser.fill(newaddress=f"ana@{DOMAIN}")
    assert browser.press("button[value=move]") == 200
    until(lambda: any(b"confirm_move" in one.read_bytes() or b"/mailman/confirm/delta/" in one.read_bytes()
                      for one in lab.mails("ana")))  # fmt: skip
    assert members(lab, "delta") == [f"luis@{DOMAIN}"]

    browser.go(page)
    browser.run("document.querySelector('button[value=leave]').form.noValidate = true")
    assert browser.press("button[value=leave]") == 400
    assert members(lab, "delta") == [f"luis@{DOMAIN}"]
    browser.fill(sure=True)
    assert browser.press("button[value=leave]") == 200
    assert members(lab, "delta") == []


def test_a_member_from_elsewhere_comes_in_with_an_own_password(browser: Chromium, lab: Lab) -> None:
    """W03: one password on all lists; a wrong one opens nothing."""
    member, password = "eva@client.example.org", "tres tristes tigres"
    lab.command("add_members", "-w", "n", "-a", "n", "-r", "-", "alfa", text=f"{member}\n")
    with closing(sqlite3.connect(f"{lab.data}/db/core.db", timeout=20)) as core:
        core.execute("INSERT INTO list_member_password VALUES (?, ?)", [member, Hasher(1024, 1).hash(password)])
        core.commit()
    browser.call("Network.clearBrowserCookies")
    for typed, status in (("tres tigres tristes", 403), (password, 200)):
        browser.go(url(lab, "/mailman/options/alfa?language=en"))
        browser.fill(account=member, password=typed)
        assert browser.press("button[value=account]") == status
    assert member in words(browser)
    assert browser.run("!!document.querySelector('button[value=password]')")
    browser.fill(new="corta", again="corta")
    assert browser.press("button[value=password]") == 400
    assert "New password: It needs 8 characters" in words(browser)


def test_an_account_elsewhere_is_set_up_and_collected(browser: Chromium, lab: Lab, elsewhere: FakeImap) -> None:
    """F55: look, a wrong password, the right one; the file is what fetchmail reads, and the next poll collects."""
    browser.call("Network.clearBrowserCookies")
    browser.go(url(lab, "/fetchmailconf?language=es"))
    browser.fill(account=f"luis@{DOMAIN}", password=PASSWORD)
    assert browser.press("main button") == 200
    browser.fill(host="10.0.0.1")
    assert browser.press("button[value=look]") == 400
    assert "no se puede consultar desde aquí" in words(browser)
    assert elsewhere.heard == []
    browser.fill(host="127.0.0.1")
    assert browser.press("button[value=look]") == 200
    assert browser.run("document.querySelector('input[name=service]').value") == f"imap {elsewhere.port} none"
    browser.fill(user=USER, password="wrong")
    assert browser.press("main p > button[value=save]") == 400
    assert "No se ha guardado nada" in words(browser)
    assert browser.run("document.getElementById('user').value") == USER
    assert browser.run("document.getElementById('password').value") == ""
    browser.fill(password=THERE_PASSWORD)
    assert browser.press("main p > button[value=save]") == 200
    assert "Guardado." in words(browser)
    assert browser.press("button[value='try.0']") == 200
    assert "el acceso funciona" in words(browser)
    before = len(lab.mails("luis"))
    lab.command("fetch")
    assert len(lab.mails("luis")) > before
    browser.go(url(lab, "/fetchmailconf"))
    assert "todo fue bien" in words(browser)
    assert browser.press("button[value='remove.0']") == 200
    assert "Todavía ninguna" in words(browser)
