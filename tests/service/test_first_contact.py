"""First contact of mail programs with the running server: the address is typed, the rest is found, and then each goes
on as it does in life: Thunderbird, Outlook, Evolution (I39, I46, W20, S02, S03, I48, I51).

The dialogues are those that the programs are known for, with the ports taken from what the server said.
"""

import base64
import re
import shutil
import socket
import ssl
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from tests.lab import DOMAIN, PASSWORD, Lab, running

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not shutil.which("curl"), reason="curl asks; .ci/run installs it"),
]
ANA = f"ana@{DOMAIN}"
LETTER = b"From: x@example.net\r\nTo: ana@example.org\r\nSubject: one\r\n\r\n" + b"hola\r\n" * 5000
SENT = b"From: ana@example.org\r\nTo: luis@example.org\r\nSubject: sent\r\nMessage-ID: <s@example.org>\r\n\r\nhola\r\n"
OUTLOOK = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>'
    "<EMailAddress>{}</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/"
    "outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(tmp_path_factory.mktemp("lab"), "ana", "luis", more='[clients]\nhostname = "localhost"') as started:
        with started.smtp() as client:
            client.sendmail("x@example.net", [ANA], LETTER)
        started.wait_mails("ana", 1)
        yield started


def curl(lab: Lab, path: str, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-m", "20", "-w", "\n%{http_code}", f"http://127.0.0.1:{lab.ports['http']}{path}",
         *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


Server = dict[str, str]


def autoconfig(lab: Lab) -> list[Server]:
    """What Thunderbird and Evolution learn."""
    status, body = curl(lab, f"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={ANA}")
    assert status == 200, body
    provider = ET.fromstring(body).find("emailProvider")
    assert provider is not None
    return [{"type": one.get("type", ""), **{part.tag: part.text or "" for part in one}}
            for one in provider if one.tag.endswith("Server")]  # fmt: skip


def way(found: list[Server], kind: str, security: str) -> tuple[str, int]:
    one = next(one for one in found if (one["type"], one["socketType"]) == (kind, security))
    return one["hostname"], int(one["port"])


class Talk:
    """A line protocol as a mail program speaks it. `{}` in what is said becomes the next tag."""

    def __init__(self, lab: Lab, where: tuple[str, int], implicit: bool) -> None:
        self.context = ssl.create_default_context(cafile=str(lab.data) + "/tls/self-signed.pem")
        self.context.check_hostname = False
        self.socket = socket.create_connection(where, 20)
        self.number = 0
        if implicit:
            self.secure()
        else:
            self.stream = self.socket.makefile("rb")
        self.greeting = self.stream.readline()

    def secure(self) -> None:
        self.socket = self.context.wrap_socket(self.socket, server_hostname="localhost")
        self.stream = self.socket.makefile("rb")

    def say(self, text: str | bytes) -> None:
        self.socket.sendall((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def line(self) -> bytes:
        got = self.stream.readline()
        assert got, "the server hung up"
        return got

    # IMAP

    def imap(self, command: str, *literals: bytes, status: str = "OK") -> str:
        """One command with its literals; everything up to the tagged answer, which must be `status`."""
        self.number += 1
        tag = f"{self.number}"
        self.say(f"{tag} {command}")
        said = b""
        rest = list(literals)
        while True:
            got = self.line()
            said += got
            while found := re.search(rb"\{(\d+)\}\r\n\Z", got):
                said += self.stream.read(int(found[1]))
                got = self.line()
                said += got
            if got.startswith(b"+"):
                self.say(rest.pop(0))
            elif got.startswith(f"{tag} ".encode()):
                assert got.startswith(f"{tag} {status}".encode()), (command, got)
                return said.decode("latin-1")

    # SMTP and POP3

    def smtp(self, command: str, code: int) -> str:
        self.say(command)
        return self.reply(code)

    def reply(self, code: int) -> str:
        said = ""
        while True:
            got = self.line().decode()
            said += got
            if got[3] == " ":
                assert got.startswith(str(code)), got
                return said

    def pop3(self, command: str, *, many: bool = False) -> str:
        self.say(command)
        first = self.line().decode()
        assert first.startswith("+OK"), (command, first)
        said = first
        while many and (got := self.line()) != b".\r\n":
            said += got.decode("latin-1")
        return said

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *trouble: object) -> None:
        self.stream.close()
        self.socket.close()


def plain(user: str = ANA) -> str:
    return base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()


# ---- what curl sees --------------------------------------------------------------------------------


def test_the_documents(lab: Lab) -> None:
    """All ports that the settings switch on; the same for those who don't exist; 404 for strangers' domains."""
    found = autoconfig(lab)
    assert {(one["type"], int(one["port"])) for one in found} == {
        (kind, lab.ports[name])
        for kind, name in (("imap", "imap"), ("imap", "imaps"), ("pop3", "pop3"), ("pop3", "pop3s"),
                           ("smtp", "submission"), ("smtp", "submissions"))
    }  # fmt: skip
    assert {one["username"] for one in found} == {"%EMAILADDRESS%"}
    path = "/mail/config-v1.1.xml"
    here = curl(lab, path, "-H", f"Host: autoconfig.{DOMAIN}")
    assert here == curl(lab, f"{path}?emailaddress=nobody@{DOMAIN}") == curl(lab, f"{path}?emailaddress={ANA}")
    assert curl(lab, f"{path}?emailaddress=a@example.com")[0] == 404
    assert curl(lab, path, "-H", "Host: autoconfig.example.com")[0] == 404
    assert PASSWORD not in here[1]
    for spelled in ("/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"):
        status, body = curl(lab, spelled, "-H", "Content-Type: text/xml", "-d", OUTLOOK.format(ANA))
        assert (status, f"<Port>{lab.ports['imaps']}</Port>" in body) == (200, True), body
        assert curl(lab, spelled, "-d", OUTLOOK.format("a@example.com"))[0] == 404
    bomb = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + OUTLOOK.format("&b;")
    status, body = curl(lab, "/autodiscover/autodiscover.xml", "-d", bomb)
    assert (status, "<ErrorCode>600<" in body, "root" in body) == (200, True, False)
    assert curl(lab, f"/mail/apple.mobileconfig?emailaddress={ANA}")[0] == 200
    assert curl(lab, "/mailman/listinfo", "-H", f"Host: autoconfig.{DOMAIN}")[0] == 400


def test_the_records_to_publish(lab: Lab) -> None:
    """W09: `estafeta dns` in both languages; a domain of others is named."""
    told = lab.command("dns")
    assert f"_imaps._tcp.{DOMAIN}." in told
    assert f"SRV   0 1 {lab.ports['imaps']} localhost." in told
    assert f"MX    10 mail.{DOMAIN}." in told
    assert "autoconfig" not in re.sub("(?m)^;.*$", "", told), "no https, no autoconfig"
    assert f"autoconfig.{DOMAIN}." in lab.command("dns", DOMAIN, ESTAFETA__WEB__BASE_URL="https://mail.example.org")
    assert "registros" in lab.command("dns", LANG="es_ES.UTF-8", LC_ALL="es_ES.UTF-8")
    assert "no domain of this server" in lab.command("dns", "example.com", check=False)


# ---- Thunderbird -----------------------------------------------------------------------------------

_HEADERS = (
    "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type "
    "Reply-To List-Unsubscribe Received"
)


@pytest.mark.parametrize("security", ["SSL", "STARTTLS"])
def test_thunderbird(lab: Lab, security: str) -> None:
    """From the address to a letter in Sent."""
    found = autoconfig(lab)
    with Talk(lab, way(found, "imap", security), security == "SSL") as line:
        assert line.greeting.startswith(b"* OK")
        if security == "STARTTLS":
            assert "STARTTLS" in line.imap("capability")
            line.imap("STARTTLS")
            line.secure()
        offered = line.imap("capability")
        assert "AUTH=PLAIN" in offered
        line.imap("authenticate PLAIN", plain().encode())
        offered = line.imap("CAPABILITY").upper()
        line.imap('ID ("name" "Thunderbird" "version" "128.5.0esr")')
        if "ENABLE" in offered:
            line.imap("ENABLE UTF8=ACCEPT")
        assert "* NAMESPACE ((" in line.imap("namespace")
        line.imap('list (subscribed) "" "*" return (special-use)')
        line.imap('lsub "" "*"')
        assert 'INBOX' in line.imap('list "" "INBOX"')
        for name, use in (("Sent", r"\Sent"), ("Trash", r"\Trash"), ("Drafts", r"\Drafts")):
            if name not in line.imap(f'list "" "{name}"'):
                line.imap(f'CREATE "{name}" (USE ({use}))' if "CREATE-SPECIAL-USE" in offered else f'create "{name}"')
            line.imap(f'subscribe "{name}"')
        assert r"\Sent" in line.imap('list "" "*" return (special-use)')
        chosen = line.imap('select "INBOX" (CONDSTORE)')
        assert "UIDVALIDITY" in chosen
        if "QUOTA" in offered:
            line.imap('getquotaroot "INBOX"')
        uids = re.findall(r"UID (\d+)", line.imap("UID fetch 1:* (FLAGS)"))
        assert uids
        wanted = f"UID fetch {uids[0]} (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({_HEADERS})])"
        assert "Subject: one" in line.imap(wanted)
        whole = line.imap(f"UID fetch {uids[0]} (UID RFC822.SIZE BODY.PEEK[])")
        assert whole.count("hola\r\n") == 5000
        line.imap(f'UID store {uids[0]} +FLAGS (\\Seen)')
        _idle(line, lab)
        _thunderbird_sends(lab, way(found, "smtp", security), security == "SSL")
        line.imap('list "" "Sent"')
        assert "APPENDUID" in line.imap(f'append "Sent" (\\Seen) {{{len(SENT)}}}', SENT)
        line.imap('select "Sent" (CONDSTORE)')
        assert "SEARCH" in line.imap("UID search undeleted header message-id s@example.org").upper()
        last = re.findall(r"UID (\d+)", line.imap("UID fetch 1:* (FLAGS)"))[-1]
        line.imap(f'uid move {last} "Trash"')
        line.imap("close")
        line.imap("logout")


def _idle(line: Talk, lab: Lab) -> None:
    """A letter comes while the program waits."""
    with lab.smtp() as client:
        line.number += 1
        line.say(f"{line.number} IDLE")
        assert line.line().startswith(b"+")
        client.sendmail("x@example.net", [ANA], b"Subject: news\r\n\r\nx\r\n")
        while not re.match(rb"\* \d+ EXISTS", line.line()):
            pass
        line.say("DONE")
        while not line.line().startswith(f"{line.number} OK".encode()):
            pass


def _thunderbird_sends(lab: Lab, where: tuple[str, int], implicit: bool) -> None:
    with Talk(lab, where, implicit) as line:
        assert line.greeting.startswith(b"220")
        said = line.smtp("EHLO [192.168.1.40]", 250)
        if not implicit:
            assert "STARTTLS" in said
            line.smtp("STARTTLS", 220)
            line.secure()
            said = line.smtp("EHLO [192.168.1.40]", 250)
        assert re.search(r"AUTH.*PLAIN", said)
        line.smtp(f"AUTH PLAIN {plain()}", 235)
        line.smtp(f"MAIL FROM:<{ANA}> BODY=8BITMIME SIZE={len(SENT)}", 250)
        line.smtp(f"RCPT TO:<luis@{DOMAIN}>", 250)
        line.smtp("DATA", 354)
        line.say(SENT + b".")
        line.reply(250)
        line.smtp("QUIT", 221)


# ---- Outlook ---------------------------------------------------------------------------------------


def outlook(lab: Lab) -> dict[str, tuple[str, int, str]]:
    _, body = curl(lab, "/Autodiscover/Autodiscover.xml", "-d", OUTLOOK.format(ANA))
    texts = {"Type": "", "Server": "", "Port": "", "Encryption": ""}
    found = {}
    for one in (node for node in ET.fromstring(body).iter() if node.tag.endswith("}Protocol")):
        texts = {part.tag.partition("}")[2]: part.text or "" for part in one}
        found[texts["Type"]] = (texts["Server"], int(texts["Port"]), texts["Encryption"])
    return found


def test_outlook_with_imap(lab: Lab) -> None:
    """LIST without extensions, STATUS of each folder, the list of UIDs, IDLE."""
    found = outlook(lab)
    host, port, encryption = found["IMAP"]
    with Talk(lab, (host, port), encryption == "SSL") as line:
        line.imap("CAPABILITY")
        line.imap(f'LOGIN "{ANA}" "{PASSWORD}"')
        line.imap("CAPABILITY")
        line.imap('ID ("name" "Microsoft Outlook" "version" "16.0")')
        assert '"/"' in line.imap('LIST "" ""')
        folders = re.findall(r'\* LIST \([^)]*\) "/" "?([^"\r\n]+)"?', line.imap('LIST "" "*"'))
        assert "INBOX" in folders
        line.imap('LSUB "" "*"')
        for name in ("Deleted Items", "Sent Items"):
            line.imap(f'CREATE "{name}"')
            line.imap(f'SUBSCRIBE "{name}"')
        for name in folders:
            assert "UNSEEN" in line.imap(f'STATUS "{name}" (UIDNEXT UIDVALIDITY UNSEEN RECENT MESSAGES)')
        line.imap('SELECT "INBOX"')
        uids = re.findall(r"UID (\d+)", line.imap("UID FETCH 1:* (UID FLAGS)"))
        assert "hola" in line.imap(f"UID FETCH {uids[0]} (UID FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[])")
        assert "NIL" in line.imap(f"UID FETCH {uids[0]} (BODYSTRUCTURE ENVELOPE)")
        _idle(line, lab)
        line.imap(f'APPEND "Sent Items" (\\Seen) "20-Feb-2003 01:42:04 +0000" {{{len(SENT)}}}', SENT)
        line.imap("NOOP")
        line.imap(f'UID COPY {uids[0]} "Deleted Items"')
        line.imap(f"UID STORE {uids[0]} +FLAGS.SILENT (\\Answered)")
        line.imap("EXPUNGE")
        line.imap("LOGOUT")


def test_outlook_with_pop3_sends_with_auth_login(lab: Lab) -> None:
    """I48: UIDL to know what is new, TOP for the headers; AUTH LOGIN and a space after the colon."""
    found = outlook(lab)
    host, port, encryption = found["POP3"]
    with Talk(lab, (host, port), encryption == "SSL") as line:
        assert line.greeting.startswith(b"+OK")
        offered = line.pop3("CAPA", many=True)
        assert {"UIDL", "TOP", "USER"} <= set(offered.split())
        line.pop3(f"USER {ANA}")
        line.pop3(f"PASS {PASSWORD}")
        count = int(line.pop3("STAT").split()[1])
        assert len(line.pop3("UIDL", many=True).splitlines()) == count + 1
        assert len(line.pop3("LIST", many=True).splitlines()) == count + 1
        head = line.pop3("TOP 1 0", many=True)
        assert "Subject: one" in head
        assert "hola" not in head
        assert "hola" in line.pop3("RETR 1", many=True)
        line.pop3("NOOP")
        line.pop3("QUIT")
    host, port, encryption = found["SMTP"]
    with Talk(lab, (host, port), encryption == "SSL") as line:
        line.smtp("EHLO DESKTOP-1", 250)
        line.smtp("AUTH LOGIN", 334)
        line.smtp(base64.b64encode(ANA.encode()).decode(), 334)
        line.smtp(base64.b64encode(PASSWORD.encode()).decode(), 235)
        line.smtp(f"MAIL FROM: <{ANA}>", 250)
        line.smtp(f"RCPT TO: <luis@{DOMAIN}>", 250)
        line.smtp("DATA", 354)
        line.say(SENT + b".")
        line.reply(250)
        line.smtp("QUIT", 221)


# ---- Evolution -------------------------------------------------------------------------------------


def test_evolution(lab: Lab) -> None:
    """Folders with children and subscription at once, headers whole, bodies in windows, sync from the last state."""
    found = autoconfig(lab)
    with Talk(lab, way(found, "imap", "STARTTLS"), False) as line:
        line.imap("CAPABILITY")
        line.imap("STARTTLS")
        line.secure()
        line.imap("CAPABILITY")
        said = line.imap(f"AUTHENTICATE PLAIN {plain()}")
        offered = said + line.imap("CAPABILITY")
        line.imap('ID ("name" "evolution" "version" "3.46.4")')
        line.imap("NAMESPACE")
        assert "LIST-EXTENDED" in offered
        status = "STATUS (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)"
        assert "* STATUS" in line.imap(f'LIST "" "*" RETURN (CHILDREN SUBSCRIBED SPECIAL-USE {status})')
        if "QRESYNC" in offered:
            line.imap("ENABLE CONDSTORE QRESYNC")
        chosen = line.imap("SELECT INBOX")
        valid = re.search(r"UIDVALIDITY (\d+)", chosen)
        state = re.search(r"HIGHESTMODSEQ (\d+)", chosen)
        uids = re.findall(r"UID (\d+)", line.imap("UID FETCH 1:* (UID FLAGS)"))
        assert "Subject: one" in line.imap(f"UID FETCH {uids[0]} (RFC822.SIZE RFC822.HEADER FLAGS)")
        body, at = "", 0
        while piece := re.search(r"\{(\d+)\}\r\n", got := line.imap(f"UID FETCH {uids[0]} (BODY.PEEK[]<{at}.16384>)")):
            size = int(piece[1])
            if not size:
                break
            body += got[piece.end() : piece.end() + size]
            at += size
        assert body.count("hola\r\n") == 5000
        _idle(line, lab)
        line.imap(f"UID STORE {uids[0]} +FLAGS.SILENT (\\Flagged $Label1)")
        for name in ("Sent", "Trash"):
            if not line.imap(f"LIST \"\" {name}").startswith("*"):
                line.imap(f"CREATE {name}")
        line.imap(f"APPEND Sent (\\Seen) {{{len(SENT)}}}", SENT)
        line.imap(f"UID COPY {uids[0]} Trash")
        line.imap("UNSELECT")
        if valid and state and "QRESYNC" in offered:
            again = line.imap(f"SELECT INBOX (QRESYNC ({valid[1]} {state[1]}))")
            assert "$Label1" in again
        line.imap("LOGOUT")


def test_mail_within_the_house_by_port_25(lab: Lab) -> None:
    """S02, S03: a program that is told nothing sends inside by 25 without a password."""
    with Talk(lab, ("127.0.0.1", lab.ports["smtp"]), False) as line:
        line.smtp("EHLO pc", 250)
        line.smtp(f"MAIL FROM:<luis@{DOMAIN}>", 250)
        line.smtp(f"RCPT TO:<{ANA}>", 250)
        line.smtp("DATA", 354)
        line.say(SENT + b".")
        line.reply(250)
        line.smtp("QUIT", 221)
