"""The table of parsers and the table of commands are one."""

import pytest

from bridge.wire.imap import grammar, states
from bridge.wire.imap.args.auth import BARE
from bridge.wire.imap.tokens import BadCommand, Scanner


def test_every_command_has_a_parser_and_a_row() -> None:
    assert set(grammar.PARSERS) == set(states.COMMANDS)


def test_names() -> None:
    assert grammar.name(Scanner((b" noop",))) == "NOOP"
    assert grammar.name(Scanner((b" Uid Fetch 1",))) == "UID FETCH"
    for line in (b"", b" ", b"  NOOP", b" UID", b' "NOOP"'):
        with pytest.raises(BadCommand):
            grammar.name(Scanner((line,)))


@pytest.mark.parametrize("name", [name for name, parser in grammar.PARSERS.items() if parser.__name__ == "bare"])
def test_bare_commands(name: str) -> None:
    assert grammar.arguments(Scanner((b"",)), name) is BARE
    assert grammar.arguments(Scanner((b" ",)), name) is BARE
    with pytest.raises(BadCommand):
        grammar.arguments(Scanner((b" x",)), name)
