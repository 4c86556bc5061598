"""Mails of our own: both languages, nothing can break out of a header."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import templates
from bridge.wire import headers, mime, text
from listmgr import notices
from listmgr.notices import LANGUAGES, Notice
from listmgr.options import Options
from listmgr.registry import MailingList

ENVIRONMENT = notices.environment(None)
FOLDER = Path(next(iter(templates.__path__))) / "list"
SHIPPED = sorted(path.name.removesuffix(".en.txt") for path in FOLDER.glob("*.en.txt"))
VALUES = {
    "address": "eve@example.net",
    "token": "0" * 32,
    "url": "https://lists.example.org/x",
    "days": 3,
    "text": "Hé!",
    "listinfo": "https://lists.example.org/i",
    "archive": "https://lists.example.org/a",
    "reason": "why",
    "author": "eve",
    "subject": "s",
    "size": 7,
    "joined": True,
    "private": False,
    "minutes": 30,
    "admin": "https://lists.example.org/admin",
    "options": "https://lists.example.org/o",
    "count": 2,
    "old": "ann@example.org",
    "posts": [{"author": "eve@example.net", "subject": "s", "reason": "why"}],
    "lists": [{"title": "Test", "posting": "test@example.org", "listinfo": "l", "options": "o"}],
    "results": [
        {"what": "help"},
        {"what": "lists", "lists": []},
        {"what": "who", "members": []},
        {"what": "unknown", "lines": "1, 4"},
        {"what": "info", "info": "i", "listinfo": "l"},
    ],
}
PLAIN = MailingList(1, "test", "example.org", Options(real_name="Test"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", SHIPPED)
def test_every_template_in_every_language(template: str, language: str) -> None:
    notice = Notice(template, ("eve@example.net",), language, "cause", VALUES)
    subject, body = notices.render(ENVIRONMENT, PLAIN, notice)
    assert subject
    assert "\n" not in subject
    assert "{" not in body
    assert body.endswith("\n")
    if template not in ("results",):
        assert max(map(len, body.splitlines())) < 100


def test_both_languages_say_different_things() -> None:
    for template in SHIPPED:
        texts = {
            notices.render(ENVIRONMENT, PLAIN, Notice(template, ("a@example.org",), one, "c", VALUES))
            for one in LANGUAGES
        }
        assert len(texts) == 2, template


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_breaks_out_of_a_header(title: str, subject: str) -> None:
    """sec-M06, sec-L10: whatever stands in names and subjects, the fields are ours."""
    which = MailingList(1, "test", "example.org", Options(real_name=title))
    notice = Notice("held_owner", ("eve@example.net",), "en", "c", {**VALUES, "author": subject})
    message = notices.build(ENVIRONMENT, which, notice, 0.0)
    structure = mime.scan(message)
    names = [name.lower() for _, name, _ in structure.header_fields]
    assert len(names) == len(set(names)) == 12
    assert b"\n" not in message.replace(b"\r\n", b"")


def test_text_and_attachment_survive() -> None:
    original = b"From: eve@example.net\r\nSubject: x\r\n\r\n--=_boundary\r\nbody\r\n"
    notice = Notice("welcome", ("eve@example.net",), "es", "c", VALUES, attached=original)
    message = notices.build(ENVIRONMENT, PLAIN, notice, 0.0)
    structure = mime.scan(message)
    leaf = structure.root.children[0]
    assert "Hé!" in text.part_text(message, leaf)
    whole = structure.root.children[1]
    assert message[whole.body_start : whole.body_end] == original
    assert headers.first(message, b"auto-submitted") == b" auto-generated"


def test_owners_texts_are_no_templates() -> None:
    """sec-L21."""
    notice = Notice("welcome", ("a@example.org",), "en", "c", {**VALUES, "text": "{{ ''.__class__ }}"})
    assert "{{ ''.__class__ }}" in notices.render(ENVIRONMENT, PLAIN, notice)[1]


def test_a_site_can_replace_a_template(tmp_path) -> None:
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "goodbye.en.txt").write_text("Subject: Bye\nSee you, {{ address }}.\n")
    own = notices.environment(tmp_path)
    assert notices.render(own, PLAIN, Notice("goodbye", ("a@example.org",), "en", "c", VALUES)) == (
        "Bye",
        "See you, eve@example.net.\n",
    )
    assert "Subject" not in notices.render(own, PLAIN, Notice("welcome", ("a@example.org",), "en", "c", VALUES))[0]
