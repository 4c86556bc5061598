"""The web site of this house: which rooms bring which pages."""

from starlette.types import ASGIApp

from bridge.app import House
from bridge.web import pages


def application(house: House) -> ASGIApp:
    """Everything under one roof, behind one guard."""
    settings = house.settings
    return pages.application(
        house.list_routes,
        web=settings.web,
        hostname=settings.server.hostname,
        port=settings.listen.http,
        home="/mailman/listinfo",
    )
