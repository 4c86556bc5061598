"""What `estafeta check` says is missing for system users (D04)."""

from pathlib import Path

from bridge.config.accounts import Accounts
from bridge.config.schema import Settings
from bridge.helper.check import missing


def test_nothing_is_said_where_there_are_no_system_users(tmp_path: Path) -> None:
    assert missing(Settings(), tmp_path) == []


def test_each_missing_piece_is_named_with_what_to_do(tmp_path: Path) -> None:
    """D04: the helper, PAM's file, the folder of the mbox files."""
    accounts = Accounts(
        system_users=True, system_store="mbox", mbox=f"{tmp_path}/mail/{{user}}", helper=f"{tmp_path}/socket"
    )
    english, spanish = zip(*missing(Settings(accounts=accounts), tmp_path), strict=True)
    assert len(english) == 3
    for words in ("estafeta-helper", "packaging/estafeta.pam", "chmod 2775"):
        assert any(words in line for line in english)
        assert any(words in line for line in spanish)
    (tmp_path / "estafeta").touch()
    (tmp_path / "mail").mkdir()
    assert len(missing(Settings(accounts=accounts), tmp_path)) == 1


def test_settings_that_would_make_root_a_mailbox_user() -> None:
    fatal = {one.setting for one in Accounts(system_users=True, system_first=0, helper="x").problems() if one.fatal}
    assert fatal == {"system_first", "helper"}
    assert [one.setting for one in Accounts(system_users=True, system_first=10).problems()] == ["system_first"]
