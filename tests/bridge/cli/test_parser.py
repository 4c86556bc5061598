"""Help and wrong calls in the language of who types."""

import pytest

from bridge.cli.parser import Parser


@pytest.fixture(params=["es_ES.UTF-8", "C"])
def tongue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LC_ALL", request.param)
    return str(request.param)[:2]


def parser() -> Parser:
    made = Parser(prog="x")
    made.add_argument("--file", metavar="FILE")
    made.add_argument("--days", type=int, choices=(1, 2))
    sub = made.add_subparsers(dest="what", required=True)
    sub.add_parser("add").add_argument("address")
    return made


def test_help(tongue: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    words = {"es": ("uso: x [-h] [--file FICHERO]", "opciones:", "muestra esta ayuda"),
             "C": ("usage: x [-h] [--file FILE]", "options:", "show this help")}  # fmt: skip
    assert all(one in said for one in words[tongue]), said


@pytest.mark.parametrize(
    ("call", "es", "en"),
    [
        (["--file"], "--file: necesita un valor", "argument --file: expected one argument"),
        (["--days", "x"], "--days: 'x' no vale aquí (int)", "argument --days: invalid int value: 'x'"),
        (["--days", "3"], "--days: 3 no vale; se admite: 1, 2", "argument --days: invalid choice: 3"),
        (["add"], "falta: dirección", "the following arguments are required: address"),
        (["add", "a", "--b"], "no se conoce: --b", "unrecognized arguments: --b"),
    ],
)
def test_wrong_calls(tongue: str, call: list[str], es: str, en: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(call)
    assert end.value.code == 2
    assert (es if tongue == "es" else en) in capsys.readouterr().err
