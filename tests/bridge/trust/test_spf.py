"""S37, sec-M21: SPF as RFC 7208 has it, and its limits."""
import asyncio

import pytest

from bridge.trust import spf
from bridge.trust.names import NameTrouble, NoDomain


class Names:
    def __init__(self, **zone):
        self.zone = {name.replace("_", "."): records for name, records in zone.items()}
        self.asked = 0

    def _get(self, name, kind):
        self.asked += 1
        if name not in self.zone:
            raise NoDomain(name)
        found = self.zone[name].get(kind, [])
        if isinstance(found, Exception):
            raise found
        return [found] if isinstance(found, str) else found

    async def texts(self, name):
        return self._get(name, "TXT")

    async def mx(self, name):
        return [(10, host) for host in self._get(name, "MX")]

    async def addresses(self, name):
        return self._get(name, "A")

    async def names_of(self, address):
        return self._get(address, "PTR")


def check(record, ip="192.0.2.3", sender="ana@example.org", helo="mx.example.net", **zone):
    names = Names(example_org={"TXT": record}, **zone)
    return asyncio.run(spf.check(ip, helo, sender, names)).word


HOSTS = {
    "mail_example_org": {"A": ["192.0.2.3", "2001:db8::3"]}, "near_example_org": {"A": ["192.0.2.9"]},
    "other_example": {"TXT": "v=spf1 ip4:192.0.2.3 -all"}, "no_example": {"TXT": "v=spf1 -all"},
    "192_0_2_3": {"PTR": ["far.example.com.", "mail.example.org."]},
    "3_2_0_192_list_example": {"A": "127.0.0.2"}, "ana_at_example": {"A": "127.0.0.2"},
}  # fmt: skip


@pytest.mark.parametrize(("record", "word"), [
    ("v=spf1 -all", "fail"), ("v=spf1 ~all", "softfail"), ("v=spf1 ?all", "neutral"), ("v=spf1 +all", "pass"),
    ("v=spf1", "neutral"), ("v=SPF1 -ALL", "fail"), ("v=spf10 -all", "none"), ("nothing", "none"), ([], "none"),
    (["v=spf1 -all", "v=spf1 -all"], "permerror"), (["other", "v=spf1 -all"], "fail"),
    ("v=spf1 ip4:192.0.2.3 -all", "pass"), ("v=spf1 ip4:192.0.2.0/29 -all", "pass"),
    ("v=spf1 ip4:192.0.2.0/31 -all", "fail"),
    ("v=spf1 -ip4:192.0.2.3 +all", "fail"), ("v=spf1 ip6:2001:db8::/32 -all", "fail"),
    ("v=spf1 ip4:1.2.3 -all", "permerror"),
    ("v=spf1 ip4:1.2.3.4/33 -all", "permerror"), ("v=spf1 ip4:1.2.3.4/032 -all", "permerror"),
    ("v=spf1 ip4 -all", "permerror"),
    ("v=spf1 a:mail.example.org -all", "pass"), ("v=spf1 a:near.example.org -all", "fail"),
    ("v=spf1 a:near.example.org/28 -all", "pass"), ("v=spf1 a:near.example.org/28//64 -all", "pass"),
    ("v=spf1 a:near.example.org/33 -all", "permerror"), ("v=spf1 a:nowhere.example -all", "fail"),
    ("v=spf1 a:org -all", "permerror"), ("v=spf1 a:192.0.2.3 -all", "permerror"), ("v=spf1 a: -all", "permerror"),
    ("v=spf1 mx:hosts.example -all", "pass"), ("v=spf1 include:other.example -all", "pass"),
    ("v=spf1 include:no.example ?all", "neutral"), ("v=spf1 include:nowhere.example +all", "permerror"),
    ("v=spf1 include -all", "permerror"), ("v=spf1 redirect=other.example", "pass"),
    ("v=spf1 redirect=no.example", "fail"),
    ("v=spf1 redirect=nowhere.example", "permerror"), ("v=spf1 ?all redirect=other.example", "neutral"),
    ("v=spf1 redirect=a.example redirect=b.example", "permerror"), ("v=spf1 redirect=", "permerror"),
    ("v=spf1 ptr -all", "pass"), ("v=spf1 ptr:example.com -all", "fail"), ("v=spf1 ptr/24 -all", "permerror"),
    ("v=spf1 exists:%{ir}.list.example -all", "pass"), ("v=spf1 exists:%{l}.at.example -all", "pass"),
    ("v=spf1 exists:%{d}.at.example -all", "fail"), ("v=spf1 exists:%{q}.at.example -all", "permerror"),
    ("v=spf1 exists:%{c}.at.example -all", "permerror"), ("v=spf1 exists:%.at.example -all", "permerror"),
    ("v=spf1 unknown:x -all", "permerror"), ("v=spf1 unknown=x -all", "fail"), ("v=spf1 all:x", "permerror"),
    ("v=spf1 -all exp=explain.example.org", "fail"), ("v=spf1 -all exp=%{", "permerror"),
    ("v=spf1 +all moo", "permerror"),
])
def test_records(record, word):
    zone = {**HOSTS, "hosts_example": {"MX": ["near.example.org.", "mail.example.org."]}}
    assert check(record, **zone) == word


def test_of_the_other_family():
    assert check("v=spf1 a:mail.example.org//127 -all", ip="2001:db8::2", **HOSTS) == "pass"
    assert check("v=spf1 ip6:2001:db8::/32 -all", ip="2001:db8::9") == "pass"
    assert check("v=spf1 ip4:192.0.2.3 -all", ip="::ffff:192.0.2.3") == "pass"


def test_the_null_sender_asks_for_the_greeting():
    names = Names(mx_example_net={"TXT": "v=spf1 ip4:192.0.2.3 -all"})
    assert asyncio.run(spf.check("192.0.2.3", "mx.example.net", "", names)) == ("pass", "mx.example.net")
    assert asyncio.run(spf.check("192.0.2.3", "localhost", "", names)) == ("none", "localhost")


@pytest.mark.parametrize("domain", ["org", "", "a..b", "a" * 64 + ".org", "a." * 130 + "org"])
def test_what_is_no_domain(domain):
    assert asyncio.run(spf.check("192.0.2.3", "x", f"a@{domain}", Names())).word == "none"


def test_trouble_is_temporary():
    assert check(NameTrouble()) == "temperror"
    assert check("v=spf1 a:broken.example -all", broken_example={"A": NameTrouble()}) == "temperror"


def _loop(count):
    zone = {f"l{number}_example": {"TXT": f"v=spf1 include:l{number + 1}.example -all"} for number in range(count)}
    return {**zone, f"l{count}_example": {"TXT": "v=spf1 +all"}}


def test_ten_questions_and_no_more():
    assert check("v=spf1 include:l0.example -all", **_loop(9)) == "pass"
    assert check("v=spf1 include:l0.example -all", **_loop(10)) == "permerror"


def test_a_record_that_includes_itself_ends():
    names = Names(example_org={"TXT": "v=spf1 include:example.org include:example.org -all"})
    assert asyncio.run(spf.check("192.0.2.3", "x", "a@example.org", names)).word == "permerror"
    assert names.asked <= 11


def test_a_record_without_end():
    assert check("v=spf1 " + "a:%{" * 2000 + " +all") == "permerror"


def test_two_empty_answers_and_no_more():
    assert check("v=spf1 a:n1.example a:n2.example +all") == "pass"
    assert check("v=spf1 a:n1.example a:n2.example a:n3.example +all") == "permerror"


def test_ten_mail_exchangers_and_no_more():
    hosts = {"h_example": {"A": "192.0.2.99"}}
    names = Names(example_org={"TXT": "v=spf1 mx -all", "MX": ["h.example"] * 11}, **hosts)
    assert asyncio.run(spf.check("192.0.2.3", "x", "a@example.org", names)).word == "permerror"
    names = Names(example_org={"TXT": "v=spf1 mx -all", "MX": ["h.example"] * 10}, **hosts)
    assert asyncio.run(spf.check("192.0.2.3", "x", "a@example.org", names)).word == "fail"
