"""newlist, rmlist, list_lists."""

import pytest
from sqlalchemy import select

from bridge.store.tables import audit
from listmgr import registry
from listmgr.commands.desk import Stop
from listmgr.commands.lists import list_lists, newlist, rmlist


def test_newlist_asks_and_prints_the_aliases(house, desk) -> None:
    """L01, L02, L03: the seeds' dialogue."""
    at = desk("devel\nboss@example.org\n")
    assert newlist(at) == 0
    said = at.stdout.getvalue()
    assert "Enter the name of the list: " in said
    assert "Enter the email of the person running the list: " in said
    assert "## devel mailing list" in said
    assert 'devel:                  "|/var/lib/mailman/mail/mailman post devel"' in said
    assert 'devel-unsubscribe:      "|/var/lib/mailman/mail/mailman unsubscribe devel"' in said
    assert said.count('"|') == 10
    envelope, message = house.sent()[0]
    assert [one.address for one in envelope.recipients] == ["boss@example.org"]
    assert b"Subject: Your new mailing list: Devel" in message
    assert b"https://lists.example.org/mailman/listinfo/devel" in message
    with house.office.core.read() as connection:
        which = registry.find(connection, "devel")
        assert connection.execute(select(audit.c.action)).scalars().all() == ["list.create"]
    assert which is not None
    assert which.options.owner == ("boss@example.org",)


def test_spanish(house, desk) -> None:
    at = desk("jefa@example.org\n", language="es")
    newlist(at, "devel")
    assert "Correo de la persona responsable" in at.stdout.getvalue()
    assert b"Subject: Su nueva lista de correo: Devel" in house.sent()[0][1]


def test_quiet_sends_nothing(house, desk) -> None:
    newlist(desk(), "devel@lists.example.org", "boss@example.org", quiet=True)
    assert house.sent() == []
    with house.office.core.read() as connection:
        assert registry.find(connection, "devel").posting == "devel@lists.example.org"


@pytest.mark.parametrize(
    ("name", "owner"),
    [("devel", "nobody"), ("a b", "boss@example.org"), ("x-owner", "boss@example.org"), ("", "b@example.org")],
)
def test_mistakes_are_explained(house, desk, name: str, owner: str) -> None:
    with pytest.raises(Stop):
        newlist(desk(), name, owner)


def test_a_taken_name(house, desk) -> None:
    house.make("devel")
    with pytest.raises(Stop, match="already exists"):
        newlist(desk(), "Devel", "boss@example.org")


@pytest.mark.parametrize("erase", [False, True])
def test_rmlist_keeps_the_archive_unless_told(house, desk, archiver, erase: bool) -> None:
    """L04."""
    house.join(house.make("test"), "ann@example.org")
    post = b"From: ann@example.org\r\nTo: test@example.org\r\nSubject: x\r\n\r\nHello.\r\n"
    house.mail(post, "test:post")
    archiver.run_once()
    page = house.root / "archives/private/test/2023-November/000000.html"
    assert page.exists()
    assert rmlist(desk(), "test", archiver=archiver if erase else None) == 0
    assert page.exists() is not erase
    assert (house.root / "archives/private/test.mbox/test.mbox").exists() is not erase
    with pytest.raises(Stop, match="No such list"):
        rmlist(desk(), "test")
    house.join(house.make("test"), "ann@example.org")
    house.mail(post, "test:post")
    assert archiver.run_once() == 1
    assert (house.root / "archives/private/test/2023-November/000001.html").exists() is not erase


def test_list_lists(house, desk) -> None:
    """L05."""
    house.make("devel", description="For developers")
    house.make("secret", advertised=False)
    at = desk()
    list_lists(at)
    assert at.stdout.getvalue() == (
        "2 matching mailing lists found:\n     Devel - For developers\n    Secret - [no description available]\n"
    )
    at = desk()
    list_lists(at, advertised=True, bare=True)
    assert at.stdout.getvalue() == "devel\n"
