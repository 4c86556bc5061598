"""The house keeps its own rules: generated files are current, both languages are there, modules are tested and small.

Floors are checked by import-linter (`make check`).
"""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from bridge.config import render

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    p for folder in ("bridge", "listmgr") for p in (ROOT / folder).rglob("*.py") if p.name != "__init__.py"
)
LONGEST = 600  # lines; DESIGN aims at 100 to 400
EXCUSED: dict[str, str] = {}


def test_the_example_file_is_what_the_program_prints() -> None:
    assert (ROOT / "config.example.toml").read_text() == render.example(), (
        "run: estafeta config example > config.example.toml"
    )


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_reference_pages_are_what_the_program_prints(language: str) -> None:
    page = ROOT / "docs" / {"en": "settings.md", "es": "ajustes.md"}[language]
    assert page.read_text() == render.reference(language), (
        f"run: estafeta config reference --language {language} > {page}"
    )


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_pages_of_the_seeds_are_what_the_book_says(language: str) -> None:
    from tests.seeds.run import PAGES, book, page

    assert PAGES[language].read_text() == page(book(), language), "run: python -m tests.seeds.run --pages"


def test_templates_come_in_both_languages() -> None:
    folder = ROOT / "templates"
    missing = []
    for path in folder.rglob("*.en.*"):
        twin = path.with_name(path.name.replace(".en.", ".es."))
        if not twin.exists():
            missing.append(str(twin.relative_to(ROOT)))
    for path in folder.rglob("*.es.*"):
        if not path.with_name(path.name.replace(".es.", ".en.")).exists():
            missing.append(str(path.relative_to(ROOT)))
    assert not missing


def test_every_module_says_what_it_promises() -> None:
    bare = [str(p.relative_to(ROOT)) for p in MODULES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not bare


def test_modules_stay_small() -> None:
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text().splitlines())) > LONGEST}
    assert not {name: n for name, n in long.items() if name not in EXCUSED}


def test_no_attic() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [p for p in MODULES if p.stem in banned and p.name != "helper.py"]


def test_nothing_unfinished_and_no_machine_paths() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|/wo" + r"rk/\w|/fa" + r"rm/")
    here = Path(__file__)
    texts = [p for kind in ("*.py", "*.md", "*.toml", "*.html", "*.txt") for p in ROOT.rglob(kind)]
    texts = [
        p
        for p in texts
        if not any(part.startswith(".") or part in ("var", "build") for part in p.relative_to(ROOT).parts)
    ]
    found = [f"{p.relative_to(ROOT)}: {hit[0]}" for p in texts if p != here and (hit := marks.search(p.read_text()))]
    assert not found


def test_only_the_store_opens_files_and_databases() -> None:
    """Floors below `store` and beside it go through it (`config.load` and the command line read what people name)."""
    opener = re.compile(
        r"(?<![\w.])(?<!def )open\(|\bos\.(?:open|rename|replace|unlink|link|fsync|fdatasync)\(|sqlite3\.connect"
    )
    allowed = (
        "bridge/store/",
        "bridge/config/",
        "bridge/cli/",
        "bridge/supervisor.py",
        "bridge/app.py",
        "bridge/roles.py",
    )
    found = [
        f"{p.relative_to(ROOT)}:{number}: {line.strip()}"
        for p in MODULES
        if not str(p.relative_to(ROOT)).startswith(allowed)
        for number, line in enumerate(p.read_text().splitlines(), 1)
        if opener.search(line) and not line.lstrip().startswith("#")
    ]
    assert not found


def test_the_map_of_the_river_names_things_that_exist() -> None:
    """docs/river.md names `package.module.function` at each step."""
    text = (ROOT / "docs" / "river.md").read_text()
    names = re.findall(r"`((?:bridge|listmgr)(?:\.\w+)+)`", text)
    assert len(names) > 20
    for name in names:
        assert _exists(name), f"docs/river.md names {name}, which is not there"


def _exists(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def test_the_rfc_index_can_not_lie() -> None:
    """bridge/wire/rfcs.txt: number | title | where | tested by. Each RFC named in code has a row; rows name files."""
    rows = {}
    for line in (ROOT / "bridge" / "wire" / "rfcs.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            number, title, where, tests = (part.strip() for part in line.split("|"))
            rows[number] = (title, where, tests)
    named = {n for p in MODULES for n in re.findall(r"\bRFCs? ?(?!822\b)(\d{3,5})\b", p.read_text())}
    assert not sorted(named - rows.keys(), key=int), "RFCs named in code without a row in bridge/wire/rfcs.txt"
    for number, (_, where, tests) in rows.items():
        for place in where.split() + tests.split():
            assert (ROOT / place).exists(), f"RFC {number}: {place} does not exist"
        assert tests, f"RFC {number} has no test"


def test_no_group_is_repeated_possessively() -> None:
    """Python 3.11.2, which is Debian 12's, goes on behind a repetition that failed halfway: `(?:a[^b]*b)*+` eats an
    `a`. Single characters (`[^b]*+`) are safe."""
    repeated = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")
    found = [f"{p.relative_to(ROOT)}: {hit[0]}" for p in MODULES for hit in repeated.finditer(p.read_text())]
    assert not found
