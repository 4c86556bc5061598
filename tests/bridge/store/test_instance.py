"""P22, O17, sec-Q10: one data folder, one owner, one running instance."""
import json
import signal
import subprocess
import sys

import pytest

from bridge.model.errors import ConfigError
from bridge.store import instance


def test_new_folder_gets_an_identity_that_stays(tmp_path):
    first = instance.claim(tmp_path / "data", "1.0")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    first.release()
    second = instance.claim(tmp_path / "data", "1.1")
    assert second.identity.id == first.identity.id
    assert second.identity.created_at == first.identity.created_at
    assert instance.read(tmp_path / "data").version == "1.1"
    second.release()


def test_second_start_is_refused_with_clear_text(tmp_path):
    held = instance.claim(tmp_path, "1.0")
    with pytest.raises(ConfigError) as caught:
        instance.claim(tmp_path, "1.0")
    assert "another Estafeta is running" in str(caught.value)
    assert "process " in str(caught.value)
    held.release()
    instance.claim(tmp_path, "1.0").release()


def test_lock_is_free_at_once_after_a_kill(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from bridge.store import instance\n"
        "held = instance.claim(Path(sys.argv[1]), '1'); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(ConfigError):
        instance.claim(tmp_path, "1")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    instance.claim(tmp_path, "1").release()


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        instance.claim(tmp_path, "1")
    assert "precious.txt" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious.txt"]


def change(data, **fields):
    path = data / "instance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_newer_other_and_broken_folders_are_refused(tmp_path):
    instance.claim(tmp_path, "1").release()
    change(tmp_path, form=instance.FORM + 1, version="9.0")
    with pytest.raises(ConfigError) as caught:
        instance.claim(tmp_path, "1")
    assert "Estafeta 9.0, which is newer" in str(caught.value)
    change(tmp_path, form=instance.FORM, product="other")
    with pytest.raises(ConfigError):
        instance.claim(tmp_path, "1")
    (tmp_path / "instance.json").write_text("{")
    with pytest.raises(ConfigError):
        instance.claim(tmp_path, "1")
