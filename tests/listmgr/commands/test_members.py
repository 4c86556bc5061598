"""add_members in both dialects, list_members, remove_members, find_member."""

import io
from dataclasses import replace

import pytest

from listmgr import roster
from listmgr.commands.desk import Stop
from listmgr.commands.members import (
    Shown,
    add_members,
    arguments,
    find_member,
    list_members,
    remove_members,
    sync_members,
)


@pytest.mark.parametrize(
    ("words", "file", "nomail"),
    [
        ("-n people.txt devel", "people.txt", False),
        ("-n - devel", "-", False),
        ("-r people.txt devel", "people.txt", False),
        ("-n -r people.txt devel", "people.txt", True),
        ("-r people.txt -n devel", "people.txt", True),
        ("--nomail --regular-members-file=- devel", "-", True),
        ("--non-digest-members-file=f devel", "f", False),
        ("--non-digest-members-file f devel", "f", False),
    ],
)
def test_both_readings_of_n(words: str, file: str, nomail: bool) -> None:
    """L07."""
    asked = arguments(words.split())
    assert (asked.name, asked.file, asked.nomail) == ("devel", file, nomail)


@pytest.mark.parametrize(
    "words", ["", "devel", "-n devel", "-r", "-r f", "-x f devel", "-n a b c", "-r f -w perhaps devel"]
)
def test_wrong_calls(words: str) -> None:
    with pytest.raises(Stop) as stop:
        arguments(words.split())
    assert stop.value.status == 2


def test_addresses_from_the_keyboard(house, desk) -> None:
    """L06: `-` is the keyboard, until Ctrl-D."""
    which = house.make("devel")
    house.join(which, "old@example.org")
    at = desk("ann@example.org\n# comment\n\nBob B. <bob@example.org>\nold@example.org\nnonsense\na@b@c.example\n")
    assert add_members(at, arguments(["-w", "n", "-n", "-", "devel"])) == 0
    assert at.stdout.getvalue().splitlines() == [
        "Subscribed: ann@example.org",
        "Subscribed: bob@example.org",
        "Already a member: old@example.org",
        "Bad/Invalid email address: nonsense",
        "Bad/Invalid email address: a@b@c.example",
    ]
    assert house.members(which) == ["ann@example.org", "bob@example.org", "old@example.org"]
    assert house.sent() == []


def test_a_file_with_mistakes_changes_nothing(house, desk, tmp_path) -> None:
    """L06, L07: every wrong line is named, nobody is added."""
    which = house.make("devel")
    path = tmp_path / "people"
    path.write_text("ann@example.org\n# comment\nnonsense\n\na@b@c.example\n")
    with pytest.raises(Stop) as stop:
        add_members(desk(), arguments(["-n", str(path), "devel"]))
    assert str(stop.value).splitlines() == [
        f"{path}:3: Bad/Invalid email address: nonsense",
        f"{path}:5: Bad/Invalid email address: a@b@c.example",
        "Nothing was changed.",
    ]
    assert house.members(which) == []
    spanish = replace(desk(), language="es")
    with pytest.raises(Stop, match=r"people:3: Dirección no válida: nonsense\n.*\nNo se ha cambiado nada"):
        add_members(spanish, arguments(["-r", str(path), "devel"]))


def test_files_that_the_caller_opened(house, desk, tmp_path) -> None:
    """Root's files are root's, although the command goes on as the server's user."""
    which = house.make("devel")
    (tmp_path / "out").write_text("something longer than what comes")
    with (tmp_path / "out").open("r+") as out:
        at = replace(desk(), opened={"people": io.StringIO("ann@example.org\n"), "out": out})
        add_members(at, arguments(["-w", "n", "-r", "people", "devel"]))
        list_members(at, "devel", Shown(output="out"))
    assert (tmp_path / "out").read_text() == "ann@example.org\n"
    assert house.members(which) == ["ann@example.org"]


def test_welcome_and_nomail(house, desk, tmp_path) -> None:
    which = house.make("devel")
    path = tmp_path / "people"
    path.write_text("ann@example.org\n")
    add_members(desk(), arguments(["-r", str(path), "--nomail", "-a", "y", "devel"]))
    assert b"Welcome to the" in house.sent()[0][1]
    with house.office.core.read() as connection:
        assert roster.find(connection, which, "ann@example.org").delivery == "byadmin"


def test_invitations_wait_for_an_answer(house, desk) -> None:
    which = house.make("devel")
    add_members(desk("ann@example.org\n"), arguments(["-i", "-r", "-", "devel"]))
    assert house.members(which) == []
    assert b"Subject: confirm " in house.sent()[0][1]


def test_many(house, desk) -> None:
    which = house.make("devel")
    people = "".join(f"u{n}@example.org\n" for n in range(1200))
    add_members(desk(people), arguments(["-w", "n", "-r", "-", "devel"]))
    assert len(house.members(which)) == 1200


def test_a_file_that_is_not_there(house, desk) -> None:
    house.make("devel")
    with pytest.raises(Stop, match="Cannot read"):
        add_members(desk(), arguments(["-r", "/nonexistent", "devel"]))


def test_list_members(house, desk, tmp_path) -> None:
    """L08."""
    which = house.make("devel")
    house.join(which, "Bob@Example.org", name="Bob B.")
    house.join(which, "ann@example.org", delivery="byuser")

    def said(**options: object) -> list[str]:
        at = desk()
        assert list_members(at, "devel", Shown(**options)) == 0
        return at.stdout.getvalue().splitlines()

    assert said() == ["ann@example.org", "bob@example.org"]
    assert said(preserve=True, fullnames=True) == ["ann@example.org", "Bob B. <Bob@Example.org>"]
    assert said(nomail="") == said(nomail="byuser") == ["ann@example.org"]
    assert said(nomail="bybounce") == []
    assert said(regular=True) == said()
    assert said(digest=True) == said(invalid=True) == said(nomail="unknown") == said(moderated=True) == []
    assert said(moderated=False) == ["ann@example.org", "bob@example.org"]
    assert said(output=str(tmp_path / "out")) == []
    assert (tmp_path / "out").read_text() == "ann@example.org\nbob@example.org\n"
    with pytest.raises(Stop):
        said(nomail="whatever")


def test_remove_members(house, desk) -> None:
    """L09."""
    which, other = house.make("devel"), house.make("other")
    house.join(which, "ann@example.org", "bob@example.org")
    house.join(other, "ann@example.org")
    at = desk()
    assert remove_members(at, "devel", ["ANN@example.org", "eve@example.org"], goodbye=False) == 1
    assert at.stdout.getvalue().splitlines() == [
        "User `ANN@example.org' removed from list: devel.",
        "No such member: eve@example.org",
    ]
    assert house.sent() == []
    assert remove_members(desk(), "", ["ann@example.org"], all_lists=True) == 0
    assert house.members(other) == []
    assert b"You have left" in house.sent()[0][1]
    remove_members(desk(), "devel", everybody=True, goodbye=False)
    assert house.members(which) == []


def test_find_member(house, desk) -> None:
    """L11."""
    house.join(house.make("devel"), "ann@example.org", "bob@example.net")
    house.join(house.make("other"), "ann@example.org")
    at = desk()
    find_member(at, ["^ann@"])
    assert at.stdout.getvalue().splitlines() == ["ann@example.org found in:", "     devel", "     other"]
    at = desk()
    find_member(at, ["OWNER"], owners=True, exclude=["other"])
    assert at.stdout.getvalue().splitlines() == ["owner@example.org found in:", "     devel (owner)"]
    with pytest.raises(Stop):
        find_member(desk(), ["("])


def test_sync_members(house, desk) -> None:
    """L10: with a dry run; a bad address stops it before anything is changed."""
    which = house.make("devel")
    house.join(which, "Ann@example.org", "bob@example.org")
    text = "ann@EXAMPLE.org\nEve <eve@example.net>\n"
    at = desk(text)
    assert sync_members(at, "devel", "-", dry=True) == 0
    assert at.stdout.getvalue().splitlines() == ["Added  : eve@example.net", "Removed: bob@example.org"]
    with pytest.raises(Stop, match="nonsense"):
        sync_members(desk(text + "nonsense\n"), "devel", "-")
    assert house.members(which) == ["Ann@example.org", "bob@example.org"]
    sync_members(desk(text), "devel", "-", welcome=True, goodbye=False, notify=False)
    assert house.members(which) == ["Ann@example.org", "eve@example.net"]
    assert [envelope.recipients[0].address for envelope, _ in house.sent()] == ["eve@example.net"]
    at = desk(text)
    sync_members(at, "devel", "-", dry=True)
    assert at.stdout.getvalue() == "Nothing to do.\n"
