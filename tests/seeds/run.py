"""`make seeds`: every sentence of the documents, tried with real programs; writes docs/seeds.md and semillas.md.

Exit status 0 if every sentence is true (or listed with the reason why it can't apply).
"""

import argparse
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from tests.lab import Lab
from tests.seeds.book import BOOK, Sentence, World

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("smtp_003", "access_003", "fetch_003", "stores_003", "lists_003")
USERS = ("ana", "eloy", "margarita", "luis")


def attempt(one: Sentence, world: World) -> tuple[bool, str]:
    if one.attempt is None:
        return True, f"({one.reason[0]})"
    try:
        return True, one.attempt(world)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"[:400]


def run(folder: Path, only: str = "") -> list[tuple[Sentence, bool, str]]:
    for part in PARTS:
        import_module(f"tests.seeds.{part}")
    lab = Lab(folder / "estafeta")
    lab.add_user(*USERS)
    lab.start()
    found = []
    try:
        world = World(lab, folder)
        for one in BOOK:
            if only and only not in f"{one.document} {one.section} {one.rows}":
                continue
            good, said = attempt(one, world)
            found.append((one, good, said))
            print(f"{'ok ' if good else 'BAD'} {one.document} {one.section}: {one.english} -> {said}", flush=True)
    finally:
        lab.kill()
    return found


def page(found: list[tuple[Sentence, bool, str]], language: str) -> str:
    title, intro, head = {
        "en": ("The seeds", "What the two documents say of a mail system, each sentence tried by `make seeds`.",
               "| document | section | what it says | rows | here |"),
        "es": ("Las semillas", "Lo que dicen los dos documentos de un sistema de correo, cada frase probada aquí por "
               "`make seeds`.", "| documento | sección | qué dice | filas | aquí |"),
    }[language]  # fmt: skip
    rows = []
    for one, good, _ in found:
        text = one.english if language == "en" else one.spanish
        here = (
            one.reason[language == "es"]
            if one.attempt is None
            else {"en": "works", "es": "funciona"}[language]
            if good
            else "-"
        )
        rows.append(f"| {one.document} | {one.section} | {text} | {one.rows} | {here} |")
    return f"# {title}\n\n{intro}\n\n{head}\n| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


def main() -> int:
    arg = argparse.ArgumentParser(prog="make seeds")
    arg.add_argument("--only", default="", help="only sentences whose document, section or rows contain this")
    given = arg.parse_args()
    begin = time.monotonic()
    found = run(Path(tempfile.mkdtemp(prefix="estafeta-seeds-")), given.only)
    bad = [one for one, good, _ in found if not good]
    print(f"{len(found) - len(bad)} of {len(found)} sentences hold; {time.monotonic() - begin:.0f} s")
    if not bad and not given.only:
        (ROOT / "docs" / "seeds.md").write_text(page(found, "en"))
        (ROOT / "docs" / "semillas.md").write_text(page(found, "es"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
