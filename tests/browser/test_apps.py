"""The npm package in apps as others make them: React, Vue and Svelte, each in strict TypeScript and
built by vite from the packed file; as modules without a bundler; and as a script tag of its own."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests import npm
from tests.browser import apps
from tests.browser.apps import BUNDLED, UNBUNDLED, Apps, Origin
from tests.browser.conftest import MakeLive, NewContext, Watched
from tests.browser.site import LiveService
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Apps:
    """The apps with the packed client."""
    folder = tmp_path_factory.mktemp("apps")
    (folder / "packed").mkdir()
    return apps.install(folder)


@pytest.fixture(scope="module")
def built(installed: Apps) -> Apps:
    """The same, built."""
    installed.run("build")
    return installed


@pytest.fixture
def calm(make_live: MakeLive) -> LiveService:
    """A service of its own, for a test stops it; nobody times out."""
    return make_live(SESSION_TIMEOUT="600", HEARTBEAT_INTERVAL="60")


@pytest.fixture
def origin(built: Apps, calm: LiveService) -> Iterator[Origin]:
    """The built apps, served."""
    with built.served(calm.url) as served:
        yield served


def shows(page: Page, state: str, text: str) -> None:
    """Waits until an app says this."""
    output = page.locator(f"output[data-state={state}]" if state else "output")
    expect(output).to_have_text(re.compile(text))


def test_types_are_strict_in_each(installed: Apps) -> None:
    """And in what docs/client-frameworks.md shows."""
    page = (npm.ROOT / "docs" / "client-frameworks.md").read_text()
    for app, language in {"react": "tsx", "vue": "vue", "svelte": "svelte"}.items():
        [shown] = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        (installed.folder / app / f"Shown.{language}").write_text(shown)
    installed.run("types")


def test_the_package_is_as_publint_and_attw_want_it(installed: Apps) -> None:
    """What it says of itself is there, and TypeScript finds it, as ES modules."""
    printed = installed.tool("publint", "run", "--strict", str(installed.packed))
    assert "All good!" in printed
    installed.tool("attw", "--profile", "esm-only", str(installed.packed))


@pytest.mark.parametrize("app", BUNDLED)
def test_two_visitors_see_each_other(
    app: str, origin: Origin, calm: LiveService, new_context: NewContext, watched: Watched
) -> None:
    here, other = (new_context().new_page() for _ in range(2))
    here.goto(origin.page(app))
    shows(here, "live", "^1 here, 1 on this page$")
    other.goto(origin.page(app))
    for page in (here, other):
        shows(page, "live", "^2 here, 2 on this page$")

    other.get_by_role("button", name="Cart").click()
    shows(other, "live", "^2 here, 1 on this page$")
    shows(here, "live", "^2 here, 1 on this page$")

    other.get_by_role("button", name="Other site").click()
    shows(other, "live", "^1 here, 1 on this page$")
    shows(here, "live", "^1 here, 1 on this page$")

    other.get_by_role("button", name="Hide").click()
    expect(other.locator("output")).to_have_count(0)
    wait_until(lambda: active(calm, "other-blog") == 0, what="the visitor has left")
    wait_until(lambda: streams(calm) == 1, what="the other's stream is closed")

    watched.allowed.append("Failed to load resource")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    calm.stop()
    shows(here, "stale", "^1 here, 1 on this page, as of ")
    said = here.locator("output").inner_text().partition("as of ")[2]
    assert before <= datetime.fromisoformat(said) <= datetime.now(UTC)
    calm.start()
    shows(here, "live", "^1 here, 1 on this page$")


@pytest.mark.parametrize("app", UNBUNDLED)
def test_it_needs_no_bundler(app: str, origin: Origin, new_context: NewContext) -> None:
    state = "live" if app == "module" else ""
    here, other = (new_context().new_page() for _ in range(2))
    here.goto(origin.page(app))
    shows(here, state, r"^\s*1 here, 1\s+on this page\s*$")
    other.goto(origin.page(app))
    for page in (here, other):
        shows(page, state, r"^\s*2 here, 2\s+on this page\s*$")


def active(service: LiveService, site: str) -> int:
    """Visitors of a site."""
    count: int = service.get(f"/v1/sites/{site}/active").json()["activeVisitors"]
    return count


def streams(service: LiveService) -> int:
    """Live streams that are open."""
    found = re.search(r"^presence_live_streams (\d+)", service.get("/metrics").text, re.MULTILINE)
    assert found
    return int(found[1])


def test_apps_and_client_have_the_same_versions() -> None:
    """Of what both need."""
    client, built_with = (
        json.loads((folder / "package.json").read_text())["devDependencies"]
        for folder in (npm.CLIENT, npm.APPS)
    )
    both = client.keys() & built_with.keys() - {"typescript"}  # their checkers want the older one
    assert {name: client[name] for name in both} == {name: built_with[name] for name in both}
