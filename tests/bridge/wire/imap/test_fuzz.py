"""Hostile bytes: only events come out of the flow, the output stays IMAP, and the peer can't shift the framing."""

import os
import random
import time

from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.imap import grammar
from bridge.wire.imap.flow import AuthLine, Bad, Command, Done, Fatal, Flow, LiteralWaiting
from bridge.wire.imap.fragment import LATER, Decision, Later, Literal, Refuse
from bridge.wire.imap.tokens import BadCommand, Scanner
from tests.bridge.wire.imap.reader import read

WORDS = [
    b" ", b"(", b")", b"\r\n", b"\n", b'"', b"\\", b"{3}\r\n", b"{3+}\r\nabc", b"~{2+}\r\n\0\xff",
    b"{", b"}", b"[", b"]",
    b"<0.5>", b"*", b"%", b"$", b"1:*", b"1,2:4", b"0", b"4294967296", b"NIL", b"INBOX", b"&AOE-", b"&", b"\xc3\xb1",
    b"\xff", b"\0", b"\\Seen", b"FLAGS", b"BODY[", b"BODY.PEEK[HEADER.FIELDS (", b"NOT ", b"OR ", b"UID ", b"RETURN (",
    b"CHARSET ", b"UTF-8 ", b"TEXT ", b"URL ", b"CATENATE (", b"UTF8 (", b"QRESYNC (", b'"17-Jul-1996 02:44:25 -0700" ',
    b"1-Feb-1994", b"x", b"+", b"-", b"STATUS (", b"MESSAGES", b"DONE", b"/shared/a", b"PARTIAL ", b"-1:-5", b"LAZY",
]  # fmt: skip
NAMES = [name.encode() for name in grammar.PARSERS]
SOUP = st.lists(st.sampled_from(WORDS) | st.binary(max_size=3), max_size=14).map(b"".join)
COMMANDS = st.lists(
    st.tuples(st.sampled_from(NAMES), SOUP).map(lambda both: b"t " + both[0] + b" " + both[1]), max_size=4
)


class Drain:
    """A sink for nothing."""

    def write(self, data: bytes | memoryview) -> None:
        assert len(data)

    def end(self) -> None:
        pass

    def abandon(self) -> None:
        pass


def converse(flow: Flow, data: bytes, wild: random.Random) -> list[object]:
    """Play the shell badly: change states at random, answer everything."""
    found: list[object] = []
    flow.feed(data)
    while (event := flow.next_event()) is not None:
        found.append(event)
        if isinstance(event, LiteralWaiting):
            flow.decide(wild.choice([Drain(), Refuse("no"), None]))
        elif isinstance(event, Command):
            repr(event.args)
            hash(event.args)
            if event.name == "AUTHENTICATE" and wild.random() < 0.5:
                flow.challenge(b"x")
            elif event.name == "IDLE":
                flow.idle()
            wild.choice([flow.authenticated, flow.selected, lambda: None])()
        else:
            assert isinstance(event, (Bad, AuthLine, Done, Fatal))
    read(flow.take_output(), utf8=True)
    return found


@given(COMMANDS.map(b"\r\n".join), st.integers(0, 2**32), st.booleans())
def test_only_events_escape(data: bytes, seed: int, utf8: bool) -> None:
    """sec-I01, sec-I08."""
    wild = random.Random(seed)

    def decide(message: object) -> Decision | Later:
        return wild.choice([Drain(), Refuse("no", "OVERQUOTA"), None, LATER])

    flow = Flow(on_message=decide)
    flow.authenticated()
    flow.selected()
    flow.utf8 = utf8
    converse(flow, data + b"\r\n", wild)
    flow.abandon()


@given(st.binary(max_size=300), st.booleans())
def test_noise_before_login(data: bytes, newline: bool) -> None:
    converse(Flow(), data + (b"\r\n" if newline else b""), random.Random(1))


@given(
    st.sampled_from(NAMES), st.lists(SOUP | st.binary(max_size=6).map(lambda raw: Literal(len(raw), True, False, raw)))
)
def test_only_bad_command_escapes_from_the_grammar(name: bytes, soup: list[bytes | Literal]) -> None:
    frame: list[bytes | Literal] = [b" " + name + b" "]
    for piece in soup:
        if isinstance(piece, bytes):
            last = frame[-1]
            assert isinstance(last, bytes)
            frame[-1] = last + piece.replace(b"\n", b"")
        else:
            frame += [piece, b""]
    scan = Scanner(tuple(frame))
    refused: BadCommand | None = None
    try:
        grammar.arguments(scan, grammar.name(scan))
    except BadCommand as refusal:
        refused = refusal
    assert refused is None or (refused.text and refused.status in ("BAD", "NO"))


GOOD = [
    b"LOGIN ana {6}\r\nsecret", b"SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,3 5,7)))",
    b'LIST (SUBSCRIBED) "" ("INBOX" "Sent/%") RETURN (STATUS (MESSAGES UNSEEN))',
    b"UID FETCH 1:* (FLAGS BODY.PEEK[1.HEADER.FIELDS (FROM TO)]<0.20> BINARY[1]) (CHANGEDSINCE 12 VANISHED)",
    b"STORE 1:5,7 (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen $Junk)",
    b'APPEND INBOX (\\Seen) "17-Jul-1996 02:44:25 -0700" {5+}\r\nhello (\\Draft) {3+}\r\nyou',
    b'APPEND Drafts CATENATE (URL "/a" TEXT {5+}\r\nhello)',
    b'UID SEARCH RETURN (ALL) CHARSET UTF-8 OR (SEEN NOT FROM "x") UID 1:5 TEXT {3+}\r\na\xc3\xb1',
    b"UID SORT (REVERSE DATE SUBJECT) UTF-8 SINCE 1-Feb-1994", b"AUTHENTICATE PLAIN AGEAYg==", b'ID ("name" "x")',
    b"NOTIFY SET STATUS (selected (MessageNew (UID) MessageExpunge)) (subtree (a b) (MessageNew))", b"UID MOVE $ &AOE-",
    b'SETMETADATA INBOX (/private/comment {2+}\r\nxx /shared/a NIL)',
    b'ESEARCH IN (mailboxes "a") RETURN (COUNT) unseen',
]  # fmt: skip


def mutated(wild: random.Random) -> bytes:
    raw = bytearray(b"t " + wild.choice(GOOD))
    for _ in range(wild.randrange(4)):
        at = wild.randrange(len(raw))
        match wild.randrange(4):
            case 0:
                raw[at] = wild.randrange(256)
            case 1:
                del raw[at : at + wild.randrange(1, 8)]
                raw += b"x" * (not raw)
            case 2:
                raw[at:at] = wild.choice(WORDS)
            case _:
                raw[at:at] = raw[wild.randrange(len(raw)) :][:20]
    return bytes(raw) + b"\r\n"


def test_mutated_commands() -> None:
    """Seeded; ESTAFETA_FUZZ_SECONDS makes it long."""
    wild = random.Random(20261122)
    seconds = float(os.environ.get("ESTAFETA_FUZZ_SECONDS", "0"))
    end, runs, kinds = time.monotonic() + seconds, 0, set()
    while runs < 4000 or time.monotonic() < end:
        flow = Flow(on_message=lambda message: wild.choice([Drain(), None]))
        if wild.random() < 0.9:
            flow.authenticated()
            flow.selected()
        kinds |= {type(event) for event in converse(flow, mutated(wild) + mutated(wild), wild)}
        runs += 1
    assert {Command, Bad} <= kinds


def test_framing_is_the_same_for_every_grammar() -> None:
    """Whatever a command says, the marker behind it is the next command: no {n+} can hide or shift it."""
    wild = random.Random(7)
    for _ in range(3000):
        evil = b"z LOGOUT\r\n" * wild.randrange(4)
        head = b"t " + wild.choice(NAMES) + b" " + b"".join(wild.choice(WORDS[:2] + WORDS[9:60]) for _ in range(5))
        head = head.replace(b"\r\n", b"").replace(b"\n", b"").replace(b"{", b"")
        flow = Flow(on_message=lambda message: wild.choice([Drain(), None, Refuse("no")]))
        flow.authenticated()
        data = head + b" {%d+}\r\n%b x\r\nmarker NOOP\r\n" % (len(evil), evil)
        flow.feed(data)
        tags = []
        while (event := flow.next_event()) is not None:
            assert isinstance(event, (Command, Bad))
            tags.append(event.tag)
        assert len(tags) == 2
        assert tags[1] == b"marker"
