"""Users by name and number; what two users share. Dropping rights for real: tests/service/test_rights.py."""

import os
import pwd
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import rights
from bridge.config.load import load
from bridge.config.schema import Settings
from bridge.model.errors import ConfigError
from bridge.rights import Rights, User


def settings_in(folder: Path, **server: str) -> Settings:
    file = folder / "estafeta.toml"
    lines = "".join(f'{name} = "{value}"\n' for name, value in server.items())
    file.write_text(f'[server]\n{lines}[paths]\ndata = "data"\n[mail]\ndomains = ["example.org"]\n')
    return load(file).settings


def test_users_by_name_and_by_number() -> None:
    me = pwd.getpwuid(os.getuid())
    assert rights.user_of(me.pw_name).uid == me.pw_uid
    assert rights.user_of("900:901") == User(900, 901)
    assert rights.user_of("900") == User(900, 900)
    for wrong in ("nobody-of-that-name", "900:x", ""):
        with pytest.raises(ConfigError, match=r"server\.smtp_user: there is no user"):
            rights.user_of(wrong, "smtp_user")


def test_the_smtp_user_gets_the_group_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    found = rights.rights_of(settings_in(tmp_path, user="900:901", smtp_user="902:903"))
    assert found == Rights(User(900, 901), User(902, 901, (903,)))
    assert found.shared
    assert found.umask == 0o007
    same = rights.rights_of(settings_in(tmp_path, user="900:901", smtp_user="900:901"))
    assert not same.shared
    assert same.umask == 0o077
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert rights.rights_of(settings_in(tmp_path, user="900:901", smtp_user="902:903")) == Rights()


def test_modes_open_for_two_users_and_close_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    paths = settings.paths
    for name in (f"{paths.spool}/tmp", f"{paths.spool}/q/1f", paths.databases, paths.trace, paths.run):
        Path(name).mkdir(parents=True)
    core, queue = Path(paths.databases, "core.db"), Path(paths.databases, "queue.db")
    for file in (core, queue):
        file.touch(0o600)
    me = User(os.getuid(), os.getgid())
    rights.open_to_group(settings, Rights(me, replace(me, uid=me.uid + 1)))
    modes = {p: stat.S_IMODE(os.stat(p).st_mode) for p in (core, queue, f"{paths.spool}/q/1f", paths.run)}
    assert list(modes.values()) == [0o660, 0o600, 0o770, 0o770]
    rights.open_to_group(settings, Rights(me, me))
    modes = {p: stat.S_IMODE(os.stat(p).st_mode) for p in (core, queue, f"{paths.spool}/q/1f", paths.run)}
    assert list(modes.values()) == [0o600, 0o600, 0o700, 0o700]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_root_left_is_handed_over_but_no_links(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    data = Path(settings.paths.data)
    box = data / "mail" / "example.org" / "ana" / "Maildir" / "cur"
    for folder in (data / "db", data / "drop", data / "spool", data / "trace", data / "run", data / "archives", box):
        folder.mkdir(parents=True)
    victim, second = tmp_path / "shadow", tmp_path / "second"
    victim.write_text("x")
    second.write_text("x")
    (data / "db" / "link").symlink_to(victim)
    os.link(second, data / "db" / "twin")
    (data / "db" / "core.db").touch()
    (box / "1").touch()
    rights.hand_over(settings, Rights(User(42_801, 42_801)))
    assert (data / "db" / "core.db").stat().st_uid == 42_801
    assert (box / "1").stat().st_uid == 42_801
    assert data.stat().st_uid == 42_801
    assert victim.stat().st_uid == second.stat().st_uid == 0
