"""Who is here, in a real browser: on the stats page, and on a document of the demo."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from service.api.user_tokens import User, mint
from tests.browser.board import Board
from tests.browser.conftest import MakeLive, NewContext, SitesFile, Watched
from tests.browser.demo import running_demo
from tests.browser.site import LiveService
from tests.servers import Server

SECRET = "a secret of at least thirty-two bytes"
SITES = f"""
["team"]
token = "open-sesame"
user_secrets = ["{SECRET}"]
"""


def signed_in(live: LiveService, *names: str) -> list[dict[str, Any]]:
    """Makes one session of each of them, on the same page."""
    beats = [
        {"currentPath": "/plan", "userId": name.split()[0].lower(), "name": name} for name in names
    ]
    live.beat_all("team", beats, token="open-sesame")
    return beats


def test_the_stats_page_shows_faces_to_who_has_a_token(
    make_live: MakeLive, page: Page, sites_file: SitesFile, watched: Watched
) -> None:
    live = make_live(SITES_FILE=sites_file(SITES))
    signed_in(live, "Anna Ek", "Bo Lind")
    live.visitor("team").at("/plan")
    board = Board.open(page, live, site="team")
    board.expect_now(3)
    people = page.locator("#people")
    expect(people).to_contain_text("2 of them are signed in")
    faces = page.locator("#people-faces li")
    expect(faces).to_have_count(0)

    # 403: neither is the operator's, which would open all sites.
    watched.allowed += ["status of 401", "status of 403"]
    for token, is_right in (("guess", False), ("open-sesame", True)):
        page.get_by_role("button", name="Show who").click()
        page.get_by_label("Names are not public.").fill(token)
        page.get_by_label("Names are not public.").press("Enter")
        if not is_right:
            board.expect_now(3)  # the numbers are public still
    expect(faces).to_have_text(["AE", "BL"])
    expect(faces.first).to_have_attribute("title", "Anna Ek, just now")
    signed_in(live, "Bo Lind", "Carla Diaz")  # another tab of his is nothing
    expect(faces).to_have_text(["AE", "BL", "CD"])
    expect(people).to_contain_text("3 of them are signed in")


def test_an_element_shows_who_is_on_a_page(
    make_live: MakeLive, page: Page, sites_file: SitesFile
) -> None:
    live = make_live(SITES_FILE=sites_file(SITES), LEAVE_GRACE="0.2")
    signed_in(live, "Anna Ek", "Bo Lind")
    carl = live.visitor("team", userToken=token_of("carl", "Carl Sand")).at("/plan")
    add_faces(page, live)
    faces = page.locator("presence-faces li")
    expect(faces).to_have_text(["AE", "BL", "CS"])
    carl.leave()
    expect(faces).to_have_text(["AE", "BL"])
    for face in faces.all():
        box = face.bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (32, 32)


def add_faces(page: Page, live: LiveService, style: str = "") -> None:
    """Opens a page with the element. Any of the service: only its own scripts may run there."""
    page.goto(f"{live.url}/sites/team?embed")
    page.evaluate(
        """async ([server, token, style]) => {
            await import(server + "/presence-faces.js");
            const faces = document.createElement("presence-faces");
            faces.setAttribute("site", "team");
            faces.setAttribute("path", "/plan");
            faces.setAttribute("server", server);
            faces.style.cssText = style;
            faces.user = () => token;
            document.body.append(faces);
        }""",
        [live.url, token_of("me", "Me", "/plan"), style],
    )


@pytest.mark.parametrize("edge", ["left", "right"])
def test_what_a_face_says_stays_in_the_window(
    make_live: MakeLive, page: Page, sites_file: SitesFile, edge: str
) -> None:
    live = make_live(SITES_FILE=sites_file(SITES))
    names = ["Anna Ek", "Moritz Maximilian Wellington-Montgomery " + 24 * "m", "Walter Mm"]
    signed_in(live, *names)
    page.set_viewport_size({"width": 380, "height": 300})
    add_faces(page, live, f"position:fixed;top:0;{edge}:0")
    faces = page.locator("presence-faces li")
    expect(faces).to_have_count(3)
    # Two of the widest letters are seen beside the next face and its ring.
    assert page.evaluate(
        """() => {
            const list = document.querySelector("presence-faces").shadowRoot;
            const faces = [...list.querySelectorAll("li")];
            return faces.slice(0, -1).map((face, index) => {
                const text = document.createRange();
                text.selectNodeContents(face.firstElementChild);
                const next = faces[index + 1].getBoundingClientRect();
                return text.getBoundingClientRect().right <= next.left - 1;
            });
        }"""
    ) == [True, True]
    for face in faces.all():
        face.focus()
        tip = face.locator("span[aria-hidden]")
        expect(tip).to_be_visible()
        box = tip.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 380
        assert page.evaluate("document.documentElement.scrollWidth") == 380


def token_of(user: str, name: str, *sees: str) -> str:
    """A token of a user of the site."""
    return mint(SECRET, "team", User(user, name, "", sees), expires=time.time() + 3600)


def test_the_demo_has_a_document(
    tmp_path: Path, valkey: Server, new_context: NewContext, key_prefix: str
) -> None:
    with running_demo(tmp_path, valkey.url, key_prefix) as url:
        page = new_context().new_page()
        page.goto(f"{url}/demo/document")
        expect(page.locator("presence-faces li").first).to_be_visible()
        again = page.context.new_page()
        again.goto(f"{url}/demo/document")
        expect(again.locator("presence-faces li").first).to_be_visible()
        users = again.evaluate(
            """async () => {
                const own = `/demo/token?guest=${localStorage.demoGuest}`;
                const token = await (await fetch(own)).text();
                const headers = { Authorization: `Bearer ${token}` };
                const url = "/v1/sites/demo/users?path=/demo/document";
                return (await (await fetch(url, { headers })).json()).users;
            }"""
        )
        # However many windows there are, a guest is one.
        assert [user["name"] for user in users].count("You") == 1
        page.context.close()  # they say goodbye while somebody hears it
