"""`newaliases`: counts, mistakes with file and line in the user's language, what the settings don't allow."""
import pytest

from bridge.cli.aliases import newaliases


@pytest.fixture
def site(tmp_path, monkeypatch):
    path = tmp_path / "aliases"
    config = tmp_path / "c.toml"
    config.write_text(f'[paths]\ndata = "var"\n[mail]\naliases = ["{path}"]\nfile_folders = ["{tmp_path}/files"]\n')
    monkeypatch.setenv("ESTAFETA_CONFIG", str(config))
    monkeypatch.setenv("LC_ALL", "C")
    return path


def status():
    try:
        newaliases([])
    except SystemExit as end:
        return end.code
    return 0


def test_how_many(site, capsys):
    """S54, S58: entries, longest, total, in sendmail's words."""
    site.write_text('postmaster: root\nroot: ana, eva@example.net\n# x\n"a b": |/usr/lib/mailman/mail/mailman post x\n')
    assert status() == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{site}: 3 aliases, longest ")
    assert out.endswith(" bytes total\n")
    assert not err


def test_mistakes_have_lines(site, capsys, monkeypatch):
    """S58: file, line, what to write; status 65; Spanish where asked for."""
    site.write_text("ana: juan\nno colon here\n\neva:\n")
    assert status() == 65
    err = capsys.readouterr().err
    assert f"{site}:2: no colon" in err
    assert f"{site}:4: nothing after eva" in err
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    assert status() == 65
    out, err = capsys.readouterr()
    assert f"{site}:2: faltan los dos puntos" in err
    assert "última versión correcta" in out


def test_what_the_settings_forbid_is_said(site, capsys):
    """S55, S56: such mail would wait: a warning, no failure."""
    site.write_text(
        f"a: |/usr/bin/vacation juan\nb: /etc/cron.d/x\nc: {site.parent}/files/log, /dev/null\nd: x\nd: y\n"
    )
    assert status() == 0
    out, err = capsys.readouterr()
    assert f"{site}:1: warning: a: /usr/bin/vacation is not in mail.programs" in err
    assert f"{site}:2: warning: b: /etc/cron.d/x is not in mail.file_folders" in err
    assert f"{site}:5: warning: d is defined in line 4" in err
    assert len(err.splitlines()) == 3
    assert "4 aliases" in out


def test_missing_include_and_missing_file(site, capsys):
    """S57, S58."""
    site.write_text(f"team: :include:{site.parent}/team\n")
    assert status() == 65
    assert f"{site.parent}/team" in capsys.readouterr().err
    site.unlink()
    assert status() == 0
    assert "no such file" in capsys.readouterr().out
