"""Ways to the pages: addresses, and coming in."""

from tests.chromium import Chromium
from tests.lab import DOMAIN, PASSWORD, Lab

LIST_PASSWORD = "clave de lista 1"


def url(lab: Lab, path: str) -> str:
    return f"http://127.0.0.1:{lab.ports['http']}{path}"


def come_in(browser: Chromium, lab: Lab, name: str = "alfa") -> None:
    """As the owner with the list's password, and as Ana with that of her mailbox."""
    browser.call("Network.clearBrowserCookies")
    browser.go(url(lab, f"/mailman/admin/{name}"))
    browser.fill(listpassword=LIST_PASSWORD)
    assert browser.press("button[value=list]") == 200
    browser.go(url(lab, "/fetchmailconf"))
    browser.fill(account=f"ana@{DOMAIN}", password=PASSWORD)
    assert browser.press("main button") == 200
