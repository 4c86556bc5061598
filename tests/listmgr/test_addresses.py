"""The ten addresses of a list, and names that lists may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listmgr import addresses
from listmgr.addresses import Parsed, Verb


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("test", Parsed("test", Verb.POST, "")),
        ("Test-Request", Parsed("test", Verb.REQUEST, "")),
        ("test-request", Parsed("test", Verb.REQUEST, "")),
        ("test-confirm+0123abcd", Parsed("test", Verb.CONFIRM, "0123abcd")),
        ("test-bounces+user=example.net", Parsed("test", Verb.BOUNCES, "user=example.net")),
        ("my-list-owner", Parsed("my-list", Verb.OWNER, "")),
        ("owner-team", Parsed("owner-team", Verb.POST, "")),
        ("test+detail", Parsed("test", Verb.POST, "detail")),
        ("test-unsubscribe@example.org", Parsed("test", Verb.UNSUBSCRIBE, "")),
    ],
)
def test_parse(local: str, expected: Parsed) -> None:
    assert addresses.parse(local) == expected


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(addresses.valid_name), st.sampled_from(Verb))
def test_every_address_of_a_valid_name_parses_back(name: str, verb: Verb) -> None:
    assert addresses.parse(addresses.local(name, verb, "abc")) == Parsed(name, verb, "abc")
    assert addresses.parse(addresses.local(name, verb)) == Parsed(name, verb, "")


@pytest.mark.parametrize(
    "name",
    ["", "a b", "Test", "team-owner", "x-bounces", "../etc", "a..b", "a/b", "-a", "x.mbox", "a\nb", "a" * 65, "ñ"],
)
def test_names_that_no_list_may_have(name: str) -> None:
    assert not addresses.valid_name(name)


@pytest.mark.parametrize(
    "value",
    [
        "alice@example.org)bob@evil.example", "a@b@example.org", "Ann <ann@example.org>, bob@example.org", "",
        "group: ann@example.org;", "=?utf-8?q?a=40b?=@example.org", "<@relay:ann@example.org>", "ann@example.org (x) y",
    ],
)  # fmt: skip
def test_ambiguous_authors_are_nobody(value: str) -> None:
    """sec-M07."""
    assert addresses.single(value) is None


def test_valid_is_strict() -> None:
    assert addresses.valid("ann@example.org")
    for bad in (
        "ann",
        "ann@localhost",
        "Ann <ann@example.org>",
        "ann@example.org\r\nBcc: x@example.org",
        " ann@example.org",
    ):
        assert not addresses.valid(bad)
