"""`presence sites`."""

from dataclasses import dataclass
from typing import Any

import click
import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.cells import moment
from service.cli.columns import Space
from service.cli.dashboard import Ranking, bars
from service.cli.group import WholeNumber
from service.cli.printing import print_lines, print_tsv, space_on, stderr, stdout, table
from service.cli.reading import open_store, reachable, run
from service.cli.watching import View
from service.cli.watching import watch as watch_until_stopped
from service.models import SiteCount
from service.settings import Settings
from service.store.store import PresenceStore

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Found:
    """The sites to show, the fullest first, and the numbers of all; `as_of` in ms."""

    sites: list[SiteCount]
    total: int
    active: int
    as_of: int

    def as_json(self) -> str:
        """As `GET /v1/sites` has it, but all on one line, and with the number of all sites."""
        fields: dict[str, Any] = {"sites": self.sites, "total": self.total, "asOf": self.as_of}
        return msgspec.json.encode(fields).decode()


@click.command(short_help="List the sites, and how many are on each.")
@click.option("--watch", is_flag=True, help="Redraw every second until Ctrl-C.")
@click.option(
    "--limit",
    type=WholeNumber(0),
    default=100,
    show_default=True,
    help="Maximum number of sites to show; 0 shows all.",
)
@click.option(
    "--json", "is_json", is_flag=True, help="Write one line of JSON; with --watch, one a second."
)
def sites(watch: bool, limit: int, is_json: bool) -> None:
    """List the sites known to Redis with how many are on each, the fullest first.

    A site is known from its first heartbeat on. Piped, it writes one site per line: its name and
    how many are on it, tab-separated. The number is empty (? on a terminal, null in JSON) where
    Redis cannot say, since a node is down or a key has a wrong type.
    """
    settings = Settings.from_env()

    async def read(store: PresenceStore) -> _Found:
        return await _read(store, limit)

    with reachable(settings):
        if watch:
            watch_until_stopped(
                settings, View(read, _lines, _piped, json=_Found.as_json if is_json else None)
            )
        else:
            _print(run(_once(settings, limit)), limit, is_json)


async def _once(settings: Settings, limit: int) -> _Found:
    async with open_store(settings) as store:
        return await _read(store, limit)


async def _read(store: PresenceStore, limit: int) -> _Found:
    known: list[SiteCount] = []
    moments: list[int] = []
    after = ""
    while names := await store.site_names(after, _PAGE):
        page = await store.sites(names)
        known += page.sites
        moments.append(page.asOf)
        after = names[-1]
    if not moments:
        moments.append((await store.sites([])).asOf)
    known.sort(key=_by_count)  # they come by name, and stay so among equals
    active = sum(site.activeVisitors or 0 for site in known)
    return _Found(known[: limit or None], len(known), active, min(moments))


def _by_count(site: SiteCount) -> int:
    return 1 if site.activeVisitors is None else -site.activeVisitors


def _print(found: _Found, limit: int, is_json: bool) -> None:
    console = stdout()
    if is_json:
        click.echo(found.as_json())
        return
    if console.is_terminal:
        print_lines(console, _lines(found, space_on(console)))
    else:
        print_tsv((site.site, site.activeVisitors) for site in found.sites)
    if limit and found.total > limit:
        stderr().print(f"there are {found.total}: --limit 0 shows all of them", style="dim")


def _headline(found: _Found, as_of: str) -> list[str | tuple[str, str]]:
    sites = "site" if found.total == 1 else "sites"
    return [(f"{found.active}", "bold green"), f" active on {found.total} {sites} at {as_of}"]


def _lines(found: _Found, space: Space) -> list[Text]:
    headline = space.line(*_headline(found, moment(found.as_of).short + " UTC"))
    if not found.total:
        hint = space.line(("a site is known from its first heartbeat on", "dim"))
        return space.fitted([headline, hint])
    rows = [(site.activeVisitors, site.site) for site in found.sites]
    room = None if space.height is None else space.height - 2
    listed = bars(Ranking("active by site", rows, found.total), space.with_height(room))
    return space.fitted([headline, Text(), *listed])


def _piped(found: _Found) -> RenderableType:
    headline = Text.assemble(*_headline(found, moment(found.as_of)))
    rows = [(site.activeVisitors, site.site) for site in found.sites]
    return Group(headline, "", table(("active#", "site"), rows)) if rows else headline
