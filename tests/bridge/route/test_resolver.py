"""S30, S31, S54 to S65, S100, P10, sec-D01, sec-D03 to sec-D08, sec-D14: what an address means."""
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.config.mail import Mail
from bridge.route.aliases import parse, parse_include
from bridge.route.resolver import DEPTH, LOOP, TOO_MANY, TROUBLE, UNKNOWN, VERBS, Kind, explain, resolve, verdict
from bridge.route.tables import Include, Tables, domains_of
from bridge.store.accounts import Account, Snapshot

MAIL = Mail(
    domains=("example.org", "mail.example.org"), virtual_domains=("club.example",), relay_domains=("backup.example",),
    programs=("/usr/bin/vacation", "/opt/filters/"), file_folders=("/var/mail",), postmaster="ana",
)


def account(number, address, *more):
    home = Path("/var/lib/estafeta/mail", address)
    return Account(number, address, address, home, home / "Maildir", addresses=(address, *more))


def tables(aliases="", *, people=("ana", "eva", "juan", "socio@club.example"), lists=None, includes=None, mail=MAIL,
           trusted=True, system=(), uncertain=""):
    entries, _ = parse(aliases, "/etc/aliases", trusted=trusted)
    made = [account(i, one if "@" in one else f"{one}@example.org") for i, one in enumerate(people, 1)]
    made.append(account(99, "multi@example.org", "otro@club.example"))
    snapshot = Snapshot(
        1, {one.login: one for one in made}, {name: one for one in made for name in one.addresses}, {"example.org": 1}
    )
    return Tables(
        mail, domains_of(mail), snapshot, entries, includes or {}, lists or {"students": "example.org"},
        {name: account(-1000, f"{name}@example.org") for name in system}, uncertain,
    )


def ends(address, given, **more):
    """The routes in a short form: what kind, where."""
    return {(route.kind.value, route.target or route.address) for route in resolve(address, given, **more)}


PLAIN = tables()


@pytest.mark.parametrize(
    ("address", "end"),
    [
        ("juan@example.org", ("mailbox", "juan@example.org")),
        ("JUAN@Example.ORG", ("mailbox", "juan@example.org")),
        ("juan@mail.example.org", ("mailbox", "juan@example.org")),
        ("juan", ("mailbox", "juan@example.org")),
        ("juan+shop@example.org", ("mailbox", "juan@example.org")),
        ("juan+shop+x@example.org", ("mailbox", "juan@example.org")),
        ("socio@club.example", ("mailbox", "socio@club.example")),
        ("otro@club.example", ("mailbox", "multi@example.org")),
        ("x@elsewhere.example", ("remote", "elsewhere.example")),
        ("x@backup.example", ("remote", "backup.example")),
        ("students@example.org", ("list", "students:post")),
        ("students@mail.example.org", ("list", "students:post")),
        ("Students-Request@example.org", ("list", "students:request")),
        ("students-confirm+0123abc@example.org", ("list", "students:confirm")),
        ("students-bounces+juan=example.com@example.org", ("list", "students:bounces")),
        ("students+x@example.org", ("list", "students:post")),
        ("postmaster", ("mailbox", "ana@example.org")),
        ("postmaster@example.org", ("mailbox", "ana@example.org")),
        ("Abuse@club.example", ("mailbox", "ana@example.org")),
        ("root@mail.example.org", ("mailbox", "ana@example.org")),
        ("MAILER-DAEMON@example.org", ("mailbox", "ana@example.org")),
    ],
)
def test_what_the_usual_addresses_mean(address, end):
    """S30, S61, S63, S65, and the ten addresses of a list."""
    assert ends(address, PLAIN) == {end}


@pytest.mark.parametrize("verb", VERBS)
def test_the_ten_addresses_of_a_list(verb):
    assert ends(f"students-{verb}@example.org", PLAIN) == {("list", f"students:{verb}")}


@pytest.mark.parametrize(
    "address",
    ["nobody@example.org", "nobody+juan@example.org", "juan@club.example", "students@club.example", "+juan@example.org",
     "students-nothing@example.org", "other-owner@example.org", "juan/x@example.org", "../juan@example.org",
     "juan\x00@example.org", "${juan}@example.org", "ｊｕａｎ@example.org"],
)
def test_unknown_names_are_refused(address):
    """S31, sec-D03, sec-D07"""
    (route,) = resolve(address, PLAIN)
    assert route.kind is Kind.REFUSE
    assert route.reply == UNKNOWN
    assert verdict((route,)) == UNKNOWN


def test_detail_stays_in_the_address():
    """S63: the transport can put it into a folder."""
    (route,) = resolve("Juan+Shop@example.org", PLAIN)
    assert (route.address, route.target) == ("Juan+Shop@example.org", "juan@example.org")


def test_other_delimiters_and_exact_names_first():
    given = tables("juan-vacation: eva\n", mail=replace(MAIL, delimiters="+-"))
    assert ends("juan-x-y@example.org", given) == {("mailbox", "juan@example.org")}
    assert ends("juan-vacation@example.org", given) == {("mailbox", "eva@example.org")}
    assert ends("students-request@example.org", given) == {("list", "students:request")}
    assert ends("juan+x@example.org", tables(mail=replace(MAIL, delimiters=""))) == {("refuse", "juan+x@example.org")}


def test_aliases_nest_and_every_end_counts_once():
    """S60"""
    given = tables(
        "todos: profes, alumnos, eva\nprofes: ana, eva@Example.org\nalumnos: juan, ana, x@far.example, X@far.example\n"
    )
    assert ends("todos@example.org", given) == {
        ("mailbox", "ana@example.org"), ("mailbox", "eva@example.org"), ("mailbox", "juan@example.org"),
        ("remote", "far.example"),
    }
    assert len(resolve("todos@example.org", given)) == 4


def test_alias_wins_over_account_and_backslash_does_not():
    given = tables("juan: eva\nana: \\ana, eva\n")
    assert ends("juan@example.org", given) == {("mailbox", "eva@example.org")}
    assert ends("ana@example.org", given) == {("mailbox", "ana@example.org"), ("mailbox", "eva@example.org")}


@pytest.mark.parametrize(
    "aliases", ["juan: juan, eva\n", "juan: eva, otra\notra: tercera\ntercera: juan\n", "juan: juan+x, eva\n"]
)
def test_a_user_inside_a_loop_gets_the_mail(aliases):
    """S60: the loop is cut where it closes."""
    both = {("mailbox", "juan@example.org"), ("mailbox", "eva@example.org")}
    assert ends("juan@example.org", tables(aliases)) == both
    assert ends("a@example.org", tables("a: juan, c\njuan: c\nc: juan\n")) == {("mailbox", "juan@example.org")}


def test_a_loop_without_an_end_waits():
    given = tables("a: b\nb: c\nc: a\n")
    (route,) = resolve("a@example.org", given)
    assert (route.kind, route.reply) == (Kind.DEFER, LOOP)
    assert "a again" in route.why[-1]
    assert ends("a@example.org", tables("a: b, eva\nb: a\n")) == {("mailbox", "eva@example.org")}


def test_owner_takes_the_bounces():
    """S59; the null sender is never replaced."""
    given = tables("grupo: juan, sub, x@far.example\nowner-grupo: ana\nsub: eva\nowner-sub: juan\nsolo: eva\n")
    routes = resolve("grupo@example.org", given, sender="someone@far.example")
    senders = {route.target: route.sender for route in routes}
    assert senders == {
        "juan@example.org": "owner-grupo@example.org", "far.example": "owner-grupo@example.org",
        "eva@example.org": "owner-sub@example.org",
    }
    assert {route.sender for route in resolve("grupo@example.org", given, sender="")} == {None}
    assert resolve("solo@example.org", given)[0].sender is None
    assert ends("owner-grupo@example.org", given) == {("mailbox", "ana@example.org")}


def test_virtual_domains_have_names_of_their_own():
    """S65"""
    given = tables("grupo: juan\ngrupo@club.example: socio@club.example, eva\n")
    assert ends("grupo@example.org", given) == {("mailbox", "juan@example.org")}
    assert ends("grupo@club.example", given) == {("mailbox", "socio@club.example"), ("mailbox", "eva@example.org")}


def test_catch_alls():
    """S64: after everything else, never for the roles."""
    given = tables("@club.example: eva\n*: juan\n")
    assert ends("whoever@club.example", given) == {("mailbox", "eva@example.org")}
    assert ends("socio@club.example", given) == {("mailbox", "socio@club.example")}
    assert ends("whoever@example.org", given) == {("mailbox", "juan@example.org")}
    assert ends("postmaster@example.org", given) == {("mailbox", "ana@example.org")}
    assert ends("x@example.org", tables("*: nobody-either\n")) == {("refuse", "nobody-either@example.org")}


def test_roles_follow_aliases_then_the_setting_then_the_first_account():
    """S61"""
    assert ends("root@example.org", tables("root: eva\n")) == {("mailbox", "eva@example.org")}
    unset = replace(MAIL, postmaster="")
    assert ends("abuse@example.org", tables(mail=unset)) == {("mailbox", "ana@example.org")}
    outside = replace(MAIL, postmaster="boss@far.example")
    assert ends("abuse@club.example", tables(mail=outside)) == {("remote", "far.example")}
    circular = replace(MAIL, postmaster="root")
    assert ends("root@example.org", tables(mail=circular)) == {("mailbox", "ana@example.org")}
    twice = tables("postmaster: root\n", mail=circular)
    assert ends("postmaster@example.org", twice) == {("mailbox", "ana@example.org")}
    empty = Tables(unset, domains_of(unset))
    assert resolve("postmaster", empty)[0].kind is Kind.DEFER
    assert ends("postmaster@far.example", PLAIN) == {("remote", "far.example")}


def test_programs_only_where_allowed():
    """sec-D01, S56: off by default, full paths or folders, arguments as a list."""
    text = 'v: |/usr/bin/vacation juan\nf: "|/opt/filters/x \'a b\' ; c"\nbad: |/bin/sh -c id\nup: |/opt/filters-x\n'
    given = tables(text)
    (route,) = resolve("v@example.org", given)
    assert (route.kind, json.loads(route.target)) == (Kind.PROGRAM, ["/usr/bin/vacation", "juan"])
    assert json.loads(resolve("f@example.org", given)[0].target) == ["/opt/filters/x", "a b", ";", "c"]
    for name, where in [("bad", given), ("up", given), ("v", tables(text, mail=Mail(domains=("example.org",)))),
                        ("v", tables(text, trusted=False))]:
        (route,) = resolve(f"{name}@example.org", where)
        assert (route.kind, route.reply) == (Kind.DEFER, TROUBLE)
        assert "mail.programs" in route.why[-1]


def test_files_only_below_the_folders():
    """sec-D05, S55"""
    text = "a: /var/mail/a\nb: /etc/cron.d/b\nc: /var/mailx\nd: /dev/null\n"
    given = tables(text)
    assert ends("a@example.org", given) == {("file", "/var/mail/a")}
    assert resolve("d@example.org", given)[0].kind is Kind.DISCARD
    for name in "bc":
        assert resolve(f"{name}@example.org", given)[0].kind is Kind.DEFER
    assert resolve("a@example.org", tables(text, trusted=False))[0].kind is Kind.DEFER


def test_includes():
    """S57, sec-D04"""
    included, _ = parse_include("juan\neva@example.org\n:include:/etc/mail/more\n", "/etc/mail/m")
    more, _ = parse_include("x@far.example\n:include:/etc/mail/m\n", "/etc/mail/more")
    bad = Include(trouble="not safe")
    known = {"/etc/mail/m": Include(included), "/etc/mail/more": Include(more), "/etc/mail/bad": bad}
    given = tables("a: :include:/etc/mail/m\nb: juan, :include:/etc/mail/bad\n", includes=known)
    assert ends("a@example.org", given) == {
        ("mailbox", "juan@example.org"), ("mailbox", "eva@example.org"), ("remote", "far.example"),
    }
    routes = resolve("b@example.org", given)
    assert [route.kind for route in routes] == [Kind.DEFER, Kind.MAILBOX]
    assert "not safe" in routes[0].why


def test_special_targets():
    """S69"""
    given = tables("fuera: :fail: Moved away\nluego: :defer: Tomorrow\nnada: :blackhole:\n")
    assert str(resolve("fuera@example.org", given)[0].reply) == "550 5.1.1 Moved away"
    assert str(resolve("luego@example.org", given)[0].reply) == "451 4.3.5 Tomorrow"
    assert resolve("nada@example.org", given)[0].kind is Kind.DISCARD


def test_a_line_of_mailman_means_our_list():
    given = tables(
        'students: "|/var/lib/mailman/mail/mailman post students"\n'
        'students-bounces: "|/var/lib/mailman/mail/mailman bounces students"\n'
        'other: "|/var/lib/mailman/mail/mailman post other"\n'
    )
    assert ends("students@example.org", given) == {("list", "students:post")}
    assert ends("students-bounces@example.org", given) == {("list", "students:bounces")}
    assert resolve("other@example.org", given)[0].kind is Kind.DEFER


def test_aliases_may_name_lists_and_their_parts():
    given = tables("alumnos: students\najuda: students-owner, juan\n")
    assert ends("alumnos@example.org", given) == {("list", "students:post")}
    assert ends("ajuda@example.org", given) == {("list", "students:owner"), ("mailbox", "juan@example.org")}


def test_system_users_beside_virtual_ones():
    """D04"""
    given = tables(system=("carmen", "juan"))
    assert ends("carmen@mail.example.org", given) == {("mailbox", "carmen@example.org")}
    assert ends("carmen@club.example", given) == {("refuse", "carmen@club.example")}


def test_next_hops():
    """S87 and friends: single domains, their subdomains, the smarthost."""
    mail = replace(MAIL, transports={"near.example": "mx.near.example", ".far.example": "[10.0.0.1]:2525"})
    given = tables(mail=mail)
    assert ends("x@near.example", given) == {("remote", "[mx.near.example]:25")}
    assert ends("x@a.b.far.example", given) == {("remote", "[10.0.0.1]:2525")}
    assert ends("x@far.example", given) == {("remote", "far.example")}
    smart = tables(mail=replace(mail, smarthost="smtp.isp.example:587"))
    assert ends("x@far.example", smart) == {("remote", "[smtp.isp.example]:587")}
    assert ends("x@near.example", smart) == {("remote", "[mx.near.example]:25")}


def test_depth_and_number_are_limited(monkeypatch):
    """sec-D08"""
    chain = "".join(f"a{i}: a{i + 1}\n" for i in range(DEPTH + 2)) + f"a{DEPTH + 2}: juan\n"
    (route,) = resolve("a0@example.org", tables(chain))
    assert (route.kind, route.reply) == (Kind.DEFER, TOO_MANY)
    assert ends("a3@example.org", tables(chain)) == {("mailbox", "juan@example.org")}
    monkeypatch.setattr("bridge.route.resolver.RECIPIENTS", 50)
    many = "m: " + ", ".join(f"u{i}@far.example" for i in range(60)) + "\n"
    assert resolve("m@example.org", tables(many))[0].reply == TOO_MANY


def test_exponential_aliases_are_harmless():
    """sec-D08: each name twice on each level."""
    text = "".join(f"a{i}: a{i + 1}, b{i + 1}\nb{i}: a{i + 1}, b{i + 1}\n" for i in range(9)) + "a9: juan\nb9: eva\n"
    start = time.monotonic()
    assert ends("a0@example.org", tables(text)) == {("mailbox", "juan@example.org"), ("mailbox", "eva@example.org")}
    assert time.monotonic() - start < 2


def test_unknown_names_wait_while_an_alias_file_is_unreadable():
    """Nobody can say that a name is unknown as long as not all names could be read."""
    (route,) = resolve("nobody@example.org", tables(uncertain="/etc/aliases"))
    assert (route.kind, route.reply) == (Kind.DEFER, TROUBLE)


def test_verdict():
    given = tables("mixed: nobody, juan\nworse: nobody, :defer:\nworst: nobody, :fail: gone\n")
    assert verdict(resolve("mixed@example.org", given)) is None
    assert verdict(resolve("worse@example.org", given)).temporary
    assert verdict(resolve("worst@example.org", given)).permanent
    assert verdict(resolve("x@far.example", given)) is None


def test_served_domains():
    """S29, S30"""
    for domain in ("example.org", "MAIL.example.org", "club.example", "backup.example", ""):
        assert PLAIN.serves(domain)
    assert not PLAIN.serves("far.example")


def test_explain():
    """S100"""
    given = tables("todos: ana, profes\nprofes: eva, |/bin/sh\nowner-todos: juan\n")
    lines = explain("todos@example.org", given)
    assert lines[0] == (
        "todos@example.org -> alias todos (/etc/aliases:1) -> ana: mailbox ana@example.org, "
        "bounces go to owner-todos@example.org"
    )
    assert any("may not be run: see mail.programs" in line and "451 4.3.5" in line for line in lines)
    assert explain("nobody@example.org", given) == ["nobody@example.org: refuse (550 5.1.1 No such user here)"]


NAMES = [f"n{i}" for i in range(8)]
GRAPH = st.dictionaries(
    st.sampled_from(NAMES),
    st.lists(st.sampled_from([*NAMES, "juan", "x@far.example", "\\n1", "n2+y", "n3@club.example", "/dev/null"]),
             min_size=1, max_size=5),
)


@given(GRAPH, st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_tangle_of_aliases_ends(graph, start, people):
    """S60: at least one route, no two the same, and every mailbox that can be reached is."""
    text = "".join(f"{name}: {', '.join(targets)}\n" for name, targets in graph.items())
    given = tables(text, people=("juan", *people))
    routes = resolve(f"{start}@example.org", given)
    assert routes
    keys = [(route.kind, route.target, route.address.lower()) for route in routes]
    assert len(set(keys)) == len(keys)
    mailboxes = {route.target for route in routes if route.kind is Kind.MAILBOX}
    if any(route.reply == TOO_MANY for route in routes):
        return
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for target in graph.get(name, ()):
            if target == "juan":
                assert "juan@example.org" in mailboxes
            elif target in NAMES or target == "n2+y":
                waiting.append(target.partition("+")[0])
        if name not in graph and name in people:
            assert f"{name}@example.org" in mailboxes


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_has_a_route(text):
    for route in resolve(text, PLAIN):
        assert (route.reply is not None) == (route.kind in (Kind.REFUSE, Kind.DEFER))
    assert explain(text, PLAIN)
