"""S21, sec-S20, sec-S28: what the door changes in a header, and what it leaves alone."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.fixes import incoming, submitted

OURS = {"sender": "eloy@example.org", "hostname": "mx.example.org", "date": "DATE", "message_id": "ID@mx.example.org"}


def test_a_complete_header_is_not_touched() -> None:
    block = b"DATE: a\r\nfrom:b\r\n\tfolded\r\nMessage-Id: <c>\r\nSubject: d\r\n"
    assert submitted(block, **OURS) == block


def test_what_is_missing_is_added_below() -> None:
    assert submitted(b"Subject: a\r\n", **OURS) == (
        b"Subject: a\r\nDate: DATE\r\nMessage-ID: <ID@mx.example.org>\r\nFrom: eloy@example.org\r\n"
    )


def test_bcc_goes_with_all_its_lines() -> None:
    """sec-S28."""
    block = b"To: a\r\nBcc: secret@example.org,\r\n\tmore@example.org\r\nBCC : x\r\nResent-Bcc: y\r\nCc: c\r\n"
    fixed = submitted(block, **OURS)
    assert fixed.startswith(b"To: a\r\nCc: c\r\nDate:")
    assert b"secret" not in fixed
    assert b"more@" not in fixed


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.example.org; spf=pass\r\n",
        b"authentication-results:MX.example.org;dkim=pass\r\n",
        b"Authentication-Results:\r\n mx.example.org;\r\n dkim=pass\r\n",
        b"Authentication-Results: (a (nested) comment) mx.example.org; none\r\n",
        b"Authentication-Results: mx.example.org 1; none\r\n",
        b'Authentication-Results: "mx.example.org"; none\r\n',
    ],
)
def test_sec_s20_forged_results_go(field: bytes) -> None:
    assert incoming(b"A: b\r\n" + field + b"C: d\r\n", "mx.example.org") == b"A: b\r\nC: d\r\n"
    assert b"uthentication" not in submitted(field, **OURS)


def test_results_of_others_stay() -> None:
    block = b"Authentication-Results: mx.example.com; spf=pass\r\nSubject: authentication-results\r\n"
    assert incoming(block, "mx.example.org") == block


@given(st.binary(max_size=300))
def test_nothing_raises(block: bytes) -> None:
    incoming(b"Authentication-Results:" + block, "mx.example.org")
    submitted(block, **OURS)
