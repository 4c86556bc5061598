"""Where the pages of a list are, for headers, mails and pages: one place that knows the URL scheme of Mailman.

Promises: pure; every URL starts with the configured base (sec-W08), names in it are list names, which need no quoting;
addresses are quoted.
"""

from dataclasses import dataclass
from urllib.parse import quote

from listmgr.registry import MailingList


def user_at(address: str) -> str:
    """`user--at--host`, as Mailman writes an address in a URL."""
    return quote(address.replace("@", "--at--"), safe="")


@dataclass(frozen=True, slots=True)
class Links:
    """URLs below one base, for instance `https://lists.example.org` (no slash at the end)."""

    base: str

    def overview(self) -> str:
        return f"{self.base}/mailman/listinfo"

    def listinfo(self, which: MailingList) -> str:
        return f"{self.base}/mailman/listinfo/{which.name}"

    def confirm(self, which: MailingList, token: str) -> str:
        return f"{self.base}/mailman/confirm/{which.name}/{token}"

    def archive(self, which: MailingList) -> str:
        """Public below /pipermail, else below /mailman/private."""
        return f"{self.base}/{'mailman/private' if which.options.archive_private else 'pipermail'}/{which.name}/"

    def admin(self, which: MailingList) -> str:
        return f"{self.base}/mailman/admin/{which.name}"

    def admindb(self, which: MailingList) -> str:
        return f"{self.base}/mailman/admindb/{which.name}"

    def options(self, which: MailingList, address: str) -> str:
        return f"{self.base}/mailman/options/{which.name}/{user_at(address)}"

    def login(self, which: MailingList, token: str) -> str:
        return f"{self.base}/mailman/login/{which.name}/{token}"
