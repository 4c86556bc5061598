"""What is cleared away, and what is not."""

from listmgr import upkeep


def test_only_what_has_expired_goes(house) -> None:
    which = house.make()
    text = b"From: eve@example.net\r\nSubject: subscribe\r\n\r\n"
    house.mail(text, "test:request", sender="eve@example.net")
    token = house.sent()[0][1].partition(b"Subject: confirm ")[2][:32]
    assert upkeep.daily(house.office) == 0
    house.mail(b"From: eve@example.net\r\nSubject: confirm " + token + b"\r\n\r\n", "test:request")
    assert house.members(which) == ["eve@example.net"]
    house.mail(text.replace(b"eve", b"bob"), "test:request", sender="bob@example.net")
    house.now[0] += 4 * 86400
    assert upkeep.daily(house.office) == 3  # a token, and the answers to two addresses
    assert upkeep.daily(house.office) == 0
