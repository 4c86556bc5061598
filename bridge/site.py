"""The web site of this house: which rooms bring which pages."""

import time
from dataclasses import asdict

from starlette.types import ASGIApp

from bridge.app import House
from bridge.config.schema import Settings
from bridge.model.address import fold_domain
from bridge.web import clients, pages
from bridge.wire.ways import ways


def application(house: House) -> ASGIApp:
    """Everything under one roof, behind one guard."""
    settings = house.settings
    return pages.application(
        [*house.list_routes, *clients.routes(offer(settings))],
        web=settings.web,
        hostname=settings.server.hostname,
        port=settings.listen.http,
        home="/mailman/listinfo",
        any_host=clients.PATHS,
    )


def offer(settings: Settings) -> clients.Offer:
    """What mail programs are told at first contact."""
    mail = settings.mail
    own = {fold_domain(domain) for domain in (*mail.domains, *mail.virtual_domains)}

    def served(domain: str) -> str | None:
        folded = fold_domain(domain)
        return folded if folded in own else None

    return clients.Offer(
        served=served,
        name=settings.clients.name,
        ways=ways(settings.clients.hostname or settings.server.hostname, asdict(settings.listen)),
        main=mail.domains[0],
        clock=lambda: time.strftime("%H:%M:%S", time.gmtime()),
    )
