"""`make demo` ends well, and would not if one message were missing."""

from pathlib import Path

import pytest

from tests.demo import demo

pytestmark = pytest.mark.service


def test_nothing_is_lost_doubled_or_changed(tmp_path: Path) -> None:
    assert demo(tmp_path, drop=False).wrong == []


def test_a_message_dropped_on_purpose_is_noticed(tmp_path: Path) -> None:
    wrong = demo(tmp_path, drop=True).wrong
    assert wrong
    assert all("out-0" in line for line in wrong)
