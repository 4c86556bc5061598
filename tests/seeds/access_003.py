"""Seed 003, sections 5 and 8: POP3 and IMAP as typed, over TLS, with APOP."""

import hashlib
import imaplib
import poplib
import re
import ssl

from tests.lab import DOMAIN, PASSWORD
from tests.seeds.book import World, sentence
from tests.seeds.programs import Typed, telnet

D = "003"


def _three_messages(world: World) -> None:
    if world.notes.get("eloy"):
        return
    assert not world.lab.mails("eloy"), "the session begins with three messages"
    with world.lab.smtp() as client:
        for number in (1, 2, 3):
            text = f"Subject: n{number}\r\n\r\nSaludos, Eloy.\r\nTe escribo para pedirte que me envíes\r\nmás\r\n"
            client.sendmail("a@foo.net", [f"eloy@{DOMAIN}"], text.encode())
    world.lab.wait_mails("eloy", 3)
    world.notes["eloy"] = "3"


@sentence(D, "5 POP3", "the printed session, typed: USER PASS STAT LIST RETR DELE RETR DELE STAT LIST TOP DELE QUIT",
          "la sesión impresa, tecleada: USER PASS STAT LIST RETR DELE RETR DELE STAT LIST TOP DELE QUIT", "I48 I49",
          tried="USER eloy; PASS claveusuario; STAT; LIST; RETR 1; DELE 1; RETR 2; DELE 2; STAT; LIST; TOP 3 2; DELE 3; QUIT")  # fmt: skip
def the_session(world: World) -> str:
    _three_messages(world)
    line = Typed(world.port("pop3"))
    assert line.hear().startswith("+OK")

    def ok(text: str) -> str:
        line.type(text)
        answer = line.hear()
        assert answer.startswith("+OK"), (text, answer)
        return answer

    ok("USER eloy")
    ok(f"PASS {PASSWORD}")
    assert re.match(r"\+OK 3 \d+", ok("STAT"))
    ok("LIST")
    sizes = dict(row.split() for row in line.hear_lines())
    assert list(sizes) == ["1", "2", "3"]
    answer = ok("RETR 1")
    assert sizes["1"] in answer
    assert "Saludos, Eloy." in line.hear_lines()
    ok("DELE 1")
    ok("RETR 2")
    line.hear_lines()
    ok("DELE 2")
    assert ok("STAT").split()[1:] == ["1", sizes["3"]]
    ok("LIST")
    assert line.hear_lines() == [f"3 {sizes['3']}"]
    ok("TOP 3 2")
    top = line.hear_lines()
    assert top[top.index("") + 1 :] == ["Saludos, Eloy.", "Te escribo para pedirte que me envíes"]
    ok("DELE 3")
    goodbye = ok("QUIT")
    line.close()
    world.notes.pop("eloy")
    assert not world.lab.mails("eloy"), "deleted at QUIT"
    return goodbye


@sentence(D, "5 POP3", "TOP n 0 gives the headers alone", "TOP n 0 da solo las cabeceras", "I49", tried="TOP 1 0")
def top_zero(world: World) -> str:
    _three_messages(world)
    client = world.lab.pop3("eloy")
    _, lines, _ = client.top(1, 0)
    client.quit()
    assert b"Saludos, Eloy." not in lines
    assert any(text.startswith(b"Received:") for text in lines)
    return f"{len(lines)} lines"


@sentence(D, "5 IMAP", "IMAP reads the same mail on a remote place and arranges it in folders",
          "IMAP lee el mismo correo en remoto y lo organiza en carpetas", "I01 I35",
          tried="CREATE Trabajo; COPY 1 Trabajo; RENAME Trabajo Archivo; STATUS Archivo (MESSAGES); DELETE Archivo")  # fmt: skip
def imap(world: World) -> str:
    _three_messages(world)
    client = world.lab.imap("eloy")
    assert client.create("Trabajo")[0] == "OK"
    client.select("INBOX")
    assert client.copy("1", "Trabajo")[0] == "OK"
    assert client.rename("Trabajo", "Archivo")[0] == "OK"
    status = client.status("Archivo", "(MESSAGES)")[1][0].decode()
    assert "MESSAGES 1" in status
    assert client.delete("Archivo")[0] == "OK"
    client.logout()
    return status


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the trial's certificate is its own
    return context


@sentence(D, "8 MAA", "POP3 and IMAP over TLS", "POP3 e IMAP sobre TLS", "I01 I51",
          tried="995: USER, PASS; 110: STLS; 993: LOGIN")
def over_tls(world: World) -> str:
    pop = poplib.POP3_SSL("127.0.0.1", world.port("pop3s"), context=_trusting())
    pop.user("eloy")
    pop.pass_(PASSWORD)
    pop.quit()
    upgraded = poplib.POP3("127.0.0.1", world.port("pop3"))
    upgraded.stls(_trusting())
    upgraded.quit()
    imap = imaplib.IMAP4_SSL("127.0.0.1", world.port("imaps"), ssl_context=_trusting())
    imap.login("eloy", PASSWORD)
    version = imap.sock.version() or ""
    imap.logout()
    assert version in ("TLSv1.2", "TLSv1.3")
    return version


@sentence(D, "8 MAA", "APOP proves the password by a digest", "APOP demuestra la clave con un resumen", "I50",
          tried="estafeta user apop eloy@example.org; APOP eloy md5(<stamp@host>secret)")
def apop(world: World) -> str:
    secret = "secreto de apop 1"
    world.lab.command("user", "apop", f"eloy@{DOMAIN}", "--password-stdin", text=secret + "\n")
    line = Typed(world.port("pop3"))
    greeting = line.hear()
    stamp = re.search(r"<[^>]+>", greeting)
    assert stamp, greeting
    digest = hashlib.md5((stamp[0] + secret).encode()).hexdigest()
    line.type(f"APOP eloy {digest}")
    answer = line.hear()
    line.close()
    assert answer.startswith("+OK"), answer
    return answer


@sentence(D, "8 MAA", "a password in clear text can be listened to: it is taken from near only, unless a setting says otherwise",
          "una clave sin cifrar se puede capturar: solo se acepta de cerca, salvo que un ajuste diga otra cosa", "I01 I51",
          tried='[imap] plain_from = []: USER -> -ERR; plain_from = ["0.0.0.0/0"]: estafeta check')  # fmt: skip
def clear_text(world: World) -> str:
    with world.lab.variant("afar", "[imap]\nplain_from = []\n[pop3]\nplain_from = []\n", "eloy") as other:
        with telnet(other.ports["pop3"]) as line:
            line.hear()
            line.type("USER eloy")
            pop3 = line.hear()
        with telnet(other.ports["imap"]) as line:
            line.hear()
            line.type(f'a LOGIN eloy "{PASSWORD}"')
            refused = line.hear_tagged("a")[-1]
            line.type("b CAPABILITY")
            assert "LOGINDISABLED" in line.hear_tagged("b")[0]
    assert pop3.startswith("-ERR"), pop3
    assert refused.startswith("a NO [PRIVACYREQUIRED]"), refused
    config = world.folder / "open.toml"
    config.write_text(f'{world.lab.config.read_text()}[pop3]\nplain_from = ["0.0.0.0/0"]\n')
    said = world.lab.command("check", "--config", str(config), check=False)
    warned = [row for row in said.splitlines() if "plain_from" in row]
    assert warned, said
    return f"{pop3} | {warned[0].partition('plain_from: ')[2]}"
