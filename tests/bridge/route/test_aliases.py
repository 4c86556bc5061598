"""S54 to S58, S69, sec-D01, sec-D04: the language of /etc/aliases."""
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.route.aliases import Form, Target, parse, parse_include

SEEDS = r"""
# the kinds of the seeds, and how they are written in the wild
postmaster:    root
root:          juan
Alumnos: ana, eva@example.com ,
   luis,  # a comment
# a comment between
	"pepe grande"@example.net
"dos palabras": ana
archivo: /var/mail/archivo
nada: /dev/null
prog1: |/usr/bin/vacation juan
prog2: "|/usr/bin/filter -a 'b c', d"
prog3: |"/usr/bin/filter x, y"
prog4: | /ruta/a/programa
incl: :include:/etc/mail/members
incl2: ":include:/etc/mail/other members"
uno,dos: x
ana@virtual.example: juan
@virtual.example: eva
*: root
yo: \yo, yo@example.com
nombre : Ana Ruiz <ana@example.org>
fuera: :fail: se ha ido
MAILER-DAEMON: postmaster
students: "|/var/lib/mailman/mail/mailman post students"
"""


def values(text):
    entries, complaints = parse(text, "f")
    assert complaints == []
    return {name: [(target.form, target.value) for target in alias.targets] for name, alias in entries.items()}


def test_the_kinds_of_the_seeds():
    """S54, seed 003: names, addresses, /file, | program with a blank, :include:, and the rest of the usual."""
    entries, complaints = parse(SEEDS.replace("uno,dos: x\n", ""), "f")
    assert [str(one) for one in complaints] == []
    found = {name: [(target.form.value, target.value) for target in alias.targets] for name, alias in entries.items()}
    assert found == {
        "postmaster": [("address", "root")],
        "root": [("address", "juan")],
        "alumnos": [("address", "ana"), ("address", "eva@example.com"), ("address", "luis"),
                    ("address", '"pepe grande"@example.net')],
        '"dos palabras"': [("address", "ana")],
        "archivo": [("file", "/var/mail/archivo")],
        "nada": [("file", "/dev/null")],
        "prog1": [("program", "/usr/bin/vacation juan")],
        "prog2": [("program", "/usr/bin/filter -a 'b c,' d")],
        "prog3": [("program", "/usr/bin/filter x, y")],
        "prog4": [("program", "/ruta/a/programa")],
        "incl": [("include", "/etc/mail/members")],
        "incl2": [("include", "/etc/mail/other members")],
        "ana@virtual.example": [("address", "juan")],
        "@virtual.example": [("address", "eva")],
        "*": [("address", "root")],
        "yo": [("mailbox", "yo"), ("address", "yo@example.com")],
        "nombre": [("address", "ana@example.org")],
        "fuera": [("fail", "se ha ido")],
        "mailer-daemon": [("address", "postmaster")],
        "students": [("program", "/var/lib/mailman/mail/mailman post students")],
    }
    assert entries["prog4"].line == 15


def test_line_ends_and_marks_of_other_systems():
    assert values("\ufeffa: b\r\nc: d,\r\n  e\r\n") == {
        "a": [(Form.ADDRESS, "b")], "c": [(Form.ADDRESS, "d"), (Form.ADDRESS, "e")],
    }


def test_keys_are_folded_and_the_first_counts():
    entries, complaints = parse("Ana: x\nANA: y\n", "f")
    assert entries["ana"].targets == (Target(Form.ADDRESS, "x"),)
    assert [(one.line, one.fatal) for one in complaints] == [(2, False)]
    assert "line 1" in str(complaints[0])


def test_same_target_twice_counts_once():
    assert values("a: b, b, c,b") == {"a": [(Form.ADDRESS, "b"), (Form.ADDRESS, "c")]}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: b\nana eva\n", 2, "no colon"),
        ("a: b\n\n# c\nx:\n", 4, "nothing after x"),
        ("a: b,\n  c,\n  d e,\n  f\n", 3, "no target"),
        ('a: "b\nc: d', 1, "quote"),
        ("a: |vacation juan\n", 1, "full path"),
        ("a: |\n", 1, "full path"),
        ("a: |/bin/x 'y\n", 1, "no program"),
        ("a: /var/../etc/passwd\n", 1, "without . and .."),
        ("a: /var/mail/\n", 1, "no file"),
        ("a: :include:members\n", 1, ":include:/full/path"),
        ("a: :inclued:/x\n", 1, ":include:/full/path"),
        ("a: b@\n", 1, "no target"),
        ("a: b\x01c\n", 1, "control character"),
        ("un nombre: b\n", 1, "no name"),
        ("a@b@c: d\n", 1, "no name"),
        ("a: \udcff\n", 1, "no target"),
    ],
)
def test_mistakes_are_told_with_line_and_remedy(text, line, words):
    """S58: errors show file, line and what to write."""
    _, complaints = parse(text, "/etc/aliases")
    assert complaints[0].line == line
    assert words in complaints[0].text
    assert complaints[0].es != complaints[0].text
    assert str(complaints[0]).startswith(f"/etc/aliases:{line}: ")


def test_a_name_with_a_mistake_waits_instead_of_bouncing():
    entries, complaints = parse("a: b c\nd: e\n", "f")
    assert entries["a"].targets[0].form is Form.DEFER
    assert entries["d"].targets == (Target(Form.ADDRESS, "e"),)
    assert len(complaints) == 1


def test_shell_signs_stay_arguments():
    """sec-D01"""
    entries, _ = parse('a: "|/usr/bin/x ; rm -rf / $(id) `id` > /etc/passwd && y"\n', "f")
    assert entries["a"].targets[0].value == "/usr/bin/x ';' rm -rf / '$(id)' '`id`' '>' /etc/passwd '&&' y"


def test_included_files_have_addresses_only():
    """sec-D04, S57: one per line or with commas."""
    targets, complaints = parse_include("ana\neva, luis@example.com\n\n# no\n:include:/etc/mail/more\n", "m")
    assert [target.value for target in targets] == ["ana", "eva", "luis@example.com", "/etc/mail/more"]
    assert complaints == []
    for bad in ("|/bin/x", "/etc/cron.d/x", '"|/bin/x y"', ":fail: x"):
        _, complaints = parse_include(f"ana\n{bad}\n", "m")
        assert complaints[0].line == 2


def test_limits_are_complaints(monkeypatch):
    monkeypatch.setattr("bridge.route.aliases.ENTRIES", 5)
    monkeypatch.setattr("bridge.route.aliases.TARGETS", 5)
    entries, complaints = parse("".join(f"n{i}: x\n" for i in range(9)), "f")
    assert len(entries) == 5
    assert "more than 5 names" in complaints[0].text
    _, complaints = parse("a: " + ",".join(f"<b{i}@x>" for i in range(9)), "f")
    assert "more than 5 targets" in complaints[0].text


NAME = st.from_regex(r"[a-z][a-z0-9._-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda name: ".." not in name)
ADDRESS = st.builds("{}@{}.example".format, NAME, st.from_regex(r"[a-z]{1,8}", fullmatch=True))
TARGET = st.one_of(
    NAME, ADDRESS, st.just("/var/mail/x"), st.just("|/bin/y z"), st.just('"|/bin/y a, b"'), st.just(":include:/etc/z"),
)
BETWEEN = st.sampled_from([",", ", ", " ,\t", ",\n   ", ",\n# note, with commas: and colons\n\t", "\n  "])


@given(st.dictionaries(NAME, st.lists(st.tuples(TARGET, BETWEEN), min_size=1, max_size=5), max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read(model):
    """Whatever the layout, the entries are those that were meant."""
    right = {name: "".join(item + between for item, between in pairs) + "end" for name, pairs in model.items()}
    entries, complaints = parse("".join(f"{name} :\t{text}\n" for name, text in right.items()), "f")
    assert complaints == []
    assert set(entries) == set(model)
    for name, pairs in model.items():
        wanted = [item.strip('"').removeprefix("|").removeprefix(":include:") for item, _ in pairs]
        assert [target.value for target in entries[name].targets] == list(dict.fromkeys([*wanted, "end"]))


@given(st.one_of(st.text(max_size=400), st.text(alphabet='ab:,"\\|/#@ \n\t<>.', max_size=300)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_without_an_exception(text):
    entries, complaints = parse(text, "f")
    targets, more = parse_include(text, "f")
    for one in (*complaints, *more):
        assert 1 <= one.line <= text.count("\n") + 1
    assert all(alias.targets for alias in entries.values())
    assert all(isinstance(target, Target) for target in targets)


def test_large_and_hostile_files_take_linear_time():
    start = time.monotonic()
    entries, _ = parse("".join(f"name{i}: user{i}, other{i}@example.org\n" for i in range(50_000)), "f")
    assert len(entries) == 50_000
    texts = ('a: "' * 50_000, "a: " + '"' * 200_001, "a: b\\" * 50_000, ("a" * 300 + " ") * 3000, "a:" + "<" * 200_000)
    for text in texts:
        parse(text, "f")
        parse_include(text, "f")
    assert time.monotonic() - start < 20
