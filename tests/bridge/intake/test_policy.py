"""The rules by themselves: order, relay, recipients; networks and settings (sec-X11)."""
from dataclasses import dataclass

import pytest

from bridge.config.smtp import Smtp
from bridge.intake import policy
from bridge.intake.listener import _group
from bridge.intake.policy import MAIL, RCPT, Question, Tables, judge
from bridge.intake.session import Service, Transaction, Visit
from bridge.model.reply import Reply
from bridge.route.resolver import Kind, Route


@dataclass(frozen=True)
class Somebody:
    address: str = "eloy@example.org"


def question(
    address: str, *routes: Route, service: Service = "smtp", trusted: bool = False, **changes: object
) -> Question:
    visit = Visit(service, "192.0.2.1", trusted, helo="x", **changes)  # type: ignore[arg-type]
    visit.transaction = Transaction("a@example.com")
    tables = Tables({"example.org", "xn--pea-8ma.example"}.__contains__, lambda address: routes)
    return Question(visit, Smtp(), tables, address)


GOOD = Route(Kind.MAILBOX, "u@example.org", "u@example.org")
NO = Route(Kind.REFUSE, "u@example.org", "", reply=Reply(550, "5.1.6", "moved"))
LATER = Route(Kind.DEFER, "u@example.org", "", reply=Reply(451, "4.3.0", "later"))


def test_order_is_visible() -> None:
    assert [rule.__name__ for rule in MAIL] == ["needs_tls", "needs_login", "sender_belongs_to_login"]
    assert [rule.__name__ for rule in RCPT] == ["not_too_many", "no_open_relay", "recipient_exists"]


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
