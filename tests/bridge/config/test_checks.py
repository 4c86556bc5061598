"""What sections say of their own values: a wrong one is named before a process dies of it (O02)."""

from typing import Any

import pytest

from bridge.config.fetch import Fetch
from bridge.config.imap import Imap
from bridge.config.lists import Lists
from bridge.config.login import Login
from bridge.config.outbound import Outbound
from bridge.config.pop3 import Pop3
from bridge.config.queue import Queue
from bridge.config.server import Listen
from bridge.config.smtp import Smtp


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        (Login(exempt=("webmail",)), "exempt"),
        (Login(per_minute=0), "per_minute"),
        (Login(delay=-1), "delay"),
        (Imap(plain_from=("10.0.0.1/8",)), "plain_from"),
        (Imap(connections=0), "connections"),
        (Imap(poll_seconds=0.0), "poll_seconds"),
        (Pop3(plain_from=("intranet",)), "plain_from"),
        (Pop3(idle_seconds=0), "idle_seconds"),
        (Smtp(networks=("lan",)), "networks"),
        (Smtp(recipients=0), "recipients"),
        (Queue(batch=0), "batch"),
        (Lists(form_hourly=0), "form_hourly"),
        (Fetch(interval=9), "interval"),
        (Fetch(poll_seconds=29), "poll_seconds"),
        (Outbound(private=("home",)), "private"),
        (Outbound(nameservers=("192.0.2.0/24",)), "nameservers"),
        (Listen(addresses=("localhost",)), "addresses"),
        (Listen(web_address="here"), "web_address"),
    ],
)
def test_a_wrong_value_is_named(section: Any, setting: str) -> None:
    (found,) = section.problems()
    assert found.setting == setting
    assert found.fatal
    assert found.es != found.text


@pytest.mark.parametrize("section", [Imap, Pop3])
def test_passwords_in_clear_over_the_internet_are_warned_of(section: Any) -> None:
    found, near = section(plain_from=("0.0.0.0/0", "127.0.0.0/8", "192.0.2.0/24")).problems()
    assert (near.setting, near.fatal) == ("plain_from", False)
    assert "cross 192.0.2.0/24 readable by whoever is on it" in near.text
    assert (found.setting, found.fatal) == ("plain_from", False)


@pytest.mark.parametrize("section", [Login, Imap, Pop3, Smtp, Queue, Lists, Fetch, Outbound, Listen])
def test_defaults_are_right(section: Any) -> None:
    assert not list(section().problems())
