"""sec-A03 to sec-A07, sec-A10, sec-D07, sec-D13, sec-D14: accounts, their names and passwords."""
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.config.accounts import Accounts as Settings
from bridge.store import names, passwords
from bridge.store.accounts import AccountError, Accounts
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import Schema, migrate
from bridge.store.tables import audit, core

POINT = Failpoint("testaccounts.commit", "tests of accounts")
CHEAP = Settings(hash_memory=64, hash_rounds=1)
GOOD = "correct horse battery"


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/core.db", point=POINT, synchronous="OFF")
    migrate(made, Schema("core", core))
    yield made
    made.close()


@pytest.fixture
def accounts(database, tmp_path):
    return Accounts(database, CHEAP, tmp_path, domains=("example.org", "fi.example.org"))


def test_added_account_is_found_by_every_name(accounts, tmp_path):
    made = accounts.add("Juan@Example.ORG", GOOD, also=["juan.perez@example.org"], language="es", quota=5)
    assert made.address == made.login == "juan@example.org"
    assert made.maildir == tmp_path / "mail/example.org/juan/Maildir"
    assert made.home == tmp_path / "mail/example.org/juan"
    assert (made.language, made.quota, made.enabled) == ("es", 5, True)
    for name in ("juan@example.org", "JUAN@EXAMPLE.org", "juan.perez@example.org"):
        assert accounts.by_address(name) == made
    assert accounts.by_login("juan") == made
    assert accounts.by_login("juan.perez@example.org") is None
    assert accounts.by_address("nobody@example.org") is None
    assert accounts.all() == [made]


@pytest.mark.parametrize(
    ("home", "root"),
    [("{mail}/{domain}/{user}", "mail"), ("{data}/homes/{user}", "homes"), ("{data}/a/u-{user}/x", "a")],
)
def test_homes_are_made_below_what_they_have_in_common(database, tmp_path, home, root):
    """Also where the setting leads elsewhere: a new account's first mail makes its home."""
    assert Accounts(database, replace(CHEAP, home=home), tmp_path).root == tmp_path / root


def test_name_without_domain_gets_the_first(accounts):
    assert accounts.add("carmen", GOOD).login == "carmen@example.org"


def test_bare_login_only_where_it_is_unique(accounts):
    accounts.add("juan@example.org", GOOD)
    assert accounts.by_login("juan") is not None
    accounts.add("juan@fi.example.org", GOOD)
    assert accounts.by_login("juan") is None
    accounts.delete("juan@example.org")
    assert accounts.by_login("juan").login == "juan@fi.example.org"


def test_verify(accounts):
    accounts.add("juan@example.org", GOOD)
    assert accounts.verify("juan@example.org", GOOD, "imap", "127.0.0.1").login == "juan@example.org"
    assert accounts.verify("juan", GOOD, "imap", "127.0.0.1")
    wrong = [("juan", "wrong"), ("nobody", GOOD), ("", GOOD), ("juan", ""), ("juan@example.org", GOOD + " ")]
    for login, password in wrong:
        assert accounts.verify(login, password, "imap", "127.0.0.1") is None
    accounts.change("juan", enabled=False)
    assert accounts.verify("juan", GOOD, "imap", "127.0.0.1") is None


def test_password_is_the_same_composed_and_decomposed(accounts):
    accounts.add("juan@example.org", "contraseña buena")
    assert accounts.verify("juan", "contrasen\u0303a buena", "imap", "")


def test_unknown_user_costs_as_many_hashes_as_a_known_one(accounts, monkeypatch):
    """sec-A03: counted instead of timed."""
    accounts.add("juan@example.org", GOOD)
    accounts.verify("warm-up", "x", "imap", "")
    calls = []
    real = passwords.Hasher._argon_check
    monkeypatch.setattr(passwords.Hasher, "_argon_check", lambda self, s, t: (calls.append(1), real(self, s, t))[1])
    counts = []
    for login in ("juan@example.org", "nobody@example.org", "'; DROP TABLE account; --", ""):
        calls.clear()
        accounts.verify(login, "wrong password", "imap", "")
        counts.append(len(calls))
    assert counts == [1, 1, 1, 1]


def test_sql_in_names_stays_text(accounts):
    """sec-A07"""
    accounts.add("juan@example.org", GOOD)
    for login in ("' OR 1=1 --", "juan' --", 'juan"; DELETE FROM account; --', "juan@example.org' OR 'a'='a"):
        assert accounts.by_login(login) is None
        assert accounts.verify(login, GOOD, "imap", "") is None
    assert len(accounts.all()) == 1


def test_old_hashes_are_read_and_replaced_at_login(accounts, database):
    """sec-A05: {SSHA} and $6$ of other programs."""
    ssha = "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0"      # "secret", salt "salt"
    crypt = ("$6$rounds=1500$abc$EQJvg8JAzPzdZ6Cftn.wqMOCn7uQeY/MBH4kDbROqZUsGbiJfI8eyIVww1kP4Q."
             "k5fElcNwhi0vXkMMyBXfje1")
    accounts.add("ana@example.org", ssha, hashed=True)
    accounts.add("eva@example.org", crypt, hashed=True)
    before = accounts.generation()
    assert accounts.verify("eva", "k", "imap", "")
    assert accounts.verify("eva", "k", "imap", "")
    assert accounts.verify("eva", "K", "imap", "") is None
    assert accounts.generation() == before
    with database.read() as connection:
        stored = dict(connection.exec_driver_sql("SELECT login, password FROM account").all())
    assert stored["eva@example.org"].startswith("$argon2id$")
    assert stored["ana@example.org"] == ssha
    assert accounts.verify("ana", "Secret", "imap", "") is None
    assert accounts.verify("ana", "secret", "imap", "")
    with pytest.raises(AccountError):
        accounts.add("eve@example.org", "{MD5}abc", hashed=True)


def test_cheaper_hash_is_replaced_when_settings_ask_for_more(accounts, database, tmp_path):
    accounts.add("juan@example.org", GOOD)
    dearer = Accounts(database, Settings(hash_memory=128, hash_rounds=1), tmp_path)
    assert dearer.verify("juan", GOOD, "imap", "")
    with database.read() as connection:
        assert "m=128," in connection.exec_driver_sql("SELECT password FROM account").scalar()


@pytest.mark.parametrize(
    ("password", "word"),
    [("", "empty"), ("short", "8 or more"), ("juan@example.org", "name"), ("abcabcabc", "tried first"),
     ("password1", "tried first"), ("aaaaaaaaaa", "tried first"),
     ("23456789", "tried first"), ("abc\x00defghi", "control"), ("x" * 600, "longer"),
     ("contraseña", "tried first"), ("juan12345", "name"), ("gro.elpmaxe@nauj", "name")],
)
def test_weak_passwords_are_refused_with_a_reason(accounts, password, word):
    with pytest.raises(AccountError, match=word):
        accounts.add("juan@example.org", password)
    assert accounts.all() == []


def test_weak_passwords_pass_after_the_switch(database, tmp_path):
    lax = Accounts(database, Settings(hash_memory=64, hash_rounds=1, password_weak=True), tmp_path)
    lax.add("juan@example.org", "juan")
    assert lax.verify("juan", "juan", "pop3", "")


def test_passwd_and_delete(accounts):
    accounts.add("juan@example.org", GOOD)
    accounts.passwd("juan", "another good one", actor="cli:root")
    assert accounts.verify("juan", GOOD, "imap", "") is None
    assert accounts.verify("juan", "another good one", "imap", "")
    assert accounts.delete("juan").login == "juan@example.org"
    assert accounts.by_address("juan@example.org") is None
    assert accounts.all() == []
    for call in (lambda: accounts.delete("juan"), lambda: accounts.passwd("juan", GOOD)):
        with pytest.raises(AccountError, match="no account"):
            call()
    again = accounts.add("juan@example.org", GOOD)
    assert accounts.by_login("juan") == again


def test_further_addresses(accounts):
    accounts.add("juan@example.org", GOOD)
    accounts.add("ana@example.org", GOOD)
    accounts.add_address("juan", "jefe@fi.example.org")
    assert accounts.by_address("jefe@fi.example.org").login == "juan@example.org"
    with pytest.raises(AccountError, match="exists"):
        accounts.add_address("ana", "JEFE@fi.example.org")
    with pytest.raises(AccountError, match="exists"):
        accounts.add("jefe@fi.example.org", GOOD)
    accounts.remove_address("juan", "jefe@fi.example.org")
    assert accounts.by_address("jefe@fi.example.org") is None
    with pytest.raises(AccountError):
        accounts.remove_address("juan", "juan@example.org")


@pytest.mark.parametrize(
    "name",
    ["JUAN", "ｊｕａｎ", "juan\u200b", "jυan", "ju\u0430n", "juan.", ".juan", "ju..an", "../juan", "juan/x", "~juan",
     "juan+x", "ju an", "juan\x00", "", "-juan", "%s", "${juan}", "x" * 65, "\u202enauj", '"juan x"'],
)
def test_names_that_look_alike_or_leave_the_folder_are_refused(accounts, name):
    """sec-D07, sec-D13"""
    accounts.add("juan@example.org", GOOD)
    with pytest.raises(AccountError):
        accounts.add(f"{name}@example.org", GOOD)
    assert len(accounts.all()) == 1


def test_whole_name_in_another_script(accounts):
    """sec-D13: all letters Cyrillic, each with a Latin double."""
    accounts.add("ace@example.org", GOOD)
    with pytest.raises(AccountError, match="looks the same"):
        accounts.add("асе@example.org", GOOD)
    assert accounts.add("почта@example.org", GOOD)
    assert accounts.add("peña@example.org", GOOD)
    with pytest.raises(AccountError, match="exists"):
        accounts.add("PEN\u0303A@example.org", GOOD)


@pytest.mark.parametrize(
    "name", ["postmaster", "Root", "ABUSE", "owner-students", "students-owner", "list-request", "x-bounces", "admin"]
)
def test_reserved_names(accounts, name):
    """sec-D14"""
    with pytest.raises(AccountError, match="reserved"):
        accounts.add(f"{name}@example.org", GOOD)
    assert accounts.add(f"{name}@example.org", GOOD, allow_reserved=True)


def test_other_domains_and_no_addresses(accounts):
    for text in ("juan@elsewhere.example", "a@b@c", "juan@", "@example.org", "<juan@example.org>"):
        with pytest.raises(AccountError):
            accounts.add(text, GOOD)


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_part_is_one_safe_component(text):
    """sec-D07"""
    part = names.part(text)
    assert part
    assert part not in (".", "..")
    assert not part.startswith((".", "-", "~"))
    assert "/" not in part
    assert "\0" not in part
    assert len(part.encode()) <= 200


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_skeleton_and_rules_never_raise(text):
    assert names.skeleton(text) == text or not text.isascii()
    assert isinstance(names.problem_of(text), str)


def test_app_passwords(accounts):
    """sec-A06"""
    accounts.add("juan@example.org", GOOD)
    secret = accounts.add_app_password("juan", "phone", ("imap", "smtp"))
    assert len(secret.replace("-", "")) == 26
    for form in (secret, secret.replace("-", ""), secret.replace("-", " ")):
        assert accounts.verify("juan", form, "imap", "").login == "juan@example.org"
    assert accounts.verify("juan", secret, "pop3", "") is None
    accounts.add("ana@example.org", GOOD)
    assert accounts.verify("ana", secret, "imap", "") is None
    (one,) = accounts.app_passwords("juan")
    assert (one.label, one.scopes) == ("phone", ("imap", "smtp"))
    with pytest.raises(AccountError):
        accounts.remove_app_password("ana", one.id)
    accounts.remove_app_password("juan", one.id)
    assert accounts.verify("juan", secret, "imap", "") is None
    assert accounts.verify("juan", GOOD, "imap", "")


def test_use_of_an_app_password_is_noted_without_a_new_generation(accounts, database):
    accounts.add("juan@example.org", GOOD)
    secret = accounts.add_app_password("juan", "phone")
    before = accounts.generation()
    accounts.verify("juan", secret, "imap", "")
    database.write_now(lambda connection: None)
    assert accounts.app_passwords("juan")[0].used_at > 0
    assert accounts.generation() == before


def test_every_change_is_audited_and_counted(accounts, database):
    """sec-A03: who did what, in the same transaction."""
    numbers = [accounts.generation()]
    for change in (
        lambda: accounts.add("juan@example.org", GOOD, actor="cli:eva"),
        lambda: accounts.passwd("juan", "another good one"),
        lambda: accounts.change("juan", quota=7, language="es"),
        lambda: accounts.add_address("juan", "jefe@example.org"),
        lambda: accounts.delete("juan"),
    ):
        change()
        numbers.append(accounts.generation())
    assert numbers == sorted(set(numbers))
    with database.read() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(audit.c.actor, audit.c.action, audit.c.detail))]
    assert rows == [
        ("cli:eva", "account.add", ""), ("system", "account.passwd", ""),
        ("system", "account.change", "quota=7 language=es"),
        ("system", "account.address", "+jefe@example.org"), ("system", "account.delete", ""),
    ]
    assert not any(GOOD in str(row) for row in rows)


def test_failed_change_leaves_no_trace(accounts, database):
    accounts.add("juan@example.org", GOOD)
    before = accounts.generation()
    with pytest.raises(AccountError):
        accounts.add("juan@example.org", GOOD)
    assert accounts.generation() == before
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(audit)).scalar() == 1


ADDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_accounts as t
database = t.Database(f"sqlite:///{sys.argv[1]}/core.db", point=t.POINT, lock=Path(sys.argv[1]) / "core.lock")
accounts = t.Accounts(database, t.CHEAP, Path(sys.argv[1]))
for n in range(int(sys.argv[4])):
    accounts.add(f"{sys.argv[3]}{n}@example.org", t.GOOD)
database.close()
"""


def test_other_processes_notice(accounts, tmp_path):
    """Two processes add accounts at once; this one sees all of them without being told."""
    assert accounts.all() == []
    command = [sys.executable, "-c", ADDER, str(tmp_path), str(Path(__file__).parent)]
    both = [subprocess.Popen([*command, who, "15"]) for who in ("ana", "eva")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert [one.login for one in accounts.all()] == sorted(
        f"{who}{n}@example.org" for who in ("ana", "eva") for n in range(15)
    )
    assert accounts.generation() == 30


def test_same_name_at_once_is_made_once(accounts):
    results = []

    def work():
        try:
            accounts.add("juan@example.org", GOOD)
            results.append("made")
        except AccountError:
            results.append("refused")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["made"] + ["refused"] * 5


def test_places_come_from_templates_and_move_with_the_data(database, tmp_path):
    settings = Settings(hash_memory=64, hash_rounds=1, home="{data}/people/{user}@{domain}", maildir="{home}/mail")
    here = Accounts(database, settings, tmp_path)
    here.add("juan@example.org", GOOD)
    there = Accounts(database, settings, Path("/elsewhere"))
    assert there.by_login("juan").maildir == Path("/elsewhere/people/juan@example.org/mail")
    fixed = here.add("ana@example.org", GOOD, maildir="/home/ana/Maildir")
    assert fixed.maildir == Path("/home/ana/Maildir")


def test_how_mail_is_kept_by_address_domain_and_default(database, tmp_path):
    """D01, D03: the nearest word counts; users of two domains never share an mbox."""
    given_stores = {"Example.ORG": "mbox", "ana@example.org": "database"}
    chosen = replace(CHEAP, stores=given_stores, mbox="/var/mail/{user}")
    accounts = Accounts(database, chosen, tmp_path, domains=("example.org", "fi.example.org"))
    for one in ("juan@example.org", "ana@example.org", "juan@fi.example.org"):
        accounts.add(one, GOOD)
    found = {one.login: (one.store, str(one.mbox)) for one in accounts.all()}
    assert found == {
        "juan@example.org": ("mbox", "/var/mail/juan"), "ana@example.org": ("database", "/var/mail/ana"),
        "juan@fi.example.org": ("maildir", "/var/mail/juan@fi.example.org"),
    }  # fmt: skip
    problems = [one.setting for one in replace(chosen, stores={"x": "mbx"}, mbox="/var/mail/all").problems()]
    assert problems[:2] == ["mbox", "stores"]


def test_several_accounts_or_none(accounts):
    """One that can't be made is named by its place, and nothing was added."""
    for people, place in (
        ([("ana@example.org", GOOD), ("luis@example.org", "corta")], 1),
        ([("ana@example.org", GOOD), ("luis@example.org", GOOD), ("Ana@example.org", GOOD)], 2),
        ([("ana@example.net", GOOD)], 0),
    ):
        with pytest.raises(AccountError) as error:
            accounts.add_all(people)
        assert error.value.number == place
        assert accounts.all() == []
    accounts.add_all([("ana@example.org", GOOD), ("luis@example.org", GOOD)], actor="cli:root")
    assert [one.address for one in accounts.all()] == ["ana@example.org", "luis@example.org"]
    assert accounts.verify("luis@example.org", GOOD, "imap", "") is not None


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("luis@example.org", "corta", "La contraseña tiene 5 caracteres y necesita 8 o más"),
        ("luis@example.net", GOOD, "example.net no es un dominio de correo de este servidor"),
        ("postmaster@example.org", GOOD, "postmaster es un nombre reservado"),
        ("a b@example.org", GOOD, "no es una dirección; escriba por ejemplo juan@example.org"),
    ],
)
def test_refusals_are_told_in_the_language_of_the_terminal(accounts, monkeypatch, name, password, told):
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    with pytest.raises(AccountError, match=told):
        accounts.add(name, password)
