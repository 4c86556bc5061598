"""Options: described once, checked, obeyed."""

import json
import re
from pathlib import Path

import pytest

from listmgr import options
from listmgr.options import Options, by_name, from_json

PACKAGE = Path(options.__file__).parent


def test_every_option_is_read_somewhere() -> None:
    """An option that nothing obeys must not exist."""
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "options.py")
    unread = [name for name in by_name() if not re.search(rf"\boptions\.{name}\b", sources)]
    assert not unread


def test_every_option_is_described_in_both_languages() -> None:
    assert all(one.help and one.es and one.category for one in by_name().values())


def test_round_trip() -> None:
    changed = Options().changed({"description": "Für alle ñ", "owner": ["a@example.org"], "max_message_size": 3})
    assert from_json(changed.to_json()) == changed


def test_documents_of_other_versions_can_be_read() -> None:
    text = json.dumps(
        {"from_the_future": 1, "description": "x", "max_message_size": "many", "reply_goes_to_list": "moon"}
    )
    assert from_json(text) == Options(description="x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_message_size", -1), ("max_message_size", True), ("max_message_size", "1"), ("emergency", 1),
        ("owner", ("no address",)), ("owner", ("a@example.org\nBcc: b@example.org",)), ("reply_goes_to_list", "moon"),
        ("description", "two\nlines"), ("subject_prefix", "[x]\r\nBcc: y"), ("new_member_options", ("fly",)),
        ("reply_to_address", "x"), ("nonsense", 1),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(name: str, value: object) -> None:
    """sec-L10: what goes into headers is one line."""
    with pytest.raises(ValueError, match=name):
        Options().changed({name: value})


def test_all_mistakes_are_named() -> None:
    with pytest.raises(ValueError) as error:
        Options().changed({"emergency": 3, "owner": ("x",)})
    assert len(str(error.value).splitlines()) == 2
