"""The pages of the lists, with Mailman's addresses. `routes` makes them all."""

from listmgr.web.public import routes

__all__ = ["routes"]
