"""The web site of this house: which rooms bring which pages."""

import time
from dataclasses import asdict
from pathlib import Path

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from bridge.app import House, secret_file
from bridge.config.schema import Settings
from bridge.model.address import fold_domain
from bridge.store import ledger
from bridge.web import clients, pages
from bridge.web.fetchmailconf import Desk
from bridge.wire.ways import ways
from listmgr.web import Page, Place, routes


def application(house: House) -> ASGIApp:
    """Everything under one roof, behind one guard."""
    settings = house.settings
    return pages.application(
        [*list_routes(house), *clients.routes(offer(settings))],
        web=settings.web,
        hostname=settings.server.hostname,
        port=settings.listen.http,
        home="/mailman/listinfo",
        any_host=clients.PATHS,
    )


def list_routes(house: House) -> list[BaseRoute]:
    """The pages of the lists, and those of accounts in the same frame."""
    paths = house.settings.paths
    override = Path(paths.templates) if paths.templates else None
    return routes(
        house.office, Path(paths.archives), secret=secret_file(house.data / "web.secret"), override=override,
        keys=house.list_keys, pages=account_pages(house),
    )  # fmt: skip


def account_pages(house: House) -> list[Page]:
    """Pages of people with a mailbox here."""
    if not house.settings.fetch.page:
        return []

    def owner(address: str) -> str:
        found = house.account(address)
        return found.address if found is not None else ""

    def last(name: str) -> tuple[float, str] | None:
        rows = (one for one in ledger.Ledger(house.core).accounts() if one.account == name)
        return next(((one.last_poll, one.error) for one in rows), None)

    desk = Desk(house.settings.fetch, house.fetch_files, last)
    return [Page(Place("fetchmailconf", ("Mail from elsewhere", "Correo de otros sitios")), desk.answer, owner)]


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
