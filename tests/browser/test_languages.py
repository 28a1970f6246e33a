"""The pages in each language: what a person sees, and that nothing else is left in English."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from service.web.messages import FOLDER
from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of
from tests.browser.web import answer_page, web_server
from tests.servers import Server

AD = {"source": "news.example", "campaign": "Spring Sale", "device": "phone"}

# language of the browser -> what it reads
SEEN = {
    "en-GB": ("1,203", "people here now", r"Live · updated \d+ sec ago", "Germany", "Share"),
    "de-AT": ("1\u00a0203", "Personen gerade hier", r"Live · vor \d+ Sek. aktualisiert",
              "Deutschland", "Teilen"),
    "de-DE": ("1.203", "Personen gerade hier", r"Live · vor \d+ Sek. aktualisiert",
              "Deutschland", "Teilen"),
    "es-MX": ("1,203", "personas aquí ahora", r"En directo · actualizado hace \d+ s(eg\.)?",
              "Alemania", "Compartir"),
    "fr-FR": ("1\u202f203", "personnes ici en ce moment", r"En direct · mis à jour il y a \d+ s",
              "Allemagne", "Partager"),
    "ja-JP": ("1,203", "人が現在閲覧中", r"ライブ · \d+ 秒前に更新", "ドイツ", "共有"),
}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", SEEN)
def test_what_a_person_sees(
    calm: LiveService, site: str, new_context: NewContext, locale: str, scheme: str
) -> None:
    number, label, live, country, share = SEEN[locale]
    Crowd(site).arrive(calm, 1200)
    calm.beat_all(site, [{"currentPath": "/", **AD}] * 3)
    page = new_context(
        locale=locale, color_scheme=scheme, reduced_motion="reduce",
        viewport={"width": 320, "height": 900}, is_mobile=True, has_touch=True,
    ).new_page()  # fmt: skip
    board = Board.open(page, calm, site)
    expect(page.locator("html")).to_have_attribute("lang", locale[:2])
    expect(board.now).to_have_text(number)
    expect(page.locator("#active-label")).to_have_text(label)
    expect(board.connection).to_have_text(re.compile(f"^{live}$".replace(" ", r"\s")))
    expect(board.row(country, "countries")).to_be_visible()
    assert faults_of(page) == []
    assert board.call("document.documentElement.scrollWidth") <= 320
    page.get_by_role("button", name=share).click()
    panel = page.get_by_role("dialog", name=share)
    expect(panel.locator(".share-list code").first).not_to_have_text("")
    assert panel.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    assert faults_of(page) == []
    page.goto(f"{calm.url}/")
    assert faults_of(page) == []
    assert board.call("document.documentElement.scrollWidth") <= 320


def test_without_scripts_it_is_in_the_language_too(
    calm: LiveService, site: str, new_context: NewContext
) -> None:
    """So that nobody sees another language before they have run."""
    page = new_context(locale="de-DE", java_script_enabled=False).new_page()
    page.goto(f"{calm.url}/sites/{site}")
    expect(page.locator(".wall-link")).to_have_text("Wandanzeige")
    expect(page.locator("#pages-title")).to_have_text("Seiten jetzt")


def test_the_address_asks_for_a_language(
    calm: LiveService, site: str, new_context: NewContext
) -> None:
    calm.visitor(site).at("/")
    page = new_context(locale="es-ES").new_page()
    board = Board.open(page, calm, site, "?lang=fr")
    label = page.locator("#active-label")
    expect(label).to_have_text("personne ici en ce moment")
    page.get_by_role("button", name="Partager").click()
    expect(page.locator("#share code").first).to_have_text(re.compile(r"\?lang=fr$"))
    page.keyboard.press("Escape")
    board.row("/").locator("button").click()
    expect(page).to_have_url(re.compile(r"\?lang=fr&page=%2F$"))
    page.reload()
    expect(label).to_have_text("personne en ce moment sur /")
    page.locator(".wall-link").click()
    expect(page).to_have_url(re.compile(r"\?wall&lang=fr$"))
    expect(label).to_have_text("personne ici en ce moment")


def test_a_frame_is_in_the_language_of_its_reader_or_the_one_asked_for(
    calm: LiveService, site: str, new_context: NewContext
) -> None:
    calm.beat_all(site, [{"currentPath": "/"}] * 2)
    own = f"{calm.url}/sites/{site}"
    body = "".join(
        f'<iframe src="{own}?{query}" width="600" height="400"></iframe>'
        for query in ("embed", "embed&amp;lang=ja", "pill", "pill&amp;lang=fr")
    )
    page = new_context(locale="de-CH").new_page()
    with web_server(lambda request: answer_page(request, body)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        for n, (part, text) in enumerate(
            (
                ("#active-label", "Personen gerade hier"),
                ("#active-label", "人が現在閲覧中"),
                ("#noun", "Personen gerade hier"),
                ("#noun", "personnes ici en ce moment"),
            )
        ):
            expect(page.frame_locator("iframe").nth(n).locator(part)).to_have_text(text)


# Each letter of a text is another, so that a word in ASCII is data, or was never in a catalogue.
WIDE = {code: code + 0xFEE0 for code in range(ord("A"), ord("z") + 1) if chr(code).isalpha()}


def pseudo(text: object) -> object:
    if isinstance(text, dict):
        return {key: pseudo(value) for key, value in text.items()}
    parts = re.split(r"(\{\w+\})", str(text))
    return "".join(part if part.startswith("{") else part.translate(WIDE) for part in parts)


@pytest.fixture
def pseudo_live(tmp_path: Path, browser_valkey: Server, key_prefix: str) -> Iterator[LiveService]:
    """A service whose English is in other letters."""
    for path in FOLDER.glob("*.json"):
        (tmp_path / path.name).write_text(json.dumps(pseudo(json.loads(path.read_text()))))
    service = LiveService(
        tmp_path, browser_valkey.url, KEY_PREFIX=key_prefix, SESSION_TIMEOUT="600"
    )
    service.program = ("-m", "tests.browser.pseudo_service", str(tmp_path))
    try:
        yield service.start()
    finally:
        service.close()


# All texts, those that are hidden now as well: what says something, but for code.
TEXTS = """() => {
  const found = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ALL);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE && !node.parentElement.closest("code, pre, script, noscript, bdi.path, .flag"))
      found.push(node.data);
    for (const name of ["aria-label", "title", "alt"])
      if (node.nodeType === Node.ELEMENT_NODE && node.getAttribute(name)) found.push(node.getAttribute(name));
  }
  return found;
}"""  # noqa: E501
# What is no text of the pages: paths, names, what the browser formats, and the letters of units.
DATA = re.compile(
    r"/[\w/.-]*|\d+ (sec|min) ago|news\.example|Spring Sale|blog\.example|presence|API"
    r"|demo|not-valid"
    r"|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
    r"|\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
)


def left_over(page: Page) -> list[str]:
    """The English on a page, but for the names of countries and cities."""
    names = {"Germany", "Berlin", "Potsdam"}
    return [
        text
        for text in page.evaluate(TEXTS)
        if any(word not in names for word in re.findall(r"[A-Za-z]{2,}", DATA.sub(" ", str(text))))
    ]


def test_no_text_is_left_in_english(pseudo_live: LiveService, page: Page) -> None:
    site, live = "blog.example", pseudo_live
    berlin = {"country": "DE", "city": "Berlin", "latitude": 52.5, "longitude": 13.4}
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        if left := left_over(page):
            found[name] = left

    board = Board.open(page, live, site)
    expect(page.locator("#welcome")).to_be_visible()
    look("nobody yet")
    live.beat_all(site, [{"currentPath": f"/{n}", **berlin, **AD} for n in range(30)])
    live.beat_all(site, [{"currentPath": "/"}] * 3)
    page.set_viewport_size({"width": 1280, "height": 1600})
    for query in ("", "?page=%2F", "?page=%2Fnever&country=DE&source=x", "?country=DE",
                  "?source=news.example", "?source=--", "?wall", "?embed"):  # fmt: skip
        Board.open(page, live, site, query)
        expect(board.now).not_to_have_text("–")
        if not query.startswith("?embed"):
            expect(page.locator("#peak")).not_to_have_text("–")
        live.visitor(site).at("/").at("/1").leave()
        look(query)
    page.goto(f"{live.url}/sites/{site}?pill")
    expect(page.locator("#count")).not_to_have_text("–")
    look("pill")
    Board.open(page, live, site)
    expect(page.locator("#peak")).not_to_have_text("–")
    page.locator("#pause").click()
    for span in range(5):
        page.locator("[data-span]").nth(span).click()
        page.locator("#plot").hover(position={"x": 200, "y": 80})
        look(f"span {span}")
    page.locator("#share-open").click()
    expect(page.locator("#share .share-list code").first).not_to_have_text("")
    look("share")
    page.keyboard.press("Escape")
    page.locator("#pages .other button").click()
    expect(page.locator("#browse td").first).to_be_visible()
    page.locator("#browse input[type=checkbox]").check()
    look("browse")
    page.goto(f"{live.url}/")
    look("start")
    for name in ("Not Valid", site):
        page.locator("#site").fill(name)
        look(f"start, {name}")
    expect(page.locator("#stats-link")).to_be_visible()
    look("start, found")
    assert found == {}
