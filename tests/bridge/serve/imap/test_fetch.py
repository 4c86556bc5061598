"""FETCH in all its forms (I18, I20, I22, I35, sec-I14, sec-I17)."""
import random
import time

import pytest

from bridge.store.body import Body
from tests.bridge.serve.imap.world import Talk, fetched, letter
from tests.bridge.wire.imap import reader

NESTED = (
    b"From: a@example.org\r\nSubject: fuera\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"
    b"preludio\r\n--B\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"aG9sYQ0KYcO6bg==\r\n"
    b"--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: b@example.org\r\nSubject: dentro\r\n\r\ncuerpo de dentro\r\n"
    b"--B\r\nContent-Type: application/x-raro\r\nContent-Transfer-Encoding: x-raro\r\n\r\nzzz\r\n"
    b"--B--\r\n"
)


@pytest.fixture
def one(world, talk):
    for number in range(4):
        world.put(number)
    connected = talk("ana")
    connected.ok("SELECT INBOX")
    return connected


def test_items(one):
    """Everything at once, in the strict reader's eyes."""
    text = letter(2)
    items = fetched(one.data("FETCH 3 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE MODSEQ EMAILID "
                             "THREADID SAVEDATE PREVIEW BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (To X)] "
                             "BODY.PEEK[HEADER.FIELDS.NOT (To)])")[0])
    assert items["UID"] == 3
    assert items["RFC822.SIZE"] == len(text)
    assert items["ENVELOPE"][1] == b"Carta 2"
    assert items["BODY"][0] == items["BODYSTRUCTURE"][0] == b"text"
    assert items["MODSEQ"] == [4]
    assert items["EMAILID"][0].startswith("M")
    assert items["THREADID"][0].startswith("T")
    assert items["SAVEDATE"].endswith(b"+0000")
    assert items["PREVIEW"] == "Hola, número 2.".encode()
    assert items["BODY[HEADER]"] == text[: text.index(b"\r\n\r\n") + 4]
    assert items["BODY[HEADER.FIELDS (To X)]"] == b"To: luis@example.org\r\n\r\n"
    assert b"To:" not in items["BODY[HEADER.FIELDS.NOT (To)]"]
    assert b"Subject: Carta 2\r\n" in items["BODY[HEADER.FIELDS.NOT (To)]"]


def test_macros_and_old_items(one):
    assert list(fetched(one.data("FETCH 1 FAST")[0])) == ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]
    assert list(fetched(one.data("FETCH 1 FULL")[0]))[-2:] == ["ENVELOPE", "BODY"]
    old = fetched(one.data("FETCH 1 (RFC822.HEADER RFC822.TEXT)")[0])
    assert old["RFC822.HEADER"] + old["RFC822.TEXT"] == letter(0)
    assert "\\Seen" in old["FLAGS"]
    assert fetched(one.data("FETCH 1 RFC822")[0]) == {"RFC822": letter(0)}


def test_seen_is_set_by_reading_and_not_by_peeking(one):
    one.ok("FETCH 1 BODY.PEEK[]")
    assert fetched(one.data("FETCH 1 FLAGS")[0])["FLAGS"] == ["\\Recent"]
    assert fetched(one.data("FETCH 1 BODY[]")[0])["FLAGS"] == ["\\Seen", "\\Recent"]
    assert "FLAGS" not in fetched(one.data("FETCH 1 BODY[]")[0])
    many = one.data("UID FETCH 1:* (BODY[TEXT])")
    assert [("FLAGS" in fetched(values), fetched(values)["UID"]) for values in many] == [
        (True, 1), (True, 2), (True, 3), (True, 4)]


def test_numbers(one):
    """Sequence sets: numbers must exist, UIDs needn't; `*` and reversed ranges."""
    assert [v[0] for v in one.data("FETCH 4:2,1 UID")] == [1, 2, 3, 4]
    assert [v[0] for v in one.data("FETCH * UID")] == [4]
    assert [v[0] for v in one.data("FETCH 9:* UID")] == [4]
    assert one.no("FETCH 5 UID", "BAD")
    assert one.no("FETCH 2:9 UID", "BAD")
    assert one.data("UID FETCH 77:99 FLAGS") == []
    assert [v[0] for v in one.data("UID FETCH 77:* FLAGS")] == [4]
    assert [v[0] for v in one.data("UID FETCH 1:* (FLAGS) (PARTIAL -1:-2)")] == [3, 4]
    assert [v[0] for v in one.data("UID FETCH 1:* (FLAGS) (PARTIAL 2:3)")] == [2, 3]
    assert [v[0] for v in one.data("UID FETCH 1:* (FLAGS) (PARTIAL 1:2)")] == [1, 2]
    assert [v[0] for v in one.data("UID FETCH 1:* (FLAGS) (PARTIAL -3:-9)")] == [1, 2]
    assert one.data("UID FETCH 1:* (FLAGS) (PARTIAL -6:-9)") == []
    one.ok("CREATE Vacia")
    one.ok("SELECT Vacia")
    assert one.ok("FETCH 1:* UID") == []
    assert one.no("FETCH 1 UID", "BAD")


def test_partial(one):
    text = letter(1)
    for start, length in ((0, 10), (5, 1), (len(text) - 3, 10), (len(text), 5), (10_000, 5)):
        items = fetched(one.data(f"FETCH 2 BODY.PEEK[]<{start}.{length}>")[0])
        assert items == {f"BODY[]<{start}>": text[start : start + length]}
    assert fetched(one.data("FETCH 2 BODY.PEEK[TEXT]<2.3>")[0]) == {"BODY[TEXT]<2>": b"la,"}
    assert fetched(one.data("FETCH 2 BODY.PEEK[HEADER]<0.5>")[0]) == {"BODY[HEADER]<0>": b"From:"}


def test_sections(world, one):
    """I35, I18: parts, embedded messages, decoded content, what isn't there."""
    world.put(9, body=NESTED)
    one.ok("NOOP")
    found = fetched(one.data(
        "FETCH 5 (BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[2] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.1]"
        " BODY.PEEK[2.HEADER.FIELDS (SUBJECT)] BODY.PEEK[7] BODY.PEEK[1.HEADER] BINARY.PEEK[1] BINARY.SIZE[1]"
        " BODY.PEEK[2.HEADER.FIELDS.NOT (SUBJECT)] BINARY.PEEK[1]<2.4> BODY.PEEK[TEXT] RFC822.SIZE BINARY.PEEK[2])")[0])
    assert found["BODY[1]"] == b"aG9sYQ0KYcO6bg=="
    assert found["BODY[1.MIME]"].endswith(b"base64\r\n\r\n")
    assert found["BODY[2]"] == b"From: b@example.org\r\nSubject: dentro\r\n\r\ncuerpo de dentro"
    assert found["BODY[2.HEADER]"] == b"From: b@example.org\r\nSubject: dentro\r\n\r\n"
    assert found["BODY[2.TEXT]"] == found["BODY[2.1]"] == b"cuerpo de dentro"
    assert found["BODY[2.HEADER.FIELDS (SUBJECT)]"] == b"Subject: dentro\r\n\r\n"
    assert found["BODY[2.HEADER.FIELDS.NOT (SUBJECT)]"] == b"From: b@example.org\r\n\r\n"
    assert found["BODY[7]"] is None
    assert found["BODY[1.HEADER]"] is None
    assert found["BINARY[1]"] == "hola\r\naún".encode()
    assert found["BINARY.SIZE[1]"] == 10
    assert found["BINARY[1]<2>"] == b"la\r\n"
    assert found["BODY[TEXT]"] == NESTED[NESTED.index(b"\r\n\r\n") + 4 :]
    assert found["RFC822.SIZE"] == len(NESTED)
    assert one.no("FETCH 5 BINARY.PEEK[3]").code == "UNKNOWN-CTE"
    assert one.no("FETCH 5 BINARY.PEEK[1.MIME]", "BAD")


def test_big_messages_are_streamed(world, one):
    """Bodies and parts above a megabyte, whole and in windows, byte for byte (also NUL, which a literal can't hold)."""
    noise = random.Random(1)
    lines = [bytes(noise.choices(b"abcdefg\0", k=70)) for _ in range(40_000)]
    part = b"\r\n".join(lines)
    big = b"Subject: grande\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\n" + part + b"\r\n--B--\r\n"
    world.put(9, body=big)
    one.ok("NOOP")
    clean, clean_part = big.replace(b"\0", b"\x80"), part.replace(b"\0", b"\x80")
    both = one.data("FETCH 4:5 BODY.PEEK[]")
    assert [fetched(v)["BODY[]"] for v in both] == [letter(3), clean]
    assert fetched(one.data("FETCH 5 (UID BODY.PEEK[])")[0])["BODY[]"] == clean
    assert fetched(one.data("FETCH 5 (BODY.PEEK[1])")[0])["BODY[1]"] == clean_part
    assert fetched(one.data("FETCH 5 (BODY.PEEK[1]<1500000.1300000>)")[0])["BODY[1]<1500000>"] == (
        clean_part[1_500_000:2_800_000])
    assert fetched(one.data("FETCH 5 (BODY.PEEK[]<2000000.70000>)")[0])["BODY[]<2000000>"] == clean[2_000_000:2_070_000]
    at, pieces = 0, []
    while piece := fetched(one.data(f"FETCH 5 BODY.PEEK[]<{at}.262144>")[0])[f"BODY[]<{at}>"]:
        pieces.append(piece)
        at += len(piece)
    assert b"".join(pieces) == clean


def test_changed_since(one):
    """I13."""
    before = fetched(one.data("FETCH 4 MODSEQ")[0])["MODSEQ"][0]
    one.ok("STORE 2 +FLAGS (\\Flagged)")
    found = one.data(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")
    assert [(v[0], "MODSEQ" in fetched(v)) for v in found] == [(2, True)]
    assert [v[0] for v in one.data(f"FETCH 1:* (BODY.PEEK[TEXT]) (CHANGEDSINCE {before})")] == [2]


def test_messages_that_went_away(world, one, talk):
    """Others expunge while we look: what is left comes, in step."""
    two = talk("ana")
    two.ok("SELECT INBOX")
    two.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
    two.ok("EXPUNGE")
    assert [v[0] for v in one.data("FETCH 1:* (UID FLAGS)")] == [1, 3, 4]
    assert [v[0] for v in one.data("FETCH 1:* (BODY.PEEK[])")] == [1, 3, 4]
    assert [v[0] for v in one.data("FETCH 1:* (BODY.PEEK[TEXT])")] == [1, 3, 4]
    assert one.end.code == "EXPUNGEISSUED"
    assert one.data("FETCH 2 (BODY.PEEK[])") == []


@pytest.mark.parametrize("command", [b"x FETCH 5 BODY.PEEK[]", b"x FETCH 5 BODY[]", b"x FETCH 4:5 (BODY.PEEK[])"])
def test_a_message_that_breaks_off_ends_the_connection(world, one, monkeypatch, command):
    """Never a literal that is shorter than it was announced."""
    world.put(9, body=b"Subject: x\r\n\r\n" + b"y" * 3_000_000 + b"\r\n")
    one.ok("NOOP")
    monkeypatch.setattr(Body, "chunks", lambda self, start=0, length=None: iter((b"only this",)))
    one.send(command + b"\r\n")
    seen = b""
    while data := one.socket.recv(65536):
        seen += data
    assert b"NO [" not in seen
    assert b"x OK" not in seen


def test_half_an_answer_ends_the_connection(world, one):
    """A piece that can't be decoded behind one that was streamed already."""
    big = NESTED.replace(b"cuerpo de dentro", b"cuerpo de dentro\r\n" * 100_000)
    world.put(9, body=big)
    one.ok("NOOP")
    assert one.no("FETCH 5 (BINARY.PEEK[3] BODY.PEEK[2])").code == "UNKNOWN-CTE"
    with pytest.raises((ConnectionError, reader.NotImap)):
        one.command("FETCH 5 (BODY.PEEK[2] BINARY.PEEK[3])")


def test_slow_reader_costs_no_memory(world, talk):
    """sec-I17: a client that asks for much and reads nothing is made to wait, others aren't."""
    body = b"Subject: x\r\n\r\n" + b"z" * 70 + b"\r\n"
    for _ in range(3):
        world.put(9, body=body + (b"q" * 78 + b"\r\n") * 100_000)
    slow, other = talk("ana"), talk("ana")
    slow.ok("SELECT INBOX")
    slow.send(b"x FETCH 1:* BODY.PEEK[]\r\ny FETCH 1:* BODY.PEEK[]\r\n")
    link = next(session for session in world.service.sessions if session.client.box)._link
    deadline = time.monotonic() + 10
    while not link.congested and time.monotonic() < deadline:
        time.sleep(0.01)
    assert link.congested
    assert link._transport.get_write_buffer_size() < 2_000_000
    other.ok("SELECT INBOX")
    other.ok("NOOP")
    out, end = slow.until("x")
    assert (len(out), end.word) == (3, "OK")
    assert len(slow.until("y")[0]) == 3


def test_lost_connection_in_the_middle(world, talk):
    """What was opened is closed, and the service goes on."""
    world.put(9, body=b"Subject: x\r\n\r\n" + (b"q" * 78 + b"\r\n") * 200_000)
    for _ in range(5):
        one = Talk(world, "ana")
        one.ok("SELECT INBOX")
        one.send(b"x FETCH 1 BODY.PEEK[]\r\n")
        one.socket.recv(1000)
        one.close()
    other = talk("ana")
    other.ok("SELECT INBOX")
    assert len(fetched(other.data("FETCH 1 BODY.PEEK[TEXT]")[0])["BODY[TEXT]"]) == 16_000_000
