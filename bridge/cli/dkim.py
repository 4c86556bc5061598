"""`estafeta dkim keygen|dns|test|use|list`: the keys that sign outgoing mail, from their making to their end.

The plan of a change: `keygen` (signs nothing yet), publish what `dns` prints, `test` until it is seen, `use` (the key
of the same kind that signed so far becomes old), a week later delete the old one's record and file.
"""

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, say, tr
from bridge.model.address import fold_domain

if TYPE_CHECKING:
    from bridge.app import House
    from bridge.store.dkimkeys import Stored

_STATES = {
    "new": ("new: publish its record, then `use` it", "nueva: publique su registro y después `use`"),
    "active": ("signs", "firma"),
    "old": ("old: signs no more", "antigua: ya no firma"),
}


def dkim(arguments: list[str]) -> None:
    """Run one of the sub-commands; exit status 1 with a sentence where it can't be done."""
    arg = parser("estafeta dkim", "Keys that sign outgoing mail.", "Claves que firman el correo saliente.")
    sub = arg.add_subparsers(dest="what", required=True, metavar=" | ".join(_WORK))
    made = sub.add_parser("keygen", help=tr("a new key for a domain", "una clave nueva para un dominio"))
    made.add_argument("domain")
    made.add_argument("--selector", default="", help=tr("its name; none: the month", "su nombre; sin él: el mes"))
    made.add_argument("--type", choices=("rsa", "ed25519"), default="rsa")
    made.add_argument("--bits", type=int, choices=(1024, 2048, 3072, 4096), default=2048)
    records = sub.add_parser("dns", help=tr("the records to publish", "los registros que hay que publicar"))
    records.add_argument("domain", nargs="?")
    tested = sub.add_parser("test", help=tr("are the records published?", "¿están publicados los registros?"))
    tested.add_argument("domain", nargs="?")
    used = sub.add_parser("use", help=tr("sign with it from now on", "firmar con ella desde ahora"))
    used.add_argument("domain")
    used.add_argument("selector")
    used.add_argument("--force", action="store_true", help=tr("without its record", "sin su registro"))
    listed = sub.add_parser("list", help=tr("all keys", "todas las claves"))
    listed.add_argument("domain", nargs="?")
    given = arg.parse_args(arguments)
    from bridge import app
    from bridge.trust.key import KeyProblem

    with app.opened(settings_of(given.config).settings) as house:
        try:
            _WORK[given.what](house, given)
        except KeyProblem as error:
            fail(str(error), error.es)


def _keygen(house: "House", given: argparse.Namespace) -> None:
    from bridge.trust import key as keys

    domain = fold_domain(given.domain)
    selector = given.selector or time.strftime("%Y%m") + ("" if given.type == "rsa" else "e")
    one = house.dkim_keys.add(domain, selector, keys.generate(given.type, given.bits))
    say(f"; key {one.path}", f"; clave {one.path}")
    say("; publish this, then: estafeta dkim use", "; publique esto y después: estafeta dkim use")
    _show(one)


def _dns(house: "House", given: argparse.Namespace) -> None:
    for one in _chosen(house, given):
        if one.state != "old":
            _show(one)


def _test(house: "House", given: argparse.Namespace) -> None:
    bad = 0
    for one in _chosen(house, given):
        if one.state != "old":
            problem = _published(house, one)
            bad += bool(problem)
            print(f"{one.key().name}: {problem or tr('published', 'publicado')}")
    if bad:
        raise SystemExit(1)


def _use(house: "House", given: argparse.Namespace) -> None:
    domain = fold_domain(given.domain)
    mine = [one for one in house.dkim_keys.all() if one.domain == domain]
    wanted = next((one for one in mine if one.selector == given.selector), None)
    if wanted is None:
        fail(f"there is no key {given.selector} for {domain}", f"no hay clave {given.selector} para {domain}")
    problem = "" if given.force else _published(house, wanted)
    if problem:
        fail(f"{wanted.key().name}: {problem}; nothing is changed (--force does it all the same)",
             f"{wanted.key().name}: {problem}; no se cambia nada (--force lo hace de todos modos)")
    kind = wanted.key().algorithm
    house.dkim_keys.move(wanted, "active")
    say(f"{wanted.selector} signs mail from {domain}", f"{wanted.selector} firma el correo de {domain}")
    for one in mine:
        if one.state == "active" and one.selector != wanted.selector and one.key().algorithm == kind:
            house.dkim_keys.move(one, "old")
            say(f"{one.selector} signs no more; keep its record for a week",
                f"{one.selector} ya no firma; conserve su registro una semana")


def _list(house: "House", given: argparse.Namespace) -> None:
    for one in _chosen(house, given):
        print(f"{one.domain:30} {one.selector:12} {one.key().algorithm:8} {tr(*_STATES[one.state])}")


_WORK = {"keygen": _keygen, "dns": _dns, "test": _test, "use": _use, "list": _list}


def _chosen(house: "House", given: argparse.Namespace) -> "list[Stored]":
    """The keys of the domain that was named, or all."""
    domain = fold_domain(given.domain) if given.domain else ""
    found = [one for one in house.dkim_keys.all() if domain in ("", one.domain)]
    if not found:
        place = domain or house.settings.mail.domains[0]
        fail(f"no keys yet; make one: estafeta dkim keygen {place}",
             f"aún no hay claves; haga una: estafeta dkim keygen {place}")
    return found


def _show(one: "Stored") -> None:
    from bridge.trust.key import zone_line

    key = one.key()
    print(zone_line(key.name, key.record))


def _published(house: "House", one: "Stored") -> str:
    """What is wrong with the key's record in the DNS; "": nothing."""
    from bridge.deliver.dns import Resolver
    from bridge.trust.names import NameTrouble, NoDomain

    key = one.key()
    try:
        found = asyncio.run(Resolver(house.settings.outbound.nameservers).texts(key.name))
    except NoDomain:
        found = ()
    except NameTrouble as error:
        return str(error)
    if not found:
        return tr("no TXT record", "sin registro TXT")
    if len(found) > 1:
        return tr("several TXT records; there must be one", "varios registros TXT; debe haber uno")
    if _tags(found[0]).get("p") != _tags(key.record)["p"]:
        return tr("the record is that of another key", "el registro es de otra clave")
    return ""


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in pairs}
