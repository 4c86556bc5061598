"""config_list and change_pw."""

import pytest

from bridge.store.passwords import Hasher
from listmgr import passwords
from listmgr.commands import config
from listmgr.commands.desk import Stop
from listmgr.commands.lists import newlist
from listmgr.options import by_name


def written(desk, language: str = "en") -> str:
    at = desk(language=language)
    config.show(at, "test", "-")
    return at.stdout.getvalue()


def test_out_and_back(house, desk, tmp_path) -> None:
    """L12: every option with its help; the file read again changes nothing."""
    which = house.make(description='Quotes " and \\ and ñ', info='Two\nlines """ \\n', owner=["a@example.org"])
    text = written(desk)
    for one in by_name().values():
        assert f"\n{one.name} = " in text
    assert "# Hold every post for now?" in text
    assert "# ¿Retener todos los mensajes de momento?" in written(desk, "es")
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    house.make("other")
    assert config.read(desk(), "test", str(path), verbose=True) == 0
    assert house.fresh(which).options == which.options


def test_mailmans_numbers_are_understood(house, desk) -> None:
    which = house.make()
    text = (
        "emergency = 1\nreply_goes_to_list = 1\nnew_member_options = 260\nfrom_is_list = 2\nbounce_processing = 1\n"
        "owner = ['a@example.org', 'b@example.org']\nmax_message_size = 40\n"
    )
    at = desk(text)
    config.read(at, "test", "-", verbose=True)
    options = house.fresh(which).options
    assert (options.emergency, options.reply_goes_to_list, options.from_is_list) == (True, "list", "wrap")
    assert (options.new_member_options, options.max_message_size) == (("ack", "nodupes"), 40)
    assert 'attribute "bounce_processing" ignored' in at.stdout.getvalue()
    assert 'attribute "emergency" changed' in at.stdout.getvalue()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("description = 'x'\nmax_message_size = -1\n", ":2: max_message_size: "),
        ("emergency = 7\n", ":1: emergency: "),
        ("description = 'x'\nowner = ['nobody']\n", ":2: owner: "),
        ("description = 'x'\nreal_name = 'Other'\n", ":2: real_name: "),
        ("description = open('/etc/passwd').read()\n", ":1: description: "),
        ("import os\n", ":1: "),
        ("description = 'x\n", ":1: "),
        ("description = 'x'\n" + "info = " + "(" * 5000 + "\n", ": "),
        ("info = {'a': 1}\n", ":1: info: "),
    ],
)
def test_a_mistake_is_named_and_nothing_changes(house, desk, text: str, said: str) -> None:
    """sec-L22: the file is data."""
    which = house.make()
    for language in ("en", "es"):
        with pytest.raises(Stop, match=said):
            config.read(desk(text, language), "test", "-")
    assert house.fresh(which).options == which.options


def test_check_only(house, desk) -> None:
    which = house.make()
    config.read(desk("emergency = True\n"), "test", "-", check=True)
    assert house.fresh(which).options.emergency is False
    with pytest.raises(Stop, match="Cannot read"):
        config.read(desk(), "test", "/nonexistent")


def test_passwords(house, desk) -> None:
    """L01, L13: newlist asks for one, change_pw changes it; weak ones are refused before anything is made."""
    with pytest.raises(Stop, match="8"):
        newlist(desk("boss@example.org\ncorta\n"), "test")
    at = desk("boss@example.org\nclave de lista 1\n")
    assert newlist(at, "test") == 0
    assert "Initial test password" in at.stdout.getvalue()
    verify = passwords.verifier(house.office.core, Hasher())
    assert verify("test", "clave de lista 1", "list", "") == "admin"
    assert verify("test", "clave de lista 2", "list", "") is None
    assert verify("none", "clave de lista 1", "list", "") is None
    config.change_password(desk("clave de lista 2\n"), "test", "moderator")
    assert verify("test", "clave de lista 2", "list", "") == "moderator"
    with pytest.raises(Stop):
        config.change_password(desk("\n"), "test", "admin")
