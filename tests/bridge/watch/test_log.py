"""The log: what strangers and exceptions bring into it stays in its place (sec-A18, sec-S19)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.watch import log


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for one in handlers:
        root.removeHandler(one)
    log.start("info", str(tmp_path / "log"), "smtp")
    yield tmp_path / "log"
    for one in root.handlers[:]:
        root.removeHandler(one)
        one.close()
    for one in handlers:
        root.addHandler(one)
    root.setLevel(level)


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "Password: 'hunter2 and more hunter2'",
        "{'password': 'hunter2'}",
        'token = "hunter2, hunter2"',
        "Authorization: Bearer hunter2",
        "authorization: basic hunter2=",
    ],
)
def test_secrets_are_masked(lines: Path, text: str) -> None:
    logging.getLogger("x").warning("said %s!", text)
    written = lines.read_text()
    assert "hunter2" not in written
    assert "***" in written


def test_strangers_write_no_lines_and_no_controls(lines: Path) -> None:
    logging.getLogger("x").info("from %s", "a\r\n2026-01-01 00:00:00,000 smtp[1] INFO all is well\x1b[2J\x85b")
    first, second = lines.read_text().splitlines()
    assert " smtp[" in first
    assert first.endswith("from a\\x0d")
    assert second.startswith("    2026-01-01")
    assert second.endswith("well\\x1b[2J\\x85b")


def test_exceptions_are_indented(lines: Path) -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        logging.getLogger("x").exception("trouble")
    first, *rest = lines.read_text().splitlines()
    assert first.endswith("ERROR trouble")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    ValueError: one", "    two"]
