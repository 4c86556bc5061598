"""S38: keys on disk, and which of them sign for whom."""
import pytest

from bridge.model.errors import DiskFull
from bridge.store import failpoints
from bridge.store.dkimkeys import DkimKeys
from bridge.trust.key import KeyProblem, generate


@pytest.fixture
def folder(tmp_path):
    now = [0.0]
    made = DkimKeys(tmp_path / "dkim", lambda: now[0])
    made.now = now
    return made


def test_states(folder):
    pem = generate("ed25519")
    one = folder.add("Example.ORG", "uno", pem)
    assert (one.state, one.path.stat().st_mode & 0o777) == ("new", 0o600)
    assert folder.signing("example.org") == ()
    assert not folder.some()
    folder.move(one, "active")
    folder.now[0] = 6.0
    assert folder.some()
    assert [key.name for key in folder.signing("dept.example.org")] == ["uno._domainkey.example.org"]
    assert folder.signing("org") == folder.signing("") == folder.signing("example.net") == ()
    two = folder.add("dept.example.org", "dos", pem)
    folder.move(two, "active")
    assert [key.selector for key in folder.signing("dept.example.org")] == ["dos"]
    assert [(key.domain, key.selector, key.state) for key in folder.all()] == [
        ("dept.example.org", "dos", "active"), ("example.org", "uno", "active")]


def test_a_key_of_another_process_is_seen_soon(folder, tmp_path):
    assert folder.signing("example.org") == ()
    other = DkimKeys(tmp_path / "dkim", lambda: 0.0)
    other.move(other.add("example.org", "uno", generate("ed25519")), "active")
    assert folder.signing("example.org") == ()
    folder.now[0] = 6.0
    assert len(folder.signing("example.org")) == 1


@pytest.mark.parametrize("selector", ["", "-a", "a/b", "..", "a b", "a" * 64])
def test_what_is_no_selector(folder, selector):
    with pytest.raises(KeyProblem, match="selector"):
        folder.add("example.org", selector, generate("ed25519"))


def test_a_damaged_key_is_told_of_once_and_stops_nothing(folder, tmp_path, caplog):
    (tmp_path / "dkim/example.org").mkdir(parents=True)
    (tmp_path / "dkim/example.org/uno.active").write_text("rubbish")
    for folder.now[0] in (0.0, 10.0, 20.0):
        assert folder.signing("example.org") == ()
    assert len([one for one in caplog.records if "uno.active" in one.getMessage()]) == 1


def test_none_is_written_over(folder):
    folder.add("example.org", "uno", generate("ed25519"))
    with pytest.raises(KeyProblem, match="already"):
        folder.add("example.org", "uno", generate("ed25519"))


@pytest.mark.parametrize("point", ["dkim.write", "dkim.move"])
def test_a_full_disk_leaves_the_state_of_before(folder, point):
    one = folder.add("example.org", "uno", generate("ed25519"))
    work = {
        "dkim.write": lambda: folder.add("example.org", "dos", generate("ed25519")),
        "dkim.move": lambda: folder.move(one, "active"),
    }
    failpoints.arm(f"{point}=ENOSPC@1")
    try:
        with pytest.raises(DiskFull):
            work[point]()
    finally:
        failpoints.arm("")
    assert folder.all() == [one]
