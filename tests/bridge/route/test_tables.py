"""S54, S57, S58, S62-like permissions, sec-D04, D04: the snapshot follows files and database."""
import os
import pwd
from dataclasses import replace

import pytest

from bridge.config.accounts import Accounts as AccountSettings
from bridge.config.mail import Mail
from bridge.route.resolver import Kind, resolve
from bridge.route.tables import Current
from bridge.store import aliasfiles
from bridge.store.accounts import Accounts
from bridge.store.aliasfiles import Unsafe
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import Schema, migrate
from bridge.store.systemusers import SystemUsers
from bridge.store.tables import bump, core

POINT = Failpoint("testtables.commit", "tests of the routing tables")
GOOD = "correct horse battery"


class House:
    """A database, an alias file, a clock and the tables over them."""

    def __init__(self, tmp_path, **settings):
        self.now = 0.0
        self.reports = []
        self.lists = {}
        self.file = tmp_path / "aliases"
        self.mail = Mail(domains=("example.org",), aliases=(str(self.file),), **settings)
        self.database = Database(f"sqlite:///{tmp_path}/core.db", point=POINT, synchronous="OFF")
        migrate(self.database, Schema("core", core))
        self.accounts = Accounts(self.database, AccountSettings(hash_memory=64, hash_rounds=1), tmp_path)
        self.current = Current(
            self.mail, self.database, self.accounts, lists=lambda connection: self.lists,
            report=self.reports.append, monotonic=lambda: self.now,
        )

    def write(self, text):
        draft = self.file.with_suffix(".new")
        draft.write_text(text)
        os.replace(draft, self.file)
        self.now += 2

    def end(self, name):
        (route,) = resolve(f"{name}@example.org", self.current.tables)
        return route.target or route.kind.value


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    made.accounts.add("juan@example.org", GOOD)
    made.accounts.add("eva@example.org", GOOD)
    yield made
    made.database.close()


def test_nothing_changed_is_the_same_object(house):
    house.write("a: juan\n")
    first = house.current.tables
    house.now += 10
    assert house.current.tables is first


def test_accounts_and_lists_are_noticed_at_once(house):
    assert house.end("nueva") == "refuse"
    house.accounts.add("nueva@example.org", GOOD)
    assert house.end("nueva") == "nueva@example.org"
    house.lists["students"] = "example.org"
    assert house.end("students") == "refuse"
    house.database.write_now(lambda connection: bump(connection, "lists"))
    assert house.end("students") == "students:post"


def test_edits_of_the_alias_file_are_noticed_within_a_second(house):
    """S58: without newaliases, and at once with it."""
    assert house.end("jefe") == "refuse"
    house.write("jefe: juan\n")
    assert house.end("jefe") == "juan@example.org"
    house.file.write_text("jefe: eva\n# longer\n")
    assert house.end("jefe") == "juan@example.org"
    house.current.reload()
    assert house.end("jefe") == "eva@example.org"
    house.file.unlink()
    house.now += 2
    assert house.end("jefe") == "refuse"


def test_a_broken_file_keeps_the_old_table_and_says_so_once(house):
    house.write("jefe: juan\n")
    assert house.end("jefe") == "juan@example.org"
    house.write("jefe eva\notro: eva\n")
    assert house.end("jefe") == "juan@example.org"
    assert house.end("otro") == "refuse"
    house.now += 5
    assert house.current.tables
    assert [complaint.line for complaint in house.reports] == [1]
    assert house.current.complaints
    house.write("jefe: eva\n")
    assert house.end("jefe") == "eva@example.org"
    assert not house.current.complaints


def test_a_file_that_was_never_good_gives_what_it_can(house):
    house.write("jefe juan\notro: eva\n")
    assert house.end("otro") == "eva@example.org"
    assert house.end("jefe") == "defer"
    assert house.end("juan") == "juan@example.org"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_refuses_nobody(house):
    house.write("jefe: juan\n")
    house.file.chmod(0)
    assert house.end("jefe") == "defer"
    assert "can't be read" in str(house.reports[0])
    house.file.chmod(0o644)
    house.now += 2
    assert house.end("jefe") == "juan@example.org"


def test_a_folder_in_the_place_of_the_file_refuses_nobody(house):
    house.file.mkdir()
    assert house.end("jefe") == "defer"
    assert "not a regular file" in str(house.reports[0])


def test_first_file_wins(tmp_path):
    house = House(tmp_path)
    (tmp_path / "more").write_text("a: eva\nb: eva\n")
    house.accounts.add("juan@example.org", GOOD)
    house.accounts.add("eva@example.org", GOOD)
    house.write("a: juan\n")
    mail = replace(house.mail, aliases=(*house.mail.aliases, str(tmp_path / "more")))
    house.current = Current(mail, house.database, house.accounts)
    assert (house.end("a"), house.end("b")) == ("juan@example.org", "eva@example.org")
    house.database.close()


def test_included_files_are_followed_and_watched(house, tmp_path):
    """S57"""
    members = tmp_path / "members"
    members.write_text("juan\n")
    house.write(f"todos: :include:{members}\n")
    assert house.end("todos") == "juan@example.org"
    members.write_text("eva  # another\n")
    house.now += 2
    assert house.end("todos") == "eva@example.org"
    members.unlink()
    house.now += 2
    assert house.end("todos") == "defer"
    assert "members" in str(house.reports[0])


def test_unsafe_includes_wait_and_alarm(house, tmp_path):
    """sec-D04: one violation of each rule; each defers and is reported."""
    good = tmp_path / "good"
    good.write_text("juan\n")
    open_to_all = tmp_path / "open"
    open_to_all.write_text("juan\n")
    open_to_all.chmod(0o666)
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("juan\n")
    (tmp_path / "way").symlink_to(tmp_path / "real")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "file").write_text("juan\n")
    (tmp_path / "shared").chmod(0o777)
    os.mkfifo(tmp_path / "pipe")
    with_program = tmp_path / "program"
    with_program.write_text("juan\n|/bin/sh\n")
    paths = [open_to_all, tmp_path / "link", tmp_path / "way/file", tmp_path / "shared/file", tmp_path / "pipe",
             with_program, tmp_path / "none", tmp_path / "real", tmp_path.parent / "elsewhere"]
    house.write("ok: :include:" + str(good) + "\n" + "".join(f"n{i}: :include:{p}\n" for i, p in enumerate(paths)))
    assert house.end("ok") == "juan@example.org"
    for i, path in enumerate(paths):
        (route,) = resolve(f"n{i}@example.org", house.current.tables)
        assert route.kind is Kind.DEFER, path
        assert any(str(path) == complaint.file for complaint in house.reports), path


def test_includes_of_includes_end(house, tmp_path):
    """sec-D04: depth 5, and no endless circle."""
    for i in range(9):
        (tmp_path / f"m{i}").write_text(f":include:{tmp_path}/m{i + 1}\n")
    (tmp_path / "m9").write_text("juan\n")
    (tmp_path / "c").write_text(f"eva\n:include:{tmp_path}/c\n")
    house.write(f"deep: :include:{tmp_path}/m0\nless: :include:{tmp_path}/m6\ncircle: :include:{tmp_path}/c\n")
    assert house.end("deep") == "defer"
    assert house.end("circle") == "eva@example.org"


def test_programs_of_an_open_file_are_not_used(tmp_path):
    """sec-D01: only files that root or we alone could have written may name programs."""
    house = House(tmp_path, programs=("/usr/bin/vacation",))
    house.write("v: |/usr/bin/vacation juan\n")
    assert resolve("v@example.org", house.current.tables)[0].kind is Kind.PROGRAM
    house.file.chmod(0o666)
    house.now += 2
    assert resolve("v@example.org", house.current.tables)[0].kind is Kind.DEFER
    assert "chmod" in str(house.reports[-1])
    house.database.close()


def test_large_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(aliasfiles, "MOST_BYTES", 10)
    (tmp_path / "a").write_text("x" * 11)
    with pytest.raises(Unsafe, match="larger"):
        aliasfiles.read(tmp_path / "a")


def entry(name, uid, home):
    return pwd.struct_passwd((name, "x", uid, uid, f"{name.title()},,,", home, "/bin/sh"))


def test_system_users(tmp_path):
    """D04"""
    people = [entry("Carmen", 1000, "/home/carmen"), entry("daemon", 1, "/"), entry("nobody", 65534, "/nonexistent"),
              entry("rooted", 1001, "/")]
    now = [0.0]
    people += [entry("toor", 0, "/home/toor"), pwd.struct_passwd(("wheel", "x", 1003, 0, "", "/home/wheel", "/bin/sh"))]
    settings = AccountSettings(system_store="mbox", stores={"LUIS@example.org": "maildir", "example.org": "database"})
    users = SystemUsers(settings, "example.org", entries=lambda: people, monotonic=lambda: now[0])
    found = users.users()
    assert list(found) == ["carmen"]
    assert (found["carmen"].store, str(found["carmen"].mbox)) == ("mbox", "/var/mail/Carmen")
    assert found["carmen"].system == "Carmen", "as the system calls them"
    assert users.by_login("CARMEN") == users.by_login("carmen@example.org") == users.by_address("carmen@example.org")
    assert users.by_address("carmen@club.example") is users.by_login("daemon") is None
    assert str(found["carmen"].maildir) == "/home/carmen/Maildir"
    assert (found["carmen"].id, found["carmen"].name) == (-1000, "Carmen")
    now[0] = 61
    assert users.users() is found
    people.append(entry("luis", 1002, "/home/luis"))
    assert users.users() is found
    now[0] = 122
    assert set(users.users()) == {"carmen", "luis"}
    assert users.users()["luis"].store == "maildir"
    house = House(tmp_path)
    house.current = Current(house.mail, house.database, house.accounts, system=users)
    assert house.end("luis+x") == "luis@example.org"
    house.database.close()


def test_settings_explain_their_mistakes():
    assert list(Mail().problems()) == []
    bad = Mail(domains=("exa mple",), virtual_domains=("a.example",), relay_domains=("A.example",), smarthost="http://x/",
               programs=("vacation",), file_folders=("/var/../etc",))
    assert [problem.setting for problem in bad.problems()] == [
        "domains", "relay_domains", "smarthost", "programs", "file_folders",
    ]
    assert [problem.fatal for problem in Mail(programs=("/bin/",)).problems()] == [False]
    assert [problem.setting for problem in Mail(domains=()).problems()] == ["domains"]
    assert list(AccountSettings().problems()) == []
    weak = AccountSettings(home="juan", password_minimum=1, hash_memory=64)
    assert {problem.setting for problem in weak.problems()} == {"home", "hash_memory", "password_minimum"}
