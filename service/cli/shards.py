"""`presence shards`."""

import click
from rich.text import Text

from service.cli.group import WholeNumber
from service.cli.printing import stdout
from service.cli.reading import open_store, reachable, run, site_argument
from service.settings import Settings
from service.sites import MOST_SHARDS
from service.store.layout import SiteLayouts


@click.command(short_help="Show or change into how many shards a site is split.")
@site_argument
@click.argument("number", type=WholeNumber(1, MOST_SHARDS), required=False, metavar="[N]")
def shards(site: str, number: int | None) -> None:
    """Show into how many shards SITE is split, or split it into N from now on.

    Heartbeats go on meanwhile. Sessions move with their next heartbeat; what was counted before
    stays where it is and is part of every answer. Sites without a number of their own have that of
    PRESENCE_SHARDS.
    """
    settings = Settings.from_env()
    with reachable(settings):
        layouts = run(_layouts(settings, site, number))
    text = f"{site}: {_number(layouts.shards)}"
    before = [str(layout.shards) for layout in reversed(layouts.in_force[:-1])]
    if before:
        text += f"; before: {', '.join(before)}"
    stdout().print(Text(text), soft_wrap=True)


async def _layouts(settings: Settings, site: str, number: int | None) -> SiteLayouts:
    async with open_store(settings) as store:
        if number is not None:
            return await store.layouts.change(site, number)
        return store.keys.layouts_of(site)


def _number(count: int) -> str:
    return f"{count} shard" if count == 1 else f"{count} shards"
