"""The book of the seeds, and its typed part against the running program; `make seeds` is the long form."""

import os
import re
from pathlib import Path

import pytest

from tests.seeds.book import Sentence, World
from tests.seeds.run import book, run, summary

TYPED = (
    "smtp_000.the_dialogue", "smtp_000.kept", "smtp_000.found", "smtp_000.several", "smtp_000.rset",
    "smtp_000.terminals", "smtp_000.turn", "smtp_000.refused", "smtp_003.the_dialogue", "access_003.the_session",
    "access_003.top_zero", "clients_000.outlook", "lists_003.newlist", "lists_003.add_members_typed",
)  # fmt: skip


def name(one: Sentence) -> str:
    attempt = one.attempt
    return f"{attempt.__module__.rpartition('.')[2]}.{attempt.__name__}" if attempt else ""


def test_every_sentence_is_whole() -> None:
    """Words in both languages, what is tried and rows that exist; or the reason why not, in both languages."""
    everything = book()
    assert len(everything) > 100
    assert len({one.english for one in everything}) > 100
    for one in everything:
        assert one.english and one.spanish != one.english, one  # noqa: PT018
        if one.attempt is None:
            assert all(one.reason), one
        else:
            assert one.tried, one.english
            assert re.fullmatch(r"[SDIFLAW]\d\d( [SDIFLAW]\d\d)*", one.rows), (one.english, one.rows)


def test_the_rows_of_the_seeds_are_in_the_book() -> None:
    """Each P0* row is shown by a sentence, but for O01 (packaging) and D04 (users of the system), tested elsewhere."""
    wanted = (
        "S01 S02 S03 S24 S29 S30 S31 S54 S55 S56 S57 S58 S75 S76 S77 S79 D01 D02 D03 D05 D06 I01 I35 I48 I49 I50 I51 "
        "F01 F02 F03 F04 F05 F06 F07 F55 L01 L02 L03 L06 L07 L08 L17 L18 L19 L28 L31 A01 A02 W01 W02 W03"
    )
    shown = {row for one in book() for row in one.rows.split()}
    assert not set(wanted.split()) - shown


@pytest.mark.service
@pytest.mark.skipif(os.getuid() != 0, reason="the neighbour's ports are the trade's own, which are root's")
def test_what_is_typed_holds_and_a_lie_is_found(tmp_path: Path) -> None:
    """S01 S02 S03 S31 I48 I49 L01 L06 L07: the dialogues of both documents; and the runner can fail."""

    def untrue(world: World) -> str:
        assert world.lab.mails("nadie"), "there is no such mailbox"
        return "never"

    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    by_name = {name(one): one for one in book()}
    lie = Sentence("000", "0", "mail for nobody arrives", "llega correo para nadie", "ls", "S01", untrue)
    (tmp_path / "seeds").mkdir()
    found = run(tmp_path / "seeds", [*(by_name[one] for one in TYPED), lie])
    assert [one for one, good, _ in found if not good] == [lie], [said for _, good, said in found if not good]
    assert summary(found, 0) == 1
    assert summary(found[:-1], 0) == 0
