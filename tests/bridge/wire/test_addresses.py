"""Address lists, strict and lenient: sec-M05, sec-M07, sec-M08, sec-M11, sec-L09, L-rows that ask who wrote."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import addresses
from bridge.wire.addresses import Kind, Mailbox, format_mailbox, lenient, strict

ALICE = Mailbox("", "alice", "example.org")

CLEAR: dict[bytes, tuple[Mailbox, ...]] = {
    b"alice@example.org": (ALICE,),
    b" alice@example.org ": (ALICE,),
    b"<alice@example.org>": (ALICE,),
    b"\n alice@example.org\n": (ALICE,),
    b"alice@example.org (Alice)": (Mailbox("", "alice", "example.org"),),
    b"Alice <alice@example.org>": (Mailbox("Alice", "alice", "example.org"),),
    b"Alice <alice@example.org> (home)": (Mailbox("Alice", "alice", "example.org"),),
    b"Alice B. Smith <alice@example.org>": (Mailbox("Alice B. Smith", "alice", "example.org"),),
    b'"Smith, Alice" <alice@example.org>': (Mailbox("Smith, Alice", "alice", "example.org"),),
    b'"A \\"B\\" \\\\" <alice@example.org>': (Mailbox('A "B" \\', "alice", "example.org"),),
    b'"Alice"<alice@example.org>': (Mailbox("Alice", "alice", "example.org"),),
    b'"evil@example.com" <alice@example.org>': (Mailbox("evil@example.com", "alice", "example.org"),),
    b"=?utf-8?q?Jos=C3=A9?= <alice@example.org>": (Mailbox("José", "alice", "example.org"),),
    b'"=?utf-8?q?a=40b?=" <alice@example.org>': (Mailbox("a@b", "alice", "example.org"),),
    "José <alice@example.org>".encode(): (Mailbox("José", "alice", "example.org"),),
    b"Jos\xe9 <alice@example.org>": (Mailbox("José", "alice", "example.org"),),
    "josé@ejemplo.example".encode(): (Mailbox("", "josé", "ejemplo.example"),),
    b"alice@example.org, Bob <bob@example.org>": (ALICE, Mailbox("Bob", "bob", "example.org")),
    b"alice@example.org,\n\tbob@example.org": (ALICE, Mailbox("", "bob", "example.org")),
    b'"alice"@example.org': (ALICE,),
    b'"two words"@example.org': (Mailbox("", "two words", "example.org"),),
    b"alice+tag@example.org": (Mailbox("", "alice+tag", "example.org"),),
    b"SRS0=HHH=TT=example.com=bob@example.org": (Mailbox("", "SRS0=HHH=TT=example.com=bob", "example.org"),),
    b"alice@[192.0.2.1]": (Mailbox("", "alice", "[192.0.2.1]"),),
    b"alice@[IPv6:2001:db8::1]": (Mailbox("", "alice", "[IPv6:2001:db8::1]"),),
    b"alice@EXAMPLE.org": (Mailbox("", "alice", "EXAMPLE.org"),),
    b"alice@a_b.example.org": (Mailbox("", "alice", "a_b.example.org"),),
    b"o'neil@example.org": (Mailbox("", "o'neil", "example.org"),),
    b"O'Neil <alice@example.org>": (Mailbox("O'Neil", "alice", "example.org"),),
}

AMBIGUOUS = [
    b"",
    b" ",
    b",",
    b"@",
    b"<>",
    b"alice",
    b"alice@",
    b"@example.org",
    b"<alice>",
    b"Alice",
    b"alice@example.org)bob@evil.example",  # CVE-2023-27043
    b"alice@example.org]bob@evil.example",
    b"alice@example.org>bob@evil.example",
    b"alice@example.org<bob@evil.example>",
    b"alice@example.org <bob@evil.example>",
    b"alice@example.org(<bob@evil.example>)",
    b"alice@example.org(,bob@evil.example)",
    b'alice@example.org"bob@evil.example',
    b"alice@example.org[bob@evil.example]",
    b"alice@example.org\\bob@evil.example",
    b"alice@example.org;bob@evil.example",
    b"alice@example.org:bob@evil.example",
    b"alice@example.org,",
    b",alice@example.org",
    b"alice@example.org,,bob@example.org",
    b"alice@example.org bob@example.org",
    b"alice@example.org@evil.example",
    b"<alice@example.org@evil.example>",
    b"<alice@evil.example>@example.org",  # CVE-2019-16056
    b"alice@evil.example@example.org",
    b'"alice@evil.example"@example.org',
    b'"alice@evil.example\\"@example.org',
    b"<alice@example.org><bob@evil.example>",
    b"<alice@example.org> <bob@evil.example>",
    b"<alice@example.org> bob@evil.example",
    b"<<alice@example.org>>",
    b"<alice@example.org",
    b"alice@example.org>",
    b"Alice <alice@example.org",
    b'"Alice <alice@example.org>',
    b"Friends: alice@example.org;",
    b"undisclosed-recipients:;",
    b"Friends: alice@example.org",
    b":;",
    b"a:b:c@example.org;;",
    b"<@evil.example:alice@example.org>",
    b"<@a,@b:alice@example.org>",
    b"alice(comment)@example.org",
    b"alice@(comment)example.org",
    b"(bob@evil.example) alice@example.org",
    b"alice@example.org (bob@evil.example)",
    b"alice@example.org (a(b)c)",
    b"alice@example.org (open",
    b"<alice(c)@example.org>",
    b"=?utf-8?q?alice=40example.org?=",
    b"=?utf-8?q?alice=40evil?=@example.org",
    b"=?utf-8?q?a?=@example.org",
    b"<=?utf-8?q?alice=40example.org=3E?= <bob@evil.example>",
    b"alice @example.org",
    b"alice@ example.org",
    b"al ice@example.org",
    b"< alice@example.org>",
    b"<alice@example.org >",
    b".alice@example.org",
    b"alice.@example.org",
    b"al..ice@example.org",
    b"alice@.example.org",
    b"alice@example..org",
    b"alice@-example.org",
    b"alice@example-.org",
    b"alice@example.org.",
    b"alice@exa mple.org",
    b"alice\r@example.org",
    b"alice@example.org\rBcc: bob@evil.example",
    b"alice@example.org\nbob@evil.example",
    b"alice@example.org\0",
    b"alice\0@example.org",
    b"al\x01ice@example.org",
    b"alice@example.org\x0b",
    b"Ali\rce <alice@example.org>",
    b"\xe9lice@example.org",
    b"alice@ex\xe4mple.org",
    "ali\u200bce@example.org".encode(),
    "alice@exa\u202emple.org".encode(),
    "a\u0301lice@example.org".encode(),
    b"alice@" + b"a" * 64 + b".org",
    b"alice@" + b"a." * 130 + b"org",
    b"a" * 300 + b"@example.org",
    b"[List] <alice@example.org>",
    b"Alice, the great <alice@example.org>",
    b"Alice: hi <alice@example.org>",
    b"alice@[1.2.3]",
    b"alice@[evil]",
    b'""@example.org',
    b'"a\\b"@example.org',
    b"alice@example.org\xa0",
]


@pytest.mark.parametrize("raw", CLEAR)
def test_clear_lists_are_read(raw: bytes) -> None:
    """sec-M07"""
    assert strict(raw) == CLEAR[raw]


@pytest.mark.parametrize("raw", AMBIGUOUS)
def test_ambiguous_lists_decide_nothing(raw: bytes) -> None:
    """sec-M07, CVE-2023-27043, CVE-2019-16056: two readers could disagree, so nobody is recognised."""
    assert strict(raw) is None


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CLEAR) + len(AMBIGUOUS) >= 80
    assert len(set(AMBIGUOUS)) == len(AMBIGUOUS)


def test_strict_takes_text_and_is_bounded() -> None:
    assert strict("José <alice@example.org>") == (Mailbox("José", "alice", "example.org"),)
    assert strict(b"a@example.org," * 1000 + b"a@example.org") is None
    assert len(strict(b"a@example.org," * 999 + b"a@example.org") or ()) == 1000


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a@b", [("", "a", "b")]),
        (b"A <a@b>", [("A", "a", "b")]),
        (b'"A, B" <a@b>, c@d', [("A, B", "a", "b"), ("", "c", "d")]),
        (b"a@b (A)", [("A", "a", "b")]),
        (b"(A (nested) x) a@b", [("A (nested) x", "a", "b")]),
        (b"root", [("", "root", "")]),
        (b"G: a@b, c@d;, e@f", [("", "a", "b"), ("", "c", "d"), ("", "e", "f")]),
        (b"undisclosed-recipients:;", []),
        (b"<@x,@y:a@b>", [("", "a", "b")]),
        (b"A <a@b", [("A", "a", "b")]),
        (b"a@b; c@d", [("", "a", "b"), ("", "c", "d")]),
        (b'"a b"@c', [("", "a b", "c")]),
        (b"a@[1.2.3.4]", [("", "a", "[1.2.3.4]")]),
        (b"[L] A <a@b>", [("[L] A", "a", "b")]),
        (b"a@b <c@d>", [("a@b", "c", "d")]),
        (b"A B a@b", [("A B", "a", "b")]),
        (b"Name <>", [("Name", "", "")]),
        (b"A <a@b> tail", [("A tail", "a", "b")]),
        (b"A <a@b> C <c@d>", [("A C", "a", "b"), ("", "c", "d")]),
        (b"=?utf-8?q?=C3=81?=\r\n =?utf-8?q?b?= <a@b>", [("Áb", "a", "b")]),
        (b"\xe1@\xff", [("", "á", "ÿ")]),
        (b"", []),
        (b",,;", []),
        (b'"A \\"q\\"" <a@b>', [('A "q"', "a", "b")]),
        (b"a\0b@c", [("a", "b", "c")]),
        (b'"unclosed <a@b>', [("", "unclosed <a@b>", "")]),
    ],
)
def test_lenient_shows_what_is_there(raw: bytes, expected: list[tuple[str, str, str]]) -> None:
    assert [(one.name, one.local, one.domain) for one in lenient(raw)] == expected


def test_groups_are_marked_in_entries() -> None:
    kinds = [one.kind for one in addresses.entries(b"a@b, G: c@d;, H: e@f")]
    assert kinds == [Kind.MAILBOX, Kind.GROUP, Kind.MAILBOX, Kind.GROUP_END, Kind.GROUP, Kind.MAILBOX, Kind.GROUP_END]


SPECIALS = st.sampled_from([*list('<>@,;:()[]"\\. \t\r\n\x00=?aé'), "=?utf-8?q?", "?=", "a@b", "<a@b>"])


@settings(max_examples=200, deadline=None)
@given(st.lists(SPECIALS, max_size=25).map("".join))
def test_nothing_raises_and_what_is_clear_reads_the_same_twice(text: str) -> None:
    raw = text.encode()
    shown = lenient(raw)
    assert not any(mark in one.name + one.local + one.domain for one in shown for mark in "\r\n\0")
    decided = strict(raw)
    if decided is not None:
        assert [(one.local, one.domain) for one in decided] == [(one.local, one.domain) for one in shown]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["a", "a.b", "two words", "o'x"]))
def test_names_of_our_own_read_back(name: str, local: str) -> None:
    """sec-M08, sec-L09: whatever stands in the name, there is one mailbox, and it is ours."""
    raw = format_mailbox(Mailbox(name, local, "example.org"))
    assert b"\r" not in raw
    assert b"\n" not in raw
    assert b"\0" not in raw
    assert raw.isascii()
    (again,) = strict(raw) or (None,)
    assert again is not None
    assert (again.local, again.domain) == (local, "example.org")
    clean = " ".join("".join(" " if not c.isprintable() and c != "\u00a0" else c for c in name).split())
    if all(c.isprintable() for c in name):
        assert again.name == clean


def test_forms_of_our_own() -> None:
    assert format_mailbox(Mailbox("", "a", "example.org")) == b"a@example.org"
    assert format_mailbox(Mailbox("Ann B", "a", "example.org")) == b"Ann B <a@example.org>"
    assert format_mailbox(Mailbox("Ann, B.", "a", "example.org")) == b'"Ann, B." <a@example.org>'
    assert format_mailbox(Mailbox('x" <evil@x>', "a", "example.org")) == b'"x\\" <evil@x>" <a@example.org>'
    assert format_mailbox(Mailbox("José", "a", "example.org")) == b"=?utf-8?q?Jos=C3=A9?= <a@example.org>"
    assert format_mailbox(Mailbox("x\r\nBcc: y", "a\r\n", "exam\nple.org")) == b'"x Bcc: y" <a@example.org>'
    assert format_mailbox(Mailbox("", "a b@c", "example.org")) == b'"a b@c"@example.org'
    assert format_mailbox(Mailbox("", "a", "españa.example")) == b"a@xn--espaa-rta.example"
    assert format_mailbox(Mailbox("", "a", "x>, <evil@y")) == b"a@xevily"
    field = addresses.address_field("To", [Mailbox("Ann", "a", "example.org")] * 5)
    assert field.endswith(b"\n")
    assert all(len(line) <= 76 for line in field.split(b"\n"))
    assert len(strict(field[3:]) or ()) == 5


def test_huge_labels_are_not_given_to_idna() -> None:
    """sec-M11"""
    start = time.process_time()
    assert addresses.ascii_domain("é" * 100_000)[:2] == "é".encode()
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "piece", [b"(", b'"', b"<", b",", b"a ", b"a@b,", b'"a"', b" ", b"a.", b"@", b"\\", b"=?", b"a:", b"(a)"]
)
def test_floods_are_linear(piece: bytes) -> None:
    """sec-M05"""
    start = time.process_time()
    strict(piece * (90_000 // len(piece)))
    assert len(addresses.entries(piece * (300_000 // len(piece)))) <= addresses.MAX_ADDRESSES + 1
    assert time.process_time() - start < 2
