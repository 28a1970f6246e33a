"""`presence stats`."""

import click
from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.cells import moment
from service.cli.dashboard import active_users, dashboard, sources_of
from service.cli.estimates import unique_visitors
from service.cli.glyphs import glyphs_of
from service.cli.group import WholeNumber
from service.cli.printing import print_lines, space_on, stdout, table
from service.cli.reading import hint_at_sites, open_store, reachable, run, site_argument, with_demo
from service.cli.watching import View
from service.cli.watching import watch as watch_until_stopped
from service.models import Stats
from service.settings import Settings
from service.store.store import PresenceStore


@click.command(short_help="Show who is on a site, on which pages, and what was viewed.")
@site_argument
@click.option("--watch", is_flag=True, help="Redraw every second until Ctrl-C.")
@click.option(
    "--top",
    type=WholeNumber(1, 50),
    default=15,
    show_default=True,
    help="Number of lines to show of each list.",
)
def stats(site: str, watch: bool, top: int) -> None:
    """Show who is on SITE now, on which pages, and what was viewed.

    On a terminal the numbers have bars, and --watch takes as much of each list as there is room
    for. `presence sites` lists the sites.
    """
    settings = Settings.from_env()

    async def read(store: PresenceStore) -> Stats:
        return await store.stats(site)

    with reachable(settings):
        settings = with_demo(settings, site)
        if not watch:
            run(_once(settings, site, top))
            return
        watch_until_stopped(
            settings,
            View(
                read,
                lambda stats, space: dashboard(site, stats, top, space),
                lambda stats: _drawn(site, stats, top),
            ),
        )


async def _once(settings: Settings, site: str, top: int) -> None:
    async with open_store(settings) as store:
        numbers = await store.stats(site)
        console = stdout()
        if console.is_terminal:
            print_lines(console, dashboard(site, numbers, top, space_on(console)))
        else:
            console.print(_drawn(site, numbers, top))
        if not numbers.activeVisitors:
            await hint_at_sites(store, site)


def _drawn(site: str, stats: Stats, top: int) -> RenderableType:
    headline = Text.assemble(
        (str(stats.activeVisitors), "bold green"),
        f" active on {site}{active_users(stats)} at {moment(stats.asOf)}\n",
        f"{stats.totalPageViews} page views",
        f" since {moment(stats.trackingSince)}" if stats.trackingSince else "",
        f", {unique_visitors(stats, glyphs_of(stdout().encoding))} unique visitors",
    )
    if stats.sweepBacklog:
        headline.append(f"\n{stats.sweepBacklog} expired sessions wait to be swept", "yellow")
    parts: list[RenderableType] = [headline]
    if stats.activeByPath:
        rows = [(row.count, row.path) for row in stats.activeByPath[:top]]
        parts += ["", table(("active#", "page"), rows)]
    if stats.activeByCountry:
        countries = [(row.count, row.country or "unknown") for row in stats.activeByCountry[:top]]
        parts += ["", table(("active#", "country"), countries)]
    for kind, names in sources_of(stats).items():
        rows = [(count, name) for name, count in names[:top]]
        parts += ["", table(("active#", kind), rows)]
    if stats.pageStats:
        pages = [(row.views, row.path, row.pageType) for row in stats.pageStats[:top]]
        parts += ["", table(("views#", "page", "type"), pages)]
        if stats.totalPaths > top:
            parts.append(Text(f"{stats.totalPaths} pages were viewed in all", "dim"))
    return Group(*parts)
