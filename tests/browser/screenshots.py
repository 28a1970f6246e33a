"""Takes the pictures of docs/, on demand: `python -m tests.browser.screenshots [folder]`."""

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import launch
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService, running
from tests.servers import Server

DESK = {"width": 1280, "height": 1200}
MOST_BYTES = 100_000
COLOURS = 256


def save(page: Page, path: Path) -> None:
    """A small PNG of what is seen."""
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size:,} bytes")
    assert path.stat().st_size < MOST_BYTES, path


def open_page(browser: Browser, url: str, **options: Any) -> Page:
    """A page in a profile of its own."""
    options = {"viewport": DESK, "locale": "en-GB", "reduced_motion": "reduce"} | options
    page = browser.new_context(**options).new_page()
    page.goto(url)
    return page


def open_board(browser: Browser, url: str, **options: Any) -> Page:
    """A page whose numbers and chart are there."""
    page = open_page(browser, url, **options)
    expect(page.locator("#plot canvas")).to_be_attached()
    return page


def take_all(browser: Browser, service: LiveService, folder: Path) -> None:
    """All six, of one busy site and one that nobody has been at."""
    url = f"{service.url}/sites/example.org"
    crowd = Crowd("example.org")
    light = open_board(browser, url)
    dark = open_board(browser, url, color_scheme="dark")
    phone = open_board(
        browser, url, viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True
    )
    wall = open_board(browser, f"{url}?wall", viewport={"width": 1920, "height": 1080})
    # They have seen somebody come and go, as people do who look at it for a while.
    for beat in crowd.arrive(service, 9)[:4]:
        moved = beat | {"currentPath": "/pricing"}
        service.beat_all("example.org", [moved])
    for page, name in ((light, "light"), (dark, "dark"), (phone, "phone"), (wall, "wall")):
        expect(page.locator("#feed li").first).to_contain_text("went from")
        save(page, folder / f"stats-{name}.png")
    empty = open_page(
        browser, f"{service.url}/sites/new-site", viewport={"width": 1280, "height": 720}
    )
    expect(empty.locator("#welcome")).to_be_visible()
    save(empty, folder / "stats-empty.png")
    service.stop()
    light.set_viewport_size({"width": 1280, "height": 720})
    expect(light.locator("#connection-error")).to_contain_text("Trying again in")
    save(light, folder / "stats-disconnected.png")


def main(folder: Path) -> None:
    """Starts a service with a busy site, and takes the pictures."""
    with (
        Server("valkey") as server,
        tempfile.TemporaryDirectory() as service_folder,
        running(
            Path(service_folder),
            server.url,
            SESSION_TIMEOUT="120",
            HEARTBEAT_INTERVAL="30",
            VIEWS_FROM_HEARTBEATS="false",
        ) as service,
        sync_playwright() as playwright,
    ):
        crowd = Crowd("example.org", seed=1)
        crowd.remember(server.client, "presence", now=128)
        crowd.arrive(service, 119)
        browser = launch(playwright)
        take_all(browser, service, folder)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs")
