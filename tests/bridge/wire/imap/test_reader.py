"""The reader itself must refuse what isn't IMAP, or tests that use it prove nothing (sec-I14)."""

import pytest

from tests.bridge.wire.imap.reader import Continue, Data, NotImap, Status, read


def test_reads_examples_of_the_rfc() -> None:
    data = (
        b"* 18 EXISTS\r\n* FLAGS (\\Answered \\Seen $Junk)\r\n* OK [UNSEEN 17] Message 17 is first unseen\r\n"
        b'* LIST (\\Noselect) "/" ~/Mail/foo\r\n* 12 FETCH (BODY[HEADER] {5}\r\na\r\nb) UID 9)\r\n'.replace(
            b"b) UID 9)", b"bc UID 9)"
        )
        + b"+ go\r\na1 OK [READ-WRITE] SELECT completed\r\n* SEARCH\r\n* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"
    )
    found = read(data)
    assert found[0] == Data([18, "EXISTS"])
    assert found[2] == Status("*", "OK", "UNSEEN 17", "Message 17 is first unseen")
    assert found[4].values == [12, "FETCH", ["BODY[HEADER]", b"a\r\nbc", "UID", 9]]
    assert found[5] == Continue(b"go")
    assert found[8].values == ["THREAD", [2], [3, 6, [4, 23], [44, 7, 96]]]


@pytest.mark.parametrize(
    "bad",
    [
        b"* 1 EXISTS\n",
        b"* 1  EXISTS\r\n",
        b"* 1 FETCH (UID 1\r\n",
        b"* 1 FETCH (UID 1))\r\n",
        b"* 1 FETCH (UID 1 )\r\n",
        b"* 1 FETCH ( UID 1)\r\n",
        b'* LIST () "/" "a\xc3\xb1o"\r\n',
        b'* LIST () "/" "a"b\r\n',
        b"* 1 FETCH (BODY[] {9}\r\nabc)\r\n",
        b"* 1 FETCH (BODY[] {3}\r\na\0c)\r\n",
        b"a1 FETCH 1\r\n",
        b"* OK \r\n",
        b"* 1 FETCH(UID 1)\r\n",
        b"* 1 EXISTS",
        b'* 1 FETCH (ENVELOPE ("a\\b"))\r\n',
    ],
)
def test_refuses_what_is_not_imap(bad: bytes) -> None:
    with pytest.raises(NotImap):
        read(bad)
