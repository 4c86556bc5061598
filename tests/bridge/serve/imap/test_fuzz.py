"""Commands put together at random, well-formed and not: every answer can be read strictly, and none is a bug of ours
(sec-I04 to sec-I08, sec-I14)."""
import random

import pytest

from tests.bridge.serve.imap.world import Talk, letter
from tests.bridge.wire.imap.reader import Status

NASTY = (
    b'From: "a\\"b" <x@example.org>, =?utf-8?q?a=0D=0A_b?= <y@example.org>, group: c@example.org, d@example.org;\r\n'
    b"To: <@route:z@example.org>, (comment (nested)) , broken\x00name <>\r\nSubject: =?utf-8?b?w7HDsQ==?= \x80\xff {5}"
    b'\r\nContent-Type: multipart/alternative; boundary="q\\"b"; x="{3}"\r\nMessage-ID: <"(\r\n )"@x>\r\n\r\n'
    b'--q"b\r\nContent-Type: text/plain; name*=utf-8\'\'%00%0d%0a\r\nContent-Disposition: attachment; filename="\\"'
    b'\r\n\r\na\r\n--q"b\r\nContent-Type: message/rfc822\r\n\r\nSubject: (\r\n\r\nx\r\n--q"b--\r\n'
)
SETS = (
    "1:*", "1", "*", "2:4", "0", "999", "4294967295", "4294967296", "$", "1:2,3", "*:1", "3,1", "1:*,2",
)  # fmt: skip
NAMES = (
    "INBOX", "Otra", "Otra", "Ni&APE-o", '""', '"%"', "*", "&", "&AAA-", "../x", "a/b/c", "{3+}\r\nabc", "inbox", "A",
)  # fmt: skip
ITEMS = (
    "FLAGS", "(FLAGS UID)", "BODY[]", "BODY.PEEK[1.2.3]", "BODY.PEEK[2.HEADER]", "BODY.PEEK[TEXT]<0.5>", "(MODSEQ)",
    "BODY.PEEK[]<99999999999.5>", "BINARY.PEEK[1]", "BINARY.SIZE[2]", "BINARY[]<1.2>", "ENVELOPE", "BODYSTRUCTURE",
    "(ENVELOPE BODYSTRUCTURE BODY PREVIEW (LAZY) THREADID EMAILID SAVEDATE MODSEQ)", "BODY.PEEK[2.1.MIME]", "ALL",
    'BODY.PEEK[HEADER.FIELDS (X "Y")]', "(BODY[1] BODY[2.TEXT] BODY[HEADER] RFC822.SIZE)", "(UID) (CHANGEDSINCE 3)",
    "(UID BODY[HEADER.FIELDS.NOT (TO)]<3.9> INTERNALDATE) (CHANGEDSINCE 1 VANISHED)", "FULL", "RFC822", "(FLAGS",
)  # fmt: skip
FLAGS = (
    "+FLAGS (\\Seen $a)", "-FLAGS.SILENT \\Flagged", "FLAGS ()", "+FLAGS (\\Deleted)", "(UNCHANGEDSINCE 4) -FLAGS x",
)  # fmt: skip
KEYS = (
    "ALL", "UNSEEN", "SUBJECT x", "OR SEEN NOT TEXT a", "(BODY b)", "HEADER X y", "$", "1:3 UID *", "KEYWORD $a",
    "(((((", "MODSEQ 3", "LARGER 10 SENTSINCE 1-Jan-2020", 'CHARSET UTF-8 TEXT {2+}\r\n\\"', "OLDER 1 YOUNGER 9",
    "EMAILID x", ")",
)  # fmt: skip
RETURNS = (
    "", "", "RETURN (MIN MAX) ", "RETURN (SAVE) ", "RETURN (SAVE COUNT ALL) ", "RETURN () ",
    "RETURN (PARTIAL -1:-2) ",
)  # fmt: skip
FORMS = (
    "{uid}FETCH {set} {item}", "{uid}FETCH {set} {item}", "{uid}STORE {set} {flags}", "{uid}SEARCH {returns}{key}",
    "{uid}SORT {returns}(REVERSE SUBJECT DATE) UTF-8 {key}", "{uid}THREAD REFERENCES UTF-8 {key}",
    "{uid}COPY {set} {name}", "{uid}THREAD ORDEREDSUBJECT US-ASCII {key}", "{uid}MOVE {set} {name}", "EXPUNGE",
    "UID EXPUNGE {set}", "SELECT {name}", "EXAMINE {name}", "SELECT INBOX (QRESYNC (1 1 {set}))",
    "STATUS {name} (MESSAGES UIDNEXT SIZE DELETED)", "NOOP", "LIST {name} {name}",
    'LIST (SUBSCRIBED RECURSIVEMATCH) "" ({name} %) RETURN (STATUS (UNSEEN))', "LSUB {name} {name}", "CREATE {name}",
    "CREATE {name} (USE (\\Sent))", "DELETE {name}", "RENAME {name} {name}", "SUBSCRIBE {name}", "CHECK",
    "UNSUBSCRIBE {name}", "CLOSE", "UNSELECT", "CAPABILITY", 'ID ("name" NIL)', "ENABLE QRESYNC {name}", "NAMESPACE",
    "ENABLE UTF8=ACCEPT", "APPEND {name} {{3+}}\r\nabc", "APPEND {name} ({key}) ~{{1+}}\r\nx",
    "IDLE\r\nDONE\r\nx NOOP", "{name} {set}", "GETQUOTA {name}", "ENABLE IMAP4rev2", "SELECT INBOX", "SELECT INBOX",
    "SELECT INBOX",
)  # fmt: skip


def command(rng):
    return rng.choice(FORMS).format(
        uid=rng.choice(("", "UID ")), set=rng.choice(SETS), item=rng.choice(ITEMS), flags=rng.choice(FLAGS),
        returns=rng.choice(RETURNS), key=rng.choice(KEYS), name=rng.choice(NAMES),
    )  # fmt: skip


class Sender:
    """A connection that is made again when the server ends it."""

    def __init__(self, world):
        self.world = world
        self.connect()

    def connect(self):
        self.talk = Talk(self.world, "ana")
        self.talk.utf8 = True
        self.talk.ok("SELECT INBOX")

    def send(self, line):
        try:
            self.talk.send(f"t {line}\r\nsync NOOP\r\n".encode())
            out, end = self.talk.until("sync")
        except ConnectionError:
            self.talk.close()
            self.connect()
            return
        for one in [*out, end]:
            assert not (isinstance(one, Status) and one.code == "SERVERBUG"), (line, one)


@pytest.mark.parametrize("seed", range(3))
def test_anything(world, seed, caplog):
    rng = random.Random(seed)
    for number in range(4):
        world.put(number, body=NASTY if number % 2 else letter(number))
    world.mail().create("Otra")
    sender = Sender(world)
    for turn in range(500):
        if turn % 60 == 0:
            sender.send("SELECT INBOX")
        line = command(rng)
        if rng.random() < 0.1 and "\r" not in line:    # now and then without some of it
            line = line[: rng.randint(0, len(line))]
        sender.send(line)
        if turn % 50 == 0:
            world.put(turn, body=NASTY)
    sender.send("SELECT INBOX")
    sender.send("FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY PREVIEW BODY[])")
    sender.talk.close()
    assert "Traceback" not in caplog.text
