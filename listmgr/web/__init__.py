"""The pages of the lists, with Mailman's addresses: one table says who answers what, and who may.

Promises: every route that changes something is a POST, and each of them needs a token (a test walks the table).
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from starlette.routing import BaseRoute, Route

import templates
from listmgr.forms import Forms, Rate
from listmgr.office import Office
from listmgr.web import account, admin, admindb, login, member, members, membership, public
from listmgr.web.account import AccountVisit, Page
from listmgr.web.login import administers, guarded, moderates
from listmgr.web.site import Keys, Place, Site, Throttled, Work, endpoint

__all__ = ["AccountVisit", "Keys", "Page", "Place", "Throttled", "routes"]

_BOTH = "GET POST"
_TABLE: tuple[tuple[str, str, Work], ...] = (
    ("/mailman/listinfo", "GET", public.overview),
    ("/mailman/listinfo/{name}", "GET", public.listinfo),
    ("/mailman/subscribe/{name}", "POST", public.subscribe),
    ("/mailman/unsubscribe/{name}", "POST", public.unsubscribe),
    ("/mailman/confirm/{name}/{token}", "GET", public.ask_confirm),
    ("/mailman/confirm/{name}/{token}", "POST", public.do_confirm),
    ("/mailman/roster/{name}", "GET", public.show_roster),
    ("/mailman/login/{name}", "POST", login.come_in),
    ("/mailman/login/{name}/{token}", _BOTH, login.link),
    ("/mailman/login", "POST", account.come_in),
    ("/mailman/logout", "POST", login.go_out),
    ("/mailman/admin", "GET", admin.overview),
    ("/mailman/admin/{name}", _BOTH, guarded(admin.category, "admin", administers)),
    ("/mailman/admin/{name}/passwords", _BOTH, guarded(admin.change_passwords, "admin", administers)),
    ("/mailman/admin/{name}/members", _BOTH, guarded(members.members, "admin", administers)),
    ("/mailman/admin/{name}/members/add", _BOTH, guarded(membership.add, "admin", administers)),
    ("/mailman/admin/{name}/members/remove", _BOTH, guarded(membership.remove, "admin", administers)),
    ("/mailman/admin/{name}/members/change", _BOTH, guarded(membership.change, "admin", administers)),
    ("/mailman/admin/{name}/members/sync", _BOTH, guarded(membership.sync, "admin", administers)),
    ("/mailman/admin/{name}/{category:path}", _BOTH, guarded(admin.category, "admin", administers)),
    ("/mailman/admindb/{name}", _BOTH, guarded(admindb.held, "admindb", moderates)),
    ("/mailman/options/{name}", "GET", member.choose),
    ("/mailman/options/{name}/{user}", _BOTH, member.options),
    ("/mailman/private/{name}", "GET", guarded(public.private_archive, "private", public.may_read)),
    ("/mailman/private/{name}/{rest:path}", "GET", guarded(public.private_archive, "private", public.may_read)),
    ("/mailman/style.css", "GET", public.style),
    ("/mailman/icon.svg", "GET", public.icon),
    ("/pipermail/{name}", "GET", public.to_archive),
    ("/pipermail/{name}/{rest:path}", "GET", public.archive),
)


def routes(
    office: Office, archives: Path, *, secret: bytes, override: Path | None = None, keys: Keys | None = None,
    pages: Sequence[Page] = (),
) -> list[BaseRoute]:  # fmt: skip
    """All routes, to be mounted at the root. `secret`: at least 16 random bytes that outlive a restart; `pages`: of
    other rooms, for mail accounts."""
    settings, clock = office.settings, office.clock
    folders = [*([override / "web"] if override else []), Path(next(iter(templates.__path__))) / "web"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    forms = Forms(secret, clock.now, office.random, settings.form_seconds)
    site = Site(
        office, archives, forms, Rate(settings.form_hourly, clock.now), environment, keys or Keys(),
        tuple(one.place for one in pages),
    )  # fmt: skip
    table = [*_TABLE, *((f"/{one.place.path}", _BOTH, account.shown(one)) for one in pages)]
    return [Route(path, endpoint(site, work), methods=methods.split()) for path, methods, work in table]
