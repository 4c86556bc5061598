"""Programs that people use, where they are installed: curl, mbsync (two ways), mutt (I34, I39)."""
import mailbox
import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from tests.bridge.serve.imap.world import PASSWORD, World, letter


@pytest.fixture
def world(tmp_path):
    with World(tmp_path) as running:
        yield running


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, **more)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl isn't installed")
def test_curl(world, tmp_path):
    """LIST, one message by number and by UID, upload, search."""
    world.put(1)
    base, user = f"imap://127.0.0.1:{world.port}", f"ana:{PASSWORD}"
    assert b'"/" INBOX' in run("curl", "-sS", "-u", user, base + "/")
    assert run("curl", "-sS", "-u", user, base + "/INBOX;MAILINDEX=1") == letter(1)
    assert run("curl", "-sS", "-u", user, base + "/INBOX;UID=1;SECTION=TEXT").startswith(b"Hola")
    assert run("curl", "-sS", "-u", user, base + "/INBOX?SUBJECT%20Carta") == b"* SEARCH 1\r\n"
    draft = tmp_path / "letter"
    draft.write_bytes(letter(2))
    run("curl", "-sS", "-u", user, "-T", str(draft), base + "/INBOX")
    assert run("curl", "-sS", "-u", user, base + "/INBOX;MAILINDEX=2") == letter(2)


MBSYNC = """
IMAPAccount here
Host 127.0.0.1
Port {port}
User ana
Pass "{password}"
{tls}
AuthMechs LOGIN

IMAPStore far
Account here

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel both
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""


@pytest.mark.skipif(not shutil.which("mbsync"), reason="mbsync isn't installed")
def test_mbsync(world, tmp_path):
    """Fifty messages down; flags, new mail and removals both ways; then there is nothing to do."""
    for number in range(50):
        world.put(number, flags=["\\Seen"] if number % 2 else [])
    world.mail().create("Archivo")
    world.put(77, folder="Archivo")
    near = tmp_path / "near"
    near.mkdir()
    version = run("mbsync", "--version").split()[1].decode().split(".")
    tls = "TLSType None" if (int(version[0]), int(version[1])) >= (1, 5) else "SSLType None"
    settings = tmp_path / "mbsyncrc"
    settings.write_text(MBSYNC.format(port=world.port, password=PASSWORD, near=near, tls=tls))

    def sync():
        return run("mbsync", "-c", str(settings), "-V", "both", env={**os.environ, "HOME": str(tmp_path)})

    def messages(folder):
        box = mailbox.Maildir(str(near / folder), create=False)
        return {one["Subject"]: (key, set(one.get_flags())) for key, one in box.items()}

    sync()
    inbox = messages("INBOX")
    assert len(inbox) == 50
    assert inbox["Carta 1"][1] == {"S"}
    assert inbox["Carta 2"][1] == set()
    assert messages("Archivo").keys() == {"Carta 77"}
    box = mailbox.Maildir(str(near / "INBOX"), create=False)
    changed = box[inbox["Carta 2"][0]]
    changed.add_flag("F")
    box[inbox["Carta 2"][0]] = changed
    gone = box[inbox["Carta 4"][0]]
    gone.add_flag("T")
    box[inbox["Carta 4"][0]] = gone
    fresh = mailbox.MaildirMessage(letter(90).replace(b"\r\n", b"\n"))
    fresh.set_subdir("cur")
    box.add(fresh)
    world.mail().store_flags(world.mail().folder("INBOX"), [(1, 1)], "+", ["\\Answered"])
    world.mail().expunge(world.mail().folder("INBOX"), [(6, 6)], marked=False)
    sync()
    inbox = messages("INBOX")
    assert inbox["Carta 0"][1] == {"R"}
    assert "Carta 5" not in inbox
    found = world.mail().status("INBOX")
    assert found.messages == len(inbox) == 49
    flagged = world.mail().fetch(world.mail().folder("INBOX"), [(3, 3)], [])
    assert list(flagged)
    sync()
    assert messages("INBOX") == inbox
    assert world.mail().status("INBOX").highestmodseq == found.highestmodseq


@pytest.mark.skipif(not shutil.which("mutt"), reason="mutt isn't installed")
def test_mutt(world, tmp_path):
    """mutt opens the mailbox, deletes the first message and leaves."""
    for number in range(3):
        world.put(number)
    settings = tmp_path / "muttrc"
    settings.write_text(
        f'set imap_user=ana\nset imap_pass="{PASSWORD}"\nset ssl_starttls=no\nset ssl_force_tls=no\n'
        f'set folder="imap://127.0.0.1:{world.port}/"\nset spoolfile="+INBOX"\nset delete=yes\nset sort=date\n'
        'push "<first-entry><delete-message><quit>"\n'
    )
    parent, child = pty.openpty()
    env = {**os.environ, "HOME": str(tmp_path), "TERM": "vt100"}
    running = subprocess.Popen(
        ["mutt", "-n", "-F", str(settings)], stdin=child, stdout=child, stderr=child, env=env, start_new_session=True)
    os.close(child)
    seen = b""
    deadline = time.monotonic() + 30
    try:
        while running.poll() is None and time.monotonic() < deadline:
            if select.select([parent], [], [], 0.2)[0]:
                try:
                    seen += os.read(parent, 65536)
                except OSError:
                    break
        assert running.wait(5) == 0, seen[-2000:]
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
        os.close(parent)
    assert world.mail().status("INBOX").messages == 2, seen[-2000:]
