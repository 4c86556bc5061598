"""Reading commands, in English and Spanish (L17 to L27)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listmgr.request import MAX_LINES, Command, Order, looks_like_command, parse


@pytest.mark.parametrize(
    ("subject", "body", "orders"),
    [
        ("subscribe", "", [Order.SUBSCRIBE]),
        ("", "subscribe\n", [Order.SUBSCRIBE]),
        ("Re: confirm 0123456789abcdef0123456789abcdef", "> old text\n", [Order.CONFIRM]),
        ('"subscribe"', "", [Order.SUBSCRIBE]),
        ("", "suscribir\nend\nwho\n", [Order.SUBSCRIBE]),
        ("baja", "ayuda\nlistas\nquién", [Order.UNSUBSCRIBE, Order.HELP, Order.LISTS, Order.WHO]),
        ("JOIN", "leave\nremove", [Order.SUBSCRIBE, Order.UNSUBSCRIBE]),
        ("help", "-- \nwho\n", [Order.HELP]),
        ("end", "who", []),
        ("hola", "\n\ninfo.\n", [Order.INFO]),
    ],
)
def test_commands(subject: str, body: str, orders: list[Order]) -> None:
    assert [command.order for command in parse(subject, body).commands] == orders


def test_arguments() -> None:
    found = parse("", "subscribe secret nodigest address=<eve@example.org>\n").commands[0]
    assert found == Command(Order.SUBSCRIBE, ("secret", "nodigest"), "eve@example.org")


def test_of_what_is_no_command_the_lines_are_known_not_the_words() -> None:
    """sec-L02, L17: mistakes name their lines, as they stand in the text."""
    found = parse("Buy now", "http://evil.example/\n\n> quoted\nlots of words\nwho\n")
    assert found.unknown == (1, 4)
    assert [command.order for command in found.commands] == [Order.WHO]


def test_only_so_many_lines_are_read() -> None:
    found = parse("", "x\n" * 10_000 + "who\n")
    assert found.unknown == tuple(range(1, MAX_LINES + 1))
    assert not found.commands


@given(st.text(max_size=500), st.text(max_size=2000))
def test_anything_can_be_read(subject: str, body: str) -> None:
    found = parse(subject, body)
    assert len(found.commands) <= MAX_LINES + 1
    looks_like_command(subject, body)


@pytest.mark.parametrize("text", ["subscribe", "Unsubscribe", "help", "unsubscribe me@example.org", "baja"])
def test_commands_sent_to_the_list_are_noticed(text: str) -> None:
    """L27."""
    assert looks_like_command(text, "")
    assert looks_like_command("hello", text + "\n")


@pytest.mark.parametrize(
    "text", ["help me to understand this", "subscribe to our newsletter, it's great!", "Info about x", "who is it"]
)
def test_sentences_are_no_commands(text: str) -> None:
    assert not looks_like_command(text, text)
