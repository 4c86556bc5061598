"""S02, sec-S16: VRFY and EXPN tell whom the site lets them tell, and what RCPT would say."""

from typing import Any

import pytest

from bridge.config.smtp import Smtp
from bridge.intake import enquiry
from bridge.intake.policy import Tables
from bridge.intake.session import Visit
from bridge.model.reply import Reply
from bridge.route.resolver import Kind, Route

ROUTES = {
    "eloy": [Route(Kind.MAILBOX, "eloy@bar.com", "eloy@bar.com")],
    "jefe": [Route(Kind.MAILBOX, "eloy@bar.com", "eloy@bar.com", why=("alias jefe (/etc/aliases:1)",))],
    "eloy@bar.com": [Route(Kind.MAILBOX, "eloy@bar.com", "eloy@bar.com")],
    "jefes@bar.com": [
        Route(Kind.MAILBOX, "eloy@bar.com", "eloy@bar.com"), Route(Kind.REMOTE, "ana@foo.net", "foo.net"),
        Route(Kind.PROGRAM, "jefes@bar.com", '["/usr/bin/secreto"]'), Route(Kind.FILE, "jefes@bar.com", "/var/x"),
        Route(Kind.REFUSE, "gone@bar.com", "", reply=Reply(550, "5.1.1", "No such user here")),
    ],
    "lista@bar.com": [Route(Kind.LIST, "lista@bar.com", "lista:post")],
}  # fmt: skip
NOBODY = [Route(Kind.REFUSE, "nadie@bar.com", "", reply=Reply(550, "5.1.1", "No such user here"))]
TABLES = Tables(serves=lambda domain: domain in ("", "bar.com"), resolve=lambda a: tuple(ROUTES.get(a, NOBODY)))


@pytest.fixture
def visit() -> Visit:
    """A stranger's."""
    return Visit("smtp", "192.0.2.7", trusted=False)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("eloy", "250 2.1.5 <eloy@bar.com>"),
        ("jefe", "250 2.1.5 <jefe>"),
        ("<eloy@bar.com>", "250 2.1.5 <eloy@bar.com>"),
        ("nadie@bar.com", "550 5.1.1 No such user here"),
        ("a b c", "550 5.1.1 No such user here"),
        ("ana@foo.net", "252 2.1.5 Cannot say; send a message and see"),
        ("lista@bar.com", "250 2.1.5 <lista@bar.com>"),
    ],
)
def test_verify(visit: Visit, asked: str, told: str) -> None:
    assert str(enquiry.verify(asked, visit, TABLES, "anybody")) == told
    hidden = "252 2.1.5 Cannot say; send a message and see"
    assert str(enquiry.verify(asked, visit, TABLES, "nobody")) == hidden
    assert str(enquiry.verify(asked, visit, TABLES, "own")) == hidden


def test_expand(visit: Visit) -> None:
    def expand(asked: str) -> list[str]:
        return [str(one) for one in enquiry.expand(asked, visit, TABLES, "anybody")]

    assert expand("jefes@bar.com") == [
        "250 2.1.5 <eloy@bar.com>", "250 2.1.5 <ana@foo.net>", "250 2.1.5 <jefes@bar.com>"
    ]  # fmt: skip
    assert expand("lista@bar.com")[0].startswith("252 2.1.5 That is a mailing list")
    assert expand("nadie@bar.com") == expand("x@foo.net") == ["550 5.1.1 No such user here"]
    assert str(enquiry.expand("jefes@bar.com", visit, TABLES, "own")[0]).startswith("502 5.5.1")


def test_typed(host: Any) -> None:
    """Loopback is an own network here."""
    one = host.start(vrfy="own", expn="own").call()
    one.say("HELO x")
    assert one.say("VRFY eloy@example.org") == "250 2.1.5 <eloy@example.org>"
    assert one.say("VRFY nadie@example.org").startswith("550 5.1.1")
    assert one.say("VRFY").startswith("501 ")
    assert one.say("EXPN alias@example.org") == "250 2.1.5 <elsewhere@example.net>"
    assert one.say("VRFY trouble@example.org").startswith("451 ")


def test_check_says_what_it_means() -> None:
    told = {one.setting: one for one in Smtp(vrfy="anybody", expn="anybody").problems()}
    assert "which addresses exist" in told["vrfy"].text
    assert not told["vrfy"].fatal
    assert "behind an alias" in told["expn"].text
    assert not list(Smtp(vrfy="own", expn="own").problems())
