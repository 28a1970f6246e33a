"""The panel for sharing: what is copied is what is shown, and works where it is put."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext, Watched
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of
from tests.browser.web import answer_page, web_server

KINDS = ("Link", "Wall", "Frame", "Pill", "Badge", "Counter")


def open_panel(page: Page) -> Locator:
    page.get_by_role("button", name="Share").click()
    panel = page.get_by_role("dialog", name="Share")
    expect(panel.locator(".share-list code").first).not_to_have_text("")
    return panel


def snippet(page: Page, kind: str) -> Locator:
    section = page.locator("#share .share-list section")
    return section.filter(has=page.get_by_role("heading", name=kind, exact=True)).locator("code")


@pytest.fixture
def board(calm: LiveService, site: str, new_context: NewContext) -> Board:
    calm.beat_all(site, [{"currentPath": "/"}] * 2 + [{"currentPath": "/pricing"}])
    context = new_context(permissions=["clipboard-read", "clipboard-write"])
    board = Board.open(context.new_page(), calm, site)
    board.expect_now(3)
    return board


# what is chosen: a filter, colours, accent -> each snippet, with the address of the service as @
# and the site as ~
CHOICES: list[tuple[str, str, str, dict[str, str]]] = [
    (
        "", "", "",
        {
            "Link": "@/sites/~",
            "Wall": "@/sites/~?wall",
            "Frame": '<iframe src="@/sites/~?embed" title="People on ~ now" width="360" '
            'height="420" style="border: 0"></iframe>',
            "Pill": '<iframe src="@/sites/~?pill" title="People on ~ now" width="270" '
            'height="46" style="border: 0; color-scheme: light dark"></iframe>',
            "Badge": '<img alt="people here now" src="@/v1/sites/~/badge.svg">',
            "Counter": '<script defer src="@/presence.js" data-site="~" data-allow-localhost>'
            "</script>\nHere now: <b data-presence-count></b>",
        },
    ),
    (
        "?page=%2Fpricing", "dark", "#F0C",
        {
            "Link": "@/sites/~?page=%2Fpricing&theme=dark&accent=f0c",
            "Wall": "@/sites/~?wall&page=%2Fpricing&theme=dark&accent=f0c",
            "Frame": '<iframe src="@/sites/~?embed&amp;page=%2Fpricing&amp;theme=dark&amp;'
            'accent=f0c" title="People on ~ now" width="360" height="420" '
            'style="border: 0"></iframe>',
            "Badge": '<img alt="people here now" src="@/v1/sites/~/badge.svg?path=%2Fpricing">',
            "Counter": '<script defer src="@/presence.js" data-site="~" data-allow-localhost>'
            '</script>\nHere now: <b data-presence-count="/pricing"></b>',
        },
    ),
    (
        "?country=DE", "transparent-light", "nonsense",
        {
            "Link": "@/sites/~?country=DE&theme=transparent-light",
            "Frame": '<iframe src="@/sites/~?embed&amp;country=DE&amp;theme=transparent-light" '
            'title="People on ~ now" width="360" height="420" '
            'style="border: 0; color-scheme: light"></iframe>',
            "Pill": '<iframe src="@/sites/~?pill&amp;country=DE&amp;theme=transparent-light" '
            'title="People on ~ now" width="270" height="46" '
            'style="border: 0; color-scheme: light"></iframe>',
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("query, theme, accent, snippets", CHOICES)
def test_what_is_copied(
    calm: LiveService,
    site: str,
    board: Board,
    query: str,
    theme: str,
    accent: str,
    snippets: dict[str, str],
) -> None:
    page = board.page
    Board.open(page, calm, site, query)
    panel = open_panel(page)
    panel.get_by_label("Colours").select_option(theme)
    panel.get_by_label("Accent colour").fill(accent)
    is_wrong = accent == "nonsense"
    expect(panel.get_by_label("Accent colour")).to_have_attribute(
        "aria-invalid", str(is_wrong).lower()
    )
    for kind, text in snippets.items():
        wanted = text.replace("@", calm.url).replace("~", site)
        expect(snippet(page, kind)).to_have_text(wanted)
        panel.get_by_role("button", name=f"Copy {kind.lower()}").click()
        expect(panel.get_by_role("button", name=f"Copy {kind.lower()}")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == wanted


def test_what_is_copied_works(calm: LiveService, site: str, board: Board) -> None:
    """Each where a person puts it: in the address bar, or in another page."""
    page = board.page
    open_panel(page)
    texts = {kind: snippet(page, kind).inner_text() for kind in KINDS}
    for kind in ("Link", "Wall"):
        page.goto(texts[kind])
        expect(board.now).to_have_text("3")
    body = texts["Frame"] + texts["Pill"] + texts["Badge"] + texts["Counter"]
    with web_server(lambda request: answer_page(request, body)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        frame, pill = (page.frame_locator("iframe").nth(n) for n in (0, 1))
        expect(frame.locator("#active")).to_have_text(re.compile("[34]"))
        expect(pill.locator("#count")).to_have_text(re.compile("[34]"))
        expect(page.locator("[data-presence-count]")).to_have_text(re.compile("[34]"))
        assert page.locator("img").evaluate("(image) => image.decode().then(() => image.width)")


def test_previews_show_what_is_chosen(board: Board) -> None:
    page = board.page
    panel = open_panel(page)
    preview = panel.locator(".preview.frame")
    expect(preview).to_contain_text("3")
    seen = {}
    for theme in ("light", "dark"):
        panel.get_by_label("Colours").select_option(theme)
        expect(preview).to_have_attribute("data-theme", theme)
        seen[theme] = preview.evaluate("(one) => getComputedStyle(one).backgroundColor")
    assert seen == {"light": "rgb(251, 251, 249)", "dark": "rgb(19, 21, 24)"}
    bar = preview.locator("i").first
    before = bar.evaluate("(one) => getComputedStyle(one).backgroundColor")
    panel.get_by_label("Accent colour").fill("7cc4ff")
    expect(bar).to_have_css("background-color", "rgb(124, 196, 255)")
    assert before != "rgb(124, 196, 255)"
    own = page.locator("#pages .row").first.evaluate("(one) => getComputedStyle(one).color")
    assert own != "rgb(124, 196, 255)", "the page itself stays as it is"
    assert panel.locator(".preview.badge img").evaluate("(one) => one.decode().then(() => 1)") == 1


def test_by_keyboard(board: Board) -> None:
    page = board.page
    button = page.get_by_role("button", name="Share")
    button.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Share")
    expect(panel).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("forced", ["none", "active"])
def test_everybody_can_read_it(
    calm: LiveService, site: str, new_context: NewContext, scheme: str, forced: str
) -> None:
    calm.beat_all(site, [{"currentPath": "/"}] * 3)
    context = new_context(
        color_scheme=scheme, forced_colors=forced, reduced_motion="reduce",
        viewport={"width": 320, "height": 700}, has_touch=True, is_mobile=True,
    )  # fmt: skip
    page = context.new_page()
    board = Board.open(page, calm, site)
    expect(board.now).to_have_text("3")
    panel = open_panel(page)
    assert faults_of(page) == []
    assert board.call("document.documentElement.scrollWidth") <= 320
    assert panel.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    small = panel.locator("button, input, select").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().height).filter((h) => h && h < 44)"
    )
    assert small == []


def test_a_private_site(
    private: LiveService,
    new_context: NewContext,
    watched: Watched,
) -> None:
    """Its owner makes a token for a wall in the panel, and revokes it there."""
    watched.allowed += ["status of 401", "status of 403", "status of 409"]
    page = new_context().new_page()
    Board.open(page, private, "intranet")
    page.locator("#token").fill("open-sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#active")).to_have_text("2")
    page.get_by_role("button", name="Share").click()
    panel = page.get_by_role("dialog", name="Share")
    expect(panel).to_contain_text("This site is private.")
    for kind in KINDS:
        expect(snippet(page, kind)).to_have_text("")
    panel.get_by_label("Name").fill("lobby")
    panel.get_by_role("button", name="Make a token").click()
    expect(snippet(page, "Wall")).to_have_text(re.compile(r"\?wall#share=share_[\w-]{43}$"))
    for kind in ("Badge", "Counter"):
        expect(snippet(page, kind)).to_have_text("")
    assert faults_of(page) == []
    address = snippet(page, "Wall").inner_text()
    panel.get_by_label("Name").fill("lobby")
    panel.get_by_role("button", name="Make a token").click()
    expect(panel.get_by_role("status")).to_contain_text("There is one of that name")

    wall = new_context().new_page()
    wall.goto(address)
    expect(wall.locator("#active")).to_have_text("2")
    panel.get_by_role("button", name="Revoke lobby").click()
    expect(panel.get_by_role("status")).to_contain_text("lobby is revoked")
    expect(snippet(page, "Wall")).to_have_text("")
    expect(wall.locator("#private-note")).to_be_visible(timeout=20_000)
    expect(wall.locator("#dashboard")).to_be_hidden()


def test_a_click_beside_it_closes_it(calm: LiveService, site: str, page: Page) -> None:
    calm.visitor(site).at("/")
    Board.open(page, calm, site)
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#share")).to_be_visible()
    page.mouse.click(3, 3)
    expect(page.locator("#share")).to_be_hidden()
