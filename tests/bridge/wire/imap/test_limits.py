"""sec-I01 and its kin: what a peer can make us spend, walked through limit by limit."""

import sys
import tracemalloc

import pytest

from bridge.wire.imap import fragment, tokens
from bridge.wire.imap.args import append, extra, mailbox, message, searchkey
from bridge.wire.imap.flow import Bad, Fatal, Flow
from bridge.wire.imap.fragment import POST_AUTH, PRE_AUTH


def test_pre_auth_is_what_the_design_says() -> None:
    assert (PRE_AUTH.line, PRE_AUTH.literal, PRE_AUTH.depth) == (8192, 4096, 1)
    assert (POST_AUTH.line, POST_AUTH.literal) == (65_536, 65_536)


@pytest.mark.parametrize(
    "line",
    [
        b"a LOGIN {4294967295+}\r\n",
        b"a LOGIN {18446744073709551616+}\r\n",
        b"a LOGIN {4294967295}\r\n",
        b"a LOGIN {-1}\r\n",
        b"a ID " + b"(" * 8000 + b"\r\n",
        b"a " + b"{0+}\r\n " * 100 + b"\r\n",
        b"a LOGIN " + b"{4096+}\r\n" + b"x" * 4096 + b" {4096+}\r\n" + b"x" * 4096 + b" x\r\n",
        b"y" * 200_000,
    ],
)
def test_before_login_every_excess_is_refused_in_little_memory(line: bytes) -> None:
    crowd = [Flow() for _ in range(100)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for flow in crowd:
        for at in range(0, len(line), 4096):
            flow.feed(line[at : at + 4096])
            while (event := flow.next_event()) is not None:
                assert isinstance(event, (Bad, Fatal))
        assert flow.take_output()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100 * 4096
    assert peak - before < 100 * 40_000


def test_an_idle_connection_is_small() -> None:
    flow = Flow()
    fragmenter = flow._fragmenter
    assert sys.getsizeof(flow) + sys.getsizeof(fragmenter) + sys.getsizeof(fragmenter._buffer) < 1000


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (tokens, "MAILBOX_LENGTH"),
        (tokens, "KEYWORD_LENGTH"),
        (tokens, "FLAGS"),
        (tokens, "LIST_LENGTH"),
        (append, "MESSAGES"),
        (append, "PARTS"),
        (extra, "MAILBOXES"),
        (extra, "EVENT_GROUPS"),
        (extra, "ENTRIES"),
        (mailbox, "PATTERNS"),
        (message, "ITEMS"),
        (message, "HEADER_FIELDS"),
        (message, "PART_DEPTH"),
        (searchkey, "KEYS"),
        (fragment, "_TAIL"),
    ],
)
def test_limits_are_named_and_small(module: object, name: str) -> None:
    assert 0 < getattr(module, name) <= 1000


@pytest.mark.parametrize(
    "command",
    [
        b"SEARCH " + b"NOT " * 16_000 + b"SEEN",
        b"SEARCH " + b"OR (" * 15_000,
        b"FETCH 1 (" + b"BODY[1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1] " * 1500,
        b"FETCH " + b"1:*," * 16_000 + b"1 FLAGS",
        b"STORE 1 FLAGS (" + b"k " * 30_000 + b")",
        b'LIST "" (' + b"%*" * 30_000 + b")",
        b'LIST "" ' + b"&" * 60_000,
        b"CREATE " + b"&AAA-" * 12_000,
        b'CREATE "' + b'\\"' * 30_000 + b'"',
        b'CREATE "' + b"\\" * 60_000,
        b"SELECT x (QRESYNC (1 1 " + b"1:2," * 15_000 + b"5))",
        b"FETCH 1 BODY[HEADER.FIELDS (" + b"a " * 30_000 + b")]",
        b"SORT (" + b"REVERSE DATE " * 4000 + b") UTF-8 ALL",
        b"APPEND x (" + b"a " * 30_000,
        b"NOTIFY SET " + b"(selected (MessageNew)) " * 2500,
        b"ENABLE " + b"A " * 30_000,
        b"STATUS x (" + b"MESSAGES " * 7000 + b")",
        b"ID (" + b'"a" "b" ' * 8000 + b")",
    ],
)
def test_no_command_of_64_kb_takes_long(command: bytes) -> None:
    """A blow-up guard: these take milliseconds; what is quadratic in 64 KB takes minutes and times the run out."""
    flow = Flow()
    flow.authenticated()
    flow.selected()
    for _ in range(3):
        flow.feed(b"a " + command + b"\r\n")
        assert flow.next_event() is not None
        assert flow.next_event() is None
