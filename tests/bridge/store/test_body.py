"""One opened message: who forgets to close it leaks nothing."""

import os
from pathlib import Path

import pytest

from bridge.store import body
from bridge.store.body import SMALL, Body, nameless


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_body_that_nobody_closes_is_closed() -> None:
    """sec-I17: a client that goes away while its message is being opened in a thread."""
    before = descriptors()
    opened = Body(nameless([b"one\ntwo\n"], 8, Path("/")))
    assert descriptors() - before
    assert opened.read() == b"one\r\ntwo\r\n"
    del opened
    assert not descriptors() - before


def test_a_body_that_can_not_be_measured_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> int:
        raise OSError("Input/output error")

    before = descriptors()
    monkeypatch.setattr(body, "_measure", broken)
    with pytest.raises(OSError, match="Input"):
        Body(nameless([b"x\n"], 2, Path("/")))
    assert not descriptors() - before


@pytest.mark.parametrize("size", [5, SMALL + 1])
def test_nameless_files(tmp_path: Path, size: int) -> None:
    """In memory where it is small, else in the folder, and never with a name there."""
    descriptor = nameless([b"abc", b"", b"de"], size, tmp_path)
    try:
        assert os.read(descriptor, 10) == b"abcde"
        assert not list(tmp_path.iterdir())
    finally:
        os.close(descriptor)


def test_a_nameless_file_whose_pieces_break_off_is_closed(tmp_path: Path) -> None:
    def pieces():
        yield b"abc"
        raise FileNotFoundError("changed meanwhile")

    before = descriptors()
    with pytest.raises(FileNotFoundError):
        nameless(pieces(), 5, tmp_path)
    assert not descriptors() - before
