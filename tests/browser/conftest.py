"""Chromium, and pages of it that fail a test on any error, violation or foreign request."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from tests.browser import private_site
from tests.browser.site import LiveService, running
from tests.servers import Server, missing

# As people's browsers call themselves: the service drops one that says it is headless.
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
# What a window does for an address bar that nobody types into, two pages of its own, and a process
# kept for a page that never comes: most of the CPU of a small test.
_ADDRESS_BAR = ["WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess"]
# Those that Playwright disables; of two lists the last counts.
_BY_PLAYWRIGHT = [
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding",
    "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled",
    "PreconnectToSearch",
]  # fmt: skip
ARGUMENTS = [
    f"--user-agent={USER_AGENT}",
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    f"--disable-features={','.join(_ADDRESS_BAR)}",
]  # fmt: skip
PLAYWRIGHT_ARGUMENTS = [
    *ARGUMENTS, f"--disable-features={','.join(_ADDRESS_BAR + _BY_PLAYWRIGHT)}",
]  # fmt: skip
OWN_HOSTS = ("127.0.0.1", "localhost")
PATIENCE_MS = 10_000
CALM_PREFIX = "calm"
_numbers = itertools.count()


def chromium() -> str:
    """Debian's Chromium; skips or fails where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    if not found:
        missing("chromium")
    return found


expect.set_options(timeout=PATIENCE_MS)


def headless_shell() -> str:
    """Debian's headless shell, of the same sources: all of Chromium that a page can notice, without
    the windows around it that nobody sees here, which take half of what a small test takes. Where
    it is missing, Chromium itself, and always what TEST_CHROMIUM names."""
    return os.environ.get("TEST_CHROMIUM") or shutil.which("chromium-headless-shell") or chromium()


def launch(playwright: Playwright, program: str | None = None) -> Browser:
    """A headless Chromium."""
    return playwright.chromium.launch(
        executable_path=program or chromium(), args=PLAYWRIGHT_ARGUMENTS
    )


@pytest.fixture(scope="package")
def playwright_of_tests() -> Iterator[Playwright]:
    """Playwright for all tests here. No longer: while it runs, no other event loop can in this
    thread, and other tests have theirs."""
    headless_shell()
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright_of_tests: Playwright) -> Iterator[Browser]:
    """One Chromium for all tests here."""
    started = launch(playwright_of_tests, headless_shell())
    yield started
    started.close()


class Watched:
    """What went wrong in the pages of a context. `allowed`: texts a console error may contain,
    such as the status of a request that a test lets fail; all else fails the test."""

    def __init__(self) -> None:
        self.allowed: list[str] = []
        self.faults: list[str] = []

    def watch(self, context: BrowserContext) -> None:
        """Watches all pages of a context, those opened later too."""
        context.on("page", self._watch_page)
        context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))
        context.on("request", lambda request: self._check_host(request.url))

    def _watch_page(self, page: Page) -> None:
        page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            url = message.location.get("url", "")
            self.faults.append(f"{message.type}: {message.text} {url}")

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname not in OWN_HOSTS:
            self.faults.append(f"request to another host: {url}")

    def check(self) -> None:
        """Fails the test, where anything went wrong that it has not allowed."""
        unexpected = [
            fault for fault in self.faults if not any(text in fault for text in self.allowed)
        ]
        assert not unexpected, "\n".join(unexpected)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """What went wrong so far; checked at the end of the test."""
    watched = Watched()
    yield watched
    watched.check()


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def new_context(browser: Browser, watched: Watched) -> Iterator[NewContext]:
    """Makes contexts, each a browser profile of its own: `new_context(color_scheme="dark")`."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> BrowserContext:
            context = browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC"} | options)
            context.set_default_timeout(PATIENCE_MS)
            watched.watch(context)
            stack.callback(context.close)
            return context

        yield make


@pytest.fixture
def page(new_context: NewContext) -> Page:
    """A page in a profile of its own."""
    return new_context().new_page()


@pytest.fixture(scope="package")
def browser_valkey() -> Iterator[Server]:
    """The Valkey behind the services of these tests; each has a key prefix of its own."""
    with Server("valkey") as server:
        yield server


MakeLive = Callable[..., LiveService]


@pytest.fixture
def make_live(
    browser_valkey: Server, key_prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeLive]:
    """Starts services: `make_live(SESSION_TIMEOUT="60")`, on a Valkey of these tests or the
    `redis_url` given. Those of one test share their keys."""
    with contextlib.ExitStack() as stack:

        def make(redis_url: str = browser_valkey.url, **settings: str) -> LiveService:
            folder = tmp_path_factory.mktemp("service")
            settings = {"KEY_PREFIX": key_prefix} | settings
            return stack.enter_context(running(folder, redis_url, **settings))

        yield make


@pytest.fixture
def live(make_live: MakeLive) -> LiveService:
    """A service with short times, nobody on any site."""
    return make_live()


@pytest.fixture(scope="package")
def calm(browser_valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One service for all tests that neither stop it nor want settings of their own. Nobody times
    out; each test has its own `site`."""
    with running(
        tmp_path_factory.mktemp("calm"),
        browser_valkey.url,
        KEY_PREFIX=CALM_PREFIX,
        SESSION_TIMEOUT="600",
    ) as service:
        yield service


@pytest.fixture
def site() -> str:
    """A site that nobody has been at."""
    return f"site-{next(_numbers)}.example"


SitesFile = Callable[[str], str]


@pytest.fixture
def sites_file(tmp_path: Path) -> SitesFile:
    """Writes a sites file and gives its name, for SITES_FILE."""

    def write(text: str) -> str:
        path = tmp_path / "sites.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(scope="package")
def private_service(
    browser_valkey: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """One service with a private site for all tests that change only its shares."""
    folder = tmp_path_factory.mktemp("private")
    sites = folder / "sites.toml"
    sites.write_text(private_site.SITES)
    settings = {"SITES_FILE": str(sites), "KEY_PREFIX": "private", "SESSION_TIMEOUT": "600"}
    with running(folder, browser_valkey.url, **settings) as service:
        yield service


@pytest.fixture
def private(private_service: LiveService) -> Iterator[LiveService]:
    """A service with a private site, and two on it, of whom one is known. Without shares."""
    private_site.two_come(private_service)
    yield private_service
    private_site.revoke_all(private_service)
