"""`make seeds`: every sentence of the documents, tried with real programs; writes docs/seeds.md and semillas.md.

Exit status 0 if every sentence is true (or listed with the reason why it can't apply).
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.lab import DOMAIN
from tests.seeds.book import BOOK, Sentence, World
from tests.seeds.site import USERS, add_users, appliance

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "system_000", "smtp_000", "mime_000", "access_000", "clients_000", "beside_000",
    "system_003", "smtp_003", "access_003", "fetch_003", "stores_003", "lists_003",
    "beside_003",
)  # fmt: skip
PAGES = {"en": ROOT / "docs" / "seeds.md", "es": ROOT / "docs" / "semillas.md"}
Found = list[tuple[Sentence, bool, str]]


def book() -> list[Sentence]:
    """All sentences, in the order in which they are tried."""
    for part in PARTS:
        import_module(f"tests.seeds.{part}")
    return BOOK


def attempt(one: Sentence, world: World) -> tuple[bool, str]:
    if one.attempt is None:
        return True, f"does not apply: {one.reason[0]}"
    try:
        return True, " ".join(one.attempt(world).split())
    except Exception as error:
        return False, f"{type(error).__name__}: {str(error)[-1500:]}"


def run(folder: Path, sentences: Sequence[Sentence]) -> Found:
    lab, notes = appliance(folder)
    found: Found = []
    world = World(lab, folder, notes)
    try:
        add_users(lab, *(f"{name}@{DOMAIN}" for name in USERS))
        lab.start(60)
        for one in sentences:
            begin = time.monotonic()
            good, said = attempt(one, world)
            found.append((one, good, said))
            mark = "BAD" if not good else "ok " if one.attempt else "-- "
            tried = f" [{one.tried}]" if one.tried else ""
            seconds = f" ({time.monotonic() - begin:.1f} s)" if one.attempt else ""
            print(f"{mark} {one.document} {one.section}: {one.english}{tried} -> {said}{seconds}", flush=True)
    finally:
        try:
            world.stack.close()
        finally:
            lab.kill()
    return found


_WORDS = {
    "en": (
        "The seeds",
        "Estafeta exists because of two documents in Spanish: 000, a text on how electronic mail works, and 003, a "
        "course on the mail services of a department. Each sentence of theirs that describes a system is below, in our "
        "words. `make seeds` tries every one on the running program, with a socket where something is typed and with "
        "Debian's mutt, mail, procmail, maildrop, fetchmail, curl and Chromium where a program is meant, prints what "
        "came back, and makes this page. *(En español: [semillas.md](semillas.md).)*",
        "Document",
        "| section | what it says | what is tried | rows |",
        "What can't apply",
        "| document | section | what it says | why |",
    ),
    "es": (
        "Las semillas",
        "Estafeta existe por dos documentos en español: 000, un texto sobre el funcionamiento del correo electrónico, "
        "y 003, un curso sobre los servicios de correo de un departamento. Cada frase suya que describe un sistema "
        "está aquí, con nuestras palabras. `make seeds` las prueba todas sobre el programa en marcha, con un socket "
        "donde algo se teclea y con mutt, mail, procmail, maildrop, fetchmail, curl y Chromium de Debian donde se "
        "trata de un programa, muestra lo que se respondió y genera esta página. *(In English: [seeds.md](seeds.md).)*",
        "Documento",
        "| sección | qué dice | qué se prueba | filas |",
        "Lo que no se puede aplicar",
        "| documento | sección | qué dice | por qué |",
    ),
}


_SPANISH = {
    "Introduction": "Introducción",
    "Working": "Funcionamiento", "Structure": "Estructura", "dialogue": "diálogo", "formats": "formatos",
    "codes": "códigos", "greeting": "saludo", "Format": "Formato", "Transfer": "Transferencia", "Reading": "Lectura",
    "Delivery": "Entrega", "Ports": "Puertos", "Domains": "Dominios", "Queue": "Cola",
    "mailbox format": "formato del buzón", "aliases": "alias", "archive": "histórico",
    "Free software": "Software libre",
}  # fmt: skip


def section(one: Sentence, language: str) -> str:
    number, _, words = one.section.partition(" ")
    return f"{number} {_SPANISH.get(words, words) if language == 'es' else words}"


def page(sentences: Sequence[Sentence], language: str) -> str:
    """docs/seeds.md or docs/semillas.md; both say only what holds, so nothing but the book is needed."""
    title, intro, document, head, rest, rest_head = _WORDS[language]
    sentences = sorted(sentences, key=lambda one: [int(part) for part in one.section.split()[0].split(".")])
    parts = [f"# {title}", "", intro]
    for number in sorted({one.document for one in sentences}):
        parts += ["", f"## {document} {number}", "", head, "| --- | --- | --- | --- |"]
        for one in sentences:
            if one.document == number and one.attempt is not None:
                text = one.english if language == "en" else one.spanish
                parts.append(f"| {section(one, language)} | {_cell(text)} | `{_cell(one.tried)}` | {one.rows} |")
    parts += ["", f"## {rest}", "", rest_head, "| --- | --- | --- | --- |"]
    for one in sentences:
        if one.attempt is None:
            text = one.english if language == "en" else one.spanish
            why = one.reason[language == "es"]
            parts.append(f"| {one.document} | {section(one, language)} | {_cell(text)} | {_cell(why)} |")
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(words: Sequence[str] | None = None) -> int:
    arg = argparse.ArgumentParser(prog="make seeds")
    arg.add_argument("--only", default="", help="only sentences whose document, section, rows or function contain this")
    arg.add_argument("--pages", action="store_true", help="write the pages without trying anything")
    given = arg.parse_args(words)
    everything = book()
    if given.pages:
        return _write(everything)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the appliances end, too
    begin = time.monotonic()
    chosen = [one for one in everything if given.only in _key(one)]
    with tempfile.TemporaryDirectory(prefix="estafeta-seeds-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        found = run(Path(folder), chosen)
    return summary(found, time.monotonic() - begin) or (0 if given.only else _write(everything))


def _key(one: Sentence) -> str:
    return f"{one.document} {one.section} {one.rows} {getattr(one.attempt, '__name__', '')}"


def summary(found: Found, seconds: float) -> int:
    """What isn't true once more, the count, and the exit status."""
    bad = [(one, said) for one, good, said in found if not good]
    aside = sum(1 for one, _, _ in found if one.attempt is None)
    for one, said in bad:
        print(f"not true: {one.document} {one.section}: {one.english}\n    {said}")
    tried = len(found) - aside
    print(f"{tried - len(bad)} of {tried} sentences hold, {aside} can't apply; {seconds:.0f} s")
    return 1 if bad or not found else 0


def _write(everything: Sequence[Sentence]) -> int:
    for language, path in PAGES.items():
        path.write_text(page(everything, language))
    return 0


if __name__ == "__main__":
    sys.exit(main())
