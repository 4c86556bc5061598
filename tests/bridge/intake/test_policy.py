"""The rules by themselves: order, relay, recipients; networks and settings (sec-X11)."""
from dataclasses import dataclass

import pytest

from bridge.config.mail import Mail
from bridge.config.smtp import Smtp
from bridge.intake import policy
from bridge.intake.listener import _group
from bridge.intake.policy import MAIL, RCPT, Question, Tables, judge
from bridge.intake.session import Service, Transaction, Visit
from bridge.model.address import split
from bridge.model.errors import PeerError
from bridge.model.reply import Reply
from bridge.route import tables
from bridge.route.resolver import Kind, Route, resolve
from bridge.wire.smtp.commands import rcpt
from tests.bridge.intake.forms import FORMS


@dataclass(frozen=True)
class Somebody:
    address: str = "eloy@example.org"


def question(
    address: str, *routes: Route, service: Service = "smtp", trusted: bool = False, **changes: object
) -> Question:
    visit = Visit(service, "192.0.2.1", trusted, helo="x", **changes)  # type: ignore[arg-type]
    visit.transaction = Transaction("a@example.com")
    asked = Tables({"example.org", "xn--pea-8ma.example"}.__contains__, lambda address: routes)
    return Question(visit, Smtp(), asked, address)


GOOD = Route(Kind.MAILBOX, "u@example.org", "u@example.org")
NO = Route(Kind.REFUSE, "u@example.org", "", reply=Reply(550, "5.1.6", "moved"))
LATER = Route(Kind.DEFER, "u@example.org", "", reply=Reply(451, "4.3.0", "later"))


def test_order_is_visible() -> None:
    assert [rule.__name__ for rule in MAIL] == ["needs_tls", "needs_login", "sender_belongs_to_login"]
    names = ["not_too_many", "no_open_relay", "no_sender_routing", "recipient_exists"]
    assert [rule.__name__ for rule in RCPT] == names


@pytest.mark.parametrize(
    ("routes", "refusal"),
    [
        ((GOOD,), None),
        ((NO, GOOD), None),
        ((NO,), NO.reply),
        ((), policy.UNKNOWN_USER),
        ((LATER,), LATER.reply),
        ((NO, LATER), LATER.reply),
    ],
)
def test_recipient_exists(routes: tuple[Route, ...], refusal: Reply | None) -> None:
    assert judge(RCPT, question("u@example.org", *routes)) == refusal


def test_relay_is_decided_before_anything_is_resolved() -> None:
    asked = question("u@example.net", GOOD)
    assert judge(RCPT, asked) == policy.RELAYING_DENIED
    assert judge(RCPT, question("u@example.net", GOOD, trusted=True)) is None
    assert judge(RCPT, question("u@example.net", GOOD, account=Somebody())) is None
    assert judge(RCPT, question("u@example.net", GOOD, trusted=True, service="lmtp")) == policy.RELAYING_DENIED
    assert judge(RCPT, question("u@Peña.example", GOOD)) is None


REAL = tables.Tables(
    Mail(domains=("example.org",), relay_domains=("backup.example",)),
    {"example.org": tables.Domain.LOCAL, "backup.example": tables.Domain.RELAY},
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("served", ["example.org", "backup.example"])
def test_sec_s08_with_the_real_resolver(form: str, served: str) -> None:
    """Nothing that a stranger may hand over leaves for a domain that isn't ours, nor by a route through a relay."""
    try:
        address = rcpt(f"TO:<{form.replace('example.org', served)}>", utf8=False, domain="example.org")
    except PeerError:
        return
    asked = Tables(REAL.serves, lambda name: resolve(name, REAL))
    stranger = Visit("smtp", "192.0.2.1", False, helo="x", transaction=Transaction("a@example.com"))
    if judge(RCPT, Question(stranger, Smtp(), asked, address)) is None:
        assert (address.count("@"), split(address)[1]) == (1, "backup.example")
        assert not set("%!") & set(address)


def test_who_may_submit() -> None:
    assert judge(MAIL, question("a@b", service="submission")) == policy.TLS_FIRST
    assert judge(MAIL, question("a@b", service="submission", tls="TLSv1.3")) == policy.LOGIN_FIRST
    assert judge(MAIL, question("a@b", service="submission", trusted=True)) is None
    asked = {"service": "submissions", "tls": "TLSv1.3", "account": Somebody()}
    assert judge(MAIL, question("a@b", **asked)) == policy.NOT_YOURS  # type: ignore[arg-type]
    assert judge(MAIL, question("Eloy@EXAMPLE.org", **asked)) is None  # type: ignore[arg-type]


def test_groups_of_clients() -> None:
    assert _group("192.0.2.1") == "192.0.2.1"
    assert _group("2001:db8::1") == _group("2001:db8::ffff:1") != _group("2001:db8:0:1::1")
    assert _group("::ffff:192.0.2.1") == "192.0.2.1"
    assert _group("fe80::1%eth0") == _group("fe80::2%eth0")
    assert _group("") == ""


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "192.0.2.1/24", "example.org", ""])
def test_sec_x11_dangerous_networks_are_refused(network: str) -> None:
    assert [problem.setting for problem in Smtp(networks=(network,)).problems()] == ["networks"]


def test_defaults_have_no_problems() -> None:
    assert list(Smtp().problems()) == []
    assert [problem.setting for problem in Smtp(recipients=0).problems()] == ["recipients"]
