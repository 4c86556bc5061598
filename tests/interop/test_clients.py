"""Debian's mail clients against the running program, as the README shows them: P33."""

import email
import imaplib
import shlex
import smtplib
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import Run, fill
from tests.lab import DOMAIN, PASSWORD, Lab, until

pytestmark = pytest.mark.service


def certificate(lab: Lab) -> Path:
    return lab.folder / "data" / "tls" / "self-signed.pem"


def trust(lab: Lab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate(lab)))


def subjects(folder: Path) -> set[str]:
    return {str(email.message_from_bytes(p.read_bytes())["subject"]) for p in folder.rglob("*") if p.is_file()}


# ---- sending --------------------------------------------------------------------------------------


def test_swaks(lab: Lab, run: Run) -> None:
    server = f"127.0.0.1:{lab.ports['smtp']}"
    said = run("swaks", "--server", server, "--to", f"ana@{DOMAIN}", "--header", "Subject: with swaks")
    assert "250 2.0.0" in said
    until(lambda: "with swaks" in subjects(lab.maildir("ana") / "new"))
    assert "550" in run("swaks", "--server", server, "--to", f"nobody@{DOMAIN}", status=24)


@pytest.mark.skipif(
    subprocess.run(["perl", "-MNet::SSLeay", "-e1"], capture_output=True).returncode != 0,
    reason="swaks needs libnet-ssleay-perl for TLS",
)
def test_swaks_with_tls_and_a_login(lab: Lab, run: Run) -> None:
    run("swaks", "--server", f"127.0.0.1:{lab.ports['smtp']}", "--tls", "--to", f"ana@{DOMAIN}",
        "--header", "Subject: with STARTTLS")  # fmt: skip
    until(lambda: "with STARTTLS" in subjects(lab.maildir("ana") / "new"))
    login = ("--auth-user", f"luis@{DOMAIN}", "--from", f"luis@{DOMAIN}", "--to", f"ana@{DOMAIN}")
    port = f"127.0.0.1:{lab.ports['submission']}"
    for how in ("PLAIN", "LOGIN"):
        run("swaks", "--server", port, "--tls", "--auth", how, *login, "--auth-password", PASSWORD,
            "--header", f"Subject: with {how}")  # fmt: skip
        until(lambda how=how: f"with {how}" in subjects(lab.maildir("ana") / "new"))
    assert "535" in run("swaks", "--server", port, "--tls", *login, "--auth-password", "wrong", status=28)


def test_msmtp_over_tls_with_a_login(lab: Lab, run: Run, tmp_path: Path) -> None:
    for service, starttls in (("submissions", "off"), ("submission", "on")):
        settings = tmp_path / "msmtprc"
        settings.write_text(
            f"account default\nhost localhost\nport {lab.ports[service]}\ntls on\ntls_starttls {starttls}\n"
            f"tls_trust_file {certificate(lab)}\nauth on\nuser luis@{DOMAIN}\npassword \"{PASSWORD}\"\n"
            f"from luis@{DOMAIN}\n"
        )
        settings.chmod(0o600)
        run("msmtp", "-C", settings, f"eva@{DOMAIN}",
            text=f"From: luis@{DOMAIN}\nTo: eva@{DOMAIN}\nSubject: msmtp {service}\n\nuna línea\n.\nfin\n")  # fmt: skip
        until(lambda service=service: f"msmtp {service}" in subjects(lab.maildir("eva") / "new"))
    found = next(p for p in lab.mails("eva") if b"msmtp submissions" in p.read_bytes()).read_bytes()
    assert found.endswith("una línea\n.\nfin\n".encode())


def test_smtplib(lab: Lab) -> None:
    with smtplib.SMTP("localhost", lab.ports["submission"], timeout=30) as client:
        client.starttls(context=trust(lab))
        client.login(f"luis@{DOMAIN}", PASSWORD)
        to = [f"ana@{DOMAIN}", f"eva@{DOMAIN}"]
        assert client.sendmail(f"luis@{DOMAIN}", to, b"Subject: smtplib\r\n\r\nx\r\n") == {}
    until(lambda: all("smtplib" in subjects(lab.maildir(user) / "new") for user in ("ana", "eva")))


# ---- reading --------------------------------------------------------------------------------------


def test_curl_imap(lab: Lab, run: Run, tmp_path: Path) -> None:
    fill(lab, "pepe", 3, "curl")
    curl = ("curl", "-sS", "-u", f"pepe@{DOMAIN}:{PASSWORD}")
    base = f"imap://127.0.0.1:{lab.ports['imap']}"
    assert "INBOX" in run(*curl, f"{base}/")
    assert "Subject: curl 0\r\n" in run(*curl, f"{base}/INBOX;MAILINDEX=1")
    assert "message 2 of 3\r\n.\r\n..\r\nend\r\n" in run(*curl, f"{base}/INBOX;UID=3")
    assert run(*curl, f"{base}/INBOX?SUBJECT%20curl").split()[:2] == ["*", "SEARCH"]
    assert run(*curl, f"{base}/INBOX?SUBJECT%20%22curl%202%22").strip() == "* SEARCH 3"
    letter = tmp_path / "letter"
    letter.write_bytes(b"From: pepe@example.org\r\nSubject: put there\r\n\r\nhola\r\n")
    run(*curl, "-T", letter, f"{base}/INBOX")
    assert "put there" in run(*curl, f"{base}/INBOX;MAILINDEX=4")
    run(*curl, base, "-X", "CREATE Archivo")
    assert "Archivo" in run(*curl, f"{base}/")
    secure = f"imaps://localhost:{lab.ports['imaps']}/INBOX;MAILINDEX=4"
    assert "put there" in run(*curl, "--cacert", certificate(lab), secure)
    assert "put there" in run(*curl, "--cacert", certificate(lab), "--ssl-reqd", f"imap://localhost:{lab.ports['imap']}"
                              "/INBOX;MAILINDEX=4")  # fmt: skip
    run("curl", "-sS", "-u", f"pepe@{DOMAIN}:wrong", f"{base}/", status=67)


def test_curl_pop3(lab: Lab, run: Run) -> None:
    curl = ("curl", "-sS", "-u", f"pepe@{DOMAIN}:{PASSWORD}")
    lines = run(*curl, f"pop3://127.0.0.1:{lab.ports['pop3']}/").split("\r\n")
    assert lines[0].split()[0] == "1"
    assert "Subject: curl 0\r\n" in run(*curl, f"pop3://127.0.0.1:{lab.ports['pop3']}/1")
    secure = f"pop3s://localhost:{lab.ports['pop3s']}/1"
    assert "message 0 of 3\r\n.\r\n..\r\nend\r\n" in run(*curl, "--cacert", certificate(lab), secure)


def test_mutt_reads_and_sends(lab: Lab, run: Run, tmp_path: Path) -> None:
    fill(lab, "luis", 5, "mutt")
    run("mutt", "-v")
    login = f"luis%40{DOMAIN}"
    settings = tmp_path / "muttrc"
    copy = tmp_path / "copy"
    settings.write_text(
        f'set imap_pass="{PASSWORD}"\nset smtp_pass="{PASSWORD}"\nset ssl_starttls=yes\nset ssl_force_tls=yes\n'
        f'set certificate_file="{certificate(lab)}"\nset ssl_verify_host=no\nset folder="{tmp_path}"\n'
        'set mbox_type=Maildir\n'
        f'set smtp_url="smtp://{login}@localhost:{lab.ports["submission"]}"\nset from="luis@{DOMAIN}"\nset copy=no\n'
        f'set hostname="{DOMAIN}"\nset wait_key=no\nset confirmappend=no\nset confirmcreate=no\nset delete=yes\n'
        f'set header_cache="{tmp_path}/cache"\nset mail_check=1\nset quit=yes\n'
    )
    mailbox = f"imap://{login}@localhost:{lab.ports['imap']}/INBOX"
    keys = f"push '<tag-pattern>~s mutt<enter><tag-prefix><copy-message>{copy}<enter><untag-pattern>~A<enter><quit>'"
    run("script", "-qec", shlex.join(["mutt", "-F", str(settings), "-f", mailbox, "-e", keys]), "/dev/null", seconds=30)
    assert {s for s in subjects(copy) if s.startswith("mutt")} == {f"mutt {n}" for n in range(5)}
    run("mutt", "-F", settings, "-s", "from mutt", f"ana@{DOMAIN}", text="hola\n")
    until(lambda: "from mutt" in subjects(lab.maildir("ana") / "new"))


def test_imaplib(lab: Lab) -> None:
    client = imaplib.IMAP4_SSL("localhost", lab.ports["imaps"], ssl_context=trust(lab), timeout=30)
    client.login(f"eva@{DOMAIN}", PASSWORD)
    assert client.create("Notas")[0] == "OK"
    assert client.append("Notas", r"(\Seen \Flagged)", None, b"Subject: nota\r\n\r\nhola\r\n")[0] == "OK"
    assert client.select("Notas")[1] == [b"1"]
    assert rb"\Flagged" in client.fetch("1", "(FLAGS)")[1][0]
    assert client.copy("1", "INBOX")[0] == "OK"
    assert client.uid("SEARCH", "SUBJECT", "nota")[1] == [b"1"]
    client.store("1", "+FLAGS", r"\Deleted")
    assert client.expunge()[1] == [b"1"]
    client.close()
    assert client.logout()[0] == "BYE"


# ---- moving mail ----------------------------------------------------------------------------------


def test_mbsync_both_ways(lab: Lab, run: Run, tmp_path: Path, count: int) -> None:
    """New mail, flags and deletions go both ways; nothing is doubled, UIDs hold."""
    lab.add_user("sync")
    until(lambda: _knows(lab, "sync"))
    fill(lab, "sync", count, "sync")
    near = tmp_path / "near"
    near.mkdir()
    settings = tmp_path / "mbsyncrc"
    settings.write_text(
        f"IMAPStore far\nHost localhost\nPort {lab.ports['imaps']}\nUser sync@{DOMAIN}\nPass \"{PASSWORD}\"\n"
        f"SSLType IMAPS\nCertificateFile {certificate(lab)}\n\nMaildirStore near\nPath {near}/\nInbox {near}/INBOX\n"
        "SubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\nPatterns *\n"
        "Create Both\nExpunge Both\nSyncState *\n"
    )
    sync = ("mbsync", "-c", settings, "-a")
    run(*sync)
    box = near / "INBOX"
    assert len(subjects(box / "cur") | subjects(box / "new")) == count
    files = sorted(p for part in ("cur", "new") for p in (box / part).iterdir())
    seen, gone = files[: count // 4], files[count // 4 : count // 2]
    for path in seen:
        stem = path.name.partition(":")[0]
        path.rename(box / "cur" / f"{stem}:2,FS")
    for path in gone:
        stem = path.name.partition(":")[0]
        path.rename(box / "cur" / f"{stem}:2,ST")
    (box / "new" / "1.local.near").write_bytes(b"From: sync@example.org\nSubject: written here\n\nhola\n")
    run(*sync)
    imap = lab.imap("sync")
    left = count - len(gone) + 1
    assert imap.select()[1] == [str(left).encode()]
    assert len(imap.search(None, "FLAGGED SEEN")[1][0].split()) == len(seen)
    assert len(imap.search(None, 'SUBJECT "written here"')[1][0].split()) == 1
    imap.store("1:5", "+FLAGS", r"\Answered")
    imap.logout()
    fill(lab, "sync", 3, "later")
    run(*sync)
    here = [p for part in ("cur", "new") for p in (box / part).iterdir()]
    assert len(here) == left + 3
    assert len([p for p in here if "R" in p.name.partition(":2,")[2]]) == 5
    run(*sync)
    assert len(lab.mails("sync")) == left + 3
    assert "no problems" in lab.command("verify")


def _knows(lab: Lab, user: str) -> bool:
    with lab.smtp() as client:
        client.ehlo()
        client.mail("x@example.net")
        return client.rcpt(f"{user}@{DOMAIN}")[0] == 250


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_fetchmail_into_a_local_program(lab: Lab, run: Run, tmp_path: Path, protocol: str) -> None:
    user = f"fetch{protocol}"
    lab.add_user(user)
    until(lambda: _knows(lab, user))
    fill(lab, user, 20, protocol)
    got = tmp_path / "got"
    got.mkdir()
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\nexec cat > "{got}/$$"\n')
    agent.chmod(0o755)
    settings = tmp_path / "fetchmailrc"
    settings.write_text(
        f'poll localhost protocol {protocol} service {lab.ports[protocol + "s"]} username "{user}@{DOMAIN}" '
        f'password "{PASSWORD}" is someone here ssl sslcertfile "{certificate(lab)}" mda "{agent}" fetchall\n'
    )
    settings.chmod(0o600)
    fetch = ("fetchmail", "-f", settings, "--pidfile", tmp_path / "pid", "--idfile", tmp_path / "ids", "-v")
    run(*fetch)
    assert subjects(got) == {f"{protocol} {n}" for n in range(20)}
    assert all(p.read_bytes().endswith(b"of 20\n.\n..\nend\n") for p in got.iterdir())
    assert lab.mails(user) == []
    run(*fetch, status=1)


def test_mpop(lab: Lab, run: Run, tmp_path: Path) -> None:
    lab.add_user("mpop")
    until(lambda: _knows(lab, "mpop"))
    fill(lab, "mpop", 20, "mpop")
    box = tmp_path / "box"
    for part in ("", "new", "cur", "tmp"):
        (box / part).mkdir(exist_ok=True)
    settings = tmp_path / "mpoprc"
    settings.write_text(
        f"account default\nhost localhost\nport {lab.ports['pop3s']}\ntls on\ntls_starttls off\n"
        f"tls_trust_file {certificate(lab)}\nuser mpop@{DOMAIN}\npassword \"{PASSWORD}\"\nkeep on\n"
        f"delivery maildir {box}\nuidls_file {tmp_path}/uidls\n"
    )
    settings.chmod(0o600)
    run("mpop", "-C", settings)
    assert subjects(box / "new") == {f"mpop {n}" for n in range(20)}
    run("mpop", "-C", settings)
    assert len(list((box / "new").iterdir())) == 20, "UIDLs hold, nothing is fetched twice"
    assert len(lab.mails("mpop")) == 20
