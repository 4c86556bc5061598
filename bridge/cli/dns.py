"""`estafeta dns`: the DNS records by which other servers and mail programs find this one, ready for a zone file."""

import time
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from bridge.cli.settings import parser, settings_of
from bridge.cli.words import fail, tr
from bridge.config.schema import Settings
from bridge.model.address import fold_domain
from bridge.wire.ways import records, ways


def dns(arguments: list[str]) -> None:
    """Print them for the domains named, or for all that have accounts here."""
    arg = parser("estafeta dns", "The DNS records that this server needs.", "Los registros DNS que necesita.")
    arg.add_argument("domain", nargs="*", help=tr("of this server; none: all", "de este servidor; ninguno: todos"))
    given = arg.parse_args(arguments)
    settings = settings_of(given.config).settings
    own = [fold_domain(one) for one in (*settings.mail.domains, *settings.mail.virtual_domains)]
    wanted = [fold_domain(one) for one in given.domain]
    for one in wanted:
        if one not in own:
            fail(f"{one} is no domain of this server: {', '.join(own)}",
                 f"{one} no es un dominio de este servidor: {', '.join(own)}")
    for domain in wanted or own:
        _print(domain, settings)


def _print(domain: str, settings: Settings) -> None:
    server = fold_domain(settings.server.hostname)
    host = fold_domain(settings.clients.hostname) or server
    base = urlsplit(settings.web.base_url)
    web = (base.hostname or "") if base.scheme == "https" else ""
    print(tr(f"; {domain}: mail for it, and the way of mail programs to it",
             f"; {domain}: su correo y el camino de los programas de correo"))
    print(tr(f"; {server} needs A and AAAA records, and a PTR record that leads back to it",
             f"; {server} necesita registros A y AAAA, y un registro PTR que vuelva a él"))
    if not web:
        print(tr("; no autoconfig and autodiscover records: web.base_url doesn't begin with https://",
                 "; sin registros autoconfig ni autodiscover: web.base_url no empieza por https://"))
    print("\n".join(records(domain, server, ways(host, asdict(settings.listen)), web)))
    _print_keys(domain, settings)
    print()


def _print_keys(domain: str, settings: Settings) -> None:
    """Those of DKIM; the folder is the service's, so not everybody can look."""
    from bridge.store.dkimkeys import DkimKeys
    from bridge.trust.key import KeyProblem, zone_line

    try:
        keys = DkimKeys(Path(settings.paths.data) / "dkim", time.monotonic).all()
        mine = [one.key() for one in keys if one.domain == domain and one.state != "old"]
    except (OSError, KeyProblem) as error:
        print(f"; DKIM: {error}")
        return
    for key in mine:
        print(zone_line(key.name, key.record))
    if not mine:
        print(tr(f"; no DKIM key yet: estafeta dkim keygen {domain}",
                 f"; aún sin clave DKIM: estafeta dkim keygen {domain}"))
