"""S39: DMARC by the tree walk of RFC 9989."""
import asyncio

import pytest

from bridge.trust import dmarc
from bridge.trust.names import NameTrouble, NoDomain


class Names:
    def __init__(self, hosts=(), **records):
        self.records = {f"_dmarc.{name.replace('_', '.')}": value for name, value in records.items()}
        self.hosts, self.asked = set(hosts), []

    async def texts(self, name):
        self.asked.append(name)
        found = self.records.get(name, NoDomain())
        if isinstance(found, Exception):
            raise found
        return [found] if isinstance(found, str) else found

    async def addresses(self, name):
        if name not in self.hosts:
            raise NoDomain(name)
        return ["192.0.2.1"]

    async def mx(self, name):
        raise NoDomain(name)


def check(names, author="example.org", spf="", signed=()):
    found = asyncio.run(dmarc.check(author, spf, signed, names))
    return found.word, found.policy


ORG = "v=DMARC1; p=reject; sp=quarantine; np=reject"


@pytest.mark.parametrize(("author", "spf", "signed", "word"), [
    ("example.org", "", (), "fail"), ("example.org", "example.org", (), "pass"),
    ("example.org", "Example.ORG", (), "pass"), ("example.org", "bounce.example.org", (), "pass"),
    ("example.org", "example.net", ("example.com",), "fail"),
    ("example.org", "", ("example.com", "example.org"), "pass"),
    ("a.example.org", "b.example.org", (), "pass"), ("a.example.org", "", ("example.org",), "pass"),
    ("example.org", "notexample.org", (), "fail"), ("example.org", "org", (), "fail"),
])
def test_relaxed_alignment(author, spf, signed, word):
    assert check(Names(example_org=ORG), author, spf, signed)[0] == word


def test_strict_alignment():
    names = Names(example_org="v=DMARC1; p=reject; adkim=s; aspf=s")
    assert check(names, spf="a.example.org")[0] == "fail"
    assert check(names, signed=["a.example.org"])[0] == "fail"
    assert check(names, signed=["example.org"])[0] == "pass"


@pytest.mark.parametrize(("author", "policy"), [
    ("example.org", "reject"), ("a.example.org", "quarantine"), ("none.example.org", "reject"),
    ("a.b.c.example.org", "reject"),
])
def test_whose_policy(author, policy):
    assert check(Names(hosts=["a.example.org"], example_org=ORG), author) == ("fail", policy)


def test_testing_is_one_step_softer():
    assert check(Names(example_org="v=DMARC1; p=reject; t=y")) == ("fail", "quarantine")


@pytest.mark.parametrize("record", [
    "v=DMARC2; p=reject", "p=reject", "v=spf1 -all", ["v=DMARC1; p=reject", "v=DMARC1; p=none"], [],
])
def test_what_is_no_record(record):
    assert check(Names(example_org=record)) == ("none", "none")


def test_a_policy_that_is_no_word_asks_for_nothing():
    assert check(Names(example_org="v=DMARC1; p=delete")) == ("fail", "none")


def test_trouble_is_no_policy():
    assert check(Names(example_org=NameTrouble())) == ("temperror", "none")
    assert check(Names(a_example_org=ORG, example_org=NameTrouble()), "a.example.org") == ("temperror", "none")


def test_a_public_suffix_joins_nobody():
    names = Names(co_example="v=DMARC1; p=none; psd=y", one_co_example="v=DMARC1; p=reject")
    assert check(names, "one.co.example", "two.co.example") == ("fail", "reject")
    assert check(names, "mail.one.co.example", "one.co.example") == ("pass", "reject")
    assert check(Names(co_example="v=DMARC1; p=reject; psd=y"), "x.two.co.example", "two.co.example")[0] == "pass"


def test_a_part_that_stands_for_itself():
    names = Names(dept_example_org="v=DMARC1; p=reject; psd=n", example_org="v=DMARC1; p=none")
    assert check(names, "dept.example.org", "example.org") == ("fail", "reject")
    assert check(names, "www.dept.example.org", "dept.example.org") == ("pass", "reject")


def test_a_deep_name_costs_eight_questions():
    names = Names(example_org=ORG)
    assert check(names, ".".join("abcdefghijklmnop") + ".example.org")[0] == "fail"
    assert len(names.asked) == 8
