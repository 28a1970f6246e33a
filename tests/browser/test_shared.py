"""A private site, shown by the address of a wall or a frame alone."""

import re

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext, Watched
from tests.browser.private_site import ask, make_share
from tests.browser.site import LiveService
from tests.browser.web import answer_page, web_server


def note_requests(page: Page) -> list[Request]:
    noted: list[Request] = []
    page.on("request", lambda request: noted.append(request))
    return noted


def test_a_wall_survives_a_reboot_with_its_address(
    private: LiveService, new_context: NewContext
) -> None:
    share = make_share(private)
    for _ in range(2):  # each in a profile of its own, as after a reboot
        page = new_context().new_page()
        requests = note_requests(page)
        board = Board.open(page, private, "intranet", f"?wall#share={share}")
        expect(board.now).to_have_text("2")
        expect(page.locator("#peak")).not_to_have_text("–")
        page.reload()
        expect(board.now).to_have_text("2")
        assert len(requests) > 8
        sent = [request for request in requests if share in request.url.partition("#")[0]]
        assert sent == [], "the token is in no address that is sent"
        assert not [one for one in requests if share in one.headers.get("referer", "")]
        assert page.evaluate("sessionStorage.length") == 0
        page.context.close()


def test_it_goes_along(private: LiveService, page: Page) -> None:
    """To the other views, and with filters and Back."""
    share = make_share(private)
    board = Board.open(page, private, "intranet", f"#share={share}")
    expect(board.now).to_have_text("2")
    expect(page.locator("#people-sum")).to_have_text("1 of them is signed in")
    expect(page.locator("#people-ask")).to_be_hidden()  # names are not numbers
    board.row("/pricing").locator("button").click()
    expect(board.now).to_have_text("1")
    expect(page).to_have_url(re.compile(rf"\?page=%2Fpricing#share={share}$"))
    page.reload()
    expect(board.now).to_have_text("1")
    page.go_back()
    expect(board.now).to_have_text("2")
    page.locator(".wall-link").click()
    expect(page).to_have_url(re.compile(rf"\?wall#share={share}$"))
    expect(board.now).to_have_text("2")


def test_a_broken_one_is_not_replaced_by_a_token_that_opens_more(
    private: LiveService, page: Page, watched: Watched
) -> None:
    """With which links to share would be made."""
    watched.allowed += ["status of 401", "status of 403"]
    share = make_share(private) + "\N{RIGHT DOUBLE QUOTATION MARK}"
    board = Board.open(page, private, "intranet")
    page.locator("#token").fill("open-sesame")
    page.keyboard.press("Enter")
    expect(board.now).to_have_text("2")
    page.goto("about:blank")
    requests = note_requests(page)
    page.goto(f"{private.url}/sites/intranet#share={share}")
    expect(page.locator("#private-note")).to_be_visible()
    expect(page.locator("#dashboard")).to_be_hidden()
    assert requests
    assert not [one for one in requests if "authorization" in one.headers]


def test_revoked_it_ends_and_says_so(
    private: LiveService, new_context: NewContext, watched: Watched
) -> None:
    """At once, on pages that are open, in all views; and the numbers are not left there."""
    watched.allowed += ["status of 403"]
    share = make_share(private)
    boards = [
        Board.open(new_context().new_page(), private, "intranet", f"{query}#share={share}")
        for query in ("", "?wall", "?embed")
    ]
    for board in boards:
        expect(board.now).to_have_text("2")
    ask(private, "DELETE", "/v1/sites/intranet/shares/lobby")
    for board in boards:
        note = board.page.locator("#private-note")
        expect(note).to_have_text("This link opens no numbers, or not any more.", timeout=20_000)
        expect(board.page.locator("#dashboard")).to_be_hidden()
        expect(board.page.locator("#token-form")).to_be_hidden()


@pytest.mark.parametrize("site", ["intranet", "nowhere"])
@pytest.mark.parametrize("share", ["share_" + "x" * 43, "nonsense", "%0d%0a", "ä"])
def test_what_opens_nothing(
    private: LiveService, page: Page, watched: Watched, site: str, share: str
) -> None:
    """Nobody learns whether the site is there; and a broken link breaks nothing."""
    watched.allowed += ["status of 401", "status of 403"]
    Board.open(page, private, site, f"?wall#share={share}")
    expect(page.locator("#private-note")).to_have_text(
        "This link opens no numbers, or not any more."
    )


def test_in_a_frame_of_another_page(private: LiveService, page: Page) -> None:
    share = make_share(private)
    source = f"{private.url}/sites/intranet?embed#share={share}"
    body = f'<iframe src="{source}" width="600" height="500"></iframe>'
    with web_server(lambda request: answer_page(request, body)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.frame_locator("iframe").locator("#active")).to_have_text("2")
