"""The commands around the running program: status, trace, explain, check, the log file; English and Spanish."""

import json
import signal
from pathlib import Path

import pytest

from tests.lab import DOMAIN, Lab, running, until

pytestmark = pytest.mark.service


def test_status_has_the_queue(lab: Lab) -> None:
    until(lambda: "queue: 0 messages" in lab.command("status"))
    told = json.loads(lab.command("status", "--json"))
    assert told["queue"]["messages"] == 0
    assert {one["role"] for one in told["processes"]} >= {"smtp", "imap", "mover"}
    lab.command("queue", "pause", "local")
    with lab.smtp() as client:
        client.sendmail("x@example.net", [f"ana@{DOMAIN}"], "Subject: waits\r\n\r\nhola\r\n")
    until(lambda: "queue: 1 messages" in lab.command("status"))
    assert "pause`: local" in lab.command("status")
    assert "cola: 1 mensajes" in lab.command("status", LANG="es_ES.UTF-8")
    lab.command("queue", "resume", "local")
    lab.wait_mails("ana", 1)


def test_the_story_of_a_message(lab: Lab) -> None:
    with lab.smtp() as client:
        client.sendmail("x@example.net", [f"luis@{DOMAIN}"], "Message-ID: <story@x>\r\nSubject: s\r\n\r\nhola\r\n")
    lab.wait_mails("luis", 1)
    until(lambda: "delivered" in lab.command("trace", f"luis@{DOMAIN}", check=False))
    told = [json.loads(line) for line in lab.command("trace", "--json", f"luis@{DOMAIN}").splitlines()]
    words = [event["e"] for event in told]
    assert words.index("accepted") < words.index("delivered")
    queue_id = next(event["id"] for event in told if event["e"] == "accepted")
    assert "accepted" in lab.command("trace", queue_id)
    assert "nothing is known of nobody@example.net" in lab.command("trace", "nobody@example.net", check=False)
    assert "no se sabe nada" in lab.command("trace", "nobody@example.net", check=False, LANG="es_ES.UTF-8")
    assert f"luis@{DOMAIN}" in lab.command("explain", "luis")
    assert "'a@@b' is not an address" in lab.command("explain", "a@@b", check=False)
    assert "no es una dirección" in lab.command("explain", "a@@b", check=False, LANG="es_ES.UTF-8")
    assert "no such message" in lab.command("queue", "show", "zzz", check=False)
    assert "no hay ningún mensaje zzz" in lab.command("queue", "show", "zzz", check=False, LANG="es_ES.UTF-8")


def test_check_says_what_apop_means(lab: Lab) -> None:
    """I50: off until set, and no secret about what it costs."""
    assert "APOP" not in lab.command("check")
    lab.command("user", "apop", f"ana@{DOMAIN}")
    assert "1 accounts may log in with APOP: their secrets are kept readable" in lab.command("check")
    assert "sus secretos se guardan legibles" in lab.command("check", LANG="es_ES.UTF-8")
    lab.command("user", "apop", f"ana@{DOMAIN}", "--remove")
    assert "APOP" not in lab.command("check")


def test_check_warns_and_finds(lab: Lab) -> None:
    assert "warning: " in lab.command("check")          # the cheap hashes of tests
    good = lab.config.read_text()
    try:
        lab.config.write_text(good + '\n[tls]\ncertificate = "none.pem"\nkey = "none.key"\n')
        assert "none.pem" in lab.command("check", check=False)
        assert "no mistakes" not in lab.command("check", check=False)
    finally:
        lab.config.write_text(good)


def test_a_log_file_may_be_moved_away(tmp_path: Path) -> None:
    """As logrotate does: move, HUP; new lines go to a new file."""
    with running(tmp_path, "ana", more=f'[log]\nfile = "{tmp_path}/mail.log"\n') as lab:
        lab.signal(signal.SIGHUP)
        until(lambda: "generation 1" in (tmp_path / "mail.log").read_text())
        (tmp_path / "mail.log").rename(tmp_path / "mail.log.1")
        lab.signal(signal.SIGHUP)
        until(lambda: (tmp_path / "mail.log").exists() and "generation 2" in (tmp_path / "mail.log").read_text())
        assert lab.stop() == 0
        assert "stopping" in (tmp_path / "mail.log").read_text()


def test_lists_users_and_aliases_keep_their_names(lab: Lab) -> None:
    """L01, L02: a list whose mail would go elsewhere, or would take a user's, is not made; nor a user over a list."""
    spanish = {"LANG": "es_ES.UTF-8"}

    def newlist(*words: str, **environ: str) -> str:
        return lab.command("newlist", "-q", *words, f"ana@{DOMAIN}", "three long words", check=False, **environ)

    assert f"ana@{DOMAIN} is the mailbox of a user" in newlist("ana")
    assert f"ana@{DOMAIN} es el buzón de un usuario" in newlist("ana", **spanish)
    assert f"example.net is not a mail domain of this server ({DOMAIN})" in newlist("-e", "example.net", "names")
    assert "no es un dominio de correo de este servidor" in newlist("-e", "example.net", "names", **spanish)
    aliases = lab.folder / "aliases.names"
    aliases.write_text('boss: ana\nnames: "|/var/lib/mailman/mail/mailman post names"\n')
    pasted = {"ESTAFETA__MAIL__ALIASES": str(aliases)}
    assert f"boss is an alias already ({aliases}:1)" in newlist("boss", **pasted)
    assert "names" not in lab.command("list_lists")
    assert f"names@{DOMAIN} works already" in newlist("names", **pasted)
    user = ("user", "add", f"names@{DOMAIN}", "--password-stdin")
    assert "is a mailing list" in lab.command(*user, text="three long words\n", check=False)
    assert "es una lista de correo" in lab.command(*user, text="three long words\n", check=False, **spanish)
    user = ("user", "add", f"boss@{DOMAIN}", "--password-stdin")
    assert f"goes elsewhere: boss@{DOMAIN} -> alias boss" in lab.command(*user, text="three long words\n", **pasted)
    lab.command("user", "del", f"boss@{DOMAIN}")
    lab.command("rmlist", "-a", "names")
