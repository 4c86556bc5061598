"""Every page in real Chromium, in both languages, as the started program serves it (W01 W02 W03 L31 A01 A02 F55).

Each page must be quiet on the console, in its language and no other, without sideways scrolling at 390 px, with named
fields, one main heading, no id twice, and text that stands out from its ground. `--long` looks at it in both widths and
colour schemes, and keeps pictures in the folder ESTAFETA_PICTURES.
"""

import gzip
import os
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.chromium import Chromium
from tests.lab import DOMAIN, Lab
from tests.pages.visits import come_in, url

ADMIN = "/mailman/admin/{0}"
OPEN = [
    ("/mailman/listinfo", 200), ("/mailman/listinfo/{0}", 200), ("/mailman/admin", 200), (ADMIN, 403),
    ("/mailman/admindb/{0}", 403), ("/mailman/options/{0}", 200), ("/mailman/roster/{0}", 403),
    ("/mailman/private/{0}/", 403), ("/mailman/listinfo/nada", 404), ("/nada", 404), ("/fetchmailconf", 403),
    ("/mailman/confirm/{0}/" + "0" * 32, 404),
]  # fmt: skip
ARCHIVE = ["", *(f"{{1}}/{name}.html" for name in ("thread", "subject", "author", "date", "000000", "000001"))]
INSIDE = [
    *(f"{ADMIN}/{name}" for name in (
        "general", "language", "privacy/subscribing", "privacy/sender", "privacy/recipient", "archive", "passwords",
        "members", "members?find=n0", "members?find=(a", "members?chunk=1", "members/add", "members/remove",
        "members/change", "members/sync",
    )),
    "/mailman/admindb/{0}", "/mailman/options/{0}/ana--at--" + DOMAIN, "/mailman/roster/{0}", "/fetchmailconf",
    "/fetchmailconf?mode=expert",
]  # fmt: skip
FOREIGN = {
    "es": re.compile(r"\b(?:the|and|your|with|this|please|which|was|not|you|of|is|for|members?|lists?)\b"),
    "en": re.compile(r"\b(?:el|los|las|una|para|que|con|del|su|sus|lista|miembros?|correo)\b"),
}
# what people and programs wrote is left out: names of options, mails, addresses, the other language's own name
TEXT = """(() => {
  const copy = document.body.cloneNode(true);
  for (const one of copy.querySelectorAll('code, pre, bdi, textarea, [lang], [data-own]')) one.remove();
  const more = [...copy.querySelectorAll('[aria-label], [placeholder], [title]')].map(
    one => [one.getAttribute('aria-label'), one.placeholder, one.title].join(' '));
  const text = [copy.innerText, document.title, ...more].join(' \\n ');
  return text.replace(/\\S+@\\S+/g, ' ').replace(/https?:\\S+/g, ' ');
})()"""
WRONG = """(() => {
  const wrong = [], seen = new Set();
  for (const one of document.querySelectorAll('[id]'))
    seen.has(one.id) ? wrong.push('twice: ' + one.id) : seen.add(one.id);
  for (const one of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
    if (!one.labels.length) wrong.push('no label: ' + one.name);
  for (const one of document.querySelectorAll('[aria-labelledby], [aria-describedby]'))
    for (const name of ['aria-labelledby', 'aria-describedby'])
      for (const id of (one.getAttribute(name) || '').split(' ').filter(Boolean))
        if (!document.getElementById(id)) wrong.push('nothing has the id ' + id);
  for (const one of document.querySelectorAll('a, button'))
    if (!one.textContent.trim() && !one.getAttribute('aria-label') && (one.href || one.tagName == 'BUTTON'))
      wrong.push('says nothing: ' + one.outerHTML.slice(0, 80));
  if (document.querySelectorAll('h1').length != 1) wrong.push('h1: ' + document.querySelectorAll('h1').length);
  if (document.documentElement.scrollWidth > innerWidth)
    wrong.push('wide: ' + document.documentElement.scrollWidth);
  if (document.querySelector('script, style, [style]')) wrong.push('script or style in the page');
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = rgb => { const [r, g, b] = rgb.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  for (const one of document.querySelectorAll('body *')) {
    if (![...one.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || !one.offsetWidth) continue;
    const style = getComputedStyle(one); let under = one, ground;
    do { ground = parts(getComputedStyle(under).backgroundColor); under = under.parentElement; }
    while (under && ground.length == 4 && ground[3] == 0);
    if (ground.length == 4 && ground[3] == 0) continue;
    const [a, b] = [light(parts(style.color).slice(0, 3)), light(ground.slice(0, 3))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) wrong.push('faint ' + ratio.toFixed(1) + ': ' + one.textContent.trim().slice(0, 40));
  }
  return wrong;
})()"""


def look(browser: Chromium, lab: Lab, path: str, language: str, status: int) -> None:
    """Open a page and say everything that is wrong with it."""
    found = browser.go(url(lab, path))
    wrong = [f"status {found}"] if found != status else []
    wrong += inspect(browser, language)
    assert not wrong, (path, language, wrong)


def inspect(browser: Chromium, language: str) -> list[str]:
    """What is wrong with the page that is open."""
    wrong = [str(one) for one in browser.run(WRONG)]
    tongue = browser.run("document.documentElement.lang")
    wrong += [f"lang {tongue}"] if tongue != language else []
    text = browser.run(TEXT)
    wrong += [f"{language}: {one}" for one in sorted(set(FOREIGN[language].findall(text)))]
    wrong += [f"marker {one}" for one in re.findall(r"\{\{|\}\}|\{%|Undefined|None\b(?! yet)", text)]
    wrong += browser.complaints
    browser.complaints.clear()
    return wrong


def asked(path: str, language: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}language={language}"


@pytest.mark.parametrize("language", ["en", "es"])
def test_pages_for_everybody(browser: Chromium, lab: Lab, language: str) -> None:
    """W01, W02, W03, W04: overview, list, ways in, what isn't there."""
    browser.call("Network.clearBrowserCookies")
    name = {"en": "alfa", "es": "beta"}[language]
    for path, status in OPEN:
        look(browser, lab, asked(path.format(name), language), language, status)


@pytest.mark.parametrize(("name", "language"), [("alfa", "en"), ("beta", "es")])
def test_archive(browser: Chromium, lab: Lab, name: str, language: str) -> None:
    """A01, A02: volumes, four views, messages; the text volume is there."""
    volume = "2026-November"
    for path in ARCHIVE:
        look(browser, lab, f"/pipermail/{name}/{path.format(name, volume)}", language, 200)
    with urlopen(url(lab, f"/pipermail/{name}/{volume}.txt.gz"), timeout=20) as found:
        assert b"Subject: [" in gzip.decompress(found.read())


@pytest.mark.parametrize("language", ["en", "es"])
def test_pages_behind_a_login(browser: Chromium, lab: Lab, language: str) -> None:
    """W02, W03, L31, F55: every category, members, held posts, options, accounts elsewhere."""
    name = {"en": "alfa", "es": "beta"}[language]
    come_in(browser, lab, name)
    for path in INSIDE:
        look(browser, lab, asked(path.format(name), language), language, 400 if path.endswith("(a") else 200)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "es"])
def test_wide_narrow_light_dark(browser: Chromium, lab: Lab, language: str) -> None:
    """Every page in two widths and two schemes; pictures of all of them for who wants to look."""
    name, wanted = {"en": "alfa", "es": "beta"}[language], os.environ.get("ESTAFETA_PICTURES", "")
    archive = [f"/pipermail/{name}/{path.format(name, '2026-November')}" for path in ARCHIVE]
    stranger = [asked(path.format(name), language) for path, _ in OPEN]
    member = [asked(path.format(name), language) for path in INSIDE]
    try:
        for paths, inside in (([*stranger, *archive], False), (member, True)):
            browser.call("Network.clearBrowserCookies")
            if inside:
                come_in(browser, lab, name)
            for width, dark in ((390, False), (390, True), (1280, False), (1280, True)):
                browser.resize(width)
                browser.scheme(dark)
                for path in paths:
                    browser.go(url(lab, path))
                    assert not (wrong := inspect(browser, language)), (path, width, dark, wrong)
                    if wanted:
                        named = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")
                        browser.picture(Path(wanted) / f"{named}-{width}{'-dark' if dark else ''}.png")
    finally:
        browser.resize(390)
        browser.scheme(False)
